"""Ascents, solving with an information matrix, and BLAS held at one thread."""
