"""Where a call would go, for whom: the plan without sending, and the limits that apply."""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from portico.control.admin import Look
from portico.control.routing import Answer, Asked
from portico.control.usage import Bounds, bounds_of
from portico.errors import Forbidden
from portico.plan.asked import Explanation, Question
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Credential, Key, Role

ALL: Final[frozenset[Role]] = frozenset(("owner", "admin", "viewer"))
"""Who may ask for a call that no key of theirs would make."""


class Planned(msgspec.Struct, kw_only=True, frozen=True):
    """The plan of a call that is not sent, and the limits and budgets of its key."""

    plan: Explanation
    bounds: list[Bounds]


def plan(look: Look, asked: Asked) -> Answer:
    """Answer where a call would go. With `holder`, as that key's; else as of one that may use everything."""
    # Targets come with connections and prices, which control has no use for at rest.
    from portico.analysis.explain import explain
    from portico.measures import Seen, seen
    from portico.upstream.caches import Caches

    question: Question = asked.body
    folder = look.admin.data_dir
    workers = seen(folder) if folder is not None else Seen()
    prompts = folder / "state" / "prompts" if folder is not None else None
    caches = Caches(prompts if prompts is not None and prompts.exists() else None)
    try:
        canaries = folder / "state" / "canaries" if folder is not None else None
        return _planned(look, question, partial(explain, workers=workers, caches=caches, canaries=canaries))
    finally:
        caches.close()


def _planned(look: Look, question: Question, explain: Callable[..., Explanation]) -> Answer:
    if question.holder is None:
        if look.actor.role not in ALL:
            raise Forbidden("say which key the call is made with, in `holder`")
        return Answer(Planned(plan=explain(look.admin.config, question, secret=look.admin.secret), bounds=[]))
    thing = look.see(KINDS["key"], question.holder)
    assert isinstance(thing, Key)
    bounds = bounds_of(look, "key", thing)
    shares = [
        one.left / one.amount if one.amount else 0.0 for one in bounds if one.kind == "budget" and one.left is not None
    ]
    held = rows.every(look.db, KINDS["credential"], {"team": thing.team}) if thing.team is not None else ()
    found = explain(
        look.admin.config,
        question,
        holder=look.admin.holder(look.db, thing),
        secret=look.admin.secret,
        budget_left=min(shares, default=1.0),
        own={one.provider for one in held if isinstance(one, Credential) and not one.blocked},
    )
    return Answer(Planned(plan=found, bounds=bounds))
