"""All warnings, and the errors that several places raise: their texts in Python and on the command line.

`catalogue` holds the messages; `text` turns one, and its facts, into text.
"""
