"""A row that all who count in it share: it is found again for as long as anybody has it."""

from portico.state.rows import Row


class SharedRow(Row):
    """A row that can be referred to weakly. Only a class that is not compiled can be."""

    __slots__ = ("__weakref__",)
