"""What the state is asked with and answers with that is data alone: compared by value, and in part encoded."""

import msgspec

from portico.rules import Bound, Rule


class Scope(msgspec.Struct, frozen=True):
    """Rules whose counters share one row. `row` names it (`key:web`, `team:core|customer:42`); people read it too."""

    row: str
    rules: tuple[Rule, ...]


class Left(msgspec.Struct, frozen=True):
    """What a rule has left after an admission, and when (in seconds from now) all of it is back; None for never."""

    row: str
    rule: Rule
    left: int
    resets: float | None


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
