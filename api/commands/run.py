"""Commands that run a city: found it, serve it, export its log.

What only serving takes is imported there: it would cost every other command a second.
"""

import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from api.city import City
from api.city_keys import is_founded
from api.clients import register_client
from api.commands.options import Zipped
from api.commands.serving import answer, listen
from api.errors import ServiceError
from api.founding import NOT_THERE, found, open_city
from api.observe import log_as_json, log_warnings_only
from api.officers import read_card
from api.principals import Role
from api.settings import Settings
from keys.errors import KeysError, ZhenglianError
from ledger.export import export
from verifier.plural import noun

_console = Console(stderr=True)


def run() -> None:
    """建立示范市并运行；再次运行沿用原有数据 A demo city under var/; a second start keeps it."""
    from api.demo import FILE, make_demo
    from api.demo_witnesses import set_witnesses

    def say(step: str) -> None:
        _console.print(f"  · {step}", soft_wrap=True)

    log_warnings_only()
    settings = Settings().model_copy(update={"demo": True, "argon2_mib": 64})
    with listen(settings.host, settings.port) as listener, closing(_demo_city(settings)) as city:
        if not (settings.data / FILE).exists():
            _console.print("[bold]证链[/] 首次运行，正在建立示范市… first run: making a demo city")
            make_demo(city, say)
        try:
            set_witnesses(city, say)
        except ZhenglianError as error:  # all the rest of it works
            _console.print(f"[yellow]见证策略未登记 witness policy not logged[/]  {error}")
        _serve(city, listener)


def serve() -> None:
    """运行已建立的城市 Serve a city that was founded (see `found`)."""
    log_as_json()
    settings = Settings()
    with listen(settings.host, settings.port) as listener, closing(opened()) as city:
        _serve(city, listener)


def found_command(
    officer: Annotated[
        list[Path] | None,
        typer.Option(help="运营者经办人登记卡，至少两张 Card of an officer of the operator; two"),
    ] = None,
    suite: Annotated[str, typer.Option(help="运营者密钥算法 Suite of the operator's key")] = (
        "ed25519"
    ),
) -> None:
    """建立新城市：密钥、数据库、创世条目；输出账本公钥 Found a city; writes the log's vkey."""
    settings = Settings()
    cards = [read_card(path.read_text(encoding="utf-8")) for path in officer or ()]
    city = found(settings, officers=cards, suite=suite)
    _console.print(
        f"{settings.name_zh} {settings.name_en} · {city.origin}\n条目 entries: {city.ledger.size}"
    )
    sys.stdout.write(f"{city.trust().log_key.text()}\n")
    city.close()


def export_command(
    folder: Annotated[Path, typer.Argument(help="导出到此文件夹 Folder to write to")],
    zipped: Zipped = False,
) -> None:
    """导出账本为静态文件 (tlog-tiles) Write the log as static files."""
    with closing(opened()) as city, Progress(console=_console, transient=True) as bar:
        task = bar.add_task("导出 exporting", total=None)
        done = export(
            city.ledger,
            folder,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            zipped=zipped,
        )
    _console.print(f"{folder}: {done.size} 条 {noun(done.size, 'entry', 'entries')}")


def opened() -> City:
    """The founded city of the settings, or words that say how to found one."""
    return _opened(Settings())


def _opened(settings: Settings) -> City:
    try:
        city = open_city(settings)
    except (KeysError, ServiceError) as error:
        if error.code in NOT_THERE and not is_founded(settings):
            raise ServiceError("city-not-founded", str(settings.data)) from error
        raise
    if not city.enrolled:  # founding was cut short
        city.close()
        raise ServiceError("city-not-founded", str(settings.data))
    return city


def _demo_city(settings: Settings) -> City:
    """The demo city, founded with officers of its own if there is none yet."""
    try:
        return _opened(settings)
    except ServiceError as error:
        if error.code != "city-not-founded":
            raise
        from api.demo import demo_cards

        return found(settings, officers=demo_cards(settings))


def _serve(city: City, listener: socket.socket) -> None:
    """Says where the city is reached, and answers there."""
    from api.app import create_app

    settings = city.settings
    _console.print(
        f"[bold green]证链已就绪 ready[/]  {settings.base_url}\n"
        f"  核验页面 check a code   {settings.base_url}/check\n"
        f"  接口文档 API reference  {settings.base_url}/docs\n"
        "  按 Ctrl-C 停止 to stop"
    )
    answer(create_app(city), listener)


def client_command(
    name: Annotated[str, typer.Argument(help="调用方标识 Id of the caller")],
    role: Annotated[list[Role], typer.Option(help="角色，可多次 A role; may be repeated")],
    department: Annotated[str | None, typer.Option(help="所属部门 Department it acts for")] = None,
    subject: Annotated[
        str | None, typer.Option(help="本人代码，用于 subject 角色 Code of the subject that it is")
    ] = None,
) -> None:
    """登记调用方并显示其 API 密钥（仅此一次） Register a caller; its API key is shown once."""
    with closing(opened()) as city:
        key = register_client(
            city,
            client=name,
            name=name,
            roles=role,
            department=department,
            subject_code=subject,
        )
    sys.stdout.write(key + "\n")
