"""How long a client waits."""


class Deadlines:
    """How long one request may take, in seconds.

    `connect` includes TLS. `first_byte` runs from the request sent to the end of the reply's head. `between_chunks`
    runs between two reads of the reply (not while the reader has paused it), and while the origin takes nothing of an
    upload. `total` runs from the moment of sending to the end of the reply.
    """

    __slots__ = ("between_chunks", "connect", "first_byte", "total")

    def __init__(
        self,
        connect: float = 5.0,
        first_byte: float = 300.0,
        between_chunks: float = 120.0,
        total: float = 1800.0,
    ) -> None:
        self.connect = connect
        self.first_byte = first_byte
        self.between_chunks = between_chunks
        self.total = total

    def __repr__(self) -> str:
        return f"<Deadlines {self.connect:g}, {self.first_byte:g}, {self.between_chunks:g}, {self.total:g} s>"

    def hurried(self, first_byte: float) -> "Deadlines":
        """Return the same for a reply that is to have begun within so many seconds."""
        return Deadlines(self.connect, min(self.first_byte, first_byte), self.between_chunks, self.total)
