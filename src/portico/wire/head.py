"""The head of a request: what it asks, checked. Requests that repeat it share it, and nobody changes it."""


class Head:
    """A request line and its headers, lowercased and in order; `fields` has them by name (the last of a repeated one).

    How the body is framed is not among them: `Exchange.declared` says it. `memo` is for what a handler found out from
    the head alone, so that it need not do so again.
    """

    __slots__ = ("expects_continue", "fields", "headers", "http10", "keep_alive", "memo", "method", "target")

    def __init__(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.fields = fields
        self.http10 = False
        self.keep_alive = True
        self.expects_continue = False
        self.memo: object = None

    def __repr__(self) -> str:
        return f"<Head {self.method} {self.target.partition(b'?')[0]!r}>"
