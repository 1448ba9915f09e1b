"""NumPy in, small frozen records out: nothing in this folder sees Dask.

Conventions, fixed here for everything above:

- coefficients hold the intercept first, if there is one; x_i starts with 1 then;
- sums, not means: loglik ℓ(β) = Σ wᵢ log p(yᵢ; μᵢ) at φ = 1, score s(β) = +∂ℓ/∂β, expected
  information I(β) = Σ wᵢ μ'ᵢ²/V(μᵢ) xᵢxᵢ', positive semi-definite;
- the dispersion φ enters in inference alone.
"""
