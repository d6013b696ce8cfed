"""`make bench`: every figure the product promises, beside the raw cost, measured in one run.

Each module of this folder named in `MODULES` has a `bench()` that returns rows
`{name, value, unit, raw, raw_name, ratio, bound, holds}`: `value` is ours, `raw` the bare cost
measured in the same run (None where the bound is absolute), `ratio` their quotient, `bound` what
was promised in words. The rows are printed and left in `var/bench.json`.

    python -m bench [module …]
"""

import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MODULES = (
    "verify",
    "suites",
    "packs",
    "ledger",
    "peers",
    "growth",
    "http",
    "replicas",
    "tessera",
    "importing",
    "auditing",
    "custody",
)
OUT = Path("var/bench.json")


def main(names: list[str]) -> int:
    """Runs the named modules, or all; exit code 1 if a bound does not hold."""
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        sys.stderr.write(f"no such bench: {', '.join(unknown)}; known: {', '.join(MODULES)}\n")
        return 2
    console = Console(width=120)
    rows: list[dict[str, Any]] = []
    for name in names or MODULES:
        console.print(f"[dim]… {name}[/]")
        rows += importlib.import_module(f"bench.{name}").bench()
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    console.print(_table(rows))
    console.print(f"{platform.python_implementation()} {platform.python_version()} → {OUT}")
    return 0 if all(row["holds"] is not False for row in rows) else 1


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("what", "ours", "raw", "ratio", "bound", "holds")
    for row in rows:
        holds = {True: "[green]yes[/]", False: "[red]NO[/]", None: ""}[row["holds"]]
        table.add_row(
            row["name"],
            f"{_number(row['value'])} {row['unit']}",
            _number(row["raw"]),
            _number(row["ratio"]),
            str(row["bound"] or ""),
            holds,
        )
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
