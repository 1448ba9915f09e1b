"""Progress of what is computed: a bar per pass on a terminal, otherwise a line per pass, always on stderr.

Tasks are counted by Dask's callbacks where they run in this process or are sent out from it, and by the scheduler
where they run on a cluster.  The bar is rich's (extra ``cli``); without rich there is a line per pass.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
from dask.callbacks import Callback

from dask_onestep.graph.cluster import futures_in

DrawBar = Callable[[int, int], None]


def persist_shown(values: Sequence[Any], title: str, **options: Any) -> tuple[Any, ...]:
    """Compute Dask collections where their data are, and show the progress on stderr."""
    with _drawn(title) as draw:
        with _counted(draw):
            settled = dask.persist(*values, **options)
        # On a cluster that was a promise.
        if futures := futures_in(settled):
            followed = _followed(futures, draw)
            futures[0].client.sync(followed.listen)
            if followed.status == "error":
                dask.compute(*settled, **options)
    return settled


def each_shown(items: Sequence[Any], title: str, *, shown: bool) -> Iterator[Any]:
    """Yield items, and show on stderr how many are done."""
    if not shown:
        yield from items
        return
    with _drawn(title) as draw:
        for done, item in enumerate(items):
            draw(done, len(items))
            yield item
        draw(len(items), len(items))


def _counted(draw: DrawBar) -> Callback:
    """Return Dask's callback that tells, task by task, how many are done of how many."""
    done = total = 0

    def begin(graph: Any, state: Any) -> None:
        nonlocal total
        total += sum(len(state[kind]) for kind in ("ready", "waiting", "running"))
        draw(done, total)

    def step(key: Any, result: Any, graph: Any, state: Any, worker: Any) -> None:
        nonlocal done
        done += 1
        draw(done, total)

    return Callback(start_state=begin, posttask=step)


def _followed(futures: Sequence[Any], draw: DrawBar) -> Any:
    """Return the scheduler's own count of what some futures need."""
    from distributed.diagnostics.progressbar import ProgressBar

    class Followed(ProgressBar):
        def _draw_bar(self, remaining: int, all: int, **response: Any) -> None:
            draw(all - remaining, all)

    return Followed(futures, scheduler=futures[0].client.scheduler.address)


@contextmanager
def _drawn(title: str) -> Iterator[DrawBar]:
    """Yield what draws progress, given the number of tasks done and of all."""
    if (bars := _bars()) is None:
        print(title, end="", file=sys.stderr, flush=True)
        start = time.perf_counter()
        try:
            yield _draw_nothing
        except BaseException:
            print(file=sys.stderr, flush=True)
            raise
        print(f": {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        return
    with bars:
        bar = bars.add_task(title, total=None)

        def draw(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        yield draw


def _draw_nothing(done: int, total: int) -> None:
    pass


def _bars() -> Any:
    """Return rich's bars, or None without rich and where stderr is not a terminal: a pipe, a notebook."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        return None
    console = Console(stderr=True)
    # Widgets of a notebook would be empty where it is executed without a browser.
    if console.is_jupyter or not sys.stderr.isatty() or console.is_dumb_terminal:
        return None
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
