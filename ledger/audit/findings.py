"""What an audit can find, in words, and the bounded list that collects it.

`FINDINGS` is the whole vocabulary: a code that is not in it cannot be reported.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Severity(StrEnum):
    """`broken`: what is shown is not what was signed. `rule`: signed, and against a rule.

    `unchecked`: something the audit could not or did not look at; it never makes a log unclean.
    """

    BROKEN = "broken"
    RULE = "rule"
    UNCHECKED = "unchecked"


class Words(NamedTuple):
    severity: Severity
    zh: str
    en: str


_B, _R, _U = Severity.BROKEN, Severity.RULE, Severity.UNCHECKED

FINDINGS: Final[Mapping[str, Words]] = {
    # the checkpoint
    "audit-checkpoint-refused": Words(
        _B,
        "检查点未经账本密钥签名或格式不符",
        "the checkpoint is not signed by the log's key, or is malformed",
    ),
    "audit-checkpoint-older": Words(
        _B, "检查点比已知的旧：账本被回退", "the checkpoint is older than the one already known"
    ),
    "audit-fork": Words(
        _B,
        "与已知检查点不一致：历史被改写",
        "the log is not an extension of the checkpoint already known: history was rewritten",
    ),
    "audit-witnesses-missing": Words(
        _B,
        "检查点的见证不符合策略",
        "the checkpoint's cosignatures do not meet the witness policy",
    ),
    "audit-other-log-key": Words(
        _B,
        "创立文书写明的是另一把账本密钥",
        "the genesis names another log key than the one trusted",
    ),
    # the tree
    "audit-file-missing": Words(_B, "缺少文件", "a file of the log is missing"),
    "audit-bundle-truncated": Words(
        _B, "条目包残缺或多出内容", "an entry bundle is cut short or holds more than it should"
    ),
    "audit-tile-malformed": Words(_B, "瓦片长度不对", "a tile has the wrong length"),
    "audit-tile-differs": Words(
        _B, "瓦片与条目不符", "a tile is not what the entries below it give"
    ),
    "audit-leaf-differs": Words(
        _B, "条目被改动", "an entry is not the one the tree was built over"
    ),
    "audit-leaves-swapped": Words(_B, "两个条目被对调", "two entries have changed places"),
    "audit-leaf-dropped": Words(
        _B,
        "缺失一个条目，其后条目前移一位",
        "an entry is gone: all entries from this index on stand one place too early",
    ),
    "audit-leaf-inserted": Words(
        _B,
        "插入了一个条目，其后条目后移一位",
        "an entry was slipped in: all entries from this index on stand one place too late",
    ),
    "audit-root-differs": Words(
        _B,
        "重建的根与已签名的检查点不符",
        "the rebuilt root is not the one the checkpoint signs",
    ),
    "audit-root-unknown": Words(
        _B, "文件缺失，无法重建根", "files are missing, so the root cannot be rebuilt"
    ),
    # each entry
    "audit-not-a-statement": Words(_B, "条目不是签署文书", "an entry is not a statement"),
    "audit-no-genesis": Words(
        _B, "首个条目不是账本创立文书", "the first entry is not the genesis of a ledger"
    ),
    "audit-change-refused": Words(
        _B,
        "部门、密钥、经办人或认证机构的登记或变更无效",
        "a statement about departments, keys, officers or CAs does not hold",
    ),
    "audit-bad-signature": Words(_B, "签名不符", "the signature of a statement does not match"),
    "audit-key-unknown": Words(
        _B, "签名密钥此前未登记", "signed by a key that was not enrolled before this entry"
    ),
    "audit-key-of-another": Words(
        _R, "密钥属于另一部门", "signed by a key that belongs to another issuer"
    ),
    "audit-key-out-of-scope": Words(
        _R, "密钥无权签发此类文书", "the key may not sign this kind or type"
    ),
    "audit-key-out-of-date": Words(
        _R, "签发时密钥不在有效期内", "the key was not in force at the time of signing"
    ),
    "audit-key-suspended": Words(
        _R, "签名密钥当时已被暂停", "signed by a key while it was suspended"
    ),
    "audit-key-retired": Words(_R, "签名密钥已退役", "signed by a key after it was retired"),
    "audit-key-compromised": Words(
        _R,
        "密钥已声明泄露，其后仍有签署入账",
        "signed by a key after it was reported compromised: a dead key was let in",
    ),
    "audit-signed-while-compromised": Words(
        _R,
        "记录出自泄露后的密钥，至今未终结也未重签",
        "a record rests on what a compromised key signed, and was neither ended nor signed again",
    ),
    "audit-pack-forgetful": Words(
        _R,
        "离线核验包缺少账本所载的授权文书",
        "the trust pack leaves out a statement of authority that the ledger holds",
    ),
    "audit-signed-list-wrong": Words(
        _R,
        "泄露声明所列的泄露前清单与账本不符",
        "the report of a compromise lists other entries than the key had signed before",
    ),
    # times
    "audit-issued-in-future": Words(
        _R, "签发时间晚于审计时间", "issued later than the time of the audit"
    ),
    "audit-time-backwards": Words(
        _R, "签发时间早于前一文书", "issued earlier than the act it follows"
    ),
    # the life of a record
    "audit-record-repeated": Words(
        _R, "同一记录编号重复创立", "a record of this id exists already"
    ),
    "audit-record-unknown": Words(
        _R, "没有此记录的创立文书", "an act on a record that no entry began"
    ),
    "audit-predecessor-wrong": Words(
        _R,
        "前序文书不是该记录的最近一份",
        "the act named as predecessor is not the record's last one",
    ),
    "audit-family-differs": Words(
        _R,
        "对证照作信用文书，或对信用记录作证照文书",
        "a licence act on a credit entry, or a credit act on a licence",
    ),
    "audit-type-differs": Words(
        _R, "类型与原记录不同", "the type is not the one the record began with"
    ),
    "audit-issuer-differs": Words(
        _R, "由原签发部门以外的部门签署", "signed by another department than the record's own"
    ),
    "audit-after-erasure": Words(
        _R, "数据已销毁的记录又有新文书", "an act on a record whose data were destroyed"
    ),
    "audit-licence-step": Words(
        _R, "法律状态不允许这样变更", "the lifecycle of a licence forbids this change of state"
    ),
    "audit-renewal-unknown": Words(
        _R,
        "延续所指的不是任何证照的最近文书",
        "a renewal names what is not the last act of any licence",
    ),
    "audit-renewal-differs": Words(
        _R,
        "延续的签发部门或类型与原证不同",
        "a renewal by another issuer or of another type than the licence renewed",
    ),
    "audit-renewal-of-ended": Words(
        _R, "延续已终结的证照", "a renewal of a licence that has finally ended"
    ),
    "audit-renewed-twice": Words(_R, "同一证照被延续两次", "a licence is renewed a second time"),
    "audit-status-index-reused": Words(
        _R, "状态列表序号重复使用", "a place in the status list is given out a second time"
    ),
    "audit-credit-step": Words(
        _R, "信用记录的流程不允许此步", "the lifecycle of a credit entry forbids this act"
    ),
    "audit-publication-late": Words(
        _R,
        "公示超过七个工作日",
        "published later than seven working days after the decision",
    ),
    "audit-publication-missing": Words(
        _R, "逾期未公示", "not published although seven working days have passed"
    ),
    "audit-person-published": Words(
        _R, "公示了自然人的信用记录", "a credit entry about a natural person was published"
    ),
    # what was not looked at
    "audit-trusted-on-first-use": Words(
        _U,
        "账本密钥取自账本自身，未经独立确认",
        "the log's key was taken from the log itself: trusted on first use",
    ),
    "audit-calendar-missing": Words(
        _U,
        "缺少节假日安排，公示期限未核查",
        "not checked: the calendar of working days is missing",
    ),
    "audit-witnesses-unchecked": Words(
        _U,
        "账本未设见证策略，见证未核查",
        "not checked: the ledger has no witness policy, and none was given",
    ),
    "audit-witnesses-overridden": Words(
        _U,
        "见证策略曾以例外放宽，由两名经办人决定",
        "two officers overrode the witness policy, with a reason: fewer cosignatures were asked",
    ),
    "audit-statements-unchecked": Words(
        _U, "只核查了树，条目内容未核查", "not checked: entries were not read as statements"
    ),
    "audit-previous-unchecked": Words(
        _U, "没有旧检查点可比，未核查是否改写", "not checked: no older checkpoint was given"
    ),
}

MAX_PER_CODE: Final = 1_000
"""Findings of one code that are kept in full; beyond that they are counted only."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `index` is a ledger index, `record` a record id, `path` a file of the log,
    `issuer` the department that signed; `detail` says more in neutral terms."""

    code: str
    index: int | None = None
    record: str | None = None
    issuer: str | None = None
    path: str | None = None
    detail: str = ""

    @property
    def severity(self) -> Severity:
        return FINDINGS[self.code].severity

    def to_json(self) -> dict[str, object]:
        words = FINDINGS[self.code]
        return {
            "code": self.code,
            "severity": words.severity.value,
            "index": self.index,
            "record": self.record,
            "issuer": self.issuer,
            "path": self.path,
            "zh": words.zh,
            "en": words.en,
            "detail": self.detail,
        }


class Findings:
    """Collects findings in the order found; memory is bounded by `MAX_PER_CODE` per code."""

    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.totals: Counter[str] = Counter()
        self.by_issuer: Counter[tuple[str, str]] = Counter()

    def add(
        self,
        code: str,
        index: int | None = None,
        *,
        record: str | None = None,
        issuer: str | None = None,
        path: str | None = None,
        detail: str = "",
    ) -> None:
        """Raises `KeyError` for a code without words."""
        finding = Finding(code, index, record, issuer, path, detail)
        clean = finding.severity is Severity.UNCHECKED
        self.totals[code] += 1
        if issuer is not None and not clean:
            self.by_issuer[code, issuer] += 1
        if self.totals[code] <= MAX_PER_CODE:
            self.listed.append(finding)

    def take(self) -> list[Finding]:
        """What is listed; from here on it collects afresh."""
        taken = self.listed
        self.listed, self.totals, self.by_issuer = [], Counter(), Counter()
        return taken

    @property
    def ok(self) -> bool:
        """Nothing broken, no rule broken."""
        return all(FINDINGS[code].severity is Severity.UNCHECKED for code in self.totals)
