"""How a target does: what it has under way, how fast it answers, how often it fails; and the breaker that follows.

Times are seconds on one monotonic clock. Everything here is called on the way of every call, and costs less than a
microsecond. What one worker finds another does not know, but for breakers that opened: see `shared`.
"""

from collections.abc import Callable, Sequence
from math import exp
from time import monotonic
from typing import Final

from portico.config import schema
from portico.providers.auth.scheme import Auth
from portico.upstream.keyring import Credential, Keyring
from portico.upstream.spread import Spread

BYTES: Final = (4_000, 32_000, 256_000)
"""Bytes of a request up to which it is of the first, second and third class: four to a token, as plans count them."""
USUAL: Final = schema.Breaker()
HALF: Final = 10.0
"""Half of the window over which failures are counted."""
FADES: Final = 10.0
"""Seconds in which a time that was measured loses most of its weight."""


def size_of(length: int) -> int:
    """Return the class of a request by the bytes of its body, from 0 to 3."""
    return (length >= BYTES[0]) + (length >= BYTES[1]) + (length >= BYTES[2])


class Health:
    """How one target does.

    `first_token` is the time to a stream's first event, `whole` that to a whole reply, `per_token` that for each token
    of the output: peak-EWMA, by the class of the request's size. A slower time counts at once, a faster one by and by.
    Zero is not measured yet. `sampled` is when a time was last measured. `until` is when an open breaker, or a limit of
    the provider's, lets a call by again; 0 is never shut.
    """

    __slots__ = (
        "_bad",
        "_bad_before",
        "_clock",
        "_good",
        "_good_before",
        "_opened",
        "_rules",
        "_sampled",
        "_times",
        "_turns",
        "consecutive",
        "first_token",
        "in_flight",
        "name",
        "per_token",
        "probing",
        "sampled",
        "spread",
        "until",
        "whole",
        "wholes",
    )

    def __init__(self, name: str = "", rules: schema.Breaker = USUAL, clock: Callable[[], float] = monotonic) -> None:
        self.name = name
        self.in_flight = 0
        self.consecutive = 0
        first_token, per_token, whole = ([0.0] * 4 for _ in range(3))
        self._times = (first_token, per_token, whole)
        self.first_token: Sequence[float] = first_token
        self.per_token: Sequence[float] = per_token
        self.whole: Sequence[float] = whole
        self.spread = Spread()
        self.wholes = Spread()
        self.sampled = 0.0
        self.until = 0.0
        self.probing = False
        self._rules = rules
        self._clock = clock
        self._sampled = [0.0] * 12
        self._good = self._bad = self._good_before = self._bad_before = 0
        self._turns = 0.0
        self._opened = 0

    def __repr__(self) -> str:
        state = "" if not self.until else ", resting" if self.resting else ", to be tried"
        return f"<Health of {self.name}: {self.in_flight} in flight, {self.failure_rate:.0%} failed{state}>"

    # what others read

    @property
    def failure_rate(self) -> float:
        """The share of recent attempts that failed: those of the last ten to twenty seconds."""
        bad = self._bad + self._bad_before
        return bad / (bad + self._good + self._good_before) if bad else 0.0

    @property
    def resting(self) -> bool:
        """Whether calls should go elsewhere: its breaker is open, or its provider's limit is used up."""
        return bool(self.until) and (self.probing or self._clock() < self.until)

    def admits(self, now: float) -> bool:
        """Return whether a call may go here: it does not rest, or is due to be tried by one."""
        return not self.until or (now >= self.until and not self.probing)

    # what attempts tell

    def began(self) -> None:
        """Note that an attempt begins, where `until` is not zero: it is the one that finds out whether all is well."""
        if self._clock() >= self.until:
            self.probing = True

    def served(self, now: float) -> None:
        """Note that it answered, with whatever: an error of the caller's making is an answer."""
        self.consecutive = 0
        if now >= self._turns:
            self._turn(now)
        self._good += 1
        if self.until and now >= self.until:
            self.close()

    def failed(self, now: float) -> bool:
        """Note a failure; return whether it opened the breaker."""
        self.consecutive += 1
        if now >= self._turns:
            self._turn(now)
        self._bad += 1
        rules = self._rules
        if self.until:
            if now < self.until:
                return False  # it was under way when the breaker opened, or was tried for want of another
        elif self.consecutive < rules.failures:
            bad = self._bad + self._bad_before
            seen = bad + self._good + self._good_before
            if seen < rules.calls or bad < rules.rate * seen:
                return False
        self.probing = False
        self.until = now + min(rules.rest * 2**self._opened, rules.longest)
        self._opened = min(self._opened + 1, 16)
        return True

    def limited(self, until: float) -> None:
        """Note that its provider takes no calls before `until`."""
        self.probing = False
        self.until = max(self.until, until)

    def left(self) -> None:
        """Note that an attempt ended of which nothing can be told: its caller hung up."""
        self.probing = False

    def close(self) -> None:
        """Let all calls by again. What it failed before is forgotten, or a single failure would open it anew."""
        self.until = 0.0
        self.probing = False
        self._opened = 0
        self._bad = self._bad_before = 0

    def answered(self, now: float, took: float, size: int, *, streamed: bool) -> None:
        """Note a first event or a whole reply, and the time it took."""
        self.sampled = now
        if streamed:
            self.spread.add(took)
            self._peak(0, size, now, took)
        else:
            self.wholes.add(took)
            self._peak(2, size, now, took)

    def spoke(self, now: float, per_token: float, size: int) -> None:
        """Note the time that each token of an answer took."""
        self.sampled = now
        self._peak(1, size, now, per_token)

    def _peak(self, kind: int, size: int, now: float, took: float) -> None:
        times, place = self._times[kind], kind * 4 + size
        before = times[size]
        if took >= before:
            times[size] = took
        else:
            weight = exp((self._sampled[place] - now) / FADES)
            # Even samples that come all at once have to count for something.
            times[size] = took + (before - took) * min(weight, 0.95)
        self._sampled[place] = now

    def _turn(self, now: float) -> None:
        """Begin another half of the window."""
        if now - self._turns < HALF:  # the last half has just ended
            self._good_before, self._bad_before = self._good, self._bad
        else:
            self._good_before = self._bad_before = 0
        self._good = self._bad = 0
        self._turns = now + HALF


class Healths:
    """The health of all targets of a worker, by their names; it outlives configurations.

    A provider that is declared otherwise than before begins anew: what failed at another address says nothing.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._rules = USUAL
        self._known: dict[str, Health] = {}
        self._keyrings: dict[str, Keyring] = {}
        self._declared: dict[str, schema.Provider] = {}

    def __repr__(self) -> str:
        return f"<Healths of {len(self._known)} targets>"

    def __call__(self, name: str, /) -> Health:
        """Return the health of the target `provider/model`; the same one as long as its provider stays as it is."""
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= 8192:  # callers choose names
                self._known = {name: each for name, each in self._known.items() if each.in_flight}
            found = self._known[name] = Health(name, self._rules, self.clock)
        return found

    def keyring(self, provider: str, credentials: Sequence[Auth]) -> Keyring:
        """Return the keys of a provider; the same ones, tokens and rests with them, as long as it stays as it is."""
        found = self._keyrings.get(provider)
        if found is None:
            found = self._keyrings[provider] = Keyring([Credential(auth) for auth in credentials])
        return found

    def declare(self, rules: schema.Breaker, providers: dict[str, schema.Provider]) -> None:
        """Put a configuration in force: forget what is declared otherwise now."""
        if rules != self._rules:
            self._known.clear()
            self._rules = rules
        changed = {name for name, declared in self._declared.items() if providers.get(name) != declared}
        for name in changed:
            self._keyrings.pop(name, None)
        if changed:
            self._known = {name: each for name, each in self._known.items() if name.partition("/")[0] not in changed}
        self._declared = dict(providers)
