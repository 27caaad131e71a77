"""What every backend of the state does: domain verbs over permits, counters, the key snapshot and owned objects."""

from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Any, Protocol

import msgspec

from portico.assigned import assigned
from portico.rules import Applied, Holder, Rule
from portico.rules import Bound as Bound
from portico.state.supplies import Supplies


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Now, by two clocks: `boot_ns` never goes back and runs limits and leases; `wall_ns` decides calendar windows."""

    boot_ns: int
    wall_ns: int


class Used(msgspec.Struct, frozen=True, gc=False):
    """What a call did use, all attempts together. `requests` is 0 for a call that never reached a provider.

    `parts` is what each of its targets used, that which has answered last; empty where all of it is of one, the first
    that it went to.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    requests: int = 1
    parts: "tuple[tuple[str, Used], ...]" = ()

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


class Scope(msgspec.Struct, frozen=True):
    """Rules whose counters share one row. `row` names it (`key:web`, `team:core|customer:42`); people read it too."""

    row: str
    rules: tuple[Rule, ...]


class Under:
    """What calls are under that are told apart by the same: their scopes, and whether any rule counts tokens or money.

    `holder` is whom it was found for: a call that began before a key was changed has the key as it was. A backend keeps
    with it in `plan` what it makes of the scopes: one place to look at where there are thousands.
    """

    __slots__ = ("holder", "measured", "plan", "scopes")

    def __init__(self, scopes: tuple[Scope, ...], measured: bool, holder: Holder | None = None) -> None:
        self.scopes = scopes
        self.measured = measured
        self.holder = holder
        self.plan: Any = None

    def __repr__(self) -> str:
        return f"<Under {', '.join(scope.row for scope in self.scopes)}>"


class Admission(msgspec.Struct, frozen=True, gc=False):
    """A call that asks to go on. `about` is kept with the permit: what an aborted record needs, encoded.

    `under` is what the scopes are from, where the caller keeps that.
    """

    call_id: str
    scopes: tuple[Scope, ...]
    bound: Bound
    at: Moment
    about: bytes = b""
    under: Under | None = None


class Left(msgspec.Struct, frozen=True):
    """What a rule has left after an admission, and when (in seconds from now) all of it is back; None for never."""

    row: str
    rule: Rule
    left: int
    resets: float | None


Allowances = tuple[tuple[tuple[int, str, int, int], ...], Sequence[int]]
"""Limits on requests and tokens, and what every rule had left after an admission (less than nothing under a soft one).
Of each limit its place in that, what it counts, how much, and in how many nanoseconds all of it is back."""


class Held(Protocol):
    """What a backend needs to find a permit's counters again."""

    def allowances(self) -> Allowances:
        """Return what limits on requests and tokens had left once the call was admitted."""

    def left(self) -> tuple[Left, ...]:
        """Return what every rule had left once the call was admitted."""


ANY_TIME = Moment(0, 0)
"""What is said where no rule looks at the clock."""


@assigned
class Permit(msgspec.Struct, gc=False):
    """A call under way, in the books. It is settled or released once; both may be said again without effect.

    One without a token is found by the id of its call: that is how a call is settled whose worker died.

    `onward` names a job that the call has started, and that goes on at a provider: when the call is settled, its bound
    stays reserved in budgets under that name, whoever dies, until `State.finish`. Limits count it at once.

    `rows` names for each target that the call went to the rows that it is under there, in their order; None where it
    went to the first alone. A row is charged what the targets used that it is of (`Used.parts`).
    """

    call_id: str
    scopes: tuple[Scope, ...]
    bound: Bound
    token: Held | None = None
    onward: str | None = None
    rows: dict[str, tuple[str, ...]] | None = None

    @property
    def allowances(self) -> Allowances:
        """What limits on requests and tokens have left: what callers are told with every reply."""
        return ((), ()) if self.token is None else self.token.allowances()

    @property
    def left(self) -> tuple[Left, ...]:
        """What every rule of its scopes has left. Worked out when it is asked for."""
        return () if self.token is None else self.token.left()


class Refusal(msgspec.Struct, frozen=True):
    """Why a call may not go on: the row and rule that it does not fit, what is left of that, and when to come back.

    `asked` is what the call would have reserved; None where it has no finite bound. `retry_after` is in seconds; None
    when waiting does not help. `closed` says that the scope was closed because a call used more than its bound.
    """

    row: str
    rule: Rule
    asked: int | None
    left: int
    retry_after: float | None
    closed: bool = False


class Passed(msgspec.Struct, frozen=True):
    """An event of a settlement: a rule has passed `percent` of its amount (its alerts), or was closed (`closed`)."""

    row: str
    rule: Rule
    percent: int
    used: int
    closed: bool = False


class Settled(msgspec.Struct, frozen=True):
    """A settlement that is in the books. `over_bound` says that the call used more than it had reserved."""

    over_bound: bool = False
    passed: tuple[Passed, ...] = ()


class Orphan(msgspec.Struct, frozen=True):
    """A call whose worker died: settled at its whole bound, until somebody knows better.

    `reserved` is the cost that it stands at: with what it was extended by, so many times its bound.
    """

    call_id: str
    bound: Bound
    about: bytes
    reserved: int | None = None


class Owned(msgspec.Struct, frozen=True):
    """An object that lives at a provider: whose it is, and where to ask for it."""

    id: str
    kind: str
    tenant: str
    target: str
    credential: str
    created: float
    about: bytes = b""


class Counter(msgspec.Struct, frozen=True):
    """What a rule has counted in its current window. `resets` is in seconds since the epoch, None for never."""

    row: str
    rule_id: str
    used: int
    reserved: int
    resets: float | None


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
