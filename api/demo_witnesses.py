"""The demo city's witnesses: three of its departments, of whom two must cosign a checkpoint.

They are what `zhenglian witness` makes and serves: keys, state and HTTP are the real ones, and the
ledger asks them as it asks any witness. One thing is for show alone: here they run inside the
service that they watch, below its own address. A witness proves something only where somebody else
runs it; in a real city each is on its department's own machine.

    <data>/witnesses/<slug>            a witness's folder, which `zhenglian witness --folder` takes
    http://…/demo/witness/<slug>/…     where it answers while the demo is served

The policy is a change by the demo's two officers, logged before serving begins. Its addresses hold
the port: on another port they are logged anew. What officers decide beyond that is left alone.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from api import change_facts
from api.changes import ChangeDesk
from api.city import City
from api.demo import DEMO_EFFORT, OFFICERS, DemoOfficers
from api.pages.start import Witnesses
from api.passphrase import make_passphrase, read_passphrase
from api.settings import Settings
from api.witness_app import witness_app
from api.witness_folder import STATE, make_signers, member, open_signers
from keys.custody import FileCustody
from keys.errors import ZhenglianError
from ledger.stores.witness import create_state, open_state
from ledger.witness import WitnessedLog
from verifier.kinds import WITNESSES
from verifier.note import NoteSigner, VerifierKey
from verifier.policy import Policy, parse_policy

SLUGS: Final = ("market", "police", "land")
NEEDED: Final = 2
PATH: Final = "/demo/witness/"
_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not listened on
_log = logging.getLogger("zhenglian.demo")


def set_witnesses(city: City, progress: Callable[[str], None]) -> None:
    """Makes the witnesses that are missing, and logs the policy that names all three where it
    stands nowhere yet, or with other addresses or keys; continues if cut off.

    Nothing becomes final while a policy is in force and nobody serves. `progress` is told each step
    in a few words. Raises what logging a change raises: a ledger that was restored waits for its
    witnesses first.
    """
    for slug in SLUGS:
        if not _folder(city.settings, slug).exists():
            department = city.catalogue.departments[slug]
            progress(f"建立见证人 making a witness {department.zh} {department.en}")
            _make(city, slug)
    text = change_facts.witnesses(_policy_text(city.settings))["policy"]
    standing = city.authorities.policy
    if standing is not None and not _is_ours(standing, parse_policy(text)):
        return
    if standing is None or standing.text() != text:
        if standing is None:
            progress(f"登记见证策略 logging the witness policy, {NEEDED} of {len(SLUGS)}")
        else:  # the old addresses are asked once more, before the first write
            progress(
                "见证人已换地址，旧址不再应答，登记新策略 "
                "witnesses have moved, nobody answers where they were: logging the policy anew"
            )
        officers = DemoOfficers(city.settings)
        first, second = (officers.signer(name) for name in OFFICERS)
        facts = change_facts.witnesses(text)
        ChangeDesk(city).decide(WITNESSES, facts, proposer=first, approver=second)


@contextmanager
def serving_witnesses(app: Starlette, city: City) -> Iterator[None]:
    """The demo's witnesses answer below `PATH` of this app meanwhile; of any other city nothing
    does. One that cannot be opened does not answer, which is logged."""
    with ExitStack() as stack:
        for slug in SLUGS if city.settings.demo else ():
            folder = _folder(city.settings, slug)
            if folder.exists():
                try:
                    witness = stack.enter_context(_opened(city, slug))
                except (ZhenglianError, OSError) as error:
                    _log.error("见证人未打开 witness not opened: %s: %s", folder, error)
                    continue
                mount = Mount(PATH + slug, _Apart(witness, PATH + slug))
                app.router.routes.append(mount)
                stack.callback(app.router.routes.remove, mount)
        yield


def shown(city: City) -> Witnesses | None:
    """The witnesses of the policy in force, where they are the demo's."""
    policy = city.authorities.policy if city.settings.demo else None
    if policy is None or not policy.least():
        return None
    paths = dict.fromkeys(urlsplit(each.url).path for each in policy.witnesses.values())
    departments = city.catalogue.departments
    slugs = [path.removeprefix(PATH) for path in paths if path.startswith(PATH)]
    if len(slugs) < len(paths) or not set(slugs) <= departments.keys():
        return None
    return Witnesses([(departments[s].zh, departments[s].en) for s in slugs], policy.least())


def _folder(settings: Settings, slug: str) -> Path:
    return settings.data / "witnesses" / slug


def _name(slug: str) -> str:
    """Of a witness, as its keys carry it; of a domain that is nobody's (RFC 2606)."""
    return f"{slug}.demo-city.example"


def _make(city: City, slug: str) -> None:
    """Whole or not at all: a folder that was cut short has cosigned nothing, and is begun anew."""
    folder = _folder(city.settings, slug)
    draft = folder.with_name(f".{slug}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    custody = FileCustody(draft / "custody", make_passphrase(_own(draft)), DEMO_EFFORT)
    keys = [one.key for one in make_signers(custody, _name(slug))]
    log_keys = city.ledger.keys
    with closing(create_state(draft / STATE, keys)) as state:
        state.add_log(WitnessedLog(city.origin, log_keys, at_least=len(log_keys)))
    draft.rename(folder)


def _own(folder: Path) -> Settings:
    """A witness's passphrase is in its folder: nothing of it is the city's."""
    return Settings.model_construct(data=folder, passphrase="")


def _signers(folder: Path, slug: str) -> list[NoteSigner]:
    custody = FileCustody(folder / "custody", read_passphrase(_own(folder)), DEMO_EFFORT)
    return open_signers(custody, _name(slug))


def _policy_text(settings: Settings) -> str:
    """A witness counts with either key: a QR code has room for its Ed25519 cosignature alone."""
    lines, groups = [], []
    for slug in SLUGS:
        keys = _own_keys(settings, slug)
        url = f"{address(settings)}{PATH}{slug}"
        lines += [f"witness {member(key)} {key.text()} {url}" for key in keys]
        groups.append(f"group {_name(slug)} any {' '.join(map(member, keys))}")
    parties = " ".join(map(_name, SLUGS))
    last = [f"group departments {NEEDED} {parties}", "quorum departments", ""]
    return "\n".join([*lines, *groups, *last])


def _own_keys(settings: Settings, slug: str) -> Sequence[VerifierKey]:
    with closing(open_state(_folder(settings, slug) / STATE)) as state:
        return state.own_keys()


def address(settings: Settings) -> str:
    """Where this process reaches itself, whatever public address it has."""
    host = _LOOPBACK.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _is_ours(standing: Policy, ours: Policy) -> bool:
    """Whether only hosts, ports and keys differ; else the officers have decided something else."""
    return _shape(standing) == _shape(ours)


def _shape(policy: Policy) -> tuple[object, ...]:
    places = {name: urlsplit(each.url).path for name, each in policy.witnesses.items()}
    return places, dict(policy.groups), policy.quorum


@contextmanager
def _opened(city: City, slug: str) -> Iterator[Starlette]:
    folder = _folder(city.settings, slug)
    signers = _signers(folder, slug)
    with closing(open_state(folder / STATE, [one.key for one in signers])) as state:
        yield witness_app(state, signers, city.clock)


@dataclass(frozen=True)
class _Apart:
    """An application below the service's, with a scope of its own: what is around it goes on seeing
    the service. `path` is its name in the service's log and counts."""

    app: ASGIApp
    path: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        await self.app(dict(scope), receive, send)
