"""VOT data sets out of frames and indexed masks."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.vot_data import HEIGHT, LENGTH, WIDTH, labels_of, write_frames
from tracker.frames import read_image
from tracker.vot import convert as module
from tracker.vot.convert import convert, find_sources
from tracker.vot.dataset import anchors, read_dataset
from tracker.vot.errors import VotError
from tracker.vot.expected import expected_files
from tracker.vot.pairing import pair_masks
from tracker.vot.regions import parse_region


def _lines(folder: Path, object_id: str) -> list[str]:
    return (folder / f"groundtruth_{object_id}.txt").read_text().splitlines()


def test_objects_frames_and_settings(tmp_path: Path) -> None:
    write_frames(tmp_path / "raw", "pair")
    assert convert(tmp_path / "raw", tmp_path / "data") == ["pair"]
    (info,) = read_dataset(tmp_path / "data")
    assert (info.name, info.length, info.size) == ("pair", LENGTH, (WIDTH, HEIGHT))
    assert info.objects == ("01", "03")
    assert info.starts == {"01": 0, "03": 3}
    first, third = _lines(info.folder, "01"), _lines(info.folder, "03")
    assert len(first) == len(third) == LENGTH
    assert third[:3] == ["0"] * 3
    assert first[8:21] == ["m0,0,0,0,0"] * 13
    for number in (0, 5, 22):
        mask = parse_region(first[number]).mask((HEIGHT, WIDTH))
        assert np.array_equal(mask, labels_of("pair", number) == 1)
    text = (info.folder / "sequence").read_text()
    assert "fps=24\n" in text and f"length={LENGTH}\n" in text
    frame = info.folder / "color" / "00000001.jpg"
    assert frame.is_symlink() and frame.read_bytes()
    assert (tmp_path / "data" / "list.txt").read_text() == "pair\n"


@pytest.mark.parametrize("part", ["480p", "."])
def test_davis_layouts(tmp_path: Path, part: str) -> None:
    write_frames(tmp_path, "pair", 5, "davis")
    write_frames(tmp_path, "single", 5, "davis")
    if part == ".":
        for kind in ("JPEGImages", "Annotations"):
            for folder in list((tmp_path / kind / "480p").iterdir()):
                folder.rename(tmp_path / kind / folder.name)
            (tmp_path / kind / "480p").rmdir()
    assert [source.name for source in find_sources(tmp_path)] == ["pair", "single"]
    assert convert(tmp_path, tmp_path / "data", copy=True) == ["pair", "single"]
    assert not (tmp_path / "data" / "pair" / "color" / "00000001.jpg").is_symlink()


def test_frames_of_davis_without_masks_are_no_sequence(tmp_path: Path) -> None:
    write_frames(tmp_path, "pair", 2, "davis")
    (tmp_path / "JPEGImages/480p/test-only").mkdir()
    assert [source.name for source in find_sources(tmp_path)] == ["pair"]


def test_a_data_set_is_not_converted_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frames(tmp_path / "raw", "pair", 2)
    convert(tmp_path / "raw", tmp_path / "data")
    assert module.main([str(tmp_path / "data"), str(tmp_path / "again")]) == 1
    assert f"{tmp_path / 'data'} is a VOT data set already" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_ground_truth_is_known_as_far_as_that_of_any_object(tmp_path: Path) -> None:
    write_frames(tmp_path / "raw", "pair", 6)
    convert(tmp_path / "raw", tmp_path / "data")
    folder = tmp_path / "data" / "pair"
    (folder / "groundtruth_03.txt").write_text("0\n0\nm1,1,2,2,0,4\n")
    (folder / "groundtruth_01.txt").write_text("m1,1,2,2,0,4\n0\n0\nm0,0,0,0,0\n0\n")
    text = (folder / "sequence").read_text()
    (folder / "sequence").write_text(text.replace(f"height={HEIGHT}\n", ""))
    (info,) = read_dataset(tmp_path / "data")
    assert (info.length, info.known, info.scored) == (6, 5, 3)
    assert info.starts == {"01": 0, "03": 2} and info.size is None


def test_runs_from_anchors_go_forward_to_the_end_or_back_to_the_beginning(tmp_path: Path) -> None:
    write_frames(tmp_path / "raw", "single", 6)
    convert(tmp_path / "raw", tmp_path / "data")
    (tmp_path / "data/single/anchor.value").write_text("1\n-1\n0\n1\n0\n-1\n")
    (info,) = read_dataset(tmp_path / "data")
    assert anchors(info) == [(0, True), (3, True), (1, False), (5, False)]
    stack = {"experiments": {"baseline": {"type": "multistart"}}}
    files = expected_files(tmp_path / "results", stack, [info])
    found = [(file.stem.name[-2:], file.sequence.length, *file.sequence.starts.values())
             for file in files]  # fmt: skip
    assert found == [("00", 6, 0), ("03", 3, 0), ("01", 2, 0), ("05", 6, 0)]


def test_a_single_sequence_and_odd_names(tmp_path: Path) -> None:
    write_frames(tmp_path, "pair", 4)
    folder = (tmp_path / "pair").rename(tmp_path / "my clip!")
    assert convert(folder, tmp_path / "data", fps=30) == ["my_clip_"]
    assert "fps=30\n" in (tmp_path / "data" / "my_clip_" / "sequence").read_text()


def test_frames_without_masks_are_unknown(tmp_path: Path) -> None:
    write_frames(tmp_path, "single", 6)
    (tmp_path / "single/masks/00002.png").unlink()
    (tmp_path / "single/masks/00004.png").unlink()
    convert(tmp_path / "single", tmp_path / "data")
    lines = _lines(tmp_path / "data" / "single", "01")
    assert [line == "0" for line in lines] == [False, False, True, False, True, False]


def test_leading_frames_without_objects_are_left_out(tmp_path: Path) -> None:
    write_frames(tmp_path, "single", 6)
    for number in range(2):
        (tmp_path / f"single/masks/{number:05d}.png").unlink()
    convert(tmp_path / "single", tmp_path / "data")
    (info,) = read_dataset(tmp_path / "data")
    assert info.length == 4 and info.starts == {"01": 0}
    first = (info.folder / "color" / "00000001.jpg").read_bytes()
    assert first == (tmp_path / "single/frames/00002.jpg").read_bytes()


def test_black_and_white_masks_are_one_object(tmp_path: Path) -> None:
    write_frames(tmp_path, "single", 3)
    for number in range(3):
        mask = (labels_of("single", number) * 255).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / f"single/masks/{number:05d}.png")
    convert(tmp_path / "single", tmp_path / "data")
    (line, *_) = _lines(tmp_path / "data" / "single", "01")
    assert np.array_equal(parse_region(line).mask((HEIGHT, WIDTH)), labels_of("single", 0) == 1)


def test_many_objects_sort_by_number(tmp_path: Path) -> None:
    write_frames(tmp_path, "single", 2)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[:2, :40] = np.arange(1, 21).repeat(2)
    for number in range(2):
        Image.fromarray(labels).save(tmp_path / f"single/masks/{number:05d}.png")
    convert(tmp_path / "single", tmp_path / "data")
    (info,) = read_dataset(tmp_path / "data")
    assert info.objects == tuple(f"{number:02d}" for number in range(1, 21))


def test_void_is_an_object_where_there_are_more(tmp_path: Path) -> None:
    """As in the results of `run`, whose masks of more than 255 objects have 16 bits."""
    write_frames(tmp_path, "single", 1)
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    labels[:28, :48] = np.kron(np.arange(336).reshape(14, 24), np.ones((2, 2))).clip(max=300)
    Image.fromarray(labels).save(tmp_path / "single/masks/00000.png")
    convert(tmp_path / "single", tmp_path / "data")
    (info,) = read_dataset(tmp_path / "data")
    assert info.objects == tuple(f"{number:03d}" for number in range(1, 301))
    (line,) = _lines(info.folder, "255")
    assert np.array_equal(parse_region(line).mask((HEIGHT, WIDTH)), labels == 255)


def _spoil_no_masks(folder: Path) -> str:
    for path in (folder / "masks").iterdir():
        path.unlink()
    return "no masks"


def _spoil_no_folder(folder: Path) -> str:
    (folder / "masks").rename(folder / "other")
    return "no folder masks"


def _spoil_size(folder: Path) -> str:
    Image.new("L", (10, 10), 1).save(folder / "masks/00001.png")
    return r"00001\.png is 10 x 10, 00001\.jpg is 96 x 64"


def _spoil_width(folder: Path) -> str:
    Image.new("L", (10, HEIGHT), 1).save(folder / "masks/00001.png")
    return r"00001\.png is 10 x 64, 00001\.jpg is 96 x 64"


def _spoil_frame_height(folder: Path) -> str:
    Image.new("RGB", (WIDTH, 20)).save(folder / "frames/00001.jpg")
    return r"00001\.jpg differs in size from 00000\.jpg: 96 x 64"


def _spoil_colour(folder: Path) -> str:
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "masks/00001.png")
    return r"masks/00001\.png is RGB; save it indexed"


def _spoil_mask(folder: Path) -> str:
    (folder / "masks/00001.png").write_bytes(b"no picture")
    return r"cannot read mask .*masks/00001\.png"


def _spoil_frame(folder: Path) -> str:
    (folder / "frames/00001.jpg").write_bytes(b"no picture")
    return r"frames/00001\.jpg cannot be read as a picture: no picture$"


def _spoil_frame_size(folder: Path) -> str:
    Image.new("RGB", (20, 20)).save(folder / "frames/00001.jpg")
    return "differs in size"


def _spoil_empty(folder: Path) -> str:
    for path in (folder / "masks").iterdir():
        Image.new("L", (WIDTH, HEIGHT)).save(path)
    return "hold no object"


def _spoil_names(folder: Path) -> str:
    for number, path in enumerate(sorted((folder / "masks").iterdir())):
        path.rename(folder / "masks" / f"{number + 500:05d}.png")
    return "no mask in .* belongs to a frame"


def _spoil_frames(folder: Path) -> str:
    for path in (folder / "frames").iterdir():
        path.unlink()
    return "no frames"


def _spoil_base(folder: Path) -> str:
    for number, path in reversed(list(enumerate(sorted((folder / "masks").iterdir()), 1))):
        path.rename(folder / "masks" / f"{number:05d}.png")
    return r"masks/00004\.png belongs to no frame and frame .*frames/00000\.jpg has no mask"


def _spoil_chunk(folder: Path) -> str:
    path = folder / "masks/00001.png"
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 1] = 0xFF
    path.write_bytes(data)
    return r"cannot read mask .*masks/00001\.png"


def _spoil_bomb(folder: Path) -> str:
    path = folder / "masks/00001.png"
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return r"cannot read mask .*masks/00001\.png"


def _spoil_kinds(folder: Path) -> str:
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "frames/cover.png")
    return r"frames holds pictures of several kinds \(4 of \.jpg, 1 of \.png\)"


def _spoil_lossy(folder: Path) -> str:
    path = folder / "masks/00001.png"
    with Image.open(path) as picture:
        picture.convert("L").save(path, format="JPEG")
    return r"masks/00001\.png is a JPEG, .*save the mask anew as PNG"


SPOILERS = [value for name, value in sorted(globals().items()) if name.startswith("_spoil")]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_bad_input_is_named_and_leaves_nothing(tmp_path: Path, spoil) -> None:
    write_frames(tmp_path / "raw", "single", 4)
    message = spoil(tmp_path / "raw" / "single")
    with pytest.raises(VotError, match=message):
        convert(tmp_path / "raw", tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


@pytest.mark.parametrize("first", [0, 1])
def test_masks_may_have_other_numbers_than_frames_where_names_pair_them(
    tmp_path: Path, first: int
) -> None:
    """`_v2` at the end of every name; and masks numbered as the frames, with fewer zeros."""
    write_frames(tmp_path / "raw", "single", 4)
    for kind in ("frames", "masks"):
        for path in sorted((tmp_path / "raw/single" / kind).iterdir()):
            name = f"{path.stem}_v2" if first else str(int(path.stem))
            if first or kind == "masks":
                path.rename(path.with_name(name + path.suffix))
    convert(tmp_path / "raw", tmp_path / "data")
    lines = _lines(tmp_path / "data" / "single", "01")
    for number, line in enumerate(lines):
        mask = parse_region(line).mask((HEIGHT, WIDTH))
        assert np.array_equal(mask, labels_of("single", number) == 1)


@pytest.mark.parametrize(
    ("frames", "masks", "expected"),
    [
        (["2_a7", "3_a7"], ["2_a7"], ["2_a7", None]),  # names go before numbers
        (["clip2_08", "clip2_09"], ["mask2_09"], [None, "mask2_09"]),
        (["8", "9"], ["mask_009", "mask_010", "mask_008"], ["mask_008", "mask_009"]),
    ],
)
def test_masks_belong_to_frames_by_name_or_by_the_last_number(
    frames: list[str], masks: list[str], expected: list[str | None]
) -> None:
    paths = [Path("masks", f"{name}.png") for name in masks]
    found = pair_masks([Path("frames", f"{name}.jpg") for name in frames], paths)
    assert [path and path.stem for path in found] == expected


def test_two_masks_of_one_number_are_named() -> None:
    masks = [Path("masks/1_2.png"), Path("masks/3_02.png")]
    with pytest.raises(VotError, match=r"two masks of number 2: masks/1_2\.png and masks/3_02"):
        pair_masks([Path("frames/2.jpg")], masks)


def test_masks_of_frames_that_were_cut_off_are_left_over(tmp_path: Path) -> None:
    write_frames(tmp_path / "raw", "single", 6)
    for number in (0, 1, 5):
        (tmp_path / f"raw/single/frames/{number:05d}.jpg").unlink()
    convert(tmp_path / "raw", tmp_path / "data")
    lines = _lines(tmp_path / "data" / "single", "01")
    assert len(lines) == 3
    mask = parse_region(lines[0]).mask((HEIGHT, WIDTH))
    assert np.array_equal(mask, labels_of("single", 2) == 1)


def test_hidden_masks_and_names_without_digits_for_int_are_passed_over(tmp_path: Path) -> None:
    write_frames(tmp_path / "raw", "single", 2)
    for kind, suffix in (("frames", "jpg"), ("masks", "png")):
        folder = tmp_path / "raw/single" / kind
        (folder / f"._00000.{suffix}").write_bytes(b"written by another system")
        for number in range(2):
            (folder / f"{number:05d}.{suffix}").rename(folder / f"\u00b2{number}.{suffix}")
    convert(tmp_path / "raw", tmp_path / "data")
    assert len(_lines(tmp_path / "data" / "single", "01")) == 2


def test_two_folders_that_give_one_name_are_named(tmp_path: Path) -> None:
    write_frames(tmp_path / "raw", "single", 2)
    shutil.copytree(tmp_path / "raw/single", tmp_path / "raw/my clip")
    shutil.copytree(tmp_path / "raw/single", tmp_path / "raw/my+clip")
    with pytest.raises(VotError, match=r"my clip.*my\+clip.*both give a sequence 'my_clip'"):
        convert(tmp_path / "raw", tmp_path / "data")


def test_the_present_folder_is_no_name_for_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frames(tmp_path / "raw", "single", 2)
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    assert module.main(["../raw", "."]) == 1
    assert "name a new folder" in capsys.readouterr().err


def test_unknown_layout_and_full_target(tmp_path: Path, capsys) -> None:
    with pytest.raises(VotError, match="looked for"):
        convert(tmp_path, tmp_path / "data")
    with pytest.raises(VotError, match="there is no folder"):
        convert(tmp_path / "nowhere", tmp_path / "data")
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(VotError, match=r"clip\.mp4 is a file; name a folder"):
        convert(tmp_path / "clip.mp4", tmp_path / "data")
    write_frames(tmp_path / "raw", "single", 3)
    with pytest.raises(SystemExit):
        module.main([str(tmp_path / "raw"), str(tmp_path / "data"), "--fps", "0"])
    assert module.main([str(tmp_path / "raw"), str(tmp_path / "data")]) == 0
    assert "1 sequences" in capsys.readouterr().out
    assert module.main([str(tmp_path / "raw"), str(tmp_path / "data")]) == 1
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("suffix", "written"),
    [(".JPG", ".jpg"), (".jpeg", ".jpg"), (".bmp", ".png"), (".tif", ".png"), (".webp", ".png")],
)
def test_frames_get_names_that_the_toolkit_takes(tmp_path: Path, suffix: str, written: str) -> None:
    vot = pytest.importorskip("vot.dataset.common")
    write_frames(tmp_path / "raw", "pair", 3)
    frames = tmp_path / "raw" / "pair" / "frames"
    for path in list(frames.iterdir()):
        with Image.open(path) as picture:
            picture.save(path.with_suffix(suffix), **({"quality": 100} if "j" in written else {}))
        if suffix != ".jpg":
            path.unlink()
    (frames / "._00000.jpg").write_bytes(b"written by another system")
    convert(tmp_path / "raw", tmp_path / "data")
    sequence = vot.read_sequence(str(tmp_path / "data" / "pair"))
    frame = sequence.channel("color").frame(1)
    assert len(sequence) == 3 and Path(sequence.channel("color").filename(1)).suffix == written
    labels = labels_of("pair", 1)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert abs(int(frame[labels == 1].mean()) - 60) <= 2


def test_a_sequence_without_length_is_as_long_as_its_frames(tmp_path: Path) -> None:
    """As the toolkit leaves a downloaded data set; its ground truth may be the first frame's."""
    vot = pytest.importorskip("vot.dataset.common")
    write_frames(tmp_path / "raw", "pair", 5)
    convert(tmp_path / "raw", tmp_path / "data", copy=True)
    folder = tmp_path / "data" / "pair"
    (folder / "sequence").write_text("name=pair\nfps=24\nformat=default\nchannels.color=color/\n")
    (folder / "groundtruth_03.txt").unlink()
    for truth in folder.glob("groundtruth_*.txt"):
        truth.write_text(truth.read_text().splitlines()[0] + "\n")
    (info,) = read_dataset(tmp_path / "data")
    assert info.length == 5 == len(vot.read_sequence(str(folder)))
    (folder / "color" / "00000003.jpg").unlink()
    assert read_dataset(tmp_path / "data")[0].length == 2
    (folder / "color" / "00000001.jpg").unlink()
    with pytest.raises(VotError, match=r"states no length.*color/%08d\.jpg"):
        read_dataset(tmp_path / "data")


def test_an_object_starts_where_the_toolkit_sees_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start one pixel wide reaches the tracker as an empty mask and ends the whole sequence."""
    io = pytest.importorskip("vot.region.io")
    write_frames(tmp_path / "raw", "pair", 5)
    for number, width in enumerate((0, 1, 2, 1, 0)):
        path = tmp_path / "raw" / "pair" / "masks" / f"{number:05d}.png"
        labels = labels_of("pair", number)
        labels[30:40, WIDTH - width :] = 7
        labels[62, 3] = 9
        Image.fromarray(labels).save(path)
    convert(tmp_path / "raw", tmp_path / "data")
    masks = tmp_path / "raw" / "pair" / "masks"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{masks}: object 9 is left out: it is never two by two pixels"
    ]
    folder = tmp_path / "data" / "pair"
    (info,) = read_dataset(tmp_path / "data")
    assert info.objects == ("01", "03", "07") and info.starts["07"] == 2
    lines = _lines(folder, "07")
    assert lines == ["0", "0", "m94,30,2,10,0,20", "m95,30,1,10,0,10", "m0,0,0,0,0"]
    assert [io.parse_region(line).is_empty() for line in lines[2:]] == [False, True, True]


@pytest.mark.parametrize("orientation", [3, 5, 6, 7, 8])
def test_the_orientation_tag_of_frames_counts(tmp_path: Path, orientation: int) -> None:
    write_frames(tmp_path / "raw", "pair", 2)
    for path in (tmp_path / "raw" / "pair" / "frames").iterdir():
        stored = Image.new("RGB", (HEIGHT, WIDTH) if orientation > 3 else (WIDTH, HEIGHT))
        exif = stored.getexif()
        exif[0x0112] = orientation
        stored.save(path, exif=exif)
    convert(tmp_path / "raw", tmp_path / "data")
    (info,) = read_dataset(tmp_path / "data")
    assert info.size == (WIDTH, HEIGHT)
    assert read_image(info.folder / "color" / "00000001.jpg").shape == (HEIGHT, WIDTH, 3)
