"""The page's plain HTTP: upload of a file, pictures of frames, downloads. All by secret token."""

from __future__ import annotations

from functools import partial
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tracker.media.masks import draw
from tracker.web.clip import jpeg
from tracker.web.exports import EXPORTS
from tracker.web.limits import LimitError
from tracker.web.project import Project, ProjectError
from tracker.web.site import Site
from tracker.web.store import Video

PICTURE_QUALITY = 88
"""Of the JPEGs that the page shows, 0 to 100."""

TITLE_HEADER = "x-video-name"
"""Carries the name of an uploaded file, percent-encoded; it is shown and is never a path."""


def routes(site: Site) -> list[Route]:
    """What the page needs beside itself."""
    return [
        Route("/upload", partial(_upload, site), methods=["POST"]),
        Route("/videos/{token}/frames/{frame:int}.jpg", partial(_frame, site)),
        Route("/videos/{token}/{name}", partial(_download, site)),
    ]


async def _upload(site: Site, request: Request) -> Response:
    """The body is the file, its length told ahead (else `Guard` refuses it). Answers
    {"token": ...}, or a status and the reason as text."""
    try:
        site.limits.check_bytes(int(request.headers.get("content-length", 0)))
        video = site.store.open(unquote(request.headers.get(TITLE_HEADER, "")))
    except LimitError as error:
        return PlainTextResponse(str(error), 413)
    path = video.folder / "upload"
    try:
        with path.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
    except BaseException:
        site.store.drop(video.token)
        raise
    site.read(video, path)
    return JSONResponse({"token": video.token})


async def _frame(site: Site, request: Request) -> Response:
    """A frame as JPEG, with the masks drawn in unless ?plain=1. The page adds a revision, so a
    browser may keep it."""
    project = _project(site, request)
    frame = request.path_params["frame"]
    if project is None or not 0 <= frame < project.clip.count:
        return PlainTextResponse("There is no such frame.", 404)
    plain = request.query_params.get("plain") == "1"
    data = await run_in_threadpool(_picture, project, frame, plain)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"})


async def _download(site: Site, request: Request) -> Response:
    name = request.path_params["name"]
    video = _video(site, request)
    if video is None or name not in EXPORTS:
        return PlainTextResponse("There is no such download.", 404)
    try:
        path = await run_in_threadpool(site.export, video, name)
    except ProjectError as error:
        return PlainTextResponse(str(error), 409)
    return FileResponse(path, media_type=EXPORTS[name][0], filename=name)


def _picture(project: Project, frame: int, plain: bool) -> bytes:
    image = project.clip.image(frame)
    return jpeg(image if plain else draw(image, project.labels(frame)), PICTURE_QUALITY)


def _video(site: Site, request: Request) -> Video | None:
    try:
        return site.store.get(request.path_params["token"])
    except KeyError:
        return None


def _project(site: Site, request: Request) -> Project | None:
    video = _video(site, request)
    return None if video is None else video.project
