"""Debiased sparse estimation compared with statsmodels and hidimstat."""
