"""Refusals of the service: one table of words, one table of HTTP statuses.

A code that is not in `STATUS` answers 422. Codes are prefixed by their subject; add a row to each
table, nothing else.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from keys.errors import ZhenglianError

DEFAULT_STATUS = 422


class ServiceError(ZhenglianError):
    """A use-case refuses. `status` is the HTTP status, `extra` goes into the problem document."""

    WORDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        # codes and dates
        "code-not-text": ("应为文本", "a text is expected"),
        "code-uscc-invalid": (
            "统一社会信用代码无效",
            "the unified social credit code is not valid",
        ),
        "code-citizen-number-invalid": (
            "公民身份号码无效",
            "the citizen number is not valid",
        ),
        "code-licence-type-invalid": ("证照类型代码无效", "the licence type code is not valid"),
        "code-licence-identifier-invalid": (
            "电子证照标识无效",
            "the licence identifier is not valid",
        ),
        "code-food-licence-invalid": (
            "食品经营许可证编号无效",
            "the food licence number is not valid",
        ),
        "code-registration-number-invalid": (
            "工商注册号无效",
            "the 15-digit registration number is not valid",
        ),
        "code-marriage-number-invalid": (
            "婚姻登记证字号无效",
            "the marriage registry number is not valid",
        ),
        "code-adcode-invalid": ("行政区划代码无效", "the administrative division code is invalid"),
        "code-vin-invalid": ("车辆识别代号无效", "the vehicle identification number is not valid"),
        "code-number-invalid": ("编号格式不符", "the number does not have the form it should"),
        "code-date-invalid": ("日期无效", "the date is not valid"),
        # working days
        "calendar-missing": (
            "缺少该年度的法定节假日安排，请加载后再计算期限",
            "the public holidays of this year are not loaded; load them before counting days",
        ),
        "calendar-invalid": ("节假日文件无效", "the holiday file is not valid"),
        # catalogue
        "catalogue-invalid": ("目录文件无效", "the catalogue file is not valid"),
        "catalogue-unknown-type": ("目录中没有这个类型", "the catalogue has no such type"),
        "catalogue-unknown-entry": ("目录中没有这个条目", "the catalogue has no such entry"),
        "ruleset-missing": ("该日期没有适用的规则版本", "no rule set is in force on this day"),
        "ruleset-grade-unknown": ("该规则版本没有这个等级", "the rule set has no such grade"),
        # fields
        "fields-invalid": ("字段有误", "some fields are not valid"),
        "field-missing": ("必填字段缺失", "a required field is missing"),
        "field-unknown": ("目录中没有这个字段", "the catalogue has no such field"),
        "field-too-long": ("字段过长", "the field is too long"),
        "field-not-text": ("应为文本", "a text is expected"),
        "field-unprintable": (
            "含有控制字符或私用区字符",
            "the text holds control or private-use characters",
        ),
        "field-not-integer": ("应为整数", "an integer is expected"),
        "field-not-number": ("应为数字", "a number is expected"),
        "field-not-boolean": ("应为是或否", "yes or no is expected"),
        "field-not-array": ("应为文本列表", "a list of texts is expected"),
        "field-not-choice": ("不在允许的取值之中", "the value is not one of those allowed"),
        "field-one-of-missing": ("至少填写其中一项", "at least one of these fields is required"),
        # callers
        "credentials-missing": ("请提供 API 密钥", "an API key is required"),
        "credentials-invalid": ("API 密钥无效", "the API key is not valid"),
        "credentials-revoked": ("API 密钥已停用", "the API key has been revoked"),
        "role-missing": ("您的角色无权办理此事", "your roles do not allow this"),
        "department-mismatch": ("只能办理本部门的事项", "this belongs to another department"),
        "client-name-invalid": ("调用方名称不合规", "the client name is not allowed"),
        "client-department-missing": (
            "此角色代表部门办理，请指明部门",
            "a caller with this role acts for a department: name it",
        ),
        "client-exists": ("调用方已存在", "a client of this name exists already"),
        "client-unknown": ("没有这个调用方", "there is no such client"),
        # the city
        "passphrase-missing": (
            "缺少口令，请设置所列的环境变量",
            "a passphrase is missing: set the environment variable named here",
        ),
        "passphrase-exposed": (
            "口令文件可被他人读取，请改为仅本人可读 (chmod 600)",
            "other users may read the passphrase file; make it private (chmod 600)",
        ),
        "custody-invalid": (
            "ZHENGLIAN_CUSTODY 应为 file、pkcs11:<模块>?token=<标签> 或 socket:<路径>",
            "ZHENGLIAN_CUSTODY is file, pkcs11:<module>?token=<label> or socket:<path>",
        ),
        "custody-nothing-to-back-up": (
            "没有可备份的密钥文件；令牌中的密钥按令牌厂商的办法备份",
            "there are no key files to back up; keys on a token are backed up by its maker's means",
        ),
        "pin-missing": (
            "缺少令牌的 PIN，请设置所列的环境变量",
            "the token's PIN is missing: set the environment variable named here",
        ),
        "user-unknown": ("本机没有这个用户或用户组", "this machine has no such user or group"),
        "passphrase-differs": ("两次输入的口令不同", "the two passphrases differ"),
        "pack-unknown": (
            "没有保存这个离线核验包，请改取完整的包",
            "this trust pack is not kept here: fetch a whole one",
        ),
        "pack-source-failed": (
            "无法从该地址取得离线核验包",
            "the trust pack could not be had from this address",
        ),
        "city-not-founded": (
            "此文件夹中没有城市：新建请运行 zhenglian found；已有的请恢复数据库，不要重新建城",
            "no city here: `zhenglian found` makes a new one; of an old one, restore the database",
        ),
        "city-key-lost": (
            "保管中缺少本市的密钥：请用 zhenglian custody restore 从备份恢复，不会另行生成",
            "a key of this city is not in custody: `zhenglian custody restore` brings it back",
        ),
        "settings-invalid": ("设置有误", "a setting is not valid"),
        "address-in-use": (
            "地址已被占用；另一个服务可能正在运行，或请用所列的设置另选端口",
            "the address is in use: by this service already, or choose another port as named here",
        ),
        "address-unusable": ("无法在此地址上提供服务", "this address cannot be listened on"),
        "file-failed": ("文件读写失败", "a file or folder could not be read or written"),
        "discovery-no-domain": (
            "did:web 需要域名：请用 ZHENGLIAN_PUBLIC_URL 指定对外地址",
            "did:web needs a domain name: set ZHENGLIAN_PUBLIC_URL to the public address",
        ),
        "signer-missing": (
            "本机没有该部门的签发密钥",
            "this server holds no key of the department",
        ),
        "city-of-another-version": (
            "此文件夹中的数据由其他版本写成，本版本不能读取",
            "the data in this folder are of another version, which this one does not read",
        ),
        "found-officers-missing": (
            "建城需要至少两名运营者经办人的登记卡，请先运行 zhenglian officer new",
            "founding takes the cards of two officers of the operator; see zhenglian officer new",
        ),
        "found-custody-used": (
            "保管中已有部门密钥，说明本市已经建过：请恢复数据库，不要重新建城",
            "keys of departments are in custody: the city was founded before; restore its database",
        ),
        # officers and changes of authority
        "officer-name-invalid": (
            "经办人代号只能用小写字母、数字和连字符，最多 32 个字符",
            "a duty name is of lower-case letters, digits and hyphens, at most 32",
        ),
        "officer-card-malformed": ("经办人登记卡格式不符", "the officer's card is malformed"),
        "officer-card-foreign": (
            "经办人登记卡属于其他账本或其他部门",
            "the officer's card is for another ledger or department",
        ),
        "change-unknown": ("没有这项变更提案", "there is no such proposal"),
        "change-not-open": (
            "该提案已撤回或已执行",
            "the proposal was withdrawn, or has taken effect",
        ),
        "change-unreadable": (
            "该提案无法用文字说明，不能交人批准",
            "this proposal cannot be put into words, so nobody is asked to approve it",
        ),
        "department-uscc-taken": (
            "另一现有部门已用此统一社会信用代码登记",
            "another department that stands is enrolled with this unified social credit code",
        ),
        "department-names-unchanged": (
            "部门已是此名称，无须更名",
            "the department bears these names already",
        ),
        "merge-key-missing": (
            "接收部门没有有效密钥，证照状态将无人签发：请先登记密钥 (change propose key)",
            "the department that takes over has no key in force: `change propose key` comes first",
        ),
        "rotation-overlap-missing": (
            "未给 --at 时旧密钥须续用一段时间，否则无法批准：--overlap 须大于 0，或给 --at",
            "without --at the old key must sign on a while: give an --overlap above 0, or --at",
        ),
        "key-not-compromised": (
            "该密钥未登记为泄露，没有受影响的文书",
            "the key is not reported as compromised: nothing is affected",
        ),
        "resign-key-missing": (
            "部门还没有可用的新密钥，请先登记新密钥再换发",
            "the department has no key in force: enrol a new one, then issue again",
        ),
        "resign-list-malformed": (
            "记录清单无法读取：每行一个记录号",
            "the list of records cannot be read: one record id a line",
        ),
        "operator-key-last": (
            "此变更会使运营者在本机没有可用密钥，今后任何变更都无法入账；请先登记新密钥",
            "the operator would have no key here to log any further change: enrol another first",
        ),
        "change-list-differs": (
            "泄露密钥的签发清单与账本不符",
            "the list of what the key signed is not what the ledger holds",
        ),
        # records
        "record-erased": ("内容已依法销毁", "the content was erased"),
        "record-damaged": ("存储内容被改动或损坏", "the stored content is altered or damaged"),
        # licences
        "licence-unknown": ("没有这份证照", "there is no such licence"),
        "licence-exists": ("证照编号已存在", "a licence of this identifier exists already"),
        "licence-holder-has-one": (
            "该持证主体已有一份同类有效证照",
            "the holder has a licence of this type already",
        ),
        "licence-renewed": ("该证照已被延续或换发", "the licence has been renewed already"),
        "licence-ended": ("该证照已终止，不能延续", "the licence has ended and cannot be renewed"),
        "licence-dates-invalid": ("有效期起止日期有误", "the dates of validity are not possible"),
        "licence-not-witnessed": (
            "见证尚未完成，请稍后再取含入账证明的码；不含证明的码可立即使用",
            "its witnesses have not cosigned yet: ask again later, or take a compact code now",
        ),
        "licence-changed-meanwhile": (
            "该证照刚被他人变更，请刷新后重试",
            "the licence was changed meanwhile; look again and retry",
        ),
        "renewal-of-another": (
            "被延续的证照类型或发证机关不同",
            "the renewed licence is of another type or issuer",
        ),
        "renewal-holder-differs": (
            "被延续的证照属于其他持证主体",
            "the renewed licence is another holder's",
        ),
        "reason-does-not-fit": ("该事由不适用于此状态", "the reason does not lead to this state"),
        "transition-forbidden": ("不允许这样变更状态", "the lifecycle forbids this change"),
        "disclosure-group-unknown": (
            "该证照没有这组出示内容",
            "the licence has no such disclosure group",
        ),
        # credit entries
        "credit-unknown": ("没有这条信用记录", "there is no such credit entry"),
        "credit-exists": ("该信用记录已存在", "this credit entry is recorded already"),
        "credit-type-out-of-scope": (
            "本部门密钥无权签发该类信用记录",
            "the department's key may not sign entries of this type",
        ),
        "credit-subject-kind": (
            "该类记录不适用于此类主体，或缺少主体代码",
            "the type is not for this kind of subject, or the subject's code is missing",
        ),
        "credit-subject-differs": ("更正不得变更主体", "a correction may not change the subject"),
        "credit-grade-missing": ("请填写失信等级", "the grade is required"),
        "credit-grade-unexpected": (
            "该类记录没有这个等级",
            "entries of this type have no such grade",
        ),
        "credit-date-invalid": (
            "决定日期或截止日期有误",
            "the dates of the entry are not possible",
        ),
        "credit-until-over-maximum": (
            "公示截止期超过规定的最长期限",
            "published for longer than the rules allow",
        ),
        "credit-person-not-published": (
            "自然人信用信息不予公示",
            "entries about natural persons are not published",
        ),
        "credit-type-not-published": ("该类记录不公示", "entries of this type are not published"),
        "credit-minor-not-published": (
            "轻微失信信息一般不公示；确需公示的请说明",
            "minor entries are not published unless expressly asked for",
        ),
        "credit-publication-over": ("公示期已满", "the time of publication is over"),
        "credit-transition-forbidden": (
            "信用记录当前状态不允许此操作",
            "the entry's lifecycle forbids this act",
        ),
        "credit-changed-meanwhile": (
            "该记录刚被他人变更，请刷新后重试",
            "the entry was changed meanwhile; look again and retry",
        ),
        "credit-reason-does-not-fit": ("该事由不适用于此操作", "the reason does not fit this act"),
        "credit-repair-too-early": (
            "未满最短公示期，尚不能修复",
            "the minimum period has not passed yet",
        ),
        "credit-duties-open": (
            "尚未履行义务或未作出信用承诺，不能修复",
            "duties are not fulfilled or the commitment is not made",
        ),
        "erasure-too-early": (
            "记录仍有效或保存期限未满，不能销毁",
            "the record is in force or must still be kept",
        ),
        "erasure-reason-does-not-fit": (
            "该事由不是销毁数据的事由",
            "this is no reason for an erasure",
        ),
        # claims and consents
        "claim-unknown": ("没有这次提问", "there is no such question"),
        "claim-asked-meanwhile": (
            "同一问题刚被提出，请重试",
            "the same question was asked at the same moment; retry",
        ),
        "claim-predicate-not-allowed": (
            "您的角色不能提这个问题",
            "your roles may not ask this question",
        ),
        "claim-predicate-not-for-type": (
            "这个问题不适用于该类证照",
            "the question may not be asked of this licence type",
        ),
        "claim-purpose-missing": ("请说明用途", "a purpose is required"),
        "claim-purpose-not-allowed": (
            "这个问题不能用于该用途",
            "the question may not be asked for this purpose",
        ),
        "claim-basis-missing": ("请说明法律依据", "a legal basis is required"),
        "claim-basis-not-allowed": (
            "您不能以此为依据提这个问题",
            "you may not ask this question on this legal basis",
        ),
        "claim-case-missing": ("请填写办件编号", "a case number is required"),
        "claim-case-invalid": ("办件编号不合规", "the case number is not allowed"),
        "claim-parameters-invalid": ("问题参数有误", "some parameters are not valid"),
        "claim-consent-missing": ("需要当事人的同意", "the subject's consent is required"),
        "claim-consent-unexpected": (
            "该依据不使用同意书",
            "a consent was given, but the legal basis is another",
        ),
        "claim-not-own": ("只能查询本人或本单位", "this basis is for one's own data only"),
        "claim-person-not-public": (
            "自然人信息不属于公开信息",
            "data about a person is no public record",
        ),
        "consent-unknown": ("没有这份同意", "there is no such consent"),
        "consent-limits": ("同意的时长或次数超出范围", "too many minutes or uses for a consent"),
        "consent-does-not-fit": (
            "该同意不适用于此人或此问题",
            "the consent is of another subject or for another question",
        ),
        "consent-purpose-differs": (
            "用途已变更，需要重新取得同意",
            "the purpose differs; a new consent is needed",
        ),
        "consent-withdrawn": ("同意已撤回", "the consent was withdrawn"),
        "consent-expired": ("同意已过期", "the consent has expired"),
        "consent-used": ("同意已用完", "the consent is used up"),
        # statements signed elsewhere
        "register-kind-refused": (
            "只有文件类文书可以在别处签署后登记",
            "only documents may be signed elsewhere and registered",
        ),
        "register-too-old": (
            "签署时间过早，请重新签署",
            "signed too long ago: sign it again",
        ),
        "register-from-future": (
            "签署时间晚于当前时间，请检查时钟",
            "signed in the future: check your clock",
        ),
        "register-record-exists": (
            "该记录编号已有文件",
            "there is a document of this record id already",
        ),
        "register-predecessor-wrong": (
            "前序文书不是该文件的最新版本",
            "the statement named as predecessor is not this document's latest version",
        ),
        "register-line-malformed": (
            "该行不是形如 {statement: base64} 的 JSON",
            "the line is not JSON of the form {statement: base64}",
        ),
        "register-too-many": (
            "一次请求的行数过多，请分批提交",
            "too many lines in one request: send several",
        ),
        # backup
        "backup-exists": (
            "已有此文件，备份不覆盖任何文件",
            "there is such a file already; a backup replaces none",
        ),
        "document-kept-already": (
            "该文件的码或回执已存在，不予覆盖",
            "there is a code or receipt of this file already; it is not replaced",
        ),
        "scitt-entry-unknown": (
            "账本中没有这份文书",
            "the ledger holds no statement of this id",
        ),
        "scitt-key-unknown": ("没有这把密钥", "no key has this id"),
        "scitt-locator-malformed": (
            "文书编号应为叶哈希的 64 位十六进制",
            "an entry's id is its leaf hash, 64 hex digits",
        ),
        # requests
        "request-invalid": ("请求内容有误", "the request is not valid"),
        "request-too-large": ("请求内容过大", "the request is too large"),
        "mirror-no-key": (
            "请给出账本公钥：--vkey、--pack，或列有账本的 --policy",
            "give the log's key: --vkey, --pack, or a --policy that names the log",
        ),
        "mirror-log-keys": (
            "账本公钥须同名，最多两个且不相同",
            "the keys of a log bear one name, and are at most two, which differ",
        ),
        "mirror-once-or-every": (
            "--once 与 --every 不能同时使用",
            "--once and --every exclude each other",
        ),
        "range-not-satisfiable": (
            "所要求的范围超出资源长度",
            "the range asked for lies outside the resource",
        ),
        "media-type-unsupported": ("不支持的内容类型", "this content type is not supported"),
        "route-unknown": ("没有这个地址", "there is nothing at this address"),
        "method-not-allowed": ("该地址不支持此方法", "the address does not allow this method"),
        "cursor-invalid": ("翻页游标无效", "the cursor is not valid"),
        "batch-too-large": ("一次提交过多", "too many items in one request"),
        "idempotency-key-invalid": ("幂等键不合规", "the idempotency key is not allowed"),
        "idempotency-key-reused": (
            "同一幂等键用于不同请求",
            "the idempotency key was used for another request",
        ),
        "internal-error": ("系统内部错误", "an internal error"),
        "service-unavailable": ("服务暂不可用", "the service is not available"),
        # imports: the file and its map
        "import-map-invalid": ("字段对照文件有误", "the map file is not valid"),
        "import-format-unknown": (
            "无法识别的文件类型，应为 .csv 或 .ndjson",
            "the file is neither .csv nor .ndjson",
        ),
        "import-encoding": (
            "文件编码与对照文件所写不符",
            "the file is not in the encoding that the map names",
        ),
        "import-file-empty": ("文件没有内容", "the file is empty"),
        "import-file-changed": ("导入期间文件被改动", "the file changed during the import"),
        "import-column-missing": ("文件缺少对照文件所列的列", "the file lacks columns of the map"),
        "import-column-repeated": ("列名重复", "a column name occurs twice"),
        "import-too-unordered": (
            "证照各期次序混乱，请先按有效期起始日排序",
            "too many terms are out of order; sort the file by first day of validity",
        ),
        "import-unknown": ("没有这个导入任务", "there is no such import"),
        "import-running": ("该导入任务正在进行", "the import is running"),
        "import-over": ("该导入任务已结束", "the import is over"),
        "import-file-missing": (
            "原文件不在本机，请重新提交",
            "the file is no longer here; send it again",
        ),
        "import-taken-over": (
            "该导入任务已由另一进程接手",
            "another process has taken over this import",
        ),
        "import-interrupted": ("服务重启，导入中断", "the server stopped during the import"),
        # imports: one row
        "import-row-malformed": ("该行无法读取", "the row cannot be read"),
        "import-row-ragged": ("列数与表头不符", "the row has not as many cells as the header"),
        "import-row-encoding": ("该行含有编码错误的字节", "the row has bytes of another encoding"),
        "import-row-too-long": ("该行过长", "the row is too long"),
        "import-row-duplicate": (
            "与已导入的证照完全相同，未重复签发",
            "the same licence again; no second copy is made",
        ),
        "import-row-conflict": (
            "同一编号、同一起始日的证照已存在，内容不同",
            "a licence of this number and first day exists with other content",
        ),
        "import-not-renewal": (
            "同一编号已有证照，而该行未标明为延续",
            "the number has a licence already and the row does not say that it renews it",
        ),
        "import-term-earlier": (
            "账本中已有该编号更晚的一期",
            "the ledger holds a later term of this number already",
        ),
        "import-holder-changed": (
            "持证主体与上一期不同，不能作为延续",
            "the holder is not that of the term before, so it is no renewal",
        ),
        "import-state-unknown": (
            "状态取值不在对照文件之中",
            "the map does not say what this state means",
        ),
        "import-state-differs": (
            "账本中该证照的状态与该行不同，以账本为准",
            "the ledger has another state for this licence, and stands",
        ),
        "import-old-number": (
            "15 位工商注册号已停用，应先换发统一社会信用代码",
            "a 15-digit registration number; it was replaced by the unified social credit code",
        ),
        # pages
        "page-nothing-given": (
            "请选择图片或粘贴码文",
            "choose a picture or paste the code's text",
        ),
        "page-form-malformed": ("表单不合规", "the form cannot be read"),
        "page-sample-unknown": ("没有这个示例", "there is no such sample"),
        "qr-over-capacity": (
            "内容过长，放不进一个二维码",
            "the text is too long for one QR code",
        ),
    }

    STATUS: ClassVar[Mapping[str, int]] = {
        "discovery-no-domain": 404,
        "page-sample-unknown": 404,
        "calendar-missing": 503,
        "catalogue-invalid": 500,
        "catalogue-unknown-type": 404,
        "catalogue-unknown-entry": 404,
        "credentials-missing": 401,
        "credentials-invalid": 401,
        "credentials-revoked": 401,
        "role-missing": 403,
        "department-mismatch": 403,
        "client-exists": 409,
        "client-unknown": 404,
        "city-not-founded": 503,
        "city-key-lost": 503,
        "city-of-another-version": 503,
        "passphrase-missing": 500,
        "custody-invalid": 500,
        "pin-missing": 500,
        "passphrase-exposed": 500,
        "signer-missing": 503,
        "pack-unknown": 404,
        "change-unknown": 404,
        "change-not-open": 409,
        "department-uscc-taken": 409,
        "department-names-unchanged": 409,
        "merge-key-missing": 409,
        "operator-key-last": 409,
        "key-not-compromised": 409,
        "resign-key-missing": 409,
        "change-list-differs": 409,
        "record-erased": 410,
        "record-damaged": 500,
        "licence-unknown": 404,
        "licence-exists": 409,
        "licence-holder-has-one": 409,
        "licence-renewed": 409,
        "licence-ended": 409,
        "licence-not-witnessed": 409,
        "licence-changed-meanwhile": 409,
        "transition-forbidden": 409,
        "credit-unknown": 404,
        "credit-exists": 409,
        "credit-type-out-of-scope": 403,
        "credit-person-not-published": 403,
        "credit-type-not-published": 403,
        "credit-minor-not-published": 409,
        "credit-publication-over": 409,
        "credit-transition-forbidden": 409,
        "credit-changed-meanwhile": 409,
        "credit-repair-too-early": 409,
        "credit-duties-open": 409,
        "erasure-too-early": 409,
        "import-unknown": 404,
        "import-running": 409,
        "import-over": 409,
        "import-file-missing": 409,
        "import-taken-over": 409,
        "claim-unknown": 404,
        "claim-asked-meanwhile": 409,
        "claim-predicate-not-allowed": 403,
        "claim-purpose-not-allowed": 403,
        "claim-basis-not-allowed": 403,
        "claim-consent-missing": 403,
        "claim-not-own": 403,
        "claim-person-not-public": 403,
        "consent-unknown": 404,
        "consent-does-not-fit": 403,
        "consent-purpose-differs": 403,
        "consent-withdrawn": 403,
        "consent-expired": 403,
        "consent-used": 409,
        "register-record-exists": 409,
        "register-predecessor-wrong": 409,
        "register-too-many": 413,
        "scitt-entry-unknown": 404,
        "scitt-key-unknown": 404,
        "request-too-large": 413,
        "media-type-unsupported": 415,
        "range-not-satisfiable": 416,
        "route-unknown": 404,
        "method-not-allowed": 405,
        "batch-too-large": 413,
        "internal-error": 500,
        "service-unavailable": 503,
    }

    def __init__(
        self, code: str, detail: str = "", *, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(code, detail)
        self.status = self.STATUS.get(code, DEFAULT_STATUS)
        self.extra: dict[str, Any] = dict(extra) if extra else {}
