"""The messages: category, what happened, what it means for the result, what to do, and the options to do it with."""

from dataclasses import replace

from dask_onestep.exceptions import (
    AliasingWarning,
    CovarianceWarning,
    CoverageWarning,
    DegreesOfFreedomWarning,
    DistanceWarning,
    FitWarning,
    ManyLevelsWarning,
    OffsetWarning,
    OverdispersionWarning,
    PerfectFitWarning,
    PilotWarning,
    PrecisionWarning,
    ResponseWarning,
    RoughInverseWarning,
    SeparationWarning,
    SmallPilotWarning,
    StepWarning,
    UndefinedTermWarning,
    UnlikePilotWarning,
    VersionsWarning,
)
from dask_onestep.messages.text import Message, Remedy

_LARGER_PILOT = Remedy("pilot_size", python="a larger pilot_size", command="a larger --pilot-size")
# A lazy fit, of `fit_delayed`, takes one step even so.
_AUTO_STEPS = Remedy("steps", "auto", python="fit with steps='auto'", command="--method one-step")
_AUTO_STEPS_OF_ONE_STEP = Remedy("steps", "auto", python="OneStep(steps='auto')", command="--method one-step")
_MLE = Remedy("method", "mle")
_ONE_STEP = Remedy("method", "one-step")
_JEFFREYS = Remedy("method", python="MLE(penalty='jeffreys')", command="--method mle --penalty jeffreys")
_HC1 = Remedy("cov_type", "HC1")
_CRV3 = Remedy("cov_type", "CRV3")
_POISSON = Remedy("family", "poisson", python="GLMRegressor('poisson')")
_GAUSSIAN = Remedy("family", "gaussian", python="GLMRegressor('gaussian')", command="--family gaussian")
_LOG_EXPOSURE = Remedy("offset", python="offset=np.log(exposure)", command="--offset 'np.log(exposure)'")

# The pilot, and the steps from it.

PILOT_WITHOUT_MLE = Message(
    PilotWarning,
    "The MLE does not exist on the pilot sample of {n:,} rows (separation, or constant response);",
    "a weakly informative prior was used, on which the pilot estimate depends.",
    "Use {0}.",
    (_LARGER_PILOT,),
    {"n": 300},
)
SMALL_PILOT = Message(
    SmallPilotWarning,
    "A pilot of {n:,} rows is small for {rank} coefficients;",
    "its estimate may be too inaccurate for the steps that start from it.",
    "Use {0}, which draws at least 50 rows per coefficient.",
    (Remedy("pilot_size", "auto"),),
    {"n": 40, "rank": 5},
)
PILOT_MEANS_OVERFLOW = Message(
    StepWarning,
    "At the pilot estimate fitted means overflow for some rows,",
    "so the step was taken from the null model instead and may be too short.",
    "Use {0} or {1}, or transform or winsorize extreme covariate values.",
    (_LARGER_PILOT, _MLE),
)
PILOT_INFORMATION = Message(
    UnlikePilotWarning,
    "The pilot sample is not representative: in at least one direction the full-data Fisher information is {ratio:.2g} "
    "times its extrapolation from the pilot,",
    "so {rows}, and the estimate may be far from the MLE even if the Newton decrement is small.",
    "Use {0} or {1}, or transform or winsorize extreme covariate values.",
    (_MLE, _LARGER_PILOT),
    {"ratio": 2.2, "rows": "a few influential rows outside the pilot dominate"},
)
PILOT_DISTANCE = replace(
    PILOT_INFORMATION,
    event="The pilot sample is not representative: the pilot and one-step estimates differ by {ratio:.2g} times what "
    "sampling error explains,",
    meaning="so a few influential rows outside the pilot dominate, and the estimate may be far from the MLE even if "
    "the Newton decrement is small.",
    example={"ratio": 3.1},
)
ANCHOR_DISTANCE = Message(
    UnlikePilotWarning,
    "The estimate differs from that of its {n:,} anchor rows by more than sampling error explains (squared distance "
    "{distance:.3g}, expected {expected:.3g}):",
    "these rows are not representative of the full data, and the estimate and its standard errors are unreliable.",
    "Use {0} (if it is used already, {1}), or {2}.",
    (Remedy("anchor", "pilot"), _LARGER_PILOT, _ONE_STEP),
    {"n": 500, "distance": 210.0, "expected": 12.0},
)
STEP_SHORTENED = Message(
    StepWarning,
    "The step from the pilot estimate left the region where the pilot's approximation is reliable,",
    "so it was shortened, and the estimate may be farther from the MLE.",
    "Use {0}, or {1}.",
    (_LARGER_PILOT, _AUTO_STEPS),
)
STEPS_ADDED = Message(
    StepWarning,
    "{asked} was unreliable;",
    "{n_steps} steps were taken (one pass each), and the estimate is that of the last.",
    "Nothing needs to be done; {0} saves passes.",
    (_LARGER_PILOT,),
    {"asked": "One step", "n_steps": 2},
)
STEPS_DOMINATED = Message(
    StepWarning,
    "The steps from the pilot converged to a point dominated by a few rows,",
    "so the model was fitted to convergence (method 'mle'), which took further passes.",
    "Use {0}, or transform or winsorize extreme covariate values.",
    (_LARGER_PILOT,),
)

# The distance to the maximum.

FAR_FROM_MLE = Message(
    DistanceWarning,
    "After the last step the Newton decrement is {decrement:.3g} (expected at most {bound:.3g}), and the estimate may "
    "be {distance:se} from the MLE (expected at most {within:.2g}):",
    "coefficients and standard errors may not be those of the MLE.",
    "Use {0}, or a pilot of more than {n:,} rows.",
    (_AUTO_STEPS,),
    {"decrement": 0.8, "bound": 0.05, "distance": 0.4, "within": 0.1, "n": 300},
)
STEPS_NOT_CONVERGED = Message(
    "NotConvergedWarning",
    "The estimate did not converge in {n_steps} steps (Newton decrement {decrement:.3g})",
    "and may be {distance:se} from the MLE.",
    "Check for separation, and for covariates, offsets or values of y on very different scales.",
    example={"n_steps": 25, "decrement": 4.0, "distance": 1.5},
)
MLE_NOT_CONVERGED = Message(
    "NotConvergedWarning",
    "MLE did not converge in {steps} (Newton decrement λ² = {decrement:.3g});",
    "coefficients and standard errors are not those of the maximum.",
    "Increase {0}.",
    (Remedy("max_iter"),),
    {"steps": "25 steps", "decrement": 3.0},
)
MLE_OF_CLASSES_NOT_CONVERGED = replace(
    MLE_NOT_CONVERGED,
    meaning="coefficients and standard errors are not those of the maximum. If they are very large, the classes may "
    "be separated: a linear combination of the columns predicts y perfectly and the MLE is not finite.",
    action="Increase {0}, or check for separation.",
)
MLE_STOPPED = Message(
    "NotConvergedWarning",
    "MLE stopped after {steps} (Newton decrement λ² = {decrement:.3g}): no further step increased the log-likelihood;",
    "coefficients and standard errors are not those of the maximum.",
    "Check for separation, for a link whose means cannot reach y, and for covariates, offsets or values of y on "
    "very different scales.",
    example={"steps": "7 steps", "decrement": 3.0},
)
NEGATIVE_STATISTIC = Message(
    DistanceWarning,
    "Negative statistic ({chi2:.2g}), because the fits are not fully converged;",
    "it was set to 0, and the test is inaccurate.",
    "Use {0}, with a larger max_iter if it did not converge, or {1}.",
    (_MLE, _AUTO_STEPS_OF_ONE_STEP),
    {"chi2": -0.1},
)
STATISTIC_ERROR = Message(
    DistanceWarning,
    "The {which} estimate is not at its maximum (Newton decrement {decrement:.2g}):",
    "the statistic may be off by about {error:.2g}.",
    "Use {0}, with a larger max_iter if it did not converge, or {1}.",
    (_MLE, _AUTO_STEPS_OF_ONE_STEP),
    {"which": "restricted", "decrement": 4.0, "error": 4.0},
)

# Separation, boundaries, and fits without residuals.

SEPARATION = Message(
    SeparationWarning,
    "Complete or quasi-complete separation of {what}: a linear combination of {columns} predicts them perfectly,",
    "so the MLE is not finite, and coefficients and standard errors are meaningless.",
    "Drop these columns, or merge factor levels in which only one outcome occurs.",
    example={"what": "the classes", "columns": ("dose", "site[T.B]")},
)
SEPARATION_WITH_PENALTY = replace(
    SEPARATION,
    action="Drop these columns, merge factor levels in which only one outcome occurs, or use {0}, whose estimate is "
    "finite.",
    remedies=(_JEFFREYS,),
)
SEPARATION_BY_INTERCEPT = Message(
    SeparationWarning,
    "The response is constant: {what} are separated by the intercept alone,",
    "so the MLE is not finite, and coefficients and standard errors are meaningless.",
    "Check that y is the intended column.",
    example={"what": "zeros of y"},
)
MEANS_AT_BOUNDARY = Message(
    "NotConvergedWarning",
    "With {given} the fitted probabilities of a binomial model may reach 0 or 1, the boundary of the parameter space:",
    "no maximum inside it was found, and standard errors are not valid there.",
    "Use {0}; for relative risks, {1}, for risk differences, {2}, both with {3}. If the maximum is inside, {4} with a "
    "larger max_iter finds it.",
    (Remedy("link", "logit"), _POISSON, _GAUSSIAN, _HC1, _MLE),
    {"given": Remedy("link", "log")},
)
MEANS_NOT_POSITIVE = Message(
    "NotConvergedWarning",
    "With {given} the fitted means of a {family} model may reach the boundary of the parameter space, beyond which "
    "they are not positive:",
    "no maximum inside it was found, and standard errors are not valid there.",
    "Use {0}; for additive effects, {1} with {2}. If the maximum is inside, {3} with a larger max_iter finds it.",
    (Remedy("link", "log"), Remedy("family", "gaussian"), _HC1, _MLE),
    {"given": Remedy("link", "identity"), "family": "poisson"},
)
CONSTANT_RESPONSE = Message(
    PerfectFitWarning,
    "The response is constant:",
    "no covariate has any effect on it, and standard errors and tests are rounding errors.",
    "Check that y is the intended column.",
)
RESPONSE_IS_COVARIATE = Message(
    PerfectFitWarning,
    "The response equals the covariate {name}:",
    "it appears on both sides of the model, so standard errors and tests are rounding errors.",
    "Drop it from the covariates.",
    example={"name": "price"},
)
PERFECT_FIT = Message(
    PerfectFitWarning,
    "The model fits the response perfectly:",
    "all residuals are rounding errors, and so are standard errors and tests.",
    "Check for covariates from which y was computed.",
)
NO_DEGREES_OF_FREEDOM = Message(
    DegreesOfFreedomWarning,
    "No residual degrees of freedom ({n:,} rows, {rank:,} coefficients):",
    "standard errors are undefined.",
    "Use more rows or fewer columns.",
    example={"n": 5, "rank": 5},
)
NO_DEGREES_OF_FREEDOM_OF_LASSO = Message(
    DegreesOfFreedomWarning,
    "No residual degrees of freedom ({n:,} rows, {nonzeros:,} nonzero coefficients{where}):",
    "the dispersion and standard errors are undefined.",
    "Use more rows, or a larger {0}.",
    (Remedy("alpha"),),
    {"n": 50, "nonzeros": 60, "where": " over the lassos of all blocks"},
)

# Columns.

ALIASED = Message(
    AliasingWarning,
    "Coefficients of aliased columns are set to NaN: {names}.",
    "Each is a linear combination of preceding columns;",
    "drop them, or ignore this warning: predictions are unaffected.",
    example={"names": ("x2", "x3")},
)
ALIASED_EXACTLY = replace(
    ALIASED,
    meaning="By QR of all rows, {combinations}.",
    action="Drop them, or ignore this warning: predictions are unaffected.",
    example={"names": ("x2", "x3"), "combinations": ("x2 = 2·x1", "x3 = 1·x0 + -1·x1")},
)
ALIASED_NEARLY = replace(
    ALIASED,
    meaning="By QR of all rows, {combinations}: not exactly, but too nearly for the normal equations to separate them.",
    action="Use {0} with a method that supports it, such as 'one-step' or 'mle', use the difference as a column "
    "instead, or center the columns.",
    remedies=(Remedy("solver", "qr"),),
    example={"names": ("x2", "x3"), "combinations": ("all but 1e-09 of x2 is 2·x1", "all but 3e-10 of x3 is 1·x0")},
)
NEARLY_ALIASED = Message(
    AliasingWarning,
    "Nearly aliased columns: {names}. By QR of all rows, {combinations}.",
    "The normal equations are too ill-conditioned to decide, so a QR decomposition of the design was used, which took "
    "further passes.",
    "If the differences are only rounding error, for example in columns that were float32, drop these columns.",
    example={"names": ("x2", "x3"), "combinations": ("all but 1e-09 of x2 is 2·x1", "all but 3e-10 of x3 is 1·x0")},
)
ONE_LEVEL = Message(
    AliasingWarning,
    "{name} has only one level, {level!r},",
    "and therefore no coefficient.",
    "Drop it from the model.",
    example={"name": "site", "level": "A"},
)
MANY_LEVELS = Message(
    ManyLevelsWarning,
    "{name} is a string column with {count:,} distinct values in {n:,} rows,",
    "and each level has its own coefficient.",
    "Convert it if the values are times or numbers, drop it if they are identifiers; if they are categories, use "
    "C({name}) in a formula, or X[{name!r}].astype('category').",
    example={"name": "time", "count": 9_999, "n": 20_000},
)
NUMBERS_AS_TEXT = Message(
    ManyLevelsWarning,
    "{name} is a string column whose values are numbers ({count:,} levels such as {example!r}{but}),",
    "and each level has its own coefficient.",
    "Convert it to numbers, for example by pandas.to_numeric(X[{name!r}], errors='coerce'); if they are categories, "
    "write C({name}) in a formula.",
    example={"name": "wind", "count": 565, "example": "3.4", "but": "; only ['M'] are not"},
)
UNDEFINED_TERMS = Message(
    UndefinedTermWarning,
    "Rows were dropped because terms of the formula are NaN or infinite there: {terms};",
    "{n:,} rows remain.",
    "Select the rows before the fit, or use a transform that is defined for all of them, such as np.log1p(x).",
    example={"terms": ("log(x) (3 rows)",), "n": 997},
)

# The response and the offset.

PROPORTIONS_WITHOUT_TRIALS = Message(
    ResponseWarning,
    "y contains proportions, such as {value:.4g}, that are not integer numbers of successes (without {0}, each row is "
    "one trial):",
    "standard errors and tests based on the binomial distribution are invalid.",
    "Pass the number of trials as {0}; for a fractional response use {1}.",
    (Remedy("sample_weight"), _HC1),
    {"value": 0.3},
)
PROPORTIONS_OF_TRIALS = replace(
    PROPORTIONS_WITHOUT_TRIALS,
    event="y contains proportions, such as {value:.4g}, that are not integer numbers of successes of their trials:",
)
PROPORTIONS_OF_IDENTICAL_ROWS = replace(
    PROPORTIONS_WITHOUT_TRIALS,
    event="y contains proportions, such as {value:.4g}, that are not integer numbers of successes (with "
    "weight_type='frequency', each of the identical rows is one trial):",
    action="If {0} is the number of trials, use {1}; for a fractional response use {2}.",
    remedies=(Remedy("sample_weight"), Remedy("weight_type", "variance"), _HC1),
)
NON_INTEGER_COUNTS = Message(
    ResponseWarning,
    "y contains counts that are not integers, such as {value:.4g}:",
    "standard errors and tests based on the distribution are invalid.",
    "Use {0}; if y is a rate, use the counts as y with {1}.",
    (_HC1, _LOG_EXPOSURE),
    {"value": 1.5},
)
OFFSET_RANGE = Message(
    OffsetWarning,
    "The offset ranges from {low:.4g} to {high:.4g};",
    "with the log link the mean is multiplied by exp(offset), which differs by a factor of 1e{decades:.0f} between "
    "rows.",
    "For an exposure pass its logarithm, {0}.",
    (_LOG_EXPOSURE,),
    {"low": 1.0, "high": 80.0, "decades": 34.0},
)
ALPHA_AT_BOUNDARY = Message(
    OverdispersionWarning,
    "alpha is at the lower boundary of its range:",
    "no evidence of overdispersion, and alpha has no standard error;",
    "use {0}.",
    (Remedy("family", "poisson"),),
)
ALPHA_AT_UPPER_BOUNDARY = Message(
    OverdispersionWarning,
    "alpha is at the upper boundary of its range, {alpha:.2g}:",
    "the negative binomial distribution does not describe the overdispersion, and alpha has no standard error.",
    "Check y for a few very large values, or use {0}.",
    (Remedy("family", "quasipoisson"),),
    {"alpha": 1e6},
)

# Robust covariances.

CLUSTER_IDENTIFIES = Message(
    CovarianceWarning,
    "Standard errors of {names} are NaN with {given}: without cluster {clusters} these coefficients are not "
    "identified,",
    "so their variance cannot be estimated from the other clusters.",
    "Use a finer grouping, or drop these columns.",
    example={"names": ("treated",), "given": _CRV3, "clusters": ("'A'",)},
)
ROW_IDENTIFIES = Message(
    CovarianceWarning,
    "Standard errors of {names} are NaN with {given}:",
    "these coefficients are identified only by rows with leverage 1.",
    "Drop these columns, merge rare factor levels, or use {0}.",
    (_HC1,),
    {"names": ("site[T.B]",), "given": Remedy("cov_type", "HC3")},
)
NEGATIVE_EIGENVALUES = Message(
    CovarianceWarning,
    "The covariance of several groupings had negative eigenvalues (the smallest {ratio:.2g} times the largest), which "
    "were set to 0 (Cameron, Gelbach and Miller).",
    "With few clusters it is unreliable:",
    "consider a single grouping with {0}.",
    (_CRV3,),
    {"ratio": -0.02},
)
FEW_CLUSTERS = Message(
    FitWarning,
    "With {count} clusters the standard errors of {given} tend to be too small,",
    "and tests reject too often.",
    "Use {0}.",
    (_CRV3,),
    {"count": 12, "given": Remedy("cov_type", "cluster")},
)
NOT_ROBUST = Message(
    FitWarning,
    "Based on the {basis},",
    "not on {given};",
    "wald_test is robust.",
    example={"basis": "likelihood", "given": _HC1},
)
OVERDISPERSED = Message(
    FitWarning,
    "Overdispersion: the variance of y is about {ratio:.2g} times that of the {family} family (Pearson chi2 per "
    "residual df),",
    "so the standard errors are too small.",
    "Use {0}.",
    (_HC1,),
    {"ratio": 1.95, "family": "negative-binomial"},
)
OVERDISPERSED_PROPORTIONS = replace(
    OVERDISPERSED,
    action="Use {0} or {1}.",
    remedies=(_HC1, Remedy("family", "quasibinomial")),
)
OVERDISPERSED_COUNTS = replace(
    OVERDISPERSED,
    action="Use {0}, {1}, or {2}.",
    remedies=(_HC1, Remedy("family", "quasipoisson"), Remedy("family", "negative-binomial")),
)

# Lassos.

LASSO_NOT_CONVERGED = Message(
    "NotConvergedWarning",
    "The lasso of block {blocks} did not converge (duality gap {gap:.2g} of the null deviance);",
    "coefficients are those of the last iteration.",
    "Increase {0} or {1}; in a classification without a penalty, check for separation.",
    (Remedy("max_iter"), Remedy("alpha")),
    {"blocks": (3, 7), "gap": 0.001},
)
NET_NOT_CONVERGED = Message(
    "NotConvergedWarning",
    "The elastic net did not converge in {steps} (duality gap {gap:.2g} of the null deviance);",
    "coefficients are those of the last iteration.",
    "Increase {0} or {1}; in a classification without a penalty, check for separation.",
    (Remedy("max_iter"), Remedy("alpha")),
    {"steps": "25 steps", "gap": 0.001},
)
FOLDS_NOT_CONVERGED = Message(
    "NotConvergedWarning",
    "{n_failed} of {n_fits} fits of training rows did not converge,",
    "so their deviances are approximate.",
    "Use larger {0}, fewer columns, or more rows.",
    (Remedy("alphas"),),
    {"n_failed": 3, "n_fits": 500},
)
NODEWISE_NOT_CONVERGED = Message(
    "NotConvergedWarning",
    "{count} nodewise lassos did not converge (duality gap up to {gap:.2g} of the column's variance): {names};",
    "standard errors and the correction of these coefficients are inaccurate.",
    "Increase {0} or {1}.",
    (Remedy("max_iter"), Remedy("nodewise_alpha")),
    {"count": 2, "gap": 0.01, "names": ("x3", "x9")},
)
SMALL_BLOCKS = Message(
    CoverageWarning,
    "The blocks are too small for this number of debiasing steps (smallest block {n:,} rows, {rank:,} coefficients):",
    "95% intervals may cover only {coverage}% of the clearly nonzero coefficients, or less.",
    "Use larger blocks, or {0} and {1}, the defaults.",
    (Remedy("nodewise", "pooled"), Remedy("steps", 3)),
    {"n": 200, "rank": 100, "coverage": 70},
)
MANY_COLUMNS = Message(
    CoverageWarning,
    "{n:,} rows are few for the debiased lasso of {rank:,} coefficients:",
    "intervals may cover less than their level.",
    "Use 20 rows per column or more; for a binomial model with more rows than columns, {0} covers better.",
    (_JEFFREYS,),
    {"n": 2000, "rank": 400},
)
CORRECTIONS_SHORTENED = Message(
    RoughInverseWarning,
    "{shortened} of {rounds} corrections would have decreased the log-likelihood and were shortened:",
    "the approximate inverse covariance is too inaccurate for steps > 1.",
    "Use a smaller {0}.",
    (Remedy("nodewise_alpha"),),
    {"shortened": 1, "rounds": 2},
)
CORRECTION_OVERFLOWS = Message(
    RoughInverseWarning,
    "After round {rounds} fitted means overflow for some rows, so no further round was made:",
    "the approximate inverse covariance is too inaccurate for steps > 1.",
    "Use a smaller {0}.",
    (Remedy("nodewise_alpha"),),
    {"rounds": 1},
)
ROUNDING = Message(
    PrecisionWarning,
    "Columns are far from centered: {names};",
    "rounding error in them changes predictions by {error:.1g}.",
    "Center these columns before fitting.",
    example={"names": ("time (about 1.4e+18)",), "error": 0.02},
)

# Versions and packages.

VERSIONS_DIFFER = Message(
    VersionsWarning,
    "Workers and this process have different versions: {differences}.",
    "Results may differ in the last digits, or more between builds of this package, and between runs.",
    "Install the same versions everywhere.",
    example={"differences": ("numpy is 2.3.0 here and 2.1.0 on tcp://10.0.0.1:8786",)},
)
NUMBA_BROKEN = Message(
    RuntimeWarning,
    "numba is installed but cannot be imported ({error}).",
    "The slower NumPy implementation is used;",
    "update numba.",
    example={"error": "Numba needs NumPy 2.2 or less. Got NumPy 2.4."},
)
PICKLED_BY_ANOTHER_VERSION = Message(
    UserWarning,
    "This {name} was pickled by dask_onestep {wrote} and is loaded by {here}:",
    "results may be invalid.",
    "Fit it again, or store models as JSON (write_model), which is stable between versions.",
    example={"name": "GLMRegressor", "wrote": "0.1", "here": "0.2"},
)

# Errors: numbers out of range.

MEANS_OUTSIDE_RANGE = Message(
    ValueError,
    "At the estimate some rows have a mean outside the range of the {family} family,",
    "where the likelihood is undefined.",
    "Use a link that respects this range, such as log, {0}, or {1}, whose steps stay inside the range.",
    (_LARGER_PILOT, _MLE),
    {"family": "poisson"},
)
RESIDUALS_OVERFLOW = Message(
    ValueError,
    "The sum of squared residuals overflows:",
    "values of y or {0} are so large that their squares overflow.",
    "Divide them by a constant first, such as y / 1e6, and check for codes that stand for missing values.",
    (Remedy("sample_weight"),),
)
SQUARES_UNDERFLOW = Message(
    ValueError,
    "Values of X are so small that their squares underflow, in column {names}:",
    "standard errors would overflow.",
    "Multiply by a constant first, or standardize the columns.",
    example={"names": ("x1",)},
)

# Errors: parameters and data.

LEVEL = Message(
    ValueError,
    "level={level!r} must lie between 0 and 1, such as 0.95:",
    "it is the coverage probability of the intervals.",
    "Pass a fraction, not a percentage.",
    example={"level": 95},
)
CLASS_INSTEAD_OF_INSTANCE = Message(
    TypeError,
    "{option}={name} is a class:",
    "pass an instance,",
    "{name}().",
    example={"option": "method", "name": "MLE"},
)
MISSING_EXTRA = Message(
    ImportError,
    "{what} needs {package},",
    "which is not installed:",
    "pip install 'dask_onestep[{extra}]'.",
    example={"what": "formula=", "package": "formulaic", "extra": "formula"},
)
NO_ROWS = Message(
    ValueError,
    "Found array with 0 sample(s):",
    "no usable rows remain{why}.",
    "Check filters, missing values and weights.",
    example={"why": ", 1,000 were dropped for missing values"},
)
DIFFERENT_LENGTHS = Message(
    ValueError,
    "X has {n:,} rows and {given} has {m:,}:",
    "rows are paired by position.",
    "Pass one value per row of X.",
    example={"n": 100, "m": 99, "given": "y"},
)
LISTS_OR_DICTS = Message(
    ValueError,
    "{name} holds lists or dicts;",
    "expand them into columns first,",
    "or drop this column.",
    example={"name": "tags"},
)
UNLIKE_FILE = Message(
    ValueError,
    "{what}:",
    "the files cannot be read as one table.",
    "Fix the file, or exclude it.",
    example={"what": "b.parquet has no column 'x', which a.parquet has"},
)
NOT_A_COLUMN = Message(
    ValueError,
    "{given} is not a column of X,",
    "whose columns are {columns}.",
    "Use one of these names, or pass the values.{hint}",
    example={
        "given": Remedy("sample_weight", "wieght"),
        "columns": ("y", "x", "weight"),
        "hint": " Did you mean 'weight'?",
    },
)
NAMED_WITHOUT_FRAME = Message(
    TypeError,
    "{given} names a column,",
    "but X is not a DataFrame and has no names.",
    "Pass the values, or a DataFrame.",
    example={"given": Remedy("groups", "site")},
)
MUST_BE_PASSED = Message(
    ValueError,
    "The model was fitted with {given};",
    "it must also be passed here,",
    "since without it the result is of another model.",
    example={"given": Remedy("offset")},
)
PILOT_SIZE = Message(
    ValueError,
    "{given} must be 'auto', a number of rows (int ≥ 1), or a fraction of the rows (0 < float ≤ 1);",
    "it is the size of the pilot.",
    "Use {0} for a size that depends on the data.",
    (Remedy("pilot_size", "auto"),),
    {"given": Remedy("pilot_size", 0)},
)
NEGATIVE_SEED = Message(
    ValueError,
    "{given} must be nonnegative,",
    "since it seeds a random number generator.",
    "Use {0}, or any larger integer.",
    (Remedy("random_state", 0),),
    {"given": Remedy("random_state", -1)},
)
GROUPS_NOT_USED = Message(
    ValueError,
    "{0} was passed, but {given} does not use it:",
    "groups are the clusters of a covariance.",
    "Use {1} or {2}, or omit {0}.",
    (Remedy("groups"), Remedy("cov_type", "cluster"), _CRV3),
    {"given": Remedy("cov_type", "nonrobust")},
)
GROUPS_MISSING = Message(
    ValueError,
    "{given} needs {0},",
    "the cluster of each row.",
    "Pass {0}, or use {1} if rows are independent.",
    (Remedy("groups"), _HC1),
    {"given": Remedy("cov_type", "cluster")},
)
ONE_GROUP = Message(
    ValueError,
    "{given} needs at least two groups,",
    "but {0} has a single value.",
    "Check that it is the intended column, or use {1} if rows are independent.",
    (Remedy("groups"), _HC1),
    {"given": _CRV3},
)
CRV3_NOT_LAZY = Message(
    ValueError,
    "cov_type='CRV3' with {clusters:,} clusters and {rank:,} coefficients needs a second pass,",
    "which a lazy fit does not support.",
    "Use fit, or {0}.",
    (Remedy("cov_type", "cluster"),),
    {"clusters": 1_000, "rank": 5_000},
)

# Errors: what a method or a model does not support.

OPTION_OF_OTHER_METHODS = Message(
    ValueError,
    "{given} is not available with this method;",
    "it must be one of {values}.",
    "For {given}, use {0} or {1}.",
    (_ONE_STEP, _MLE),
    {"given": _HC1, "values": ("'nonrobust'",)},
)
OWN_COVARIANCE = Message(
    ValueError,
    "{method} supports only its own covariance,",
    "since its coefficients do not maximize the likelihood of all rows.",
    "Fit with {0} or {1}.",
    (_ONE_STEP, _MLE),
    {"method": "Average"},
)
NO_COVARIANCE = Message(
    ValueError,
    "{method} does not estimate a covariance,",
    "so effects would have no standard errors; penalized coefficients are also biased.",
    "Fit with {0} or {1}, or DebiasedLasso.",
    (_ONE_STEP, _MLE),
    {"method": "AverageLasso"},
)
NO_INFORMATION = Message(
    ValueError,
    "This fit by {method} has no information matrix,",
    "or was read from JSON, which does not store it.",
    "Fit with {0} or {1}, or use with_covariance('nonrobust', X, y) first.",
    (_ONE_STEP, _MLE),
    {"method": "Average"},
)
NOT_A_SUM = Message(
    ValueError,
    "{what} does not support {likelihood},",
    "which is not a sum over rows.",
    "Use {0}.",
    (_MLE,),
    {"what": "OneStep", "likelihood": "MyLikelihood"},
)
NOT_A_SUM_COVARIANCE = Message(
    ValueError,
    "{given} is not available for {likelihood},",
    "which is not a sum over rows.",
    "Use {0} or {1}.",
    (_HC1, Remedy("cov_type", "cluster")),
    {"given": Remedy("cov_type", "HC3"), "likelihood": "MyLikelihood"},
)
LEVERAGES_OF_CLASSES = Message(
    ValueError,
    "{given} is not available for more than two classes, or for several linear predictors,",
    "since it needs one leverage per row.",
    "Use {0}, or {1} with {2}.",
    (_HC1, _CRV3, Remedy("groups")),
    {"given": Remedy("cov_type", "HC3")},
)
SURROGATE_WITHOUT_MAXIMUM = Message(
    ValueError,
    "The surrogate log-likelihood of round {number} has no maximum:",
    "its {n:,} anchor rows are not representative of the full data.",
    "Use {0} (if it is used already, {1}), or {2}.",
    (Remedy("anchor", "pilot"), _LARGER_PILOT, _ONE_STEP),
    {"number": 1, "n": 500},
)
ALIASED_WITHIN_A_BLOCK = Message(
    ValueError,
    "These columns are aliased within a block, though not in the full data: {names}.",
    "In block {blocks} their coefficients are not identified.",
    "Shuffle the rows over the blocks, drop the columns, or use a method that needs no local fits, such as {0}.",
    (_ONE_STEP,),
    {"names": ("x1",), "blocks": (3,)},
)
NO_START = Message(
    ValueError,
    "No start was found at which the mean of every row is inside the range of the {family} family:",
    "the likelihood is undefined outside it, and loses its digits near its ends.",
    "Use a link that respects this range, such as log, and check y for values close to 0.",
    example={"family": "poisson"},
)
INFORMATION_NOT_FINITE = Message(
    ValueError,
    "The information matrix holds NaN or infinity:",
    "for some rows the linear predictor overflowed, or the mean is outside the family's range.",
    "Use a link that respects this range, such as log, rescale the columns, or use {0}.",
    (_LARGER_PILOT,),
)

# Errors: tests and effects.

ALIASED_IN_HYPOTHESIS = Message(
    ValueError,
    "The hypothesis {text} involves an aliased coefficient,",
    "which has no estimate:",
    "drop it.",
    example={"text": "x2 = 0"},
)
DEPENDENT_RESTRICTIONS = Message(
    ValueError,
    "The restrictions {text} are not independent of each other,",
    "so the statistic is undefined:",
    "drop those that follow from the others.",
    example={"text": "x1 = 0, 2 x1 = 0"},
)
UNKNOWN_COEFFICIENTS = Message(
    ValueError,
    "Unknown coefficients [{unknown}] in {where};",
    "must be one of {names}{more}.",
    "The names are those of coef_table().{hint}",
    example={
        "unknown": ("'x9'",),
        "where": "null",
        "names": ("intercept", "x1", "x2"),
        "more": "; terms and covariates of several coefficients: carrier",
        "hint": " Did you mean 'x1'?",
    },
)
NOT_A_VARIABLE = Message(
    ValueError,
    "{name!r} is not a variable of the model;",
    "must be one of {names}.",
    "Variables are columns, not coefficients.{hint}",
    example={"name": "distnace", "names": ("distance", "carrier"), "hint": " Did you mean 'distance'?"},
)

# Errors: files.

UNREADABLE_MODEL = Message(
    ValueError,
    "{path} holds no model that can be read:",
    "{reason}.",
    "Write it again with write_model, by this version.",
    example={"path": "model.json", "reason": "its digest does not match"},
)
PICKLE_NOT_TRUSTED = Message(
    ValueError,
    "{path} is a pickle,",
    "which can execute arbitrary code when it is loaded.",
    "If you wrote it yourself, pass {0}; a model stored as .json contains only data and can also predict.",
    (Remedy("trust_pickle", True),),
    {"path": "model.pkl"},
)
OUTPUT_EXISTS = Message(
    FileExistsError,
    "{path}",
    "{what}.",
    "Pass {0} to replace it, or choose another path.",
    (Remedy("overwrite", True),),
    {"path": "predictions.csv", "what": "exists"},
)
OTHER_SEPARATOR = Message(
    ValueError,
    "it has one column, {name!r},",
    "and seems to be separated by '{separator}'.",
    "Pass {0}.",
    (
        Remedy(
            "sep",
            python="sep='{separator}' to dask.dataframe.read_csv, and its result here",
            command="--sep '{separator}'",
        ),
    ),
    {"name": "y;x;g", "separator": ";"},
)
OTHER_ENCODING = Message(
    ValueError,
    "{path}",
    "is not {encoding} text.",
    "Pass {0}.",
    (
        Remedy(
            "encoding",
            python="encoding='latin-1', or another, to dask.dataframe.read_csv, and its result here",
            command="--encoding, such as latin-1",
        ),
    ),
    {"path": "a.csv", "encoding": "UTF-8"},
)

MESSAGES = {name: value for name, value in globals().items() if isinstance(value, Message)}
