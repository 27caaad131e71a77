"""Who waits without a task."""

from portico.compiled import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Waiting:
    """Who waits on behalf of a call, and is told what comes to its two connections."""

    __slots__ = ()

    def gone(self) -> None:
        """Hear that the caller has hung up."""

    def arrived(self) -> None:
        """Hear that there is something to decide on of what the provider answers."""
