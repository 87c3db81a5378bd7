"""Reading and writing videos: times, rotation, colours, damage, cameras, browsers' mp4."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from tracker.frames import FrameError
from tracker.media import sources, video
from tracker.media.video import VideoWriter, open_frames

NTSC = Fraction(30000, 1001)
ROOT = Path(__file__).resolve().parents[1]


def corners(height: int = 96, width: int = 128) -> np.ndarray:
    """A different colour in every quarter."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 30)
    image[: height // 2, width // 2 :] = (30, 190, 40)
    image[height // 2 :, : width // 2] = (40, 50, 210)
    image[height // 2 :, width // 2 :] = (220, 210, 60)
    return image


def grey(value: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write(path: Path, images: list[np.ndarray], fps: Fraction | float = 25) -> Path:
    with VideoWriter(path, fps) as writer:
        for image in images:
            writer.add(image)
    return path


def read(path: Path | str) -> list[sources.Frame]:
    with open_frames(path) as frames:
        return list(frames)


def test_what_is_written_is_an_mp4_that_browsers_play(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [corners()] * 12, NTSC)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == NTSC and stream.frames == 12
        assert stream.duration * stream.time_base == 12 / NTSC
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat") and b"moof" not in data
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_colours_and_times_come_back(tmp_path: Path) -> None:
    frames = read(write(tmp_path / "v.mp4", [corners()] * 4, NTSC))
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == [n / NTSC for n in range(4)]
    for y, x in [(20, 20), (20, 100), (70, 20), (70, 100)]:
        difference = frames[3].image[y, x].astype(int) - corners()[y, x]
        assert np.abs(difference).max() <= 3


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [Fraction(n, 90000) for n in (0, 3003, 3500, 20000, 90001)]
    with VideoWriter(tmp_path / "v.mp4", 30, Fraction(1, 90000)) as writer:
        for number, time in enumerate(times):
            writer.add(grey(50 * number), time)
    with open_frames(tmp_path / "v.mp4") as frames:
        assert frames.time_base == Fraction(1, 90000)
        assert [frame.time for frame in frames] == times


def test_times_that_do_not_grow_are_moved_on(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10, Fraction(1, 10000)) as writer:
        for tick in (0, 500, 500, 400):
            writer.add(grey(0), Fraction(tick, 10000))
    assert [frame.time * 10000 for frame in read(tmp_path / "v.mp4")] == [0, 500, 501, 502]


def test_odd_sizes_are_made_even_by_repeating_the_edge(tmp_path: Path) -> None:
    (frame,) = read(write(tmp_path / "v.mp4", [corners(33, 47)]))
    assert frame.image.shape == (34, 48, 3)
    assert np.abs(frame.image[33, 47].astype(int) - corners()[-1, -1]).max() <= 3


def test_frames_of_another_size_are_scaled(tmp_path: Path) -> None:
    frames = read(write(tmp_path / "v.mp4", [corners(), corners(192, 256), corners(20, 20)]))
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}
    assert np.abs(frames[2].image[70, 100].astype(int) - corners()[-1, -1]).max() <= 6


@pytest.mark.parametrize("fps", [Fraction(1, 3000), 1 / 3000, Fraction(2, 5)])
def test_less_than_a_frame_a_second_is_a_rate(tmp_path: Path, fps: Fraction | float) -> None:
    path = write(tmp_path / "slow.mp4", [grey(50), grey(90), grey(130)], fps)
    expected = Fraction(fps).limit_denominator(5000)
    with open_frames(path) as frames:
        assert frames.fps == expected
        assert [frame.time for frame in frames] == [0, 1 / expected, 2 / expected]


def test_no_frame_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a:b.mp4", "pipe:1/v.mp4"])
def test_a_name_with_a_colon_is_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    write(Path(name), [grey(50), grey(90)])
    assert [path.name for path in Path(name).parent.glob("*.mp4*")] == [Path(name).name]
    assert len(read(Path(name))) == 2


def test_an_unfinished_file_plays(tmp_path: Path) -> None:
    """What a crash leaves: all but the last seconds, without closing."""
    writer = VideoWriter(tmp_path / "v.mp4", 10)
    for number in range(100):
        writer.add(grey(2 * number))
    crashed = tmp_path / "crashed.mp4"
    crashed.write_bytes((tmp_path / "v.mp4").read_bytes())
    writer.close()
    assert len(read(crashed)) >= 60
    assert len(read(tmp_path / "v.mp4")) == 100


def test_a_player_can_jump_to_every_second_second(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [corners()] * 55, 10)
    with av.open(str(path)) as container:
        keys = [n for n, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == [0, 20, 40]


def test_a_file_that_cannot_be_put_in_order_stays_and_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk has no room for a second one."""

    def refuse(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "v.mp4", [grey(50), grey(90)])
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert len(read(tmp_path / "v.mp4")) == 2


def test_an_encoder_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "ENCODER", "libnone264")
    with (
        VideoWriter(tmp_path / "v.mp4") as writer,
        pytest.raises(OSError, match=r"libnone264.*PyPI"),
    ):
        writer.add(grey(0))


@pytest.mark.parametrize("angle", [90, -90, 180])
def test_a_turned_video_comes_upright_as_opencv_turns_it(tmp_path: Path, angle: int) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.set_display_rotation(angle)
        for image in [corners(), None]:
            frame = None if image is None else av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
    (frame,) = read(path)
    ok, theirs = cv2.VideoCapture(str(path)).read()
    assert ok and frame.image.shape == theirs.shape
    assert np.abs(frame.image[..., ::-1].astype(int) - theirs).max() <= 3
    assert (frame.image[:20, :20].mean(axis=(0, 1)) - corners()[0, 0]).max() > 50


@pytest.mark.parametrize(
    ("name", "count", "fps"),
    [("v.mov", 10, 20), ("v.ts", 10, 20), ("v.mkv", 10, 20), ("v.h264", None, 25)],
)
def test_number_and_times_of_frames_are_told_as_far_as_the_file_tells_them(
    tmp_path: Path, name: str, count: int | None, fps: int
) -> None:
    """By their number (MOV), by a length (of the stream: TS, which begins late; of the file: MKV),
    or not at all (H.264 alone, whose frames have no times)."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for number in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(number), format="rgb24")))
        container.mux(stream.encode(None))
    with open_frames(path) as frames:
        assert (frames.count, frames.fps, frames.live) == (count, fps, False)
        assert [frame.time for frame in frames] == [Fraction(n, fps) for n in range(10)]


def test_frames_of_one_time_are_moved_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, readable = write(tmp_path / "v.mp4", [grey(0), grey(90), grey(180)], 10), video._readable

    def at_one_time(*arguments: object) -> Iterator[av.VideoFrame]:
        for frame in readable(*arguments):
            frame.pts = min(frame.pts, 1000)
            yield frame

    monkeypatch.setattr(video, "_readable", at_one_time)
    with open_frames(path) as frames:
        tick = frames.time_base
        assert [frame.time for frame in frames] == [0, 1000 * tick, 1001 * tick]


def test_a_video_without_a_decoder_or_without_pictures_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "v.mp4", [corners()] * 3).read_bytes()
    (tmp_path / "unknown.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "zeros.mp4").write_bytes(data[: data.find(b"mdat") + 4].ljust(len(data), b"\0"))
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    cases = {
        "unknown.mp4": "codec that PyAV here cannot decode.*ffmpeg",
        "text.mp4": "no video that can be read.*ffmpeg",
        "empty.mp4": "no video that can be read",
        "zeros.mp4": "no frame that can be read.*ffmpeg",
        "sound.wav": "no pictures in it, only audio",
        "gone.mp4": "no video file, folder of frames or camera .*gone.mp4",
    }
    for name, message in cases.items():
        with pytest.raises(FrameError, match=message):
            open_frames(tmp_path / name)


def test_damage_in_mid_video_costs_frames_and_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (96, 128, 3)).astype(np.uint8) for _ in range(40)]
    data = write(tmp_path / "v.mp4", noise).read_bytes()
    half = len(data) // 2
    (tmp_path / "cut.mp4").write_bytes(data[:half])
    (tmp_path / "zeros.mp4").write_bytes(data[:half] + bytes(4000) + data[half + 4000 :])
    assert 10 < len(read(tmp_path / "cut.mp4")) < 30
    with caplog.at_level(logging.WARNING):
        frames = read(tmp_path / "zeros.mp4")
    assert 30 < len(frames) < 40 and "zeros.mp4: damaged around byte" in caplog.text
    times = [frame.time for frame in frames]
    assert times == sorted(set(times)) and times[-1] == Fraction(39, 25)


def test_damage_that_a_decoder_calls_otherwise_costs_frames_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PNG in a MOV: the error is zlib's."""
    path = tmp_path / "v.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "rgb24"
        for _ in range(4):
            frame = av.VideoFrame.from_ndarray(corners(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    place = data.index(b"IDAT", data.index(b"IDAT") + 4) + 12
    path.write_bytes(data[:place] + bytes(10) + data[place + 10 :])
    with caplog.at_level(logging.WARNING):
        assert len(read(path)) == 3
    assert "v.mov: damaged around byte" in caplog.text


def test_a_title_in_another_encoding_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "v.mov"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Cafe"
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count(b"Cafe") == 1
    path.write_bytes(data.replace(b"Cafe", b"Caf\xe9"))
    (frame,) = read(path)
    np.testing.assert_array_equal(frame.image, corners())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path) -> None:
    """In a process of its own: PyAV writes to a container without a header and is gone."""
    script = """
import numpy as np
from pathlib import Path
from tracker.media.video import VideoWriter
noise = np.random.default_rng(0).integers(0, 255, (100, 240, 320, 3)).astype(np.uint8)
try:
    with VideoWriter(Path("/dev/full"), 25) as writer:
        for image in noise:
            writer.add(image)
except OSError as error:
    print("told:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "told:" in done.stdout and "No space left" in done.stdout


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number in (8, 9, 10, 11):
        Image.fromarray(grey(number)).save(tmp_path / f"f{number}.png")
    with open_frames(tmp_path) as frames:
        assert (frames.count, frames.fps, frames.time_base) == (4, 25, Fraction(1, 25))
        seen = [(int(frame.image[0, 0, 0]), frame.number, frame.time * 25) for frame in frames]
    assert seen == [(8, 0, 0), (9, 1, 1), (10, 2, 2), (11, 3, 3)]


def test_hidden_files_are_no_frames_and_odd_digits_are_no_numbers(tmp_path: Path) -> None:
    for name, value in (("\u00b21.jpg", 200), ("2.jpg", 20), ("10.jpg", 100), ("02.JPEG", 40)):
        Image.fromarray(grey(value)).save(tmp_path / name)
    (tmp_path / "._2.jpg").write_bytes(b"written by another system")
    with open_frames(tmp_path) as frames:
        assert [int(frame.image[0, 0, 0]) for frame in frames] == [200, 40, 20, 100]


def test_pictures_of_several_kinds_are_refused(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "1.png"):
        Image.fromarray(grey(9)).save(tmp_path / name)
    with pytest.raises(FrameError, match=r"several kinds \(2 of \.jpg, 1 of \.png\)"):
        open_frames(tmp_path)


class FakeCapture:
    """A camera of five frames; `asked` is what it was opened with."""

    asked: object = None
    works = True
    released = False
    rate = 15.0

    def __init__(self, source: object) -> None:
        FakeCapture.asked, FakeCapture.released, self.left = source, False, 5

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self.works

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        blue_green_red = np.zeros((4, 6, 3), np.uint8)
        blue_green_red[..., 2] = max(self.left, 0)
        return self.left >= 0, blue_green_red

    def get(self, _: int) -> float:
        return self.rate

    def set(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        FakeCapture.released = True


def test_a_camera_gives_its_frames_as_rgb_with_growing_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    with open_frames("2") as frames:
        seen = list(frames)
        assert frames.live and frames.count is None and frames.fps == 15
        assert not FakeCapture.released
    assert FakeCapture.asked == 2 and FakeCapture.released
    assert [frame.image[0, 0].tolist() for frame in seen] == [[n, 0, 0] for n in (4, 3, 2, 1, 0)]
    times = [frame.time for frame in seen]
    assert times[0] == 0 and times == sorted(set(times))
    open_frames("/dev/video7").close()
    assert FakeCapture.asked == "/dev/video7"


def test_a_camera_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(FakeCapture, "works", False)
    with pytest.raises(FrameError, match="no camera 3 that gives pictures"):
        open_frames("3")
    assert FakeCapture.released, "else no other program can have it"


def test_frames_of_a_camera_have_the_times_at_which_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count(7.0, 0.04)
    monkeypatch.setattr(sources.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    with open_frames("2") as frames:
        times = [float(frame.time) for frame in frames]
    assert np.diff(times[1:]) == pytest.approx([0.04] * 3, abs=0.0011)


@pytest.mark.parametrize("rate", [0.0, -1.0, 90_000.0, float("nan")])
def test_a_camera_that_tells_no_sensible_rate_has_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(FakeCapture, "rate", rate)
    with open_frames("2") as frames:
        assert frames.fps == 25


def test_a_file_may_have_the_name_of_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "v.mp4", [grey(50), grey(90)]).rename(tmp_path / "7")
    monkeypatch.chdir(tmp_path)
    assert len(read("7")) == 2


@pytest.mark.parametrize("name", ["20240101", "20240101123456", "/dev/video12345"])
def test_a_missing_folder_with_a_date_for_a_name_is_no_camera(name: str) -> None:
    with pytest.raises(FrameError, match=f"no video file, folder of frames or camera {name}; "):
        open_frames(name)


@pytest.mark.parametrize(
    ("shape", "size"), [((300, 40_000), (124, 16384)), ((20_000, 9), (16384, 8))]
)
def test_frames_longer_than_the_encoder_takes_are_reduced(
    tmp_path: Path, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    path = tmp_path / "long.mp4"
    with VideoWriter(path) as writer:
        for level in (60, 180):
            writer.add(np.full((*shape, 3), level, np.uint8))
    with open_frames(path) as frames:
        images = [frame.image for frame in frames]
    assert [image.shape for image in images] == [(*size, 3)] * 2
    assert [round(image.mean() / 60) for image in images] == [1, 3]
