"""Where a call may go, and what goes there: the request is looked into once, and its targets put in order.

What was found out of a request's head (`Known`), what its body says (`peek`), and what its key adds to both meet here.
"""

import mmap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from portico.call import Call
from portico.calls.known import Known
from portico.dialects.limits import limited, names_limit, overlaid
from portico.dialects.objects import text_of
from portico.dialects.references import references
from portico.dialects.request import Peek, peek, peek_form
from portico.dialects.stand_ins import RESUMABLE
from portico.errors import InvalidRequest
from portico.plan.wish import FIELDS, first_named
from portico.snapshot import Snapshot
from portico.stages.attribute import customer_of, tags_beside, tags_of, tags_written, user_written
from portico.stages.plan import asks, plan_call, plan_elsewhere
from portico.state.contract import Moment
from portico.upstream.attempt import Elsewhere
from portico.upstream.detour import Detour
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target
from portico.wire.exchange import Exchange

LONGEST_NAME: Final = 512
"""Characters of a model's name."""
MOST_MODELS: Final = 64
"""Models that are remembered with a head."""
REFERRING: Final = frozenset(
    (
        "chat",
        "responses",
        "responses_input_tokens",
        "responses_compact",
        "messages",
        "messages_count_tokens",
        "generate_content",
        "stream_generate_content",
        "gemini_count_tokens",
    )
)
"""Operations whose requests can name what is kept at a provider."""
FOR_US: Final = FIELDS | {"metadata", "litellm_metadata"}
"""Members of a request that may be for a gateway."""
NOT, YES = msgspec.Raw(b"false"), msgspec.Raw(b"true")

Draw = Callable[[], float]
"""Chance: a number from 0 up to 1."""
Now = Callable[[], Moment]
"""The clock."""


def planned(
    exchange: Exchange, call: Call, snapshot: Snapshot, known: Known, body: bytes | mmap.mmap, draw: Draw, now: Now
) -> tuple[Outgoing, Sequence[Target]]:
    """Look into the request, and say where it may go and as what."""
    call.received_ns = exchange.received_ns
    operation, provider, caller, who = call.operation, call.route.provider, call.caller, call.who
    assert caller is not None
    assert who is not None
    asked: Peek | None = None
    written: Sequence[tuple[str, str]] = ()
    for_us = False
    if operation.name != "passthrough":
        kind = known.kind
        try:
            asked = peek(operation, body, kind) if isinstance(body, bytes) else peek_form(body, kind)
            if who.changes and asked.members is not None:
                body, asked = overlaid(operation, asked, caller.defaults, caller.enforced)
        except InvalidRequest:
            if provider is None or who.models:
                raise
            # What passes through is its provider's to judge.
        else:
            call.stream = asked.stream
            call.user = asked.user
            call.characters = asked.characters
            members = asked.members
            if members is not None:
                assert isinstance(body, bytes)
                if operation.name in REFERRING:
                    call.refers = references(operation, members, body)
                    if operation.name == "responses":
                        call.stores = members.get("store") != NOT
                        call.background = call.stores and members.get("background") == YES
                for_us = not FOR_US.isdisjoint(members)
                if for_us and ("litellm_metadata" in members or (provider is None and "metadata" in members)):
                    call.user = call.user or user_written(members)
                    body, asked, written = tags_written(operation, body, asked)
            if operation.model_in == "body":
                call.model = asked.model
    call.customer = known.customer
    if call.user and call.customer is None:
        call.customer = customer_of(call.user)
    if snapshot.markups is not None and call.customer is not None:
        call.markup = snapshot.markups.get(call.customer)
    named = (*known.tags, *written) if written else known.tags
    call.tags = tags_of(named, who.tags) if named else who.tags
    if who.aliases and call.model in who.aliases:
        call.alias, call.model = call.model, who.aliases[call.model]
    model = call.model
    served = known.served.get(model) if model and who is known.who else None
    if served is None and model:
        checked(call, model)
    call.bodies = who.bodies or snapshot.bodies
    if call.bodies != "none" and isinstance(body, bytes):
        call.request_body = body
    outgoing = Outgoing(
        operation,
        exchange.headers,
        known.query,
        body,
        asked,
        snapshot.limits.reply,
        known.ways,
        call.stream,
        call.id,
        model or "",
        known.strict or snapshot.strict,
    )
    if served is not None and not for_us and known.said is None and len(body) <= served[1]:
        # What is known of its model is all that counts for it, as for most calls.
        fixed: Sequence[Target] | None = served[0]
        if not call.stream and who.default_max_tokens is None:
            return outgoing, served[0]
    else:
        fixed = None
    if provider is not None:
        return outgoing, (passed_through(exchange, call, snapshot, outgoing),)
    if not model and asked is not None and asked.members is not None and operation.model_in == "body":
        call.model = model = first_named(asked.members)[0]
        call.named_by_list = model is not None
        outgoing.model = model or ""
    if not model:
        targets = snapshot.routes.unnamed(operation.name, draw)
        if who.models:
            snapshot.keys.check_model(caller, targets[0].model or targets[0].name, targets[0].name)
        call.model = targets[0].model or None
        return outgoing, targets
    if served is None and who.models:
        snapshot.keys.check_model(caller, model)
    if call.stream and operation.usage_on_request:
        assert asked is not None
        outgoing.asks_usage = not asked.include_usage
    if fixed is None and known.said is None and not (for_us and asks(asked)):
        if served is None:
            served = snapshot.routes.plain(model, operation.name)
            if served is not None and who is known.who and len(known.served) < MOST_MODELS:
                known.served[model] = served
        if served is not None and len(body) <= served[1]:
            fixed = served[0]
    targets = fixed or routed(call, snapshot, known, outgoing, exchange.path, draw, now)
    asked = outgoing.asked
    if call.stream and operation.name in RESUMABLE and isinstance(outgoing.body, bytes):
        outgoing.resumes = not call.refers and snapshot.routes.resumes(model, operation.name)
        outgoing.stores = call.stores
    if who.default_max_tokens is not None and asked is not None and not names_limit(operation, asked):
        field = "max_tokens" if "max_completion_tokens" not in targets[0].quirks else None
        outgoing.body, outgoing.asked = limited(operation, asked, who.default_max_tokens, field)
    return outgoing, targets


def checked(call: Call, model: str) -> None:
    """Refuse a name that cannot be a model's: it goes into headers and records."""
    if model[:3] == "sk-":
        call.model = "sk-…"
        raise InvalidRequest("`model` has a key in the place of a model's name", param="model")
    if not (model.isprintable() and len(model) <= LONGEST_NAME):
        call.model = model[:LONGEST_NAME]
        raise InvalidRequest(f"`model` has control characters, or more than {LONGEST_NAME}", param="model")


def routed(
    call: Call, snapshot: Snapshot, known: Known, outgoing: Outgoing, path: str, draw: Draw, now: Now
) -> Sequence[Target]:
    """Say where a call goes of which more counts than the name of its model."""
    caller, said = call.caller, known.said
    assert caller is not None
    if said is not None and said.session:
        call.session = said.session
    if asks(outgoing.asked):
        assert outgoing.asked is not None
        assert outgoing.asked.members is not None
        _beside(call, outgoing.asked.members)
    return plan_call(
        call,
        outgoing,
        snapshot.routes,
        said,
        path,
        draw,
        (lambda name: snapshot.keys.check_model(caller, name)) if caller.models else None,
        partial(_budget_left, snapshot, call, now),
    )


def _beside(call: Call, members: Mapping[str, msgspec.Raw]) -> None:
    """Read the tags and the session that LiteLLM's callers write beside the messages. Raises InvalidRequest."""
    if "tags" in members:
        call.tags = tags_of(tags_beside(members["tags"]), call.tags)
    for name in ("litellm_session_id", "litellm_trace_id"):
        if call.session is None and (session := text_of(members, name)):
            call.session = session[:LONGEST_NAME]


def passed_through(exchange: Exchange, call: Call, snapshot: Snapshot, outgoing: Outgoing) -> Target:
    """Send a request on as it is, to the provider that its path names."""
    caller, provider = call.caller, call.route.provider
    assert caller is not None
    assert provider is not None
    upstream = snapshot.upstreams[provider]
    if caller.models:
        if not call.model:
            raise InvalidRequest("a key that is limited to certain models must name one in the request", param="model")
        snapshot.keys.check_model(caller, call.model, f"{upstream.name}/{call.model}")
    target = upstream.target(call.model or "", snapshot.config.timeouts)
    address = upstream.provider.address(call.route.rest, outgoing.query)
    outgoing.asked = None
    outgoing.passed = (exchange.method, address)
    call.target = target.name if call.model else upstream.name
    return target


def detour_of(call: Call, snapshot: Snapshot) -> Detour | None:
    """Return what the configuration has for a call besides its targets, None for nothing."""
    if snapshot.detours is None or call.refers or call.route.provider is not None:
        return None
    model = call.model or ""
    detour = snapshot.detours.of(model)
    if detour is None and (entry := snapshot.routes.makers_entry(model, call.operation.name)) is not None:
        detour = snapshot.detours.of(entry)
    return detour


def elsewhere(
    detour: Detour, call: Call, outgoing: Outgoing, known: Known, snapshot: Snapshot, draw: Draw, now: Now
) -> Elsewhere:
    """Return what finds the targets for calls that a name's own targets cannot serve."""
    return partial(_elsewhere, detour, call, outgoing, known, snapshot, draw, now)


def _elsewhere(
    detour: Detour, call: Call, outgoing: Outgoing, known: Known, snapshot: Snapshot, draw: Draw, now: Now, why: str
) -> Sequence[Target]:
    budget_left = partial(_budget_left, snapshot, call, now)
    return plan_elsewhere(call, outgoing, snapshot.routes, known.said, detour.names(why), draw, budget_left)


def _budget_left(snapshot: Snapshot, call: Call, now: Now, target: Target) -> float:
    return snapshot.bounds.least_left(call, target, now())
