"""How a target does: what it has under way, how fast it answers, how often it fails; and the breaker that follows.

Times are seconds on one monotonic clock. Everything here is called on the way of every call, and costs less than a
microsecond. Each worker measures by itself; that something rests, they tell each other: see `shared`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Final

import msgspec

from portico.config import schema
from portico.hashing import blake2b
from portico.providers.auth.scheme import Auth
from portico.upstream.caches import Caches
from portico.upstream.keyring import Credential, Keyring
from portico.upstream.shared import SharedRests, hashed
from portico.upstream.spread import Spread

SMALL: Final = 4_000
BYTES: Final = (SMALL, 32_000, 256_000)
"""Bytes of a request up to which it is of the first, second and third class: four to a token, as plans count them."""
USUAL: Final = schema.Breaker()
LONGEST: Final = 60.0
"""Seconds that a target rests at most on another worker's word."""
EVERY: Final = 4_000_000
"""Nanoseconds from one measurement to the next: more often would tell nothing new, and cost each call."""
HALF: Final = 10.0
"""Half of the window over which failures are counted."""
HALVES: Final = 2.0
"""Seconds in which a time that was measured loses half of its weight."""


def size_of(length: int) -> int:
    """Return the class of a request by the bytes of its body, from 0 to 3."""
    return (length >= BYTES[0]) + (length >= BYTES[1]) + (length >= BYTES[2])


def faded(seconds: float) -> float:
    """Return the weight that an earlier time still has."""
    return HALVES / (HALVES + seconds)


class Health:
    """How one target does.

    `first_token` is the time to a stream's first event, `whole` that to a whole reply, `per_token` that for each token
    of the output: peak-EWMA, by the class of the request's size. A slower time counts at once, a faster one by and by.
    Zero is not measured yet. `failure_rate` is the share of attempts that failed in the last ten to twenty seconds in
    which there were any. `sampled` is when a time was last measured; `due_ns` and `paced_ns` are when times to
    answers and per token are to be again, a few hundred times a second at most. `until` is when an open breaker, or a
    limit of the provider's, lets a call by again; 0 is never shut.
    """

    __slots__ = (
        "_bad",
        "_bad_before",
        "_clock",
        "_firsts",
        "_good",
        "_good_before",
        "_opened",
        "_paces",
        "_rules",
        "_turns",
        "_wholes",
        "consecutive",
        "due_ns",
        "failure_rate",
        "first_token",
        "in_flight",
        "name",
        "paced_ns",
        "per_token",
        "probing",
        "sampled",
        "spread",
        "tell",
        "until",
        "whole",
        "wholes",
    )

    def __init__(self, name: str = "", rules: schema.Breaker = USUAL, clock: Callable[[], float] = monotonic) -> None:
        self.name = name
        self.in_flight = 0
        self.consecutive = 0
        first_token, per_token, whole = ([0.0] * 4 for _ in range(3))
        self._firsts = (first_token, [0.0] * 4)
        self._paces = (per_token, [0.0] * 4)
        self._wholes = (whole, [0.0] * 4)
        self.first_token: Sequence[float] = first_token
        self.per_token: Sequence[float] = per_token
        self.whole: Sequence[float] = whole
        self.spread: Spread | None = None
        self.wholes: Spread | None = None
        self.failure_rate = 0.0
        self.sampled = 0.0
        self.due_ns = 0
        self.paced_ns = 0
        self.until = 0.0
        self.probing = False
        self.tell: Callable[[float], None] | None = None
        self._rules = rules
        self._clock = clock
        self._good = self._bad = self._good_before = self._bad_before = 0
        self._turns = 0.0
        self._opened = 0

    def __repr__(self) -> str:
        state = "" if not self.until else ", resting" if self.resting else ", to be tried"
        return f"<Health of {self.name}: {self.in_flight} in flight, {self.failure_rate:.0%} failed{state}>"

    # what others read

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

    def measured(self) -> tuple[Spread, Spread]:
        """Return how the times to first events and to whole replies are spread; it is counted from now on."""
        if self.spread is None or self.wholes is None:
            self.spread, self.wholes = Spread(), Spread()
        return self.spread, self.wholes

    def served(self, now: float) -> None:
        """Note that it answered, with whatever: an error of the caller's making is an answer."""
        self.consecutive = 0
        if now >= self._turns:
            self._turn(now)
        self._good += 1
        if self.failure_rate:
            self._reckon()
        if self.until and now >= self.until:
            self.close()

    def failed(self, now: float) -> bool:
        """Note a failure; return whether it opened the breaker."""
        self.consecutive += 1
        if now >= self._turns:
            self._turn(now)
        self._bad += 1
        self._reckon()
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
        if self.tell is not None:
            self.tell(self.until)
        return True

    def broke(self, now: float) -> None:
        """Note that an answer broke off that had been noted as served when it began."""
        self._good = max(0, self._good - 1)
        self.failed(now)

    def limited(self, until: float) -> None:
        """Note that its provider takes no calls before `until`."""
        self.probing = False
        self.until = max(self.until, until)
        if self.tell is not None:
            self.tell(self.until)

    def left(self) -> None:
        """Note that an attempt ended of which nothing can be told: its caller hung up."""
        self.probing = False

    def close(self) -> None:
        """Let all calls by again. What it failed before is forgotten, or a single failure would open it anew."""
        self.until = 0.0
        self.probing = False
        self._opened = 0
        self._bad = self._bad_before = 0
        self.failure_rate = 0.0
        if self.tell is not None:
            self.tell(0.0)

    def heard(self, until: float) -> None:
        """Take over what another worker found out: that it rests, or no longer."""
        if until:
            # No target rests for longer by itself; a row of two writers at once may say anything.
            self.until = max(self.until, min(until, self._clock() + LONGEST))
        elif self.until:
            tell, self.tell = self.tell, None
            self.close()
            self.tell = tell

    def answered(self, now: float, took: float, size: int, *, streamed: bool) -> None:
        """Note a first event or a whole reply, and the time it took."""
        self.sampled = now
        self.due_ns = int(now * 1e9) + EVERY
        raw = took
        times, at = self._firsts if streamed else self._wholes
        before = times[size]
        if took < before:
            took += (before - took) * faded(now - at[size])
        times[size] = took
        at[size] = now
        spread = self.spread if streamed else self.wholes
        if spread is not None:
            spread.add(raw)

    def spoke(self, now: float, per_token: float, size: int) -> None:
        """Note the time that each token of an answer took."""
        times, at = self._paces
        before = times[size]
        if per_token < before:
            per_token += (before - per_token) * faded(now - at[size])
        times[size] = per_token
        at[size] = now

    def _turn(self, now: float) -> None:
        """Begin another half of the window."""
        if now - self._turns < HALF:  # the last half has just ended
            self._good_before, self._bad_before = self._good, self._bad
        else:
            self._good_before = self._bad_before = 0
        self._good = self._bad = 0
        self._turns = now + HALF
        self._reckon()

    def _reckon(self) -> None:
        """Say anew which share of recent attempts failed."""
        bad = self._bad + self._bad_before
        self.failure_rate = bad / (bad + self._good + self._good_before) if bad else 0.0


class Healths:
    """The health of all targets of a worker, by their names, and the keys; it outlives configurations.

    A provider that is declared otherwise than before begins anew: what failed at another address says nothing. With
    `shared`, rests are told to the other workers, and `listen` takes over theirs. `whole` has those that this is a part
    of: a team that has keys of its own has health of its own with them. `caches` is what is known of prompts that
    targets have cached.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        shared: SharedRests | None = None,
        bound: int = 8192,
        whole: "Healths | None" = None,
    ) -> None:
        self.clock = clock
        self.shared = shared
        self.caches = Caches(clock=clock)
        self.parts: dict[str, Healths] = {}
        self._bound = bound
        self._whole = whole
        self._rules = USUAL
        self._known: dict[str, Health] = {}
        self._keyrings: dict[str, Keyring] = {}
        self._declared: dict[str, schema.Provider] = {}
        self._marks: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Healths of {len(self._known)} targets>"

    def __call__(self, name: str, /) -> Health:
        """Return the health of the target `provider/model`; the same one as long as its provider stays as it is."""
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= self._bound:  # callers choose names
                self._known = {name: each for name, each in self._known.items() if each.in_flight}
            found = self._known[name] = Health(name, self._rules, self.clock)
            if self.shared is not None:
                found.tell = partial(self.shared.tell, self._shared_name(name))
                until = self.shared.told().get(hashed(self._shared_name(name)))
                if until is not None and until > self.clock():
                    found.heard(until)
        return found

    def all(self) -> list[Health]:
        """Return the health of every target that was asked for."""
        return list(self._known.values())

    def keyring(self, provider: str, credentials: Sequence[Auth], stored: Sequence[str] = ()) -> Keyring:
        """Return the keys of a provider; the same ones, tokens and rests with them, as long as it stays as it is.

        The last of them are known by the ids in `stored`, which stay theirs whatever other keys come and go.
        """
        found = self._keyrings.get(provider)
        if found is None:
            found = self._keyrings[provider] = Keyring([Credential(auth) for auth in credentials])
            if stored:
                for credential, own in zip(found.credentials[-len(stored) :], stored, strict=False):
                    credential.id = own
            if self.shared is not None:
                shared = self.shared
                found.tell = lambda key, until: shared.tell(self._shared_name(f"{provider}/ {key}"), until)
                self._listen_for_keys(provider, found, shared.told())
        return found

    def listen(self) -> None:
        """Take over what other workers have told, all that there is of it: it is told once."""
        if self._whole is not None:
            self._whole.listen()
        elif self.shared is not None:
            told = self.shared.told()
            self._listen(told)
            for part in self.parts.values():
                part._listen(told)

    def part(self, name: str, bound: int, most: int) -> "Healths":
        """Return the part of this name, for up to `bound` targets. There are up to `most`: then the oldest goes."""
        found = self.parts.get(name)
        if found is None:
            if len(self.parts) >= most:
                self.parts.pop(next(iter(self.parts)))
            found = self.parts[name] = Healths(self.clock, self.shared, bound, self)
        return found

    def _listen(self, told: dict[int, float]) -> None:
        for name, health in self._known.items():
            until = told.get(hashed(self._shared_name(name)))
            if until is not None:
                health.heard(until)
        for provider, keyring in self._keyrings.items():
            self._listen_for_keys(provider, keyring, told)

    def _listen_for_keys(self, provider: str, keyring: Keyring, told: dict[int, float]) -> None:
        for credential in keyring.credentials:
            until = told.get(hashed(self._shared_name(f"{provider}/ {credential.id}")))
            if until is not None:
                keyring.heard(credential, until)

    def _shared_name(self, name: str) -> str:
        return f"{self._marks.get(name.partition('/')[0], '')} {name}"

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
        if self.shared is not None:
            # Another key or address under the same name does not inherit what the one before was told.
            encode = msgspec.json.encode
            self._marks = {
                name: blake2b(encode(declared), digest_size=8).hexdigest() for name, declared in providers.items()
            }
