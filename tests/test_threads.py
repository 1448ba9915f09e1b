"""BLAS has one thread while any kernel runs, and the threads it had before afterwards."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from dask_onestep.kernels.solve.threads import one_blas_thread


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        yield


def test_the_limit_ends_with_the_outermost_kernel():
    for _ in range(2):
        with one_blas_thread():
            with one_blas_thread():
                assert blas_threads() == {1}
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_the_limit_ends_with_an_error():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0  # noqa: B018
    assert blas_threads() == {2}


def test_the_limit_lasts_until_the_last_thread_leaves_and_no_longer():
    inside, one_left = Barrier(2), Barrier(2)

    def first():
        with one_blas_thread():
            inside.wait()
        one_left.wait()

    def second():
        with one_blas_thread():
            inside.wait()
            one_left.wait()
            return blas_threads()

    with ThreadPoolExecutor(2) as pool:  # whose threads live on, as Dask's do
        for _ in range(3):
            pool.submit(first)
            assert pool.submit(second).result() == {1}
            assert pool.submit(blas_threads).result() == blas_threads() == {2}
