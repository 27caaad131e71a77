"""What planning a call costs: `python -m bench.planning` says it of every strategy, in microseconds of one core.

Two figures each. `plan` is what is read of the call (`Facts`) and its targets in order; `routed` is all that the
gateway does for a call whose model needs planning (`plan_call`). The call is a chat of 1 KB with a limit of 200 tokens,
made with a key; the targets have prices, health that was measured, and no rests; `complexity` has a scorer. With
`--kilobytes 14 --affinity` it is a turn of a conversation that is kept together.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from portico.call import Call
from portico.config.load import load_plain
from portico.dialects.operations import route
from portico.dialects.request import peek
from portico.plan.scorer import FORMAT, Report, Scorer, sealed
from portico.plan.traits import NAMES, VERSION
from portico.plan.wish import STRATEGIES
from portico.providers.resolve import resolve
from portico.rules import Holder
from portico.stages.plan import facts_of, plan_call
from portico.upstream.health import Healths
from portico.upstream.outgoing import Outgoing
from portico.upstream.routes import Routes
from portico.upstream.target import Upstream
from portico.wire.client import Client

KINDS: Final = (*sorted(STRATEGIES), "complexity", "score", "split", "weighted")
"""All strategies."""
PATH: Final = "/v1/chat/completions"
SYSTEM: Final = "You answer questions about the weather. "
ASKED: Final = "Will it rain tomorrow in the north? "


class Figure(msgspec.Struct, frozen=True):
    """Microseconds of one core for one strategy."""

    strategy: str
    plan: float
    routed: float


def measure(targets: int, rounds: int = 25, repeats: int = 2000, kilobytes: int = 1, **more: Any) -> list[Figure]:
    """Return the figures of all strategies over so many targets: the best of `rounds`, each of `repeats` calls.

    `more` is said of each name besides its strategy and targets.
    """
    names = [f"openai/model-{number}" for number in range(targets)]
    key = {"api_key": "sk-0123456789012345"}
    models: dict[str, Any] = {kind: {"strategy": kind, "targets": names, **more} for kind in KINDS}
    prices = {name: {"input": place + 1, "output": 2 + place % 3} for place, name in enumerate(names)}
    loop = asyncio.new_event_loop()  # nothing runs on it: connections belong to some loop
    chance = random.Random(1)
    try:
        client, healths = Client(loop=loop), Healths()
        with tempfile.TemporaryDirectory() as folder:
            models["complexity"]["complexity"] = {"scorer": _scorer(Path(folder), names[0])}
            config = load_plain({"providers": {"openai": key}, "models": models, "prices": prices}, {}).config
            upstreams = {
                name: Upstream(resolve(name, at, {}), client, config.prices) for name, at in config.providers.items()
            }
            routes = Routes(
                config.models,
                upstreams,
                config.timeouts,
                config.routing,
                health=healths,
                secret=b"secret",
                caches=healths.caches,
            )
        body = {
            "messages": [
                {"role": "system", "content": SYSTEM * 10 * kilobytes},
                {"role": "user", "content": ASKED * 15 * kilobytes},
            ],
            "max_tokens": 200,
        }
        now = time.monotonic()
        for name in names:
            health = healths(name)
            for size in range(4):
                health.answered(now, chance.uniform(0.2, 2.0), size, streamed=True)
                health.answered(now, chance.uniform(2.0, 9.0), size, streamed=False)
                health.spoke(now, chance.uniform(0.002, 0.02), size)
        return [_figure(routes, kind, body, rounds, repeats) for kind in KINDS]
    finally:
        loop.close()


def _scorer(folder: Path, small: str) -> str:
    """Write a scorer that meets what is demanded of one, and return its path."""
    report = Report(
        held_out=1000, trained_on=3000, sufficed=0.5, small=0.4, harm=0.01, accuracy=0.9, baseline=0.5,
        saving=0.3, most=0.5,
    )  # fmt: skip
    weights = tuple(0.1 * (place - 6) for place, _ in enumerate(NAMES))
    made = Scorer(
        format=FORMAT, traits=VERSION, names=tuple(NAMES), model="complexity", small=small,
        means=(300.0,) * len(NAMES), scales=(100.0,) * len(NAMES), weights=weights, bias=0.5, threshold=0.7,
        report=report,
    )  # fmt: skip
    path = folder / "scorer.json"
    path.write_bytes(msgspec.json.encode(sealed(made)))
    return str(path)


def _figure(routes: Routes, kind: str, said: Mapping[str, Any], rounds: int, repeats: int) -> Figure:
    found = route("POST", PATH, {})
    assert found is not None
    body = msgspec.json.encode({"model": kind, **said})
    asked = peek(found.operation, body, b"application/json")
    outgoing = Outgoing(found.operation, [], "", body, asked, 0)
    call = Call(found)
    call.caller, call.model = Holder("a key", "a key", team="a team"), kind
    draw, members = random.Random(2).random, asked.members

    def budget_left(_: object) -> float:
        return 1.0

    def plan() -> object:
        return routes.plan(facts_of(call, outgoing, routes, None, budget_left, kind, members), draw)

    def routed() -> object:
        return plan_call(call, outgoing, routes, None, PATH, draw, None, budget_left)

    return Figure(kind, _least(plan, rounds, repeats), _least(routed, rounds, repeats))


def _least(work: Callable[[], object], rounds: int, repeats: int) -> float:
    """Return the microseconds that one piece of work takes where nothing else disturbs it."""
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.thread_time() - began) / repeats)
    return best * 1e6


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--kilobytes", type=int, default=1)
    parser.add_argument("--affinity", action="store_true")
    given = parser.parse_args()
    more = {"affinity": True} if given.affinity else {}
    print(f"µs of one core, {given.targets} targets, {given.kilobytes} KB")
    print(f"{'strategy':<20}{'plan':>8}{'routed':>8}")
    for figure in measure(given.targets, given.rounds, kilobytes=given.kilobytes, **more):
        print(f"{figure.strategy:<20}{figure.plan:>8.2f}{figure.routed:>8.2f}")


if __name__ == "__main__":
    main()
