"""From a block of a table to its matrix: formulas, levels and what a design remembers."""
