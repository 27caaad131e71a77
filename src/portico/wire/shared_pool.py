"""A pool that all who ask for the same origin share: it is found again for as long as anybody has it."""

from portico.wire.pool import Pool


class SharedPool(Pool):
    """A pool that can be referred to weakly. Only a class that is not compiled can be."""

    __slots__ = ("__weakref__",)
