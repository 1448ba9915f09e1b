"""Where data sets are kept, and those of a Dataverse, downloaded and verified by pooch."""

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from dask_onestep.messages import catalogue

_TIMEOUT = 60.0
_RETRIES = 3


def dataverse_files(server: str, dataset: str, folder: Path) -> Any:
    """Return the published files of a Dataverse data set."""
    try:
        import pooch
        import tqdm  # noqa: F401  (for pooch's progress bars)
    except ImportError as error:
        raise catalogue.MISSING_EXTRA.error(what="A download", package="pooch and tqdm", extra="download") from error
    server, query = server.rstrip("/"), urlencode({"persistentId": dataset})
    address = f"{server}/api/datasets/:persistentId/versions/:latest-published?{query}"
    with urlopen(address, timeout=_TIMEOUT) as response:
        body = response.read()
    try:
        files = {file["filename"]: file for file in (entry["dataFile"] for entry in json.loads(body)["data"]["files"])}
        checksums = {name: _checksum(file) for name, file in files.items()}
        urls = {name: f"{server}/api/access/datafile/{int(file['id'])}" for name, file in files.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"The response of {address} is not that of a Dataverse: {error!r}.") from error
    if unsafe := [name for name in files if not re.fullmatch(r"\w[\w .()+-]*", name)]:
        raise OSError(f"{address} lists invalid file names: {unsafe}. Nothing was downloaded.")
    return pooch.create(folder, server, registry=checksums, urls=urls, retry_if_failed=_RETRIES)


def _checksum(file: dict[str, Any]) -> str:
    """Return the checksum of a file as pooch expects it; older installations publish only the MD5."""
    checksum = file.get("checksum") or {"type": "MD5", "value": file["md5"]}
    return f"{checksum['type'].replace('-', '').lower()}:{checksum['value']}"


def data_folder(data_home: str | os.PathLike | None, name: str) -> Path:
    """Return the directory of a data set."""
    if data_home is not None:
        return Path(data_home).expanduser()
    return Path(os.environ.get("DASK_ONESTEP_DATA", "~/dask_onestep_data")).expanduser() / name
