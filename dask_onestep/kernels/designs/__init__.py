"""From a block of a table to its rows: what a row has, formulas, levels and what a design remembers."""
