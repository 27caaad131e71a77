"""What every backend of the state does: domain verbs over permits, counters, the key snapshot and owned objects."""

from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Any, Final, Protocol

from portico.compiled import mypyc_attr
from portico.rules import Applied, Holder
from portico.rules import Bound as Bound
from portico.state.answers import Counter as Counter
from portico.state.answers import Left as Left
from portico.state.answers import Orphan as Orphan
from portico.state.answers import Owned as Owned
from portico.state.answers import Passed as Passed
from portico.state.answers import Refusal as Refusal
from portico.state.answers import Scope as Scope
from portico.state.answers import Settled as Settled
from portico.state.supplies import Supplies


@mypyc_attr(acyclic=True)
class Moment:
    """Now, by two clocks: `boot_ns` never goes back and runs limits and leases; `wall_ns` decides calendar windows."""

    __slots__ = ("boot_ns", "wall_ns")

    def __init__(self, boot_ns: int, wall_ns: int) -> None:
        self.boot_ns = boot_ns
        self.wall_ns = wall_ns

    def __repr__(self) -> str:
        return f"<Moment {self.boot_ns}, {self.wall_ns}>"


@mypyc_attr(acyclic=True)
class Used:
    """What a call did use, all attempts together. `requests` is 0 for a call that never reached a provider.

    `parts` is what each of its targets used, that which has answered last; empty where all of it is of one, the first
    that it went to.
    """

    __slots__ = ("cost", "input_tokens", "output_tokens", "parts", "requests")

    def __init__(
        self,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cost: int = 0,
        requests: int = 1,
        parts: "tuple[tuple[str, Used], ...]" = (),
    ) -> None:
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.cost = cost
        self.requests = requests
        self.parts = parts

    def __repr__(self) -> str:
        return f"<Used {self.input_tokens}, {self.output_tokens}, {self.cost}, {self.requests}, {self.parts}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Used) and self._all() == other._all()

    def of(self, parts: "tuple[tuple[str, Used], ...]") -> "Used":
        """Return the same, told apart so."""
        return Used(self.input_tokens, self.output_tokens, self.cost, self.requests, parts)

    def at(self, targets: Container[str]) -> "Used":
        """Return what these of its targets used. What was never told apart is of all of them."""
        mine = [part for target, part in self.parts if target in targets]
        if len(mine) == len(self.parts):
            return self
        return Used(
            sum(part.input_tokens for part in mine),
            sum(part.output_tokens for part in mine),
            sum(part.cost for part in mine),
            max((part.requests for part in mine), default=0),
        )

    def _all(self) -> "tuple[int, int, int, int, tuple[tuple[str, Used], ...]]":
        return self.input_tokens, self.output_tokens, self.cost, self.requests, self.parts


class Under:
    """What calls are under that are told apart by the same: their scopes, and whether any rule counts tokens or money.

    `holder` is whom it was found for: a call that began before a key was changed has the key as it was. `model` and
    `target` are what the calls of a key are told apart by, and `edition` is of which rules it was found. A backend
    keeps with it in `plan` what it makes of the scopes: one place to look at where there are thousands.
    """

    __slots__ = ("edition", "holder", "measured", "model", "plan", "scopes", "target")

    def __init__(self, scopes: tuple[Scope, ...], measured: bool, holder: Holder | None = None) -> None:
        self.scopes = scopes
        self.measured = measured
        self.holder = holder
        self.model: str | None = None
        self.target = ""
        self.edition: object = None
        self.plan: Any = None

    def __repr__(self) -> str:
        return f"<Under {', '.join(scope.row for scope in self.scopes)}>"


@mypyc_attr(acyclic=True)
class Admission:
    """A call that asks to go on. `about` is kept with the permit: what an aborted record needs, encoded.

    `under` is what the scopes are from, where the caller keeps that.
    """

    __slots__ = ("about", "at", "bound", "call_id", "scopes", "under")

    def __init__(
        self,
        call_id: str,
        scopes: tuple[Scope, ...],
        bound: Bound,
        at: Moment,
        about: bytes = b"",
        under: Under | None = None,
    ) -> None:
        self.call_id = call_id
        self.scopes = scopes
        self.bound = bound
        self.at = at
        self.about = about
        self.under = under

    def __repr__(self) -> str:
        return f"<Admission {self.call_id}, {self.bound}>"


Allowances = tuple[tuple[tuple[int, str, int, int], ...], Sequence[int]]
"""Limits on requests and tokens, and what every rule had left after an admission (less than nothing under a soft one).
Of each limit its place in that, what it counts, how much, and in how many nanoseconds all of it is back."""


class Held(Protocol):
    """What a backend needs to find a permit's counters again."""

    def allowances(self) -> Allowances:
        """Return what limits on requests and tokens had left once the call was admitted."""

    def left(self) -> tuple[Left, ...]:
        """Return what every rule had left once the call was admitted."""


ANY_TIME: Final = Moment(0, 0)
"""What is said where no rule looks at the clock."""


@mypyc_attr(acyclic=True)
class Permit:
    """A call under way, in the books. It is settled or released once; both may be said again without effect.

    One without a token is found by the id of its call: that is how a call is settled whose worker died.

    `onward` names a job that the call has started, and that goes on at a provider: when the call is settled, its bound
    stays reserved in budgets under that name, whoever dies, until `State.finish`. Limits count it at once.

    `rows` names for each target that the call went to the rows that it is under there, in their order; None where it
    went to the first alone. A row is charged what the targets used that it is of (`Used.parts`).
    """

    __slots__ = ("bound", "call_id", "onward", "rows", "scopes", "token")

    def __init__(
        self,
        call_id: str,
        scopes: tuple[Scope, ...],
        bound: Bound,
        token: Held | None = None,
        rows: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.call_id = call_id
        self.scopes = scopes
        self.bound = bound
        self.token = token
        self.onward: str | None = None
        self.rows = rows

    def __repr__(self) -> str:
        return f"<Permit {self.call_id}, {self.bound}>"

    @property
    def allowances(self) -> Allowances:
        """What limits on requests and tokens have left: what callers are told with every reply."""
        return ((), ()) if self.token is None else self.token.allowances()

    @property
    def left(self) -> tuple[Left, ...]:
        """What every rule of its scopes has left. Worked out when it is asked for."""
        return () if self.token is None else self.token.left()


class Asker(Protocol):
    """Who asks for a permit: a future, or what is told the same at once, in the middle of the booking.

    One that is done has given up, and is booked nothing for. What is told must not raise.
    """

    def done(self) -> bool:
        """Return whether it has stopped waiting."""

    def set_result(self, answer: "Permit | Refusal", /) -> None:
        """Take the answer."""

    def set_exception(self, error: Exception, /) -> None:
        """Take StateFull or StateUnavailable: nothing could be booked."""


class State(Protocol):
    """Shared by all workers of a machine. All scopes of one call go in one atomic step.

    `before_settling` is called before a batch of settlements is booked: the journal writes their records there.
    `when_passed` is told what a settlement has passed, before who waits for that.
    """

    before_settling: Callable[[], None] | None
    when_passed: Callable[[Sequence[Passed]], None] | None

    @property
    def rebuilt(self) -> bool:
        """Whether budgets stand at what was used before: a lost state is counted again from the records of calls."""

    def begin(self, call_id: str, about: bytes) -> Permit | None:
        """Give a call without scopes its permit, at once; None where it has to be asked for (`admit`)."""

    def admit(self, admission: Admission) -> Awaitable[Permit | Refusal]:
        """Reserve the bound in every scope, or in none."""

    def ask(self, admission: Admission, asker: Asker) -> None:
        """Do the same, and tell it to who asks."""

    def extend(
        self,
        permit: Permit,
        bound: Bound,
        at: Moment,
        scopes: tuple[Scope, ...] = (),
        fresh: Bound | None = None,
    ) -> Awaitable[Refusal | None]:
        """Reserve more for what may be billed again, in the permit's scopes and in new ones; all of it or none.

        `fresh` is what to reserve in new scopes, where that is not the same: of what was not billed, the permit's
        scopes have something in hand. With the same step it is kept which rows are of which target (`Permit.rows`).
        """

    def settle(self, permit: Permit, used: Used, at: Moment, done: Callable[[Settled], None] | None = None) -> None:
        """Put true usage in the place of what was reserved; `done` is called once that is in the books."""

    def release(self, permit: Permit, at: Moment, done: Callable[[Settled], None] | None = None) -> None:
        """Give everything back: nothing was asked of any provider, and the request does not count."""

    def finish(self, job: str, used: Used, at: Moment) -> Settled:
        """Put what a job did use in the place of what is reserved under its name: once."""

    def renew(self, permits: Sequence[Permit], at: Moment) -> None:
        """Say that the permits of long calls are still in use."""

    def flush(self) -> None:
        """Book what is waiting now, for who leaves."""

    def expire(self, owner: str, at: Moment) -> list[Orphan]:
        """Settle every permit of a dead owner at its bound. Settling one of them later replaces what was assumed.

        Returns those that nobody has settled since; asked again, the same ones.
        """

    def counters(self, rows: Sequence[str], at: Moment) -> list[Counter]:
        """Return what the rules of these rows have counted."""

    def reopen(self, row: str, rule_id: str) -> None:
        """Open a scope again that was closed because a call used more than its bound."""

    def holder(self, digest: bytes) -> Holder | None:
        """Return who holds the key with this hash. At once: it is asked on every call."""

    def rules(self) -> Sequence[Applied]:
        """Return the rules in force that control has put here."""

    def supplies(self) -> Supplies:
        """Return the prices and keys of providers that control has put here."""

    @property
    def version(self) -> int:
        """The version of the key snapshot: higher after every change, in every worker before its next call."""

    def own(self, thing: Owned) -> Awaitable[None]:
        """Remember an object; it is on disk once the answer is there, and found here at once."""

    def owned(self, id: str) -> Owned | None:  # noqa: A002  # the word of every API
        """Return whose an object is."""

    def disown(self, id: str) -> Awaitable[None]:  # noqa: A002
        """Forget an object that is no more."""

    def owned_by(self, tenant: str, kind: str, after: str = "", limit: int = 100) -> list[Owned]:
        """Return a tenant's objects of a kind, newest first, from the one after `after` on."""
