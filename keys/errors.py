"""The root of the one error tree, and the branch of this floor.

ZhenglianError
├── KeysError        keys      suites, names, custody
├── Refused          verifier  bytes that are not what they claim to be
├── LedgerError      ledger    sequencing, storage, audit
└── ServiceError     api       use-cases; carries an HTTP status
"""

from collections.abc import Mapping
from typing import ClassVar


class ZhenglianError(Exception):
    """A refusal with a stable code and words in Chinese and English.

    `WORDS` of each branch lists every code it may raise; an unknown code is a `KeyError`, so a
    refusal can never be raised without its words.
    """

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        self.zh, self.en = self.WORDS[code]
        super().__init__(code, detail)

    def __str__(self) -> str:
        return f"{self.code}: {self.en}" + (f" ({self.detail})" if self.detail else "")


class KeysError(ZhenglianError):
    """Signature suites, key names and custody."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "key-bad-signature": ("签名不符", "the signature does not match"),
        "key-bad-public": ("公钥无效", "the public key is not valid for its suite"),
        "key-bad-private": ("私钥无效", "the private key is not valid for its suite"),
        "key-unknown-suite": ("不支持的签名算法", "this signature suite is not known"),
        "key-suite-missing": (
            "签名算法所需的组件未安装",
            "the component that this signature suite needs is not installed",
        ),
        "key-bad-name": ("密钥名称不合规", "the key name is not allowed"),
        "key-exists": ("同名密钥已存在", "a key of this name exists already"),
        "key-not-found": ("没有这个密钥", "there is no key of this name"),
        "key-wrong-passphrase": (
            "口令错误或文件被改动",
            "wrong passphrase, or the file was altered",
        ),
        "key-empty-passphrase": ("口令不能为空", "the passphrase must not be empty"),
        "key-file-damaged": ("密钥文件残缺或格式不符", "the key file is truncated or malformed"),
        "key-file-exposed": (
            "密钥文件可被他人读取，请改为仅本人可读 (chmod 600)",
            "other users may read the key file; make it private (chmod 600)",
        ),
        "key-passphrase-changing": (
            "口令错误；且有一次更换口令尚未完成，请再次更换",
            "wrong passphrase, and a change of passphrase is unfinished; do it again",
        ),
        "key-label-twice": (
            "令牌中有两个同名密钥，请删除或改名",
            "two keys on the token carry this name; rename or remove one",
        ),
        "key-extractable": (
            "该密钥可从令牌中导出，不予使用",
            "the key could be taken out of its token; it is not used",
        ),
        "key-suite-elsewhere": (
            "此密钥保管方式不支持该签名算法",
            "this custody has no keys of this suite",
        ),
        "hsm-extra-missing": (
            "访问密码机所需的组件未安装",
            "the component that speaks to security modules is not installed",
        ),
        "hsm-module-unusable": (
            "无法加载 PKCS#11 模块",
            "the PKCS#11 module cannot be loaded",
        ),
        "hsm-token-missing": ("没有找到该令牌", "the token is not there"),
        "hsm-token-twice": ("有两个同名令牌", "two tokens carry this label"),
        "hsm-wrong-pin": (
            "PIN 错误；为免锁死令牌，未再尝试",
            "wrong PIN; it is not tried again, lest the token lock itself",
        ),
        "hsm-pin-locked": (
            "PIN 已锁定、过期或未设置",
            "the PIN is locked, expired or was never set",
        ),
        "hsm-failed": ("密码机未能完成操作", "the security module did not do what was asked"),
        "signer-unreachable": (
            "签名进程没有应答",
            "the signer process does not answer",
        ),
        "signer-malformed": (
            "与签名进程的通信格式不符",
            "a message between service and signer is malformed",
        ),
        "signer-forbids": (
            "签名进程不允许生成密钥",
            "the signer process makes no keys",
        ),
        "signer-failed": ("签名进程出错，未签名", "the signer process failed and did not sign"),
        "signer-stranger": (
            "该用户无权使用签名进程",
            "this user may not use the signer process",
        ),
        "signer-running": (
            "另一个签名进程正在使用该套接字",
            "another signer process is using this socket",
        ),
        "key-backup-damaged": ("备份文件残缺或被改动", "the backup is truncated or was altered"),
        "key-backup-of-database": (
            "这是数据库的备份，请用 zhenglian backup restore",
            "this is a backup of the database, for `zhenglian backup restore`",
        ),
        "key-backup-wrong-passphrase": (
            "备份口令错误",
            "wrong passphrase for the backup",
        ),
    }
