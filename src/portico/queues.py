"""What a worker keeps of calls that wait, whatever configuration is in force: its lines, and its share of the table.

Nothing of it is loaded before a configuration asks for it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from portico.config.schema import Config

if TYPE_CHECKING:
    from portico.queueing.terms import Terms
    from portico.queueing.waiting import Waiting
    from portico.upstream.gate import Gates, Gating


class Queues:
    """The lines and the gates of one worker. `path` is the table that workers share, None for one of its own."""

    def __init__(self, path: Path | None = None) -> None:
        self.waiting: Waiting | None = None
        self.gates: Gates | None = None
        self._path = path

    def __repr__(self) -> str:
        return f"<Queues {self.waiting!r} {self.gates!r}>"

    def terms(self, config: Config) -> "Terms | None":
        """Return what a configuration says of calls that wait, None where none may."""
        if not asks_to_wait(config):
            return None
        from portico.queueing.terms import Terms
        from portico.queueing.waiting import Waiting

        if self.waiting is None:
            self.waiting = Waiting()
            self._join()
        return Terms(config, self.waiting)

    def gating(self, config: Config, edition: int) -> "Gating | None":
        """Return what a configuration says of calls at once, None where nothing is bounded."""
        waits = asks_to_wait(config)
        if not waits and not bounds_targets(config):
            return None
        from portico.upstream.gate import Gates, Gating
        from portico.upstream.slots import Slots

        if self.gates is None:
            self.gates = Gates(Slots(self._path))
            self._join()
        return Gating(self.gates, config, edition, waits=waits)

    def adopt(self, config: Config, edition: int) -> None:
        """Put a configuration in force for those who wait: for how many there is room, and what bounds them."""
        if self.gates is not None:
            from portico.upstream.gate import Gating

            Gating(self.gates, config, edition, waits=asks_to_wait(config)).adopt()
        if self.waiting is not None:
            said = config.queue
            if said is not None:
                self.waiting.resize(said.calls, said.bytes)
            self.waiting.open_all()

    def drain(self, seconds: float) -> None:
        """Let nobody wait past the end of this worker, in so many seconds."""
        if self.waiting is not None:
            self.waiting.drain(seconds)

    def close(self) -> None:
        """Give back what calls of this worker had taken."""
        if self.gates is not None:
            self.gates.slots.close()

    def _join(self) -> None:
        """Let what is given back be known to those who wait for it."""
        if self.gates is not None and self.waiting is not None:
            self.gates.slots.freed, self.gates.slots.lines = self.waiting.open, self.waiting.lobby.lines
            self.waiting.share(self.gates.slots)


def asks_to_wait(config: Config) -> bool:
    """Return whether any call may wait."""
    said = [config.queue, *(model.queue for model in config.models.values()), *(t.queue for t in config.teams.values())]
    return any(each is not None and each.wait for each in said)


def bounds_targets(config: Config) -> bool:
    """Return whether the calls to any target are bounded."""
    targets = [target for model in config.models.values() for target in model.targets]
    return any(target.max_concurrency is not None for target in targets) or any(
        provider.max_concurrency is not None or provider.adaptive for provider in config.providers.values()
    )
