"""The maps of the largest folders name each of their modules, once."""

import pkgutil
import re
from collections import Counter
from types import ModuleType
from typing import get_args

import pytest

from portico import control, dialects
from portico.types import Dialect


@pytest.mark.parametrize("package", [control, dialects], ids=lambda package: package.__name__)
def test_every_module_is_on_the_map_once(package: ModuleType) -> None:
    assert package.__doc__ is not None
    named = Counter(re.findall(r"\w+", " ".join(re.findall(r"^ {4}.*?  +(.*)$", package.__doc__, re.M))))
    there = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert named == Counter(there - {"__main__", *get_args(Dialect)})
