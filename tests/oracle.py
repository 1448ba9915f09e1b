"""statsmodels' GLM in this package's terms, and data that suit each family and link."""

import warnings

import dask.array as da
import numpy as np
import statsmodels.api as sm
from statsmodels.genmod import families as smf

from dask_onestep.datasets.simulated import draw_response
from dask_onestep.families import NegativeBinomial, Tweedie, resolve_family
from dask_onestep.links import resolve_link

FAMILIES = {
    "gaussian": "gaussian",
    "binomial": "binomial",
    "poisson": "poisson",
    "gamma": "gamma",
    "inverse-gaussian": "inverse-gaussian",
    "negative-binomial": NegativeBinomial(alpha=0.7),
    "tweedie": Tweedie(power=1.6),
}
LINKS = {
    "gaussian": ("identity", "log", "inverse"),
    "binomial": ("logit", "probit", "cloglog", "log", "identity"),
    "poisson": ("log", "identity", "sqrt"),
    "gamma": ("inverse", "identity", "log"),
    "inverse-gaussian": ("inverse-squared", "inverse", "identity", "log"),
    "negative-binomial": ("log", "identity", "sqrt"),
    "tweedie": ("log", "identity", "sqrt"),
}
PAIRS = [(family, link) for family, links in LINKS.items() for link in links]
WEIGHTS = (None, "variance", "frequency")
# Every family and link with all kinds of weights, and each two of weights, offset and intercept with one another.
COVERING = [
    (*pair, kind, bool((at + number) % 2), bool((at // 2 + number) % 2))
    for at, pair in enumerate(PAIRS)
    for number, kind in enumerate(WEIGHTS)
]
# Where the linear predictor lies, so that each mean is one the family can have.
CENTRES = {
    "identity": 3.0,
    "log": 0.5,
    "inverse": 0.6,
    "inverse-squared": 0.6,
    "sqrt": 1.6,
    "logit": 0.2,
    "probit": 0.1,
    "cloglog": -0.4,
}
BINOMIAL_CENTRES = {"log": -1.0, "identity": 0.5}
SM_FAMILIES = {
    "gaussian": smf.Gaussian,
    "binomial": smf.Binomial,
    "poisson": smf.Poisson,
    "gamma": smf.Gamma,
    "inverse-gaussian": smf.InverseGaussian,
    "negative-binomial": lambda link: smf.NegativeBinomial(link=link, alpha=0.7),
    "tweedie": lambda link: smf.Tweedie(link=link, var_power=1.6),
}
SM_LINKS = {
    "identity": smf.links.Identity,
    "log": smf.links.Log,
    "logit": smf.links.Logit,
    "probit": smf.links.Probit,
    "cloglog": smf.links.CLogLog,
    "inverse": smf.links.InversePower,
    "inverse-squared": smf.links.InverseSquared,
    "sqrt": smf.links.Sqrt,
}


def sm_family(family, link):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels has its doubts about some pairs
        return SM_FAMILIES[family](link=SM_LINKS[link]())


def simulate(family, link, *, n=400, seed=0, offset=False, intercept=True):
    """Return X, y, offset or None, sorted by the first covariate so that no block is representative."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-1, 1, (n, 3)), axis=0)
    x[:, 1:] = rng.permuted(x[:, 1:], axis=0)
    centre = BINOMIAL_CENTRES.get(link, CENTRES[link]) if family == "binomial" else CENTRES[link]
    spread = 0.25 * min(1.0, abs(centre)) if link in ("identity", "inverse", "inverse-squared", "log") else 0.3
    if intercept:
        eta = centre + x @ (spread * np.array([0.6, -0.5, 0.4]))
    else:
        x[:, 0] = 1.0 + 0.3 * x[:, 0]
        eta = x @ np.array([centre, -0.5 * spread, 0.4 * spread])
    shift = spread * rng.uniform(-0.4, 0.4, n) if offset else None
    eta = eta if shift is None else eta + shift
    mean = resolve_link(link).inverse(eta)
    y = draw_response(rng, resolve_family(FAMILIES[family]), mean, 0.1 if family != "tweedie" else 0.5)
    return x, y, shift


def weights_for(kind, n, seed=1):
    rng = np.random.default_rng(seed)
    if kind == "variance":
        return rng.uniform(0.3, 2.5, n)
    return rng.integers(1, 5, n).astype(float) if kind == "frequency" else None


def sm_fit(x, y, family, link, *, offset=None, weights=None, kind=None, intercept=True, start=None, **fit):
    named = {} if weights is None else {"var_weights" if kind == "variance" else "freq_weights": weights}
    design = sm.add_constant(x, has_constant="add") if intercept else np.asarray(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sm.GLM(y, design, sm_family(family, link), offset=offset, **named)
        return model.fit(maxiter=200, tol=1e-15, start_params=start, **fit)


def blocks(*arrays, rows=130):
    """Return arrays as Dask arrays in the same unequal row chunks; None stays None."""
    return [None if a is None else da.from_array(a, chunks=(rows, *a.shape[1:])) for a in arrays]


def counted(array, loads, rows=130):
    """Return a Dask array whose blocks append to `loads` when they are loaded, in this process."""
    lazy = da.from_array(array, chunks=(rows, *array.shape[1:]))
    return lazy.map_blocks(_note, loads, dtype=array.dtype, meta=np.empty((0,) * array.ndim, array.dtype))


def _note(block, loads):
    loads.append(len(block))
    return block
