"""The supervisor: it holds the sockets, starts the workers and control, watches them, and imports neither.

It lives as long as the gateway and is small: the standard library alone, no event loop. What needs more than that
(reading a configuration, looking for providers) runs in a short-lived process, `portico.supervisor.resolve`.

Paths are strings here and host names bytes: pathlib and the idna codec cost 2 MB that are held for good.

Exit codes of `portico serve`: 0 stopped as asked; 1 stopped at once, or its processes cannot run; 2 the command line
or the configuration is wrong; 3 the port, the socket or the data directory is taken or cannot be used.
"""

STOPPED = 0
FAILED = 1
WRONG = 2
TAKEN = 3


class CannotStart(Exception):  # a condition, told to a person
    """Portico cannot start; the message says why and what to do, and `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
