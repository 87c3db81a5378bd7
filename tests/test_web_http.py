"""The page's HTTP without a browser: who is served, uploads, pictures, downloads."""

from __future__ import annotations

import asyncio
import io
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.web_toys import HEIGHT, WIDTH, block, drifting_tracker
from tracker.media.video import VideoWriter
from tracker.web.guard import Guard
from tracker.web.limits import MEGABYTE, Limits
from tracker.web.routes import TITLE_HEADER, routes
from tracker.web.site import Site

LOCAL = "http://127.0.0.1:8080"


@pytest.fixture
def site():
    made = Site(drifting_tracker()[0], Limits(megabytes=1, videos=3))
    yield made
    made.close()


@pytest.fixture
def client(site):
    async def socket(websocket):
        await websocket.accept()
        await websocket.send_text("in")
        await websocket.close()

    app = Starlette(
        routes=[*routes(site), WebSocketRoute("/socket", socket)],
        middleware=[Middleware(Guard, most_bytes=2 * MEGABYTE)],
    )
    with TestClient(app, base_url=LOCAL) as opened:
        yield opened


@pytest.fixture
def video_bytes(tmp_path):
    path = tmp_path / "made.mp4"
    with VideoWriter(path, 10) as video:
        for number in range(4):
            video.add(np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8))
    return path.read_bytes()


def _upload(client, data, name="a.mp4"):
    return client.post("/upload", content=data, headers={TITLE_HEADER: quote(name)})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 404),
        ("localhost:9999", 404),
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.1@evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_only_this_computers_names_are_served(client, host, status):
    assert client.get("/nothing", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (LOCAL, 404),
        ("http://evil.example", 403),
        ("http://127.0.0.1:9000", 403),
        ("http://localhost:8080", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_requests_of_other_pages_are_refused(client, origin, status):
    assert client.get("/nothing", headers={"origin": origin}).status_code == status


def test_sockets_of_other_pages_are_refused(client):
    with client.websocket_connect(
        "/socket", headers={"origin": LOCAL, "host": "127.0.0.1:8080"}
    ) as s:
        assert s.receive_text() == "in"
    for headers in (
        {"origin": "http://evil.example", "host": "127.0.0.1:8080"},
        {"host": "evil.example"},
    ):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            client.websocket_connect("/socket", headers=headers),
        ):
            pass
        assert refused.value.code == 1008


def test_every_answer_forbids_other_sources(client):
    headers = client.get("/nothing").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_an_uploaded_name_is_shown_and_is_no_path(client, site, video_bytes):
    answer = _upload(client, video_bytes, "../../../tmp/évil.mp4")
    assert answer.status_code == 200
    video = site.store.get(answer.json()["token"])
    assert video.title == "évil.mp4" and video.folder.parent == site.store.root
    assert video.reading.wait(30) and video.project.clip.count == 4
    names = sorted(path.name for path in video.folder.iterdir())
    assert names == [f"frame-{n:08d}.jpg" for n in range(4)], "the upload itself is gone"


def test_too_large_an_upload_is_refused_and_leaves_nothing(client, site):
    answer = _upload(client, b"x" * (MEGABYTE + 1))
    assert answer.status_code == 413 and "larger than 1 MB" in answer.text
    for over, words in ((0, "larger than 1 MB"), (1, "The request is too large.")):
        answer = _upload(client, b"x" * (2 * MEGABYTE + over))
        assert answer.status_code == 413 and words in answer.text
    endless = client.post("/upload", content=(b"x" for _ in range(3)))
    assert endless.status_code == 411
    assert list(site.store.root.iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(site):
    messages = iter([{"body": b"x", "more_body": True}, {"type": "http.disconnect"}])
    seen = []

    async def receive():
        seen.append([path.name for path in site.store.root.iterdir()])
        return {"type": "http.request"} | next(messages)

    async def send(_):
        pass

    headers = [(b"content-length", b"9")]
    scope = {"type": "http", "method": "POST", "path": "/upload", "headers": headers}
    with pytest.raises(ClientDisconnect):
        asyncio.run(Starlette(routes=routes(site))(scope | {"query_string": b""}, receive, send))
    assert len(seen) == 2 and len(seen[1]) == 1 and list(site.store.root.iterdir()) == []


def test_more_videos_than_allowed_are_refused(client, video_bytes):
    assert [_upload(client, video_bytes).status_code for _ in range(4)] == [200, 200, 200, 413]


@pytest.fixture
def tracked(client, site, video_bytes):
    """The address of an uploaded video with one tracked object."""
    video = site.store.get(_upload(client, video_bytes).json()["token"])
    assert video.reading.wait(30)
    video.project.mark(0, video.project.add_object(), block(2))
    assert site.track(video).wait(30)
    return f"/videos/{video.token}"


def test_frames_come_with_their_masks_or_plain(client, tracked):
    drawn = client.get(f"{tracked}/frames/2.jpg?at=3")
    plain = client.get(f"{tracked}/frames/2.jpg?plain=1")
    assert drawn.headers["content-type"] == "image/jpeg"
    drawn, plain = (
        np.array(Image.open(io.BytesIO(answer.content))).astype(int) for answer in (drawn, plain)
    )
    assert plain.shape == (HEIGHT, WIDTH, 3) and np.ptp(plain) < 12
    assert drawn[6, 6, 0] - drawn[6, 6, 2] > 30 > drawn[20, 40, 0] - drawn[20, 40, 2]


def test_downloads_have_their_own_names(client, tracked):
    for name, kind in (
        ("overlay.mp4", "video/mp4"),
        ("masks.zip", "application/zip"),
        ("results.json", "application/json"),
    ):
        answer = client.get(f"{tracked}/{name}")
        assert answer.status_code == 200 and answer.headers["content-type"] == kind
        assert f'filename="{name}"' in answer.headers["content-disposition"]
        assert len(answer.content) > 100


def test_nothing_else_can_be_fetched(client, tracked):
    for address in (
        f"{tracked}/frame-00000000.jpg",
        f"{tracked}/../../etc/passwd",
        f"{tracked}/%2e%2e%2fsecret",
        f"{tracked}/frames/4.jpg",
        f"{tracked}/frames/99.jpg",
        f"{tracked}/frames/-1.jpg",
        "/videos/guess/frames/0.jpg",
        "/videos/guess/masks.zip",
        "/videos/../masks.zip",
    ):
        assert client.get(address).status_code == 404, address


def test_nothing_to_download_yet(client, site, video_bytes):
    token = _upload(client, video_bytes).json()["token"]
    site.store.get(token).reading.wait(30)
    answer = client.get(f"/videos/{token}/masks.zip")
    assert answer.status_code == 409 and "Track the video first" in answer.text
