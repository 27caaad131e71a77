"""Where a call may go: from a model name to targets, in order. The draw is passed in; nothing here waits."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from portico.call import Call
from portico.config import schema
from portico.dialects.limits import overlaid, spared
from portico.dialects.request import Peek
from portico.errors import Forbidden, InvalidRequest, ModelNotFound, NoTarget
from portico.plan import portkey
from portico.plan.choose import Plan
from portico.plan.facts import Facts, tagged
from portico.plan.wish import FIELDS, LITELLMS, Wish, first_named, of_body, of_headers
from portico.upstream.outgoing import Outgoing
from portico.upstream.routes import Draw, May, Routes
from portico.upstream.target import Target

LONGEST_ROUTE: Final = 2000
"""Characters of the header that says why a call went where it did."""
SESSIONS: Final = (b"x-portico-session", b"x-session-id", b"x-litellm-session-id", b"x-litellm-trace-id")


class Said:
    """What the headers of a request say of where it is to go, besides its model.

    `wish` and `config` are None where they say nothing. `headers` are those that rules may read. With `why`, the reply
    is to say why it went where it did.
    """

    __slots__ = ("config", "headers", "session", "why", "wish")

    def __init__(
        self, wish: Wish | None, config: portkey.Config | None, session: str, headers: Mapping[str, str], why: bool
    ) -> None:
        self.wish = wish
        self.config = config
        self.session = session
        self.headers = headers
        self.why = why

    def __repr__(self) -> str:
        return f"<Said {self.wish!r}, {self.config!r}, {self.session!r}>"


def said_of(fields: Mapping[bytes, bytes], readable: Sequence[bytes]) -> Said | None:
    """Return what headers say of where a call is to go, None for nothing. Raises InvalidRequest."""
    wish, config = of_headers(fields), portkey.config_of(fields)
    session = next((fields[name] for name in SESSIONS if name in fields), b"").decode("latin-1")[:256]
    why = fields.get(b"x-portico-route", b"") in (b"1", b"true")
    seen = {name.decode(): fields[name].decode("latin-1") for name in readable if name in fields}
    if wish is None and config is None and not session and not why and not seen:
        return None
    return Said(wish, config, session, seen, why)


def asks(asked: Peek | None) -> bool:
    """Return whether a body has fields that are for a gateway."""
    return asked is not None and asked.members is not None and not FIELDS.isdisjoint(asked.members)


def plan_call(
    call: Call,
    outgoing: Outgoing,
    routes: Routes,
    said: Said | None,
    path: str,
    draw: Draw,
    may: May | None,
    budget_left: Callable[[Target], float],
) -> Sequence[Target]:
    """Return where a call goes of which more is known than its model, best first; note on it what that comes to."""
    plan, facts = planned(call, outgoing, routes, said, path, draw, may, budget_left)
    call.arm, call.wish, call.trial, call.traits = plan.arm, plan.wish, plan.trial, facts.traits
    if facts.conversation is not None:
        call.kept = routes.kept(facts)
    if said is not None and said.why:
        call.why = told(plan)[:LONGEST_ROUTE]
    return plan.targets


def planned(
    call: Call,
    outgoing: Outgoing,
    routes: Routes,
    said: Said | None,
    path: str,
    draw: Draw,
    may: May | None,
    budget_left: Callable[[Target], float],
    *,
    explain: bool = False,
) -> tuple[Plan, Facts]:
    """Return the plan of a call, and the facts that it goes by.

    What its body says to a gateway is taken out of it, unless all it may go to is a gateway that knows these fields.
    Raises ModelNotFound, InvalidRequest, Forbidden, NoTarget.
    """
    operation, asked = outgoing.operation, outgoing.asked
    members = asked.members if asked is not None else None
    model = call.model or ""
    wish = said.wish if said is not None else None
    config = said.config if said is not None else None
    if members is not None and not FIELDS.isdisjoint(members):
        named = set(FIELDS.intersection(members))
        if operation.dialect == "messages":
            named.discard("fallbacks")  # Anthropic has a field of this name
        if config is None and routes.passes_on(model, operation.name):
            named &= LITELLMS  # the rest is for the gateway that it goes to
        if named:
            assert asked is not None
            if call.named_by_list:
                members = {**members, "models": msgspec.Raw(first_named(members)[1])}
            wish = of_body({name: members[name] for name in named}, wish)
            outgoing.body, outgoing.asked = spared(operation, asked, named)
    facts = facts_of(call, outgoing, routes, said, budget_left, model, members)
    plan = routes.plan(facts, draw, wish, config, path=path, may=may, explain=explain)
    if plan.enforced and outgoing.asked is not None and outgoing.asked.members is not None:
        changed = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in plan.enforced.items()}
        outgoing.body, outgoing.asked = overlaid(operation, outgoing.asked, {}, changed)
    return plan, facts


def plan_elsewhere(
    call: Call,
    outgoing: Outgoing,
    routes: Routes,
    said: Said | None,
    names: Sequence[str],
    draw: Draw,
    budget_left: Callable[[Target], float],
) -> Sequence[Target]:
    """Return where a call goes that none of its targets could serve: to those of other names, best first.

    What rules require of every target holds for these too, and what the caller wants of any. A name of which nothing is
    left counts for nothing.
    """
    wish = msgspec.structs.replace(call.wish, models=()) if call.wish is not None else None
    members = outgoing.asked.members if outgoing.asked is not None else None
    found: dict[Target, None] = {}
    for name in names:
        facts = facts_of(call, outgoing, routes, said, budget_left, name, members)
        with contextlib.suppress(InvalidRequest, ModelNotFound, NoTarget, Forbidden):
            found.update(dict.fromkeys(routes.plan(facts, draw, wish).targets))
    return list(found)


def facts_of(
    call: Call,
    outgoing: Outgoing,
    routes: Routes,
    said: Said | None,
    budget_left: Callable[[Target], float],
    model: str,
    members: Mapping[str, msgspec.Raw] | None,
) -> Facts:
    """Return what is known of a call, as one for this model."""
    operation = outgoing.operation.name
    body = outgoing.body if isinstance(outgoing.body, bytes) else b""
    facts = Facts(model, operation, body, members, call.stream, call.arrived_ms / 1000)
    holder = call.caller
    if holder is not None:
        facts.key = holder.id
        if holder.team is not None:
            facts.team = holder.team
        if holder.org is not None:
            facts.org = holder.org
        if holder.user is not None:
            facts.user = holder.user
    if call.customer is not None:
        facts.customer = call.customer
    if call.tags:
        facts.tags = tagged(call.tags)
    if said is not None:
        facts.session, facts.headers = said.session, said.headers
    if routes.reads_budgets:
        facts.budget_left = budget_left(routes.first(model, operation))
    return facts


def told(plan: Plan) -> str:
    """Return a plan in one line: where the call goes, what was left out and why, which rules held."""
    parts = [", then ".join(candidate.name for candidate in plan.candidates)]
    if plan.arm is not None:
        parts.append(f"arm {plan.arm}")
    if plan.kept is not None:
        parts.append("its prompt is cached there" if plan.kept == "warm" else "where its conversation belongs")
    parts += [f"not {name}: {why}" for name, why in plan.aside.items()]
    parts += [f"by the rule {text}" for text in plan.held]
    return "; ".join(" ".join(part.split()) for part in parts)


def retries_of(retries: schema.Retries, wish: Wish | None) -> schema.Retries:
    """Return how often a target is tried, as the caller wants it."""
    if wish is None or (wish.retries is None and not wish.retry_on):
        return retries
    attempts = retries.attempts if wish.retries is None else wish.retries + 1
    on = retries.on
    if wish.retry_on:
        kinds: dict[Literal["429", "5xx", "timeout"], bool] = {
            "429": 429 in wish.retry_on,
            "5xx": any(status >= 500 for status in wish.retry_on),
            "timeout": 408 in wish.retry_on,
        }
        on = ("connect", *(kind for kind, chosen in kinds.items() if chosen))
    return msgspec.structs.replace(retries, attempts=attempts, on=on)
