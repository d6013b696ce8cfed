"""Why an audit cannot be made at all; what it finds is `ledger.audit.findings`."""

from collections.abc import Mapping
from typing import ClassVar

from ledger.errors import LedgerError


class AuditError(LedgerError):
    """The audit cannot begin or cannot go on."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "audit-no-checkpoint": ("读不到检查点", "there is no checkpoint to read"),
        "audit-no-log-key": (
            "没有账本密钥，账本首个条目也未给出",
            "no log key was given, and the first entry does not name one",
        ),
        "audit-log-key-malformed": ("账本密钥格式不符", "the log key is not a verifier key"),
        "audit-previous-refused": (
            "旧检查点未经此账本签名或格式不符",
            "the older checkpoint is not signed by this log, or is malformed",
        ),
        "audit-source-failed": ("读取账本失败，审计中止", "reading the log failed; audit ended"),
        "audit-log-absent": (
            "检查点所述的条目大多缺失，审计中止",
            "most of what the checkpoint promises is not there; audit ended",
        ),
        "audit-suite-missing": (
            "缺少某签名套件的本机代码，无法核对其签名",
            "signatures of a suite that is not installed here cannot be checked",
        ),
        "audit-worker-lost": ("审计进程意外终止", "a process of the audit ended unexpectedly"),
    }
