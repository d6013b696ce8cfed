"""What following a log can show besides what an audit can: `FINDINGS` of both, in words."""

from collections.abc import Mapping
from typing import Any, Final

from ledger.audit.findings import FINDINGS as AUDIT
from ledger.audit.findings import Finding, Severity, Words

_B, _R, _U = Severity.BROKEN, Severity.RULE, Severity.UNCHECKED

OWN: Final[Mapping[str, Words]] = {
    "monitor-split-view": Words(
        _B,
        "账本签署了两套历史，证据已存盘，可用 zhenglian verify 核验",
        "the log signed two histories; the evidence is kept, and zhenglian verify confirms it",
    ),
    "monitor-fork-unproved": Words(
        _B,
        "账本签署的检查点与已知历史接不上，又不出示其树",
        "a checkpoint of the log does not continue what it showed, and it shows no tree for it",
    ),
    "monitor-served-otherwise": Words(
        _B,
        "账本现在给出的旧文件与当初不同",
        "the log serves a file of old otherwise than it did",
    ),
    "monitor-log-behind": Words(
        _R,
        "账本连续多轮只出示比以前旧的检查点",
        "for several rounds the log has shown an older checkpoint than before",
    ),
    "monitor-not-shown": Words(
        _R,
        "账本早已签署更大的检查点，却迟迟不出示",
        "the log signed a larger checkpoint long ago and still does not show it",
    ),
    "monitor-view-refused": Words(
        _R,
        "某处以此账本之名出示的内容未经账本签名或格式不符",
        "what is shown somewhere in the log's name is not signed by it, or is malformed",
    ),
    "monitor-view-unread": Words(
        _U, "某处读不到，本轮未比较", "not compared: a place could not be read in this round"
    ),
    "monitor-view-behind": Words(
        _U, "某处的检查点比以前旧", "an older checkpoint than the same place showed before"
    ),
    "monitor-view-ahead": Words(
        _U,
        "某处的检查点比账本出示的大，待账本出示后再比",
        "a larger checkpoint than the log shows; compared as soon as the log shows its tree",
    ),
}

FINDINGS: Final[Mapping[str, Words]] = {**AUDIT, **OWN}


OVERRIDDEN: Final = "audit-witnesses-overridden"
"""Told once of each change; while the override is in force it is among what stands."""


def is_alarm(finding: Finding) -> bool:
    """Something broken or against a rule; what could not be checked is not."""
    return FINDINGS[finding.code].severity is not Severity.UNCHECKED


def finding_json(finding: Finding) -> dict[str, Any]:
    """As an audit's findings in JSON."""
    words = FINDINGS[finding.code]
    return {
        "code": finding.code,
        "severity": words.severity.value,
        "index": finding.index,
        "record": finding.record,
        "issuer": finding.issuer,
        "path": finding.path,
        "zh": words.zh,
        "en": words.en,
        "detail": finding.detail,
    }
