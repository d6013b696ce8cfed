"""The reference pages that are read off the code: `make docs` rewrites them.

`PAGES` maps a file under docs/ to the function that gives its text; the tests compare. A page
whose source is not written yet is left out.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keys.errors import ZhenglianError

REPO = Path(__file__).resolve().parents[2]
FLOORS = ("keys", "verifier", "ledger", "api")
ERRORS_LEAD = """\
每一次拒绝都带一个固定代码，以及中英文说明。
Every refusal carries a stable code and its words in Chinese and English. Over HTTP it is the
`code` of an RFC 9457 problem document.
"""
FINDINGS_LEAD = """\
`zhenglian audit` 和 `zhenglian monitor` 的每项发现都带一个固定代码，并指明条目序号、文件、记录或
部门。`monitor-` 开头的只有后者会报。
Every finding of `zhenglian audit` and `zhenglian monitor` carries a stable code, and names the
ledger index, the file, the record or the department; those that begin with `monitor-` are of the
latter alone. What was not checked never makes a log unclean.
"""
FINDINGS_TITLES: Mapping[str, str] = {
    "broken": "所示非所签 · What is shown is not what was signed",
    "rule": "违反规则 · Signed, and against a rule",
    "unchecked": "未核查 · What was not checked",
}
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
        statuses = getattr(cls, "STATUS", None)
        default = getattr(sys.modules[cls.__module__], "DEFAULT_STATUS", None)
        rows: list[tuple[object, ...]] = [
            (f"`{code}`", zh, en) + (() if statuses is None else (statuses.get(code, default),))
            for code, (zh, en) in sorted(cls.__dict__["WORDS"].items())
        ]
        head = ("代码 · Code", "中文", "English") + (() if statuses is None else ("HTTP",))
        parts.append(f"## {cls.__module__.partition('.')[0]} · {cls.__name__}\n")
        parts.append(f"{first}\n")
        parts.append(table(head, rows))
    return HEAD + "\n".join(parts)


def findings() -> str:
    """Everything an audit or a monitor can say about a log, worst first."""
    module = importlib.import_module("ledger.monitor.findings")
    parts = ["# 审计发现 · What an audit finds\n", FINDINGS_LEAD]
    for severity, title in FINDINGS_TITLES.items():
        rows: list[tuple[object, ...]] = [
            (f"`{code}`", words.zh, words.en)
            for code, words in module.FINDINGS.items()
            if words.severity == severity
        ]
        parts.append(f"## {title}\n")
        parts.append(table(("代码 · Code", "中文", "English"), rows))
    return HEAD + "\n".join(parts)


def settings() -> str:
    """Every setting: the environment variable, its type, its default, what it is for."""
    model = importlib.import_module("api.settings").Settings
    prefix = model.model_config.get("env_prefix", "").upper()
    rows: list[tuple[object, ...]] = []
    for name, field in model.model_fields.items():
        kind = getattr(field.annotation, "__name__", None) or str(field.annotation)
        if "[" in str(field.annotation) or "|" in str(field.annotation):
            kind = str(field.annotation).replace("typing.", "").replace("pathlib.", "")
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        shown = "—" if default is None else f"`{default}`"
        rows.append((f"`{prefix}{name.upper()}`", f"`{kind}`", shown, field.description or ""))
    head = ("变量 · Variable", "类型 · Type", "默认 · Default", "说明 · What it is for")
    return HEAD + "# 设置 · Settings\n\n" + table(head, rows)


def commands() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    typer = importlib.import_module("typer.main")
    parts = ["# 命令 · Commands\n"]

    def walk(path: str, command: Any) -> None:
        children = getattr(command, "commands", None)
        if children is None or getattr(command, "invoke_without_command", False):
            parts.append(f"## `{path}`\n")
            parts.append(f"{' '.join((command.help or '').split())}\n")
            rows: list[tuple[object, ...]] = [
                (
                    "`"
                    + "`, `".join(one.opts if one.param_type_name == "option" else [one.name])
                    + "`",
                    "必填 required" if one.required else "",
                    getattr(one, "help", None) or "",
                )
                for one in command.params
                if one.name not in {"help", "install_completion", "show_completion"}
            ]
            if rows:
                parts.append(table(("参数 · Argument", "", "说明 · What it is"), rows))
        for name, child in sorted((children or {}).items()):
            if not child.hidden:
                walk(f"{path} {name}", child)

    walk("zhenglian", typer.get_command(importlib.import_module("api.cli").app))
    return HEAD + "\n".join(parts)


def routes() -> str:
    """Every route of the HTTP interface, as OpenAPI has it."""
    document = importlib.import_module("api.app").openapi()
    rows: list[tuple[object, ...]] = [
        (f"`{method.upper()}`", f"`{path}`", operation.get("summary", ""))
        for path, operations in sorted(document["paths"].items())
        for method, operation in operations.items()
    ]
    head = ("方法 · Method", "路径 · Path", "用途 · What it does")
    return HEAD + "# 接口 · Routes\n\n" + table(head, rows)


SOURCES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "errors.md": ("keys.errors", errors),
    "findings.md": ("ledger.monitor.findings", findings),
    "settings.md": ("api.settings", settings),
    "commands.md": ("api.cli", commands),
    "routes.md": ("api.app", routes),
}
PAGES: Mapping[str, Callable[[], str]] = {
    name: page for name, (source, page) in SOURCES.items() if find_spec(source) is not None
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
