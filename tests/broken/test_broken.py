"""The campaign, bounded: each part must meet its faults and lose nothing."""

from collections.abc import Callable

import pytest

from tests.broken.parts import PARTS, run
from tests.broken.summary import HEADINGS, table

SEED = 7


@pytest.mark.long
@pytest.mark.parametrize("name", PARTS)
def test_part(name: str, record_property: Callable[[str, object], None]) -> None:
    outcomes = list(run(name, PARTS[name].bounded, SEED))
    for outcome in outcomes:
        record_property("broken", outcome.cells())
    reasons = [outcome.unavailable for outcome in outcomes if outcome.unavailable]
    assert all(outcome.ok for outcome in outcomes), f"\n{table(outcomes)}"
    assert len(outcomes[0].cells()) == len(HEADINGS)
    if reasons:
        pytest.skip("; ".join(reasons))
