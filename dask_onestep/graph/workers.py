"""What the workers of a cluster have installed, compared with this process before they are given anything to do.

A worker that lacks the package cannot read its tasks and is lost; one with another build, or other versions of what
computes, returns other digits.
"""

import builtins
import os
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from threading import Event
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import dask

from dask_onestep._version import __version__
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import with_pointer

_PACKAGE = "dask_onestep"
_SHOWN = 5
_checked: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
# The process in which each client's event loop was seen to run, and how long to wait for a loop that is busy.
_running_in: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_LOOP_SECONDS = 30.0


def check_workers(scheduler: str | None) -> None:
    """Compare workers that are new to a client with this process; nothing where Dask computes in this process."""
    client = _client(scheduler)
    if client is None:
        return
    if client.asynchronous:
        raise RuntimeError(
            "The Dask client is asynchronous, but fit waits for each of its passes. Use fit_delayed and await the "
            "result of client.compute, or call fit with a synchronous client in a separate thread."
        )
    _check_loop(client)
    known = _checked.setdefault(client, set())
    new = [address for address in client.nthreads() if address not in known]
    if not new:
        return
    # A cluster may forbid to run functions on workers, which then are taken as they are.
    found = client.run(_by_value(installed), workers=new, on_error="ignore")
    _compare({address: versions for address, versions in found.items() if isinstance(versions, dict)}, len(new))
    known.update(new)


def _check_loop(client: Any) -> None:
    """Raise if a client's event loop does not run: a forked child inherits a client, but not the thread of its loop."""
    if _running_in.get(client) == os.getpid():
        return
    running = Event()
    client.loop.add_callback(running.set)
    if not running.wait(_LOOP_SECONDS):
        raise RuntimeError(
            "The Dask client does not respond in this process. A process that was forked after the client was created "
            "cannot use it: create a Client(address) in the child process, or start the process by 'spawn'."
        )
    _running_in[client] = os.getpid()


def _client(scheduler: str | None) -> Any:
    """Return the client that Dask would compute with."""
    chosen = dask.config.get("scheduler", None) if scheduler is None else scheduler
    distributed = sys.modules.get("distributed")  # which whoever has a client has imported
    if distributed is None or chosen not in (None, "dask.distributed", "distributed"):
        return None
    try:
        client = distributed.get_client()
    except ValueError:
        return None
    falls_back = client.asynchronous and dask.config.get("admin.async-client-fallback", None)
    return None if falls_back else client


def _compare(found: Mapping[str, dict[str, str | None]], count: int) -> None:
    if without := [address for address, versions in found.items() if versions[_PACKAGE] is None]:
        raise ImportError(
            f"{_PACKAGE} cannot be imported on {len(without)} of {count} workers: {_listed(without)}. Install version "
            f"{__version__}, that of this process, on them, for example with "
            f"client.register_plugin(distributed.PipInstall(['{_PACKAGE}=={__version__}'])), and fit again."
        )
    differences = []
    for name, here in _installed_here().items():
        others: dict[str, list[str]] = {}
        for address, versions in found.items():
            if (there := versions[name]) != here:
                others.setdefault(there or "not installed", []).append(address)
        differences += [
            f"{name} is {here or 'not installed'} here and {there} on {_listed(addresses)}"
            for there, addresses in others.items()
        ]
    if differences:
        category, text = catalogue.VERSIONS_DIFFER.warning(differences=differences)
        warnings.warn(with_pointer(category, text), category, stacklevel=2)


def _listed(addresses: list[str]) -> str:
    shown = ", ".join(sorted(addresses)[:_SHOWN])
    return shown + (f" and {len(addresses) - _SHOWN} more" if len(addresses) > _SHOWN else "")


@cache
def _installed_here() -> dict[str, str | None]:
    return installed()


def installed(dask_worker: Any = None) -> dict[str, str | None]:
    """Return the versions of what computes, by package, None of one that is absent; it imports none of them."""
    # Workers are given this function by value: all that it needs is imported here.
    from hashlib import sha256
    from importlib import metadata, util
    from pathlib import Path

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    found = {name: version(name) for name in ("numba", "numpy", "scipy", "pandas", "pyarrow")}
    spec = util.find_spec("dask_onestep")
    build = None
    if spec is not None:
        kept = {} if dask_worker is None else vars(dask_worker)
        if "dask_onestep_sources" not in kept:
            root, digest = Path(str(spec.origin)).parent, sha256()
            for path in sorted(root.rglob("*.py")):
                digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
            kept["dask_onestep_sources"] = digest.hexdigest()[:8]
        build = f"{version('dask_onestep') or 'of no version'} (sources {kept['dask_onestep_sources']})"
    return {"dask_onestep": build, **found}


def _by_value(function: Any) -> Any:
    """Return a function that is pickled by what it does and not by its name, for workers that lack its module."""
    copy = FunctionType(function.__code__, {"__builtins__": builtins}, function.__name__, function.__defaults__)
    copy.__module__ = "__main__"
    return copy
