"""The official weights: a manifest, and downloading what it names.

A download goes to NAME.part and is renamed when its size and sha256 are right, so a file of the
right name is always whole. An interrupted one goes on where it stopped.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import logging
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tracker.checkout import WEIGHTS, chosen_weights

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_HQ_SAM = "https://huggingface.co/lkeab/hq-sam/resolve/main/"
_INTERNIMAGE = "https://huggingface.co/OpenGVLab/InternImage/resolve/main/"
_DRIVE = "https://drive.google.com/drive/folders/1Hh10hLtz3YL_zE3PfBCiLB0tvj3Yvv26"


class WeightsError(RuntimeError):
    """A weights file could not be had or is not the right one; the text says what to do."""


@dataclass(frozen=True)
class WeightFile:
    """One file of the manifest.

    url: where it is downloaded, None when a person must fetch it from `page`. size in bytes and
    sha256 (hexadecimal) as published, None where they are not published.
    """

    name: str
    use: str
    url: str | None
    size: int | None = None
    sha256: str | None = None
    page: str | None = None


# Sizes and digests: as the hosts publish them. The authors of HQTrack publish none.
MANIFEST = (
    WeightFile("save_step_42000.pth", "VMOS, the segmenter of HQTrack", None, page=_DRIVE),
    WeightFile(
        "sam_hq_vit_h.pth",
        "HQ-SAM ViT-H, the refiner of HQTrack",
        _HQ_SAM + "sam_hq_vit_h.pth",
        2570940653,
        "a7ac14a085326d9fa6199c8c698c4f0e7280afdbb974d2c4660ec60877b45e35",
    ),
    WeightFile(
        "sam_hq_vit_l.pth",
        "HQ-SAM ViT-L, a smaller refiner",
        _HQ_SAM + "sam_hq_vit_l.pth",
        1254865805,
        "e1a6c385d62bf005ded91a54d5ec55c985cfc4103ef89c08d90f39f04934c343",
    ),
    WeightFile(
        "sam_hq_vit_b.pth",
        "HQ-SAM ViT-B, a smaller refiner",
        _HQ_SAM + "sam_hq_vit_b.pth",
        379335069,
        "14a9d662cd6f5a9c2dba6d40ab0058d88d287e4a18fd6fdc6ad5fb1a3fdeaa57",
    ),
    WeightFile(
        "sam_hq_vit_tiny.pth",
        "HQ-SAM ViT-tiny, the smallest refiner",
        _HQ_SAM + "sam_hq_vit_tiny.pth",
        42526881,
        "0f32c075ccdd870ae54db2f7630e7a0878ede5a2b06d05d6fe02c65a82fb7196",
    ),
    WeightFile(
        "internimage_t_1k_224.pth",
        "InternImage-T on ImageNet, where training of HQTrack starts",
        _INTERNIMAGE + "internimage_t_1k_224.pth",
        119874895,
        "84bc50c47ebf7a56f19da5d7fddba9b862cd5abe0597e40c6fb218844c5cbbc2",
    ),
)
# What the preset `hqtrack` needs.
DEFAULT_NAMES = ("save_step_42000.pth", "sam_hq_vit_h.pth")
RECORD_SUFFIX = ".sha256"


def find(name: str) -> WeightFile:
    """The manifest's entry of that name; WeightsError lists the names."""
    for entry in MANIFEST:
        if entry.name == name:
            return entry
    raise WeightsError(f"no weights named {name!r}; known: {', '.join(e.name for e in MANIFEST)}")


def fetch_command(path: Path) -> str | None:
    """The command that fetches a file of the manifest to this place; None for any other file."""
    if path.name not in {entry.name for entry in MANIFEST}:
        return None
    folder = path.parent.resolve()
    elsewhere = "" if folder == chosen_weights().resolve() else f' ARGS="--folder {folder}"'
    return f"make weights NAMES={path.name}{elsewhere}"


def sha256_of(path: Path) -> str:
    """The sha256 of a file, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def recorded_digest(path: Path) -> str | None:
    """The sha256 recorded beside a file (NAME.sha256), None where there is none.

    A record without one (empty, cut, something else) counts for nothing, with a line in the log.
    """
    record = path.with_name(path.name + RECORD_SUFFIX)
    if not record.is_file():
        return None
    if found := re.match(r"[0-9a-f]{64}\b", record.read_text(errors="replace")):
        return found[0]
    _log.warning("%s holds no sha256: it is passed over", record)
    return None


def record_digest(path: Path, digest: str) -> None:
    """Write the sha256 of a file beside it (NAME.sha256), to be compared with later."""
    path.with_name(path.name + RECORD_SUFFIX).write_text(f"{digest}  {path.name}\n")


def check_file(entry: WeightFile, path: Path) -> str:
    """The sha256 of a file that is the entry's; WeightsError when it is another one.

    A file whose digest nobody publishes is compared with the one recorded beside it at its first
    use (NAME.sha256); without a record, this writes it.
    """
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        raise WeightsError(f"{path} has {size} bytes, {entry.name} has {entry.size}")
    digest = sha256_of(path)
    recorded = None if entry.sha256 else recorded_digest(path.with_name(entry.name))
    expected = entry.sha256 or recorded
    if expected is not None and digest != expected:
        record = f" by {entry.name}{RECORD_SUFFIX}, to be removed with it" if recorded else ""
        raise WeightsError(f"{path} has sha256 {digest}, {entry.name} has {expected}{record}")
    if expected is None:
        record_digest(path.with_name(entry.name), digest)
        _log.info("no digest is published for %s; recorded %s", entry.name, digest)
    return digest


def fetch(entry: WeightFile, folder: Path = WEIGHTS, attempts: int = 4, pause: float = 1.0) -> Path:
    """The entry's file in `folder`, downloaded unless it is there already and right.

    A cut connection is taken up again, `attempts` times without a byte of progress, after `pause`
    seconds (doubled each time). Raises WeightsError: no network, wrong bytes (the file is removed),
    disk full, or a file that a person must fetch.
    """
    path = folder / entry.name
    if path.is_file():
        try:
            check_file(entry, path)
        except WeightsError as error:
            raise WeightsError(f"{error}; remove it and run again") from error
        except OSError as error:
            raise WeightsError(
                f"{path} cannot be read, or no digest be written beside it ({error}); change the "
                "permissions, or copy it to another folder and name that with --folder"
            ) from error
        return path
    if path.exists():
        raise WeightsError(f"{path} is a folder, not a file; remove it and run again")
    if entry.url is None:
        raise WeightsError(
            f"{entry.name} cannot be downloaded by a program: open {entry.page} in a browser, "
            f"download {entry.name}, and put it into {folder}"
        )
    part = path.with_name(path.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(entry, part, attempts, pause)
    except OSError as error:
        raise WeightsError(_explain(entry, part, error)) from error
    try:
        check_file(entry, part)
    except WeightsError as error:
        part.unlink()
        raise WeightsError(f"{error}; the server sent wrong bytes, they are removed") from error
    return part.replace(path)


_NOT_WRITABLE = (errno.EACCES, errno.EROFS, errno.EEXIST, errno.ENOTDIR)


def _explain(entry: WeightFile, part: Path, error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{entry.url}: the server answers {error.code} {error.reason}"
    if error.errno == errno.ENOSPC:
        return f"the disk is full at {part}: free some space and run it again, it goes on there"
    if error.errno in _NOT_WRITABLE:
        return (
            f"{part} cannot be written ({error.strerror}); name another folder with --folder or "
            "$HQTRACK_WEIGHTS"
        )
    cause = getattr(error, "reason", error)
    return (
        f"{entry.url} cannot be downloaded: {cause}. Is there a network? Run it again to go on, "
        f"or put {entry.name} into {part.parent} yourself"
    )


def _download(entry: WeightFile, part: Path, attempts: int, pause: float) -> None:
    """Bring `part` to its full size; raises OSError after `attempts` tries without progress."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(entry, part):
                return
            problem: OSError = ConnectionError("the connection was cut")
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 416, 429):
                raise
            problem = error
        except http.client.HTTPException as error:
            problem = ConnectionError(f"the connection was cut: {error!r}")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
                raise
            problem = error
        after = part.stat().st_size if part.exists() else 0
        failures = 0 if after > before else failures + 1
        if failures >= attempts:
            raise problem
        _log.warning("%s: %s; trying again", entry.name, getattr(problem, "reason", problem))
        time.sleep(pause * 2 ** max(failures - 1, 0))


def _transfer(entry: WeightFile, part: Path) -> bool:
    """One request, going on where `part` ends; whether the file is complete afterwards.

    Raises WeightsError when the server has another file (an error page, a newer version).
    """
    done = part.stat().st_size if part.exists() else 0
    if entry.size is not None and done >= entry.size:
        return True
    request = urllib.request.Request(entry.url, headers={"Accept-Encoding": "identity"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # what is here is no beginning of what is there
            part.unlink()
        raise
    with response:
        if response.status != 206 or not _starts_at(response, done):
            done = 0  # the server does not know ranges and sends all again
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else entry.size
        if entry.size is not None and total != entry.size:
            raise WeightsError(f"{entry.url} has {total} bytes, {entry.name} has {entry.size}")
        _copy(response, part, done, total, entry.name)
    return total is None or part.stat().st_size >= total


def _starts_at(response: http.client.HTTPResponse, done: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {done}-")


def _copy(
    response: http.client.HTTPResponse, part: Path, done: int, total: int | None, name: str
) -> None:
    from tqdm import tqdm

    with (
        part.open("ab" if done else "wb") as handle,
        tqdm(
            desc=name, initial=done, total=total, unit="B", unit_scale=True, unit_divisor=1024
        ) as bar,
    ):
        while data := response.read1(_CHUNK):
            handle.write(data)
            bar.update(len(data))
