"""``dask-onestep``: fit, test and predict from a shell.

Exit codes: 0 done; 1 the data or the model cannot be used, said in one line on stderr, or a fault of the
package, with its traceback; 2 the command line cannot be read.
"""

from dask_onestep.cli.commands import app, main

__all__ = ["app", "main"]
