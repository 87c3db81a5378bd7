"""`python -m tracker view` on small workspaces and `run` folders, and its errors."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.view_toys import EMPTY, HALF, LENGTH, SHAPE, SQUARE, rectangle
from tracker.checkout import ROOT
from tracker.media.masks import write_labels
from tracker.media.video import VideoWriter, open_frames
from tracker.view import command, pictures
from tracker.view.run_footage import RunFootage
from tracker.vot import record, scores
from tracker.vot.dataset import write_list, write_sequence
from tracker.vot.regions import ABSENT_LINE, UNKNOWN, MaskRegion, Special, format_mask
from tracker.vot.workspace import Workspace

BRIGHT = np.full((*SHAPE, 3), 200, np.uint8)
CONFIG = """
sequences: sequences
stack: {experiments: {baseline: {type: unsupervised, repetitions: 1, multiobject: true}}}
"""


def line(region: MaskRegion) -> str:
    return ABSENT_LINE if region == EMPTY else format_mask(region)


def write_frames(folder: Path, first: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(first, first + LENGTH):
        assert cv2.imwrite(str(folder / f"{number:08d}.jpg"), BRIGHT)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """`good` is found all the time, `bad` by a third, `<odd> & name` never (it reports nothing)."""
    folder = tmp_path / "space"
    answers = {"good": SQUARE, "bad": HALF, "<odd> & name": EMPTY}
    for name, answer in answers.items():
        write_frames(folder / "sequences" / name / "color", first=1)
        truth = [line(SQUARE)] * LENGTH
        write_sequence(folder / "sequences" / name, {"01": truth}, SHAPE[::-1], 10)
        results = folder / "results" / "Toy" / "baseline" / name
        results.mkdir(parents=True)
        text = "\n".join(["1", *[line(answer)] * (LENGTH - 1)])
        (results / f"{name}_001.txt").write_text(text + "\n")
        (results / f"{name}_001_weights.value").write_text("toy weights\n")
    write_list(folder / "sequences", list(answers))
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Results of `tracker run` on tmp_path/clip.mp4: object 1 moves away, 2 stays."""
    masks = tmp_path / "out" / "masks"
    masks.mkdir(parents=True)
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for number in range(LENGTH):
            writer.add(BRIGHT)
            labels = np.zeros(SHAPE, np.uint8)
            labels[rectangle(10, 10 + 4 * number, 20, 20)] = 1
            labels[rectangle(40, 50, 10, 10)] = 2
            write_labels(masks / f"{number:08d}.png", labels)
    return tmp_path / "out"


def failure(arguments: list[object], capsys: pytest.CaptureFixture) -> str:
    assert command.main([str(one) for one in arguments]) == 1
    return capsys.readouterr().err


class Links(HTMLParser):
    """All that a page loads or links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attributes if k in ("href", "src", "poster") and v]


def test_the_page_lists_sequences_worst_first_with_all_files(workspace: Path, capsys) -> None:
    assert command.main([str(workspace), "--tracker", "Toy"]) == 0
    page = workspace / "reports" / "Toy" / "view" / "index.html"
    assert capsys.readouterr().out == f"page: {page}\n"
    text = page.read_text()
    order = re.findall(r'<a href="#sequence-\d">(.*?)</a>', text)
    assert order == ["&lt;odd&gt; &amp; name", "bad", "good"]
    means = re.findall(r"frames, mean IoU ([\d.]+)", text)
    assert means == ["0.000", f"{7 / 8 / 3:.3f}", "0.875"]
    assert "toy weights" in text and "Results of Toy" in text and "<odd>" not in text
    links = Links(text).found
    assert not [link for link in links if "//" in link]
    files = {link for link in links if not link.startswith("#")}
    assert all((page.parent / link).is_file() for link in files)
    endings = ["video.mp4", "plot.svg", "sheet.jpg", "poster.jpg", "worst-1.jpg"]
    assert all(f"002-bad/{name}" in files for name in endings)
    assert "001-good/worst-1.jpg" not in files  # nothing is wrong there
    assert len(re.findall(r"not reported", text)) > 0


def test_the_lowest_mean_comes_first_whatever_the_names(workspace: Path) -> None:
    for name, answer in (("bad", SQUARE), ("good", HALF)):
        answers = workspace / "results" / "Toy" / "baseline" / name / f"{name}_001.txt"
        answers.write_text("\n".join(["1", *[line(answer)] * (LENGTH - 1)]) + "\n")
    assert command.main([str(workspace), "--tracker", "Toy", "--no-videos"]) == 0
    text = (workspace / "reports" / "Toy" / "view" / "index.html").read_text()
    order = re.findall(r'<a href="#sequence-\d">(.*?)</a>', text)
    assert order == ["&lt;odd&gt; &amp; name", "good", "bad"]
    lost = [int(n) for n in re.findall(r'<td class="number (?:bad)?">(\d+)</td>', text)]
    assert lost == [LENGTH - 1, 0, 0] * 2  # index, sections


def test_of_several_experiments_the_first_over_whole_sequences_is_shown(
    workspace: Path, capsys
) -> None:
    """Objects are run apart; the runs of `parts` begin at anchors."""
    folder = workspace / "results" / "Toy"
    shutil.copytree(folder / "baseline", folder / "later")
    for path in folder.glob("later/*/*_001.txt"):
        path.write_text("\n".join(["1", *[ABSENT_LINE] * (LENGTH - 1)]) + "\n")
    for path in (workspace / "sequences").glob("*/sequence"):
        values = ["0", "1", *["0"] * (LENGTH - 3), "-1"]
        path.with_name("anchor.value").write_text("\n".join(values) + "\n")
    experiments = {"parts": {"type": "multistart"}}
    arguments = [str(workspace), "--tracker", "Toy", "--no-videos"]
    config = {"sequences": "sequences", "stack": {"experiments": experiments}}
    (workspace / "config.yaml").write_text(json.dumps(config))
    text = failure(arguments, capsys)
    assert "stack inline has no experiment over whole sequences" in text and "--stack" in text
    experiments |= {"baseline": {"type": "unsupervised"}, "later": {"type": "unsupervised"}}
    (workspace / "config.yaml").write_text(json.dumps(config))
    assert command.main(arguments) == 0
    text = (workspace / "reports" / "Toy" / "view" / "index.html").read_text()
    means = re.findall(r"frames, mean IoU ([\d.]+)", text)
    assert means == ["0.000", f"{7 / 8 / 3:.3f}", "0.875"]


def test_the_page_tells_results_of_something_else(workspace: Path, capsys) -> None:
    """As the table of scores does: made without a record, and with other frames."""
    arguments = ["--workspace", str(workspace), "--tracker", "Toy", "--no-videos"]
    page = workspace / "reports" / "Toy" / "view" / "index.html"
    assert command.main(arguments) == 0
    assert "note: results without a record of what made them: " in page.read_text()
    record.add_record(Workspace(workspace), "Toy")
    assert command.main(arguments) == 0
    assert "note: " not in page.read_text()
    frame = next(workspace.glob("sequences/*/color/*"))
    frame.write_bytes(frame.read_bytes() + b"0")
    assert command.main(arguments) == 0
    assert "made with other frames than the present; FORCE=1 runs all again" in page.read_text()


def test_the_video_has_every_frame_and_the_sheet_its_place(workspace: Path) -> None:
    assert command.main([str(workspace), "--tracker", "Toy", "--only", "bad"]) == 0
    folder = workspace / "reports" / "Toy" / "view"
    assert sorted(path.name for path in folder.iterdir()) == ["001-bad", "index.html"]
    with open_frames(folder / "001-bad" / "video.mp4") as video:
        frames = list(video)
        assert (len(frames), video.fps) == (LENGTH, 10)
    poster = cv2.imread(str(folder / "001-bad" / "poster.jpg"))[..., ::-1].astype(int)
    differences = [np.abs(frame.image - poster).mean() for frame in frames]
    assert np.argmin(differences) == LENGTH // 2
    assert frames[0].image.shape[1] == 2 * 640 + 4
    sheet = cv2.imread(str(folder / "001-bad" / "sheet.jpg"))[..., ::-1].astype(int)
    # 8 pairs of panels of 400 x 300 over captions of 30, two in a row
    assert sheet.shape == (4 * 330 + 3 * 4, 4 * 400 + 3 * 4, 3)
    truth, result = sheet[330 + 4 :][:330, :400], sheet[330 + 4 :][:330, 404:804]
    inside = np.array([200 * 0.6 + 128 * 0.4, 200 * 0.6, 200 * 0.6])
    assert truth[100, 75] == pytest.approx(inside, abs=12)  # only the truth lies at x 15
    assert result[100, 75] == pytest.approx(200, abs=12)
    assert result[100, 175] == pytest.approx(inside, abs=12)  # only the result at x 35


def test_without_videos_only_the_frames_that_are_shown_are_read(workspace: Path, capsys) -> None:
    arguments = [str(workspace), "--tracker", "Toy", "--no-videos", "--only", "good"]
    assert command.main(arguments) == 0
    folder = workspace / "reports" / "Toy" / "view"
    assert not list(folder.rglob("*.mp4")) and "<video" not in (folder / "index.html").read_text()
    (workspace / "sequences" / "good" / "color" / "00000003.jpg").write_bytes(b"no picture")
    assert "00000003.jpg" in failure([workspace, "--tracker", "Toy"], capsys)


def test_a_second_run_leaves_no_worst_frames_of_the_first(workspace: Path) -> None:
    arguments = [str(workspace), "--tracker", "Toy", "--no-videos", "--only", "bad"]
    assert command.main(arguments) == 0
    folder = workspace / "reports" / "Toy" / "view" / "001-bad"
    assert (folder / "worst-2.jpg").is_file()
    answers = workspace / "results" / "Toy" / "baseline" / "bad" / "bad_001.txt"
    answers.write_text("\n".join(["1", *[line(SQUARE)] * (LENGTH - 2), line(HALF)]) + "\n")
    assert command.main(arguments) == 0
    assert [path.name for path in folder.glob("worst-*")] == ["worst-1.jpg"]


def test_truth_that_ends_with_the_first_frame_gives_areas_and_no_mean(workspace: Path) -> None:
    truth = workspace / "sequences" / "good" / "groundtruth_01.txt"
    truth.write_text(truth.read_text().splitlines()[0] + "\n")
    arguments = [str(workspace), "--tracker", "Toy", "--no-videos", "--only", "good"]
    assert command.main(arguments) == 0
    folder = workspace / "reports" / "Toy" / "view"
    assert "area, pixels" in (folder / "001-good" / "plot.svg").read_text()
    text = (folder / "index.html").read_text()
    assert "mean IoU" not in text.split("<body>")[1] and "Worst frames" not in text


def test_an_interrupted_run_leaves_a_page(workspace: Path, monkeypatch, capsys) -> None:
    build, calls = command.build_sequence, []

    def once(*arguments: object) -> object:
        if calls:
            raise KeyboardInterrupt
        calls.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(command, "build_sequence", once)
    assert command.main([str(workspace), "--tracker", "Toy", "--no-videos"]) == 130
    text = (workspace / "reports" / "Toy" / "view" / "index.html").read_text()
    assert text.count("<section") == 1 and "interrupted" in capsys.readouterr().err


def test_report_makes_both_and_links_the_toolkits(workspace: Path, monkeypatch, capsys) -> None:
    def report(space, tracker: str) -> Path:
        path = space.folder / "reports" / tracker / "report.html"
        path.parent.mkdir(parents=True)
        path.write_text("the toolkit's")
        return path

    monkeypatch.setattr(scores, "report", report)
    assert command.main([str(workspace), "--tracker", "Toy", "--report", "--no-videos"]) == 0
    folder = workspace / "reports" / "Toy"
    out = capsys.readouterr().out
    assert f"{folder / 'report.html'}" in out and f"{folder / 'view' / 'index.html'}" in out
    assert "../report.html" in Links((folder / "view" / "index.html").read_text()).found


def test_unknown_trackers_and_sequences_are_named_with_those_there_are(workspace, capsys) -> None:
    text = failure([workspace, "--tracker", "Other"], capsys)
    assert "'Other'" in text and "Toy" in text and "make evaluate TRACKER=Other" in text
    text = failure([workspace, "--tracker", "Toy", "--only", "nothing"], capsys)
    assert "nothing" in text and "good, bad" in text
    shutil.rmtree(workspace / "results")
    assert "make evaluate TRACKER=Toy" in failure([workspace, "--tracker", "Toy"], capsys)


def test_missing_and_short_results_are_named(workspace: Path, capsys) -> None:
    path = workspace / "results" / "Toy" / "baseline" / "good" / "good_001.txt"
    path.write_text("1\n")
    text = failure([workspace, "--tracker", "Toy"], capsys)
    assert str(path) in text and f"1 frames, the sequence {LENGTH}" in text
    path.write_text("1\n" + f"{line(SQUARE)}\n" * LENGTH)
    text = failure([workspace, "--tracker", "Toy"], capsys)
    assert f"{LENGTH + 1} frames, the sequence {LENGTH}" in text
    path.unlink()
    assert "no trajectory" in (text := failure([workspace, "--tracker", "Toy"], capsys))
    assert "make evaluate" in text


def test_missing_truth_is_named(workspace: Path, capsys) -> None:
    (workspace / "sequences" / "good" / "groundtruth_01.txt").unlink()
    text = failure([workspace, "--tracker", "Toy"], capsys)
    assert "sequences/good has no groundtruth" in text


def test_folders_that_are_no_results_are_named(tmp_path: Path, workspace: Path, capsys) -> None:
    assert "there is no folder" in failure([tmp_path / "nowhere"], capsys)
    (tmp_path / "empty").mkdir()
    text = failure([tmp_path / "empty"], capsys)
    assert "empty holds no results" in text and "config.yaml" in text and "masks/*.png" in text
    assert "--truth" in failure([workspace, "--truth", tmp_path], capsys)


def test_results_of_run_without_truth(run: Path, tmp_path: Path) -> None:
    """A picture with another name beside the masks is none of them."""
    write_labels(run / "masks" / "00000.png", np.ones((3, 3), np.uint8))
    assert command.main([str(run), "--frames", str(tmp_path / "clip.mp4")]) == 0
    text = (run / "view" / "index.html").read_text()
    assert "Results of out" in text and "no ground truth" in text and "Worst frames" not in text
    assert re.findall(r"</i>(\d)</span>", text) == ["1", "2"] * 2  # index, section
    with open_frames(run / "view" / "001-out" / "video.mp4") as video:
        assert len(list(video)) == LENGTH


def test_results_of_run_with_truth(run: Path, tmp_path: Path) -> None:
    """The truth names its objects 4 and 9; 4 stays where 1 was at first."""
    for number in range(LENGTH):
        labels = np.zeros(SHAPE, np.uint8)
        labels[rectangle(10, 10, 20, 20)] = 4
        labels[rectangle(40, 50, 10, 10)] = 9
        (tmp_path / "truth").mkdir(exist_ok=True)
        write_labels(tmp_path / "truth" / f"{number:05d}.png", labels)
    arguments = ["--frames", tmp_path / "clip.mp4", "--truth", tmp_path / "truth", "--no-videos"]
    assert command.main([str(one) for one in [run, *arguments]]) == 0
    text = (run / "view" / "index.html").read_text()
    shared = [max(20 - 4 * number, 0) for number in range(LENGTH)]
    mean = np.mean([width / (40 - width) for width in shared])
    assert re.findall(r"frames, mean IoU ([\d.]+)", text) == [f"{(mean + 1) / 2:.3f}"]
    assert f"{mean:.3f}" in text and "Worst frames" in text
    assert "frame 6, object 1: <span>IoU 0.000" in text


def test_an_interrupted_run_is_compared_with_the_truth_of_its_frames(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the truth is sparse; masks that are counted from 1 are refused."""
    kept = 2
    for number in range(kept, LENGTH):
        (run / "masks" / f"{number:08d}.png").unlink()
    labels = np.zeros(SHAPE, np.uint8)
    labels[rectangle(10, 10, 20, 20)] = 4
    (tmp_path / "truth").mkdir()
    for number in (0, LENGTH - 1):
        write_labels(tmp_path / "truth" / f"{number:05d}.png", labels)
    labels[rectangle(40, 50, 10, 10)] = 9
    write_labels(tmp_path / "truth" / f"{LENGTH - 2:05d}.png", labels)
    footage = RunFootage(run, tmp_path / "clip.mp4", tmp_path / "truth")
    truths = [footage.regions(number).truths for number in range(kept)]
    assert [truth[0].area for truth in truths[:1]] == [400]
    assert truths[1][0] == Special(UNKNOWN) == truths[0][1] == truths[1][1]
    for number in range(1, LENGTH + 1):
        write_labels(tmp_path / "truth" / f"{number:05d}.png", labels)
    (tmp_path / "truth" / "00000.png").unlink()
    arguments = [run, "--frames", tmp_path / "clip.mp4", "--truth", tmp_path / "truth"]
    assert "belongs to no frame and frame" in failure(arguments, capsys)


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_frames_after_the_last_mask_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog, kind: str
) -> None:
    """A run that was interrupted has masks of the first frames only, and those are shown."""
    source, kept = tmp_path / "clip.mp4", LENGTH - 3
    if kind == "folder":
        source = tmp_path / "frames"
        write_frames(source)
    arguments = [str(run), "--frames", str(source), "--no-videos"]
    assert command.main(arguments) == 0
    assert not caplog.records and "note:" not in (run / "view" / "index.html").read_text()
    for number in range(kept, LENGTH):
        (run / "masks" / f"{number:08d}.png").unlink()
    note = f"{source.name} goes on after the {kept} frames that out has masks of, and only those"
    for option in ([], ["--no-videos"]):
        caplog.clear()
        assert command.main([str(run), "--frames", str(source), *option]) == 0
        assert [one.getMessage()[: len(note)] for one in caplog.records] == [note]
        assert f"note: {note} are shown" in (run / "view" / "index.html").read_text()
    with open_frames(run / "view" / "001-out" / "video.mp4") as video:
        assert len(list(video)) == kept


def test_objects_of_the_truth_are_in_the_order_in_which_they_appear(
    run: Path, tmp_path: Path
) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    (tmp_path / "truth").mkdir()
    for number in range(LENGTH):
        labels[rectangle(10, 10, 20, 20)] = 9
        labels[rectangle(40, 50, 10, 10)] = 4 if number >= 2 else 0
        write_labels(tmp_path / "truth" / f"{number:05d}.png", labels)
    footage = RunFootage(run, tmp_path / "clip.mp4", tmp_path / "truth")
    assert footage.starts == (0, 2)
    assert [truth.area for truth in footage.regions(3).truths] == [400, 100]


def test_errors_of_run_folders_name_the_remedy(run: Path, tmp_path: Path, capsys) -> None:
    clip = tmp_path / "clip.mp4"
    assert "--frames" in failure([run], capsys)
    assert "check --truth" in failure([run, "--frames", clip, "--truth", tmp_path / "no"], capsys)
    (tmp_path / "nothing").mkdir()
    text = failure([run, "--frames", clip, "--truth", tmp_path / "nothing"], capsys)
    assert "no masks (*.png)" in text
    assert "--report is for workspaces" in failure([run, "--frames", clip, "--report"], capsys)
    text = failure([run, "--frames", clip, "--only", "nope"], capsys)
    assert "--only nope is for workspaces" in text and not (run / "view").exists()
    text = failure([run, "--frames", clip, "--tracker", "HQTrack"], capsys)
    assert "--tracker HQTrack is for workspaces: a `run` folder has one result" in text
    assert not (run / "view").exists()
    write_labels(run / "masks" / f"{LENGTH:08d}.png", np.ones(SHAPE, np.uint8))
    text = failure([run, "--frames", clip], capsys)
    assert f"ends before frame {LENGTH + 1}" in text and "--frames" in text
    write_labels(run / "masks" / "00000000.png", np.ones((30, 40), np.uint8))
    assert "is 40 x 30, the frames of" in failure([run, "--frames", clip], capsys)


@pytest.mark.parametrize("option", ["--workspace", "--sequences", "--stack"])
def test_results_and_a_workspace_are_not_named_together(
    run: Path, workspace: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    for results in (run, workspace):
        text = failure([results, option, "x", "--tracker", "Toy"], capsys)
        assert f"{results} and {option} x both say what to look at" in text


def test_frames_of_changing_size_are_shown_at_the_size_of_the_first(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, double = tmp_path / "frames", (2 * SHAPE[0], 2 * SHAPE[1])
    write_frames(frames)
    labels = np.zeros(double, np.uint8)
    labels[20:60, 60:100], labels[81:101, 101:141] = 1, 2
    write_labels(run / "masks" / "00000002.png", labels)
    text = failure([run, "--frames", frames], capsys)
    assert "00000002.png is " + f"{double[1]} x {double[0]}, frame 3 of {frames} is" in text
    grey = np.full((*double, 3), 90, np.uint8)
    assert cv2.imwrite(str(frames / "00000002.jpg"), grey)
    assert command.main([str(run), "--frames", str(frames)]) == 0
    footage = RunFootage(run, frames)
    [image] = footage.images([2])
    assert image.shape == (*SHAPE, 3) and abs(int(image.mean()) - 90) < 2
    shown = footage.regions(2).answers[0].mask(SHAPE)
    assert shown[10:30, 30:50].all() and shown.sum() == 400
    assert (run / "view" / "index.html").is_file()


def test_frames_of_changing_size_are_not_compared_with_a_truth(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run / "masks", tmp_path / "truth")
    write_labels(run / "masks" / "00000002.png", np.ones((30, 40), np.uint8))
    clip = tmp_path / "clip.mp4"
    text = failure([run, "--frames", clip, "--truth", tmp_path / "truth"], capsys)
    size = f"{SHAPE[1]} x {SHAPE[0]}"
    assert f"00000002.png is 40 x 30, the masks before it are {size}" in text
    assert "leave --truth out" in text


def test_the_page_goes_where_it_is_told(workspace: Path, run: Path, tmp_path: Path) -> None:
    words = [workspace, "--tracker", "Toy", "--only", "good", "--out", tmp_path / "one"]
    assert command.main([*map(str, words), "--no-videos"]) == 0
    words = [run, "--frames", tmp_path / "clip.mp4", "--out", tmp_path / "two"]
    assert command.main([*map(str, words), "--no-videos"]) == 0
    assert all((tmp_path / name / "index.html").is_file() for name in ("one", "two"))
    assert not (workspace / "reports").exists() and not (run / "view").exists()


def test_a_damaged_mask_is_named(run: Path, tmp_path: Path, capsys) -> None:
    path = run / "masks" / "00000003.png"
    assert cv2.imwrite(str(path), BRIGHT)
    assert f"mask {path} is RGB" in failure([run, "--frames", tmp_path / "clip.mp4"], capsys)


def test_empty_masks_are_an_error(tmp_path: Path, run: Path, capsys) -> None:
    for path in (run / "masks").iterdir():
        write_labels(path, np.zeros(SHAPE, np.uint8))
    text = failure([run, "--frames", tmp_path / "clip.mp4"], capsys)
    assert str(run / "masks") in text and "all empty" in text


def test_pictures_are_small_and_the_same_each_time(workspace: Path, tmp_path: Path, capsys) -> None:
    written = []
    for name in ("one", "two"):
        arguments = ["--workspace", workspace, "--tracker", "Toy", "--out", tmp_path / name]
        assert pictures.main([str(one) for one in arguments]) == 0
        written.append({p.name: p.read_bytes() for p in sorted((tmp_path / name).iterdir())})
    assert written[0] == written[1] and list(written[0]) == ["demo.webp", "iou.svg"]
    strip = cv2.imread(str(tmp_path / "one" / "demo.webp"))
    assert strip.shape[1] == 4 * 300 + 3 * 4
    assert pictures.main(["--workspace", str(workspace), "--tracker", "No"]) == 1
    assert "make evaluate TRACKER=No" in capsys.readouterr().err


def test_pictures_lie_beside_the_report_unless_told(workspace: Path) -> None:
    images = ROOT / "docs" / "images"
    before = {path: path.read_bytes() for path in images.iterdir()}
    assert pictures.main(["--workspace", str(workspace), "--tracker", "Toy"]) == 0
    written = (workspace / "reports" / "Toy" / "pictures").iterdir()
    assert sorted(path.name for path in written) == ["demo.webp", "iou.svg"]
    assert {path: path.read_bytes() for path in images.iterdir()} == before


def test_the_readmes_pictures_are_there_and_small() -> None:
    text = (ROOT / "README.md").read_text()
    names = re.findall(r"!\[[^]]*\]\((docs/images/[^)]+)\)", text)
    assert {Path(name).name for name in names} == {pictures.STRIP, pictures.PLOT, "web.webp"}
    assert {ROOT / name for name in names} == set((ROOT / "docs" / "images").iterdir())
    assert sum((ROOT / name).stat().st_size for name in names) < 200_000
