"""Where a command computes: a scheduler elsewhere, worker processes here, or the threads of this one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster

from dask_onestep.cli.console import show_warning
from dask_onestep.cli.options import ReadingOptions


@contextmanager
def computing_on(asked: ReadingOptions) -> Iterator[None]:
    """Compute on a scheduler elsewhere, on workers that are started and ended, or else in threads."""
    scheduler, workers = asked.scheduler, asked.workers
    if scheduler is not None and workers is not None:
        raise ValueError("--scheduler and --workers are mutually exclusive.")
    if scheduler is not None:
        try:
            # Not as the default: a client that never connected would stay that until it is collected, and whatever
            # is computed meanwhile in this process would wait for it without end.
            client = Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"--scheduler {scheduler}: {error}. Is a Dask scheduler running there?") from error
        with _silent_logs(), client, client.as_current():
            if not client.scheduler_info()["workers"]:
                show_warning(f"--scheduler {scheduler} has no workers yet; the computation starts with the first one.")
            yield
    elif workers is not None:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
            ) as local,
            Client(local),
        ):
            yield
    else:
        yield


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Keep a client from logging, with tracebacks, what is said here in a line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
