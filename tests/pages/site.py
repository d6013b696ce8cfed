"""The pages on a small application of their own: a test city, its samples, no service behind."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.errors import ServiceError
from api.pages import DemoKey, DepartmentCount, Sample, StartData, Witnesses, pages_router
from tests.city import FOOD, NOW, TODAY, City, Licence
from verifier.judge import judge
from verifier.qr import format_qr
from verifier.states import REVOKED, SUSPENDED
from verifier.verdict import Colour, Record, Verdict

DEMO_KEYS = [
    DemoKey(
        "市场监督管理局 · 经办人", "Market Supervision, clerk", "签发、变更 issue, change", "zl_1a"
    ),
    DemoKey("政务服务窗口", "Service counter", "核验 check", "zl_2b"),
]


class Said(BaseModel):
    """A body with an example, and a member that may be left out."""

    text: str = Field(examples=["你好"], description="要说的话 what to say")
    tone: str | None = None


class Site:
    """A city with one licence of each colour, and the application that shows it."""

    def __init__(self) -> None:
        self.city = City()
        self.valid = self.city.issue()
        self.unlimited = self.city.issue(valid_until=None)
        self.food = self.city.issue(
            type_code=FOOD,
            face={"name": "示例市老码头餐饮店", "joint": ["张三", "李四"], "halal": True},
        )
        self.expired = self.city.issue(valid_from=TODAY - 400, valid_until=TODAY - 3)
        self.suspended = self.city.issue()
        self.revoked = self.city.issue()
        self.city.set_state(self.suspended, SUSPENDED)
        self.city.set_state(self.revoked, REVOKED)
        self.unlisted = self.city.issue(status=(7, 0))
        self.now = NOW
        self.trust = self.city.trust()
        self.samples: Mapping[str, tuple[Sample, str]] = {
            sample.slug: (sample, text)
            for sample, text in (
                (Sample("valid", "有效的营业执照", "Valid", Colour.GREEN), self.text(self.valid)),
                (Sample("unknown", "状态不明", "Status unknown", Colour.AMBER), self.unlisted.qr()),
                (Sample("expired", "已过期", "Expired", Colour.RED), self.expired.qr()),
                (Sample("suspended", "暂扣中", "Suspended", Colour.RED), self.suspended.qr()),
                (Sample("revoked", "已吊销", "Revoked", Colour.RED), self.revoked.qr()),
                (Sample("tampered", "被改动", "Tampered", Colour.RED), self.tampered()),
            )
        }

    def text(self, licence: Licence) -> str:
        return self.city.transparent(licence)

    def tampered(self) -> str:
        """A valid code of which one bit of the signature is turned over."""
        statement = bytearray(self.valid.statement)
        statement[-1] ^= 1
        return format_qr(bytes(statement), self.valid.disclosures[:1])

    def verify(self, payload: str | bytes) -> Verdict:
        return judge(payload, self.trust, self.now)

    def start_data(self) -> StartData:
        return StartData(
            city_zh="示例市",
            city_en="Sample City",
            origin=self.city.origin,
            tree_size=len(self.city.entries),
            is_demo=True,
            demo_keys=DEMO_KEYS,
            samples=[sample for sample, _ in self.samples.values()],
            counts=lambda: [DepartmentCount("市场监督管理局", "Market Supervision", 7)],
            audit_command="zhenglian audit http://localhost:8000",
            witnesses=Witnesses([("审计局", "Audit Office"), ("人民法院", "People's Court")], 2),
        )

    def sample_qr(self, slug: str) -> str | None:
        return self.samples[slug][1] if slug in self.samples else None

    def proof_path(self, record: Record) -> str | None:
        return f"/proof/{record.index}"

    def app(self) -> FastAPI:
        app = FastAPI(docs_url=None)
        app.include_router(pages_router())
        app.state.verify = self.verify
        app.state.start_data = self.start_data
        app.state.sample_qr = self.sample_qr
        app.state.proof_path = self.proof_path

        @app.post("/v1/echo/{word}", tags=["回声 echo"], summary="原样返回 Say it again")
        def echo(
            word: str, said: Said, times: int = 1, authorization: Annotated[str, Header()] = ""
        ) -> dict[str, object]:
            """What was sent.

            * with `code`
              and more
            """
            return {"word": word, "text": said.text, "times": times, "by": authorization}

        @app.exception_handler(ServiceError)
        def refused(_: Request, error: ServiceError) -> JSONResponse:
            return JSONResponse({"code": error.code}, error.status)

        return app
