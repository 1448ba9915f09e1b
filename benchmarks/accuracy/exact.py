"""Least squares in rational arithmetic: floats are fractions, so that nothing is rounded."""

from decimal import Decimal, localcontext
from fractions import Fraction


def exact_least_squares(design, y):
    """Return coefficients and standard errors, solved without rounding; decimals may come as strings."""
    rows = [[Fraction(value) for value in row] for row in design]
    response = [Fraction(value) for value in y]
    d = len(rows[0])
    table = [
        [sum(row[i] * row[j] for row in rows) for j in range(d)]
        + [sum(row[i] * value for row, value in zip(rows, response, strict=True))]
        + [Fraction(int(i == j)) for j in range(d)]
        for i in range(d)
    ]
    for i in range(d):
        pivot = table[i][i]
        table[i] = [value / pivot for value in table[i]]
        for k in range(d):
            if k != i:
                factor = table[k][i]
                table[k] = [a - factor * b for a, b in zip(table[k], table[i], strict=True)]
    coef = [row[d] for row in table]
    residuals = [
        value - sum(b * v for b, v in zip(coef, row, strict=True)) for row, value in zip(rows, response, strict=True)
    ]
    scale = sum(value * value for value in residuals) / (len(rows) - d)
    return [float(value) for value in coef], [_root(scale * table[i][d + 1 + i]) for i in range(d)]


def _root(value):
    with localcontext() as context:
        context.prec = 40
        return float((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())
