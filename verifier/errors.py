"""Every way in which bytes are refused by the judge's floor, with words in both languages."""

from collections.abc import Mapping
from typing import ClassVar

from keys.errors import ZhenglianError


class Refused(ZhenglianError):
    """Input that is not what it claims to be. Raised by parsers and checks, never returned."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "too-large": ("内容超过允许的大小", "the input is larger than allowed"),
        "base64-malformed": ("Base64 编码不合规", "not canonical base64"),
        "base45-malformed": ("Base45 编码不合规", "not canonical base45 (RFC 9285)"),
        "decimal-malformed": ("数字写法不合规", "not a canonical decimal"),
        "cbor-malformed": ("CBOR 编码不合规", "not valid CBOR"),
        "cbor-not-deterministic": (
            "CBOR 不是唯一编码",
            "not deterministic CBOR (RFC 8949 §4.2.1)",
        ),
        "merkle-out-of-range": ("序号或规模越界", "an index or a tree size is out of range"),
        "merkle-proof-length": ("证明的长度不对", "the proof has the wrong number of hashes"),
        "merkle-hash-size": ("哈希值不是 32 字节", "a hash is not 32 bytes long"),
        "merkle-root-mismatch": ("证明与根哈希不符", "the proof does not lead to the root"),
        "tile-path-malformed": ("瓦片路径不合规", "not a canonical tile path (C2SP tlog-tiles)"),
        "tile-malformed": ("瓦片长度不对", "a tile has the wrong length"),
        "tile-bundle-malformed": ("条目包不合规", "not a well-formed entry bundle"),
        "note-malformed": ("签名文书格式不合规", "not a well-formed signed note"),
        "note-key-name": ("密钥名称不合规", "a key name is empty or has spaces or a plus"),
        "note-key-malformed": ("验证公钥不合规", "not a well-formed verifier key"),
        "note-key-type": ("不支持的签名类型", "this type of note signature is not supported"),
        "note-key-ambiguous": (
            "两个验证公钥的名称与编号相同",
            "two verifier keys share a name and a key id",
        ),
        "note-signature-malformed": ("签名行不合规", "not a well-formed signature line"),
        "note-bad-signature": ("已知密钥的签名不符", "the signature of a known key does not match"),
        "note-unsigned": ("没有可信密钥的签名", "no trusted key has signed this note"),
        "note-timestamp": ("共签时间不合规", "the cosignature's timestamp is not allowed here"),
        "checkpoint-malformed": ("检查点格式不合规", "not a well-formed checkpoint"),
        "checkpoint-origin": (
            "检查点来源与密钥名称不符",
            "the checkpoint's origin is not the name of its key",
        ),
        "checkpoint-alone": (
            "这是账本的检查点：用 zhenglian audit --since 核对；monitor、mirror 跟随账本",
            "a log's checkpoint: for zhenglian audit --since; monitor and mirror follow a log",
        ),
        "checkpoint-second-signature": (
            "检查点缺少账本的第二个签名（抗量子）",
            "the checkpoint lacks the log's second signature (post-quantum)",
        ),
        "policy-malformed": (
            "见证策略不合规",
            "not a well-formed witness policy (C2SP tlog-policy)",
        ),
        "policy-log-missing": (
            "检查点没有策略所列账本的签名",
            "no log of the policy has signed this checkpoint",
        ),
        "policy-quorum-not-met": ("见证方不足", "too few witnesses have cosigned this checkpoint"),
        "witnesses-malformed": (
            "见证策略不能登记入账",
            "this witness policy cannot stand in the ledger",
        ),
        "witnesses-override-missing": (
            "所需见证方少于现行策略，属例外，须写明理由",
            "fewer witnesses can meet this policy than the one in force: it takes a reason",
        ),
        "witnesses-override-of-nothing": (
            "尚无见证策略，无从例外",
            "there is no witness policy yet, so nothing to override",
        ),
        "witnesses-override-needless": (
            "所需见证方不少于现行策略，不是例外，请去掉理由",
            "this policy asks no fewer witnesses, so it is no override: leave out the reason",
        ),
        "proof-malformed": ("存证证明格式不合规", "not a well-formed proof (C2SP tlog-proof)"),
        "proof-not-compact": (
            "附加数据、扩展行或非账本的首个签名不能放入二维码",
            "extra data, extension lines or a first signature not the log's have no place in it",
        ),
        "cose-malformed": ("COSE 签名结构不合规", "not a COSE_Sign1 of our form"),
        "cose-wrong-type": ("文件类型不符", "signed for another purpose"),
        "statement-malformed": ("签署文书内容不合规", "the statement breaks its grammar"),
        "statement-unknown-kind": ("未知的文书种类", "the kind of statement is not known"),
        "statement-bad-signature": ("签名不符", "the statement's signature does not match"),
        "document-bad-signature": ("文件签名不符", "the document's signature does not match"),
        "disclosure-malformed": ("出示内容格式不符", "the disclosure breaks its grammar"),
        "disclosure-not-signed": (
            "出示内容未经签发机关签名",
            "the statement holds no digest of this disclosure",
        ),
        "disclosure-repeated": ("出示内容重复", "a field is disclosed twice"),
        "statement-foreign": ("属于其他城市的账本", "it belongs to another city's ledger"),
        "enrolment-before-genesis": ("账本创立之前的登记", "enrolled before the genesis"),
        "enrolment-second-genesis": ("账本只能创立一次", "a second genesis"),
        "enrolment-not-by-operator": ("登记未经账本运营者签署", "not signed by the operator"),
        "enrolment-malformed": ("登记内容不合规", "the enrolment is malformed"),
        "enrolment-repeated": ("重复登记", "the department or key is enrolled already"),
        "enrolment-unknown-department": ("部门未登记", "the department is not enrolled"),
        "enrolment-no-possession": (
            "未证明持有私钥",
            "possession of the private key is not proven",
        ),
        "key-not-enrolled": ("签发密钥未登记", "nobody enrolled this key"),
        "key-of-another": ("密钥属于另一部门", "the key belongs to another issuer"),
        "key-out-of-scope": (
            "该密钥无权签发此类文书",
            "the key may not sign this type or kind",
        ),
        "key-out-of-date": (
            "签发时密钥不在有效期内",
            "the key was not in force at the time of issue",
        ),
        "key-not-yet-enrolled": (
            "入账时该密钥尚未登记",
            "the key was enrolled only after this entry",
        ),
        "key-suspended": ("签发时密钥已暂停使用", "the key was suspended when this was signed"),
        "key-retired": ("签发时密钥已退役", "the key was retired before this was signed"),
        "key-compromised": (
            "密钥已泄露，无法证明本文书在泄露之前签发并入账",
            "the key is compromised, and nothing proves that this was signed and logged before",
        ),
        "key-change-impossible": (
            "密钥当前状态不允许此项变更",
            "the key's present state does not allow this change",
        ),
        "change-malformed": ("变更提案或批准格式不符", "the proposal or approval is malformed"),
        "change-foreign": ("变更提案属于其他账本", "the proposal is for another ledger"),
        "change-bad-signature": (
            "提案或批准的签名不符",
            "the signature of the proposal or approval does not match",
        ),
        "change-own-approval": (
            "不能批准自己的提案，须由另一名经办人批准",
            "an officer may not approve their own proposal: another has to",
        ),
        "change-altered": (
            "批准的不是这份提案：提案在批准后被改动，或批准取自别处",
            "the approval is for another proposal: this one was changed, or the approval is stale",
        ),
        "change-replayed": (
            "该提案已执行，不能重复使用",
            "this proposal has taken effect already and cannot be used again",
        ),
        "change-too-late": (
            "提案已过批准期限，或时间先后不符",
            "the proposal has lapsed, or its times are out of order",
        ),
        "change-from-future": (
            "提案或批准的时间晚于当前时间，请检查签署所用电脑的时钟",
            "proposed or approved in the future: check the clock of the machine that signed",
        ),
        "change-needs-own-officer": (
            "增加部门密钥权限须有本部门经办人参与",
            "giving a department's keys power takes an officer of that department",
        ),
        "officer-unknown": ("经办人未登记", "no officer in the ledger has this key"),
        "officer-not-in-office": ("经办人已离任", "the officer has left office"),
        "officer-not-entitled": (
            "经办人无权决定此部门的事项",
            "the officer belongs to another department",
        ),
        "officers-too-few": (
            "账本运营者须至少保留两名经办人，请先登记继任者",
            "the operator needs two officers: enrol the successor first",
        ),
        "chain-malformed": ("证书链格式不合规", "the certificate chain is malformed"),
        "chain-too-long": (
            "证书链过长，或超出上级证书允许的层数",
            "the chain is longer than we, or a certificate in it, allow",
        ),
        "chain-key-differs": (
            "证书中的公钥不是所登记的密钥",
            "the certificate is for another key than the one enrolled",
        ),
        "chain-not-issued": (
            "证书链断裂：证书不是由下一张证书签发",
            "the chain is broken: a certificate was not issued by the next",
        ),
        "chain-untrusted": (
            "证书链未通向认可的电子认证服务机构",
            "the chain leads to no recognised certification authority",
        ),
        "chain-out-of-date": ("证书不在有效期内", "a certificate of the chain is out of date"),
        "chain-critical-extension": (
            "证书含有不支持的关键扩展项",
            "a certificate has a critical extension not understood here",
        ),
        "chain-usage": (
            "证书用途不包括签署文件",
            "the certificate is not for signing documents",
        ),
        "chain-not-ca": (
            "上级证书无权签发证书",
            "an issuing certificate is not a certification authority's",
        ),
        "chain-weak": (
            "证书的密钥或签名算法强度不足",
            "a certificate's key or signature algorithm is too weak",
        ),
        "chain-suite-unsupported": (
            "不支持证书的密钥或签名算法",
            "a certificate's key or signature algorithm is not supported here",
        ),
        "department-ended": ("部门已撤销或并入其他部门", "the department was closed or merged"),
        "status-malformed": ("状态列表不合规", "the status list is malformed"),
        "suite-missing": (
            "本机未安装核验这一签名所需的组件，无法判断真伪",
            "the component that checks this signature is not installed here: nothing was decided",
        ),
        "status-wrong-signer": ("状态列表签名无效", "the status list is not signed by its issuer"),
        "qr-not-ours": ("不是证链二维码", "not a Zhenglian code"),
        "qr-doubled": ("一次读入了两个码", "two codes were read as one"),
        "qr-truncated": ("二维码内容不完整", "the code is cut short"),
        "qr-malformed": ("二维码内容不合规", "the code's content is malformed"),
        "qr-unknown-profile": ("二维码版本不支持", "the code's profile is not known"),
        "image-malformed": ("图片无法读取", "the picture cannot be read"),
        "image-no-code": ("图片中没有找到二维码", "no QR code was found in the picture"),
        "image-several-codes": (
            "图片中有多个证照二维码，请只拍一个",
            "more than one of our codes is in the picture; show one",
        ),
        "image-support-missing": (
            "未安装读图组件 (安装选项 image)",
            "reading pictures needs the extra `image`",
        ),
        "pack-not-a-pack": ("不是离线核验包", "not a trust pack"),
        "pack-is-an-update": (
            "这是核验包的增量更新：请用 zhenglian pack update PACK --from FILE",
            "this is an update to a pack: `zhenglian pack update PACK --from FILE`",
        ),
        "pack-empty": ("文件是空的", "the file is empty"),
        "pack-cut-short": (
            "核验包不完整，文件后部缺失：请重新取得",
            "the pack is cut short: its end is missing, get it again",
        ),
        "pack-malformed": ("离线核验包格式不符", "the trust pack is malformed"),
        "pack-wrong-signer": (
            "离线核验包未经账本运营者签名",
            "the trust pack is not signed by its ledger's operator",
        ),
        "pack-other-ledger": ("离线核验包属于其他账本", "the trust pack is another ledger's"),
        "pack-older": (
            "离线核验包比现有的旧，不予替换",
            "this trust pack is older than the one held",
        ),
        "pack-inconsistent": (
            "离线核验包与已信任的账本检查点不一致，请向账本运营者查询",
            "the trust pack contradicts the checkpoint already trusted: ask the ledger's operator",
        ),
        "pack-consistency-missing": (
            "缺少一致性证明：请改用增量更新，或联网更新",
            "a consistency proof is missing: take an update, or update from the service",
        ),
        "pack-update-malformed": ("核验包增量更新格式不符", "the update of the pack is malformed"),
        "pack-update-other-base": (
            "增量更新是为另一个离线核验包制作的",
            "the update was made for another trust pack than the one held",
        ),
        "pack-update-damaged": (
            "增量更新的结果与所述不符",
            "the update does not give the trust pack that it names",
        ),
        "pack-source-offline": (
            "离线核验程序不联网：请给出文件，或使用完整安装的 zhenglian pack update",
            "the offline verifier has no network: name a file, or use the full `zhenglian`",
        ),
        "pack-signed-list-wrong": (
            "已泄露密钥的签发清单与账本所载不符",
            "the list of what a compromised key signed is not the one named in the ledger",
        ),
        "signed-list-malformed": ("签发清单格式不符", "the signed list is malformed"),
        "trust-missing": (
            "请用 --trust 指定离线核验包",
            "name a trust pack with --trust",
        ),
        "split-view-malformed": (
            "账本分叉证据格式不合规",
            "not a well-formed split-view file",
        ),
        "split-view-other-key": (
            "证据所涉不是给定的账本密钥",
            "the evidence is about another log key than the one given",
        ),
        "split-view-other-tree": (
            "证明得不出较大检查点的根，不说明任何问题",
            "the proof does not give the root of the larger checkpoint, so it proves nothing",
        ),
        "split-view-same-history": (
            "两个检查点出自同一历史，并无分叉",
            "both checkpoints are of one history: there is no split view",
        ),
        "receipt-malformed": ("核验回执格式不符", "the receipt is malformed"),
        "receipt-wrong-signer": ("核验回执签名无效", "the receipt is not the operator's"),
        "receipt-expired": ("核验回执已过期", "the receipt has expired"),
        "receipt-from-future": ("核验回执时间晚于当前时间", "the receipt is from the future"),
        "cose-receipt-malformed": (
            "不是合规的入账回执（COSE，RFC 9942）",
            "not a well-formed COSE receipt (RFC 9942)",
        ),
        "cose-receipt-structure": (
            "入账回执的数据结构或证明种类不支持",
            "the receipt is of a data structure or a proof type not supported here",
        ),
        "cose-receipt-other-proof": (
            "入账回执证明的不是所问之事",
            "the receipt proves another thing than the one asked",
        ),
        "cose-receipt-other-log": (
            "入账回执属于其他账本",
            "the receipt names another log, key or tree than the one it should",
        ),
        "cose-receipt-alone": (
            "入账回执须与其文书一同核验：用 --receipt 指定回执",
            "a receipt is checked with its statement: name the receipt with --receipt",
        ),
        "cose-receipt-bad-signature": (
            "入账回执的签名不符",
            "the receipt's signature does not match",
        ),
    }
