"""Fictional credit entries for the demo city, at every stage of their life."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api.city import City
from api.credits import Credits
from api.demo_people import demo_licences
from api.errors import ServiceError
from api.principals import Principal, Role
from verifier.credit import Phase

_DECIDED_DAYS_AGO = 2


@dataclass(frozen=True)
class DemoEntry:
    """An entry to record, by whom, and what becomes of it: "", published, disputed, …"""

    department: str
    type: str
    fields: Mapping[str, object]
    becomes: str = "published"
    grade: int | None = None


def demo_entries(now: int) -> list[DemoEntry]:
    """A dozen entries about the demo's companies, decided two days before `now` (Unix seconds)."""
    companies = [one.fields for one in demo_licences(now) if one.type == "business-licence"]
    today = datetime.fromtimestamp(now + 8 * 3600, UTC).date()
    decided = (today - timedelta(days=_DECIDED_DAYS_AGO)).isoformat()
    who = [{"name": each["name"], "uscc": each["uscc"]} for each in companies]
    penalty = {
        "subtype": "法人及非法人组织",
        "offence": "违反食品安全管理规定",
        "facts": "经营场所从业人员未按规定办理健康证明",
        "basis": "《中华人民共和国食品安全法》第一百二十六条",
        "kind": "罚款",
        "fine": "0.2",
        "date": decided,
        "by": "市场监督管理局",
    }
    check = {"kind": "双随机抽查", "result": "合格", "date": decided, "by": "卫生健康委员会"}
    promise = {
        "kind": "证明事项告知承诺",
        "matter": "施工许可",
        "content": "承诺所提交材料真实、完整、有效",
        "date": decided,
        "status": "未到期",
        "by": "住房和城乡建设局",
    }
    fates = ("published", "disputed", "published", "corrected", "withdrawn", "recorded")
    entries = [
        DemoEntry(
            "market",
            "penalty",
            {
                **penalty,
                **who[3 + number],
                "docno": f"证市监罚〔2026〕{number + 1}号",
                "content": "罚款2000元",
            },
            fate,
            2 if number else 3,
        )
        for number, fate in enumerate(fates)
    ]
    entries += [
        DemoEntry(
            "health", "inspection", {**check, **who[number], "no": f"证卫检〔2026〕{number}号"}
        )
        for number in range(4)
    ]
    entries += [
        DemoEntry("housing", "commitment", {**promise, **each, "no": f"CN2026{number:04d}"})
        for number, each in enumerate(who[10:13])
    ]
    return entries


def record_demo_entries(city: City) -> int:
    """Records what is not recorded yet and brings each to where it should be; returns how many.

    A demo company has at most one entry of a type, so one that an earlier start recorded is found
    by both, withdrawn ones included.
    """
    book, made = Credits(city), 0
    for entry in demo_entries(city.now()):
        type_ = city.catalogue.credit_type(entry.type)
        officer = Principal(
            "demo", "demo", entry.department, frozenset({Role.CLERK, Role.SEAL_KEEPER})
        )
        subject = city.vault.pseudonym("subject", str(entry.fields["uscc"]))
        there = [row for row in book.of_subject(subject) if row.type_code == type_.code]
        if there:
            record_id = there[0].record_id
        else:
            record_id = book.record(officer, type_, entry.fields, grade=entry.grade).record_id
            made += 1
        _settle(book, officer, entry, record_id)
    return made


def _settle(book: Credits, officer: Principal, entry: DemoEntry, record_id: str) -> None:
    """The steps that are left for an entry."""
    if entry.becomes == "recorded":
        return
    if book.row(record_id).phase == Phase.RECORDED:
        try:
            book.publish(officer, record_id)
        except ServiceError as error:
            if error.code != "calendar-missing":
                raise
            return  # next year's holidays are not known: the entry waits to be published
    if book.row(record_id).phase != Phase.PUBLISHED:
        return
    if entry.becomes == "disputed":
        book.dispute(officer, record_id, "当事人称健康证明已在有效期内")
    elif entry.becomes == "corrected":
        corrected = {**entry.fields, "fine": "0.1", "content": "罚款1000元"}
        book.correct(officer, record_id, corrected, "content-wrong", grade=entry.grade)
    elif entry.becomes == "withdrawn":
        book.withdraw(officer, record_id, "decision-annulled")
