"""The witness policy as it stands in the ledger: a change by two officers of the operator sets it.

Its text is a C2SP tlog-policy in its one spelling (`Policy.text`): witnesses, groups, quorum. It
holds no log, since the log is the ledger's own, and no comment, since what is logged stays. Every
witness has an address and its own cosignature key; several keys of one address stand in a group of
their own, and count as one party. A policy governs every checkpoint of a tree
that holds it, beginning with the first one.

Whoever may not be reached must not stop a city for good: an *override* is a policy that fewer
parties can meet, with the reason, decided in the same way; a reason for asking no fewer is refused.
It stands, and is seen, until the next policy. `quorum none` asks nobody, so it is an override
always, and of nothing it cannot be one: a city without witnesses has no policy.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from verifier.authority_facts import Facts, text
from verifier.errors import Refused
from verifier.keylife import Moment
from verifier.policy import Policy, parse_policy

MAX_LOGGED: Final = 24 << 10
"""Bytes of UTF-8: a proposal with it stays well below what an entry may have."""
_ADDRESS: Final = re.compile(
    r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class LoggedPolicy:
    """A policy with the statement that set it. `override` is its reason, "" where it is none."""

    policy: Policy
    override: str
    told: Moment


def parse_logged_policy(value: Any) -> Policy:
    """The policy in a fact. Raises `witnesses-malformed`, or what `parse_policy` refuses."""
    if type(value) is not str or len(value.encode(errors="replace")) > MAX_LOGGED:
        raise Refused("witnesses-malformed", f"no text of at most {MAX_LOGGED} bytes")
    if not value.replace("\n", "").isprintable():
        raise Refused("witnesses-malformed", "characters that do not print")
    policy = parse_policy(value)
    if policy.logs:
        raise Refused("witnesses-malformed", "a log line: the log is the ledger's own")
    for name, witness in policy.witnesses.items():
        if not _ADDRESS.fullmatch(witness.url):
            raise Refused("witnesses-malformed", f"{name[:24]}: no address http(s)://…")
    if len(policy.parties()) != len({witness.address for witness in policy.witnesses.values()}):
        raise Refused("witnesses-malformed", "several keys of one address: a group of their own")
    if policy.text() != value:
        raise Refused("witnesses-malformed", "not in its one spelling")
    return policy


def read_witnesses(
    facts: Facts, policies: Sequence[LoggedPolicy], log_keys: set[bytes], at: Moment
) -> LoggedPolicy:
    """The policy that a change sets in the place of the last one, and whether as an override.

    `policies` are those set so far, in turn. `log_keys` are the log's own public keys: a log is no
    witness of itself.
    Raises `Refused`: enrolment-malformed, witnesses-…, and those of `parse_policy`.
    """
    policy = parse_logged_policy(facts.get("policy"))
    for name, witness in policy.witnesses.items():
        if witness.key.public in log_keys:
            raise Refused("witnesses-malformed", f"{name[:24]}: the log's own key")
    override = text(facts, "override") if "override" in facts else ""
    if override and not policies:
        raise Refused("witnesses-override-of-nothing")
    asked = policy.least()
    before = max(1, policies[-1].policy.least() if policies else 0)
    if not override and asked < before:
        raise Refused("witnesses-override-missing", f"{asked} < {before}")
    if override and asked >= max(before, _usual(policies)):
        raise Refused("witnesses-override-needless", f"{asked} ≥ {before}")
    return LoggedPolicy(policy, override, at)


def _usual(policies: Sequence[LoggedPolicy]) -> int:
    """How few the last policy asks that is no override: while one stands, another may follow it."""
    return next((each.policy.least() for each in reversed(policies) if not each.override), 0)
