"""The only folder that imports numba: loops over rows that are written by hand.  The extra ``accelerate`` installs it.

Why by hand.  A pass over rows is one product X'WX and a few elementwise functions.  NumPy makes a temporary array for
each function, which goes to memory and back, and BLAS multiplies slim matrices at half of its speed.  The loops read
a row once and keep its products in registers: a full pass of a binomial, Poisson or normal model takes 1.0 to 1.5
times as long as X'X alone, 1.7 to 2.9 times less than plain numba with BLAS, and about a fourth of NumPy's time at 20
columns (``python -m benchmarks.kernel``).

What is where.

- `loops` has the sums of rows: natural exponential families, weighted Gram matrices, sparse columns.
- `instructions` has what LLVM does not find by itself: vectors of four numbers, exponentials of four, prefetching.
  They use numba's extension API and llvmlite, whose internals change between versions; so numba has an upper bound
  in ``pyproject.toml``, the newest version that the tests have run with.
- `philox` has NumPy's own random numbers, bit for bit, of which only those below a bound are written.
- `slices` puts the loops in the place of the NumPy methods of `dask_onestep.kernels.algebra`.
- `accelerate` says whether numba is there, and compiles.

How to change it.  Change the NumPy reference in `dask_onestep.kernels.algebra` or `likelihood` first, with its test;
then the loop; then run ``tests/test_compiled.py``, ``tests/test_instructions.py`` and ``tests/test_keys.py``, which
compare both on drawn data, and ``python -m benchmarks.kernel`` before and after.  Numba's cache looks at the date of
the file that it compiles alone: after a change in `instructions`, touch `loops` and `philox`.

What the fallback guarantees.  Without numba, or where the environment variable ``NUMBA_DISABLE_JIT`` is set, NumPy
serves: the same results to rounding, the same pilot rows and the same promises of passes, in two to four times the
time.
"""
