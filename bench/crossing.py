"""What crossing from one dialect to another costs, beside what passing costs: calls, events of streams, and the agent's
request alone, which is parsed and rendered in this process."""

import http.client
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from bench import bodies, checks
from bench.caller import Job
from bench.scenarios import Bench, Row, Values, drive, run_caller, script
from bench.subjects import Place, Subject
from portico.dialects.crossing import Notes, Target
from portico.dialects.registry import DIALECTS
from portico.dialects.translate import LANGUAGES
from portico.types import Dialect

CALLERS: dict[Dialect, str] = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
"""The dialects that callers speak here, and where; every provider speaks the first."""
SECONDS = 2.0
PAIRS = "pairs, 14 KB"
_ALTERED = b'"maximum":100'
_ROUNDS = 4
_RUNS = 5
_BODIES = 200
"""More different tools than are kept, each as large as the others."""


@cache
def said(caller: Dialect, body: bytes, stream: bool = False) -> bytes:
    """Return a request of Chat Completions in another dialect's words."""
    if caller == "chat":
        return body
    request = LANGUAGES["chat"].parse_request(body, model="bench", stream=stream)
    return LANGUAGES[caller].render_request(request, Target(model=_model(body), dialect=caller), Notes(caller))


def _model(body: bytes) -> str:
    start = body.index(b'"model":"') + 9
    return body[start : body.index(b'"', start)].decode()


def calls(bench: Bench, subject: Subject, turn: int) -> Row | None:
    """Whole calls of each caller's dialect at a provider of Chat Completions: CPU a call, and over that of passing."""
    if not subject.crosses:
        return None
    values: Values = {}
    faults: dict[str, int] = {}
    for size in ("1 KB",) if subject.heavy else bodies.SIZES:
        for caller, path in CALLERS.items():
            place = replace(subject.places["plain"], path=path, model=subject.crosses["plain"])
            body = said(caller, bodies.body(bodies.SIZES[size], place.model))
            if not _answers(place, body):
                continue
            subject.completed += 1
            lua = script(bench, f"{subject.name}-{caller}", place, size, body)
            load, cpu, _, foreign = drive(bench, subject, place, lua, 64, SECONDS)
            if load.failed or not load.requests:
                faults[f"{caller} failed"] = faults.get(f"{caller} failed", 0) + load.failed
                continue
            values[f"{caller} {size}"] = cpu / load.requests * 1e6
            values["foreign"] = max(foreign, values.get("foreign", 0.0))
    return Row("crossing calls", subject.name, turn, _over_chat(values), faults)


def _answers(place: Place, body: bytes) -> bool:
    """Make one call; tell whether its reply has the upstream's words."""
    try:
        status, _, reply = checks.ask(place, body)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200 and bodies.ANSWER[:60].encode() in reply


def events(bench: Bench, subject: Subject, turn: int) -> Row | None:
    """Streams at 20 ms an event for callers of each dialect: CPU an event, and over that of passing it."""
    if not subject.crosses or subject.heavy:
        return None
    values: Values = {}
    faults: dict[str, int] = {}
    extent = bench.extent
    for caller, path in CALLERS.items():
        place = replace(subject.places["paced"], path=path, model=subject.crosses["paced"])
        job = Job(
            kind="streams", host="127.0.0.1", port=place.port, path=path, headers=place.headers, model=place.model,
            dialect=caller, count=extent.cost_streams, events=extent.cost_events, pace=20, limit=60.0,
            watch=subject.roots, beside=bench.mock_roots,
        )  # fmt: skip
        outcome = run_caller(bench.prefix, job)
        subject.completed += outcome.completed
        subject.cut += outcome.begun - outcome.completed
        for fault, count in outcome.faults.items():
            faults[f"{caller}: {fault}"] = count
        window = outcome.window
        if window is not None and window.delivered and not outcome.faults:
            values[caller] = window.cpu / window.delivered * 1e6
    return Row("crossing events", subject.name, turn, _over_chat(values), faults)


def _over_chat(values: Values) -> Values:
    """Add what each cost is over that of the same in Chat Completions, which passes."""
    ratios: Values = {}
    for name, cost in values.items():
        caller, _, size = name.partition(" ")
        base = values.get(f"chat {size}".strip())
        if base and caller in CALLERS and caller != "chat":
            ratios[f"{name} of chat"] = cost / base
    return values | ratios


def pairs(_: Bench, subject: Subject, turn: int) -> Row | None:
    """The agent's request, parsed and rendered: µs for each pair, with tools that came before, and with new ones."""
    if subject.name != "portico":
        return None
    agent = bodies.body(bodies.AGENT, "bench")
    asked: dict[str, Callable[[int], None]] = {}
    for caller in DIALECTS:
        body = said(caller, agent)
        altered = [body.replace(_ALTERED, b'"maximum":%d' % (100 + at), 1) for at in range(_BODIES)]
        for provider in DIALECTS:
            if caller != provider:
                asked[f"{caller} to {provider}"] = _crossing(caller, provider, [body])
                asked[f"{caller} to {provider}, new tools"] = _crossing(caller, provider, altered)
    values: Values = {}
    for _ in range(_ROUNDS):  # some time apart: what slows a machine for a moment does so for one pair of a round
        for name, cross in asked.items():
            values[name] = min(_quickest(cross, 40), values.get(name, math.inf))
    return Row(PAIRS, subject.name, turn, values)


def _crossing(caller: Dialect, provider: Dialect, asked: list[bytes]) -> Callable[[int], None]:
    parse, render = LANGUAGES[caller].parse_request, LANGUAGES[provider].render_request
    target = Target(model="bench", dialect=provider)

    def cross(number: int) -> None:
        request = parse(asked[number % len(asked)], model="bench", stream=False)
        render(request, target, Notes(provider))

    return cross


def _quickest(cross: Callable[[int], None], count: int) -> float:
    """Return µs of the quickest of several runs, by which other processes disturb least."""
    found = []
    for run in range(_RUNS):
        began = time.perf_counter()
        for number in range(run * count, (run + 1) * count):
            cross(number)
        found.append((time.perf_counter() - began) / count)
    return min(found) * 1e6
