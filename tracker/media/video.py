"""Video files, read and written with PyAV: exact times, upright frames, H.264 for browsers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from tracker.frames import FrameError
from tracker.media.sources import FOLDER_FPS, Frame, Frames, is_camera, open_camera, open_folder

logger = logging.getLogger(__name__)

ENCODER = "libx264"
ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20"}
"""Quality nearly that of the source; fast, as the tracker is to have the processor."""

MOST_SIDE = 16384
"""Pixels: the longest side that the encoder takes."""

KEYFRAME_SECONDS = 2
"""Between frames that stand for themselves: what a player can jump to, and what a crash costs."""

BT709 = 1
"""Number of the BT.709 colours in H.264 (ITU-T H.273), for primaries, transfer and matrix."""

FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"


def open_frames(source: str | Path) -> Frames:
    """The frames of a video file, of a folder of pictures, or of a camera ("0", "/dev/video0").

    Frames of a video come upright (its rotation is applied) with their own times. Raises
    FrameError when there is no such thing, nothing in it, or no decoder for it.
    """
    path = Path(source)
    if path.is_dir():
        return open_folder(path)
    if is_camera(str(source)) and not path.is_file():
        return open_camera(str(source))
    if not path.is_file():
        raise FrameError(f"no video file, folder of frames or camera {source}; check the path")
    return open_video(path)


def open_video(path: Path) -> Frames:
    """The frames of a video file. Raises FrameError, see `open_frames`."""
    try:
        container = av.open(_url(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise FrameError(
            f"{path} is no video that can be read ({error.strerror}); {_remedy()}"
        ) from error
    try:
        stream = _video_stream(container, path)
        fps = stream.average_rate or stream.guessed_rate or FOLDER_FPS
        decoded = _decoded(container, stream, path, fps)
        first = next(decoded, None)
        if first is None:
            raise FrameError(f"{path} has no frame that can be read; {_remedy()}")
    except BaseException:
        container.close()
        raise

    def frames() -> Iterator[Frame]:
        yield first
        yield from decoded

    return Frames(frames(), _count(container, stream, fps), fps, stream.time_base, container.close)


class VideoWriter(AbstractContextManager):
    """An H.264 mp4 that browsers play, written frame by frame in constant memory.

    Its size is that of the first frame (reduced to `MOST_SIDE`), made even by repeating the last
    row or column; frames of other sizes are scaled to it. Until it is closed the file is
    fragmented: what was written plays even after a crash, but for the last seconds. Closing makes
    an ordinary file of it, with its index in front. No frame, no file.

    fps: how long the last frame lasts, and the times of frames that come without.
    time_base: seconds that times are rounded to; default: a small fraction of a frame.
    Raises OSError where there is no encoder or the file cannot be written.
    """

    def __init__(
        self, path: Path, fps: Fraction | float = FOLDER_FPS, time_base: Fraction | None = None
    ) -> None:
        self._path = path
        self._fps = _simple(fps)
        self._time_base = time_base or 1 / (self._fps * 1000)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._last = -1
        self._failed = False
        self.count = 0

    def add(self, image: np.ndarray, time: Fraction | None = None) -> None:
        """Write a frame [H, W, 3] uint8 RGB; time in seconds, by default evenly spaced.

        A time that is not after the one before is moved to just after it.
        """
        if self._container is None:
            self._open(*_video_size(*image.shape[:2]))
        frame = av.VideoFrame.from_ndarray(self._fitted(image), format="rgb24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        time = self.count / self._fps if time is None else time
        self._last = max(round(time / self._time_base), self._last + 1)
        frame.pts, frame.time_base = self._last, self._time_base
        self._mux(frame)
        self.count += 1

    def close(self) -> None:
        """Finish the file; a second call does nothing, nor does one after writing has failed."""
        container, self._container = self._container, None
        if container is not None and not self._failed:
            self._mux(None, container)
            container.close()
            _index_in_front(self._path)

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, height: int, width: int) -> None:
        if ENCODER not in av.codecs_available:
            raise OSError(
                f"cannot write {self._path}: this PyAV has no H.264 encoder ({ENCODER}); "
                "the one from PyPI has it: pip install --force-reinstall --only-binary av av"
            )
        options = {"movflags": FRAGMENTED, "flush_packets": "1"}
        container = av.open(_url(self._path), "w", format="mp4", options=options)
        stream = container.add_stream(ENCODER, rate=self._fps, options=ENCODER_OPTIONS)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._time_base
        context = stream.codec_context
        context.gop_size, context.max_b_frames = max(1, round(KEYFRAME_SECONDS * self._fps)), 0
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        self._container, self._stream = container, stream

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        height, width = self._stream.height, self._stream.width
        more = height - image.shape[0], width - image.shape[1]
        if more in ((0, 0), (0, 1), (1, 0), (1, 1)):
            return cv2.copyMakeBorder(image, 0, more[0], 0, more[1], cv2.BORDER_REPLICATE)
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    def _mux(self, frame: av.VideoFrame | None, container: OutputContainer | None = None) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = max(1, round(1 / self._fps / self._time_base))
            try:
                (container or self._container).mux(packet)
            except BaseException:
                self._failed = True  # a container without a header must not be written to again
                raise


def _video_size(height: int, width: int) -> tuple[int, int]:
    """Even sides (height, width) that the encoder takes, for frames of this size."""
    scale = min(1, MOST_SIDE / max(height, width))
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    return tall + tall % 2, wide + wide % 2


def _simple(fps: Fraction | float) -> Fraction:
    """A rate of small numbers, as the encoder takes it: 29.97 is 30000/1001, 0.01 is 1/100."""
    rate = Fraction(fps)
    if rate < 1:
        return 1 / (1 / rate).limit_denominator(1001)
    return rate.limit_denominator(1001)


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise FrameError(f"{path} has no pictures in it, only {_kinds(container)}")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise FrameError(f"{path} has a codec that PyAV here cannot decode; {_remedy()}")
    stream.thread_type = "AUTO"
    return stream


def _decoded(
    container: InputContainer, stream: VideoStream, path: Path, fps: Fraction
) -> Iterator[Frame]:
    number, start, last = 0, None, None
    for decoded in _readable(container, stream, path):
        own = None if decoded.pts is None else decoded.pts * decoded.time_base
        start = own if start is None else start
        time = last + 1 / fps if own is None and last is not None else (own or 0) - (start or 0)
        if last is not None and time <= last:
            time = last + stream.time_base
        yield Frame(number, _upright(decoded), Fraction(time))
        number, last = number + 1, Fraction(time)


def _readable(
    container: InputContainer, stream: VideoStream, path: Path
) -> Iterator[av.VideoFrame]:
    """All frames that can be decoded; a damaged packet is left out, with a line in the log."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            logger.warning("%s ends early: %s", path, error)
            return
        if packet is None:
            return
        try:
            decoded = packet.decode()
        except av.FFmpegError as error:
            logger.warning("%s: damaged around byte %s, left out: %s", path, packet.pos, error)
            continue
        yield from decoded


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """The frame as [H, W, 3] uint8 RGB, turned as its display matrix says (by quarters)."""
    image = frame.to_ndarray(format="rgb24")
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def _count(container: InputContainer, stream: VideoStream, fps: Fraction) -> int | None:
    if stream.frames:
        return stream.frames
    if stream.duration is not None:
        return round(stream.duration * stream.time_base * fps)
    if container.duration is not None:
        return round(Fraction(container.duration, av.time_base) * fps)
    return None


def _index_in_front(path: Path) -> None:
    """Copy a fragmented mp4 to an ordinary one that plays while it is loaded; same name."""
    part = path.with_name(path.name + ".part")
    try:
        options = {"movflags": "faststart"}
        with (
            av.open(_url(path)) as source,
            av.open(_url(part), "w", format="mp4", options=options) as target,
        ):
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _url(path: Path) -> str:
    """The path for FFmpeg, which takes what stands before the colon of `a:b.mp4` for a protocol."""
    return str(path.absolute())


def _kinds(container: InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _remedy() -> str:
    return "convert it, for instance with ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
