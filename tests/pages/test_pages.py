"""The pages over HTTP, as a browser without scripts sees them."""

import io
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from api.pages.assets import load_assets
from api.pages.given import MAX_BODY
from api.pages.view import moment, value_text
from api.pages.words import ICONS, advice, age
from api.qrimage import qr_png
from tests.city import FOOD, NOW
from tests.pages.site import Site
from verifier.image import MAX_IMAGE_BYTES
from verifier.times import MAX_TIME
from verifier.verdict import Colour

HERE = Path(__file__).resolve().parents[2] / "api" / "pages"
WORDS = {"green": "通过", "amber": "待核实", "red": "不通过"}
PAGES = [
    "/",
    "/docs",
    "/check",
    "/check?sample=valid",
    "/check?sample=unknown",
    "/check?sample=tampered",
]


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[TestClient]:
    with TestClient(site.app()) as client:
        yield client


def verdict_of(html: str) -> tuple[str, str]:
    found = re.search(r'<article class="verdict" data-colour="(\w+)" data-code="([\w-]+)"', html)
    assert found is not None, html[:2000]
    return found[1], found[2]


def problem_of(html: str) -> str:
    found = re.search(r'<section class="problem" data-code="([\w-]+)"', html)
    assert found is not None, html[:2000]
    return found[1]


# --- every page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_headers_forbid_strangers_and_storage(client: TestClient, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 200
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_nothing_inline_and_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    html = client.get(path).text
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", html) == []
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", html, flags=re.DOTALL)
    assert [body for body in scripts if body.strip()] == []
    for address in re.findall(r'(?:src|href|action)="([^"]+)"', html):
        assert re.match(r"/(?!/)|#", address), address
        if re.match(r"/(pages|samples|check)\b", address):
            assert client.get(address).status_code == 200, address


def test_static_files_name_no_other_host() -> None:
    for file in (HERE / "static").iterdir():
        text = file.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE), file.name
        assert "innerHTML" not in text


@pytest.mark.parametrize("path", PAGES)
def test_both_languages_stand_side_by_side(client: TestClient, path: str) -> None:
    html = client.get(path).text
    assert '<html lang="zh-CN">' in html
    for heading in re.findall(r"<h[1-3][^>]*>(.*?)</h[1-3]>", html, flags=re.DOTALL):
        assert re.search(r"[\u4e00-\u9fff]", heading), heading
    assert html.count('lang="en"') > 10
    assert len(re.findall(r"<h1[ >]", html)) == 1


# --- static files --------------------------------------------------------------------------------


def test_static_files_are_cached_for_ever_under_their_content(client: TestClient) -> None:
    html = client.get("/check").text
    found = re.search(r'href="(/pages/([0-9a-f]{16})/site\.css)"', html)
    assert found is not None
    reply = client.get(found[1])
    assert "immutable" in reply.headers["cache-control"]
    assert reply.headers["content-type"].startswith("text/css")
    assert found[2] == load_assets().version
    for module in re.findall(r'from "\./([^"]+)"', client.get(found[1][:-8] + "check.js").text):
        answer = client.get(f"/pages/{found[2]}/{module}")
        assert answer.headers["content-type"].startswith("text/javascript")


def test_version_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a{}")
    before = load_assets(tmp_path)
    (tmp_path / "a.css").write_text("b{}")
    (tmp_path / "notes.txt").write_text("not served")
    after = load_assets(tmp_path)
    assert before.version != after.version
    assert list(after.files) == ["a.css"]
    with pytest.raises(KeyError):
        after.path("b.css")


@pytest.mark.parametrize("name", ["../routes.py", "..%2froutes.py", "none.js", "%00"])
def test_only_listed_files_are_served(client: TestClient, name: str) -> None:
    assert client.get(f"/pages/{load_assets().version}/{name}").status_code == 404


def test_another_version_is_not_served(client: TestClient) -> None:
    assert client.get("/pages/0123456789abcdef/site.css").status_code == 404


# --- the start page ------------------------------------------------------------------------------


def test_start_page_shows_the_city(client: TestClient, site: Site) -> None:
    html = client.get("/").text
    data = site.start_data()
    for expected in ("示例市", "Sample City", data.origin, data.audit_command, "演示环境"):
        assert expected in html
    for key in data.demo_keys:
        assert key.zh in html
        assert key.key in html
    for sample in data.samples:
        assert f'href="/check?sample={sample.slug}"' in html
        assert f'src="/samples/{sample.slug}.png"' in html
    assert f"<b>{data.tree_size}</b>" in html


def test_samples_are_what_they_say(client: TestClient, site: Site) -> None:
    for sample, text in site.samples.values():
        assert client.get(f"/samples/{sample.slug}.txt").text == text
        image = client.get(f"/samples/{sample.slug}.png")
        assert image.headers["content-type"] == "image/png"
        for way in (
            client.get(f"/check?sample={sample.slug}"),
            client.post("/check", files={"image": image.content}),
            client.post("/check", data={"text": text}),
        ):
            assert verdict_of(way.text)[0] == sample.colour.value


@pytest.mark.parametrize("path", ["/samples/none.png", "/samples/none.txt", "/check?sample=none"])
def test_unknown_sample_is_not_found(client: TestClient, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.json()) == (404, {"code": "page-sample-unknown"})


# --- the verdict ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "colour", "code"),
    [
        ("valid", "green", "valid"),
        ("unknown", "amber", "status-unknown"),
        ("expired", "red", "expired"),
        ("suspended", "red", "status-suspended"),
        ("revoked", "red", "status-revoked"),
        ("tampered", "red", "statement-bad-signature"),
    ],
)
def test_colour_sentence_and_checks(
    client: TestClient, site: Site, sample: str, colour: str, code: str
) -> None:
    html = client.post("/check", files={"text": (None, site.samples[sample][1])}).text
    verdict = site.verify(site.samples[sample][1])
    assert verdict_of(html) == (colour, code)
    assert f'<p class="word">{WORDS[colour]} ' in html, "the colour is also a word"
    assert f'<h2 id="sentence">{verdict.zh}</h2>' in html
    assert verdict.en in unescape(html)
    assert advice(verdict)[0] in html
    marks = re.findall(r'<span class="mark" aria-hidden="true">(.)</span>', html)
    expected = {"passed": "✓", "failed": "✗", "not-checked": "–"}
    assert marks == [expected[check.outcome.value] for check in verdict.checks]


def test_every_colour_has_a_shape_of_its_own() -> None:
    assert len({ICONS[colour] for colour in Colour}) == len(Colour)


def test_licence_ledger_and_age_are_shown(client: TestClient, site: Site) -> None:
    html = client.get("/check?sample=valid").text
    verdict = site.verify(site.samples["valid"][1])
    assert verdict.subject is not None
    assert verdict.record is not None
    for field in verdict.subject.fields:
        assert field.zh in html
        assert field.value in html
    assert verdict.record.leaf.hex() in html
    assert f"{verdict.record.index} / {verdict.record.size}" in html
    assert "audit、archive、court" in html
    assert f'href="/proof/{verdict.record.index}"' in html
    assert "截至 <time>2027-01-15 15:00</time>（1 小时前）" in html
    assert "as of 2027-01-15 15:00, 1 h ago" in html
    assert "另有 1 组内容未在此码中出示" in html


def test_fields_stand_in_the_order_of_their_type(client: TestClient, site: Site) -> None:
    html = client.get("/check?sample=valid").text
    places = [html.index(f'<th scope="row">{zh} ') for zh in ("名称", "法定代表人", "类型", "住所")]
    assert places == sorted(places)


def test_no_proof_no_link(client: TestClient, site: Site) -> None:
    html = client.post("/check", data={"text": site.valid.qr()}).text
    assert verdict_of(html)[0] == "green"
    assert "未证明" in html
    assert "/proof/" not in html


def test_unlimited_licence_says_so(client: TestClient, site: Site) -> None:
    assert "长期" in client.post("/check", data={"text": site.unlimited.qr()}).text


def test_signed_text_cannot_become_markup(client: TestClient, site: Site) -> None:
    hostile = '<img src=x onerror="alert(1)">'
    licence = site.city.issue(type_code=FOOD, face={"name": hostile, "<b>": [hostile]})
    html = client.post("/check", data={"text": licence.qr()}).text
    assert "&lt;img src=x onerror=" in html
    assert "<img src=x" not in html
    assert "<b>" not in html.partition('class="fields"')[2].partition("</table>")[0]


def test_statement_file_is_judged(client: TestClient, site: Site) -> None:
    html = client.post("/check", files={"image": ("s.cbor", site.valid.statement)}).text
    assert verdict_of(html) == ("amber", "no-disclosure")
    assert "请持证人出示载有名称或姓名的二维码" in html


def test_text_file_is_judged(client: TestClient, site: Site) -> None:
    content = site.valid.qr().encode()
    html = client.post("/check", files={"image": ("code.txt", content)}).text
    assert verdict_of(html) == ("green", "valid")


def test_blanks_around_pasted_text_do_no_harm(client: TestClient, site: Site) -> None:
    reply = client.post("/check", data={"text": f"\r\n  {site.valid.qr()} \n"})
    assert verdict_of(reply.text) == ("green", "valid")


@pytest.mark.parametrize("text", ["https://example.org/", "你好", "HC1:6BF"])
def test_a_code_that_is_not_ours(client: TestClient, text: str) -> None:
    for reply in (
        client.post("/check", data={"text": text}),
        client.post("/check", files={"image": qr_png(text)}),
    ):
        assert reply.status_code == 200
        assert verdict_of(reply.text) == ("red", "qr-not-ours")
        assert "请确认所扫为证链二维码" in reply.text


# --- wrong input ---------------------------------------------------------------------------------


def blank_png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (200, 200), 255).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        ({"image": ("p.png", blank_png())}, 422, "image-no-code"),
        ({"image": ("p.png", b"GIF89a not one of ours")}, 422, "image-malformed"),
        ({"image": ("p.png", b"x" * (MAX_IMAGE_BYTES + 1))}, 413, "too-large"),
        ({"image": ("p.png", b"")}, 422, "page-nothing-given"),
        ({"text": (None, "  \n")}, 422, "page-nothing-given"),
        ({"text": (None, "ZL1:" + "A" * 10_000)}, 413, "too-large"),
        ({"text": (None, "A" * 100_000)}, 422, "page-form-malformed"),
        ({"text": ("a.txt", b"a file where text belongs")}, 422, "page-form-malformed"),
        ([("image", ("a.png", b"1")), ("image", ("b.png", b"2"))], 422, "page-form-malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals_are_shown_on_the_page(
    client: TestClient, files: object, status: int, code: str
) -> None:
    reply = client.post("/check", files=files)  # type: ignore[arg-type]
    assert (reply.status_code, problem_of(reply.text)) == (status, code)
    assert 'id="text-form"' in reply.text, "and another try is possible"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--y\r\nbroken\r\n"),
        ("", b"ZL1:"),
    ],
)
def test_a_body_that_is_no_form(client: TestClient, content_type: str, body: bytes) -> None:
    reply = client.post("/check", content=body, headers={"content-type": content_type})
    assert (reply.status_code, problem_of(reply.text)) == (422, "page-form-malformed")


def test_announced_size_is_refused_before_reading(client: TestClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": "9" * 30}
    reply = client.post("/check", content=b"", headers=headers)
    assert (reply.status_code, problem_of(reply.text)) == (413, "too-large")


def test_an_endless_body_is_cut_off(client: TestClient) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(400):
            sent += 65_536
            yield b"x" * 65_536

    headers = {"content-type": "multipart/form-data; boundary=x"}
    reply = client.post("/check", content=chunks(), headers=headers)
    assert (reply.status_code, problem_of(reply.text)) == (413, "too-large")
    assert sent > MAX_BODY


# --- for the script ------------------------------------------------------------------------------


def test_part_of_the_page_is_the_same_part(client: TestClient, site: Site) -> None:
    form = {"text": site.valid.qr()}
    whole = client.post("/check", data=form).text
    part = client.post("/check", data={**form, "part": "verdict"}).text
    assert part.startswith("<article")
    assert part.strip() in whole


def test_a_frame_without_a_code_is_no_content(client: TestClient, site: Site) -> None:
    frame = {"data": {"part": "frame"}, "files": {"image": blank_png()}}
    assert client.post("/check", **frame).status_code == 204  # type: ignore[arg-type]
    code = client.post("/check", data={"part": "frame"}, files={"image": qr_png(site.valid.qr())})
    assert verdict_of(code.text) == ("green", "valid")


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, ("刚刚", "just now")),
        (59, ("刚刚", "just now")),
        (60, ("1 分钟前", "1 min ago")),
        (7199, ("1 小时 59 分钟前", "1 h 59 min ago")),
        (7200, ("2 小时前", "2 h ago")),
        (9000, ("2 小时 30 分钟前", "2 h 30 min ago")),
        (3 * 86_400 + 59, ("3 天前", "3 d ago")),
        (3 * 86_400 + 3660, ("3 天 1 小时前", "3 d 1 h ago")),
    ],
)
def test_age(seconds: int, expected: tuple[str, str]) -> None:
    assert age(seconds) == expected


def test_times_are_those_of_china() -> None:
    assert moment(NOW) == "2027-01-15 16:00"


@pytest.mark.parametrize("seconds", [253_402_300_799, (1 << 40) - 1])
def test_a_time_beyond_the_calendar_is_no_date(seconds: int) -> None:
    assert moment(seconds) == "—"


def test_a_licence_signed_in_the_far_future_is_shown_red(client: TestClient, site: Site) -> None:
    licence = site.city.issue(issued_at=MAX_TIME - 1)
    html = client.post("/check", data={"text": licence.qr()}).text
    assert verdict_of(html) == ("red", "issued-in-future")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("文", "文"),
        (12, "12"),
        (True, "是 yes"),
        (False, "否 no"),
        (["张三", "李四"], "张三、李四"),
    ],
)
def test_values_as_people_read_them(value: object, text: str) -> None:
    assert value_text(value) == text
