"""Ascents, and solving with an information matrix."""
