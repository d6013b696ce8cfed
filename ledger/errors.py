"""What the book refuses, with words in both languages."""

from collections.abc import Mapping
from typing import ClassVar

from keys.errors import ZhenglianError


class LedgerError(ZhenglianError):
    """Sequencing, storage, read side and export."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        # sequencing
        "ledger-entry-size": (
            "条目必须为 1 至 65535 字节",
            "an entry must have 1 to 65535 bytes",
        ),
        "ledger-batch-too-large": (
            "一次提交的条目过多",
            "too many entries in one submission",
        ),
        "ledger-busy": (
            "账本繁忙，请稍后重试",
            "the ledger is busy; try again later",
        ),
        "ledger-nested": (
            "不能在账本写入过程中再次追加",
            "effects of one submission cannot append another",
        ),
        "ledger-closed": ("账本已关闭", "the ledger is closed"),
        "ledger-read-only": (
            "账本以只读方式打开，不能追加",
            "the ledger was opened without a signing key and cannot append",
        ),
        "ledger-entry-exists": (
            "序号或叶哈希已存在",
            "the index or leaf hash is in the ledger already",
        ),
        "ledger-head-moved": (
            "账本头已被他人推进，请重试",
            "another writer moved the head of the ledger; try again",
        ),
        "ledger-write-failed": (
            "写入失败，未留下任何内容",
            "the write failed and left nothing behind",
        ),
        "ledger-commit-unknown": (
            "提交结果未知，可用相同内容安全重试",
            "whether the commit took place is not known; retrying with the same entries is safe",
        ),
        "ledger-logged-not-published": (
            "条目已入账，但检查点尚未发布；下次追加或启动时补发",
            "the entries are logged, not published; the next append or start will publish them",
        ),
        # state found at open
        "ledger-origin-mismatch": (
            "账本属于另一个来源",
            "the ledger belongs to another origin",
        ),
        "ledger-wrong-key": (
            "已发布的检查点不是用此账本密钥签署的",
            "the published checkpoint is not signed by this ledger key",
        ),
        "ledger-restored-unseen": (
            "账本由备份恢复，须先与足够的见证人核对，才能写入",
            "restored from a backup: nothing is written before enough witnesses were compared",
        ),
        "ledger-rolled-back": (
            "账本落后于自己签署过的检查点，疑似回滚，拒绝写入；见 docs/operating.md“账本回滚”",
            "the ledger is behind what it signed, so it will not write: see docs/operating.md",
        ),
        "ledger-forked": (
            "同一大小出现两个不同的树根；见 docs/operating.md“账本回滚”",
            "two different roots exist for one tree size: see docs/operating.md",
        ),
        "ledger-inconsistent": (
            "账本数据前后不一致",
            "what the store holds does not fit together",
        ),
        # storage
        "ledger-store-url": (
            "存储地址不可用",
            "the store address is not usable",
        ),
        "ledger-store-failed": ("存储出错", "the store failed"),
        "ledger-store-lost": (
            "与存储的连接中断，未提交的内容已作废",
            "the connection to the store broke off; what was not committed is undone",
        ),
        "ledger-store-unreachable": (
            "在限定时间内未能连接存储",
            "the store could not be reached in time",
        ),
        "ledger-schema-newer": (
            "数据库由更新版本的程序建立，请升级程序",
            "the database is ahead of this program; use the newer program",
        ),
        "ledger-schema-unknown": (
            "数据库由未发布的版本建立，无法迁移；请另建新库",
            "the database is older than the first release and cannot be migrated; begin a new one",
        ),
        "ledger-not-durable": (
            "数据库的设置不保证已提交的内容不丢失，拒绝使用",
            "the database is set so that what is committed may be lost; it will not be used",
        ),
        # backup
        "backup-damaged": (
            "备份文件残缺或被改动",
            "the backup is cut short or was altered",
        ),
        "backup-of-custody": (
            "这是密钥的备份，请用 zhenglian custody restore",
            "this is a backup of keys, for `zhenglian custody restore`",
        ),
        "backup-newer": (
            "备份由更新版本的程序制作，请升级程序",
            "the backup is of a newer program; use that one",
        ),
        "backup-target-used": (
            "数据库不是空的，不在其上恢复",
            "the database is not empty; nothing is restored over it",
        ),
        "backup-schema-older": (
            "数据库的表结构落后于本程序；请先启动服务，或用原来的程序备份",
            "the tables are behind this program; start the service first, or use the older program",
        ),
        "backup-unfit": (
            "表中有备份格式无法容纳的值",
            "a table holds a value that a backup has no place for",
        ),
        # read side
        "ledger-not-found": ("账本中没有此条目", "the ledger has no such entry"),
        "ledger-out-of-range": (
            "超出已发布账本的范围",
            "outside what the ledger has published",
        ),
        "ledger-not-published": (
            "尚未发布检查点",
            "no checkpoint has been published yet",
        ),
        "ledger-path-absent": (
            "账本读取端没有此文件",
            "the read side has no such file",
        ),
        "ledger-source-unknown": (
            "无法识别的账本读取来源",
            "not a folder, archive or address a log can be read from",
        ),
        "ledger-read-failed": ("读取账本失败", "reading the log failed"),
        "ledger-read-too-large": (
            "账本文件超过允许的大小",
            "a file of the log is larger than its format allows",
        ),
        # export
        "ledger-export-foreign": (
            "目标文件夹属于另一个账本或含有其他文件",
            "the folder belongs to another log or holds other files",
        ),
        "ledger-export-busy": (
            "另一个导出正在写入此文件夹",
            "another export is writing to the folder",
        ),
        "ledger-export-failed": ("导出写入失败", "writing the export failed"),
        "ledger-export-newer": (
            "目标文件夹的检查点比账本新，拒绝覆盖",
            "the folder holds a newer checkpoint than the log; it will not be overwritten",
        ),
        # mirror
        "mirror-forked": (
            "账本签署了两段互相矛盾的历史；镜像保持原样，证据已保存",
            "the log signed two histories; the mirror stays as it was, the evidence is kept",
        ),
        "mirror-source-behind": (
            "来源的检查点比已知的旧；镜像保持原样",
            "the source shows an older checkpoint than is known; the mirror stays as it was",
        ),
        "mirror-source-wrong": (
            "来源的文件与其检查点不符；镜像保持原样",
            "a file of the source does not fit its checkpoint; the mirror stays as it was",
        ),
        "mirror-damaged": (
            "镜像自身的检查点无法用此密钥验证",
            "the mirror's own checkpoint does not verify under this key",
        ),
    }
