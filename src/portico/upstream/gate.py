"""How many calls a target may have at once: a hard cap, and a window that follows what its provider bears.

The window is TCP's (RFC 5681): without a bound until the provider first says that it is too much; then to seven tenths
of what was under way, and one more for each time that a whole window was served. After a `Retry-After` it begins at one
and doubles up to where it was. Beside it goes a pace: who is told to come back later has asked for more per second than
there is, whatever was under way, so that what was served of late is sent, a little less, until that proves too little.

All words are shared by the workers (`slots`); times are nanoseconds of the monotonic clock.
"""

from collections.abc import Iterator
from math import exp
from typing import Final

from portico.config.schema import Config
from portico.config.wildcard import matches
from portico.errors import Overloaded
from portico.upstream.slots import ROWS, STANDING, Slots

UNTIL: Final = 1
"""When its provider takes calls again."""
LIMIT: Final = 2
"""The window, in thousandths of a call; 0 is not known, which is no bound."""
THRESHOLD: Final = 3
"""Up to where the window doubles."""
CUT: Final = 4
"""When the window was last cut: what was sent before that tells nothing new."""
GAP: Final = 5
"""The least time from one call to the next, in nanoseconds."""
NEXT: Final = 6
"""When the next call may go by that."""
SERVED: Final = 7
"""Calls served per second of late, in millionths; `GAP` is made of it."""
LAST: Final = 8
"""When the last one was."""
BUSY: Final = 9
"""Since when some were, without a long break."""

WHOLE: Final = 1000
"""A call, in the window's thousandths."""
TURNED_AWAY: Final = 10
"""How often the last call of a window of one was refused, one time after another."""

LESS: Final = 0.7
SPAN: Final = 5.0
"""Seconds over which the served calls of late are counted."""
SLACK: Final = 1.02
"""The pace after a refusal, over the time from one served call to the next."""
FASTER: Final = 0.995
"""What each served call makes of the time to the next, at most."""
HALVES: Final = 60.0
"""Seconds of serving in which that time is halved."""
SHORT: Final = 200_000
"""A gap that is no longer than this, in nanoseconds, is none."""
LONGEST: Final = 60.0
"""Seconds that the provider is left alone at most on its word, and between two calls."""
FIRST: Final = 0.25
"""Seconds that a provider is left alone that takes not even one call, and does not say for how long; then doubled."""
PATIENT: Final = 8.0
FORGOTTEN: Final = 600.0
"""Seconds after which a provider that took all there was is not bounded any more."""
POLL: Final = 0.02
"""Seconds after which it is worth looking whether another worker has given something back."""
SECOND: Final = 1_000_000_000


class Gate:
    """The bounds of one target, or of one provider (the `outer` of its targets), by `name`.

    `cap` is the most calls at once, 0 for none; with `adaptive` the window counts too.
    """

    __slots__ = (
        "_at",
        "_edition",
        "_outer_at",
        "_plain",
        "_slots",
        "_words",
        "adaptive",
        "cap",
        "name",
        "outer",
    )

    def __init__(self, name: str, slots: Slots, at: int, outer: "Gate | None" = None) -> None:
        self.name = name
        self.cap = 0
        self.adaptive = False
        self.outer = outer
        self._slots = slots
        self._at = at
        self._outer_at = outer._at if outer is not None else slots.nowhere
        self._words = slots.words
        self._plain = False
        self._edition = 0

    def __repr__(self) -> str:
        limit = self.limit
        return f"<Gate of {self.name}: {self.under_way} of {'any' if limit is None else f'{limit:.1f}'}>"

    @property
    def under_way(self) -> int:
        """Calls under way here, of all workers."""
        return self._slots.count(self._at)

    @property
    def limit(self) -> float | None:
        """How many calls may be under way, None for any number."""
        limit = self._slots.words[self._at + LIMIT] / WHOLE if self.adaptive else 0.0
        return min(limit or float(self.cap), float(self.cap) or limit) or None

    def bind(self, cap: int, adaptive: bool, edition: int) -> None:
        """Put the bounds of a configuration in force, unless a later edition of it has put its own."""
        if edition >= self._edition:
            self._edition, self.cap, self.adaptive = edition, cap, adaptive
            self._plain = not cap and (self.outer is None or not self.outer.cap)

    def enter(self, now: float) -> bool:
        """Count a call in where nothing is in its way and nobody waits for anything; return whether it was."""
        words = self._words
        if words[STANDING]:
            return False
        if not self._plain or words[self._at + CUT]:
            return self.take(now) is None
        # Nothing is to be decided: there is no cap, and its provider has never had too much.
        mine = self._slots.mine
        words[self._at + mine] += 1
        words[self._outer_at + mine] += 1
        return True

    def take(self, now: float) -> tuple[str, float] | None:
        """Count a call in, and return None; or what is in its way, and when it is worth trying again."""
        slots, at, words, outer = self._slots, self._at, self._words, self.outer
        with slots.locked():
            if outer is not None and outer.cap and slots.count(outer._at) >= outer.cap:
                slots.doubt(now)
                return outer.name, now + POLL
            if self.cap and slots.count(at) >= self.cap:
                slots.doubt(now)
                return self.name, now + POLL
            if self.adaptive:
                ns = int(now * SECOND)
                first = max(words[at + UNTIL], words[at + NEXT] if words[at + GAP] else 0)
                if first > ns:
                    return self.name, (first + 1000) / SECOND  # floats are coarser than nanoseconds
                limit = words[at + LIMIT]
                if limit and (slots.count(at) + 1) * WHOLE > max(limit, WHOLE):
                    return self.name, now + POLL
                if words[at + GAP]:
                    words[at + NEXT] = ns + words[at + GAP]
            words[at + slots.mine] += 1
            words[self._outer_at + slots.mine] += 1
        return None

    def give_back(self) -> None:
        """Count a call out."""
        slots, words = self._slots, self._words
        mine = slots.mine
        words[self._at + mine] -= 1
        words[self._outer_at + mine] -= 1
        if slots.lines and slots.freed is not None:
            slots.freed(self.name)
            if self.outer is not None:
                slots.freed(self.outer.name)

    def served(self, now: float) -> None:
        """Note that a call was answered: the window grows, and so does the pace. Nothing is noted before both begin."""
        words, at = self._words, self._at
        if not words[at + CUT] or not self.adaptive:
            return
        with self._slots.locked():
            ns = int(now * SECOND)
            passed = max(now - words[at + LAST] / SECOND, 0.0)
            words[at + LAST] = ns
            if passed > SPAN:
                words[at + BUSY] = ns
            rate = words[at + SERVED] / 1e6 * exp(-passed / SPAN) + 1 / SPAN
            words[at + SERVED] = int(rate * 1e6)
            words[at + TURNED_AWAY] = 0
            limit = words[at + LIMIT]
            if limit and 2 * (self._slots.count(at) + 1) * WHOLE >= limit:
                more = WHOLE if limit < words[at + THRESHOLD] else WHOLE * WHOLE // limit
                words[at + LIMIT] = min(limit + more, 1_000_000 * WHOLE)
            gap = words[at + GAP]
            if gap:
                words[at + GAP] = int(gap * min(FASTER, 0.5 ** (passed / HALVES))) if gap > SHORT else 0
            elif ns - words[at + CUT] > FORGOTTEN * SECOND:
                words[at + CUT] = words[at + LIMIT] = words[at + UNTIL] = 0

    def refused(self, now: float, began: float, retry_after: float | None) -> None:
        """Note that the provider had too much: it said so, was overloaded, or did not answer in time.

        `began` is when the call was sent, in seconds; `retry_after` how long the provider wants to be left alone.
        """
        if not self.adaptive:
            return
        words, at = self._words, self._at
        ns = int(now * SECOND)
        with self._slots.locked():
            if retry_after is not None:
                words[at + UNTIL] = max(words[at + UNTIL], ns + int(min(retry_after, LONGEST) * SECOND))
            if began * SECOND <= words[at + CUT]:
                return
            under_way = self._slots.count(at)
            before = words[at + LIMIT] or under_way * WHOLE
            threshold = max(WHOLE, int(min(before, max(under_way, 1) * WHOLE) * LESS))
            words[at + THRESHOLD] = threshold
            words[at + LIMIT] = threshold if retry_after is None else WHOLE
            if retry_after is not None:
                words[at + GAP] = min(self._gap(now, retry_after), int(LONGEST * SECOND))
            elif before <= WHOLE:
                pause = min(FIRST * 2.0 ** min(words[at + TURNED_AWAY], 10), PATIENT)
                words[at + TURNED_AWAY] += 1
                words[at + UNTIL] = max(words[at + UNTIL], ns + int(pause * SECOND))
            words[at + CUT] = ns

    def _gap(self, now: float, retry_after: float) -> int:
        """Return the time from one call to the next that goes with what was served of late."""
        words, at = self._words, self._at
        gap = words[at + GAP]
        rate = words[at + SERVED] / 1e6 * exp(-max(now - words[at + LAST] / SECOND, 0.0) / SPAN)
        if rate * SPAN < 0.5:  # next to nothing was
            return max(2 * gap, int(retry_after * SECOND / 4)) if gap else 0
        # Of what has only just begun, the average has not seen a whole span.
        rate /= 1 - exp(-max(now - words[at + BUSY] / SECOND, 0.5) / SPAN)
        return max(int(SLACK / rate * SECOND), gap)


class Gates:
    """The gates of a worker by their names; they outlive configurations."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._known: dict[str, Gate | None] = {}

    def __repr__(self) -> str:
        return f"<Gates of {len(self._known)} names>"

    def __iter__(self) -> Iterator[Gate]:
        return (gate for gate in self._known.values() if gate is not None)

    def gate(self, name: str, outer: Gate | None = None, *, bounded: bool = True) -> Gate | None:
        """Return the gate of a target or provider, the same one each time.

        Where it has no cap (`bounded` is false), there may be none: callers choose names, and the table has an end.
        """
        found = self._known.get(name)
        if found is None and (bounded or len(self._known) < ROWS):
            at = self.slots.row(name, most=ROWS if bounded else ROWS // 2)
            found = Gate(name, self.slots, at, outer) if at is not None else None
            self._known[name] = found
        return found


class Gating:
    """What one configuration says of gates. `edition` is higher than that of all before it."""

    def __init__(self, gates: Gates, config: Config, edition: int, *, waits: bool) -> None:
        self._gates = gates
        self._edition = edition
        self._waits = waits
        self._caps = [
            (target.model, target.max_concurrency)
            for model in config.models.values()
            for target in model.targets
            if target.max_concurrency is not None
        ]
        self._providers = config.providers

    def __repr__(self) -> str:
        return f"<Gating of {len(self._caps)} targets>"

    def adopt(self) -> None:
        """Put this in force at all gates that there are: calls that wait there go by it as well."""
        for gate in sorted(self._gates, key=lambda each: each.outer is not None):
            gate.bind(*self._said(gate.name.partition(" ")[0]), self._edition)

    def _said(self, name: str) -> tuple[int, bool]:
        """Return the cap of a provider or a target, 0 for none, and whether the window counts there."""
        provider, slash, _ = name.partition("/")
        said = self._providers.get(provider)
        if said is None:
            return 0, False
        if not slash:
            return said.max_concurrency or 0, False
        cap = min((most for pattern, most in self._caps if matches(pattern, name)), default=0)
        return cap, self._waits if said.adaptive is None else said.adaptive

    def gate(self, provider: str, model: str, whose: str) -> Gate | None:
        """Return the gate of a model at a provider, None where nothing bounds it. Raises Overloaded for too many.

        `whose` is the team whose own keys are used there, or nothing: what its provider bears it bears for itself.
        """
        name = f"{provider}/{model}"
        most, _ = self._said(provider)
        cap, adaptive = self._said(name)
        if not (cap or most or adaptive):
            return None
        # The provider is counted whether it is bounded or not: what is given back later has been taken then.
        outer = self._gates.gate(provider)
        if outer is not None:
            outer.bind(most, False, self._edition)
            if not model:
                return outer if most else None
        found = self._gates.gate(f"{name} {whose}" if whose else name, outer, bounded=bool(cap or most))
        if found is None or outer is None:
            if cap or most:
                raise Overloaded(f"too many names of models are bounded to count the calls to {name!r}")
            return None
        found.bind(cap, adaptive, self._edition)
        return found
