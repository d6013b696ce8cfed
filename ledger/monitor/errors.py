"""Why a log cannot be followed at all; what is found while following is `ledger.audit.findings`."""

from collections.abc import Mapping
from typing import ClassVar

from ledger.errors import LedgerError


class MonitorError(LedgerError):
    """The monitor cannot begin or cannot go on."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "monitor-busy": (
            "另一个进程正在使用此监测文件夹",
            "another process is using this folder of the monitor",
        ),
        "monitor-state-damaged": (
            "监测文件夹的内容残缺或被改动",
            "what is in the folder of the monitor is damaged or was altered",
        ),
        "monitor-other-log": (
            "此监测文件夹属于另一个账本或另一种监测方式",
            "this folder of the monitor belongs to another log, or to another way of following it",
        ),
        "monitor-no-log-key": (
            "没有账本密钥，账本首个条目也未给出",
            "no log key was given, and the first entry does not name one",
        ),
        "monitor-write-failed": (
            "写不进监测文件夹",
            "the folder of the monitor cannot be written to",
        ),
    }
