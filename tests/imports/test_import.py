"""From a file into the ledger: what becomes of each row, dry runs, stopping and going on."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from api.checking import verify
from api.city import City
from api.errors import ServiceError
from api.imports import engine
from api.imports.jobs import DONE, FAILED, STOPPED
from api.imports.report import error_csv, report, report_json, report_text
from api.licence_rows import Held
from api.licences import Licences
from api.principals import Principal, Role
from api.tables import LICENCES
from tests.imports.helpers import (
    COMPANY_HEADER,
    COMPANY_MAP,
    FOOD_HEADER,
    FOOD_MAP,
    code,
    company,
    food,
    importer,
    run,
    run_rows,
    stop_after,
    write_csv,
)
from verifier.disclosure import parse_disclosure
from verifier.errors import Refused
from verifier.qr import format_qr
from verifier.statement import Statement, parse_statement
from verifier.states import DEREGISTERED, LAPSED, REVOKED, STATES, SUSPENDED, VALID

KEEPER = Principal("test", "测试", "market", frozenset({Role.CLERK, Role.SEAL_KEEPER}))


def held(city: City, number: object, type_: str = "retail-food") -> list[Held]:
    return Licences(city).by_number(city.catalogue.licence_type(type_), str(number))


def statement(city: City, record_id: str) -> Statement:
    return parse_statement(city.ledger.entry(Licences(city).row(record_id).issue_index))


def fields(city: City, one: Held) -> dict[str, object]:
    licences = Licences(city)
    _, disclosures = licences.content(licences.row(one.record_id))
    return {k: v for raw in disclosures for k, v in parse_disclosure(raw).fields.items()}


def verdict(city: City, one: Held) -> tuple[str, str]:
    """(colour, sentence in both languages) of the licence's full code, now."""
    licences = Licences(city)
    _, disclosures = licences.content(licences.row(one.record_id))
    found = verify(city, format_qr(statement(city, one.record_id).raw, disclosures))
    return found.colour.value, f"{found.zh} {found.en}"


# --- what becomes of a row ------------------------------------------------------------------------


def test_a_row_is_issued_with_what_it_says(city: City, tmp_path: Path) -> None:
    done = run_rows(city, tmp_path, [food(7, "2026-01-01")])
    assert done.counts == {"read": 1, "issued": 1}
    (one,) = held(city, 7)
    assert (one.version, one.state) == (1, VALID)
    assert fields(city, one)["premises"] == "建设路7号, 示例市"
    assert fields(city, one)["items"] == "食品"
    assert verdict(city, one)[0] == "green"


def test_a_later_term_renews_the_one_before(city: City, tmp_path: Path) -> None:
    rows = [food(7, "2022-01-01"), food(7, "2024-01-01"), food(7, "2026-01-01")]
    done = run_rows(city, tmp_path, rows)
    assert done.counts == {"read": 3, "issued": 1, "renewed": 2}
    first, second, third = held(city, 7)
    assert [one.version for one in (first, second, third)] == [1, 2, 3]
    assert first.renewed_by == second.record_id
    assert second.renewed_by == third.record_id
    assert third.renewed_by is None
    assert statement(city, second.record_id).content.predecessor == first.head_leaf
    assert statement(city, third.record_id).content.predecessor == second.head_leaf


def test_renewals_reach_over_batches_and_files(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BATCH", 2)
    rows = [food(number, f"{year}-01-01") for year in (2020, 2022) for number in (1, 2, 3)]
    assert run_rows(city, tmp_path, rows).counts["renewed"] == 3
    later = run_rows(city, tmp_path, [food(number, "2024-01-01") for number in (3, 2, 1, 4)])
    assert later.counts == {"read": 4, "issued": 1, "renewed": 3}
    for number in (1, 2, 3):
        versions = held(city, number)
        assert [one.version for one in versions] == [1, 2, 3]
        for before, after in pairwise(versions):
            assert before.renewed_by == after.record_id
            assert statement(city, after.record_id).content.predecessor == before.head_leaf


def test_terms_out_of_order_are_put_in_order(city: City, tmp_path: Path) -> None:
    rows = [food(7, "2026-01-01"), food(8), food(7, "2022-01-01"), food(7, "2024-01-01")]
    assert run_rows(city, tmp_path, rows).counts == {"read": 4, "issued": 2, "renewed": 2}
    versions = held(city, 7)
    starts = [Licences(city).row(one.record_id).valid_from for one in versions]
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("status", "state", "word"), [("AAC", DEREGISTERED, "注销"), ("REV", REVOKED, "吊销")]
)
def test_an_ended_licence_is_red_with_its_legal_word(
    city: City, tmp_path: Path, status: str, state: int, word: str
) -> None:
    done = run_rows(city, tmp_path, [food(7, "2026-01-01", status)])
    assert done.counts == {"read": 1, "issued": 1, f"ended {STATES[state].name}": 1}
    (one,) = held(city, 7)
    (act,) = Licences(city).acts(one.record_id)
    ended = parse_statement(city.ledger.entry(act.idx))
    issued = statement(city, one.record_id)
    assert one.state == act.state == ended.content.state == state
    assert ended.content.predecessor == issued.leaf
    assert one.head_leaf == ended.leaf
    colour, words = verdict(city, one)
    assert colour == "red"
    assert word in words


def test_what_has_ended_is_not_renewed_but_issued_anew(city: City, tmp_path: Path) -> None:
    rows = [food(7, "2022-01-01", "REV"), food(7, "2024-01-01", "AAC"), food(7, "2026-01-01")]
    done = run_rows(city, tmp_path, rows)
    assert done.counts["issued"] == 3
    assert "renewed" not in done.counts
    versions = held(city, 7)
    assert [(one.version, one.state) for one in versions] == [
        (1, REVOKED),
        (2, DEREGISTERED),
        (3, VALID),
    ]
    for one in versions:
        assert one.renewed_by is None
        assert statement(city, one.record_id).content.predecessor is None


def test_a_duplicate_is_refused_in_a_batch_a_file_and_the_ledger(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [food(7), food(7), food(8), food(7)]
    monkeypatch.setattr(engine, "BATCH", 2)
    done = run_rows(city, tmp_path, rows)
    assert done.codes == [(3, "", "import-row-duplicate"), (5, "", "import-row-duplicate")]
    size = city.ledger.size
    again = run_rows(city, tmp_path, rows[1:])
    assert [code for _, _, code in again.codes] == ["import-row-duplicate"] * 3
    assert city.ledger.size == size
    assert len(held(city, 7)) == 1


def test_spellings_of_one_licence_are_one_licence(city: City, tmp_path: Path) -> None:
    odd = food(7, number=" ７ ", name=" 示例餐馆７", account="ａ7", **{"from": "2024年1月1日"})
    done = run_rows(city, tmp_path, [food(7), odd])
    assert done.codes == [(3, "", "import-row-duplicate")]


def test_other_content_under_the_same_number_and_day_is_refused(city: City, tmp_path: Path) -> None:
    done = run_rows(city, tmp_path, [food(7), food(7, name="别家")])
    assert done.codes == [(3, "", "import-row-conflict")]
    assert run_rows(city, tmp_path, [food(7, name="又一家")]).codes == [
        (2, "", "import-row-conflict")
    ]
    assert len(held(city, 7)) == 1


def test_an_end_told_later_is_logged_alone(city: City, tmp_path: Path) -> None:
    run_rows(city, tmp_path, [food(7), food(8)])
    done = run_rows(city, tmp_path, [food(7, status="REV"), food(8)])
    assert done.counts["ended revoked"] == 1
    assert done.codes == [(3, "", "import-row-duplicate")]
    (one,) = held(city, 7)
    assert one.state == REVOKED
    assert len(Licences(city).acts(one.record_id)) == 1


def test_an_end_in_the_row_after_its_licence(city: City, tmp_path: Path) -> None:
    done = run_rows(city, tmp_path, [food(7), food(7, status="AAC"), food(7, status="AAC")])
    assert done.counts["ended deregistered"] == 1
    assert done.codes == [(4, "", "import-row-duplicate")]
    (one,) = held(city, 7)
    (act,) = Licences(city).acts(one.record_id)
    assert parse_statement(city.ledger.entry(act.idx)).leaf == one.head_leaf


def test_the_ledger_s_own_state_stands(city: City, tmp_path: Path) -> None:
    run_rows(city, tmp_path, [food(7), food(8)])
    licences = Licences(city)
    for number, state, reason in (
        (7, SUSPENDED, "penalty-suspension"),
        (8, LAPSED, "expired-without-renewal"),
    ):
        (one,) = held(city, number)
        licences.change_state(KEEPER, one.record_id, state, reason)
    done = run_rows(city, tmp_path, [food(7), food(8, status="REV")])
    assert done.codes == [(2, "", "import-state-differs"), (3, "", "import-state-differs")]
    assert [held(city, number)[0].state for number in (7, 8)] == [SUSPENDED, LAPSED]


def test_an_earlier_term_than_the_ledger_s_is_refused(city: City, tmp_path: Path) -> None:
    run_rows(city, tmp_path, [food(7, "2024-01-01")])
    assert run_rows(city, tmp_path, [food(7, "2022-01-01")]).codes == [
        (2, "", "import-term-earlier")
    ]


def test_a_renewal_for_another_holder_is_refused(city: City, tmp_path: Path) -> None:
    rows = [food(7, "2022-01-01"), food(7, "2024-01-01", account="B9")]
    assert run_rows(city, tmp_path, rows).codes == [(3, "", "import-holder-changed")]


def test_a_later_term_the_map_does_not_call_a_renewal_is_refused(
    city: City, tmp_path: Path
) -> None:
    text = FOOD_MAP.replace("[renewal]", '[renewal]\ncolumn = "items"\nvalues = ["renew"]')
    rows = [
        food(7, "2022-01-01"),
        food(7, "2024-01-01"),
        food(7, "2026-01-01", items="renew"),
    ]
    done = run(city, write_csv(tmp_path / "x.csv", FOOD_HEADER, rows), text)
    assert done.codes == [(3, "", "import-not-renewal")]
    assert [one.version for one in held(city, 7)] == [1, 2]


# --- dirty rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field", "fault"),
    [
        ({"uscc": code(1)[:-1] + "0"}, "uscc", "code-uscc-invalid"),
        ({"uscc": ""}, "uscc", "field-missing"),
        ({"uscc": "320000000028595"}, "uscc", "import-old-number"),
        ({"uscc": "320000000028596"}, "uscc", "code-uscc-invalid"),
        ({"uscc": "N/A"}, "uscc", "field-missing"),
        ({"founded": ""}, "founded", "field-missing"),
        ({"founded": "2004-02-30"}, "founded", "code-date-invalid"),
        ({"founded": "last year"}, "founded", "code-date-invalid"),
        ({"founded": "1969-12-31"}, "", "licence-dates-invalid"),
        ({"name": "名" * 500}, "name", "field-too-long"),
        ({"name": "公司\x07"}, "name", "field-unprintable"),
        ({"name": "\ue000公司"}, "name", "field-unprintable"),
    ],
)
def test_a_bad_row_is_refused_and_its_neighbours_are_not(
    city: City, tmp_path: Path, changes: dict[str, str], field: str, fault: str
) -> None:
    rows = [company(1), company(2, **changes), company(3)]
    done = run(city, write_csv(tmp_path / "x.csv", COMPANY_HEADER, rows), COMPANY_MAP)
    assert done.codes == [(3, field, fault)]
    assert done.counts["issued"] == 2
    assert done.counts["refused"] == 1
    text = error_csv(done.faults)
    assert fault in text
    for value in filter(None, changes.values()):
        assert value not in text


def test_dirt_that_has_one_reading_is_read(city: City, tmp_path: Path) -> None:
    wide = str.maketrans({n: n + 0xFEE0 for n in range(0x21, 0x7F)})
    number = next(n for n in range(100) if code(n)[-1].isalpha())
    rows = [
        company(number, uscc=f" {code(number).lower()}\u3000", founded="2004/1/2"),
        company(200, uscc=code(200).translate(wide), founded="２００４年１月２日"),
        company(300, capital="1,000（万元人民币）", founded="20040102 00:00:00"),
    ]
    done = run(city, write_csv(tmp_path / "x.csv", COMPANY_HEADER, rows), COMPANY_MAP)
    assert done.faults == []
    found = [fields(city, held(city, code(n), "business-licence")[0]) for n in (number, 200, 300)]
    assert [one["founded"] for one in found] == ["2004-01-02"] * 3
    assert [one["uscc"] for one in found] == [code(number), code(200), code(300)]
    assert found[2]["capital"] == "1000万元人民币"


def test_all_faults_of_a_row_are_told(city: City, tmp_path: Path) -> None:
    rows = [company(1, name="", uscc="1", founded="?")]
    done = run(city, write_csv(tmp_path / "x.csv", COMPANY_HEADER, rows), COMPANY_MAP)
    assert {fault.field for fault in done.faults} == {"name", "uscc", "founded"}
    assert done.counts["refused"] == 1


def test_gb18030_and_ndjson_give_the_same_licences(city: City, tmp_path: Path) -> None:
    rows = [company(1), company(2)]
    text = COMPANY_MAP.replace("absent", 'encoding = "gb18030"\nabsent')
    path = write_csv(tmp_path / "x.csv", COMPANY_HEADER, rows, "gb18030")
    assert run(city, path, text).counts["issued"] == 2
    lines = [json.dumps(dict(zip(COMPANY_HEADER, row, strict=True))) for row in rows]
    ndjson = tmp_path / "x.ndjson"
    ndjson.write_text("\n".join(lines), encoding="utf-8")
    again = run(city, ndjson, COMPANY_MAP)
    assert [code for _, _, code in again.codes] == ["import-row-duplicate"] * 2


def test_unreadable_rows_are_in_the_error_file(city: City, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", COMPANY_HEADER, [company(1), ["a"], company(2)])
    path.write_bytes(path.read_bytes() + b"\xff\xff,1,2,3\n" + b"\0,1,2,3\n")
    done = run(city, path, COMPANY_MAP)
    assert done.codes == [
        (3, "", "import-row-ragged"),
        (5, "", "import-row-encoding"),
        (6, "", "import-row-malformed"),
    ]
    assert done.counts["read"] == 5


def test_numbers_that_differ_only_in_punctuation_collide(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their licence identifiers are the same; one row is to blame, not its batch."""
    monkeypatch.setattr(engine, "BATCH", 16)
    rows = [food(n) for n in range(1, 30)]
    rows[11] = food("1-3")
    rows[20] = food("1-8")
    done = run_rows(city, tmp_path, rows)
    assert Counter(code for _, _, code in done.codes) == {"licence-exists": 2}
    assert done.counts["issued"] == 27
    assert done.counts["read"] == 29


# --- dry run --------------------------------------------------------------------------------------


def test_a_dry_run_tells_everything_and_writes_nothing(city: City, tmp_path: Path) -> None:
    rows = [
        food(1, "2022-01-01"),
        food(1, "2024-01-01", "REV"),
        food(1, "2026-01-01"),
        food(2),
        food(2),
        food(3, name=""),
        food("", name="x"),
        food(4, status="???"),
        food(5, "2026-01-01"),
        food(5, "2024-01-01"),
    ]
    size = city.ledger.size
    dry = run_rows(city, tmp_path, rows, dry_run=True)
    assert city.ledger.size == size
    with city.store.read() as reader:
        assert reader.connection.execute(select(LICENCES)).all() == []
    real = run_rows(city, tmp_path, rows)
    assert dry.counts == real.counts
    assert dry.codes == real.codes
    assert report(dry.job)["dry_run"] is True
    assert real.counts == {
        "read": 10,
        "issued": 4,
        "renewed": 2,
        "ended revoked": 1,
        "duplicates": 1,
        "refused import-row-duplicate": 1,
        "refused": 2,
        "refused field-missing": 1,
        "refused import-state-unknown": 1,
        "skipped": 1,
    }
    after = run_rows(city, tmp_path, rows, dry_run=True)
    assert after.counts["duplicates"] == 7


# --- stopping and going on ------------------------------------------------------------------------


def test_stopped_and_resumed_at_every_batch(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BATCH", 3)
    rows = [food(n % 7, f"{2010 + n // 7 * 2}-01-01") for n in range(21)]
    rows += [food(3, "2010-01-01"), food(99, name=""), food(4, "2026-01-01", "REV")]
    path = write_csv(tmp_path / "x.csv", FOOD_HEADER, rows)
    states = []
    while True:
        made = importer(city, path)
        made.stop = stop_after(1)
        job = made.run()
        states.append((job.state, job.position))
        if job.state == DONE:
            break
    assert states == [(STOPPED, at) for at in range(3, 24, 3)] + [(DONE, 24)]
    assert job.counts["read"] == 24
    assert job.counts["renewed"] == 15
    assert report(job)["rows"] == {"total": 24, "taken": 24, "read": 24}
    for number in range(7):
        assert [one.version for one in held(city, number)][:3] == [1, 2, 3]
    size = city.ledger.size
    again = run(city, path)
    assert (again.job.id, again.job.state, city.ledger.size) == (job.id, DONE, size)


def test_a_file_that_changes_meanwhile_stops_the_import(city: City, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", FOOD_HEADER, [food(1)])
    made = importer(city, path)
    write_csv(path, FOOD_HEADER, [food(1), food(2)])
    with pytest.raises(ServiceError) as caught:
        made.run()
    assert caught.value.code == "import-file-changed"
    job = made.jobs.get(made.job.id)
    assert (job.state, job.fault, job.position) == (FAILED, "import-file-changed", 0)
    assert "import-file-changed" in report_text(job)


def test_two_processes_do_not_import_one_file_twice(city: City, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", FOOD_HEADER, [food(1), food(2)])
    first, second = importer(city, path), importer(city, path)
    second.progress = lambda _done, _total, _counts: None
    started = second.jobs.get(second.job.id)
    first.run()
    second.job = started
    with pytest.raises(ServiceError) as caught:
        # As if the other had written between this one's look at the job and its transaction.
        second._note(second._prepare([], 0, {}, None, {})[0])
    assert caught.value.code == "import-taken-over"
    assert run(city, path).counts["issued"] == 2


def test_another_client_s_write_meanwhile_is_met_by_trying_again(
    city: City, tmp_path: Path
) -> None:
    run_rows(city, tmp_path, [food(1, "2022-01-01")])
    path = write_csv(tmp_path / "x.csv", FOOD_HEADER, [food(1, "2024-01-01"), food(2)])
    made = importer(city, path)
    submit, (one,) = made._submit, held(city, 1)
    raced: list[int] = []

    def race(batch: object) -> object:
        if not raced:
            raced.append(1)
            Licences(city).change_state(KEEPER, one.record_id, SUSPENDED, "penalty-suspension")
        return submit(batch)  # type: ignore[arg-type]

    made._submit = race  # type: ignore[method-assign,assignment]
    assert made.run().counts == {"read": 2, "issued": 1, "renewed": 1}
    suspended, renewed = held(city, 1)
    assert suspended.state == SUSPENDED
    assert statement(city, renewed.record_id).content.predecessor == suspended.head_leaf


# --- the report and the error file ----------------------------------------------------------------


def test_the_report_says_what_happened(city: City, tmp_path: Path) -> None:
    rows = [food(1, "2022-01-01"), food(1), food(1), food(2, status="REV"), food(3, name="")]
    done = run_rows(city, tmp_path, rows)
    found = json.loads(report_json(done.job))
    assert found["ended"] == {"revoked": 1}
    assert found["refused_by_code"] == {"field-missing": 1}
    assert (found["issued"], found["renewed"], found["duplicates"]) == (2, 1, 1)
    assert found["seconds"] >= 0
    text = report_text(done.job)
    for words in (
        "吊销 revoked",
        "延续 renewed",
        "重复 duplicates",
        "[field-missing]",
        "完成 done",
    ):
        assert words in text


def test_a_key_that_may_not_sign_the_type_fails_the_import(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> bytes:
        raise Refused("key-out-of-scope")

    monkeypatch.setattr(City, "sign", refuse)
    made = importer(city, write_csv(tmp_path / "x.csv", FOOD_HEADER, [food(1)]))
    with pytest.raises(Refused):
        made.run()
    job = made.jobs.get(made.job.id)
    assert (job.state, job.fault) == (FAILED, "key-out-of-scope")
    assert Refused.WORDS["key-out-of-scope"][0] in report_text(job)
    monkeypatch.undo()
    assert run_rows(city, tmp_path, [food(1)]).counts["issued"] == 1


def test_details_are_no_formulas_for_a_spreadsheet(city: City, tmp_path: Path) -> None:
    done = run_rows(city, tmp_path, [food(1, name="")])
    evil = done.faults[0]._replace(detail="=cmd()")
    assert "'=cmd()" in error_csv([evil])
    assert error_csv([]).startswith("\ufeffrow,field,code")


def test_jobs_are_listed_and_unknown_ones_are_not(city: City, tmp_path: Path) -> None:
    made = importer(city, write_csv(tmp_path / "x.csv", FOOD_HEADER, [food(1)]))
    made.run()
    assert [job.id for job in made.jobs.of_departments(["market"])] == [made.job.id]
    assert made.jobs.of_departments(["police"]) == []
    with pytest.raises(ServiceError) as caught:
        made.jobs.get("none")
    assert caught.value.code == "import-unknown"
