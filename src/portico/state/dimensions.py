"""What a call is told apart by, where rules look for it."""

import msgspec

from portico.rules import Dimension


class Dimensions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call is told apart by. `models` are the name that was asked for and that of its target."""

    key: str | None = None
    user: str | None = None
    team: str | None = None
    org: str | None = None
    customer: str | None = None
    tags: tuple[str, ...] = ()
    provider: str | None = None
    models: tuple[str, ...] = ()

    def of(self, dimension: Dimension) -> tuple[str, ...]:
        """Return a call's values in a dimension."""
        if dimension == "tag":
            return self.tags
        if dimension == "model":
            return self.models
        value: str | None = getattr(self, dimension)
        return (value,) if value is not None else ()
