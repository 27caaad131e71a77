"""What is kept of a call: the row that is journaled, ingested and charted."""

from typing import Final, Literal

import msgspec

from portico.assigned import assigned
from portico.types import Usage

Basis = Literal["reported", "counted", "estimated", "assumed", "unknown", "none"]
"""Where the usage of a call is from.

`reported`: its provider said it. `counted`: a stream was cut before its usage came, and what had passed was counted.
`estimated`: as `counted`, by size alone. `assumed`: the worker died, and the call stands at the bound it had reserved.
`unknown`: something was served, and nothing is known of its usage. `none`: nothing was served, or what was served goes
on as a job, which has a record of its own.
"""

Pricing = Literal["provider", "table", "unpriced"]
"""Where the cost is from: the provider named it; usage times our price; or nobody knows what this costs."""

End = Literal["served", "refused", "failed", "cut", "aborted"]
"""How a call ended: with a whole answer; refused by us; failed at its providers; cut by the caller or in mid-stream;
aborted with the worker that ran it."""


MILLION: Final = 1_000_000
"""A markup of nothing, in millionths."""


def marked_up(nano: int, millionths: int) -> int:
    """Return what is billed on for a cost: times a markup or discount in millionths, rounded half up."""
    return (nano * millionths + MILLION // 2) // MILLION


@assigned
class AttemptRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """One try at one target. Times are in microseconds; `status` is the provider's, absent when no reply came.

    `assumed_nano_usd` is what a try is charged at, besides the call's own cost, that may have been billed and of which
    nothing is known: its bound.

    Where an answer was gone on with at another target, each try that said a part of it has what it used, what that
    cost and where its usage is from; the call has the sums.
    """

    target: str
    credential: str = ""
    status: int | None = None
    error: str | None = None
    started_us: int = 0
    first_byte_us: int | None = None
    upstream_request_id: str | None = None
    assumed_nano_usd: int | None = None
    usage: Usage | None = None
    cost_nano_usd: int | None = None
    basis: Basis | None = None

    @property
    def unheard(self) -> bool:
        """Whether it may have been billed, and nothing is known of what it used: of a cut stream, what came is."""
        return self.assumed_nano_usd is not None and self.error is not None and self.usage is None


COPY: Final = "-shadow"
"""What the id of a copy has behind that of the call that it is of."""


class Side(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of two answers to the same question: where it is from, what it cost and took, and what it is in short.

    `characters` is the length of its text; `calls` are the tools that it calls.
    """

    target: str
    cost_nano_usd: int | None = None
    first_byte_us: int | None = None
    total_us: int = 0
    finish: str | None = None
    characters: int | None = None
    calls: tuple[str, ...] = ()


class Compared(msgspec.Struct, frozen=True, omit_defaults=True):
    """A copied call beside the one that it is of, which a caller made of `model`.

    `same_calls` says that both call the same tools with the same arguments, in the same order; both are None where an
    answer is missing or cannot be read.
    """

    model: str
    caller: Side
    shadow: Side | None = None
    same_finish: bool | None = None
    same_calls: bool | None = None


@assigned
class Record(msgspec.Struct, omit_defaults=True):
    """One call, however it ended.

    `cost_nano_usd` is in nano-dollars, absent when nothing is known (`basis` and `pricing` say why). `time_ms` is when
    it came, in milliseconds since the epoch; the other times are in microseconds. `overhead_us` is the whole call less
    the wait for providers. `key`, `team`, `org` and `user` are ids (for a key of the configuration, its name);
    `customer` is the end user whom the caller names. `tags` are `name:value`. `bound_nano_usd` is what was reserved;
    `over_bound` says that the call used more. `billed_nano_usd` is the cost times `markup` (in millionths), rounded
    half up: the markup of its customer, or else of its key or team. Both are absent where the cost itself is billed.
    `arm` is the side of a split that the call was given. `shadow_of` is the id of the call that this is a copy of, and
    `compared` what both came to. `traits` are what a scorer saw of the request (`plan.traits`): numbers of its form.
    `queued_ms` is how long it waited for its turn, and `queue_position` its place when it first did, from 1; absent
    where it never waited.

    `job` is set on the record of what a call has started at its provider and that went on after it (a batch, a
    background response): its id there. Such a record has what that used and cost, stands at the time of its call, and
    ended at `ended_ms`; its `id` is its call's with `-job`.
    """

    id: str
    time_ms: int
    key: str | None
    operation: str
    model: str | None
    target: str | None
    status: int
    stream: bool
    attempts: list[AttemptRecord]
    usage: Usage | None
    cost_nano_usd: int | None
    basis: Basis
    first_byte_us: int | None
    total_us: int
    overhead_us: int
    error: str | None = None
    user: str | None = None
    end: End = "served"
    team: str | None = None
    org: str | None = None
    customer: str | None = None
    tags: tuple[str, ...] = ()
    session: str | None = None
    alias: str | None = None
    pricing: Pricing | None = None
    price: str | None = None
    bound_nano_usd: int | None = None
    over_bound: bool = False
    cache: str | None = None
    guard: str | None = None
    dropped: tuple[str, ...] = ()
    message: str | None = None
    billed_nano_usd: int | None = None
    markup: int | None = None
    arm: str | None = None
    shadow_of: str | None = None
    compared: Compared | None = None
    job: str | None = None
    ended_ms: int | None = None
    queued_ms: int | None = None
    queue_position: int | None = None
    traits: tuple[int, ...] | None = None

    @property
    def billed(self) -> int | None:
        """What is billed on for the call, in nano-dollars; None where nobody knows what it cost."""
        return self.cost_nano_usd if self.billed_nano_usd is None else self.billed_nano_usd

    def costing(self, nano: int | None, markup: int) -> None:
        """Put a cost on the record, and what is billed for it at a markup in millionths."""
        self.cost_nano_usd = nano
        self.billed_nano_usd = self.markup = None
        if markup != MILLION:
            self.markup = markup
            if nano is not None:
                self.billed_nano_usd = marked_up(nano, markup)
