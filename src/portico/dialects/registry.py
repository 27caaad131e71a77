"""The dialects: every word of `portico.types.Dialect` is a package or a module here, which offers `SPOKEN`.

So a further dialect is one module and its name there; the routes, the tables of operations, errors, usage and
preferences, and the tests of every pair follow from what it says of itself.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import get_args

from portico.dialects.spoken import Spoken
from portico.types import Dialect

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
"""Their names."""

PACKAGES: Mapping[Dialect, ModuleType] = MappingProxyType(
    {dialect: import_module(f"portico.dialects.{dialect}") for dialect in DIALECTS}
)

SPOKEN: Mapping[Dialect, Spoken] = MappingProxyType({dialect: PACKAGES[dialect].SPOKEN for dialect in DIALECTS})
"""What each says of itself."""
