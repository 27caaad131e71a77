"""What a configuration may say: the types that a file is checked against, and that everything else reads.

Durations are seconds and sizes are bytes once loaded; a file may write them as `30s`, `2m`, `64MB`. Every public
field has a line in `docs/reference/configuration.md`, which is generated from here. A field of type `Secret` is never
shown: not by `repr`, not in an error, not by `portico config show`.
"""

import functools
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, inspect

from portico.rules import Dimension, Mode, Priority

Seconds = Annotated[float, Meta(ge=0, extra_json_schema={"x-portico": "duration"})]
Bytes = Annotated[int, Meta(ge=0, extra_json_schema={"x-portico": "size"})]
Rate = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1, extra_json_schema={"x-portico": "share"})]
"""A part of a whole, from 0 to 1; a file may write `5%`."""
Secret = Annotated[str, Meta(min_length=1, extra_json_schema={"x-portico": "secret"})]
Instant = Annotated[float, Meta(ge=0, extra_json_schema={"x-portico": "time"})]
"""Seconds since the epoch; a file writes `2026-12-31` or `2026-12-31T18:00:00+01:00` (UTC where it says no zone)."""
Per = Annotated[str, Meta(extra_json_schema={"x-portico": "period"})]
"""A word of `portico.rules.Every`, or a duration of whole seconds; `declared.window` reads it."""
Free = Annotated[Any, Meta(extra_json_schema={"x-portico": "value"})]
"""Any value that JSON has."""
Dollars = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Amount = Annotated[int, Meta(ge=0)]
Tokens = Annotated[int, Meta(ge=1)]
Factor = Annotated[float, Meta(ge=0, le=1000)]
AtOnce = Annotated[int, Meta(ge=1)]


Retention = Literal["none", "limited", "training"]
Strategy = Literal[
    "fallback",
    "weighted",
    "round_robin",
    "least_busy",
    "lowest_latency",
    "lowest_cost",
    "highest_throughput",
    "power_of_two",
    "score",
    "split",
    "complexity",
]
Expression = Annotated[str, Meta(min_length=1, max_length=4096)]
"""An expression of CEL (cel.dev) over what `portico.plan.facts.TYPES` names, that is true or false."""


def said(description: str, *, ge: float | None = None, le: float | None = None, min_length: int | None = None) -> Meta:
    """Return the metadata of a field: what it means, for the reference page and for editors."""
    if min_length is not None:
        return Meta(description=description, min_length=min_length)
    return Meta(description=description, ge=ge, le=le)


HIDDEN: Final = "***"
"""What stands where a secret would."""

_SECRET_NAME = re.compile(r"key|secret|token|passw|credential|authoriz|cookie|session", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the configuration; a key that it does not name is an error."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields: list[tuple[str, Any]] = []
        defaults = dict(zip(self.__struct_fields__[::-1], self.__struct_defaults__[::-1], strict=False))
        for name in self.__struct_fields__:
            value = getattr(self, name)
            default = defaults.get(name, msgspec.NODEFAULT)
            if value != default and not (value == {} and name in defaults):
                fields.append((name, shown(type(self), name, value)))
        return fields


def shown(table: type[msgspec.Struct], field: str, value: object) -> object:
    """Return the value of a field as it may be shown: secrets as `***`, addresses without a password."""
    if field in secret_fields(table):
        return _hidden(value)
    if isinstance(value, str):
        return _USERINFO.sub(f"{HIDDEN}@", value)
    if field == "options" and isinstance(value, dict):
        return {name: HIDDEN if secret_name(name) else _bare(item) for name, item in value.items()}
    return value


def secret_name(name: str) -> bool:
    """Whether an option of this name holds something to hide."""
    return bool(_SECRET_NAME.search(name))


def _bare(value: object) -> object:
    return _USERINFO.sub(f"{HIDDEN}@", value) if isinstance(value, str) else value


def _hidden(value: object) -> object:
    if isinstance(value, dict):
        return dict.fromkeys(value, HIDDEN)
    if isinstance(value, tuple):
        return (HIDDEN,) * len(value)
    return HIDDEN if value is not None else None


@functools.cache
def secret_fields(table: type[msgspec.Struct]) -> frozenset[str]:
    """Return the names of the fields that hold a `Secret`, alone or in a list or table."""
    described = inspect.type_info(table)
    assert isinstance(described, inspect.StructType)
    return frozenset(field.name for field in described.fields if holds_secret(field.type))


def holds_secret(kind: inspect.Type) -> bool:
    """Whether a value of this type is a `Secret`, or a list or table of them."""
    if isinstance(kind, inspect.Metadata):
        return (kind.extra_json_schema or {}).get("x-portico") == "secret" or holds_secret(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(holds_secret(member) for member in kind.types)
    if isinstance(kind, inspect.VarTupleType):
        return holds_secret(kind.item_type)
    return isinstance(kind, inspect.DictType) and holds_secret(kind.value_type)


class Limits(Closed, frozen=True):
    """Bounds of what a caller may send to one worker; beyond them it is refused."""

    header_bytes: Annotated[Bytes, said("All headers of one request together.")] = 65_536
    header_count: Annotated[int, said("Headers of one request.", ge=1)] = 128
    url_bytes: Annotated[Bytes, said("The request target.")] = 16_384
    body: Annotated[Bytes, said("The body of a call.")] = 64 * 1024 * 1024
    file_body: Annotated[Bytes, said("The body of an upload: audio, images, files.")] = 512 * 1024 * 1024
    memory_body: Annotated[Bytes, said("A body is kept in memory up to here, then in a spool file.")] = 1024 * 1024
    body_budget: Annotated[
        Bytes, said("Bytes of bodies that one worker holds at once, in memory and spooled; then 503.")
    ] = 2 * 1024 * 1024 * 1024
    reply: Annotated[Bytes, said("A whole (not streamed) reply that is held in memory to be accounted.")] = (
        64 * 1024 * 1024
    )
    connections: Annotated[int, said("Connections of one worker; fewer where it may open too few files.", ge=1)] = (
        16_384
    )


class ServerTimeouts(Closed, frozen=True):
    """How long a caller may take."""

    header: Annotated[Seconds, said("From the first byte of a request to the end of its headers.")] = 10.0
    body: Annotated[Seconds, said("Between two pieces of a body.")] = 30.0
    idle: Annotated[Seconds, said("A kept-alive connection without a request.")] = 75.0
    write: Annotated[Seconds, said("A caller that reads nothing of its reply.")] = 120.0


class Tls(Closed, frozen=True):
    """A certificate for the port that callers use."""

    cert: Annotated[str, said("Path of the PEM certificate chain.")]
    key: Annotated[str, said("Path of the PEM private key.")]


class Server(Closed, frozen=True):
    """The port, the processes, and their bounds."""

    host: Annotated[str, said("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, said("Port to listen on; 0 lets the system choose.", ge=0, le=65535)] = 4000
    unix_socket: Annotated[str | None, said("Also listen on this unix socket.")] = None
    workers: Annotated[int | Literal["auto"], said("Gateway processes; `auto` is one per core.")] = "auto"
    master_key: Annotated[
        Secret | None, said("The key that may do everything. Made and kept in the data directory when absent.")
    ] = None
    data_dir: Annotated[str | None, said("Where Portico keeps its state.")] = None
    state_size: Annotated[
        Bytes,
        said("The file of counters and open permits; all of it is taken from the disk at once."),
    ] = 64 * 1024 * 1024
    drain: Annotated[Seconds, said("How long streams in flight may go on after a stop was asked for.")] = 30.0
    tls: Annotated[Tls | None, said("Serve HTTPS.")] = None
    litellm_headers: Annotated[
        bool,
        said(
            "Give every reply the `x-litellm-*` headers of LiteLLM's proxy too. A caller asks for them by the header "
            "`x-portico-litellm-headers: true`."
        ),
    ] = False
    limits: Annotated[Limits, said("What a caller may send.")] = Limits()
    timeouts: Annotated[ServerTimeouts, said("How long a caller may take.")] = ServerTimeouts()


class Timeouts(Closed, frozen=True):
    """How long one attempt at a provider may take."""

    connect: Annotated[Seconds, said("To connect, TLS included.")] = 5.0
    first_byte: Annotated[Seconds, said("From the request sent to the first byte of the reply.")] = 300.0
    between_chunks: Annotated[Seconds, said("Between two pieces of a reply.")] = 120.0
    total: Annotated[Seconds, said("The whole attempt.")] = 1800.0
    call: Annotated[
        Seconds,
        said(
            "The whole call, with all its attempts and the waits between them, until its answer begins. Only the "
            "general one counts."
        ),
    ] = 1800.0


class Pool(Closed, frozen=True):
    """The connections kept to one provider by one worker."""

    connections: Annotated[int, said("At most this many at once.", ge=1)] = 4096
    idle: Annotated[Seconds, said("An unused connection is closed after this long.")] = 50.0


class Provider(Closed, frozen=True):
    """One provider: a row of the catalog with your keys, or an endpoint of your own."""

    like: Annotated[str | None, said("The catalog's row to follow; by default the one of the same name.")] = None
    base_url: Annotated[str | None, said("Where it is, when not where the catalog says.")] = None
    api_key: Annotated[Secret | None, said("Its key.")] = None
    api_keys: Annotated[
        tuple[Secret, ...], said("Several keys: calls are balanced over them, and one that fails rests.")
    ] = ()
    team_keys: Annotated[
        Literal["optional", "required"],
        said(
            "Whether a call needs a key for this provider that belongs to its own team. `optional`: where its team has "
            "none, the shared keys serve. `required`: it is refused."
        ),
    ] = "optional"
    headers: Annotated[dict[str, Secret], said("Headers to send with every call.")] = {}
    options: Annotated[
        dict[str, str | int | float | bool],
        said("What this kind of provider needs besides a key: `region`, `project`, `api_version`, `resource` …"),
    ] = {}
    models: Annotated[
        tuple[str, ...], said("Models it serves that the catalog does not know (or all, for an endpoint of your own).")
    ] = ()
    operations: Annotated[
        tuple[str, ...],
        said("The only operations to use of those it has, by name: `[responses]` for models that have no `chat`."),
    ] = ()
    quirks: Annotated[
        tuple[str, ...],
        said(
            "How it departs from its dialect, beside what the catalog says of it: names from the catalog's table of "
            "quirks. With `-` before its name, a quirk of the catalog's is left out."
        ),
    ] = ()
    timeouts: Annotated[
        Timeouts | None, said("Deadlines, when other than the general ones, which fill in what is left out.")
    ] = None
    pool: Annotated[Pool, said("Connections kept to it.")] = Pool()
    ca: Annotated[str | None, said("Path of a PEM bundle to trust instead of the system's.")] = None
    client_cert: Annotated[str | None, said("Path of a PEM certificate to present.")] = None
    client_key: Annotated[str | None, said("Path of the PEM key of `client_cert`.")] = None
    region: Annotated[str | None, said("Where it computes: `eu`, `us-east-1` …; by default `options.region`.")] = None
    residency: Annotated[str | None, said("Where what it is sent stays, by law or contract: `eu`, `us` …")] = None
    retention: Annotated[
        Retention | None,
        said("What it keeps of calls: `none`; `limited`, for a while and not to learn from; `training`."),
    ] = None
    max_concurrency: Annotated[
        AtOnce | None,
        said("Calls that are there at once at most, of all workers; others go elsewhere, wait or fail."),
    ] = None
    adaptive: Annotated[
        bool | None,
        said(
            "Send as many calls at once, and as many a second, as each model turns out to bear: fewer after a 429, an "
            "overload or a time-out, and more again by and by. By default where calls may wait (`queue`)."
        ),
    ] = None
    proxy: Annotated[
        str | None, said("HTTP(S) proxy; by default HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply. `none` for no proxy.")
    ] = None


class PriceChange(Closed, frozen=True, rename={"day": "from"}):
    """What a model costs from a day on."""

    day: Annotated[str, said('The first day, by UTC: `"2026-12-01"`.')]
    input: Annotated[Rate | None, said("Input tokens.")] = None
    output: Annotated[Rate | None, said("Output tokens.")] = None
    cache_read: Annotated[Rate | None, said("Input tokens read from the provider's cache.")] = None
    cache_write: Annotated[Rate | None, said("Input tokens written to the provider's cache (5 minutes).")] = None
    cache_write_1h: Annotated[Rate | None, said("Input tokens written to it for an hour.")] = None
    rates: Annotated[dict[str, Rate], said("Any other rate by its name.")] = {}


class Price(Closed, frozen=True):
    """What a model costs, in dollars per million tokens; it overrides the shipped price."""

    input: Annotated[float, said("Input tokens.", ge=0)]
    output: Annotated[float, said("Output tokens.", ge=0)]
    cache_read: Annotated[Rate | None, said("Input tokens read from the provider's cache.")] = None
    cache_write: Annotated[Rate | None, said("Input tokens written to the provider's cache (5 minutes).")] = None
    cache_write_1h: Annotated[Rate | None, said("Input tokens written to it for an hour.")] = None
    rates: Annotated[
        dict[str, Rate],
        said(
            "Any other rate by its name: `reasoning`, `input_audio`, `input>200000`, `batch.output` … per million "
            "tokens; `image`, `character`, `second`, `page`, `search`, `call`, `file_search`, `code_session` each."
        ),
    ] = {}
    changes: Annotated[tuple[PriceChange, ...], said("What it costs from a day on; what is not named stays.")] = ()


class Target(Closed, frozen=True):
    """One place where a call may go."""

    model: Annotated[
        str,
        said(
            "`provider/model`, or another name of `models` with a strategy of its own. Under a name with `*`, each `*` "
            "here is what the one in the name stood for."
        ),
    ]
    weight: Annotated[
        float,
        said("Its share, for the strategies `weighted` and `split`; 0 is tried only after the others.", ge=0),
    ] = 1.0
    arm: Annotated[str | None, said("What records call this side of a `split`; by default its `model`.")] = None
    timeouts: Annotated[
        Timeouts | None, said("Deadlines of attempts here; its provider's fill in what is left out.")
    ] = None
    region: Annotated[str | None, said("Where it computes; by default its provider's.")] = None
    residency: Annotated[str | None, said("Where what it is sent stays; by default its provider's.")] = None
    retention: Annotated[Retention | None, said("What it keeps of calls; by default its provider's.")] = None
    capabilities: Annotated[
        tuple[str, ...] | None,
        said(
            "All that it can do: `tools`, `vision`, `json_schema`, `reasoning` …; by default as the price table says."
        ),
    ] = None
    context_window: Annotated[
        Tokens | None, said("Tokens that fit, in and out together; by default as the price table says.")
    ] = None
    max_concurrency: Annotated[
        AtOnce | None,
        said(
            "Calls that are there at once at most, of all workers and by whatever name; the least that is said counts."
        ),
    ] = None


class Scoring(Closed, frozen=True):
    """How much each thing counts for the strategy `score`: each is set against the best of the targets."""

    cost: Annotated[Rate, said("What the call would cost.")] = 1.0
    latency: Annotated[Rate, said("How long it would take.")] = 1.0
    load: Annotated[Rate, said("Calls under way.")] = 0.0
    failures: Annotated[Rate, said("The share of recent attempts that failed.")] = 1.0


class Require(Closed, frozen=True):
    """What every target of a call must have; fall-backs too."""

    regions: Annotated[tuple[str, ...], said("Where it computes, `*` for any run of characters: `[eu-*]`.")] = ()
    residency: Annotated[tuple[str, ...], said("Where what it is sent stays.")] = ()
    retention: Annotated[tuple[Retention, ...], said("What it may keep.")] = ()
    providers: Annotated[tuple[str, ...], said("Providers that it may be at.")] = ()
    capabilities: Annotated[tuple[str, ...], said("What it can do.")] = ()


class RoutingRule(Closed, frozen=True):
    """What holds for calls of which an expression is true. Of the rules with `use`, the first counts; all `require`."""

    when: Annotated[
        Expression,
        said("An expression in CEL over what is known of the call: `'tier' in tags && tags.tier == \"free\"`."),
    ]
    use: Annotated[str | None, said("Where the call goes: a name of `models` or `provider/model`.")] = None
    require: Annotated[Require | None, said("What every target must have.")] = None


class Fallbacks(Closed, frozen=True):
    """Where calls go whose targets cannot serve them, by the reason: `provider/model`, in order."""

    context_window: Annotated[
        tuple[str, ...], said("For what is too long for a target; in place of the targets that are left.")
    ] = ()
    content_policy: Annotated[
        tuple[str, ...], said("For what a target's content policy refuses; in place of the targets that are left.")
    ] = ()
    rate_limit: Annotated[tuple[str, ...], said("After all targets, where the last was out of its limits.")] = ()
    outage: Annotated[tuple[str, ...], said("After all targets, where the last failed in any other way.")] = ()


class Hedge(Closed, frozen=True):
    """Ask a second target where the first is slow to answer; the first answer is taken, the other call cancelled."""

    after: Annotated[
        Seconds | None,
        said("How long the first target has; by default what it took of late in 95 of 100 calls."),
    ] = None
    share: Annotated[
        float, said("At most this share of calls, and of what they may cost, is asked twice.", ge=0, le=1)
    ] = 0.05


class Shadow(Closed, frozen=True):
    """Copy a share of the calls that were served to another target, once their callers have their answers.

    A copy has a record of its own (`shadow_of`) under the key `shadow`: it is charged to that key, and to `team`, and
    never to the caller. Where the two have no room for it, or too many copies are under way, it is not sent.
    """

    to: Annotated[str, said("Where copies go: a name of `models` or `provider/model`.")]
    share: Annotated[Share, said("Which share of the calls is copied.")]
    team: Annotated[str | None, said("The team that pays for copies, with its limits and budgets.")] = None
    at_once: Annotated[
        int, said("Copies that one worker has under way at most; what comes beyond is not copied.", ge=1, le=1000)
    ] = 8


class Complexity(Closed, frozen=True):
    """What decides, for the strategy `complexity`, whether the first target does for a call, and how well it must.

    Without a scorer every call goes to the other targets, and its record keeps what one could be trained by.
    """

    scorer: Annotated[
        str | None, said("Path of a file that `portico complexity train` wrote; used if its report meets what follows.")
    ] = None
    calls: Annotated[int, said("Calls that it was tried on at least, without having learnt from them.", ge=50)] = 200
    accuracy: Annotated[Share, said("The share of them that it sent where they belong, at least.")] = 0.75
    harm: Annotated[
        Share, said("The share of them that it sent to the first target though that did not do, at most.")
    ] = 0.05
    saving: Annotated[Share, said("The share of their cost that it saved, at least.")] = 0.05


class Canary(Closed, frozen=True):
    """Give a new target a share of the calls that grows by itself while it does well, and falls to nothing if not.

    It is set beside the other targets over the same time. Whatever is changed here begins anew.
    """

    to: Annotated[str, said("The new target: a name of `models` or `provider/model`.")]
    steps: Annotated[tuple[Share, ...], said("Its shares of the calls, one after another.", min_length=1)] = (
        0.01, 0.05, 0.25, 0.5, 1.0,
    )  # fmt: skip
    hold: Annotated[Seconds, said("How long each share is held at least.")] = 600.0
    calls: Annotated[int, said("And for how many calls to it at least.", ge=1)] = 50
    error_rate: Annotated[Share, said("How much more of its calls may fail than of those to the others.")] = 0.02
    latency: Annotated[
        Factor, said("How many times as long as the others it may take until answers begin, 95 of 100 of them.")
    ] = 1.5
    release: Annotated[str, said("What is tried, in a word; with another word it begins anew.")] = ""


class Queue(Closed, frozen=True):
    """Calls that a limit refuses wait for their turn instead: in turn by team, within a team by priority.

    They wait for limits on requests, tokens and calls at once, for `max_concurrency`, and for providers that take no
    more calls for now. Nobody waits for a budget.
    """

    wait: Annotated[Seconds, said("How long a call waits at most, all its waits together; 0 is not at all.")] = 30.0
    calls: Annotated[
        int,
        said("Calls that wait in one worker at most. Then the team with most of them for its weight gives way.", ge=1),
    ] = 1000
    bytes: Annotated[Bytes, said("Bytes of their bodies at most.")] = 256 * 1024 * 1024


class ModelQueue(Closed, frozen=True):
    """How calls to a model wait that a limit refuses."""

    wait: Annotated[Seconds, said("How long, in place of what `queue` says; 0 is not at all.")]


class TeamQueue(Closed, frozen=True):
    """How the calls of a team wait that a limit refuses."""

    weight: Annotated[float, said("Its share of what others wait for as well.", ge=0.01, le=1000)] = 1.0
    wait: Annotated[Seconds | None, said("How long, whatever model they ask for; 0 is not at all.")] = None


class Model(Closed, frozen=True):
    """A model name of your own, and where calls to it go.

    The name may hold `*`, which stands for any run of characters: an exact name goes first, then the longest pattern.
    """

    targets: Annotated[tuple[Target, ...], said("`provider/model` or a table, in order.", min_length=1)]
    strategy: Annotated[
        Strategy,
        said(
            "`fallback` tries targets in order; `weighted` draws one by weight, then tries the others in order; "
            "`round_robin` takes turns; `least_busy`, `lowest_latency`, `lowest_cost` and `highest_throughput` take "
            "the best first; `power_of_two` the better of two drawn; `score` mixes; `split` gives each of `sticky` "
            "its arm, by weight, for good; `complexity` takes the first, small, target where a scorer says that it "
            "does, else the others."
        ),
    ] = "fallback"
    resume: Annotated[
        bool,
        said(
            "Whether a stream that breaks off is gone on with at the next target: the answer so far is given to it, "
            "and the caller hears one answer. Otherwise it ends with an error."
        ),
    ] = False
    fallbacks: Annotated[Fallbacks, said("Other targets, by why these could not serve a call.")] = Fallbacks()
    hedge: Annotated[Hedge | None, said("Ask a second target where the first is slow to answer.")] = None
    queue: Annotated[ModelQueue | None, said("How calls to it wait that a limit refuses.")] = None
    shadow: Annotated[Shadow | None, said("Copy a share of its calls to another target, to compare.")] = None
    canary: Annotated[Canary | None, said("A new target, whose share of the calls grows while it does well.")] = None
    complexity: Annotated[Complexity, said("The scorer of the strategy `complexity`, and what it must have shown.")] = (
        Complexity()
    )
    score: Annotated[Scoring, said("What counts how much, for the strategy `score`.")] = Scoring()
    sticky: Annotated[
        Literal["key", "user", "session", "customer"],
        said("Who keeps an arm of a `split`: the key, the user, the session or the customer; without one, drawn."),
    ] = "key"
    affinity: Annotated[
        bool | None,
        said(
            "Whether calls of one conversation keep to one key of a provider, and stay where its prompt is cached, as "
            "long as that is worth it, under the strategies `weighted`, `round_robin`, `least_busy`, `power_of_two`, "
            "`lowest_latency` and `highest_throughput`. `lowest_cost` and `score` count what is cached in the price "
            "unless it is false."
        ),
    ] = None
    rules: Annotated[tuple[RoutingRule, ...], said("What holds for certain calls to it.")] = ()

    @property
    def recalls(self) -> bool:
        """Whether it counts which conversation a call belongs to."""
        return self.affinity is True or (self.affinity is None and self.strategy in ("lowest_cost", "score"))


class Routing(Closed, frozen=True):
    """What holds for where calls go, whatever model they name."""

    rules: Annotated[tuple[RoutingRule, ...], said("Rules before those of models.")] = ()
    headers: Annotated[
        tuple[str, ...], said('Names of request headers, in lower case, that rules may read as `headers["…"]`.')
    ] = ()


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

    to: Annotated[
        dict[Dimension, tuple[str, ...]],
        said("Which calls: a name, a pattern with `*` or a list of them by dimension. Empty: all."),
    ] = msgspec.field(default_factory=dict, name="for")
    each: Annotated[
        tuple[Dimension, ...], said("Count apart what differs here: `[customer]` gives each customer its own counter.")
    ] = ()


class BudgetFor(Budget, frozen=True):
    """A budget of its own, and which calls it is for."""

    to: Annotated[
        dict[Dimension, tuple[str, ...]],
        said("Which calls: a name, a pattern with `*` or a list of them by dimension. Empty: all."),
    ] = msgspec.field(default_factory=dict, name="for")
    each: Annotated[
        tuple[Dimension, ...], said("Count apart what differs here: `[customer]` gives each customer its own counter.")
    ] = ()


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


class Backoff(Closed, frozen=True):
    """How long to wait before a target is tried again: a random time, from nothing up to a bound that doubles."""

    first: Annotated[Seconds, said("The bound before the second try.")] = 0.25
    longest: Annotated[Seconds, said("The bound at most.")] = 8.0


class RetriesFor(Closed, frozen=True):
    """What is different for one kind of failure."""

    attempts: Annotated[Annotated[int, Meta(ge=1, le=10)] | None, said("Tries of one target.")] = None
    backoff: Annotated[Backoff | None, said("How long to wait in between.")] = None


class Retries(Closed, frozen=True):
    """How often one target is tried before the next.

    `connect` is no connection, or one that broke, or a reply that is none; `timeout` a deadline that passed, or the
    status 408; `429` a limit of the provider's; `5xx` its failures, and the statuses 409 and 425.
    """

    attempts: Annotated[int, said("Tries of one target.", ge=1, le=10)] = 1
    on: Annotated[
        tuple[Literal["connect", "timeout", "429", "5xx"], ...],
        said("What may be tried again, here or at the next target."),
    ] = ("connect", "timeout", "429", "5xx")
    backoff: Annotated[Backoff, said("How long to wait before a target is tried again.")] = Backoff()
    retry_after: Annotated[
        Seconds, said("A `Retry-After` up to here is waited for; a longer one ends the tries of its target.")
    ] = 10.0
    budget: Annotated[
        float, said("Tries of targets that fail add at most this share to the calls of a worker.", ge=0, le=10)
    ] = 0.2
    by: Annotated[
        dict[Literal["connect", "timeout", "429", "5xx"], RetriesFor],
        said("What is different for one kind of failure."),
    ] = {}


class Breaker(Closed, frozen=True):
    """When a target that fails is passed over for a while, as long as there is another."""

    failures: Annotated[int, said("After this many failures one after another.", ge=1)] = 5
    rate: Annotated[float, said("When this share of recent attempts failed.", ge=0, le=1)] = 0.5
    calls: Annotated[int, said("The share counts from this many recent attempts on.", ge=1)] = 20
    rest: Annotated[Seconds, said("How long, the first time; doubled while a single call that is let by fails.")] = 0.5
    longest: Annotated[Seconds, said("How long at most.")] = 1.5


class Alerts(Closed, frozen=True):
    """Who hears of budgets that were passed or closed."""

    webhook: Annotated[
        Annotated[str, Meta(pattern="^https?://", extra_json_schema={"x-portico": "secret"})] | None,
        said("Where each event is posted to as JSON; tried again until it is taken."),
    ] = None


class Logs(Closed, frozen=True):
    """What is written of calls."""

    calls: Annotated[Literal["stdout", "none"], said("Where the JSON line of each call goes.")] = "stdout"
    bodies: Annotated[
        Literal["all", "errors", "none"],
        said("Of which calls the bodies of request and reply are kept; a key may say otherwise of its own."),
    ] = "none"
    fsync: Annotated[
        Literal["none", "group"],
        said(
            "`none`: what is recorded survives every crash of Portico; `group`: loss of power too, for some latency. "
            "A change takes a restart."
        ),
    ] = "none"


class Config(Closed, frozen=True):
    """A whole configuration."""

    server: Annotated[Server, said("The port, the processes, and their bounds.")] = Server()
    providers: Annotated[dict[str, Provider], said("Providers by name.")] = {}
    models: Annotated[dict[str, Model], said("Model names of your own, and their targets.")] = {}
    routing: Annotated[Routing, said("What holds for where calls go, whatever model they name.")] = Routing()
    keys: Annotated[dict[str, Key], said("Keys that callers hold, by a name for people.")] = {}
    organizations: Annotated[dict[str, Organization], said("Organizations, by name.")] = {}
    teams: Annotated[dict[str, Team], said("Teams, by name.")] = {}
    users: Annotated[dict[str, User], said("Users, by name.")] = {}
    customers: Annotated[dict[str, Customer], said("End users, by the name that callers give them.")] = {}
    limits: Annotated[
        tuple[LimitFor, ...], said("Limits of their own: over all calls, or those that `for` names.")
    ] = ()
    budgets: Annotated[
        tuple[BudgetFor, ...], said("Budgets of their own: over all calls, or those that `for` names.")
    ] = ()
    retries: Annotated[Retries, said("How often one target is tried before the next.")] = Retries()
    breaker: Annotated[Breaker, said("When a target that fails is passed over for a while.")] = Breaker()
    queue: Annotated[
        Queue | None, said("Calls that a limit refuses wait for their turn; without it they are refused at once.")
    ] = None
    timeouts: Annotated[Timeouts, said("How long one attempt at a provider may take.")] = Timeouts()
    strict: Annotated[
        bool, said("Refuse a call whose provider cannot be told all of it, instead of dropping what cannot cross.")
    ] = False
    prices: Annotated[dict[str, Price], said("Prices by `provider/model`, over the shipped ones.")] = {}
    logs: Annotated[Logs, said("What is written of calls.")] = Logs()
    alerts: Annotated[Alerts, said("Who hears of budgets that were passed.")] = Alerts()
