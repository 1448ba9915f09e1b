"""Which code, which command and which machine a result came from."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

__all__ = ["commit", "origin"]


def commit() -> str:
    """Return the commit of the checkout, marked if files have changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def origin() -> dict[str, str | int]:
    """Return the commit, the command of this process, the processor, its cores, and the version of Python."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "commit": commit(),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "processor": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
    }
