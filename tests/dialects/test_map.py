"""The map of the dialects' folder names each of its modules, once."""

import pkgutil
import re
from collections import Counter
from typing import get_args

from portico import dialects
from portico.types import Dialect


def test_every_module_is_on_the_map_once() -> None:
    assert dialects.__doc__ is not None
    named = Counter(re.findall(r"\w+", " ".join(re.findall(r"^ {4}.*?  +(.*)$", dialects.__doc__, re.M))))
    there = {module.name for module in pkgutil.iter_modules(dialects.__path__)}
    assert named == Counter(there - {*get_args(Dialect)})
