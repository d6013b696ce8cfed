"""The judge's words, Chinese and English: names of checks, and a sentence for every code."""

from collections.abc import Mapping
from typing import Final

from verifier.errors import Refused
from verifier.states import STATES

FORM, CITY, KEY, SIGNATURE, SCOPE, CONTENT = 1, 2, 3, 4, 5, 6
VALIDITY, LEDGER, WITNESSES, STATUS, FRESHNESS = 7, 8, 9, 10, 11

CHECKS: Final[Mapping[int, tuple[str, str]]] = {
    FORM: ("格式：完整且为本系统编码", "form: complete and of our making"),
    CITY: ("城市：属于本市账本", "city: belongs to this city's ledger"),
    KEY: ("密钥：由已登记的签发机关密钥签署", "key: an enrolled key of the issuing department"),
    SIGNATURE: ("签名：内容未被改动", "signature: nothing was altered"),
    SCOPE: ("权限：该密钥可签发此类证照", "scope: the key may sign this type at that time"),
    CONTENT: ("内容：出示的信息经签名", "content: what is shown was signed"),
    VALIDITY: ("有效期：今日在有效期内", "validity: in force by its dates today"),
    LEDGER: ("入账：已记入账本", "ledger: included in the ledger"),
    WITNESSES: ("见证：账本检查点经见证", "witnesses: the checkpoint is cosigned"),
    STATUS: ("状态：未被暂扣、撤销、注销或吊销", "status: neither suspended nor ended"),
    FRESHNESS: ("时效：核验依据足够新", "freshness: the evidence is recent enough"),
}

OUTCOMES: Final[Mapping[str, tuple[str, str]]] = {
    "passed": ("通过", "passed"),
    "failed": ("未通过", "failed"),
    "not-checked": ("未核验", "not checked"),
}

_VERDICTS: Final[Mapping[str, tuple[str, str]]] = {
    "valid": ("有效：证照真实且当前有效", "Valid: genuine and in force"),
    "passed": ("核验通过", "checked and found good"),
    "key-in-force": (
        "签发时密钥在用且有权签发",
        "the key was in force and entitled when this was signed",
    ),
    "key-before-compromise": (
        "密钥后来泄露，本文书在泄露之前已签发并入账，仍然有效",
        "the key was compromised later; this was signed and logged before, and counts",
    ),
    "key-before-suspension": (
        "密钥现已暂停使用，本文书在暂停之前签发，仍然有效",
        "the key is suspended now; this was signed before, and counts",
    ),
    "key-before-retirement": (
        "密钥现已退役，本文书在退役之前签发，仍然有效",
        "the key has been retired since; this was signed before, and counts",
    ),
    "issued-in-future": ("签发时间晚于当前时间，不予采信", "Issued in the future: not accepted"),
    "not-yet-valid": ("尚未生效", "Not yet in force"),
    "expired": ("已过有效期", "Expired"),
    "not-a-licence": ("文书真实，但不是证照", "Genuine, but not a licence"),
    "status-unknown": (
        "签名真实，但无法确认当前状态，请联网核验",
        "Genuine, but its present status is unknown: check online",
    ),
    "status-stale": (
        "签名真实，但状态信息已过时，请同步后再核验",
        "Genuine, but its status is out of date: synchronise and check again",
    ),
    "trust-expired": (
        "签名真实，但离线核验包已过期，请同步后再核验",
        "Genuine, but the trust pack has expired: synchronise and check again",
    ),
    "status-from-future": (
        "状态信息的时间晚于当前时间，请检查本机时钟",
        "The status is dated in the future: check this machine's clock",
    ),
    "no-proof": (
        "码中不含入账证明，联网核验时查询",
        "the code carries no inclusion proof; it is looked up online",
    ),
    "receipt-shows-none": (
        "入账回执不含见证方联署；账本在见证之后才给出回执",
        "a COSE receipt shows no cosignatures; the ledger gives it after witnesses have cosigned",
    ),
    "not-in-ledger": ("账本中没有这份证照，不予采信", "Not in the ledger: not accepted"),
    "no-policy": (
        "入账时本市未要求见证",
        "at that size of the ledger the city asked for no witness",
    ),
    "witnesses-overridden": (
        "入账时本市以例外免除见证",
        "at that size of the ledger an override asked for no witness",
    ),
    "witnesses-pending": (
        "已入账，见证方尚未联署，请稍后核验此项",
        "in the ledger, and its witnesses have not cosigned yet: to be checked later",
    ),
    "witnesses-not-shown": (
        "二维码放不下部分见证签名，未能核对",
        "signatures of some witnesses are too long for a QR code: not checked",
    ),
    "not-reached": ("前面的核验未通过，未继续", "an earlier check failed"),
    "no-status": ("此类文书没有状态", "this kind of statement has no status"),
    "no-validity": ("此类文书没有有效期", "this kind of statement has no validity"),
    "no-disclosure": (
        "签名真实，但未出示内容，无法确认证照属于谁",
        "Genuine, but nothing was shown that says whose it is",
    ),
}
_STATUS: Final[Mapping[str, tuple[str, str]]] = {
    f"status-{state.name}": (
        f"证照已{state.zh}" if state.final else f"证照{state.zh}",
        f"Licence {state.en}",
    )
    for state in STATES.values()
}

SENTENCES: Final[Mapping[str, tuple[str, str]]] = {**Refused.WORDS, **_STATUS, **_VERDICTS}
"""Every code a verdict or a check may carry."""
