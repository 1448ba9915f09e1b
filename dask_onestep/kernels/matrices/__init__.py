"""Matrices as they are stored: symmetric ones of coefficients, columns without their zeros, and rows of a design."""
