"""No key at all: a server of one's own that asks for none."""

from portico.providers.auth.static import Static


class Anonymous(Static):
    """Requests go out as they are."""

    def __init__(self, name: str) -> None:
        super().__init__(name, [])
