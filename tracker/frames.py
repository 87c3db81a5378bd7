"""Frames as the tracker takes them: [H, W, 3] uint8, RGB, at the size of the video.

What comes in other forms is converted by fixed rules, the same for files and arrays:
- grey (also with one channel): three equal channels;
- 16 bits: divided by 257 and rounded, so that 65535 becomes 255;
- RGBA: the alpha channel is dropped, not blended.
Files are read with OpenCV; a picture's orientation tag is applied, as the VOT toolkit does it.
"""

from __future__ import annotations

import io
import re
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

_REMEDY = "copy or extract this frame again, or take it out of the sequence"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
# A marker inside compressed data: FF and a byte that is neither stuffing (00), fill (FF) nor a
# restart marker (D0..D7).
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_LYING = (5, 6, 7, 8)  # orientation tags that exchange width and height


PICTURE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a file that is missing, damaged, or no picture."""


def picture_fault(error: Exception) -> str:
    """What one of PICTURE_ERRORS says, without the path, which Pillow and the system add to it."""
    if isinstance(error, UnidentifiedImageError):
        return "no picture"
    return getattr(error, "strerror", None) or str(error)


class FrameError(ValueError):
    """A frame that cannot be read or is no picture."""


def check_frame(image: np.ndarray) -> np.ndarray:
    """The array as a frame [H, W, 3] uint8 RGB, contiguous; not copied if it is one already.

    Takes [H, W], [H, W, 1], [H, W, 3] and [H, W, 4], uint8 or uint16, RGB order.
    Raises FrameError, naming shape and dtype, for anything else.
    """
    image = np.asarray(image)
    if image.dtype not in (np.uint8, np.uint16):
        raise FrameError(
            f"a frame has values of type uint8 or uint16, not {image.dtype}; {_conversion(image)}"
        )
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4) or image.size == 0:
        raise FrameError(
            f"a frame has the shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] and at least "
            f"one pixel, not {image.shape}{_turned(image)}"
        )
    if channels == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.ascontiguousarray(image[..., :3])


def _turned(image: np.ndarray) -> str:
    """What to do with channels that come first, as PyTorch has them."""
    if image.ndim == 3 and image.shape[0] in (1, 3, 4):
        return "; image.transpose(1, 2, 0) brings the channels to the end"
    return ""


def _conversion(image: np.ndarray) -> str:
    """What to do with values of another type."""
    if image.dtype.kind == "f":
        return "convert it, for instance (255 * image).astype('uint8') for floats in 0..1"
    if image.dtype.kind in "iu":
        return "convert it with image.astype('uint8') when its values go from 0 to 255"
    if image.dtype.kind in "US" and image.ndim == 0:
        return f"read the picture first: tracker.frames.read_image({str(image)!r})"
    return "give the picture as an array"


def read_image(path: str | Path) -> np.ndarray:
    """The frame in a file: [H, W, 3] uint8 RGB.

    Raises FrameError, naming the path and what to do, when the file is missing, is no picture,
    or ends too early (OpenCV alone would fill the rest of a cut JPEG with grey).
    """
    path = Path(path)
    if is_special(path):
        raise FrameError(
            f"cannot read frame {path}: a directory, pipe or device is no frame; check the path"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise FrameError(f"cannot read frame {path}: {reason}; check the path") from error
    fault = _damage(data)
    image = None
    if fault is None:
        try:
            buffer = np.frombuffer(data, np.uint8)
            image = cv2.imdecode(buffer, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
        except cv2.error as error:
            fault = str(error).strip()
    if image is None:
        raise FrameError(f"frame {path} {fault or 'is no picture OpenCV reads'}; {_REMEDY}")
    try:
        return cv2.cvtColor(check_frame(image), cv2.COLOR_BGR2RGB)
    except FrameError as error:
        raise FrameError(f"frame {path}: {error}") from error


def stated_size(path: Path) -> tuple[int, int]:
    """(width, height) of the frame in a file as `read_image` gives it; only its header is read.

    Raises one of PICTURE_ERRORS.
    """
    with Image.open(path) as picture:
        lying = picture.getexif().get(ExifTags.Base.Orientation) in _LYING
        turn = lying and picture.format != "TIFF"  # whose size Pillow has turned already
        return picture.size[::-1] if turn else picture.size


def is_special(path: Path) -> bool:
    """Whether it is a directory, pipe or device: reading it may wait for ever, or work once."""
    return path.exists() and not path.is_file()


def _damage(data: bytes) -> str | None:
    """What is wrong with a picture file, as far as its structure tells; None when it is whole."""
    if not data:
        return "is an empty file"
    if data.startswith(_JPEG_START):
        return None if _jpeg_is_whole(data) else "is a cut or damaged JPEG"
    if data.startswith(_PNG_SIGNATURE):
        return None if _png_is_whole(data) else "is a cut or damaged PNG"
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return None
    except (OSError, SyntaxError, ValueError) as error:
        return f"is cut or damaged ({error})"
    return None


def _jpeg_is_whole(data: bytes) -> bool:
    """Walks the segments of a JPEG (ITU T.81, annex B) to its end marker."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _JPEG_SCAN:
            found = _MARKER_IN_SCAN.search(data, position)
            if found is None:
                return False
            position = found.start()
            if data[position + 1] == _JPEG_END:
                return True
    return False


def _png_is_whole(data: bytes) -> bool:
    """Walks the chunks of a PNG to its end, with their check sums."""
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = data[position + 4 : position + 8 + length]
        check = data[position + 8 + length : position + 12 + length]
        if len(check) < 4 or zlib.crc32(body) != int.from_bytes(check, "big"):
            return False
        if body[:4] == b"IEND":
            return True
        position += 12 + length
    return False
