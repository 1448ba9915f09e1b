"""Computations on a block: NumPy in, small frozen records out. Nothing in this folder depends on Dask.

Conventions, also for all code that uses the kernels:

- coefficients start with the intercept, if there is one; x_i then starts with 1;
- sums, not means: loglik ℓ(β) = Σ wᵢ log p(yᵢ; μᵢ) at φ = 1, score s(β) = +∂ℓ/∂β, expected information
  I(β) = Σ wᵢ μ'ᵢ²/V(μᵢ) xᵢxᵢ', positive semidefinite;
- the dispersion φ enters only in inference.
"""
