"""The page in a real browser, from the video to the downloads."""

from __future__ import annotations

import io
import json
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.browsing import Page, open_browser, require_chromium, served, wait_for
from tracker.labels import iou
from tracker.media.video import VideoWriter, open_frames
from tracker.vot.demo import render_frame
from tracker.vot.demo_art import sprite
from tracker.vot.demo_scenes import scenes

SIZE = (320, 180)
LENGTH = 8
LONG = 150
FISH, BEETLE = 1, 2
"""Objects of the scene, as `render_frame` counts them."""

pytestmark = pytest.mark.slow

ARROW_RIGHT, ENTER, HOME = "\ue014", "\ue007", "\ue011"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two videos of the demo's first frames, the second long, and the masks [T, N, H, W]."""
    folder = tmp_path_factory.mktemp("videos")
    scene = next(scene for scene in scenes() if scene.name == "crossing")
    sprites = [sprite(actor.look) for actor in scene.actors]
    drawn = [render_frame(scene, sprites, t)[:2] for t in range(LENGTH)]
    images = [cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA) for image, _ in drawn]
    for name, count in (("crossing.mp4", LENGTH), ("long.mp4", LONG)):
        with VideoWriter(folder / name, 12) as video:
            for number in range(count):
                video.add(images[min(number, LENGTH - 1)])
    masks = [[cv2.resize(m.astype(np.uint8), SIZE) > 0 for m in masks] for _, masks in drawn]
    return folder, np.array(masks)


@pytest.fixture(scope="module")
def address(videos, tmp_path_factory):
    require_chromium()
    home = tmp_path_factory.mktemp("home")
    with served(videos[0], home) as found:
        yield found
    assert [path.name for path in home.iterdir()] == ["log"], "temporary files are left"
    assert "Traceback" not in (home / "log").read_text()


@pytest.fixture
def page(address, tmp_path):
    browser = open_browser(tmp_path / "profile", 1280, 860)
    try:
        opened = Page(browser, address)
        browser.get(address)
        opened.shows("Track objects in a video")
        yield opened
        assert opened.foreign_requests() == [], "something came from elsewhere"
        assert opened.complaints() == []
    finally:
        browser.quit()


def _upload(page, path):
    page.browser.find_element("css selector", "input[type=file]").send_keys(str(path))


def _open(page, name="crossing.mp4"):
    """Open a video of the folder through the list."""
    page.browser.find_element("css selector", ".q-select").click()
    path = f"//*[contains(@class, 'q-item')]//*[normalize-space(text())='{name}']"
    wait_for(lambda: page.browser.find_elements("xpath", path), f"{name} in the list")
    page.browser.find_element("xpath", path).click()
    page.press("Open")
    wait_for(page.picture_is_loaded, "the first frame")


def _corners(mask):
    """The box of a mask as two corners, shares of the frame."""
    rows, columns = np.nonzero(mask)
    low = columns.min() / SIZE[0], rows.min() / SIZE[1]
    return low, ((columns.max() + 1) / SIZE[0], (rows.max() + 1) / SIZE[1])


def _labels(page, frame):
    with zipfile.ZipFile(io.BytesIO(page.download("masks.zip"))) as archive:
        return np.array(Image.open(io.BytesIO(archive.read(f"masks/{frame:08d}.png"))))


def test_from_a_file_to_the_downloads_with_a_correction(page, videos, tmp_path):
    folder, masks = videos
    page.shot("1-start")
    _upload(page, folder / "crossing.mp4")
    page.shows("Frame 1 of 8")
    wait_for(page.picture_is_loaded, "the first frame")
    page.shot("2-open")
    assert not page.enabled("Track") and not page.enabled("Masks (zip of PNG)")

    page.drag(*_corners(masks[0, FISH]))
    page.shows("Object 1")
    page.shot("3-box")
    page.press("New object")
    page.shows("Object 2")
    page.press("Points")
    page.shows("Click on the object")
    rows, columns = np.nonzero(masks[0, BEETLE])
    page.click((columns.min() / SIZE[0] + 0.02, rows.mean() / SIZE[1]))
    wait_for(lambda: page.text.count("marked in frame 1") == 2, "both are marked")
    page.shot("4-points")

    page.press("Track")
    page.shows("All frames are tracked")
    page.shot("5-tracked")
    wait_for(lambda: page.enabled("Masks (zip of PNG)"), "the downloads are ready")
    before = [_labels(page, frame) for frame in range(LENGTH)]
    found = before[7] == 1
    assert (found & masks[7, FISH]).sum() > 0.6 * found.sum() > 0, "it follows the object"
    assert not (masks[0, FISH] & masks[7, FISH])[found].all(), "which has moved"

    page.keys(HOME, *[ARROW_RIGHT] * 4)
    page.shows("Frame 5 of 8")
    page.keys("o")
    page.shows("Click the corners")
    (left, top), (right, bottom) = _corners(masks[4, BEETLE])
    for corner in ((left, top), (right, top), (right, bottom), (left, bottom)):
        page.click(corner)
    page.keys(ENTER)
    page.shows("marked in 2 frames")
    page.shot("6-corrected")
    page.press("Track from frame 5")
    page.shows("All frames are tracked")
    after = [_labels(page, frame) for frame in range(LENGTH)]
    for frame in range(4):
        assert (after[frame] == before[frame]).all(), "earlier frames stay"
    box = np.zeros(SIZE[::-1], bool)
    box[
        round(top * SIZE[1]) : round(bottom * SIZE[1]),
        round(left * SIZE[0]) : round(right * SIZE[0]),
    ] = True
    assert iou(after[4] == 2, box) > 0.9 and (after[7] != before[7]).any()

    table = json.loads(page.download("results.json"))
    assert table["marked_frames"] == [0, 4] and len(table["frames"]) == LENGTH
    film = tmp_path / "overlay.mp4"
    film.write_bytes(page.download("overlay.mp4"))
    with open_frames(film) as frames:
        assert sum(1 for _ in frames) == LENGTH


def test_by_keyboard_alone(page):
    from selenium.webdriver.common.keys import Keys

    _open(page)
    page.press("Keyboard")
    page.shows("A box by numbers")
    for name, value in (("Left", 16), ("Top", 48), ("Width", 74), ("Height", 44)):
        field = page.field(name)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.NULL, str(value), Keys.TAB)
    page.press("Mark this box")
    page.shows("marked in frame 1")
    page.shot("7-keyboard")
    page.browser.execute_script("document.activeElement.blur()")
    page.keys("t")
    page.shows("All frames are tracked")
    page.keys(HOME)
    page.shows("Frame 1 of 8")
    page.press("Next frame")
    page.shows("Frame 2 of 8")
    page.press("Play or pause")
    page.shows("Frame 8 of 8")


def test_no_key_is_lost_when_they_come_fast(page):
    from selenium.webdriver import ActionChains

    _open(page, "long.mp4")
    ActionChains(page.browser).send_keys(HOME, *[ARROW_RIGHT] * 60).perform()
    page.shows("Frame 61 of 150")


def test_one_at_a_time_with_a_place_in_the_queue_and_a_stop(page, videos):
    _, masks = videos
    _open(page, "long.mp4")
    page.drag(*_corners(masks[0, FISH]))
    page.shows("marked in frame 1")
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.browser.get(page.address)
    _open(page)
    page.drag(*_corners(masks[0, FISH]))
    page.shows("marked in frame 1")
    second = page.browser.current_window_handle

    page.browser.switch_to.window(first)
    page.press("Track")
    page.shows("frames/s")
    page.browser.switch_to.window(second)
    page.press("Track")
    page.shows("In the queue: 1 video before this one.")
    page.shot("8-queue")
    page.browser.switch_to.window(first)
    page.shot("9-tracking")
    page.press("Stop")
    page.shows("Stopped. What was tracked is kept.")
    page.browser.switch_to.window(second)
    page.shows("All frames are tracked")


def test_what_is_no_video_is_told_and_a_closed_one_is_gone(page, tmp_path):
    path = tmp_path / "holiday.mp4"
    path.write_bytes(b"no video at all" * 50)
    _upload(page, path)
    page.shows("This video cannot be opened")
    assert "holiday.mp4 is no video" in page.text and str(tmp_path) not in page.text
    address = page.browser.current_url
    page.press("Close video")
    page.shows("Track objects in a video")
    page.browser.get(address)
    page.shows("This video is closed")


def test_a_small_window_shows_everything(page):
    page.browser.set_window_size(500, 800)
    _open(page)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.browser.execute_script(wide) <= 0, "it has to be scrolled sideways"
    page.shot("10-small")
    for words in ("1. Mark the objects", "2. Track them", "3. Download"):
        assert words in page.text
