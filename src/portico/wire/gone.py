"""What stands for the transport of a connection that is gone: closed, and deaf to all.

uvloop's TLS transports hold methods of their protocol after the end. A protocol that held its transport on would be
freed by the collector alone, and with it 14 KB of buffers.
"""

import asyncio
from typing import Final


class Gone(asyncio.Transport):
    """A transport that is closed."""

    def __repr__(self) -> str:
        return "<Gone>"

    def is_closing(self) -> bool:
        """Say so."""
        return True

    def can_write_eof(self) -> bool:
        """Say that nothing can be ended any more."""
        return False

    def get_write_buffer_size(self) -> int:
        """Say that nothing waits."""
        return 0

    def write(self, data: object) -> None:
        """Drop it."""

    def writelines(self, list_of_data: object) -> None:
        """Drop them."""

    def close(self) -> None:
        """Stay closed."""

    def abort(self) -> None:
        """Stay closed."""

    def pause_reading(self) -> None:
        """Read nothing, as before."""

    def resume_reading(self) -> None:
        """Read nothing, as before."""


GONE: Final = Gone()
