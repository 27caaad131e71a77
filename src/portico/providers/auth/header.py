"""A header of the provider's own that holds the key: `x-api-key`, `x-goog-api-key`, `api-key`."""

from portico.providers.auth.static import Static


class Header(Static):
    """A key that goes into the header `header`."""

    def __init__(self, name: str, header: str, key: str) -> None:
        super().__init__(name, [(header, key)])
