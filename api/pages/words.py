"""What the check page adds to the judge's words: the colour as a word, and what to do next."""

from collections.abc import Mapping
from typing import Final

from verifier.evidence import NOT_HERE
from verifier.verdict import Colour, Outcome, Verdict
from verifier.words import CITY, FORM, STATUS, VALIDITY

COLOURS: Final[Mapping[Colour, tuple[str, str]]] = {
    Colour.GREEN: ("通过", "Passed"),
    Colour.AMBER: ("待核实", "Check further"),
    Colour.RED: ("不通过", "Not accepted"),
}
ICONS: Final[Mapping[Colour, str]] = {
    Colour.GREEN: "tick",
    Colour.AMBER: "warn",
    Colour.RED: "cross",
}
COLOUR_MARKS: Final[Mapping[Colour, str]] = {
    Colour.GREEN: "✓",
    Colour.AMBER: "!",
    Colour.RED: "✗",
}
MARKS: Final[Mapping[Outcome, str]] = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.UNCHECKED: "–",
}

ROLES: Final[Mapping[str, str]] = {
    "clerk": "经办 clerk",
    "seal-keeper": "用印 seal-keeper",
    "verifier": "核验 verifier",
    "private-verifier": "社会核验方 private verifier",
    "subject": "当事人 subject",
    "credit-centre": "信用中心 credit centre",
    "auditor": "审计 auditor",
    "registrar": "文件登记 registrar",
    "operator": "账本运营 operator",
}


def roles_text(roles: str) -> str:
    """`clerk · verifier` with each role's Chinese name; what is no known role stays as it is."""
    return " · ".join(ROLES.get(one.strip(), one.strip()) for one in roles.split("·"))


_GREEN: Final = (
    "请核对持证人、场所与下列内容是否一致。",
    "Compare the holder and the premises with what is shown below.",
)
_AMBER: Final = (
    "真实性已确认，但不足以证明现在有效：请联网核验或联系签发机关后再办理。",
    "It is genuine, but that does not show it is in force: check online or ask the issuer first.",
)
_ANONYMOUS: Final = (
    "码中没有可供核对的内容：请持证人出示载有名称或姓名的二维码。",
    "Nothing in it can be compared: ask the holder for a code that shows a name.",
)
_UNDECIDED: Final = (
    "本机不能核验此签名，真伪未定：请联网或在其他窗口核验后再办理。",
    "This machine cannot check its signature, so nothing is decided: check online or elsewhere.",
)
_FORGED: Final = (
    "请勿据此办理。请持证人向签发机关重新获取二维码；疑似伪造的，按规定报告。",
    "Do not rely on it. Ask the holder for a fresh code; report a suspected forgery.",
)
_AFTER_FAILURE: Final[Mapping[int, tuple[str, str]]] = {
    FORM: (
        "请确认所扫为证链二维码且完整清晰，再试一次。",
        "Make sure it is a Zhenglian code, whole and sharp, and try again.",
    ),
    CITY: (
        "本页只核验本市证照，请到签发城市的核验页面查询。",
        "This page checks this city's licences; use the page of the city that issued it.",
    ),
    VALIDITY: (
        "请勿据此办理，请持证人向签发机关办理延续或更正。",
        "Do not rely on it. The holder should ask the issuer for a renewal or a correction.",
    ),
    STATUS: (
        "请勿据此办理，也不要扣留证照；如有疑问请联系签发机关。",
        "Do not rely on it and do not seize it; if in doubt, call the issuer.",
    ),
}


_AMBER_BY_CODE: Final = {
    "no-disclosure": _ANONYMOUS,
    **dict.fromkeys(NOT_HERE, _UNDECIDED),
}


def advice(verdict: Verdict) -> tuple[str, str]:
    """What the person at the counter does now, in Chinese and English."""
    if verdict.colour is Colour.GREEN:
        return _GREEN
    if verdict.colour is Colour.AMBER:
        return _AMBER_BY_CODE.get(verdict.code, _AMBER)
    failed = [check.number for check in verdict.checks if check.outcome is Outcome.FAILED]
    return _AFTER_FAILURE.get(failed[-1], _FORGED) if failed else _FORGED


_UNITS: Final = ((86_400, "天", "d"), (3600, "小时", "h"), (60, "分钟", "min"))


def age(seconds: int) -> tuple[str, str]:
    """How long ago, in the two largest units; under a minute, or ahead of us, is just now."""
    parts = []
    for size, zh, en in _UNITS:
        count, seconds = divmod(max(0, seconds), size)
        if count:
            parts.append((f"{count} {zh}", f"{count} {en}"))
    if not parts:
        return "刚刚", "just now"
    return " ".join(zh for zh, _ in parts[:2]) + "前", " ".join(en for _, en in parts[:2]) + " ago"
