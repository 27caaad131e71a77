"""The door: `python bench/run.py [--quick] [--only portico,nginx] [--json] [--soak]`; `--help` tells the rest."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # the package's parent, not this folder: here lies a profile.py, which is also a module of the standard library
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    runpy.run_module("bench.compare", run_name="__main__")
