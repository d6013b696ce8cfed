"""Map files are read strictly; the ones that come with the product are right."""

from pathlib import Path

import pytest

from api.errors import ServiceError
from api.imports.mapfile import CheckedMap, read_map
from api.imports.mapping import RowMapper
from api.imports.transforms import TRANSFORMS, make_transforms
from api.rules.catalogue import load_catalogue
from tests.imports.helpers import COMPANY_MAP, FOOD_MAP, row_of
from verifier.states import REVOKED, VALID

CATALOGUE = load_catalogue()


def checked(text: str = FOOD_MAP) -> CheckedMap:
    return read_map(text, CATALOGUE)


def test_every_map_of_the_repository_fits_the_catalogue(repo: Path) -> None:
    maps = sorted((repo / "maps").glob("*.toml"))
    assert len(maps) >= 2
    for path in maps:
        assert checked(path.read_text(encoding="utf-8")).columns


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('type = "retail-food"', 'type = "retail-food"\nunknown = 1', "unknown"),
        ('column = "number" }', 'column = "number", typo = 1 }', "fields.0.typo"),
        ('{ field = "no", column = "number" },', "", "fields"),
        ('{ field = "no", column', '{ field = "nope", column', "fields.nope"),
        ('{ field = "name", column', '{ field = "no", column', "fields.no"),
        ('column = "number" }', 'column = "number", constant = "x" }', "fields.no"),
        ('{ field = "no", column = "number" }', '{ field = "no" }', "fields.no"),
        ('column = "number" }', 'column = "number", transforms = [["eval"]] }', "transforms"),
        ('column = "number" }', 'column = "number", transforms = [["split", "-"]] }', "transforms"),
        ('column = "number" }', 'column = "number", transforms = [[]] }', "transforms"),
        ('"deregistered"', '"gone"', "state.values.AAC"),
        ('"holder-request"', '"penalty-revocation"', "state.values.AAC"),
        ('"holder-request"', '"duties-fulfilled"', "state.values.AAC"),
        ("AAI = {}", 'AAI = { reason = "holder-request" }', "state.values.AAI"),
        ("[renewal]", '[renewal]\ncolumn = "x"', "renewal"),
        ("[renewal]", '[renewal]\nvalues = ["x"]', "renewal"),
        ("absent =", 'delimiter = "||"\nabsent =', "delimiter"),
        ("absent =", "delimiter = '\"'\nabsent =", "delimiter"),
        ("absent =", 'encoding = "latin-1"\nabsent =', "encoding"),
        ("absent =", "absent = [\nabsent =", "-"),
    ],
)
def test_maps_that_do_not_fit_are_refused(old: str, new: str, key: str) -> None:
    assert old in FOOD_MAP
    with pytest.raises(ServiceError) as caught:
        checked(FOOD_MAP.replace(old, new, 1))
    assert caught.value.code == "import-map-invalid"
    assert key in str(caught.value.extra["key"])


def test_a_type_given_beside_the_map_must_be_the_map_s() -> None:
    assert read_map(FOOD_MAP, CATALOGUE, "retail-food").type.slug == "retail-food"
    with pytest.raises(ServiceError) as caught:
        read_map(FOOD_MAP, CATALOGUE, "business-licence")
    assert caught.value.code == "import-map-invalid"
    with pytest.raises(ServiceError) as caught:
        read_map(FOOD_MAP, CATALOGUE, "none-such")
    assert caught.value.code == "catalogue-unknown-type"


def test_a_map_of_a_megabyte_is_refused() -> None:
    with pytest.raises(ServiceError) as caught:
        checked(FOOD_MAP + "#" * (1 << 20))
    assert caught.value.code == "import-map-invalid"


# --- rows -----------------------------------------------------------------------------------------

CELLS = {
    "number": " 12-３ ", "name": "N/A", "account": "7", "street": "建设路1号", "city": " ",
    "from": "2024-01-01", "until": "2025-12-31", "items": "food", "status": "aai",
}  # fmt: skip


def test_a_row_becomes_fields() -> None:
    mapped = RowMapper(checked()).read(row_of(CELLS, 9))
    assert (mapped.line, mapped.state, mapped.reason, mapped.renews) == (9, VALID, None, True)
    assert mapped.fields == {
        "no": "12-３",  # trimmed; its spelling is the dictionary's business
        "account": "7",
        "premises": "建设路1号",  # a blank part leaves no separator
        "from": "2024-01-01",
        "until": "2025-12-31",
        "items": "食品",
    }


def test_states_are_found_however_they_are_spelled() -> None:
    mapper = RowMapper(checked())
    assert mapper.read(row_of({**CELLS, "status": " ｒｅｖ "})).state == REVOKED
    for value in ("", "AAI?", "XYZ"):
        with pytest.raises(ServiceError) as caught:
            mapper.read(row_of({**CELLS, "status": value}))
        assert caught.value.code == "import-state-unknown"
        assert value not in caught.value.detail or not value


def test_skip_rules() -> None:
    mapper = RowMapper(checked())
    assert mapper.skips(row_of({**CELLS, "number": " "}))
    assert not mapper.skips(row_of(CELLS))


def test_renewal_may_hang_on_a_column() -> None:
    text = FOOD_MAP.replace("[renewal]", '[renewal]\ncolumn = "kind"\nvalues = ["RENEW"]')
    mapper = RowMapper(checked(text))
    assert mapper.read(row_of({**CELLS, "kind": " renew"})).renews
    assert not mapper.read(row_of({**CELLS, "kind": "ISSUE"})).renews
    assert not RowMapper(checked(COMPANY_MAP)).read(row_of({})).renews


# --- transforms -----------------------------------------------------------------------------------


EXAMPLES: list[tuple[list[str | int], str, str]] = [
    (["amount"], "50(万美元)", "50万美元"),
    (["amount"], "1,000(万元人民币)", "1000万元人民币"),
    (["amount"], "50万人民币", "50万元人民币"),
    (["amount"], "12.5（万元）", "12.5万元人民币"),
    (["amount"], "300000元", "300000元人民币"),
    (["amount"], "fifty", "fifty"),
    (["date", "%m/%d/%Y"], "03/31/2014", "2014-03-31"),
    (["date", "%m/%d/%Y"], "2014-03-31", "2014-03-31"),
    (["split", "（", 0], "甲公司（分部）", "甲公司"),
    (["split", "-", -1], "a-b", "b"),
    (["split", "-", 5], "a-b", "a-b"),
    (["prefix", "JY"], "1", "JY1"),
    (["drop-prefix", "No."], "No.7", "7"),
    (["replace", "O", "0"], "1O", "10"),
    (["upper"], "12x", "12X"),
]


@pytest.mark.parametrize(("spec", "value", "expected"), EXAMPLES)
def test_transforms(spec: list[str | int], value: str, expected: str) -> None:
    assert make_transforms([spec])(value) == expected


def test_every_transform_is_tried_above_and_documented(repo: Path) -> None:
    page = (repo / "docs" / "importing.md").read_text(encoding="utf-8")
    assert {spec[0] for spec, _, _ in EXAMPLES} == set(TRANSFORMS)
    for name in TRANSFORMS:
        assert f"`{name}`" in page
