"""Custody in a hardware security module (or SoftHSM), through PKCS#11.

Keys are made inside, sensitive and not extractable; only signatures and public keys come out. A key
is a private and a public object that carry its name as CKA_LABEL and the same CKA_ID.

`pkcs11_session` says how the token is spoken to.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from keys.custody.base import KeyEntry, checked_name
from keys.custody.pkcs11_session import Session, session_of
from keys.errors import KeysError
from keys.names import kid
from keys.suites import suite_named
from keys.suites.base import Suite
from keys.suites.esp256 import low_s

with suppress(ImportError):  # without the extra: opening a session says so
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass

_PROBE = b"zhenglian: do both halves of this key belong together?"
_ID_SIZE = 8


@dataclass(frozen=True)
class _Kind:
    """How a suite is spoken of in PKCS#11."""

    key_type: str
    mechanism: str
    params: bytes  # CKA_EC_PARAMS to make a key with: the DER of the curve's OID
    also: tuple[bytes, ...]  # other spellings that tokens answer with
    prefix: bytes  # what precedes the suite's public key in the point
    before: Callable[[bytes], bytes]  # message → what the token signs
    after: Callable[[bytes], bytes]  # the token's signature → the suite's


_KINDS: Mapping[str, _Kind] = {
    "es256": _Kind(
        "EC",
        "ECDSA",
        bytes.fromhex("06082a8648ce3d030107"),
        (),
        b"\x04",
        lambda message: sha256(message).digest(),
        low_s,
    ),
    "ed25519": _Kind(
        "EC_EDWARDS",
        "EDDSA",
        bytes.fromhex("06032b6570"),
        (b"\x13\x0cedwards25519",),
        b"",
        lambda message: message,
        lambda signature: signature,
    ),
}


class Pkcs11Custody:
    """The keys of one token. `module` is the path of its PKCS#11 library, `token` its label."""

    def __init__(self, module: str, token: str, pin: str) -> None:
        self._session = session_of(module, token, pin)

    def list(self) -> Iterator[KeyEntry]:
        """Every key that this custody could use, by name; what else lies on the token is passed by.

        A label that two keys carry comes twice.
        """
        yield from sorted(self._session.run(_entries), key=lambda entry: entry.name)

    def create(self, name: str, suite: str) -> KeyEntry:
        """Makes a key inside the token; `key-suite-elsewhere` for suites it cannot hold."""
        checked_name(name)
        kind, id_ = _kind(suite_named(suite)), os.urandom(_ID_SIZE)

        def make(session: Any) -> KeyEntry:
            there = _objects(session, ObjectClass.PRIVATE_KEY, name)
            if not any(key[Attribute.ID] == id_ for key in there):  # else the session was lost late
                if there or _objects(session, ObjectClass.PUBLIC_KEY, name):
                    raise KeysError("key-exists", name)
                _generate(session, kind, name, id_)
            if (
                len(_objects(session, ObjectClass.PRIVATE_KEY, name)) > 1
            ):  # made meanwhile elsewhere
                for each in _search(session, {Attribute.LABEL: name, Attribute.ID: id_}):
                    each.destroy()
                raise KeysError("key-exists", name)
            return KeyEntry(name, suite, _public(session, kind, name, id_))

        return self._session.run(make)

    def open(self, name: str) -> "Pkcs11Signer":
        """The signer of a key; its two halves are tried against each other.

        `key-not-found`, `key-label-twice`, `key-extractable` (it could leave the token),
        `key-unknown-suite`.
        """
        return Pkcs11Signer(self._session, checked_name(name))

    def close(self) -> None:
        """Logs out. The next use logs in again."""
        self._session.close()

    def __repr__(self) -> str:
        return f"Pkcs11Custody({self._session.token!r})"


class Pkcs11Signer:
    """Signs inside the token. Safe to share between threads; they take turns."""

    def __init__(self, session: Session, name: str) -> None:
        self._session, self._name = session, name
        self._key: tuple[Any, Any] | None = None  # (session, private key) as the library has them
        suite, self._id, self._public = session.run(lambda raw: _find(raw, name))
        self._suite, self._kind = suite, _kind(suite)
        self._kid = kid(suite, self._public)
        try:
            suite.verify(self._public, _PROBE, self.sign(_PROBE))
        except KeysError as error:
            if error.code == "key-bad-signature":
                raise KeysError("hsm-failed", f"{name}: its halves do not match") from error
            raise

    @property
    def suite(self) -> Suite:
        return self._suite

    @property
    def public(self) -> bytes:
        return self._public

    @property
    def kid(self) -> bytes:
        return self._kid

    def sign(self, message: bytes) -> bytes:
        """May wait for other threads. `hsm-…` where the token does not answer."""
        data, mechanism = self._kind.before(message), getattr(Mechanism, self._kind.mechanism)

        def sign(session: Any) -> bytes:
            if self._key is None or self._key[0] is not session:
                self._key = (session, _private(session, self._name, self._id))
            return bytes(self._key[1].sign(data, mechanism=mechanism))

        return self._kind.after(self._session.run(sign))

    def __repr__(self) -> str:
        return f"Pkcs11Signer({self._suite.name}, kid={self._kid.hex()})"


# --- objects on the token ------------------------------------------------------------------------


def _entries(session: Any) -> list[KeyEntry]:
    found = []
    for public in _search(session, {Attribute.CLASS: ObjectClass.PUBLIC_KEY}):
        with suppress(KeysError):
            name = checked_name(public[Attribute.LABEL])
            suite = _suite(public)
            found.append(KeyEntry(name, suite.name, _point(public, _kind(suite), suite)))
    return found


def _find(session: Any, name: str) -> tuple[Suite, bytes, bytes]:
    """(suite, CKA_ID, public key) of the one key of this name."""
    private = _private(session, name)
    if private[Attribute.EXTRACTABLE]:
        raise KeysError("key-extractable", name)
    id_ = bytes(private[Attribute.ID])
    publics = _objects(session, ObjectClass.PUBLIC_KEY, name, id_)
    if len(publics) != 1:
        raise KeysError("key-label-twice" if publics else "key-not-found", name)
    suite = _suite(publics[0])
    return suite, id_, _point(publics[0], _kind(suite), suite)


def _private(session: Any, name: str, id_: bytes | None = None) -> Any:
    keys = _objects(session, ObjectClass.PRIVATE_KEY, name, id_)
    if len(keys) != 1:
        raise KeysError("key-label-twice" if keys else "key-not-found", name)
    return keys[0]


def _public(session: Any, kind: _Kind, name: str, id_: bytes) -> bytes:
    (public,) = _objects(session, ObjectClass.PUBLIC_KEY, name, id_)
    return _point(public, kind, _suite(public))


def _objects(session: Any, class_: Any, name: str, id_: bytes | None = None) -> list[Any]:
    wanted = {Attribute.CLASS: class_, Attribute.LABEL: name}
    return _search(session, wanted if id_ is None else {**wanted, Attribute.ID: id_})


def _search(session: Any, wanted: Mapping[Any, Any]) -> list[Any]:
    session.generate_random(8)  # fails where the session is lost; a search would be noisy about it
    return list(session.get_objects(wanted))


def _generate(session: Any, kind: _Kind, name: str, id_: bytes) -> None:
    curve = session.create_domain_parameters(
        getattr(KeyType, kind.key_type), {Attribute.EC_PARAMS: kind.params}, local=True
    )
    curve.generate_keypair(
        id=id_,
        label=name,
        store=True,
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template={
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
        },
    )


def _suite(public: Any) -> Suite:
    """The suite of a public key on the token; `key-unknown-suite`."""
    type_ = public[Attribute.KEY_TYPE]
    for name, kind in _KINDS.items():
        known = (kind.params, *kind.also)
        if type_ == getattr(KeyType, kind.key_type) and bytes(public[Attribute.EC_PARAMS]) in known:
            return suite_named(name)
    raise KeysError("key-unknown-suite", f"{type_!r}"[:40])


def _point(public: Any, kind: _Kind, suite: Suite) -> bytes:
    """CKA_EC_POINT is the point in a DER OCTET STRING; some tokens leave the frame out."""
    point = bytes(public[Attribute.EC_POINT])
    raw, size = point[-suite.public_size :], len(kind.prefix) + suite.public_size
    if point not in (kind.prefix + raw, bytes([4, size]) + kind.prefix + raw):
        raise KeysError("key-bad-public", "point on the token")
    suite.check_public(raw)
    return raw


def _kind(suite: Suite) -> _Kind:
    if suite.name not in _KINDS:
        raise KeysError("key-suite-elsewhere", f"{suite.name}; here: {', '.join(_KINDS)}")
    return _KINDS[suite.name]
