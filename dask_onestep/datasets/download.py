"""Files from a Dataverse: resumed where they stopped, checked when they are whole."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

__all__ = ["Remote", "download", "remote_files"]

_PIECE = 2**18
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Remote:
    """A file that a server offers.

    Attributes
    ----------
    name : str
        Its name.
    url : str
        Its address.
    size : int or None
        Bytes, if the server says.
    md5 : str or None
        Its MD5, if the server publishes one.
    """

    name: str
    url: str
    size: int | None = None
    md5: str | None = None


def remote_files(server: str, dataset: str) -> dict[str, Remote]:
    """Return the files of a Dataverse data set by name, as its native API lists them.

    Parameters
    ----------
    server : str
        Address of the installation.
    dataset : str
        Persistent identifier, such as ``doi:10.7910/DVN/HG7NV7``.

    Returns
    -------
    dict
        Name to `Remote`.

    Raises
    ------
    OSError
        If the server cannot be reached, does not answer as a Dataverse does, or lists a file whose name is a path.
    """
    query = urlencode({"persistentId": dataset})
    address = f"{server.rstrip('/')}/api/datasets/:persistentId/versions/:latest-published?{query}"
    with urlopen(address, timeout=_TIMEOUT) as answer:
        body = answer.read()
    try:
        listed = [entry["dataFile"] for entry in json.loads(body)["data"]["files"]]
        files = {file["filename"]: _remote(server, file) for file in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"{address} did not answer as a Dataverse does: {error!r}.") from error
    if strange := [name for name in files if not re.fullmatch(r"\w[\w .()+-]*", name)]:
        raise OSError(f"{address} lists files whose names are not plain: {strange}. Nothing was downloaded.")
    return files


def _remote(server: str, file: dict[str, Any]) -> Remote:
    checksum = file.get("checksum", {})
    md5 = file.get("md5") or (checksum.get("value") if checksum.get("type") == "MD5" else None)
    url = f"{server.rstrip('/')}/api/access/datafile/{int(file['id'])}"
    return Remote(file["filename"], url, file.get("filesize"), md5)


def download(remote: Remote, target: Path, *, progress: bool = True) -> Path:
    """Download a file, unless it is there and passes; go on with a part that is there.

    Parameters
    ----------
    remote : Remote
        What to download.
    target : Path
        Where to.  What has arrived so far is beside it, with ``.part`` at the end of its name.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    OSError
        If the server cannot be reached, or what arrived is not what the server published.
    """
    if target.exists() and _fault(remote, target) is None:
        return target
    part = target.with_name(target.name + ".part")
    whole = remote.size is not None and part.exists() and part.stat().st_size == remote.size
    if not whole:
        _transfer(remote, part, progress)
    if (fault := _fault(remote, part)) is not None:
        if part.stat().st_size >= (remote.size or 0):
            part.unlink()  # damaged, not unfinished: the next call starts anew
        raise OSError(f"{remote.url}: {fault}. Call again to {'go on' if part.exists() else 'download it anew'}.")
    part.replace(target)
    return target


def _transfer(remote: Remote, part: Path, progress: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = Request(remote.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        have, answer = 0, urlopen(remote.url, timeout=_TIMEOUT)
    with answer:
        # A server that knows no ranges sends the whole from its start.
        resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
        have = have if resumed else 0
        expected = have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as file:
            while piece := answer.read(_PIECE):
                file.write(piece)
                have += len(piece)
                if progress:
                    _show(remote, have)
    if progress:
        print(file=sys.stderr)
    if have < expected:
        raise OSError(f"{remote.url} broke off after {have:,} bytes of {expected:,}. Call again to go on.")


def _show(remote: Remote, have: int) -> None:
    text = f"{have / 1e6:8.1f} MB"
    if remote.size:
        share = have / remote.size
        text = f"{'█' * int(30 * share):30} {share:4.0%} of {remote.size / 1e6:.1f} MB"
    print(f"\r{remote.name}  {text}", end="", file=sys.stderr, flush=True)


def _fault(remote: Remote, file: Path) -> str | None:
    """Return what is wrong with a file, None if nothing is."""
    size = file.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"{size:,} bytes have arrived of {remote.size:,}"
    if remote.md5 is not None:
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "md5").hexdigest()
        if found != remote.md5:
            return f"the MD5 is {found} and should be {remote.md5}"
    return None
