"""A name whose calls go to a new target, the canary, by a share that grows or falls to nothing by itself."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from portico.call import Call
from portico.plan import strategies
from portico.plan.branch import Branch, Kid, Way
from portico.plan.candidate import Candidate
from portico.plan.facts import Facts

CANARY: Final = "canary"
STABLE: Final = "stable"
IGNORED: Final = frozenset(("caller_gone", "shutting_down"))
"""Errors of attempts that say nothing of their targets."""
OUTRUN: Final = "hedge_lost"
"""That of an attempt that was slower than another one beside it."""


class Rollout(Protocol):
    """How far a canary is."""

    @property
    def share(self) -> float:
        """The share of calls that it gets now; 0 where it was taken back."""

    def count(self, *, chosen: bool, failed: bool, took: float | None) -> None:
        """Count a call of one side: whether it failed there, and the seconds until its answer began."""


class Trial(msgspec.Struct, frozen=True):
    """The side of a canary that a call was given: whether it is the canary's, and the targets that it is of."""

    rollout: Rollout
    chosen: bool
    targets: frozenset[str]


class Canaried(Branch):
    """A name's targets with a canary before them. Its own targets stand in where the canary fails, and not otherwise.

    `plain` is the name without the canary: its order is all there is once that was taken back.
    """

    __slots__ = ("_canary", "_others", "plain", "rollout")

    def __init__(self, plain: Branch, bare: Branch, canary: Kid, rollout: Rollout) -> None:
        super().__init__(plain.name, (canary, bare), CANARY, rules=plain.rules)
        self.plain = plain
        self.rollout = rollout
        leaves = (canary,) if isinstance(canary, Candidate) else canary.leaves
        self._canary = Trial(rollout, True, frozenset(leaf.name for leaf in leaves))
        self._others = Trial(rollout, False, frozenset(leaf.name for leaf in plain.leaves) - self._canary.targets)

    @property
    def steady(self) -> Branch:
        """The same name without the canary: where all targets are put in another order, none has a share."""
        return self.plain

    @property
    def fixed(self) -> bool:
        """Whether its order is the same for every call: never, for the share changes."""
        return False

    def order(self, facts: Facts, way: Way, keep: Callable[[Candidate], bool] | None) -> list[Candidate]:
        """Return its targets for a call, best first, each once; without those that `keep` does not."""
        if not self.rollout.share:
            self._leave_out(way, "the canary was taken back")
            return self.plain.order(facts, way, keep)
        return super().order(facts, way, keep)

    def _rank(
        self, rivals: strategies.Rivals, weights: Sequence[float], places: Sequence[int], facts: Facts, way: Way
    ) -> list[int]:
        # A conversation stays on its side, and as the share grows nobody falls back out of it.
        who = facts.session
        point = strategies.share(way.secret, self.name, who) if who else way.draw()
        chosen = point < self.rollout.share
        way.arm = CANARY if chosen else STABLE
        way.trial = self._canary if chosen else self._others
        if not chosen:
            self._leave_out(way, f"the canary gets {self.rollout.share:.4g} of the calls, and not this one")
        return [0, 1] if chosen else [1]

    def _leave_out(self, way: Way, why: str) -> None:
        if way.aside is not None:
            for name in self._canary.targets:
                way.aside.setdefault(name, why)


def judge(call: Call, trial: Trial) -> None:
    """Count a call that has ended for its side, by its first attempt: where that failed, others have stood in."""
    first = call.attempts[0] if call.attempts else None
    if first is None or first.target not in trial.targets or first.error in IGNORED:
        return
    alone = len(call.attempts) == 1
    if alone and call.error in IGNORED:
        return
    outrun = first.error == OUTRUN
    failed = not outrun and (first.error is not None or first.status is None or first.status >= 400)
    if alone and call.end != "served":
        failed = True  # its answer broke off
    took = None
    if outrun or (alone and not failed):
        # One that another target outran was not there by the time when that was.
        if call.first_byte_ns:
            took = (call.first_byte_ns - call.began_ns) * 1e-9 - first.started_us * 1e-6
    elif not failed and first.first_byte_us is not None:
        took = first.first_byte_us * 1e-6
    trial.rollout.count(chosen=trial.chosen, failed=failed, took=took)
