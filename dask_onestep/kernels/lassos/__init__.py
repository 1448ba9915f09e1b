"""Lassos of a block and their debiasing: penalties, coordinate descent, nodewise lassos, corrections."""
