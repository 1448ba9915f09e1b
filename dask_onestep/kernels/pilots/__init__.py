"""The pilot, and steps from it: which rows, their fit, what they foretell, and what holds a poor one back."""
