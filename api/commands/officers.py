"""`zhenglian officer …`: officers' keys and cards. `zhenglian key …`: departments' keys."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.commands.options import Keys, Out
from api.commands.run import opened
from api.custody import effort_of
from api.errors import ServiceError
from api.keymaking import MadeKey, make_key
from api.officers import check_names, make_card
from api.passphrase import NEW, ask
from api.rules.days import china_time
from api.settings import Settings
from api.signers import STATE_ZH, key_state
from keys.custody import FileCustody
from keys.custody.rekey import change_passphrase
from keys.errors import KeysError
from keys.signer import Signer
from verifier.codec import b64decode, b64encode
from verifier.errors import Refused
from verifier.plural import noun

OFFICER = "ZHENGLIAN_OFFICER_PASSPHRASE"
KEY_FORMAT = "zhenglian-made-key-1"
_MAX_KEY = 32_768
_console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)

officer_app = typer.Typer(
    name="officer", help="经办人：密钥与登记卡 Officers: their keys and cards", no_args_is_help=True
)
key_app = typer.Typer(name="key", help="部门密钥 Keys of departments", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="经办人代号，不用真实姓名 Duty name, never a person's")]
Of = Annotated[str, typer.Option("--of", help="所属部门，或 operator Department, or `operator`")]
Suite = Annotated[str, typer.Option(help="签名算法 Signature suite")]


@officer_app.command("new")
def new_command(
    name: Name,
    of: Of,
    keys: Keys,
    suite: Suite = "ed25519",
    out: Out = None,
) -> None:
    """生成经办人密钥并写出登记卡；密钥不离开该文件夹 Make an officer's key, and write the card."""
    settings = Settings()
    check_names(name, of)
    passphrase = ask(OFFICER, "经办人口令 The officer's passphrase", twice=True)
    custody = FileCustody(keys, passphrase, effort_of(settings))
    custody.create(name, suite)
    card = make_card(custody.open(name), id=name, of=of, origin=settings.origin)
    path = out or keys / f"{name}.card"
    path.write_text(card.text(), encoding="utf-8")
    _console.print(f"登记卡 card: {path} · {card.origin} · {name} ({of})")


@officer_app.command("card")
def card_command(name: Name, of: Of, keys: Keys) -> None:
    """再次输出登记卡 Write an officer's card to standard output once more."""
    signer = officer_signer(keys, name)
    card = make_card(signer, id=name, of=of, origin=Settings().origin)
    sys.stdout.write(card.text())


@officer_app.command("passphrase")
def passphrase_command(keys: Keys) -> None:
    """更换经办人口令；中断后再次执行即可完成 Change the passphrase of an officer's key folder."""
    if not any(FileCustody(keys, "").list()):
        raise KeysError("key-not-found", str(keys))
    old = ask(OFFICER, "现口令 Present passphrase")
    new = ask(NEW, "新口令 New passphrase", twice=True)
    count = change_passphrase(keys, old, new, effort_of(Settings()))
    _console.print(f"已更换 changed: {count} 个密钥文件 {noun(count, 'key file')}")


@officer_app.command("list")
def list_command() -> None:
    """列出账本登记的经办人 The officers in the ledger."""
    with closing(opened()) as city:
        for officer in city.authorities.officers.values():
            left = "" if officer.left is None else f"  离任 left {china_time(officer.left.at)}"
            line = f"{officer.id:32}  {officer.of:32}  {officer.kid.hex()}  {officer.suite.name}"
            sys.stdout.write(f"{line}{left}\n")


def officer_signer(keys: Path, name: str) -> Signer:
    """The key of an officer, from the officer's own folder."""
    return FileCustody(keys, ask(OFFICER, f"{name} 的口令 passphrase of {name}")).open(name)


@key_app.command("make")
def make_command(
    department: Annotated[str, typer.Argument(help="部门，或 operator Department, or `operator`")],
    suite: Suite = "ed25519",
    out: Out = None,
) -> None:
    """在本机保管中生成密钥；经两名经办人登记后方可签发 Make a key here, to be enrolled by two."""
    with closing(opened()) as city:
        text = made_text(department, make_key(city, department, suite))
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")
        _console.print(f"{out}")


@key_app.command("list")
def keys_command() -> None:
    """列出账本登记的密钥及其状态 The keys in the ledger, and what became of them."""
    with closing(opened()) as city:
        now, held = city.now(), city.signers.look()
        for key in city.authorities.keys.values():
            state = key_state(key, now)
            until = "" if key.valid_until is None else f" – {china_time(key.valid_until)}"
            here = held.get(key.kid, "")
            sys.stdout.write(
                f"{key.kid.hex()}  {key.issuer.rpartition('/')[2]:20}  {key.suite.name:10}  "
                f"{STATE_ZH[state]} {state}  {china_time(key.valid_from)}{until}  {here}\n"
            )


def made_text(department: str, made: MadeKey) -> str:
    """A made key as a file: what a proposal needs, nothing secret."""
    fields = {
        "format": KEY_FORMAT,
        "department": department,
        "name": made.name,
        "suite": made.suite,
        "kid": made.kid.hex(),
        "key": b64encode(made.key),
        "pop": b64encode(made.pop),
    }
    return json.dumps(fields, indent=1) + "\n"


def read_made(path: Path) -> tuple[str, bytes, bytes]:
    """(department, COSE_Key, proof of possession) of such a file; `request-invalid`."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["format"] != KEY_FORMAT or type(fields["department"]) is not str:
            raise ValueError("another format")
        key, pop = (b64decode(fields[name], max_bytes=_MAX_KEY) for name in ("key", "pop"))
    except (ValueError, KeyError, TypeError, Refused) as error:
        raise ServiceError("request-invalid", path.name) from error
    return fields["department"], key, pop
