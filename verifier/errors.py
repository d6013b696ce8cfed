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
        "cose-malformed": ("COSE 签名结构不合规", "not a COSE_Sign1 of our form"),
        "cose-wrong-type": ("文件类型不符", "signed for another purpose"),
        "statement-malformed": ("签署文书内容不合规", "the statement breaks its grammar"),
        "statement-unknown-kind": ("未知的文书种类", "the kind of statement is not known"),
        "statement-bad-signature": ("签名不符", "the statement's signature does not match"),
        "disclosure-malformed": ("出示内容格式不符", "the disclosure breaks its grammar"),
        "disclosure-not-signed": (
            "出示内容未经签发机关签名",
            "the statement holds no digest of this disclosure",
        ),
        "disclosure-repeated": ("出示内容重复", "a field is disclosed twice"),
    }
