"""Which code a result came from."""

from __future__ import annotations

import subprocess

__all__ = ["commit"]


def commit() -> str:
    """Return the commit of the checkout, marked if files have changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
