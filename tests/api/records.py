"""What the tests of credit entries and claims share: invented entries, and looks at the ledger."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from api.principals import Role, create_client
from api.rules.workdays import add_workdays
from ledger.audit.findings import Severity
from ledger.audit.run import audit
from ledger.readside import LedgerReadSide
from tests.api.service import DATABASE, Service, sample
from tests.postgres import contents
from verifier.disclosure import disclosure_digest
from verifier.statement import Statement, check_statement, parse_statement

COMPANY = str(sample("food-licence")["uscc"])
CITIZEN = str(sample("id-card")["idno"])
CITIZEN_NAME = str(sample("id-card")["name"])
SECRET_FACTS = "后厨卫生不合格的具体情形描述"
REP_ID = str(sample("id-card", 7)["idno"])


def at(year: int, month: int, day: int, hour: int = 10) -> int:
    """Unix seconds of an hour in China."""
    return int((datetime(year, month, day, hour, tzinfo=UTC) - timedelta(hours=8)).timestamp())


def penalty(**changes: Any) -> dict[str, Any]:
    """An administrative penalty on the sample company; a change to None leaves a field out."""
    fields: dict[str, Any] = {
        "name": "证链市云杉餐饮有限公司",
        "subtype": "法人及非法人组织",
        "uscc": COMPANY,
        "rep": "赵一鸣",
        "repid": REP_ID,
        "docno": "证市监罚〔2026〕101号",
        "offence": "违反食品安全管理规定",
        "facts": SECRET_FACTS,
        "basis": "食品安全法第一百二十六条",
        "kind": "罚款",
        "content": "罚款2000元",
        "fine": 0.2,
        "date": "2026-09-18",
        "by": "市场监督管理局",
    }
    return {k: v for k, v in {**fields, **changes}.items() if v is not None}


def personal_penalty(**changes: Any) -> dict[str, Any]:
    """The same of the sample citizen."""
    person = {
        "name": CITIZEN_NAME,
        "subtype": "自然人",
        "uscc": None,
        "rep": None,
        "repid": None,
        "idno": CITIZEN,
        "docno": "证市监罚〔2026〕102号",
    }
    return penalty(**{**person, **changes})


def listing(code: str, **changes: Any) -> dict[str, Any]:
    """An entry of the list of severe dishonesty about a company or a citizen."""
    fields: dict[str, Any] = {
        "name": CITIZEN_NAME if code == CITIZEN else "证链市云杉餐饮有限公司",
        "idno" if code == CITIZEN else "uscc": code,
        "list": "严重违法失信名单",
        "docno": "证市监列〔2026〕7号",
        "date": "2026-09-18",
        "reason": "逾期不履行行政处罚决定",
        "basis": "市场监督管理严重违法失信名单管理办法",
        "notice": "2026-09-01",
        "defence": "未提出陈述申辩",
        "signer": "孙文博",
        "measures": ["限制参加政府采购"],
        "exit": "满一年并已履行义务",
        "by": "市场监督管理局",
    }
    return {**fields, **changes}


def record(
    service: Service,
    fields: Mapping[str, Any] | None = None,
    *,
    type_: str = "penalty",
    grade: int | None = 2,
    who: str = "market",
) -> dict[str, Any]:
    """The answer to recording an entry."""
    body = {"type": type_, "fields": dict(fields or penalty()), "grade": grade}
    answer = service.post(who, "/v1/credits", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def act(service: Service, record_id: str, what: str, who: str = "market", **body: Any) -> Any:
    """The answer to one act, which must succeed."""
    answer = service.post(who, f"/v1/credits/{record_id}/{what}", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def published(service: Service, **options: Any) -> str:
    """The id of a penalty that was recorded and published."""
    record_id: str = record(service, **options)["record_id"]
    act(service, record_id, "publish")
    return record_id


def public(service: Service, uscc: str = COMPANY, **params: Any) -> dict[str, Any]:
    answer = service.get(None, "/v1/public/credits", params={"uscc": uscc, **params})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def shown_values(version: Mapping[str, Any]) -> dict[str, Any]:
    return {each["code"]: each["value"] for each in version["fields"]}


def statement_at(service: Service, index: int) -> Statement:
    """The statement at a ledger index, its signature checked against the keys enrolled."""
    statement = parse_statement(service.city.ledger.entry(index))
    key = service.city.authorities.keys[statement.kid]
    assert key.issuer == statement.issuer
    check_statement(statement, key.public)
    return statement


def holds_digest(statement: Statement, disclosure: bytes) -> bool:
    return disclosure_digest(disclosure) in statement.content.digests


def audit_findings(service: Service) -> list[tuple[str, int | None]]:
    """What an audit of the ledger's public side finds broken or against a rule."""

    def workdays_after(day: date, count: int) -> date:
        return add_workdays(day, count, service.city.calendar)

    report = audit(
        LedgerReadSide(service.city.ledger),
        workdays_after=workdays_after,
        now=service.city.now(),
        log_vkey=service.city.trust().log_key.text(),
    )
    return [
        (finding.code, finding.index)
        for finding in report.findings
        if finding.severity is not Severity.UNCHECKED
    ]


def entries(service: Service) -> list[bytes]:
    """Every entry of the ledger."""
    ledger = service.city.ledger
    return [ledger.entry(index) for index in range(ledger.size)]


def stored_bytes(folder: Path) -> bytes:
    """Every byte the city keeps, in files or in a database elsewhere."""
    kept = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    if (folder / DATABASE).exists():
        kept.append(contents((folder / DATABASE).read_text(encoding="utf-8")))
    return b"\n".join(kept)


def add_caller(
    service: Service,
    client: str,
    *roles: Role,
    department: str | None = None,
    subject: str | None = None,
) -> None:
    """Registers one more caller, whom `service.call` then knows."""
    city = service.city
    key = create_client(
        city.store,
        client=client,
        name=f"测试 {client}",
        roles=roles,
        department=department,
        subject_nym=None if subject is None else city.vault.pseudonym("subject", subject),
        random=city.random,
        now=city.now(),
    )
    service.keys = {**service.keys, client: key}
