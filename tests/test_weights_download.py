"""Downloading weights from a server that cuts, ignores ranges, and sends wrong bytes."""

from __future__ import annotations

import errno
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker import weights
from tracker.checkout import WEIGHTS
from tracker.cli import weights as command
from tracker.weights import WeightFile, WeightsError

DATA = bytes(range(256)) * 1200  # 307200 bytes


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves DATA by the rules of `self.server.rules`; notes the ranges asked for."""

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if self.path == "/missing":
            self.send_error(404)
            return
        if server.fail_first and len(server.ranges) <= server.fail_first:
            self.send_error(503)
            return
        start = 0
        if wanted and server.ranged:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        body = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut and len(server.ranges) <= server.cuts:
            body = body[: server.cut]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        running.body, running.ranges = DATA, []
        running.ranged, running.cut, running.cuts, running.fail_first = True, 0, 99, 0
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _entry(server: http.server.ThreadingHTTPServer, path: str = "/w.pth", **changes) -> WeightFile:
    settings = {"size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()} | changes
    return WeightFile("w.pth", "a test", f"http://127.0.0.1:{server.server_port}{path}", **settings)


def test_downloads_and_leaves_no_part(server, tmp_path: Path) -> None:
    path = weights.fetch(_entry(server), tmp_path)
    assert path.read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["w.pth"]


def test_a_file_that_is_there_is_checked_and_not_fetched_again(server, tmp_path: Path) -> None:
    weights.fetch(_entry(server), tmp_path)
    weights.fetch(_entry(server), tmp_path)
    assert len(server.ranges) == 1
    (tmp_path / "w.pth").write_bytes(DATA[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"sha256.*remove it"):
        weights.fetch(_entry(server), tmp_path)


def test_goes_on_after_cut_connections(server, tmp_path: Path) -> None:
    server.cut = 100_000
    path = weights.fetch(_entry(server), tmp_path, pause=0.01)
    assert path.read_bytes() == DATA
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]


def test_goes_on_with_a_part_of_an_earlier_run(server, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(DATA[:5000])
    assert weights.fetch(_entry(server), tmp_path).read_bytes() == DATA
    assert server.ranges == ["bytes=5000-"]


def test_a_server_without_ranges_sends_all_again(server, tmp_path: Path) -> None:
    server.ranged = False
    server.cut, server.cuts = 100_000, 2
    path = weights.fetch(_entry(server), tmp_path, pause=0.01)
    assert path.read_bytes() == DATA
    assert len(server.ranges) == 3


def test_gives_up_when_there_is_no_progress(server, tmp_path: Path) -> None:
    server.ranged, server.cut = False, 1000
    with pytest.raises(WeightsError, match=r"cut.*Run it again"):
        weights.fetch(_entry(server), tmp_path, attempts=2, pause=0.01)
    assert (tmp_path / "w.pth.part").exists()
    assert not (tmp_path / "w.pth").exists()


def test_a_busy_server_is_asked_again(server, tmp_path: Path) -> None:
    server.fail_first = 2
    assert weights.fetch(_entry(server), tmp_path, pause=0.01).read_bytes() == DATA


def test_wrong_bytes_are_removed_and_reported(server, tmp_path: Path) -> None:
    server.body = DATA[:-1] + b"x"
    with pytest.raises(WeightsError, match="wrong bytes"):
        weights.fetch(_entry(server), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_refused_before_it_is_downloaded(server, tmp_path: Path) -> None:
    server.body = b"<html>not found</html>"
    with pytest.raises(WeightsError, match=r"has 22 bytes, w\.pth has 307200"):
        weights.fetch(_entry(server), tmp_path)


def test_a_missing_file_is_not_tried_again(server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="404"):
        weights.fetch(_entry(server, "/missing"), tmp_path)
    assert len(server.ranges) == 1


def test_no_network_names_the_remedy(tmp_path: Path) -> None:
    entry = WeightFile("w.pth", "a test", "http://127.0.0.1:9/w.pth", 10, "00")
    with pytest.raises(WeightsError, match="Is there a network"):
        weights.fetch(entry, tmp_path, attempts=2, pause=0.01)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(WeightsError, match=r"taken/w\.pth.* cannot be written .* --folder"):
        weights.fetch(_entry(server), tmp_path / "taken")
    assert not server.ranges


def test_a_full_disk_is_reported_and_not_retried(server, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights, "_copy", full)
    with pytest.raises(WeightsError, match="disk is full"):
        weights.fetch(_entry(server), tmp_path)
    assert len(server.ranges) == 1


def test_unpublished_digest_is_recorded_at_first_use(server, tmp_path: Path) -> None:
    entry = _entry(server, size=None, sha256=None)
    path = weights.fetch(entry, tmp_path)
    record = tmp_path / "w.pth.sha256"
    assert record.read_text().split() == [hashlib.sha256(DATA).hexdigest(), "w.pth"]
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="sha256"):
        weights.check_file(entry, path)


@pytest.mark.parametrize("record", [b"", b"\n", b"w.pth\n", b"ab12  w.pth\n", b"\xff\x00"])
def test_a_record_without_a_digest_is_passed_over(tmp_path: Path, caplog, record: bytes) -> None:
    entry, digest = WeightFile("w.pth", "a test", None), hashlib.sha256(DATA).hexdigest()
    path = tmp_path / "w.pth"
    path.write_bytes(DATA)
    (tmp_path / "w.pth.sha256").write_bytes(record)
    assert weights.check_file(entry, path) == digest
    assert "w.pth.sha256 holds no sha256: it is passed over" in caplog.text
    assert (tmp_path / "w.pth.sha256").read_text() == f"{digest}  w.pth\n"
    assert weights.recorded_digest(path) == digest


def test_the_command_that_fetches_a_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("HQTRACK_WEIGHTS", raising=False)
    tiny = "sam_hq_vit_tiny.pth"
    assert weights.fetch_command(WEIGHTS / tiny) == f"make weights NAMES={tiny}"
    elsewhere = f'make weights NAMES={tiny} ARGS="--folder {tmp_path}"'
    assert weights.fetch_command(tmp_path / tiny) == elsewhere
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path))
    assert weights.fetch_command(tmp_path / tiny) == f"make weights NAMES={tiny}"
    assert weights.fetch_command(tmp_path / "mine.pth") is None


def test_the_segmenter_must_be_fetched_by_hand(tmp_path: Path, capsys) -> None:
    assert command.main(["save_step_42000.pth", "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "drive.google.com" in said and str(tmp_path) in said


def test_unknown_name_lists_the_known(capsys) -> None:
    assert command.main(["nothing.pth"]) == 1
    assert "sam_hq_vit_h.pth" in capsys.readouterr().err


def test_the_manifest_is_well_formed(capsys) -> None:
    names = [entry.name for entry in weights.MANIFEST]
    assert len(set(names)) == len(names)
    assert set(weights.DEFAULT_NAMES) <= set(names)
    for entry in weights.MANIFEST:
        if entry.url is None:
            assert entry.page
        else:
            assert entry.url.startswith("https://") and entry.url.endswith(entry.name)
            assert entry.size > 10**7 and len(entry.sha256) == 64
    assert command.main(["--list"]) == 0
    assert "sam_hq_vit_tiny.pth" in capsys.readouterr().out


def test_what_is_no_checkpoint_is_not_recorded_as_the_segmenter(tmp_path: Path, capsys) -> None:
    (tmp_path / "save_step_42000.pth").write_text("<html>Sign in</html>")
    assert command.main(["save_step_42000.pth", "--folder", str(tmp_path)]) == 1
    assert "save_step_42000.pth is damaged or no checkpoint" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["save_step_42000.pth"]


def test_a_file_that_differs_from_its_record_names_the_record(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(DATA)
    weights.record_digest(tmp_path / "w.pth", "0" * 64)
    with pytest.raises(WeightsError, match=r"has 0{64} by w\.pth\.sha256, to be removed with it"):
        weights.fetch(WeightFile("w.pth", "a test", None), tmp_path)


def test_a_folder_in_the_place_of_a_file_is_told_before_the_download(
    server, tmp_path: Path
) -> None:
    (tmp_path / "w.pth").mkdir()
    with pytest.raises(WeightsError, match=r"w\.pth is a folder, not a file; remove it"):
        weights.fetch(_entry(server), tmp_path)
    assert server.ranges == []


def test_a_digest_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "w.pth.sha256")

    (tmp_path / "w.pth").write_bytes(DATA)
    monkeypatch.setattr(weights, "record_digest", refuse)
    with pytest.raises(WeightsError, match=r"w\.pth cannot be read, or .*Permission.*--folder"):
        weights.fetch(WeightFile("w.pth", "a test", None), tmp_path)
