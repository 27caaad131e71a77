"""What a job has used, asked of its provider: whether it has ended, and then what each of its results has used."""

import asyncio
from typing import Final

import msgspec

from portico.call import Call
from portico.config.schema import Config
from portico.dialects.jobs import Outcome, Results, Sum, Told, Used, getter, read, readable, summed_up
from portico.dialects.objects import Found
from portico.dialects.operations import Route
from portico.errors import BadUpstreamReply, NotFound
from portico.jobs import Cost, Job, unknown
from portico.providers.prices import charge, charge_training, sized
from portico.providers.prices_schedule import Price
from portico.record import Pricing
from portico.snapshot import upstreams
from portico.stages.own import address, place
from portico.state.contract import Owned
from portico.state.supplies import Supplies
from portico.types import Usage
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.health import Healths
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target, Upstream
from portico.wire.client import Client

LARGEST: Final = 4 * 1024 * 1024
"""Bytes of what a provider says of a job. Results are read as they come, however many there are."""
ONE_TRY: Final = Policy()
ANSWERS_WITHIN: Final = 30.0
"""Seconds that a provider has to say how a job stands: others wait meanwhile."""
RESULTS_WITHIN: Final = 900.0
"""Seconds that it has to hand over the results of a batch."""
LARGEST_INLINED: Final = 64 * 1024 * 1024
"""The same of a batch that tells its results at once."""
AT_BATCH_RATE: Final = frozenset(("batches", "message_batches", "gemini_batches"))


class Asking:
    """Asks the providers of a configuration about jobs, with the keys that made them."""

    def __init__(self, client: Client, config: Config, supplies: Supplies, secret: bytes) -> None:
        self._client = client
        self._upstreams, self._teams = upstreams(config, client, supplies, secret, Healths())
        self._timeouts = config.timeouts
        for upstream in self._upstreams.values():
            # A provider that takes keys of teams alone by now may have begun a job with another one.
            upstream.closed = None

    async def ended(self, job: Job, thing: Owned) -> tuple[Outcome, Cost] | None:
        """Return how a job has ended and what it has cost, None while it goes on.

        Raises NotFound where its provider does not know it (or its key is gone), another PorticoError where nobody can
        tell now.
        """
        upstream = self._place(job, thing)
        target = upstream.target("", self._timeouts)
        async with asyncio.timeout(ANSWERS_WITHIN):
            arrival = await self._ask(target, Found(getter(job.family), (job.name,)))
        told = read(job.family, job.name, arrival.body) if not arrival.streaming else None
        if told is None:
            arrival.abandon()
            raise BadUpstreamReply(f"{target.name} says of {job.name!r} what nobody understands")
        if told.outcome is None:
            return None
        return told.outcome, await self._cost(job, told, upstream, target)

    def _place(self, job: Job, thing: Owned) -> Upstream:
        if job.team is not None and job.team in self._teams:
            try:
                return place(thing, self._teams.upstreams(job.team, self._upstreams))
            except NotFound:
                pass  # it was made before its team had keys of its own
        return place(thing, self._upstreams)

    async def _cost(self, job: Job, told: Told, upstream: Upstream, target: Target) -> Cost:
        tier = "batch" if job.family in AT_BATCH_RATE else None
        tally = Tally(job, upstream, tier)
        model = told.model or (job.models[0] if len(job.models) == 1 else None)
        by_line = told.results is not None and readable(job.family, job.endpoint)
        whole = model is not None and summed_up(job.endpoint) and not tally.sized(model)
        if told.usage is not None and (whole or not by_line):
            tally.add(Used(model or "", told.usage), own_tier=tier is None)
            return tally.cost
        if told.each is not None:
            for used in told.each:
                tally.add(used)
            return tally.cost
        if told.results is None or not by_line:
            return unknown(job)
        results = Results(job.family, job.endpoint, tally.add)
        async with asyncio.timeout(RESULTS_WITHIN):
            await self._read(await self._ask(target, told.results), results)
        if results.unread:
            raise BadUpstreamReply(
                f"{results.unread} results of {job.name!r} at {target.name} do not say what they have used"
            )
        return tally.cost

    @staticmethod
    async def _read(arrival: Arrival, results: Results) -> None:
        """Read results as they come."""
        if not arrival.streaming:
            results.feed(arrival.body)
            results.end()
            return
        try:
            arrival.forward(results.feed)
            await arrival.over()
        except BaseException:
            arrival.abandon()
            raise
        if arrival.error is not None:
            raise arrival.error
        results.end()

    async def _ask(self, target: Target, found: Found) -> Arrival:
        operation = found.thing.operation
        largest = LARGEST_INLINED if found.thing.family == "gemini_batches" else LARGEST
        outgoing = Outgoing(operation, (), "", b"", None, largest)
        outgoing.passed = ("GET", address(target.upstream, found, ""))
        call = Call(Route(operation, None))
        arrival, _ = await attempt_all((target,), outgoing, call, ONE_TRY, self._client.fetch, _nothing_more)
        if arrival.error is not None:
            raise arrival.error
        if arrival.status == 404:
            arrival.abandon()
            raise NotFound(f"{target.name} has no {found.ids[0]!r}")
        if arrival.status >= 300:
            arrival.abandon()
            raise BadUpstreamReply(f"{target.name} answered {arrival.status} about {found.ids[0]!r}")
        return arrival


class Tally:
    """Adds up what the requests of a job have used, and what each of them costs: each rounded by itself."""

    def __init__(self, job: Job, upstream: Upstream, tier: str | None) -> None:
        self._job = job
        self._upstream = upstream
        self._tier = tier
        self._sum = Sum(tier)
        self._nano = 0
        self._unpriced = False
        self._reported = True
        self._rows: set[str | None] = set()
        self._prices: dict[str, Price | None] = {}
        self._last: Usage | None = None
        self._count = 0

    def sized(self, model: str) -> bool:
        """Return whether the price of a model depends on the size of each request."""
        price = self._price(model)
        return price is not None and sized(price)

    def add(self, used: Used, own_tier: bool = False) -> None:
        """Add what a request has used; `own_tier` says that its reply knows in which service tier it was run."""
        usage = used.usage if own_tier else at_tier(used.usage, self._tier)
        self._last = usage
        self._count += 1
        self._sum.add(usage)
        if self._job.family == "fine_tuning":
            self._train(used.model, usage.total)
            return
        if not usage.total and usage.reported_cost is None:
            return
        charged = charge(self._price(used.model), usage, self._job.time_ms / 1000)
        self._unpriced = self._unpriced or charged.cost is None
        self._reported = self._reported and charged.pricing == "provider"
        self._nano += charged.cost or 0
        self._rows.add(charged.row)

    def _train(self, model: str, tokens: int) -> None:
        """Add what a model was tuned on."""
        charged = charge_training(self._price(model), tokens, self._job.time_ms / 1000)
        if charged.cost is None:
            self._unpriced = True
            return
        self._reported = False
        self._nano += charged.cost
        self._rows.add(charged.row)

    def _price(self, model: str) -> Price | None:
        if model not in self._prices:
            self._prices[model] = self._upstream.price_of(self._asked(model))
        return self._prices[model]

    def _asked(self, model: str) -> str:
        """Return the name under which a model was asked for: replies may tell it with its date."""
        models = self._job.models
        if model in models or not models:
            return model
        fitting = [one for one in models if model.startswith(f"{one}-")]
        return max(fitting, key=len) if fitting else models[0] if len(models) == 1 else model

    @property
    def cost(self) -> Cost:
        """What all of it has used and costs."""
        usage = self._last if self._count == 1 and self._last is not None else self._sum.usage
        if self._unpriced:
            return Cost(usage, None, "reported", "unpriced")
        pricing: Pricing = "provider" if self._reported and self._nano else "table"
        row = next(iter(self._rows)) if len(self._rows) == 1 else None
        return Cost(usage, self._nano, "reported", pricing, row)


def at_tier(usage: Usage, tier: str | None) -> Usage:
    """Return usage as that of a service tier, whatever its reply says: the requests of a batch are all of one."""
    if tier is None or usage.tier == tier:
        return usage
    return msgspec.structs.replace(usage, tier=tier)


async def _nothing_more(_target: object, _billed: bool) -> None:
    """Let an attempt be made: asking costs nothing."""
