"""Debiased sparse estimation beside statsmodels and hidimstat."""
