"""Where a call would go and why, without sending it: the plan as a gateway makes it, with every target that it weighs.

What running workers measure is put together (`measures`); without any, where a strategy goes by latency or load, all
targets stand as never tried.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

import msgspec

from portico.call import Call
from portico.config.schema import Config
from portico.config.wildcard import matches
from portico.dialects.operations import route
from portico.dialects.request import peek
from portico.errors import Forbidden, InvalidRequest, NoTarget, PorticoError
from portico.measures import Seen, Told
from portico.plan.asked import Canarying, Explanation, Measures, Question, Weighed
from portico.plan.branch import Branch, Kid, walked
from portico.plan.canary import Canaried
from portico.plan.candidate import UNKNOWN_COST, Candidate
from portico.plan.choose import Plan
from portico.plan.facts import Facts
from portico.plan.wish import first_named
from portico.providers.resolve import resolve
from portico.rules import Holder
from portico.stages.attribute import customer_named, customer_of, tags_named, tags_of, tags_written
from portico.stages.plan import planned, said_of
from portico.upstream.caches import Caches
from portico.upstream.outgoing import Outgoing
from portico.upstream.rollouts import Rollout, standing
from portico.upstream.routes import Routes
from portico.upstream.target import NO_TEAM_KEY, Upstream
from portico.wire.client import Client

MEASURED = frozenset(("lowest_latency", "highest_throughput", "least_busy", "power_of_two", "score"))
NOBODY = Holder("master", "nobody")


def explain(
    config: Config,
    question: Question,
    *,
    holder: Holder = NOBODY,
    secret: bytes = b"",
    budget_left: float = 1.0,
    own: Collection[str] | None = None,
    workers: Seen | None = None,
    caches: Caches | None = None,
    canaries: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    now: Callable[[], float] = time.time,
) -> Explanation:
    """Return the plan of a call under a configuration, for who holds a key. Raises PorticoError.

    `own` are the providers for which the holder's team has keys of its own; None for all that ask for one. `workers`
    is what running workers say, `caches` what they know of prompts, `canaries` the folder of what they know of those.
    """
    workers = workers if workers is not None else Seen()
    loop = asyncio.new_event_loop()  # nothing runs on it: connections belong to some loop
    try:
        client = Client(loop=loop)
        upstreams = {
            name: Upstream(resolve(name, provider, environ), client, config.prices)
            for name, provider in config.providers.items()
        }
        for name, provider in config.providers.items():
            if own is not None and provider.team_keys == "required" and name not in own:
                upstreams[name] = upstreams[name].closing(NO_TEAM_KEY % name)
        routes = Routes(
            config.models,
            upstreams,
            config.timeouts,
            config.routing,
            health=workers.of(holder.team, own),
            secret=secret,
            now=lambda: 0.0,
            caches=caches if caches is not None else Caches(),
            rollouts=partial(standing, canaries),
        )
        return _explained(routes, upstreams, question, holder, budget_left, now(), workers.workers)
    finally:
        loop.close()


def _explained(
    routes: Routes,
    upstreams: Mapping[str, Upstream],
    question: Question,
    holder: Holder,
    budget_left: float,
    moment: float,
    workers: int,
) -> Explanation:
    path = question.path.partition("?")[0]
    try:
        found = route("POST", path, upstreams)
    except PorticoError as error:
        raise InvalidRequest(error.message, param="path") from None
    if found is None or found.provider is not None or found.operation.local:
        raise InvalidRequest(f"no call is planned that is sent to {path!r}", param="path")
    fields = _fields(question.headers)
    call = Call(found)
    call.arrived_ms = round(moment * 1000)
    call.caller = holder
    operation = found.operation
    body = msgspec.json.encode(question.body)
    asked = peek(operation, body, b"application/json")
    if operation.model_in == "body":
        call.model = asked.model
        if not call.model and asked.members is not None:
            call.model = first_named(asked.members)[0]
            call.named_by_list = call.model is not None
    call.model = holder.aliases.get(call.model or "", call.model)
    if not call.model:
        raise InvalidRequest("the request names no model; set `model`", param="body.model")
    call.stream = asked.stream
    named = [*tags_named(fields)]
    if asked.members is not None:
        body, asked, written = tags_written(operation, body, asked)
        named += written
    call.tags = tags_of(named, holder.tags) if named else holder.tags
    call.customer = customer_named(fields) or (customer_of(asked.user) if asked.user else None)
    outgoing = Outgoing(operation, [], "", body, asked, 0)

    def may(name: str) -> None:
        if holder.models and not any(matches(pattern, name) for pattern in holder.models):
            raise Forbidden(f"the key {holder.name!r} may not use the model {name!r}", param="model")

    may(call.model)
    kid = routes.known(call.model, operation.name).kid
    facts = Facts(call.model, operation.name, body=body, members=asked.members, stream=call.stream)
    plan, refused = Plan([], None, {}, [], None, None, None), None
    try:
        plan, facts = planned(
            call, outgoing, routes, said_of(fields, routes.headers), path, lambda: question.draw, may,
            lambda _: budget_left, explain=True,
        )  # fmt: skip
    except NoTarget as error:
        refused = error.message
        plan.aside = error.aside
    leaves = (kid,) if isinstance(kid, Candidate) else kid.leaves
    strategy = kid.strategy if isinstance(kid, Branch) else None
    if isinstance(kid, Canaried):
        strategy = kid.plain.strategy
    return Explanation(
        model=call.model,
        operation=operation.name,
        strategy=strategy,
        arm=plan.arm,
        rules=plan.held,
        workers=workers,
        measured=not workers and any(branch.strategy in MEASURED for branch in walked(kid)),
        conversation=f"{facts.conversation.id:016x}" if facts.conversation is not None else None,
        likelihood=_likelihood(kid, facts),
        kept=plan.kept,
        input_tokens=facts.input_tokens,
        output_tokens=facts.output_tokens,
        has_tools=facts.has_tools,
        has_images=facts.has_images,
        targets=_weighed(plan, leaves, facts),
        canaries=[_canary(branch.rollout) for branch in walked(kid) if isinstance(branch, Canaried)],
        refused=refused,
        retries=plan.wish.retries if plan.wish is not None else None,
        timeout=plan.wish.timeout if plan.wish is not None else None,
    )


def _likelihood(kid: Kid, facts: Facts) -> float | None:
    for branch in walked(kid):
        if branch.scorer is not None and facts.traits is not None:
            return round(branch.scorer.likelihood(facts.traits), 4)
    if facts.likely is not None and facts.traits is not None:
        return round(facts.likely(facts.traits), 4)
    return None


def _weighed(plan: Plan, leaves: tuple[Candidate, ...], facts: Facts) -> list[Weighed]:
    known = {one.name: one for one in (*plan.candidates, *leaves)}
    places = {one.name: place for place, one in enumerate(plan.candidates, 1)}
    return [
        _one(known.get(name), name, places.get(name), plan.aside.get(name), facts)
        for name in dict.fromkeys((*places, *known, *plan.aside))
    ]


def _one(candidate: Candidate | None, name: str, place: int | None, why_not: str | None, facts: Facts) -> Weighed:
    if place is not None:
        why_not = None
    elif why_not is None:
        why_not = "the call is not sent to what holds it"
    if candidate is None:
        return Weighed(target=name, place=place, why_not=why_not)
    cost = candidate.cost(facts)
    return Weighed(
        target=name,
        place=place,
        why_not=why_not,
        cached_tokens=candidate.cached(facts) if facts.conversation is not None else None,
        measures=_measures(candidate, facts.size),
        cost_nano_usd=None if cost == UNKNOWN_COST else (cost + 500) // 1000,
        region=candidate.region,
        residency=candidate.residency,
        retention=candidate.retention,
        context_window=candidate.context_window,
        capabilities=sorted(candidate.capabilities) if candidate.capabilities is not None else None,
    )


def _measures(candidate: Candidate, size: int) -> Measures | None:
    health = candidate.health
    if not isinstance(health, Told) or not health.workers:
        return None
    return Measures(
        in_flight=health.in_flight,
        failure_rate=round(health.failure_rate, 4),
        resting=health.resting,
        first_token_ms=_milliseconds(health.first_token[size]),
        token_ms=_milliseconds(health.per_token[size]),
        whole_ms=_milliseconds(health.whole[size]),
    )


def _canary(rollout: object) -> Canarying:
    assert isinstance(rollout, Rollout)
    found = rollout.progress()
    return Canarying(
        to=rollout.said.to,
        state=found.state,
        share=found.share,
        since=round(found.since, 1),
        calls=found.canary.calls,
        failed=found.canary.failed,
        p95_ms=_milliseconds(found.canary.p95() or 0.0),
        others_calls=found.others.calls,
        others_failed=found.others.failed,
        others_p95_ms=_milliseconds(found.others.p95() or 0.0),
        why=found.why,
    )


def _milliseconds(seconds: float) -> float | None:
    return round(seconds * 1000, 3) if seconds else None


def _fields(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    try:
        return {name.lower().encode("ascii"): value.encode("latin-1") for name, value in headers.items()}
    except UnicodeEncodeError:
        raise InvalidRequest("a header has what no header can have", param="headers") from None
