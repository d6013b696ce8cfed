"""The reference pages that are read off the code: `make docs` rewrites them.

`PAGES` maps a file under docs/ to the function that gives its text; the tests compare.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from keys.errors import ZhenglianError

REPO = Path(__file__).resolve().parents[2]
FLOORS = ("keys", "verifier", "ledger", "api")
ERRORS_LEAD = """\
每一次拒绝都带一个固定代码，以及中英文说明。
Every refusal carries a stable code and its words in Chinese and English. Over HTTP it is the
`code` of an RFC 9457 problem document.
"""
HEAD = "<!-- Written by `make docs`; edit the code it is read from. -->\n\n"


def import_floors() -> None:
    """Import every module of the four floors, so that every error class is known.

    Migration scripts run inside Alembic only and are left out.
    """
    for floor in FLOORS:
        for file in sorted((REPO / floor).rglob("*.py")):
            parts = file.relative_to(REPO).with_suffix("").parts
            if parts[-1] == "__main__" or "migrations" in parts:
                continue
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))


def error_classes() -> list[type[ZhenglianError]]:
    """Every class of the error tree that has a table of its own, floor by floor."""

    def below(cls: type[ZhenglianError]) -> Iterator[type[ZhenglianError]]:
        for child in cls.__subclasses__():
            yield child
            yield from below(child)

    import_floors()
    own = [
        cls
        for cls in dict.fromkeys(below(ZhenglianError))
        if cls.__module__.partition(".")[0] in FLOORS and cls.__dict__.get("WORDS")
    ]
    return sorted(
        own, key=lambda cls: (FLOORS.index(cls.__module__.partition(".")[0]), cls.__name__)
    )


def cell(text: object) -> str:
    """`text` as one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell(item) for item in line) + " |\n" for line in lines)


def errors() -> str:
    parts = [
        "# 错误代码 · Error codes\n",
        ERRORS_LEAD,
    ]
    for cls in error_classes():
        first = (cls.__doc__ or "").strip().partition("\n")[0]
        rows: list[tuple[object, ...]] = [
            (f"`{code}`", zh, en) for code, (zh, en) in sorted(cls.__dict__["WORDS"].items())
        ]
        parts.append(f"## {cls.__module__.partition('.')[0]} · {cls.__name__}\n")
        parts.append(f"{first}\n")
        parts.append(table(("代码 · Code", "中文", "English"), rows))
    return HEAD + "\n".join(parts)


PAGES: Mapping[str, Callable[[], str]] = {
    "errors.md": errors,
}


def main() -> int:
    for name, page in PAGES.items():
        target = REPO / "docs" / name
        text = page()
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            sys.stdout.write(f"docs/{name} rewritten\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
