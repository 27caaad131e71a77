"""A job: what a call has started at a provider that goes on after the call, and that is paid for when it ends.

It is remembered durably beside the object that it is (a batch, a fine-tuning job, a background response), with all that
its record will need. What it has reserved is kept in state under the id of its call. Control follows it: it asks the
provider, settles, and writes its record.
"""

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from portico.call import Call
from portico.record import MILLION, AttemptRecord, Basis, End, Pricing, Record
from portico.rules import NO_BOUND, Bound
from portico.state.contract import Owned, State, Used
from portico.types import Usage

FOLLOWED: Final = frozenset(("batches", "message_batches", "gemini_batches", "fine_tuning", "responses"))
"""Families of `dialects.objects` of which something new is a job."""
MOST: Final = 100_000
"""Jobs that are followed at once."""
UNKNOWN: Final = Bound(0, 0, None, "stored")
"""What a job can use of which nothing is known."""
LONGEST_NAMES: Final = 20
"""Models of a job that its record can be priced by; one of more is priced by what its results say."""


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job and its call.

    `family` and `name` say what it is at its provider, `tenant` whose it is there. `target` is `provider/model`, or the
    provider alone where there are several models; `models` are the provider's names of them. `endpoint` is the path of
    the API that the requests of an OpenAI batch are for. `ended` is its record, encoded, once it is known: from then on
    that is what is written, whoever dies.
    """

    call_id: str
    family: str
    name: str
    tenant: str
    time_ms: int
    target: str
    credential: str
    bound: Bound
    key: str | None = None
    model: str | None = None
    models: tuple[str, ...] = ()
    endpoint: str = ""
    alias: str | None = None
    team: str | None = None
    org: str | None = None
    user: str | None = None
    customer: str | None = None
    tags: tuple[str, ...] = ()
    session: str | None = None
    markup: int = MILLION
    ended: bytes = b""

    @property
    def provider(self) -> str:
        """The name of the provider where it runs."""
        return self.target.partition("/")[0]


class Cost(msgspec.Struct, frozen=True):
    """What a job has used and what that costs (nano-dollars), as `record.Record` has it."""

    usage: Usage | None
    cost: int | None
    basis: Basis
    pricing: Pricing | None = None
    price: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Job)

OUTCOMES: Final[dict[str, tuple[int, str | None, End]]] = {
    "completed": (200, None, "served"),
    "failed": (500, "job_failed", "failed"),
    "cancelled": (499, "job_cancelled", "cut"),
    "expired": (504, "job_expired", "failed"),
    "lost": (502, "job_lost", "aborted"),
}
"""What a job's record says of how it ended: status, error, end."""


def begun(
    call: Call,
    family: str,
    name: str,
    tenant: str,
    target: str,
    bound: Bound,
    *,
    models: Sequence[str] = (),
    endpoint: str = "",
) -> Job:
    """Return the job that a call has started.

    It holds what one attempt of the call has reserved; `bound` is what is known of it where nothing had to be.
    """
    holder = call.caller
    assert holder is not None
    return Job(
        call.id,
        family,
        name,
        tenant,
        call.arrived_ms,
        target,
        call.answering.credential,
        call.bound if call.bound != NO_BOUND else bound,
        holder.id,
        call.model,
        tuple(models) if len(models) <= LONGEST_NAMES else (),
        endpoint,
        call.alias,
        holder.team,
        holder.org,
        holder.user,
        call.customer,
        call.tags,
        call.session,
        call.markup if call.markup is not None else holder.markup,
    )


def remembered(job: Job) -> Owned:
    """Return what is remembered of a job."""
    return Owned(
        place_of(job.tenant, job.family, job.name),
        "job",
        "",
        job.provider,
        job.credential,
        job.time_ms / 1000,
        _encode(job),
    )


def place_of(tenant: str, family: str, name: str) -> str:
    """Return under what a job is remembered."""
    return f"job\n{family}\n{tenant}\n{name}"


def wish_of(job_place: str) -> Owned:
    """Return what says that a job is to be asked about soon: it was seen to have ended."""
    return Owned(f"due\n{job_place}", "due", "", "", "", time.time())


async def start(state: State, call: Call, job: Job) -> None:
    """Remember the job that a call has started, on disk, and let what the call has reserved be the job's."""
    await state.own(remembered(job))
    call.job = job
    hand_over(call)


def hand_over(call: Call) -> None:
    """Let what a call has reserved be that of its job: what that uses is not the call's."""
    permit = call.permit
    assert permit is not None
    permit.onward = call.id
    call.usage = call.cost = call.pricing = call.price = None
    call.basis = "none"
    if call.attempts:
        call.answering.assumed_nano_usd = None


async def drop(state: State, call: Call) -> None:
    """Forget the job of a call that has seen its end itself."""
    job: Job = call.job
    call.job = None
    await state.disown(place_of(job.tenant, job.family, job.name))


async def hurry(state: State, place: str) -> None:
    """Have a job asked about soon, which was seen to have ended."""
    wish = wish_of(place)
    if state.owned(place) is not None and state.owned(wish.id) is None:
        await state.own(wish)


def due_of(state: State, tenant: str) -> bool:
    """Return whether a tenant has a job that was seen to have ended, and is not counted yet."""
    return any(wish.id.partition("\n")[2].split("\n")[2] == tenant for wish in state.owned_by("", "due", "", MOST))


def read(thing: Owned) -> Job:
    """Return the job that is remembered so."""
    return _decode.decode(thing.about)


def record_of(job: Job, outcome: str, cost: Cost, now_ms: int) -> Record:
    """Return the record of a job that has ended so (see `OUTCOMES`) at `now_ms`, in milliseconds since the epoch.

    It stands at the time of its call, whose budgets it is charged in.
    """
    status, error, end = OUTCOMES[outcome]
    record = Record(
        f"{job.call_id}-job",
        job.time_ms,
        job.key,
        f"{job.family}_job",
        job.model,
        job.target,
        status,
        False,
        [AttemptRecord(job.target, job.credential)],
        cost.usage,
        cost.cost,
        cost.basis,
        None,
        0,
        0,
        error=error,
        user=job.user,
        end=end,
        team=job.team,
        org=job.org,
        customer=job.customer,
        tags=job.tags,
        session=job.session,
        alias=job.alias,
        pricing=cost.pricing,
        price=cost.price,
        bound_nano_usd=job.bound.cost or None,
        over_bound=_over(job.bound, cost),
        job=job.name,
        ended_ms=now_ms,
    )
    record.costing(cost.cost, job.markup)
    return record


def _over(bound: Bound, cost: Cost) -> bool:
    """Return whether a job has used more than was reserved for it."""
    usage = cost.usage
    if usage is None or not (bound.input_tokens or bound.cost):
        return False
    if bound.cost is not None and cost.cost is not None and cost.cost > bound.cost:
        return True
    return bound.finite and (usage.input_total > bound.input_tokens or usage.output_total > bound.output_tokens)


def used_by(job: Job, record: Record) -> Used:
    """Return what a job is charged in its budgets: its bound, where nobody knows what it used or what that costs."""
    bound, usage = job.bound, record.usage
    spent = record.cost_nano_usd if record.cost_nano_usd is not None else (bound.cost or 0)
    if usage is None:
        used = Used(bound.input_tokens, bound.output_tokens, spent, 0)
    else:
        used = Used(usage.input_total, usage.output_total, spent, 0)
    return used.of(((job.target, used),))


def unknown(job: Job) -> Cost:
    """Return what a job is charged of which nobody can tell any more what it used: its bound."""
    if job.bound.cost is None:
        return Cost(None, None, "unknown")
    return Cost(None, job.bound.cost, "assumed", "table")
