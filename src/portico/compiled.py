"""What is said to mypyc, which can compile the data path, of single classes. Plain Python hears nothing of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_):
        """Leave a class as it is."""
        return lambda it: it
