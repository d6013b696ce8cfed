"""What a witness refuses: its codes, their words, and the HTTP status of each."""

from collections.abc import Mapping
from typing import ClassVar

from ledger.errors import LedgerError


class WitnessError(LedgerError):
    """A witness of transparency logs (C2SP tlog-witness). Over HTTP the code heads a plain text."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "witness-request": (
            "请求不合 tlog-witness 的格式",
            "not a well-formed request of tlog-witness",
        ),
        "witness-request-too-large": (
            "请求超过允许的大小",
            "the request is larger than allowed",
        ),
        "witness-log-unknown": (
            "本见证人不见证此账本",
            "this witness does not know the log",
        ),
        "witness-log-signature": (
            "检查点没有此账本可信密钥的有效签名",
            "no valid signature of a trusted key of the log is on the checkpoint",
        ),
        "witness-old-size": (
            "旧规模大于检查点的规模",
            "the old size is above the size of the checkpoint",
        ),
        "witness-conflict": (
            "检查点不从本见证人记录的那一个继续",
            "the checkpoint does not continue from the one on record",
        ),
        "witness-inconsistent": (
            "一致性证明不成立",
            "the consistency proof does not hold",
        ),
        "witness-subtree": (
            "子树的范围不合规，或超出检查点",
            "not the range of a subtree, or beyond the checkpoint",
        ),
        "witness-subtree-proof": (
            "子树一致性证明不成立",
            "the subtree consistency proof does not hold",
        ),
        "witness-not-cosigned": (
            "参照检查点上没有本见证人的 ML-DSA-44 联署",
            "the reference checkpoint bears no ML-DSA-44 cosignature of this witness",
        ),
        "witness-never-cosigned": (
            "本见证人没有联署过此账本",
            "this witness has cosigned nothing of such a log",
        ),
        "witness-path": ("没有这个路径", "there is no such path"),
        "witness-method": ("此路径不接受这种方法", "the path does not take this method"),
        "witness-busy": (
            "状态文件正被占用，请稍后重试",
            "the state file is in use; try again later",
        ),
        "witness-failed": (
            "见证人自身出错，未联署",
            "the witness failed and has cosigned nothing",
        ),
        "witness-state-failed": ("状态文件读写出错", "reading or writing the state file failed"),
    }
    STATUS: ClassVar[Mapping[str, int]] = {
        "witness-request": 400,
        "witness-request-too-large": 400,
        "witness-old-size": 400,
        "witness-subtree": 400,
        "witness-log-signature": 403,
        "witness-not-cosigned": 403,
        "witness-log-unknown": 404,
        "witness-never-cosigned": 404,
        "witness-path": 404,
        "witness-method": 405,
        "witness-conflict": 409,
        "witness-inconsistent": 422,
        "witness-subtree-proof": 422,
        "witness-failed": 500,
        "witness-state-failed": 500,
        "witness-busy": 503,
    }


class WitnessSetupError(LedgerError):
    """What the operator of a witness is told: its folder, its keys, the logs it witnesses."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "witness-state-exists": (
            "此文件夹已有见证人",
            "the folder holds a witness already",
        ),
        "witness-state-missing": (
            "此文件夹没有见证人的状态文件；状态丢失的见证人须更换密钥，不得续用",
            "the folder holds no state of a witness; one that lost its state needs new keys",
        ),
        "witness-state-foreign": (
            "状态文件属于另一个见证人或另一种格式",
            "the state file is another witness's, or of another form",
        ),
        "witness-log-exists": (
            "此账本已在册；更换密钥请用 --replace",
            "the log is listed already; to change its keys use --replace",
        ),
        "witness-log-keys": (
            "账本公钥的名称各异或重复",
            "the keys of a log differ in name, or one is given twice",
        ),
        "witness-name": (
            "见证人名称不合规（不写 https://），或与账本同名",
            "not a name for a witness (no https:// in it), or that of a log",
        ),
    }


FAILED = 500
"""The status of what is not in `STATUS`."""
