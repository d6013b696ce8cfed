"""English nouns that agree with their number, for words that people read."""


def noun(count: int, one: str, many: str = "") -> str:
    """`one` for a count of 1, else `many`, or `one` with an s: 1 entry, 2 entries, 0 keys."""
    return one if count == 1 else many or f"{one}s"
