"""The check page driven in Chromium: three ways in, with and without scripts, large and small."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request

from api.qrimage import qr_png
from tests.pages.browser import Tab, camera_film, chromium, launched, served, tab
from tests.pages.site import Site
from verifier.image import MAX_IMAGE_BYTES, read_code

STATES = [
    "/",
    "/docs",
    "/check",
    "/check?sample=valid",
    "/check?sample=unknown",
    "/check?sample=tampered",
]
COPY_PICTURE = """async (path) => {
  const blob = await (await fetch(path)).blob();
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""
DROP_PICTURE = """async (path) => {
  const blob = await (await fetch(path)).blob();
  const data = new DataTransfer();
  data.items.add(new File([blob], "code.png", { type: "image/png" }));
  const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector(".drop").dispatchEvent(drop);
}"""
DEVICE_READS = """
globalThis.BarcodeDetector = class {
  static async getSupportedFormats() { return ["qr_code", "ean_13"]; }
  async detect(source) {
    return source.width > 0 ? [{ rawValue: "a poster" }, { rawValue: "%s" }] : [];
  }
};
"""
NO_CAMERA = """
navigator.mediaDevices.getUserMedia = async () => {
  throw new DOMException("refused", "%s");
};
"""


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def base(site: Site) -> Iterator[str]:
    chromium()
    with served(site.app()) as address:
        yield address


@pytest.fixture(scope="module")
def browser(site: Site, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    film.write_bytes(camera_film(site.valid.qr()))
    with launched(film) as opened:
        yield opened


@pytest.fixture
def desk(browser: Browser, base: str) -> Iterator[Tab]:
    with tab(browser, base) as opened:
        yield opened


def posts(page: Page) -> list[Request]:
    """What the page sends from now on."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    return sent


# --- text ----------------------------------------------------------------------------------------


def test_typed_text(desk: Tab, site: Site) -> None:
    page = desk.open("/check")
    page.fill("#text", site.valid.qr())
    page.click("#text-form button[type=submit]")
    assert desk.verdict() == ("green", "valid")
    assert page.inner_text("#sentence") == "有效：证照真实且当前有效"
    assert page.evaluate("document.activeElement.className") == "banner green"
    assert page.url == f"{desk.base}/check", "no reload: the camera may stay at hand"


def test_hand_scanner_ends_with_enter(desk: Tab, site: Site) -> None:
    page = desk.open("/check")
    page.focus("#text")
    page.keyboard.insert_text(site.revoked.qr())
    page.keyboard.press("Enter")
    assert desk.verdict() == ("red", "status-revoked")


def test_pasted_text_anywhere_on_the_page(desk: Tab, site: Site) -> None:
    page = desk.open("/check")
    page.evaluate("text => navigator.clipboard.writeText(text)", site.expired.qr())
    page.keyboard.press("Control+V")
    assert desk.verdict() == ("red", "expired")


def test_paste_button_takes_text(desk: Tab, site: Site) -> None:
    page = desk.open("/check")
    page.evaluate("text => navigator.clipboard.writeText(text)", site.unlisted.qr())
    page.click("#clipboard")
    assert desk.verdict() == ("amber", "status-unknown")


def test_not_ours(desk: Tab) -> None:
    page = desk.open("/check")
    page.fill("#text", "https://example.org/menu")
    page.click("#text-form button[type=submit]")
    assert desk.verdict() == ("red", "qr-not-ours")
    assert "不是证链二维码" in page.inner_text("#sentence")


# --- pictures ------------------------------------------------------------------------------------


def test_chosen_picture_is_checked_at_once(desk: Tab, site: Site) -> None:
    page = desk.open("/check")
    picture = {"name": "c.png", "mimeType": "image/png", "buffer": qr_png(site.suspended.qr())}
    page.set_input_files("#image", picture)  # type: ignore[arg-type]
    assert desk.verdict() == ("red", "status-suspended")
    page.click("#again")
    assert page.locator("article.verdict").count() == 0
    page.set_input_files("#image", {**picture, "buffer": qr_png(site.valid.qr())})  # type: ignore[arg-type]
    assert desk.verdict() == ("green", "valid")


def test_pasted_picture(desk: Tab) -> None:
    page = desk.open("/check")
    page.evaluate(COPY_PICTURE, "/samples/valid.png")
    page.keyboard.press("Control+V")
    assert desk.verdict() == ("green", "valid")


def test_paste_button_takes_a_picture(desk: Tab) -> None:
    page = desk.open("/check")
    page.evaluate(COPY_PICTURE, "/samples/tampered.png")
    page.click("#clipboard")
    assert desk.verdict() == ("red", "statement-bad-signature")


def test_dropped_picture(desk: Tab) -> None:
    page = desk.open("/check")
    page.evaluate(DROP_PICTURE, "/samples/valid.png")
    assert desk.verdict() == ("green", "valid")


def test_picture_without_a_code(desk: Tab, repo: Path) -> None:
    page = desk.open("/check")
    page.set_input_files("#image", repo / "LICENSE")
    assert desk.problem() == "image-malformed"
    desk.forgive(422)
    assert "没有可核验的内容" in page.inner_text("#problem")


def test_picture_too_large_is_not_even_sent(desk: Tab, tmp_path: Path) -> None:
    page = desk.open("/check")
    posted = posts(page)
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG" + b"\0" * MAX_IMAGE_BYTES)
    page.set_input_files("#image", large)
    page.get_by_text("图片过大").wait_for()
    assert posted == []


def test_service_out_of_reach(desk: Tab, site: Site) -> None:
    page = desk.open("/check")
    desk.context.route("**/check", lambda route: route.abort())
    page.fill("#text", site.valid.qr())
    page.click("#text-form button[type=submit]")
    page.get_by_text("无法连接核验服务").wait_for()
    desk.complaints = [one for one in desk.complaints if "ERR_FAILED" not in one]


# --- camera --------------------------------------------------------------------------------------


def test_camera(desk: Tab) -> None:
    page = desk.open("/check")
    posted = posts(page)
    page.get_by_text("逐帧发送至本服务").wait_for()
    page.click("#camera")
    assert desk.verdict() == ("green", "valid")
    assert {request.url for request in posted} == {f"{desk.base}/check"}
    assert page.get_attribute("#camera", "aria-pressed") == "false", "it stops by itself"
    assert page.evaluate("document.querySelector('video').srcObject") is None


def test_camera_read_on_the_device_sends_no_picture(
    browser: Browser, base: str, site: Site
) -> None:
    with tab(browser, base, init=DEVICE_READS % site.revoked.qr()) as desk:
        page = desk.open("/check")
        posted = posts(page)
        page.get_by_text("画面只在本机识读").wait_for()
        page.click("#camera")
        assert desk.verdict() == ("red", "status-revoked")
    (body,) = (request.post_data_buffer or b"" for request in posted)
    assert site.revoked.qr().encode() in body
    assert b"image" not in body


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotAllowedError", "未获准使用摄像头"),
        ("NotFoundError", "没有找到摄像头"),
        ("AbortError", "摄像头中断"),
    ],
)
def test_no_camera_says_why(browser: Browser, base: str, name: str, words: str) -> None:
    with tab(browser, base, init=NO_CAMERA % name) as desk:
        page = desk.open("/check")
        page.click("#camera")
        page.get_by_text(words).wait_for()
        assert page.get_attribute("#camera", "aria-pressed") == "false"


def test_camera_can_be_stopped(browser: Browser, base: str) -> None:
    never = DEVICE_READS.replace("source.width > 0", "false")
    with tab(browser, base, init=never) as desk:
        page = desk.open("/check")
        page.click("#camera")
        page.locator("#camera[aria-pressed=true]").wait_for()
        page.click("#camera")
        assert page.get_attribute("#camera", "aria-pressed") == "false"
        assert page.evaluate("document.querySelector('video').srcObject") is None


# --- without scripts -----------------------------------------------------------------------------


def test_without_scripts(browser: Browser, base: str, site: Site, tmp_path: Path) -> None:
    picture = tmp_path / "code.png"
    picture.write_bytes(qr_png(site.valid.qr()))
    with tab(browser, base, scripts=False) as desk:
        page = desk.open("/check")
        assert page.locator("#camera").is_hidden()
        page.fill("#text", site.revoked.qr())
        page.click("#text-form button")
        assert desk.verdict() == ("red", "status-revoked")
        page.get_by_role("link", name="继续核验").click()
        page.set_input_files("#image", picture)
        page.click("#image-form button")
        assert desk.verdict() == ("green", "valid")
        page.set_input_files("#photo", picture)
        page.locator("#photo + button").click()
        assert desk.verdict() == ("green", "valid")


# --- sizes, paper, keyboard, eyes ----------------------------------------------------------------


def test_nothing_is_wider_than_the_window(desk: Tab) -> None:
    for path in STATES:
        page = desk.open(path)
        for width in (320, 360, 640, 768, 1024, 1920):
            page.set_viewport_size({"width": width, "height": 740})
            assert desk.overflow() <= 0, f"{path} at {width}"


def test_the_verdict_is_on_the_first_screen_of_a_phone(browser: Browser, base: str) -> None:
    with tab(browser, base, width=360, height=640) as desk:
        page = desk.open("/check?sample=valid")
        box = page.locator(".banner").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 640


def test_a_check_prints_on_one_sheet(desk: Tab) -> None:
    page = desk.open("/check?sample=valid")
    page.emulate_media(media="print")
    assert page.locator("#ways").is_hidden()
    assert page.locator("nav").is_hidden()
    sheets = re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(format="A4"))
    assert len(sheets) == 1


def test_everything_is_reached_by_keyboard(desk: Tab, site: Site) -> None:
    page = desk.open("/check")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(a => a.id || a.href || a.type)(document.activeElement)"))
        outlined = "getComputedStyle(%s).outlineStyle"
        seen = page.evaluate(
            f"""document.activeElement.id === "image"
              ? {outlined % 'document.querySelector(".drop")'}
              : {outlined % "document.activeElement"}"""
        )
        assert seen != "none", reached
        if reached[-1] == "clipboard":
            break
    assert reached[0] == f"{desk.base}/check#main", "first, a way past the header"
    wanted = ["camera", "image", "text", "submit", "clipboard"]
    assert [one for one in reached if one in wanted] == wanted
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.insert_text(site.valid.qr())
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert desk.verdict() == ("green", "valid")


CONTRAST = """(selector) => {
  const number = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    const colour = number(getComputedStyle(element).backgroundColor);
    return colour.length === 4 && colour[3] === 0 ? ground(element.parentElement) : colour;
  };
  return [...document.querySelectorAll(selector)]
    .filter((element) => element.checkVisibility() && element.innerText?.trim())
    .map((element) => {
      const [a, b] = [light(number(getComputedStyle(element).color)), light(ground(element))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.innerText.slice(0, 30)];
    });
}"""


NAMELESS = """() => [...document.querySelectorAll("input, textarea, button, a, img")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !one.labels?.length && !one.innerText?.trim() && !one.hasAttribute("alt"))
  .filter((one) => !one.querySelector("img[alt]:not([alt=''])"))
  .map((one) => one.outerHTML)"""


def test_text_stands_out_and_everything_has_a_name(desk: Tab) -> None:
    """WCAG 2.2 §1.4.3 (4.5 to 1; each part lies on one flat colour), §4.1.2."""
    for path in STATES:
        page = desk.open(path)
        measured = page.evaluate(CONTRAST, "main *, .demo *, footer *, .brand *")
        assert len(measured) > 20
        assert [one for one in measured if one[0] < 4.5] == [], path
        assert page.evaluate(NAMELESS) == [], path


def test_an_operation_is_sent_from_the_reference(desk: Tab) -> None:
    page = desk.open("/docs#post-v1-echo-word")
    page.select_option("#demo-key", index=1)
    form = page.locator("#post-v1-echo-word form")
    form.locator("[name=word]").fill("a b/c")
    form.locator("[name=times]").fill("3")
    form.locator("button").click()
    page.get_by_text("404 Not Found").wait_for()
    desk.forgive(404)
    form.locator("[name=word]").fill("你 好")
    form.locator("button").click()
    page.get_by_text("200 OK").wait_for()
    said = json.loads(form.locator(".answer code").inner_text())
    assert said == {"word": "你 好", "text": "你好", "times": 3, "by": "Bearer zl_1a"}


def test_codes_can_be_read_off_the_screen(desk: Tab, site: Site) -> None:
    page = desk.open("/")
    for slug, (_, text) in site.samples.items():
        picture = page.locator(f'img[src="/samples/{slug}.png"]').screenshot()
        assert read_code(picture) == text, slug


def test_the_policy_of_the_page_is_enforced(desk: Tab) -> None:
    page = desk.open("/check")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'taken over'";
          document.head.append(script);
        }"""
    )
    assert page.title().startswith("核验证照")
    assert [one for one in desk.complaints if "Content Security Policy" in one] != []
    desk.complaints.clear()


def test_without_a_browser_the_skip_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.pages.browser.shutil.which", lambda name: None)
    monkeypatch.setattr("tests.pages.browser._MAC", ())
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install chromium fonts-noto-cjk"):
        chromium()
