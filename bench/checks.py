"""The first calls to a subject: is what it answers what the upstream said. Without that it gets no figure."""

import http.client
import json
import time

from bench import bodies, pacer
from bench.machine import Missing
from bench.subjects import Place, Subject


def ask(place: Place, body: bytes, timeout: float = 30.0) -> tuple[int, dict[str, str], bytes]:
    """Make one call and return status, headers (names lowercased) and body."""
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=timeout)
    try:
        connection.request("POST", place.path, body=body, headers=place.headers)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def check(subject: Subject, limit: float = 60.0) -> None:
    """Make one call to every place of `subject` and compare with what the upstream says; `Missing` when it differs."""
    for upstream, place in subject.places.items():
        if subject.streams_only:
            _check_stream(subject, place)
            continue
        deadline = time.monotonic() + limit
        body = bodies.body(bodies.CHAT, place.model)
        while True:
            try:
                status, headers, reply = ask(place, body)
            except (OSError, http.client.HTTPException) as error:
                status, headers, reply = 0, {}, repr(error).encode()
            if status == 200:
                subject.completed += 1
                break
            subject.cut += 1
            if time.monotonic() > deadline:
                raise Missing(f"{subject.name} answers {status} for {upstream}: {reply[:300]!r}")
            time.sleep(0.5)
        expected, said = json.loads(bodies.REPLY), json.loads(reply)
        for key in ("choices", "usage"):
            if not _holds(said[key], expected[key]):
                raise Missing(f"{subject.name} changes {key!r} of the reply for {upstream}: {reply[:300]!r}")
        if subject.name == "portico" and float(headers.get("x-portico-cost-usd", "0")) <= 0:
            raise Missing("portico does not account: no x-portico-cost-usd above zero in its reply")
        if upstream == "paced":
            _check_stream(subject, place)


def _holds(said: object, expected: object) -> bool:
    """Tell whether `said` has everything of `expected`; fields may be added, and nulls and empty lists left out."""
    if isinstance(expected, dict):
        return isinstance(said, dict) and all(
            _holds(said.get(key), value) for key, value in expected.items() if value not in (None, [], 0)
        )
    if isinstance(expected, list):
        return isinstance(said, list) and len(said) == len(expected) and all(map(_holds, said, expected))
    return said == expected


def _check_stream(subject: Subject, place: Place) -> None:
    order = pacer.Order(stream=7, events=3, pace=5)
    try:
        status, _, reply = ask(place, bodies.stream_body(place.model, str(order)))
    except (OSError, http.client.HTTPException) as error:
        raise Missing(f"{subject.name} does not stream: {error!r}") from error
    subject.completed += 1
    marks = [(int(found[1]), int(found[2])) for found in pacer.MARK.finditer(reply)]
    if status != 200 or marks != [(7, 0), (7, 1), (7, 2)] or pacer.DONE not in reply:
        raise Missing(f"{subject.name} does not pass a stream on ({status}): {reply[:300]!r}")
