"""The pilot sample: drawing and fitting it, extrapolating from it, steps from its estimate, and checks on it."""
