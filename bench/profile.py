# ruff: noqa: A005  # a program, never imported; run.py and this file see to it that it hides nothing
"""The door: `python bench/profile.py [--counts] [--stream] [--size "14 KB"]`; `--help` tells the rest."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # the package's parent, not this folder: the standard library has a module profile, and needs it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    runpy.run_module("bench.profiling", run_name="__main__")
