"""The table of the admin API: every route, who may use it, what it takes and gives. What is not here does not exist."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from portico import __version__
from portico.control import credentials, events, history, jobs, keys, members, observed, planning, repricing, shadows
from portico.control.admin import Look
from portico.control.objects import changing, listing, making, reading, removing
from portico.control.replies import NewKeyReply, Page, Rotation, Secret, listed, patch, wish
from portico.control.routing import EVERYBODY, Answer, Asked, Route
from portico.control.usage import Usage, usage
from portico.plan.asked import Question
from portico.record import Record
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Credential, Id, Key, Membership, Role

RUNS: Final[frozenset[Role]] = frozenset(("owner", "admin"))
LEADS: Final[frozenset[Role]] = RUNS | {"team_admin"}
SEES: Final[frozenset[Role]] = RUNS | {"viewer", "billing"}
HOLDS: Final[frozenset[Role]] = LEADS | {"member"}
PRICES: Final[frozenset[Role]] = RUNS | {"billing"}

Text = Annotated[str, Meta(min_length=1, max_length=256)]


class OrgPage(Page, kw_only=True, frozen=True):
    """A page of what belongs to an organization."""

    org: Id | None = None


class KeyPage(Page, kw_only=True, frozen=True):
    """A page of keys."""

    org: Id | None = None
    team: Id | None = None
    user: Id | None = None


class CredentialPage(Page, kw_only=True, frozen=True):
    """A page of credentials."""

    provider: Text | None = None
    team: Id | None = None


class PricePage(Page, kw_only=True, frozen=True):
    """A page of prices."""

    model: Annotated[str, Meta(min_length=1, max_length=512)] | None = None


class Me(msgspec.Struct, kw_only=True, frozen=True):
    """Who the key of this request stands for."""

    id: str
    role: Role
    reaches: Literal["all", "org", "team", "user"]
    org: str | None = None
    team: str | None = None
    user: str | None = None
    version: str = __version__


def me(look: Look, _asked: Asked) -> Answer:
    """Say who asks."""
    actor = look.actor
    assert actor.level != "key", "a key without a role does not come here"
    return Answer(
        Me(id=actor.id, role=actor.role, reaches=actor.level, org=actor.org, team=actor.team, user=actor.user)
    )


def _objects(
    kind: str,
    sees: frozenset[Role],
    writes: frozenset[Role],
    query: type[msgspec.Struct] = Page,
) -> Iterator[Route]:
    """Yield the routes that every kind has."""
    plural, struct = KINDS[kind].plural, KINDS[kind].struct
    path, one = f"/api/v1/{plural}", f"/api/v1/{plural}/{{id}}"
    article = "an" if kind[0] in "aeio" else "a"
    if kind not in ("key", "credential"):
        yield Route(
            method="POST", path=path, name=f"create_{kind}", about=f"Make {article} {kind}.", allow=writes,
            changes=making(kind), takes=wish(kind), gives=struct, status=201, may=(409,), versioned=True, group=plural,
        )  # fmt: skip
    yield Route(
        method="GET", path=path, name=f"list_{plural}", about=f"List {plural}, by id.", allow=sees,
        reads=listing(kind), query=query, gives=listed(kind), group=plural,
    )  # fmt: skip
    yield Route(
        method="GET", path=one, name=f"read_{kind}", about=f"Read {article} {kind}.", allow=sees,
        reads=reading(kind), gives=struct, may=(404,), versioned=True, group=plural,
    )  # fmt: skip
    yield Route(
        method="PATCH", path=one, name=f"update_{kind}", about=f"Change what is said of {article} {kind}.",
        allow=writes, changes=changing(kind), takes=patch(kind), gives=struct, may=(404, 409, 412), versioned=True,
        group=plural,
    )  # fmt: skip
    yield Route(
        method="DELETE", path=one, name=f"delete_{kind}", about=f"Remove {article} {kind} that nothing refers to.",
        allow=writes, changes=removing(kind), status=204, may=(404, 409, 412), group=plural,
    )  # fmt: skip


def _usage(kind: str, allow: frozenset[Role]) -> Route:
    plural = KINDS[kind].plural
    return Route(
        method="GET", path=f"/api/v1/{plural}/{{id}}/usage", name=f"read_{kind}_usage",
        about=f"The limits and budgets that apply to a {kind}, and what is used of them at this moment.",
        allow=allow, reads=usage(kind), gives=Usage, may=(404,), group=plural,
    )  # fmt: skip


def _keys() -> Iterator[Route]:
    one = "/api/v1/keys/{id}"
    yield Route(
        method="POST", path="/api/v1/keys", name="create_key", about="Make a key. The reply shows it this once.",
        allow=HOLDS, changes=keys.create, takes=wish("key"), gives=NewKeyReply, status=201, may=(409,), versioned=True,
        group="keys",
    )  # fmt: skip
    yield from _objects("key", EVERYBODY, HOLDS, KeyPage)
    yield Route(
        method="POST", path=f"{one}/rotate", name="rotate_key", allow=HOLDS, changes=keys.rotate, takes=Rotation,
        about="Give a key a new token, shown this once; the old one works for `grace` seconds more.",
        gives=NewKeyReply, may=(404, 409, 412), versioned=True, group="keys",
    )  # fmt: skip
    for name, blocked in (("block", True), ("unblock", False)):
        yield Route(
            method="POST", path=f"{one}/{name}", name=f"{name}_key", allow=HOLDS,
            changes=keys.blocking(blocked=blocked),
            about="Refuse a key from its next use on." if blocked else "Let a key work again.",
            gives=Key, may=(404, 409, 412), versioned=True, group="keys",
        )  # fmt: skip
    yield Route(
        method="GET", path=f"{one}/hashes", name="list_key_hashes", allow=EVERYBODY, reads=keys.hashes,
        about="What a key goes by: the one in force, and old ones in their time of grace.",
        gives=keys.Hashes, may=(404,), group="keys",
    )  # fmt: skip


def _members() -> Iterator[Route]:
    path, one = "/api/v1/teams/{team}/members", "/api/v1/teams/{team}/members/{user}"
    yield Route(
        method="POST", path=path, name="add_member", allow=LEADS, changes=members.add_member,
        about="Let a user join a team, with the bounds that the team gives its members unless others are said.",
        takes=wish("membership"), gives=Membership, status=201, may=(404, 409), versioned=True, group="teams",
    )  # fmt: skip
    yield Route(
        method="GET", path=path, name="list_members", about="List the members of a team.", allow=EVERYBODY,
        reads=members.list_members, query=Page, gives=listed("membership"), may=(404,), group="teams",
    )  # fmt: skip
    yield Route(
        method="GET", path=one, name="read_member", about="Read one membership.", allow=EVERYBODY,
        reads=members.read_member, gives=Membership, may=(404,), versioned=True, group="teams",
    )  # fmt: skip
    yield Route(
        method="PATCH", path=one, name="update_member", about="Change a membership.", allow=LEADS,
        changes=members.change_member, takes=patch("membership"), gives=Membership, may=(404, 409, 412),
        versioned=True, group="teams",
    )  # fmt: skip
    yield Route(
        method="DELETE", path=one, name="remove_member", about="Let a user leave a team.", allow=LEADS,
        changes=members.remove_member, status=204, may=(404, 409, 412), group="teams",
    )  # fmt: skip


def _credentials() -> Iterator[Route]:
    yield Route(
        method="POST", path="/api/v1/credentials", name="create_credential", allow=LEADS, changes=credentials.create,
        about="Seal a key of a provider. It is never shown again.", takes=credentials.NewCredential,
        gives=Credential, status=201, may=(409,), versioned=True, group="credentials",
    )  # fmt: skip
    yield from _objects("credential", LEADS, LEADS, CredentialPage)
    yield Route(
        method="PUT", path="/api/v1/credentials/{id}/secret", name="renew_credential", allow=LEADS,
        changes=credentials.renew, about="Put another secret in the place of one.", takes=Secret, gives=Credential,
        may=(404, 409, 412), versioned=True, group="credentials",
    )  # fmt: skip


def _corrections() -> Iterator[Route]:
    path = "/api/v1/corrections"
    yield Route(
        method="POST", path=path, name="create_correction", allow=PRICES, changes=repricing.correct,
        about="Price recorded calls anew, by the prices that the configuration and the store have now.",
        takes=repricing.Correction, gives=repricing.Begun, status=202, group="prices",
    )  # fmt: skip
    yield Route(
        method="GET", path=path, name="list_corrections", about="List corrections, newest first: the last hundred.",
        allow=SEES, reads=repricing.list_corrections, gives=repricing.Corrections, group="prices",
    )  # fmt: skip


def _observed() -> Iterator[Route]:
    yield Route(
        method="GET", path="/api/v1/records", name="list_records", about="List calls, newest first.",
        allow=EVERYBODY, reads=observed.list_calls, query=observed.Calls, gives=observed.CallsPage, group="records",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/records/{id}", name="read_record", about="Read the record of one call.",
        allow=EVERYBODY, reads=observed.read_call, gives=Record, may=(404,), group="records",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/records/{id}/explain", name="explain_record", allow=EVERYBODY,
        reads=observed.explain, about="Why a call was refused, and how the rules of its key stand now.",
        gives=observed.Explained, may=(404,), group="records",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/jobs", name="list_jobs", allow=EVERYBODY, reads=jobs.list_jobs,
        about="List work that outlives its calls (batches, fine-tuning jobs, background responses), the latest first.",
        query=jobs.JobsAsked, gives=jobs.JobsPage, group="records",
    )  # fmt: skip
    yield Route(
        method="POST", path="/api/v1/explain", name="explain_call", allow=EVERYBODY, reads=planning.plan,
        about="Where a call would go and why, without sending it: every target, what it would cost, what bounds it.",
        takes=Question, gives=planning.Planned, may=(403, 404), group="routing",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/shadows", name="read_shadows", allow=SEES, reads=shadows.report,
        about="Set copies of calls (`shadow` of a model) beside the calls that they are of, summed up.",
        query=shadows.ShadowsAsked, gives=shadows.Report, group="routing",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/spend", name="read_spend", about="Sum up what calls used and cost.",
        allow=EVERYBODY, reads=observed.spend, query=observed.SpendAsked, gives=observed.Spend, group="spend",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/events", name="list_events", allow=SEES, reads=events.list_events,
        about="List what people want to hear of, newest first: budgets and limits that were passed, or closed.",
        query=events.EventsAsked, gives=events.EventsPage, group="events",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/audit", name="list_audit", about="List changes, newest first.", allow=RUNS,
        reads=history.list_changes, query=history.ChangesAsked, gives=history.ChangesPage, group="audit",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/audit/verify", name="verify_audit", allow=RUNS, reads=history.verify,
        about="Recompute the chain of changes.", gives=history.Verified, group="audit",
    )  # fmt: skip
    yield Route(
        method="GET", path="/api/v1/me", name="read_me", about="Who the key of this request stands for.",
        allow=EVERYBODY, reads=me, gives=Me, group="me",
    )  # fmt: skip


ROUTES: Final[tuple[Route, ...]] = (
    *_objects("organization", SEES, RUNS),
    *_objects("team", EVERYBODY, RUNS, OrgPage),
    *_members(),
    *_objects("user", EVERYBODY, RUNS, OrgPage),
    *_keys(),
    *_objects("customer", SEES, RUNS),
    *_objects("tag", SEES, RUNS),
    *_objects("template", SEES, RUNS),
    *_objects("limit", SEES, RUNS),
    *_objects("budget", SEES, RUNS),
    *_credentials(),
    *_objects("price", SEES, PRICES, PricePage),
    *_corrections(),
    _usage("organization", SEES),
    _usage("team", EVERYBODY),
    _usage("user", EVERYBODY),
    _usage("key", EVERYBODY),
    _usage("customer", SEES),
    _usage("tag", SEES),
    *_observed(),
)
"""Every route of the admin API."""
