"""A witness policy in words and as JSON: how many must cosign, since when, by whose decision."""

from collections.abc import Sequence
from typing import Any

from verifier.pack import DecidedPolicy
from verifier.policy import Policy
from verifier.report import Page, clock


def policy_words(policy: Policy) -> tuple[str, str]:
    """(Chinese, English) of what it asks; of nested groups, how few parties can meet it."""
    least, names = policy.least(), policy.parties()
    if not least:
        return "不要求见证", "no witness is asked for"
    return (
        f"至少 {least} 家见证方联署：{'、'.join(names)}",
        f"at least {least} of the witnesses {', '.join(names)}",
    )


def policy_rows(policies: Sequence[DecidedPolicy], page: Page) -> list[tuple[str, str, Any]]:
    """One row a policy: place in the ledger, day, what it asks, who decided it, and why if it is
    an override."""
    return [
        (f"#{logged.told.index}", "", _line(DecidedPolicy(logged, by), page))
        for logged, by in policies
    ]


def _line(decided: DecidedPolicy, page: Page) -> str:
    logged = decided.logged
    parts = [
        f"{clock(logged.told.at)} (UTC+8)",
        page.say(*policy_words(logged.policy)),
        " + ".join(decided.by),
    ]
    if logged.override:
        parts.append(f"{page.say('例外', 'OVERRIDE')}: {logged.override}")
    return " · ".join(parts)


def policy_json(decided: DecidedPolicy) -> dict[str, Any]:
    """For programs; the time in Unix seconds, `least` how few witnesses can meet it."""
    logged = decided.logged
    return {
        "index": logged.told.index,
        "at": logged.told.at,
        "by": list(decided.by),
        "override": logged.override or None,
        "least": logged.policy.least(),
        "text": logged.policy.text(),
    }
