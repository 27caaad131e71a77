"""How calls are tried: retries, breakers, and who may wait."""

from typing import Annotated, Literal

from msgspec import Meta

from portico.config.schema.words import Bytes, Closed, Seconds, said


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
