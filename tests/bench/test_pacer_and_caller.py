"""The mock that takes its time, and the client that counts what it sent."""

import asyncio
import json

import pytest

from bench import bodies, caller, pacer

ORDERS = [
    pacer.Order(),
    pacer.Order(3, 50, 20, 0),
    pacer.Order(stream=7, wait=1000),
    pacer.Order(1, 9, 1, 5, "midstream"),
]


@pytest.fixture
async def port():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: pacer.Upstream(loop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def job(port, **more):
    whole = {
        "host": "127.0.0.1",
        "port": port,
        "path": "/v1/chat/completions",
        "headers": {},
        "model": "m",
        "ramp": 0.0,
    }
    return caller.Job(**(whole | more))


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_an_order_is_read_back_from_the_request_that_carries_it(order):
    assert pacer.parse_order(bodies.stream_body("m", str(order))) == order
    assert pacer.parse_order(json.dumps({"user": str(order)}, indent=2).encode()) == order


def test_a_request_without_an_order_is_answered_at_once():
    assert pacer.parse_order(bodies.body(bodies.CHAT, "m")) == pacer.Order()


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="'explode'"):
        pacer.parse_order(b'{"user":"bench_1_2_3_4_explode"}')


def test_events_are_chunks_of_the_chat_dialect_that_say_which_they_are():
    first, second = pacer.event(4, 0, 123), pacer.event(4, 1, 456)
    parsed = json.loads(first.removeprefix(b"data: "))
    assert parsed["choices"][0]["delta"] == {"role": "assistant", "content": " #4.0.123#"}
    assert [found.groups() for found in pacer.MARK.finditer(first + second)] == [
        (b"4", b"0", b"123"),
        (b"4", b"1", b"456"),
    ]
    assert b'"usage":{' in pacer.ending(9, usage=True)
    assert b'"usage":{' not in pacer.ending(9, usage=False)


async def test_streams_are_counted_whole(port):
    outcome = await caller.work(job(port, kind="streams", count=20, events=10, pace=1))
    assert (outcome.begun, outcome.completed, outcome.delivered, outcome.expected) == (20, 20, 200, 200)
    assert outcome.faults == {}
    assert set(outcome.first) == set(outcome.transit) == set(outcome.gap) == {"p50", "p99", "max"}


async def test_whole_calls_follow_each_other_until_the_time_is_over(port):
    outcome = await caller.work(job(port, kind="calls", count=8, wait=1, seconds=0.05))
    assert outcome.begun == outcome.completed >= 8
    assert outcome.faults == {}


@pytest.mark.parametrize(
    ("fault", "streams", "says"),
    [
        ("cut", False, "connection lost"),
        ("half", False, "connection lost"),
        ("garbage", False, "not HTTP"),
        ("error", False, "status 500"),
        ("midstream", True, "connection lost"),
        ("half", True, "connection lost"),
    ],
)
async def test_a_break_of_the_mock_is_seen_by_the_client(port, fault, streams, says):
    loop = asyncio.get_running_loop()
    order = pacer.Order(stream=1, events=6, pace=1 if streams else 0, fault=fault)
    tally, ended = caller.Tally(), asyncio.Event()
    make = (lambda: caller.StreamLine(tally, 1, 6, 1.0)) if streams else (lambda: caller.CallLine(tally))
    _, line = await loop.create_connection(make, "127.0.0.1", port)
    line.ended = ended.set
    body = bodies.stream_body("m", str(order)) if streams else bodies.marked_body(bodies.CHAT, "m", str(order))
    line.call(caller.request(job(port, kind="calls", count=1), body))
    await ended.wait()
    line.transport.close()
    assert tally.completed == 0
    assert tally.faults == {says: 1}


class Sent:
    """A transport that swallows what is written."""

    def write(self, data):
        pass

    def close(self):
        pass


def reply_of(*events, end=pacer.DONE):
    framed = b"".join(pacer.chunk(event) for event in (*events, pacer.FINISH + end))
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def seen(reply, size, events=4, stream=1):
    tally = caller.Tally()
    line = caller.StreamLine(tally, stream, events, 1.0)
    line.connection_made(Sent())
    line.call(b"")
    for begin in range(0, len(reply), size or len(reply)):
        line.data_received(reply[begin : begin + (size or len(reply))])
    return tally


EVENTS = [pacer.event(1, number, 5) for number in range(4)]
TROUBLES = {
    "none": (reply_of(*EVENTS), {}, 1),
    "one lost": (reply_of(EVENTS[0], EVENTS[1], EVENTS[3]), {"event lost": 1}, 1),
    "one twice": (reply_of(EVENTS[0], EVENTS[1], *EVENTS[1:]), {"event twice or out of order": 1}, 1),
    "two swapped": (
        reply_of(EVENTS[0], EVENTS[2], EVENTS[1], EVENTS[3]),
        {"event lost": 1, "event twice or out of order": 1},
        1,
    ),
    "one of another": (reply_of(*EVENTS, pacer.event(2, 0, 5)), {"event of another stream": 1}, 1),
    "last ones lost": (reply_of(*EVENTS[:2]), {"event lost": 2, "stream ended early": 1}, 0),
    "no end mark": (reply_of(*EVENTS, end=b""), {"no end mark": 1}, 0),
}


@pytest.mark.parametrize("size", [0, 1, 7], ids=["whole", "by 1", "by 7"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_event_is_missed_when_it_is_missing(trouble, size):
    reply, faults, completed = TROUBLES[trouble]
    tally = seen(reply, size)
    assert dict(tally.faults) == faults
    assert tally.completed == completed


def test_a_refused_stream_is_no_stream():
    tally = seen(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}", 0)
    assert dict(tally.faults) == {"status 503": 1}
