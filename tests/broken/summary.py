"""The table: what was broken, and what came of it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tests.broken.check import Verdict
from tests.broken.writers import Said


class Unavailable(Exception):
    """This machine does not permit what the part takes; the words say what."""


@dataclass
class Outcome:
    """One row. `faults` counts those that were met, not those that were tried."""

    part: str
    faults: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    told: Counter[str] = field(default_factory=Counter)
    """What the ledger reported instead of an acknowledgement."""
    seconds: float = 0.0
    unavailable: str = ""

    def to_json(self) -> str:
        """One line, from which `from_json` makes the same row."""
        row = {**vars(self), "verdict": asdict(self.verdict), "told": dict(self.told)}
        return json.dumps(row, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Outcome":
        made = cls(**json.loads(line))
        made.verdict = Verdict(**made.verdict)  # type: ignore[arg-type]
        made.told = Counter(made.told)
        return made

    def checked(self, verdict: Verdict, said: Said) -> None:
        self.verdict.add(verdict)
        self.told += said.errors

    @property
    def ok(self) -> bool:
        met = self.faults > 0 and self.verdict.acknowledged > 0
        return self.verdict.ok and (met or bool(self.unavailable))

    @property
    def audit(self) -> str:
        if self.unavailable:
            return "not run"
        return "clean" if not self.verdict.wrong else f"{len(self.verdict.wrong)} findings"

    def cells(self) -> list[str]:
        verdict = self.verdict
        numbers = (
            self.faults, verdict.acknowledged, verdict.lost, verdict.doubled, verdict.checkpoints,
        )  # fmt: skip
        return [self.part, *(f"{n:,}" for n in numbers), self.audit, f"{self.seconds:,.0f}"]


HEADINGS = [
    "part", "faults", "acknowledged", "lost", "doubled", "checkpoints", "audit", "seconds",
]  # fmt: skip


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown that reads well as plain text; below it, what was not right or not run."""
    total = Outcome("all")
    for outcome in outcomes:
        total.faults += outcome.faults
        total.seconds += outcome.seconds
        total.verdict.add(outcome.verdict)
    rows = [HEADINGS, *(outcome.cells() for outcome in [*outcomes, total])]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if 0 < at < 6 or at == 7 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rules = [
        "-" * (width - 1) + ":" if 0 < at < 6 or at == 7 else "-" * width
        for at, width in enumerate(widths)
    ]
    lines = [line(rows[0]), line(rules), *(line(row) for row in rows[1:])]
    for outcome in outcomes:
        if outcome.unavailable:
            lines.append(f"not run: {outcome.part}: {outcome.unavailable}")
        lines += [f"WRONG: {outcome.part}: {words}" for words in outcome.verdict.wrong[:10]]
        if outcome.verdict.ok and not outcome.ok:
            lines.append(f"WRONG: {outcome.part}: no fault was met, or nothing acknowledged")
    return "\n".join(lines)
