"""The OpenAPI document as rows for the reference page: sections of operations, with examples."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]
Block = Sequence[str]
"""A paragraph (one text), or the items of a list (each beginning with `* `)."""
JSON: Final = "application/json"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    place: str
    required: bool
    type: str
    about: str
    example: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `body` is an example of a JSON body; `media` the types a body may have."""

    anchor: str
    method: str
    path: str
    zh: str
    en: str
    about: Sequence[Block]
    parameters: Sequence[Parameter]
    media: Sequence[str]
    body: str
    fields: Sequence[Parameter]
    answers: Sequence[tuple[str, str]]
    secured: bool

    def curl(self, base: str) -> str:
        """The same request on a command line."""
        path = re.sub(r"\{(\w+)\}", r"<\1>", self.path)
        query = "&".join(
            f"{one.name}=<{one.name}>"
            for one in self.parameters
            if one.place == "query" and one.required
        )
        parts = [f"curl -X {self.method.upper()} '{base}{path}{'?' + query if query else ''}'"]
        if self.secured:
            parts.append("-H 'Authorization: Bearer zl_…'")
        parts += [
            f"-H '{one.name}: {one.example or '…'}'"
            for one in self.parameters
            if one.place == "header" and one.required
        ]
        if self.body:
            parts.append(f"-H 'Content-Type: {JSON}' -d @body.json")
        elif self.media:
            parts.append(f"-H 'Content-Type: {self.media[0]}' --data-binary @file")
        return " \\\n  ".join(parts)


@dataclass(frozen=True, slots=True)
class Section:
    zh: str
    en: str
    operations: Sequence[Operation]


def sections(document: Schema) -> list[Section]:
    """Operations by their first tag, in the order of the document."""
    found: dict[str, list[Operation]] = {}
    for path, operations in document.get("paths", {}).items():
        for method in _METHODS:
            if method in operations:
                raw = operations[method]
                tag = (raw.get("tags") or ["其他 other"])[0]
                found.setdefault(tag, []).append(_operation(document, method, path, raw))
    return [Section(*two_languages(tag), operations) for tag, operations in found.items()]


def blocks(markdown: str) -> list[Block]:
    """Paragraphs and lists of a description, their soft line breaks joined."""
    found: list[Block] = []
    for paragraph in markdown.strip().split("\n\n"):
        lines: list[str] = []
        for line in paragraph.splitlines():
            if lines and not line.startswith("* "):
                lines[-1] += f" {line.strip()}"
            else:
                lines.append(line.strip())
        if lines:
            found.append(lines)
    return found


def two_languages(text: str) -> tuple[str, str]:
    """`证照 licences` is ("证照", "licences"): the last Chinese character ends the Chinese."""
    found = re.match(
        r"^(.*[\u4e00-\u9fff、，。：；）])\s+([^\u4e00-\u9fff]+)$", text, flags=re.DOTALL
    )
    return (found[1], found[2]) if found else (text, "")


def _operation(document: Schema, method: str, path: str, raw: Schema) -> Operation:
    zh, en = two_languages(raw.get("summary", path))
    content: Schema = raw.get("requestBody", {}).get("content", {})
    schema = _resolved(document, content[JSON]["schema"]) if JSON in content else {}
    return Operation(
        anchor=re.sub(r"\W+", "-", f"{method}{path}").strip("-"),
        method=method,
        path=path,
        zh=zh,
        en=en,
        about=blocks(raw.get("description", "")),
        parameters=[_parameter(document, one) for one in raw.get("parameters", [])],
        media=list(content),
        body=_pretty(example(document, content[JSON]["schema"])) if JSON in content else "",
        fields=_fields(document, schema),
        answers=[(code, one.get("description", "")) for code, one in raw["responses"].items()],
        secured=bool(raw.get("security")),
    )


def _parameter(document: Schema, raw: Schema) -> Parameter:
    schema = raw.get("schema", {})
    shown = raw.get("example", _resolved(document, schema).get("default"))
    return Parameter(
        raw["name"],
        raw["in"],
        bool(raw.get("required")),
        type_words(document, schema),
        raw.get("description", ""),
        "" if shown is None else str(shown),
    )


def _fields(document: Schema, schema: Schema) -> list[Parameter]:
    required = set(schema.get("required", ()))
    return [
        Parameter(
            name,
            "body",
            name in required,
            type_words(document, one),
            _resolved(document, one).get("description", ""),
            "",
        )
        for name, one in schema.get("properties", {}).items()
    ]


def _resolved(document: Schema, schema: Schema) -> Schema:
    """Follows one `$ref` into the document; members beside it win."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Any = document
    for name in reference.removeprefix("#/").split("/"):
        target = target[name]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def type_words(document: Schema, schema: Schema) -> str:
    """`string`, `integer | null`, `array of string`, `a | b | c` for a choice."""
    schema = _resolved(document, schema)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(type_words(document, one) for one in schema[several]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {type_words(document, schema.get('items', {}))}"
    return str(schema.get("format", kind))


def example(document: Schema, schema: Schema, depth: int = 0) -> Any:
    """A value of the shape of a schema: its own example, else one made of its parts."""
    schema = _resolved(document, schema)
    if schema.get("examples"):
        return schema["examples"][0]
    for known in ("example", "default", "const"):
        if schema.get(known) is not None:
            return schema[known]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return example(document, schema[several][0], depth + 1)
    kind = schema.get("type")
    if depth > _DEEPEST:
        return None
    if kind == "object":
        required = schema.get("required", ())
        return {
            name: example(document, one, depth + 1)
            for name, one in schema.get("properties", {}).items()
            if name in required or _own_example(_resolved(document, one))
        }
    if kind == "array":
        return [example(document, schema.get("items", {}), depth + 1)]
    return {"string": "…", "integer": 0, "number": 0, "boolean": False}.get(str(kind))


def _own_example(schema: Schema) -> bool:
    return bool(schema.get("examples")) or schema.get("example", schema.get("default")) is not None


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
