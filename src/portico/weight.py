"""What a batch file holds, as it is kept with what is remembered of the file."""

import msgspec

from portico.rules import Bound


class Weight(msgspec.Struct, frozen=True, array_like=True):
    """What a batch file holds: how many requests, of which models, and the most that all of them can use."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int | None = 0
    why: str | None = None
    models: tuple[str, ...] = ()

    @property
    def bound(self) -> Bound:
        """The most that all of it can use."""
        return Bound(self.input_tokens, self.output_tokens, self.cost, self.why)
