"""Names for models, and where calls for them go."""

from typing import Annotated, Literal

from portico.config.schema.attempts import ModelQueue
from portico.config.schema.providers import Timeouts
from portico.config.schema.words import (
    AtOnce,
    Closed,
    Expression,
    Factor,
    Rate,
    Retention,
    Seconds,
    Share,
    Strategy,
    Tokens,
    said,
)


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

    Without a scorer every call goes to the other targets, and its record keeps what one could be trained by. Rules read
    what a scorer says as `complexity`.
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
    complexity: Annotated[
        Complexity, said("The scorer that rules read as `complexity` of calls whose model has none of its own.")
    ] = Complexity()
    headers: Annotated[
        tuple[str, ...], said('Names of request headers, in lower case, that rules may read as `headers["…"]`.')
    ] = ()
