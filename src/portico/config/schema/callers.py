"""Who calls, and what bounds them: organizations, teams, users, customers, keys."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from portico.config.schema.attempts import TeamQueue
from portico.config.schema.words import Amount, Closed, Dollars, Factor, Free, Instant, Per, Secret, Tokens, said
from portico.rules import Dimension, Mode, Priority

To = Annotated[
    dict[Dimension, tuple[str, ...]],
    said("Which calls: a name, a pattern with `*` or a list of them by dimension. Empty: all."),
]
Each = Annotated[
    tuple[Dimension, ...], said("Count apart what differs here: `[customer]` gives each customer its own counter.")
]


class Limit(Closed, frozen=True):
    """How much may be asked for per time; several counts in one entry are so many limits.

    Requests and tokens are a bucket that fills evenly: of 60 per minute, one comes back each second.
    """

    requests: Annotated[Amount | None, said("Calls.")] = None
    tokens: Annotated[Amount | None, said("Tokens, in and out together.")] = None
    input_tokens: Annotated[Amount | None, said("Tokens in.")] = None
    output_tokens: Annotated[Amount | None, said("Tokens out.")] = None
    in_flight: Annotated[Amount | None, said("Calls at once; `per` has no meaning for these.")] = None
    per: Annotated[Per, said("`minute`, `hour`, `day`, `week`, `month`, or a duration such as `5h`.")] = "minute"
    mode: Annotated[
        Mode, said("`hard` refuses; `clamp` cuts the output to what is left; `soft` only raises alerts.")
    ] = "hard"
    alerts: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1000)], ...], said("Percentages that raise an event when passed.")
    ] = ()


class Budget(Closed, frozen=True):
    """How much may be used since a window of time began; several counts in one entry are so many budgets."""

    usd: Annotated[Dollars | None, said("Dollars.")] = None
    tokens: Annotated[Amount | None, said("Tokens, in and out together.")] = None
    input_tokens: Annotated[Amount | None, said("Tokens in.")] = None
    output_tokens: Annotated[Amount | None, said("Tokens out.")] = None
    requests: Annotated[Amount | None, said("Calls.")] = None
    per: Annotated[Per, said("`minute`, `hour`, `day`, `week`, `month`, `forever`, or a duration such as `36h`.")] = (
        "forever"
    )
    rolling: Annotated[bool, said("Count back from now, rather than by the calendar; a month is then 30 days.")] = False
    zone: Annotated[str, said("The time zone whose calendar counts, by its IANA name.")] = "UTC"
    mode: Annotated[
        Mode, said("`hard` is never overspent; `clamp` cuts the output to what is left; `soft` only raises alerts.")
    ] = "hard"
    alerts: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1000)], ...], said("Percentages that raise an event when passed.")
    ] = ()


class LimitFor(Limit, frozen=True):
    """A limit of its own, and which calls it is for."""

    to: To = msgspec.field(default_factory=dict, name="for")
    each: Each = ()


class BudgetFor(Budget, frozen=True):
    """A budget of its own, and which calls it is for."""

    to: To = msgspec.field(default_factory=dict, name="for")
    each: Each = ()


class Bounded(Closed, frozen=True):
    """What bounds the calls of one of those who have nothing else."""

    limits: Annotated[tuple[Limit, ...], said("How much may be asked for per time.")] = ()
    budgets: Annotated[tuple[Budget, ...], said("How much may be used.")] = ()


class Customer(Bounded, frozen=True):
    """An end user, as callers name them: by `user`, a header, or Anthropic's `metadata.user_id`."""

    blocked: Annotated[bool, said("Refuse calls for this customer.")] = False
    markup: Annotated[
        Factor | None, said("Multiplies what its calls cost, for re-billing; by default their key's or its team's.")
    ] = None


class Organization(Bounded, frozen=True):
    """An organization: teams and keys belong to it."""

    models: Annotated[tuple[str, ...], said("Names that its keys may call at most. Empty: all.")] = ()
    blocked: Annotated[bool, said("Refuse its keys.")] = False


class Team(Bounded, frozen=True):
    """A team: its keys share its limits and budgets, and what is left out of a key is the team's."""

    org: Annotated[str | None, said("The organization that it belongs to.")] = None
    models: Annotated[tuple[str, ...], said("Names that its keys may call at most. Empty: all.")] = ()
    blocked: Annotated[bool, said("Refuse its keys.")] = False
    member: Annotated[Bounded, said("What each user of the team is given: counted apart for each.")] = Bounded()
    tags: Annotated[tuple[str, ...], said("`name:value`, put on each call of its keys.")] = ()
    default_max_tokens: Annotated[
        Tokens | None, said("The `max_tokens` of calls that name none, for its keys that say none.")
    ] = None
    allowance_usd: Annotated[
        Dollars | None, said("What a call without a finite bound reserves, for its keys that say none.")
    ] = None
    bodies: Annotated[
        Literal["all", "errors", "none"] | None, said("Which bodies are kept, for its keys that do not say.")
    ] = None
    markup: Annotated[Factor, said("Multiplies what its calls cost, for re-billing.")] = 1.0
    queue: Annotated[TeamQueue | None, said("How its calls wait that a limit refuses.")] = None


class User(Bounded, frozen=True):
    """A person or program that holds keys, perhaps in several teams; its bounds hold over all of them."""

    org: Annotated[str | None, said("The organization that it belongs to.")] = None
    models: Annotated[tuple[str, ...], said("Names that its keys may call at most. Empty: all.")] = ()
    blocked: Annotated[bool, said("Refuse its keys.")] = False


class Key(Bounded, frozen=True, kw_only=True):
    """A key that callers hold."""

    key: Annotated[Secret, said("The key itself.")]
    org: Annotated[str | None, said("Whose it is; by default its team's organization, or its user's.")] = None
    team: Annotated[str | None, said("The team whose bounds it shares.")] = None
    user: Annotated[str | None, said("The user whose bounds it shares.")] = None
    blocked: Annotated[bool, said("Refuse it.")] = False
    expires: Annotated[Instant | None, said("When it stops to work.")] = None
    models: Annotated[
        tuple[str, ...], said("Names it may call; `*` stands for any run of characters. Empty: all.")
    ] = ()
    routes: Annotated[
        tuple[str, ...], said("Operations it may use, by name: `chat`, `messages`, `embeddings` … Empty: all.")
    ] = ()
    ips: Annotated[tuple[str, ...], said("Networks it may call from: `10.0.0.0/8`. Empty: all.")] = ()
    passthrough: Annotated[tuple[str, ...], said("Providers it may reach by `/{provider}/…`. Empty: none.")] = ()
    defaults: Annotated[dict[str, Free], said("Fields of a request's body, where it lacks them.")] = {}
    enforced: Annotated[dict[str, Free], said("Fields of a request's body, whatever it says itself.")] = {}
    aliases: Annotated[dict[str, str], said("Its own names for models.")] = {}
    tags: Annotated[tuple[str, ...], said("`name:value`, put on each of its calls.")] = ()
    default_max_tokens: Annotated[Tokens | None, said("The `max_tokens` of calls that name none.")] = None
    allowance_usd: Annotated[
        Dollars | None,
        said("What a call without a finite bound reserves; without it a hard budget refuses such calls."),
    ] = None
    bodies: Annotated[
        Literal["all", "errors", "none"] | None, said("Which bodies are kept; by default as `logs` says.")
    ] = None
    markup: Annotated[Factor | None, said("Multiplies what its calls cost, for re-billing; by default its team's.")] = (
        None
    )
    priority: Annotated[
        Priority,
        said("Which of its team's waiting calls go first; a call may say less by `x-portico-priority`, and not more."),
    ] = "normal"
