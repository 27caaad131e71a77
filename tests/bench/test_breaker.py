"""The ways in which calls are broken."""

import asyncio
import random

import pytest

from bench import breaker, pacer


def job(port=1, **more):
    whole = {
        "host": "127.0.0.1",
        "port": port,
        "path": "/v1/chat/completions",
        "headers": {"Authorization": "Bearer k"},
    }
    return breaker.Job(**(whole | {"model": "m", "count": 1} | more))


@pytest.mark.parametrize("kind", breaker.KINDS, ids=lambda kind: kind.name)
def test_a_seed_breaks_a_call_in_the_same_way_again(kind):
    first, second = (kind.render(job(), random.Random(5)) for _ in range(2))
    assert first == second
    assert kind.may


def test_what_leaves_early_has_sent_less_than_a_whole_request():
    whole = breaker.ordered(job(), pacer.Order())
    parts = {kind.name: kind.render(job(), random.Random(3)) for kind in breaker.KINDS}
    for name in ("leaves in the headers", "leaves in the body"):
        assert len(parts[name]) < len(whole)
        assert whole.startswith(parts[name])
    assert b"\r\n\r\n" not in parts["leaves in the headers"]
    assert b"\r\n\r\n" in parts["leaves in the body"]


def test_a_request_can_be_told_to_lack_a_header():
    assert b"Host:" not in breaker.whole(job(), b"{}", without="Host")
    assert b"Host: 127.0.0.1:1\r\n" in breaker.whole(job(), b"{}")


@pytest.fixture
async def answering():
    """A server that answers each connection with what is put here, and closes it."""
    answer = [b""]

    async def serve(reader, writer):
        await reader.read(65536)
        writer.write(answer[0])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], answer


@pytest.mark.parametrize(
    ("reply", "end"),
    [
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}", "400"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404"),
        (b"", "closed"),
    ],
)
async def test_the_end_of_a_broken_call_is_its_status_or_its_close(answering, reply, end):
    port, answer = answering
    answer[0] = reply
    (kind,) = (kind for kind in breaker.KINDS if kind.name == "no host")
    assert await breaker.attempt(job(port), kind, random.Random(1)) == end


async def test_an_end_that_may_not_be_is_a_fault(answering):
    port, answer = answering
    answer[0] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    outcome = await breaker.work(job(port, count=60, at_once=5, seed=1))
    assert sum(outcome.ends.values()) == 60
    assert outcome.faults["wrong key: 200"] > 0
    assert not any(name.startswith("leaves") for name in outcome.faults)
