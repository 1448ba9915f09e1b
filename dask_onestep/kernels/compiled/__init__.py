"""Compiled loops over rows; the only folder that imports numba, which the extra ``accelerate`` installs.

Why they are written by hand. A pass over rows is one product X'WX and a few elementwise functions. NumPy makes a
temporary array for each function, which is written to memory and read back, and BLAS multiplies narrow matrices at half
its speed. The loops read a row once and keep its products in registers: a full pass of a binomial, Poisson or gaussian
model takes 1.0 to 1.5 times as long as the product X'X, is 1.7 to 2.9 times as fast as plain numba with BLAS, and takes
about a fourth of NumPy's time at 20 columns (``python -m benchmarks.kernel``).

Modules.

- `loops` has the sums of rows: natural exponential families, weighted Gram matrices, sparse columns.
- `instructions` has what LLVM does not generate on its own: vectors of four numbers, their exponentials, prefetching.
  They use numba's extension API and llvmlite, whose internals change between versions; so numba has an upper bound
  in ``pyproject.toml``, the newest version that the tests have run with.
- `slices` replaces the NumPy methods of `dask_onestep.kernels.matrices.algebra` by the loops.
- `accelerate` checks for numba, and compiles.

How to change it. Change the NumPy reference in `dask_onestep.kernels.matrices.algebra` or `likelihood` first, with its
test; then the loop; then run ``tests/test_compiled.py`` and ``tests/test_instructions.py``, which compare both on
random data, and ``python -m benchmarks.kernel`` before and after. Numba's cache checks only the date of the compiled
file: after a change in `instructions`, touch `loops`.

Fallback. Without numba, or if the environment variable ``NUMBA_DISABLE_JIT`` is set, NumPy is used: the same results up
to rounding, the same pilot rows and the same number of passes, in two to four times the time.
"""
