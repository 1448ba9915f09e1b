"""From a block of a table to its rows: row data, formulas, levels, and the design."""
