"""Jobs and their queue, opening and closing of videos, limits, downloads."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from tests.web_toys import HEIGHT, WIDTH, block, columns, drifting_tracker
from tracker.media.video import VideoWriter, open_frames
from tracker.web import jobs
from tracker.web.clip import read_clip
from tracker.web.exports import write_json, write_overlay
from tracker.web.follow import follow
from tracker.web.jobs import JobQueue, State
from tracker.web.limits import LimitError, Limits
from tracker.web.places import PlaceError, VideoFolder
from tracker.web.project import Project, ProjectError
from tracker.web.site import Site
from tracker.web.store import Store, shown_title


def _video(path, count=5, size=(HEIGHT, WIDTH)):
    with VideoWriter(path, 10) as video:
        for number in range(count):
            video.add(np.full((*size, 3), 20 * number, np.uint8))
    return path


@pytest.fixture
def site():
    made = Site(drifting_tracker()[0], Limits())
    yield made
    made.close()
    assert not made.store.root.exists()


@pytest.fixture
def video(site, tmp_path):
    """An open video of five frames with one object, marked in the first."""
    opened = site.store.open("a.mp4")
    assert site.read(opened, _video(tmp_path / "a.mp4")).wait(30)
    opened.project.mark(0, opened.project.add_object(), block(2))
    return opened


class _Gate:
    """Work that goes on step by step when it is let."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, job):
        self.begun.set()
        self.go.wait(30)
        job.tell(1, 2)


def test_jobs_run_one_by_one_and_know_their_place():
    queue = JobQueue("test")
    gate, order = _Gate(), []
    first = queue.submit(gate)
    second, third = (queue.submit(lambda job, n=n: order.append(n)) for n in (2, 3))
    assert gate.begun.wait(30)
    assert [queue.ahead_of(job) for job in (first, second, third)] == [0, 1, 2]
    assert [job.state for job in (first, second)] == [State.RUNNING, State.WAITING]
    queue.stop(second)
    assert second.state is State.STOPPED and queue.ahead_of(third) == 1
    gate.go.set()
    assert third.wait(30) and order == [3] and first.state is State.DONE
    queue.close()
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit(gate)


def test_a_running_job_stops_at_its_next_step_and_a_failing_one_tells_why():
    queue = JobQueue("test")
    gate = _Gate()
    job = queue.submit(gate)
    assert gate.begun.wait(30)
    queue.stop(job)
    assert job.active and job.stopping
    gate.go.set()
    assert job.wait(30) and job.state is State.STOPPED and (job.done, job.count) == (1, 2)

    def fail(job):
        raise ProjectError("too blue")

    failed = queue.submit(fail)
    assert failed.wait(30) and (failed.state, failed.error) == (State.FAILED, "too blue")
    broken = queue.submit(lambda job: [][1])
    assert broken.wait(30) and broken.error.startswith("IndexError")
    queue.close()


def test_closing_the_queue_stops_what_runs_and_what_waits():
    queue = JobQueue("test")
    steps = threading.Event()

    def endless(job):
        while True:
            job.tell(0, None)
            steps.set()

    running, waiting = queue.submit(endless), queue.submit(endless)
    assert steps.wait(30)
    queue.close()
    assert {running.state, waiting.state} == {State.STOPPED}


def test_a_video_is_read_marked_tracked_and_downloaded(site, video):
    with pytest.raises(ProjectError, match="nothing to download"):
        site.export(video, "masks.zip")
    job = site.track(video)
    assert job.wait(30) and job.state is State.DONE and (job.done, job.count) == (5, 5)
    assert not video.project.busy

    with zipfile.ZipFile(site.export(video, "masks.zip")) as archive:
        assert archive.namelist() == [f"masks/{t:08d}.png" for t in range(5)]
        picture = Image.open(io.BytesIO(archive.read("masks/00000003.png")))
        assert picture.mode == "P" and columns(np.array(picture), 1) == (5, 10)

    table = json.loads(site.export(video, "results.json").read_text())
    assert (table["width"], table["height"], table["fps"]) == (WIDTH, HEIGHT, 10)
    assert len(table["frames"]) == 5 and table["marked_frames"] == [0]
    assert table["frames"][3]["time"] == 0.3
    (found,) = table["frames"][3]["objects"]
    assert found["box"] == [5, 4, 10, 9] and found["area"] == 36 and found["confidence"] == 0.75
    assert found["segmentation"]["size"] == [HEIGHT, WIDTH]

    with open_frames(site.export(video, "overlay.mp4")) as frames:
        pictures = [frame.image for frame in frames]
    assert len(pictures) == 5 and pictures[0].shape == (HEIGHT, WIDTH, 3)
    inside, outside = pictures[3][6, 7].astype(int), pictures[3][20, 40].astype(int)
    assert inside[0] - inside[2] > 30 > abs(outside[0] - outside[2])


def test_a_file_of_the_persons_own_is_read_where_it_lies_and_stays(site, tmp_path):
    path = _video(tmp_path / "own.mp4")
    before = path.read_bytes()
    opened = site.store.open("own.mp4")
    assert site.read(opened, path).wait(30) and opened.project.clip.count == 5
    assert path.read_bytes() == before


def test_a_download_is_made_once_and_again_after_a_change(site, video):
    site.track(video).wait(30)
    first = site.export(video, "results.json")
    assert site.export(video, "results.json") == first
    video.project.mark(2, 1, block(30))
    second = site.export(video, "results.json")
    assert second != first and not first.exists()
    assert json.loads(second.read_text())["frames"][2]["objects"][0]["box"] == [30, 4, 35, 9]
    with pytest.raises(KeyError):
        site.export(video, "frame-00000000.jpg")


def test_a_second_video_waits_for_the_first(site, video, tmp_path):
    gate = _Gate()
    running = site.trackings.submit(gate)
    assert gate.begun.wait(30)
    job = site.track(video)
    assert site.trackings.ahead_of(job) == 1 and video.project.busy
    with pytest.raises(ProjectError, match="already"):
        site.track(video)
    site.stop(video)
    assert job.state is State.STOPPED and not video.project.busy
    gate.go.set()
    assert running.wait(30)
    assert site.track(video).wait(30) and video.project.complete


def test_closing_a_video_stops_it_and_deletes_its_files(site, video):
    job = site.track(video)
    site.close_video(video)
    assert not job.active and not video.folder.exists()
    with pytest.raises(KeyError):
        site.store.get(video.token)


def test_limits_are_told_in_words(tmp_path):
    source = _video(tmp_path / "v.mp4")
    kept = tmp_path / "kept"
    kept.mkdir()
    told = []
    clip = read_clip(source, kept, Limits(frames=5), lambda *progress: told.append(progress))
    assert (clip.count, clip.width, clip.height, clip.fps) == (5, WIDTH, HEIGHT, 10)
    assert told == [(n, 5) for n in range(1, 6)] and clip.times[4] == Fraction(2, 5)
    assert abs(float(clip.image(3).mean()) - 60) < 3
    for limits, words in (
        (Limits(frames=4), "more than 4 frames"),
        (Limits(long_side=40), r"48 x 24 pixels, the longer side may have 40"),
    ):
        with pytest.raises(LimitError, match=words):
            read_clip(source, kept, limits, lambda *_: None)
    with pytest.raises(LimitError, match="40 x 50 pixels, the longer side may have 40"):
        Limits(long_side=40).check_size(50, 40)
    Limits(long_side=40).check_size(40, 40)
    with pytest.raises(LimitError, match="larger than 1 MB"):
        Limits(megabytes=1).check_bytes(1_000_001)
    Limits(megabytes=1).check_bytes(1_000_000)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "pictures").mkdir()
    for number, scale in enumerate((1, 2)):
        picture = np.full((scale * HEIGHT, scale * WIDTH, 3), 90, np.uint8)
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{number}.png")
    clip = read_clip(tmp_path / "pictures", tmp_path / "kept", Limits(), lambda *_: None)
    assert [clip.image(number).shape for number in (0, 1)] == [(HEIGHT, WIDTH, 3)] * 2


def test_downloads_keep_the_times_of_the_video_and_leave_out_removed_objects(tmp_path):
    times = [0, Fraction(4567, 90_000), Fraction(1, 2)]
    with VideoWriter(tmp_path / "v.mp4", 20, Fraction(1, 90_000)) as writer:
        for time in times:
            writer.add(np.zeros((HEIGHT, WIDTH, 3), np.uint8), time)
    (tmp_path / "kept").mkdir()
    clip = read_clip(tmp_path / "v.mp4", tmp_path / "kept", Limits(), lambda *_: None)
    project = Project(clip, tmp_path / "kept", Limits())
    for left in (2, 20):
        project.mark(0, project.add_object(), block(left))
    project.remove_object(1)
    follow(project, drifting_tracker()[0], lambda *_: None)
    write_overlay(project, tmp_path / "o.mp4")
    with open_frames(tmp_path / "o.mp4") as frames:
        assert [frame.time for frame in frames] == times
    write_json(project, tmp_path / "o.json")
    told = json.loads((tmp_path / "o.json").read_text())
    assert [frame["time"] for frame in told["frames"]] == [round(float(t), 6) for t in times]
    assert [[one["object"] for one in frame["objects"]] for frame in told["frames"]] == [[2]] * 3
    boxes = [frame["objects"][0]["box"] for frame in told["frames"]]
    assert boxes == [[20 + n, 4, 25 + n, 9] for n in range(3)]


def test_how_long_a_job_takes_is_told_by_its_rate(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])
    told = []

    def work(job):
        told.append(job.seconds_left)
        clock[0] += 4
        job.tell(2, 10)
        told.append((job.rate, job.seconds_left))

    jobs.Job(work)._run()
    assert told == [None, (0.5, 16)]


def test_what_is_no_video_fails_with_the_name_the_person_gave(site):
    video = site.store.open("holiday.mp4")
    path = video.folder / "upload"
    path.write_bytes(b"this is no video" * 100)
    job = site.read(video, path)
    assert job.wait(30) and job.state is State.FAILED
    assert "holiday.mp4" in job.error and str(video.folder) not in job.error
    assert not path.exists() and video.project is None


def test_reading_can_be_stopped(site, tmp_path):
    source, gate = _video(tmp_path / "v.mp4"), threading.Event()
    video = site.store.open("v")

    def slow():
        gate.wait(30)
        return source

    job = site.read(video, slow)
    site.stop(video)
    gate.set()
    assert job.wait(30) and job.state is State.STOPPED and source.exists()


def test_unused_videos_go_and_used_ones_stay():
    now = [0.0]
    store = Store(Limits(videos=2, idle_minutes=10), clock=lambda: now[0])
    old, used = store.open("old"), store.open("used")
    assert (store.root / old.token).is_dir()
    with pytest.raises(LimitError, match="2 videos are open"):
        store.open("third")
    now[0] = 599
    store.get(used.token)
    now[0] = 601
    assert store.sweep() == [old.token] and not old.folder.exists()
    assert store.get(used.token) is used
    store.open("third")
    store.close()
    assert not store.root.exists()


def test_a_video_with_a_job_is_not_swept(site, video):
    gate = _Gate()
    site.trackings.submit(gate)
    site.track(video)
    video.seen -= 1e6
    assert site.store.sweep() == []
    gate.go.set()
    video.tracking.wait(30)
    assert site.store.sweep() == [video.token]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\a.mp4", "a.mp4"),
        ("\x00\x1b[31m.mp4", "[31m.mp4"),
        ("", "video"),
        ("x" * 300, "x" * 80),
    ],
)
def test_titles_are_for_the_eye(name, title):
    assert shown_title(name) == title


def test_only_videos_of_the_folder_are_reached(tmp_path):
    folder, outside = tmp_path / "videos", tmp_path / "secret.mp4"
    (folder / "frames").mkdir(parents=True)
    outside.write_bytes(b"secret")
    (folder / "a.mp4").write_bytes(b"a")
    (folder / "notes.txt").write_text("no video")
    (folder / "frames" / "0001.png").write_bytes(b"x")
    (folder / "hidden").mkdir()
    (folder / "hidden" / "._0001.png").write_bytes(b"x")
    (folder / "link.mp4").symlink_to(outside)
    places = VideoFolder(folder)
    assert places.names() == ["a.mp4", "frames"]
    assert places.resolve("a.mp4") == (folder / "a.mp4").resolve()
    assert places.resolve("frames") == (folder / "frames").resolve()
    for name in (
        "../secret.mp4", str(outside), "link.mp4", "notes.txt", "missing.mp4", "", ".", "a\x00.mp4",
        "frames/../../secret.mp4",
    ):  # fmt: skip
        with pytest.raises(PlaceError):
            places.resolve(name)
    with pytest.raises(PlaceError, match="no folder"):
        VideoFolder(tmp_path / "none")


def test_entries_that_cannot_be_read_or_shown_are_left_out(tmp_path, monkeypatch):
    for name in (b"a.mp4", b"\xff.mp4"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    for name in ("locked", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0001.png").write_bytes(b"x")
    (tmp_path / "circle.mp4").symlink_to("circle.mp4")
    list_folder = type(tmp_path).iterdir

    def locked(path):
        if path.name == "locked":
            raise PermissionError("locked")
        return list_folder(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", locked)
    places = VideoFolder(tmp_path)
    assert places.names() == ["a.mp4", "z"]
    for name in ("locked", "circle.mp4", "\udcff.mp4"):
        with pytest.raises(PlaceError, match="no such video"):
            places.resolve(name)
