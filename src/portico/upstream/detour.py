"""What a model name has besides its plain targets: others by why these cannot serve, hedges, and copies."""

from collections.abc import Mapping
from typing import Final

from portico.config import schema
from portico.config.wildcard import Patterns
from portico.upstream.hedge import Hedging

NONE: Final = schema.Fallbacks()


class Detour:
    """The fallbacks and the hedges of one model name, and where a share of its calls is copied to."""

    __slots__ = ("fallbacks", "hedging", "shadow")

    def __init__(self, said: schema.Model) -> None:
        self.fallbacks = said.fallbacks
        self.hedging = Hedging(said.hedge) if said.hedge is not None else None
        self.shadow = said.shadow

    def __repr__(self) -> str:
        return f"<Detour {self.fallbacks!r} {self.hedging!r}>"

    def names(self, why: str) -> tuple[str, ...]:
        """Return the names to be tried for a reason: a field of `schema.Fallbacks`."""
        found: tuple[str, ...] = getattr(self.fallbacks, why)
        return found


class Detours:
    """The detours of all model names; `any` says whether there is one that leads anywhere."""

    def __init__(self, models: Mapping[str, schema.Model]) -> None:
        found = {name: Detour(said) for name, said in models.items()}
        self._by_name = found
        self.any = any(each.hedging or each.shadow or each.fallbacks != NONE for each in found.values())
        self._patterns = Patterns(models)

    def __repr__(self) -> str:
        return f"<Detours of {len(self._by_name)} names>"

    def of(self, name: str) -> Detour | None:
        """Return the detour of a name that a caller asked for, None where it is no model of the configuration."""
        found = self._by_name.get(name)
        if found is None:
            match = self._patterns.find(name)
            found = self._by_name.get(match.pattern) if match is not None else None
        return found
