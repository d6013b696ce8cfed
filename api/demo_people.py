"""Fictional companies and people for the demo city, always the same ones.

The administrative code 339900 does not exist, so no number made here can be a real one.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from stdnum.cn import ric, uscc
from stdnum.iso7064 import mod_11_10

ADCODE = "339900"
_SEED = 20261122
_TRADES = ("餐饮", "食品", "科技", "物流", "建材", "医疗", "教育咨询", "纺织", "机电", "农业")
_NAMES = ("云杉", "禾田", "澄江", "青禾", "望海", "知行", "万竹", "明湖", "松风", "朝晖")
_ROADS = ("证明路", "示例大道", "澄江东路", "望海街", "青禾巷", "松风路")
_FAMILY = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜"
_GIVEN = ("一鸣", "思远", "若溪", "子墨", "佳宁", "文博", "雨桐", "浩然", "静怡", "天佑")
_STATES = ("suspended", "revoked", "rescinded", "deregistered", "recalled", "lapsed")


@dataclass(frozen=True)
class DemoLicence:
    """A licence to make: type slug, fields, state by name, and the sample it serves, or ""."""

    type: str
    fields: Mapping[str, object]
    state: str = "valid"
    sample: str = ""


def demo_licences(now: int) -> Iterator[DemoLicence]:
    """About three hundred licences; dates lie around the day of `now` (Unix seconds)."""
    source = random.Random(_SEED)  # noqa: S311 - invented data, not a secret
    today = datetime.fromtimestamp(now + 8 * 3600, UTC).date()
    for number in range(60):
        yield from _company(source, number, today)
    for number in range(40):
        yield from _person(source, number, today)


def _company(source: random.Random, number: int, today: date) -> Iterator[DemoLicence]:
    code = _uscc(number)
    name = f"证链市{_NAMES[number % 10]}{_TRADES[number // 10 % 10]}有限公司"
    if number >= 10:
        name = f"证链市{_NAMES[number % 10]}{_NAMES[number // 10]}{source.choice(_TRADES)}有限公司"
    rep, addr = _name(source), f"证链市示例区{source.choice(_ROADS)}{source.randint(1, 300)}号"
    founded = date(2004, 1, 5) + timedelta(days=97 * number)
    yield DemoLicence(
        "business-licence",
        {
            "name": name,
            "uscc": code,
            "kind": "有限责任公司（自然人投资或控股）",
            "rep": rep,
            "addr": addr,
            "capital": f"{source.choice((50, 100, 500, 1000))}万元人民币",
            "founded": founded.isoformat(),
            "scope": "餐饮服务；食品销售；日用百货、文具用品、农产品批发与零售；信息咨询服务。"
            "（依法须经批准的项目，经相关部门批准后方可开展经营活动）",
        },
        _STATES[number // 9 % 6] if number % 9 == 8 else "valid",
        "valid" if number == 0 else "",
    )
    sample, state, age = _food_sample(number)
    start = today - timedelta(days=age)
    yield DemoLicence(
        "food-licence",
        {
            "no": _food_number(number),
            "name": name,
            "uscc": code,
            "rep": rep,
            "addr": addr,
            "premises": f"{addr}一层",
            "format": "餐饮服务经营者",
            "items": "热食类食品制售；冷食类食品制售",
            "from": start.isoformat(),
            "until": (start + timedelta(days=5 * 365)).isoformat(),
        },
        state,
        sample,
    )
    if number % 4 == 0:
        yield DemoLicence(
            "road-transport",
            {
                "no": f"{ADCODE}{600000 + number}",
                "name": name,
                "uscc": code,
                "addr": addr,
                "scope": "道路普通货物运输",
                "from": (today - timedelta(days=200)).isoformat(),
                "until": (today + timedelta(days=1200)).isoformat(),
            },
            "suspended" if number % 16 == 4 else "valid",
            "suspended" if number == 4 else "",
        )
    if number % 5 == 0:
        yield DemoLicence(
            "hygiene-permit",
            {
                "no": f"WS{ADCODE}{number:05d}",
                "name": name,
                "uscc": code,
                "premises": addr,
                "items": "游泳场馆" if number % 2 else "宾馆、饭馆、旅店",
                "from": (today - timedelta(days=400)).isoformat(),
                "until": (today + timedelta(days=1000)).isoformat(),
            },
        )


def _food_sample(number: int) -> tuple[str, str, int]:
    """(sample slug, state, days since it began) of the n-th food licence."""
    special = {
        0: ("food", "valid", 300),
        1: ("expired", "valid", 5 * 365 + 30),
        2: ("revoked", "revoked", 500),
    }
    if number in special:
        return special[number]
    if number % 11 == 10:
        return "", _STATES[number % 6], 700
    return "", "valid", 40 + 37 * number


def _person(source: random.Random, number: int, today: date) -> Iterator[DemoLicence]:
    birth = date(1958, 3, 1) + timedelta(days=613 * number)
    idno, name = _citizen(birth, number), _name(source)
    sex = "男" if number % 2 == 0 else "女"
    home = f"证链市示例区{source.choice(_ROADS)}{number + 1}号{source.randint(101, 1806)}室"
    start = today - timedelta(days=500 + number)
    yield DemoLicence(
        "id-card",
        {
            "name": name,
            "sex": sex,
            "nation": "汉",
            "birth": birth.isoformat(),
            "addr": home,
            "idno": idno,
            "from": start.isoformat(),
            "until": (start + timedelta(days=20 * 365)).isoformat(),
            "by": "证链市公安局示例分局",
        },
    )
    if number % 2 == 0:
        yield DemoLicence(
            "driving-licence",
            {
                "fileno": f"{ADCODE}{100000 + number:06d}",
                "name": name,
                "idno": idno,
                "sex": sex,
                "first": "2015-06-01",
                "class": ["C1"],
                "points": number % 12,
                "from": (today - timedelta(days=900)).isoformat(),
                "until": (today + timedelta(days=1200)).isoformat(),
            },
            "suspended" if number % 10 == 8 else "valid",
        )
    if number % 3 == 0:
        yield DemoLicence(
            "social-security-card",
            {
                "cardno": f"SB{ADCODE}{number:06d}",
                "name": name,
                "idno": idno,
                "issued": "2019-03-01",
                "bank": "证链示范银行",
            },
        )
        yield DemoLicence(
            "degree",
            {
                "no": f"99999{2010 + number % 10}{1000000 + number:07d}",
                "name": name,
                "idno": idno,
                "school": "证链示范大学",
                "major": "信息安全",
                "field": "工学",
                "level": "学士",
                "issued": f"{2010 + number % 10}-06-30",
            },
            "rescinded" if number == 33 else "valid",
        )
    if number % 4 == 1:
        yield DemoLicence(
            "special-work",
            {
                "no": f"浙A{ADCODE}{number:05d}",
                "name": name,
                "idno": idno,
                "trade": "建筑电工",
                "from": (today - timedelta(days=100)).isoformat(),
                "until": (today + timedelta(days=600)).isoformat(),
            },
        )
    if number % 4 == 2:
        yield DemoLicence(
            "real-estate-certificate",
            {
                "printno": f"{ADCODE}{30000 + number:08d}",
                "no": f"证（2020）示例市不动产权第{1000 + number:07d}号",
                "holder": name,
                "holdercd": idno,
                "unit": f"{ADCODE}001001GB{number:05d}F{number:08d}",
                "site": home,
                "right": "国有建设用地使用权/房屋所有权",
                "use": "城镇住宅用地/住宅",
                "area": "房屋建筑面积 89.50 平方米",
                "issued": "2020-08-18",
            },
        )


def _uscc(number: int) -> str:
    """A valid code in the invented adcode; the organisation code has its own check (GB 11714)."""
    body = f"MA{number:06d}"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(w * int(c, 36) for w, c in zip(weights, body, strict=True))
    check = "0123456789X0"[(11 - total % 11)]
    first = f"91{ADCODE}{body}{check}"
    return first + str(uscc.calc_check_digit(first))


def _food_number(number: int) -> str:
    digits = f"2{ADCODE}{100000 + number:06d}"
    return f"JY{digits}{mod_11_10.calc_check_digit(digits)}"


def _citizen(birth: date, number: int) -> str:
    first = f"{ADCODE}{birth:%Y%m%d}{100 + 2 * number + (1 - number % 2):03d}"
    return first + str(ric.calc_check_digit(first + "0"))


def _name(source: random.Random) -> str:
    return source.choice(_FAMILY) + source.choice(_GIVEN)
