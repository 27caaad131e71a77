"""What the store holds of who may call: one struct for each kind, as the API shows it and as its row keeps it.

A row keeps the fields of `Thing` in columns of its own and the rest as JSON. No struct holds a key, or the secret of a
credential: there is nothing here that may not be shown, logged or audited.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from portico.config.schema import Budget, Limit, TeamQueue
from portico.rules import Dimension, Mode, Priority

Id = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,127}$",
        description="Letters, digits and `_.@:+-`, at most 128; made up where none is given.",
    ),
]
Name = Annotated[str, Meta(max_length=256, description="For people.")]
Moment = Annotated[datetime, Meta(tz=True)]
Role = Literal["owner", "admin", "team_admin", "member", "viewer", "billing"]
"""What somebody may do in the admin API. Without an organization, `admin`, `viewer` and `billing` reach all of them."""

ROLES: Final[tuple[Role, ...]] = ("owner", "admin", "team_admin", "member", "viewer", "billing")

Word = Annotated[str, Meta(min_length=1, max_length=256)]
Words = Annotated[tuple[Word, ...], Meta(max_length=1000)]
Usd = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Factor = Annotated[float, Meta(ge=0, le=1000)]
Bodies = Literal["all", "errors", "none"]
Json = dict[str, Any]
Limits = Annotated[tuple[Limit, ...], Meta(max_length=100)]
Budgets = Annotated[tuple[Budget, ...], Meta(max_length=100)]


class Thing(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every object has. `version` goes up with every change; `source` says where it may be changed."""

    id: str
    source: Literal["api", "configuration"] = "api"
    version: int = 1
    created_at: Moment | None = None
    updated_at: Moment | None = None


STAMPS: Final = frozenset(Thing.__struct_fields__)
"""The fields that no caller sets, but for the id of something new."""


class Organization(Thing, kw_only=True, frozen=True):
    """An organization: teams, users and keys belong to it."""

    name: Name = ""
    blocked: bool = False
    models: Words = ()
    template: Id | None = None
    limits: Limits = ()
    budgets: Budgets = ()
    metadata: Json = {}


class Given(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The bounds that each new member of a team is given, unless it is given others."""

    limits: Limits = ()
    budgets: Budgets = ()


class Team(Thing, kw_only=True, frozen=True):
    """A team: its keys share its bounds, and what a key leaves out is its team's."""

    name: Name = ""
    org: Id | None = None
    blocked: bool = False
    models: Words = ()
    tags: Words = ()
    aliases: dict[str, str] = {}
    default_max_tokens: Annotated[int, Meta(ge=1, le=1 << 53)] | None = None
    allowance_usd: Usd | None = None
    bodies: Bodies | None = None
    markup: Factor = 1.0
    queue: TeamQueue | None = None
    member: Given = Given()
    template: Id | None = None
    limits: Limits = ()
    budgets: Budgets = ()
    metadata: Json = {}


class User(Thing, kw_only=True, frozen=True):
    """A person or program that holds keys; its bounds hold over all of them."""

    name: Name = ""
    email: Annotated[str, Meta(max_length=320)] | None = None
    org: Id | None = None
    blocked: bool = False
    models: Words = ()
    template: Id | None = None
    limits: Limits = ()
    budgets: Budgets = ()
    metadata: Json = {}


class Membership(Thing, kw_only=True, frozen=True):
    """A user in a team. Its bounds hold over the keys that the user has in this team."""

    team: Id
    user: Id
    role: Literal["team_admin", "member", "viewer"] = "member"
    template: Id | None = None
    limits: Limits = ()
    budgets: Budgets = ()


class Key(Thing, kw_only=True, frozen=True):
    """A key that callers hold. `prefix` is what people know it by; the key itself was shown once and is not kept.

    `role` lets it use the admin API, within its organization, team or user; without one it may only call models. One
    with the role `member` may do what its user's membership in its team allows.
    """

    name: Name = ""
    prefix: str = ""
    org: Id | None = None
    team: Id | None = None
    user: Id | None = None
    role: Role | None = None
    blocked: bool = False
    expires: Moment | None = None
    models: Words = ()
    routes: Words = ()
    ips: Words = ()
    passthrough: Words = ()
    defaults: Json = {}
    enforced: Json = {}
    aliases: dict[str, str] = {}
    tags: Words = ()
    default_max_tokens: Annotated[int, Meta(ge=1, le=1 << 53)] | None = None
    allowance_usd: Usd | None = None
    bodies: Bodies | None = None
    markup: Factor | None = None
    priority: Priority = "normal"
    template: Id | None = None
    limits: Limits = ()
    budgets: Budgets = ()
    metadata: Json = {}


class Customer(Thing, kw_only=True, frozen=True):
    """An end user, whose id is what callers send."""

    name: Name = ""
    blocked: bool = False
    markup: Factor | None = None
    template: Id | None = None
    limits: Limits = ()
    budgets: Budgets = ()
    metadata: Json = {}


class Tag(Thing, kw_only=True, frozen=True):
    """A tag that calls carry, `name:value`, with bounds of its own."""

    description: Name = ""
    template: Id | None = None
    limits: Limits = ()
    budgets: Budgets = ()


class Template(Thing, kw_only=True, frozen=True):
    """Bounds by a name: each object that names the template has them, counted for itself."""

    name: Name = ""
    limits: Limits = ()
    budgets: Budgets = ()


Selected = Annotated[
    dict[Dimension, Annotated[tuple[Word, ...], Meta(min_length=1, max_length=100)]],
    Meta(description="Names, or patterns with `*`, by dimension. Empty: all calls."),
]
Amount = Annotated[int, Meta(ge=0, le=1 << 62)]
Alerts = Annotated[tuple[Annotated[int, Meta(ge=1, le=1000)], ...], Meta(max_length=20)]
Period = Annotated[
    str,
    Meta(
        max_length=32,
        description="`minute`, `hour`, `day`, `week`, `month`, for budgets `forever`, or a duration such as `36h`.",
    ),
]


class LimitRule(Thing, kw_only=True, frozen=True):
    """A limit of its own: for the calls that `for` selects, counted apart by what `each` names."""

    to: Selected = msgspec.field(default_factory=dict, name="for")
    each: tuple[Dimension, ...] = ()
    requests: Amount | None = None
    tokens: Amount | None = None
    input_tokens: Amount | None = None
    output_tokens: Amount | None = None
    in_flight: Amount | None = None
    per: Period = "minute"
    mode: Mode = "hard"
    alerts: Alerts = ()

    def entry(self) -> Limit:
        """Return the limit without the calls that it is for."""
        return Limit(**{name: getattr(self, name) for name in Limit.__struct_fields__})


class BudgetRule(Thing, kw_only=True, frozen=True):
    """A budget of its own: for the calls that `for` selects, counted apart by what `each` names."""

    to: Selected = msgspec.field(default_factory=dict, name="for")
    each: tuple[Dimension, ...] = ()
    usd: Usd | None = None
    tokens: Amount | None = None
    input_tokens: Amount | None = None
    output_tokens: Amount | None = None
    requests: Amount | None = None
    per: Period = "forever"
    rolling: bool = False
    zone: Annotated[str, Meta(max_length=64)] = "UTC"
    mode: Mode = "hard"
    alerts: Alerts = ()

    def entry(self) -> Budget:
        """Return the budget without the calls that it is for."""
        return Budget(**{name: getattr(self, name) for name in Budget.__struct_fields__})


class Credential(Thing, kw_only=True, frozen=True):
    """A key of a provider, sealed in the store; of a team's own, where `team` names one."""

    provider: Word
    name: Name = ""
    team: Id | None = None
    hint: Annotated[str, Meta(description="The last characters of the secret.")] = ""
    blocked: bool = False


class PriceOverride(Thing, kw_only=True, frozen=True):
    """What a model costs from a date on, in dollars per million tokens, over the shipped price."""

    model: Annotated[str, Meta(pattern=r"^[^/\s]+/\S+$", max_length=512, description="`provider/model`.")]
    since: Moment
    input: Usd
    output: Usd
    cache_read: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    note: Annotated[str, Meta(max_length=1000)] = ""


Bounded = Organization | Team | User | Membership | Key | Customer | Tag
"""What may have limits and budgets of its own."""
