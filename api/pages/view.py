"""Templates, and the few functions that turn values into words inside them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.pages import words
from api.pages.assets import HERE, Assets
from verifier.plural import noun
from verifier.states import STATES
from verifier.verdict import Verdict

_BEIJING: Final = timezone(timedelta(hours=8))


class View:
    """Renders the pages. `assets` gives the static files their addresses."""

    def __init__(self, assets: Assets, folder: Path = HERE / "templates") -> None:
        self._templates = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            asset=assets.path,
            colour_words=words.COLOURS,
            colour_marks=words.COLOUR_MARKS,
            icons=words.ICONS,
            marks=words.MARKS,
        )
        self._templates.filters.update(
            moment=moment,
            value=value_text,
            thousands=thousands,
            noun=noun,
            roles=words.roles_text,
        )

    def render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(values)


def verdict_values(verdict: Verdict, proof_path: str | None) -> Mapping[str, Any]:
    """What `_verdict.html` needs beside the verdict itself."""
    as_of = verdict.status_as_of
    return {
        "verdict": verdict,
        "advice": words.advice(verdict),
        "age": None if as_of is None else words.age(verdict.judged_at - as_of),
        "state": None if verdict.status is None else STATES.get(verdict.status),
        "proof_path": proof_path,
    }


def moment(seconds: int) -> str:
    """`2027-01-15 16:00` in China Standard Time; a time past the year 9999 is no date."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone(_BEIJING).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError):
        return "—"


def thousands(count: int) -> str:
    return f"{count:,}"


def value_text(value: Any) -> str:
    """A disclosed value (text, integer, boolean, or a list of them) as a person reads it."""
    if isinstance(value, bool):
        return "是 yes" if value else "否 no"
    if isinstance(value, list):
        return "、".join(map(value_text, value))
    return str(value)
