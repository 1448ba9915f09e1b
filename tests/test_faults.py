"""Workers that die or come late, loads that fail, fits that are cancelled: the same answer, or a clear error.

The faults are real: processes are killed, and a load is reported by files what befalls it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster
from support import draw_table

from dask_onestep import GLMClassifier, GLMRegressor, OneStep

ROWS = (40, 70, 55, 35, 50, 60)
# Seconds. The slowest of these faults is over in ten; a test that needs more than a minute for one thing hangs.
PATIENCE = 60

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.timeout(2 * PATIENCE)]


@pytest.fixture
def interruptible():
    """SIGINT raises KeyboardInterrupt here: a shell that starts the tests in its background makes it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def load(directory, fates, block_id=None):
    """Load a block, unless something befalls it: `fates` is (block, which load of it) → what."""
    number = block_id[0]
    path = Path(directory, f"block-{number}")
    with path.open("ab", buffering=0) as file:
        file.write(b".")
    fate = fates.get((number, path.stat().st_size), fates.get((number, "always")))
    if fate == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "fail":
        raise OSError(f"the disk under block {number} is gone")
    if fate == "wait":
        await_file(Path(directory, "go"))
    return draw_table(number, ROWS[number], 4)


def await_file(path):
    wait_until(path.exists)


def wait_until(condition):
    for _ in range(PATIENCE * 20):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError("what the test waits for did not happen")


def source(directory, fates=(), **annotations):
    """Return X and y whose blocks meet their fates."""
    with dask.annotate(**annotations):
        table = da.map_blocks(
            partial(load, str(directory), dict(fates)), chunks=(ROWS, (4,)), dtype=float, meta=np.empty((0, 0))
        )
    return table[:, 1:], table[:, 0]


def loads_of(directory, number):
    path = Path(directory, f"block-{number}")
    return path.stat().st_size if path.exists() else 0


def estimator():
    return GLMClassifier(method=OneStep(pilot_size=80, steps=1), cov_type="HC0")


def bits(glm):
    return glm.coef_.tobytes(), glm.intercept_.tobytes(), glm.covariance_.tobytes(), glm.decrement_


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with dask.config.set(scheduler="synchronous"):
        return bits(estimator().fit(*source(tmp_path_factory.mktemp("undisturbed"))))


@contextmanager
def local_cluster(n_workers, **options):
    """Worker processes of one thread each under nannies, which start those that die anew.

    A nanny gives its worker four seconds to end, kills it, and raises if that is not seen in one more, which a busy
    machine needs while workers start: by then the fit is over, and the worker killed.
    """
    cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", **options)
    try:
        yield cluster
    finally:
        with suppress(TimeoutError):
            cluster.close()


@contextmanager
def two_nannies():
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), local_cluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def nannies():
    with two_nannies() as cluster:
        yield cluster


@pytest.fixture
def client(nannies):
    """A cluster where nobody dies."""
    with Client(nannies) as client:
        yield client


@pytest.fixture
def mortal_client():
    """A cluster of the test's own: how soon a nanny brings a dead worker back is no concern of the next."""
    with two_nannies() as cluster, Client(cluster) as client:
        yield client
        client.wait_for_workers(2, timeout=PATIENCE)  # those that start are slow to close


def in_background(client, function):
    """Run a function in a thread of its own, and return what waits for its result."""
    results = []

    def run():
        try:
            with client.as_current():
                results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result():
        thread.join(PATIENCE)
        assert results, "the fit did not end"
        if isinstance(results[0], BaseException):
            raise results[0]
        return results[0]

    return result


# One-step with a robust covariance: load 1 is the pilot's, 2 the moments', 3 the score products'.
@pytest.mark.parametrize("which", [1, 2, 3], ids=["pilot", "moments", "score products"])
def test_a_worker_killed_in_a_pass(mortal_client, tmp_path, undisturbed, which):
    glm = estimator().fit(*source(tmp_path, {(2, which): "die"}))
    assert bits(glm) == undisturbed
    assert loads_of(tmp_path, 2) > 3


def test_a_block_that_kills_every_worker_ends(mortal_client, tmp_path):
    X, y = source(tmp_path, {(4, "always"): "die"})
    with pytest.raises(KilledWorker, match=r"pilot-sample-.*4"):
        estimator().fit(X, y)


def test_a_late_worker(tmp_path, undisturbed):
    with local_cluster(1) as cluster, Client(cluster) as client:
        fit = in_background(client, lambda: estimator().fit(*source(tmp_path, {(0, 2): "wait"})))
        wait_until(lambda: loads_of(tmp_path, 0) == 2)
        cluster.scale(2)
        client.wait_for_workers(2, timeout=PATIENCE)
        (tmp_path / "go").touch()
        assert bits(fit()) == undisturbed


def test_a_load_that_fails_twice(client, tmp_path, undisturbed):
    fates = {(3, 1): "fail", (3, 2): "fail"}
    glm = estimator().fit(*source(tmp_path, fates, retries=2))
    assert bits(glm) == undisturbed
    assert loads_of(tmp_path, 3) == 2 + 3


def test_a_load_that_fails_more_often_than_it_may(client, tmp_path):
    with pytest.raises(OSError, match="the disk under block 3 is gone"):
        estimator().fit(*source(tmp_path, {(3, 1): "fail", (3, 2): "fail"}, retries=1))
    assert loads_of(tmp_path, 3) == 2


@pytest.mark.parametrize("where", ["synchronous", "threads", "processes", "distributed"])
def test_a_block_that_always_fails_is_named(request, tmp_path, where):
    client = request.getfixturevalue("client") if where == "distributed" else None
    with dask.config.set({} if client else {"scheduler": where}), pytest.raises(OSError, match="disk") as caught:
        estimator().fit(*source(tmp_path, {(5, "always"): "fail"}))
    assert "the disk under block 5 is gone" in str(caught.value)
    (said,) = (note for note in caught.value.__notes__ if note.startswith("In block 5 of the pass 'pilot-sample'."))
    assert ("On worker" in said) == (where == "distributed")


def test_a_block_that_fails_in_the_second_pass_is_named(client, tmp_path):
    with pytest.raises(OSError, match="the disk under block 1 is gone") as caught:
        estimator().fit(*source(tmp_path, {(1, 2): "fail"}))
    assert any(note.startswith("In block 1 of the pass 'moments'.") for note in caught.value.__notes__)


def tasks_known(dask_scheduler):
    return len(dask_scheduler.tasks)


@pytest.mark.parametrize("which", [1, 2], ids=["pilot", "moments"])
def test_a_cancelled_fit_leaves_no_task(client, tmp_path, undisturbed, interruptible, which):
    def interrupt():
        wait_until(lambda: loads_of(tmp_path, 0) >= which)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        estimator().fit(*source(tmp_path, {(0, which): "wait"}))
    thread.join()
    (tmp_path / "go").touch()
    wait_until(lambda: client.run_on_scheduler(tasks_known) == 0)
    assert bits(estimator().fit(*source(tmp_path))) == undisturbed


def test_two_fits_at_once_on_one_client(client, tmp_path, undisturbed):
    X, y = source(tmp_path)
    with dask.config.set(scheduler="synchronous"):
        alone = bits(GLMRegressor("poisson", method="mle").fit(X, y))
    first = in_background(client, lambda: estimator().fit(X, y))
    second = in_background(client, lambda: GLMRegressor("poisson", method="mle").fit(X, y))
    third = in_background(client, lambda: estimator().fit(X, y))
    assert (bits(first()), bits(second()), bits(third())) == (undisturbed, alone, undisturbed)


def load_large(block_id=None):
    return draw_table(block_id[0], 20_000, 8)


def bytes_on_disk(dask_worker):
    return dask_worker.data.spilled_total.disk


def test_memory_pressure_with_spilling():
    table = da.map_blocks(load_large, chunks=((20_000,) * 24, (8,)), dtype=float, meta=np.empty((0, 0)))
    with dask.config.set(scheduler="synchronous"):
        expected = bits(estimator().fit(table[:, 1:], table[:, 0]))
    # The worker may keep 5 MB of results, and the blocks are 31 MB; its libraries take some 450 MB.
    room = {"distributed.worker.memory.target": 0.005, "distributed.worker.memory.spill": 0.01}
    with dask.config.set(room), local_cluster(1, memory_limit="1GB") as cluster, Client(cluster) as client:
        kept = table.persist()
        wait_until(lambda: all(future.done() for future in client.futures_of(kept)))
        assert sum(client.run(bytes_on_disk).values()) > 20e6
        assert bits(estimator().fit(kept[:, 1:], kept[:, 0])) == expected
        assert sum(client.run(bytes_on_disk).values()) > 20e6


class LockedLink:
    """The identity; its lock cannot be sent anywhere."""

    def __init__(self):
        self.lock = threading.Lock()

    def __repr__(self):
        return "LockedLink()"

    def link(self, mean):
        return mean

    def inverse(self, eta):
        return eta

    def inverse_derivative(self, eta):
        return np.ones_like(eta)


@pytest.mark.parametrize("where", ["processes", "distributed"])
@pytest.mark.parametrize("part", ["link", "load"])
def test_what_cannot_be_sent_is_named(request, tmp_path, where, part):
    client = request.getfixturevalue("client") if where == "distributed" else None
    X, y = source(tmp_path)
    lock = threading.Lock()
    if part == "load":
        X = X.map_blocks(lambda block: block if lock else None, dtype=float)
    glm = GLMRegressor(link=LockedLink() if part == "link" else None)
    named = r"link=LockedLink\(\)" if part == "link" else "the data's own graph"
    text = rf"{named}.* cannot be pickled.*Remove locks.*scheduler='threads'"
    with dask.config.set({} if client else {"scheduler": where}), pytest.raises(TypeError, match=text):
        glm.fit(X, y)
    with dask.config.set(scheduler="threads"):
        assert np.isfinite(glm.fit(X, y).coef_).all()


def test_functions_without_a_name_are_sent(client, tmp_path, undisturbed):
    X, y = source(tmp_path)
    assert bits(estimator().fit(X.map_blocks(lambda block: block, dtype=float), y)) == undisturbed


def in_own_process(function, directory):
    """Run a function of this module in a process of its own, so that what it loses no other test misses."""
    here = Path(__file__).parent
    # The machine may be loaded with other tests: only a process that hangs needs as long.
    patience = f"import test_faults; test_faults.PATIENCE = {5 * PATIENCE}"
    code = f"{patience}; test_faults.{function.__name__}({str(directory)!r})"
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])},
        capture_output=True,
        text=True,
        timeout=9 * PATIENCE,
    )
    assert found.returncode == 0, found.stderr[-5000:]


@pytest.mark.timeout(10 * PATIENCE)
def test_a_lost_scheduler_ends_in_an_error(tmp_path):
    in_own_process(lose_a_scheduler, tmp_path)


def lose_a_scheduler(directory):
    file = Path(directory, "scheduler.json")
    impatient = {"distributed.comm.timeouts.connect": "3s", "distributed.comm.retry.count": 0}
    processes = [
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    ]
    try:
        await_file(file)
        worker = start("dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--no-nanny")
        processes.append(worker)
        with dask.config.set(impatient), Client(scheduler_file=str(file), timeout=PATIENCE) as client:
            fit = in_background(client, lambda: estimator().fit(*source(directory, {(0, 2): "wait"})))
            wait_until(lambda: loads_of(directory, 0) == 2)
            processes[0].kill()
            # Dask tries for `timeouts.connect` to find it again, half a minute by default.
            with pytest.raises(CancelledError, match="lost the connection to the scheduler"):
                fit()
    finally:
        Path(directory, "go").touch()
        for process in processes:
            process.kill()
            process.wait()


def start(*command):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
