"""Jobs in the admin API: work that calls have started at providers and that goes on after them, and how it ended.

Those that go on are what the machine of this control process remembers; those that have ended are found by their
records, in the store. Each actor sees those of the calls that it may see.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from portico.control.admin import Look
from portico.control.observed import Chosen, own
from portico.control.problems import Unprocessable
from portico.control.routing import Answer, Asked
from portico.jobs import FOLLOWED, Job
from portico.journal.entries import decode_record
from portico.record import Basis, Record
from portico.store import calls
from portico.store.entities import rows
from portico.store.entities.things import Moment
from portico.store.rows import first_seq
from portico.types import Usage

Family = Literal["batches", "message_batches", "gemini_batches", "fine_tuning", "responses"]
State = Literal["going", "completed", "failed", "cancelled", "expired", "lost"]

WORDS: Final[Mapping[State, Mapping[str, str]]] = {
    "completed": {"end": "served"},
    "failed": {"error": "job_failed"},
    "cancelled": {"error": "job_cancelled"},
    "expired": {"error": "job_expired"},
    "lost": {"error": "job_lost"},
}
"""How the record of a job that ended so is found (see `jobs.OUTCOMES`)."""
ENDED: Final[Mapping[str, State]] = {
    "job_failed": "failed", "job_cancelled": "cancelled", "job_expired": "expired", "job_lost": "lost",
}  # fmt: skip
_SAME: Final = ("org", "team", "user", "key", "customer", "model", "provider", "session")


class JobsAsked(Chosen, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which jobs are asked for, the one that was started last first."""

    state: State | None = None
    family: Family | None = None


class JobShown(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A job. `id` is that of the call that started it, `name` what its provider calls it.

    `reserved_nano_usd` is what it holds in budgets while it goes on, absent where nobody can say what it may cost;
    `record` is the id of the record that says what it did cost. `ended_at` is when its end was seen.
    """

    id: str
    state: State
    family: str
    name: str
    target: str
    started_at: Moment
    ended_at: datetime | None = None
    reserved_nano_usd: int | None = None
    cost_nano_usd: int | None = None
    usage: Usage | None = None
    basis: Basis | None = None
    record: str | None = None
    key: str | None = None
    model: str | None = None
    org: str | None = None
    team: str | None = None
    user: str | None = None
    customer: str | None = None
    tags: tuple[str, ...] = ()
    session: str | None = None


class JobsPage(msgspec.Struct, kw_only=True, frozen=True):
    """A page of jobs. It may be short, or empty, and still have a `next`: that is how far was looked."""

    items: list[JobShown]
    next: str | None = None


_Place = tuple[int, str]
"""Where a job stands among all, from old to new: as calls are ordered in the store; of those that go on, by id too."""


def list_jobs(look: Look, asked: Asked) -> Answer:
    """List jobs."""
    query = asked.query
    assert isinstance(query, JobsAsked)
    wanted: dict[str, Any] = {name: value for name in _SAME if (value := getattr(query, name)) is not None}
    for name, value in own(look.actor).items():
        if wanted.get(name, value) != value:
            return Answer(JobsPage(items=[]))
        wanted[name] = value
    before = _parsed(query.after)
    # first what goes on, then the store: what ends in between is rather told twice than not at all
    found = dict(_going(look, query, wanted, before))
    looked_to: _Place | None = None
    if query.state != "going":
        ended_so = {} if query.state is None else WORDS[query.state]
        for family in sorted(FOLLOWED if query.family is None else {query.family}):
            page = calls.page(
                look.db,
                calls.Filter(**{**wanted, **ended_so, "jobs_of": f"{family}_job"}),
                None if before is None else before[0] + bool(before[1]),
                query.limit,
            )
            for one in page.calls:
                if one.record.job is not None:
                    found[one.seq, ""] = _ended(one.record)
            if page.next is not None:
                looked_to = max(looked_to or (0, ""), (page.next, ""))
    places = sorted((place for place in found if looked_to is None or place >= looked_to), reverse=True)
    shown = _once(found[place] for place in places[: query.limit])
    last = places[query.limit - 1] if len(places) > query.limit else looked_to
    return Answer(JobsPage(items=shown, next=None if last is None else f"{last[0]}.{last[1]}"))


def _going(
    look: Look, query: JobsAsked, wanted: Mapping[str, str], before: _Place | None
) -> Iterator[tuple[_Place, JobShown]]:
    """Yield the jobs that are remembered, and where they stand; those whose record is written already as ended."""
    for job in look.admin.jobs():
        place = (first_seq(job.time_ms), job.call_id)
        if before is not None and place >= before:
            continue
        if query.family not in (None, job.family) or any(getattr(job, name) != wanted[name] for name in wanted):
            continue
        shown = _ended(decode_record(job.ended)) if job.ended else _shown(job)
        if query.state in (None, shown.state) and not (job.ended and calls.find(look.db, shown.record or "")):
            yield place, shown


def _shown(job: Job) -> JobShown:
    return JobShown(
        id=job.call_id,
        state="going",
        family=job.family,
        name=job.name,
        target=job.target,
        started_at=rows.time(job.time_ms),
        reserved_nano_usd=job.bound.cost,
        key=job.key,
        model=job.model,
        org=job.org,
        team=job.team,
        user=job.user,
        customer=job.customer,
        tags=job.tags,
        session=job.session,
    )


def _ended(record: Record) -> JobShown:
    return JobShown(
        id=record.id.removesuffix("-job"),
        state=ENDED.get(record.error or "", "completed"),
        family=record.operation.removesuffix("_job"),
        name=record.job or "",
        target=record.target or "",
        started_at=rows.time(record.time_ms),
        ended_at=None if record.ended_ms is None else rows.time(record.ended_ms),
        cost_nano_usd=record.cost_nano_usd,
        usage=record.usage,
        basis=record.basis,
        record=record.id,
        key=record.key,
        model=record.model,
        org=record.org,
        team=record.team,
        user=record.user,
        customer=record.customer,
        tags=record.tags,
        session=record.session,
    )


def _once(shown: Iterator[JobShown]) -> list[JobShown]:
    """Return each job once: one that has ended meanwhile as it ended."""
    found: dict[str, JobShown] = {}
    for one in shown:
        before = found.get(one.id)
        if before is None or before.state == "going":
            found[one.id] = one
    return list(found.values())


def _parsed(after: str) -> _Place | None:
    """Return the place that a page goes on from. Raises Unprocessable."""
    if not after:
        return None
    seq, dot, name = after.partition(".")
    if not (dot and seq.isdecimal() and seq.isascii() and len(seq) < 20):
        raise Unprocessable("`after` is the `next` of another page", param="after")
    return min(int(seq), calls.LAST - 1), name
