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
    }

    STATUS: ClassVar[Mapping[str, int]] = {
        "calendar-missing": 503,
        "catalogue-invalid": 500,
        "catalogue-unknown-type": 404,
        "catalogue-unknown-entry": 404,
    }

    def __init__(
        self, code: str, detail: str = "", *, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(code, detail)
        self.status = self.STATUS.get(code, DEFAULT_STATUS)
        self.extra: dict[str, Any] = dict(extra) if extra else {}
