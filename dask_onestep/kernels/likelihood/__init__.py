"""Sums over rows: likelihoods with one or several linear predictors, their kernels, and fits in memory."""
