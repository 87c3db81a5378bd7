"""The web application: NiceGUI's, with the pages, the routes and the guard of this one."""

from __future__ import annotations

from nicegui import app, ui

from tracker.web.guard import Guard
from tracker.web.limits import MEGABYTE
from tracker.web.routes import routes
from tracker.web.site import Site
from tracker.web.start_page import start_page
from tracker.web.video_page import video_page

SWEEP_SECONDS = 30.0
CLOSING_SECONDS = 3
"""How long open connections may hold up the end."""

FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="6" fill="#16324f"/>'
    '<circle cx="16" cy="16" r="7" fill="#f0a500"/></svg>'
)


def serve(site: Site, host: str, port: int, show: bool) -> None:
    """Serve the site until the process is interrupted, then delete what it kept."""

    @ui.page("/", title="HQTrack")
    def _start() -> None:
        start_page(site)

    @ui.page("/video/{token}", title="HQTrack")
    def _video(token: str) -> None:
        video_page(site, token)

    app.router.routes[:0] = routes(site)
    app.add_middleware(Guard, most_bytes=site.limits.megabytes * MEGABYTE + MEGABYTE)
    app.timer(SWEEP_SECONDS, lambda: site.store.sweep())
    app.on_startup(
        lambda: print(f"Open http://{host}:{port}/ in a browser; Ctrl-C ends.", flush=True)
    )
    app.on_shutdown(site.close)
    try:
        ui.run(
            host=host,
            port=port,
            show=show,
            reload=False,
            title="HQTrack",
            favicon=FAVICON,
            tailwind=False,
            show_welcome_message=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
    finally:
        site.close()
