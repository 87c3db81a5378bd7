"""Reading frames: every form a frame may have, and every way a file may be bad."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tracker.frames import FrameError, check_frame, read_image, stated_size

RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.indices((height, width))
    planes = (rows * 255 // height, columns * 255 // width, (rows + columns) % 256)
    return np.stack(planes, axis=2).astype(np.uint8)


def save(path: Path, image: np.ndarray, **options: object) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_files_come_back_as_rgb(tmp_path: Path, suffix: str) -> None:
    image = read_image(save(tmp_path / f"frame.{suffix}", RGB))
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read_close_to_its_source(tmp_path: Path, progressive: bool) -> None:
    source = smooth(120, 160)
    source[..., 2] = 30
    path = save(tmp_path / "f.jpg", source, quality=95, progressive=progressive)
    assert np.abs(read_image(path).astype(int) - source).mean() < 2


def test_grey_gets_three_equal_channels(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    want = np.stack([grey] * 3, axis=2)
    np.testing.assert_array_equal(read_image(save(tmp_path / "grey.png", grey)), want)
    np.testing.assert_array_equal(check_frame(grey), want)
    np.testing.assert_array_equal(check_frame(grey[..., None]), want)


def test_sixteen_bits_are_divided_by_257(tmp_path: Path) -> None:
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    want = np.array([0, 0, 1, 1, 128, 255], np.uint8)
    cv2.imwrite(str(tmp_path / "grey16.png"), deep)
    np.testing.assert_array_equal(read_image(tmp_path / "grey16.png")[0, :, 1], want)
    colour = np.stack([deep, deep * 0, deep * 0], axis=2)
    cv2.imwrite(str(tmp_path / "rgb16.png"), colour[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "rgb16.png")[0, :, 0], want)
    np.testing.assert_array_equal(check_frame(colour)[0, :, 0], want)
    np.testing.assert_array_equal(check_frame(RGB.astype(np.uint16) * 257), RGB)


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    clear = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "rgba.png", clear)), RGB)
    np.testing.assert_array_equal(check_frame(clear), RGB)


def test_palette_pictures_give_their_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_the_orientation_tag_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(save(tmp_path / "turned.jpg", RGB, exif=exif)).shape == (40, 24, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(9))
def test_the_stated_size_is_that_of_the_frame(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"turned.{suffix}", RGB, exif=exif)
    height, width = read_image(path).shape[:2]
    assert stated_size(path) == (width, height)


@pytest.mark.parametrize("shape", [(1, 1), (8000, 3), (3, 8000), (1, 8000)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_smallest_and_largest_frames(tmp_path: Path, shape: tuple[int, int], suffix: str) -> None:
    image = np.full((*shape, 3), 77, np.uint8)
    np.testing.assert_array_equal(read_image(save(tmp_path / f"x.{suffix}", image)), image)


def test_an_8000_pixel_square_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "large.png", np.full((8000, 8000), 9, np.uint8), compress_level=1)
    image = read_image(path)
    assert image.shape == (8000, 8000, 3) and (image[::999, ::999] == 9).all()


def test_a_frame_is_not_copied_without_need() -> None:
    assert np.shares_memory(check_frame(RGB), RGB)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.999])
def test_cut_files_are_errors_not_half_grey_pictures(
    tmp_path: Path, suffix: str, share: float
) -> None:
    data = save(tmp_path / f"whole.{suffix}", smooth(200, 300)).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FrameError, match=rf"cut\.{suffix}.*again"):
        read_image(path)


def test_a_jpeg_whose_tail_is_zeros_is_an_error(tmp_path: Path) -> None:
    data = save(tmp_path / "whole.jpg", smooth(200, 300)).read_bytes()
    half = len(data) // 2
    (tmp_path / "padded.jpg").write_bytes(data[:half] + bytes(len(data) - half))
    with pytest.raises(FrameError, match=r"padded\.jpg"):
        read_image(tmp_path / "padded.jpg")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path: Path) -> None:
    path = save(tmp_path / "f.jpg", RGB)
    want = read_image(path)
    path.write_bytes(path.read_bytes() + b"trailer")
    np.testing.assert_array_equal(read_image(path), want)


def test_a_changed_byte_in_a_png_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "f.png", RGB)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(FrameError, match=r"f\.png is a cut or damaged PNG"):
        read_image(path)


def test_other_bad_files_name_path_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match=r"gone\.jpg.*No such file.*check the path"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(FrameError, match="directory"):
        read_image(tmp_path)
    for name, data in {"empty.jpg": b"", "text.jpg": b"not a picture at all" * 9}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FrameError, match=rf"{name}.*again"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("shape", [(4,), (0, 5, 3), (4, 5, 2), (4, 5, 5), (1, 4, 5, 3)])
def test_arrays_of_other_shapes_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match=rf"not \({shape[0]},"):
        check_frame(np.zeros(shape, np.uint8))


def test_channels_that_come_first_are_told_from_other_shapes() -> None:
    with pytest.raises(FrameError, match=r"not \(3, 20, 30\); image.transpose\(1, 2, 0\) brings"):
        check_frame(np.zeros((3, 20, 30), np.uint8))
    with pytest.raises(FrameError, match=r"not \(20, 30, 2\)$"):
        check_frame(np.zeros((20, 30, 2), np.uint8))


def test_arrays_of_other_types_are_errors() -> None:
    for dtype in (np.float32, np.int64, bool):
        with pytest.raises(FrameError, match=np.dtype(dtype).name):
            check_frame(np.zeros((4, 5, 3), dtype))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), tmp_path):
        with pytest.raises(FrameError, match=f"{path}: a directory, pipe or device is no frame"):
            read_image(path)
