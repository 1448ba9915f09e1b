"""Categories of warnings issued by fits, which can be filtered separately.

Each message ends with a call of `help` that explains the warning and the remedy.
"""

from threading import Lock
from typing import Any

__all__ = [
    "AliasingWarning",
    "CovarianceWarning",
    "CoverageWarning",
    "DegreesOfFreedomWarning",
    "DistanceWarning",
    "FitWarning",
    "ManyLevelsWarning",
    "NotConvergedWarning",
    "OffsetWarning",
    "OverdispersionWarning",
    "PerfectFitWarning",
    "PilotWarning",
    "PrecisionWarning",
    "ResponseWarning",
    "RoughInverseWarning",
    "SeparationWarning",
    "SmallPilotWarning",
    "StepWarning",
    "UndefinedTermWarning",
    "UnlikePilotWarning",
    "VersionsWarning",
]


class FitWarning(UserWarning):
    """Base class of all warnings of this package.

    Attributes
    ----------
    anchor : str
        Anchor of its section in the documentation page on warnings.
    facts : dict
        The numbers and names in the text.
    remedies : tuple
        The options that the text suggests.

    Examples
    --------
    >>> import warnings
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.exceptions import FitWarning
    >>> X, y, coef = make_glm(1000, 2, family="poisson")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", FitWarning)
    ...     glm = GLMRegressor("poisson").fit(X, y)
    """

    anchor = ""

    @property
    def facts(self) -> dict[str, Any]:
        """The numbers and names in the text; lists that the text cuts are complete."""
        return dict(getattr(self.args[0] if self.args else "", "facts", {}))

    @property
    def remedies(self) -> tuple[Any, ...]:
        """The options that the text suggests, each with `option` and `value`."""
        return tuple(getattr(self.args[0] if self.args else "", "remedies", ()))


class PilotWarning(FitWarning):
    """The MLE does not exist on the pilot sample: separation, or constant response.

    What to do: Use a larger pilot, ``OneStep(pilot_size=0.05)``, or ``method="mle"``; if all rows are separated,
    see `SeparationWarning`.

    Examples
    --------
    >>> from dask_onestep.exceptions import PilotWarning
    >>> PilotWarning.anchor
    'pilot-without-an-estimate'
    """

    anchor = "pilot-without-an-estimate"


class SmallPilotWarning(FitWarning):
    """The pilot has few rows for the number of coefficients.

    What to do: Use ``pilot_size="auto"``, which draws at least 50 rows per coefficient.

    Examples
    --------
    >>> from dask_onestep.exceptions import SmallPilotWarning
    >>> SmallPilotWarning.anchor
    'small-pilot'
    """

    anchor = "small-pilot"


class UnlikePilotWarning(FitWarning):
    """The pilot rows, or the anchor rows of a surrogate, are not representative of the full data.

    What to do: Use ``steps="auto"`` or ``method="mle"``, or transform covariates with extreme values.

    Examples
    --------
    >>> from dask_onestep.exceptions import UnlikePilotWarning
    >>> UnlikePilotWarning.anchor
    'pilot-not-representative'
    """

    anchor = "pilot-not-representative"


class StepWarning(FitWarning):
    """The scoring step was shortened, taken from another start, or followed by more steps than requested.

    What to do: Use ``steps="auto"`` or a larger pilot.

    Examples
    --------
    >>> from dask_onestep.exceptions import StepWarning
    >>> StepWarning.anchor
    'unreliable-step'
    """

    anchor = "unreliable-step"


class DistanceWarning(FitWarning):
    """The estimate may be farther from the maximum-likelihood estimate than ``tol`` allows.

    What to do: Use ``steps="auto"``, more steps, a larger pilot, or ``method="mle"``.

    Examples
    --------
    >>> from dask_onestep.exceptions import DistanceWarning
    >>> DistanceWarning.anchor
    'far-from-the-maximum'
    """

    anchor = "far-from-the-maximum"


class AliasingWarning(FitWarning):
    """Columns are linear combinations of preceding columns, exactly or up to rounding.

    Coefficients of columns that are aliased, or that the solver cannot distinguish from aliased ones, are NaN.

    What to do: Drop these columns, or ignore the warning: predictions are unaffected.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.exceptions import AliasingWarning
    >>> x = np.arange(6.0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", AliasingWarning)
    ...     glm = GLMRegressor(method="mle").fit(np.column_stack([x, 2 * x]), [0, 1, 1, 3, 4, 6])
    >>> np.isnan(glm.coef_)
    array([False,  True])
    """

    anchor = "aliased-columns"


class ManyLevelsWarning(FitWarning):
    """A string column has so many distinct values that it may not be categorical.

    What to do: Convert times and numbers, drop identifiers, and mark categories with ``C(...)`` or
    ``astype("category")``.

    Examples
    --------
    >>> from dask_onestep.exceptions import ManyLevelsWarning
    >>> ManyLevelsWarning.anchor
    'many-levels'
    """

    anchor = "many-levels"


class DegreesOfFreedomWarning(FitWarning):
    """No residual degrees of freedom: the dispersion and standard errors are undefined.

    What to do: Use more rows, or fewer columns.

    Examples
    --------
    >>> from dask_onestep.exceptions import DegreesOfFreedomWarning
    >>> DegreesOfFreedomWarning.anchor
    'no-residual-degrees-of-freedom'
    """

    anchor = "no-residual-degrees-of-freedom"


class CovarianceWarning(FitWarning):
    """Some coefficients have no robust standard error, or a covariance of several groupings was repaired.

    What to do: Merge rare levels, use fewer groupings, or another ``cov_type``.

    Examples
    --------
    >>> from dask_onestep.exceptions import CovarianceWarning
    >>> CovarianceWarning.anchor
    'robust-covariance'
    """

    anchor = "robust-covariance"


class SeparationWarning(FitWarning):
    """Complete or quasi-complete separation: a linear combination of the columns predicts y perfectly.

    What to do: Merge factor levels in which only one outcome occurs, drop the columns that are named, or use a
    penalized method.

    Examples
    --------
    >>> from dask_onestep.exceptions import SeparationWarning
    >>> SeparationWarning.anchor
    'separation'
    """

    anchor = "separation"


class PrecisionWarning(FitWarning):
    """Columns are so far from centered that rounding errors affect predictions.

    What to do: Center these columns before the fit.

    Examples
    --------
    >>> from dask_onestep.exceptions import PrecisionWarning
    >>> PrecisionWarning.anchor
    'rounding-errors'
    """

    anchor = "rounding-errors"


class CoverageWarning(FitWarning):
    """Too few rows, in blocks or in all, for a debiased lasso: the coverage of its intervals may be below nominal.

    What to do: Use larger blocks, by ``rechunk`` or ``repartition``, or a method without a penalty.

    Examples
    --------
    >>> from dask_onestep.exceptions import CoverageWarning
    >>> CoverageWarning.anchor
    'too-few-rows-for-intervals'
    """

    anchor = "too-few-rows-for-intervals"


class RoughInverseWarning(FitWarning):
    """The approximate inverse of a debiased lasso is too inaccurate for a further round.

    What to do: Use a smaller ``nodewise_alpha``, larger blocks or fewer rounds.

    Examples
    --------
    >>> from dask_onestep.exceptions import RoughInverseWarning
    >>> RoughInverseWarning.anchor
    'inaccurate-inverse'
    """

    anchor = "inaccurate-inverse"


class OffsetWarning(FitWarning):
    """The offset varies so much between rows that it may be an exposure instead of its logarithm.

    What to do: Pass ``offset=np.log(exposure)``, or write ``offset(log(exposure))`` in the formula.

    Examples
    --------
    >>> from dask_onestep.exceptions import OffsetWarning
    >>> OffsetWarning.anchor
    'offset-not-on-the-log-scale'
    """

    anchor = "offset-not-on-the-log-scale"


class PerfectFitWarning(FitWarning):
    """All residuals are rounding errors: y is constant, one of the covariates, or computed from them.

    What to do: Check which column y is, and drop covariates that it was computed from.

    Examples
    --------
    >>> from dask_onestep.exceptions import PerfectFitWarning
    >>> PerfectFitWarning.anchor
    'perfect-fit'
    """

    anchor = "perfect-fit"


class ResponseWarning(FitWarning):
    """Values of y are impossible under the family's distribution, such as 0.3 successes in one trial.

    What to do: Pass the number of trials as ``sample_weight=``; for fractional responses use ``cov_type="HC1"``.

    Examples
    --------
    >>> from dask_onestep.exceptions import ResponseWarning
    >>> ResponseWarning.anchor
    'response-outside-the-distribution'
    """

    anchor = "response-outside-the-distribution"


class UndefinedTermWarning(FitWarning):
    """Rows were dropped on which a term of the formula is NaN or infinite, such as the logarithm of a negative number.

    What to do: Restrict the rows before the fit, or use a transform that is defined on all of them.

    Examples
    --------
    >>> from dask_onestep.exceptions import UndefinedTermWarning
    >>> UndefinedTermWarning.anchor
    'undefined-terms'
    """

    anchor = "undefined-terms"


class OverdispersionWarning(FitWarning):
    """The estimated α of a negative binomial is at the boundary of its range.

    What to do: At its lower end use the poisson family; at its upper end check y for extreme values.

    Examples
    --------
    >>> from dask_onestep.exceptions import OverdispersionWarning
    >>> OverdispersionWarning.anchor
    'alpha-at-its-boundary'
    """

    anchor = "alpha-at-its-boundary"


class VersionsWarning(FitWarning):
    """Workers and this process have different versions of packages that affect results.

    What to do: Install the same versions everywhere, from one lock file or one image.

    Examples
    --------
    >>> from dask_onestep.exceptions import VersionsWarning
    >>> VersionsWarning.anchor
    'different-versions'
    """

    anchor = "different-versions"


_ONCE = Lock()  # threads of a worker would otherwise each make a class of their own


def __getattr__(name: str) -> Any:
    # When it is first used: workers import this module, and scikit-learn takes as long as all that they need.
    global NotConvergedWarning
    if name != "NotConvergedWarning":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _ONCE:
        if name in globals():
            return globals()[name]
        from sklearn.exceptions import ConvergenceWarning

        class NotConvergedWarning(FitWarning, ConvergenceWarning):
            """An iteration stopped before its tolerance; scikit-learn's `ConvergenceWarning` too.

            What to do: Increase ``max_iter``, or standardize columns of very different scales.

            Examples
            --------
            >>> import warnings
            >>> from sklearn.exceptions import ConvergenceWarning
            >>> from dask_onestep import MLE, GLMClassifier
            >>> from dask_onestep.datasets import make_glm
            >>> X, y, coef = make_glm(1000, 2, family="binomial")
            >>> with warnings.catch_warnings(record=True) as said:
            ...     warnings.simplefilter("always", ConvergenceWarning)
            ...     glm = GLMClassifier(method=MLE(start=None, max_iter=1)).fit(X, y)
            >>> [warning.category.__name__ for warning in said]
            ['NotConvergedWarning']
            """

            anchor = "not-converged"

    return globals()[name]
