"""What the start page says of an open city."""

from collections.abc import Sequence

from api.context import Services
from api.demo import Demo
from api.demo_witnesses import shown
from api.finality import Overview, overview
from api.pages.start import DepartmentCount, Notice, StartData
from verifier.plural import noun


def make_start_data(services: Services, demo: Demo | None) -> StartData:
    """Read anew for each page."""
    city = services.city
    key = city.trust().log_key.text()
    seen = overview(city)
    return StartData(
        city_zh=city.settings.name_zh,
        city_en=city.settings.name_en,
        origin=city.origin,
        tree_size=seen.final,
        is_demo=demo is not None,
        demo_keys=() if demo is None else demo.keys,
        samples=() if demo is None else demo.samples,
        counts=lambda: _counts(services),
        checkpoint_path="/log/checkpoint",
        docs_path="/docs",
        audit_command=f"zhenglian audit {city.settings.base_url}/log --vkey '{key}'",
        notices=notices(seen),
        witnesses=shown(city),
    )


def notices(seen: Overview) -> Sequence[Notice]:
    """What is not as it should be with the ledger."""
    told = []
    if seen.refusal is not None:
        told.append(
            Notice(
                f"账本停止写入：{seen.refusal.zh}。查询与核验照常。",
                f"Nothing is written: {seen.refusal.en}. Reading and checking go on.",
            )
        )
    if seen.overdue:
        are = noun(seen.pending, "entry is", "entries are")
        told.append(
            Notice(
                f"见证联署逾期：{seen.pending} 条记录已入账，尚未达到见证法定数，已 "
                f"{seen.behind} 秒。",
                f"Witnesses are overdue: {seen.pending} {are} logged and not final, for "
                f"{seen.behind} {noun(seen.behind, 'second')}.",
            )
        )
    if seen.override:
        told.append(
            Notice(
                f"见证策略已由两名经办人降低：{seen.override}",
                f"Two officers lowered the witness policy: {seen.override}",
            )
        )
    return told


def _counts(services: Services) -> Sequence[DepartmentCount]:
    counts = services.licences.count()
    departments = services.city.authorities.departments
    return [
        DepartmentCount(department.zh, department.en, counts.get(issuer.rpartition("/")[2], 0))
        for issuer, department in departments.items()
        if department.uscc
    ]
