"""English nouns beside numbers."""

from verifier.plural import noun


def test_one_is_singular_and_all_else_is_not() -> None:
    assert [noun(count, "key") for count in (0, 1, 2, 21)] == ["keys", "key", "keys", "keys"]
    assert [noun(count, "entry", "entries") for count in (0, 1, 2)] == [
        "entries",
        "entry",
        "entries",
    ]
