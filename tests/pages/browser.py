"""A headless Chromium, a real server, and a picture held before the browser's camera."""

import io
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from api.qrimage import qr_png

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
INSTALL = "no Chromium here; type: sudo apt-get install chromium fonts-noto-cjk"


def chromium() -> str:
    """Where a Chromium is, or a skip that says what to type."""
    for name in _NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    for path in _MAC:
        if Path(path).exists():
            return path
    pytest.skip(INSTALL)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application on a free port of this machine; gives its address."""
    config = uvicorn.Config(app, log_level="warning", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who comes before the server runs waits
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def camera_film(text: str) -> bytes:
    """Motion JPEG: an empty desk, then the code held a little askew and out of focus."""
    desk = Image.new("L", (1280, 720), 150)
    held = desk.copy()
    code = Image.open(io.BytesIO(qr_png(text, scale=5))).convert("L")
    turned = code.rotate(4, expand=True, fillcolor=150, resample=Image.Resampling.BICUBIC)
    turned.thumbnail((680, 680))
    held.paste(turned, ((1280 - turned.width) // 2, (720 - turned.height) // 2))
    film = io.BytesIO()
    for frame in [desk] * 4 + [held.filter(ImageFilter.GaussianBlur(0.7))] * 40:
        frame.convert("RGB").save(film, "JPEG", quality=88)
    return film.getvalue()


@contextmanager
def launched(film: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page whose console, errors and requests are watched."""

    page: Page
    context: BrowserContext
    base: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def verdict(self) -> tuple[str | None, str | None]:
        """Colour and code of the verdict, as soon as there is one."""
        article = self.page.locator("article.verdict")
        article.wait_for()
        return article.get_attribute("data-colour"), article.get_attribute("data-code")

    def problem(self) -> str | None:
        section = self.page.locator("section.problem")
        section.wait_for()
        return section.get_attribute("data-code")

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))

    def forgive(self, status: int) -> None:
        """Chromium reports every answer of 400 and above; this one was provoked."""
        expected = f"the server responded with a status of {status}"
        assert any(expected in complaint for complaint in self.complaints), self.complaints
        self.complaints = [one for one in self.complaints if expected not in one]


@contextmanager
def tab(
    browser: Browser,
    base: str,
    *,
    width: int = 1024,
    height: int = 1000,
    scripts: bool = True,
    init: str = "",
) -> Iterator[Tab]:
    """A fresh context. Ends by asserting that nothing complained and nothing left the site."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, java_script_enabled=scripts, locale="zh-CN"
    )
    context.set_default_timeout(30_000)
    context.grant_permissions(["clipboard-read", "clipboard-write", "camera"], origin=base)
    page = context.new_page()
    opened = Tab(page, context, base)
    if init:
        page.add_init_script(init)

    def watch(route: Route) -> None:
        if urlsplit(route.request.url).netloc == urlsplit(base).netloc:
            route.continue_()
        else:
            opened.strangers.append(route.request.url)
            route.abort()

    context.route("**/*", watch)
    page.on(
        "console",
        lambda message: (
            opened.complaints.append(message.text) if message.type in {"error", "warning"} else None
        ),
    )
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    try:
        yield opened
        assert opened.complaints == []
        assert opened.strangers == []
    finally:
        context.close()
