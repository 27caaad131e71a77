"""No recorded call used more than its bound, in tokens or in money."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests.framing.recordings import body_of, load
from tests.replay.calls import APIS, BY_PATH
from tests.replay.places import find

from portico.dialects.operations import OPERATIONS, Operation
from portico.dialects.request import Peek, peek
from portico.dialects.usage import observer, read_usage
from portico.errors import InvalidRequest
from portico.providers.bounds import Ceiling, ceiling
from portico.providers.prices import charge, price_of
from portico.rules import Bound
from portico.types import Usage

REWRITTEN = {
    # "very very long system prompt" stands in the request for the one whose 18,000 tokens were billed
    "f4c239fc83876988ad32",
    "462ae8f59d2eb96b61b7",
}
"""Recordings whose request was shortened by hand."""
_MODEL_IN_PATH = re.compile(r"/models?/([^/:]+)")


class Served(NamedTuple):
    """A recorded call that says what it used."""

    id: str
    operation: Operation
    provider: str
    model: str
    seen: Peek
    body: bytes
    usage: Usage

    @property
    def ceiling(self) -> Ceiling:
        return ceiling(self.provider, self.model, price_of(self.provider, self.model))

    @property
    def bounds(self) -> list[Bound]:
        """What is said of it at first, where something is, and on a closer look."""
        first = self.ceiling.bound(self.operation, self.seen, self.body)
        closely = self.ceiling.closely(self.operation, self.seen, self.body)
        return [closely] if first is None else [first, closely]


def _usage(record: dict[str, Any], operation: Operation) -> Usage | None:
    headers = [(name.lower().encode(), str(value).encode()) for name, value in record["response"]["headers"].items()]
    if not record["streaming"]:
        return read_usage(operation, body_of(record), headers)
    watch = observer(operation, hide_usage=False)
    watch.feed(body_of(record))
    watch.flush()
    return watch.usage


def _body(request: dict[str, Any]) -> bytes:
    body = request.get("body")
    if isinstance(body, dict):
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.b64decode(request.get("body_b64") or "")


def _read(record: dict[str, Any]) -> Served | None:
    request = record["request"]
    path = "/" + request["path"].lstrip("/")
    operation = OPERATIONS.get(BY_PATH.get(path) or APIS.get(record["api"]) or "")
    body = _body(request)
    if operation is None or not body or record.get("response_only") or record["response"]["status"] >= 300:
        return None
    usage = _usage(record, operation)
    if usage is None or not usage.total:
        return None
    try:
        kind = {name.lower(): value for name, value in request["headers"].items()}.get("content-type", "")
        seen = peek(operation, body, kind.encode())
    except InvalidRequest:
        return None
    found = find(record["provider"], operation.name, path)
    in_path = _MODEL_IN_PATH.search(path)
    named = (found and found.model) or seen.model or (unquote(in_path[1]) if in_path else "")
    provider = found.place.row if found is not None else record["provider"]
    return Served(record["id"], operation, provider, named, seen, body, usage)


@cache
def served() -> tuple[Served, ...]:
    return tuple(call for record in load() if (call := _read(record)) is not None)


def bounded() -> Iterator[tuple[Served, Bound]]:
    for call in served():
        if call.id not in REWRITTEN:
            for bound in call.bounds:
                if bound.finite:
                    yield call, bound


def test_no_recorded_call_used_more_tokens_than_its_bound() -> None:
    over = [
        (call.id, call.provider, call.model, bound, call.usage)
        for call, bound in bounded()
        if call.usage.input_total > bound.input_tokens or call.usage.output_total > bound.output_tokens
    ]
    assert not over, over[:5]


def test_no_recorded_call_cost_more_than_its_bound() -> None:
    over = []
    for call, bound in bounded():
        charged = charge(price_of(call.provider, call.model), call.usage).cost
        if bound.cost is not None and charged is not None and charged > bound.cost:
            over.append((call.id, call.provider, call.model, bound, charged))
    assert not over, over[:5]


def test_a_closer_look_says_no_more_than_the_first() -> None:
    for call in served():
        bounds = call.bounds
        assert bounds[-1].input_tokens <= bounds[0].input_tokens, call.id
        assert bounds[-1].output_tokens == bounds[0].output_tokens, call.id
        assert bounds[-1].why == bounds[0].why, call.id


def test_most_recorded_calls_have_a_bound() -> None:
    finite = Counter(call.bounds[-1].finite for call in served())
    assert sum(finite.values()) >= 5_549
    assert finite[True] > 4 * finite[False]
