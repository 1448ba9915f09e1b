"""Lassos of a block and what debiases them: penalties, descent, nodewise rows, corrections."""
