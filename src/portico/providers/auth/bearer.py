"""`Authorization: Bearer …` (RFC 6750 section 2.1), what most providers want."""

from portico.providers.auth.static import Static


class Bearer(Static):
    """A key that goes into the Authorization header."""

    def __init__(self, name: str, key: str) -> None:
        super().__init__(name, [("authorization", f"Bearer {key}")])
