"""A real Chromium without a window, and the page served by the real command."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120.0
"""Seconds that anything on the page may take on a slow machine."""

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SCREENSHOTS = "HQTRACK_SCREENSHOTS"
"""Environment variable: a folder for pictures of every step; default: none are made."""


def require_chromium() -> tuple[str, str]:
    """The paths of Chromium and its driver; skips the test where they are not installed."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    return browser, driver


@contextlib.contextmanager
def served(folder: Path, home: Path) -> Iterator[str]:
    """`python -m tracker web` for the videos of a folder; the address. Stops it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    command = [
        *(sys.executable, "-m", "tracker", "web", "--port", str(port), "--folder", str(folder)),
        *("--preset", "hqtrack-lite", "--device", "cpu", "--max-frames", "200"),
        *("--set", "frame__min_pixels=12000"),
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(address, process, home), "the page is served")
        yield address
    finally:
        process.terminate()
        process.wait(60)


def open_browser(profile: Path, width: int, height: int):
    """A browser with an empty profile whose requests are logged."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    browser, driver = require_chromium()
    options = Options()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Until the condition holds; fails with `what` when it takes too long."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"not within {PATIENCE:g} s: {what}")


class Page:
    """A person at the page: what is read and clicked, by the words on it."""

    def __init__(self, browser, address: str) -> None:
        self.browser = browser
        self.address = address

    @property
    def text(self) -> str:
        """All that can be read."""
        return self.browser.execute_script("return document.body.innerText")

    @property
    def token(self) -> str:
        """Of the video that is open."""
        return self.browser.current_url.rsplit("/", 1)[1]

    def shows(self, words: str) -> None:
        """Wait until these words can be read."""
        wait_for(lambda: words in self.text, f"{words!r} in {self.text!r}")

    def button(self, words: str):
        """The button that has these words, or is called so for those who cannot see it."""
        path = (
            f"//*[self::button or @role='button']"
            f"[normalize-space(.)={words!r} or @aria-label={words!r} or "
            f".//*[normalize-space(text())={words!r}]]"
        )
        wait_for(lambda: self.browser.find_elements("xpath", path), f"a button {words!r}")
        return self.browser.find_element("xpath", path)

    def field(self, words: str):
        """The field of this name, once the page has unfolded it."""
        path = f"//input[@aria-label={words!r}]"
        wait_for(
            lambda: any(e.is_displayed() for e in self.browser.find_elements("xpath", path)),
            f"a field {words!r}",
        )
        return self.browser.find_element("xpath", path)

    def press(self, words: str) -> None:
        """Click a button, when it can be clicked."""
        wait_for(lambda: self.enabled(words), f"{words!r} can be pressed")
        self.browser.execute_script(
            "arguments[0].scrollIntoView({block: 'center'})", self.button(words)
        )
        self.button(words).click()

    def enabled(self, words: str) -> bool:
        """Whether a button can be pressed."""
        return self.button(words).is_enabled()

    def keys(self, *keys: str) -> None:
        """Press keys."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def drag(self, *corners: tuple[float, float]) -> None:
        """Drag in the picture; corners as shares of its width and height."""
        from selenium.webdriver import ActionChains

        (image, first), *others = (self._place(corner) for corner in corners)
        actions = ActionChains(self.browser).move_to_element_with_offset(image, *first)
        actions = actions.click_and_hold()
        for _, place in others:
            actions = actions.move_to_element_with_offset(image, *place)
        actions.release().perform()

    def click(self, place: tuple[float, float]) -> None:
        """Click in the picture; the place as shares of its width and height."""
        self.drag(place)

    def picture_is_loaded(self) -> bool:
        """Whether the frame can be seen."""
        return bool(
            self.browser.execute_script(
                "const i = document.querySelector('.hq-picture img');"
                "return i && i.complete && i.naturalWidth > 0"
            )
        )

    def download(self, name: str) -> bytes:
        """A download of the open video."""
        with urllib.request.urlopen(f"{self.address}/videos/{self.token}/{name}") as answer:
            return answer.read()

    def foreign_requests(self) -> list[str]:
        """Addresses outside the page that were asked for since the last call."""
        asked = []
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        own = (self.address + "/", "data:", "blob:", "chrome:", "chrome-untrusted:", "about:")
        return [address for address in asked if not address.startswith(own)]

    def complaints(self) -> list[str]:
        """Errors in the browser's console since the last call."""
        logged = self.browser.get_log("browser")
        return [entry["message"] for entry in logged if entry["level"] == "SEVERE"]

    def shot(self, name: str) -> None:
        """A picture of the page, when a folder for them is named."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            time.sleep(0.5)  # the page's own animations
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.save_screenshot(str(Path(folder) / f"{name}.png"))

    def _place(self, share: tuple[float, float]):
        image = self.browser.find_element("css selector", ".hq-picture img")
        size = image.size
        offset = (share[0] - 0.5) * size["width"], (share[1] - 0.5) * size["height"]
        return image, tuple(round(value) for value in offset)


def _answers(address: str, process: subprocess.Popen, home: Path) -> bool:
    if process.poll() is not None:
        pytest.fail(f"the page did not start: {(home / 'log').read_text()}")
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
