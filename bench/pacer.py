"""The upstream that takes its time: it answers after a wait, streams at a pace, or breaks, as each request asks.

A request's `user` holds the order, so that the mock needs no settings and every call can be told from every other.
Every event of a stream carries the stream's number, its own number and the moment it was written; the client that reads
them (`caller.py`) knows which are missing, doubled, late or another's. Run as a program it prints its port.
"""

import asyncio
import gc
import re
import socket
import time
from dataclasses import dataclass
from typing import Literal, cast

import httptools
import uvloop

from bench.bodies import REPLY

Fault = Literal["none", "cut", "half", "garbage", "error", "midstream"]
FAULTS: tuple[Fault, ...] = ("none", "cut", "half", "garbage", "error", "midstream")


@dataclass(frozen=True)
class Order:
    """What one call asks of the mock: `wait` and `pace` in milliseconds, `events` of text before the end.

    It is written as an end user's id of letters, digits and `_`, which goes to any provider as it is.
    """

    stream: int = 0
    events: int = 0
    pace: int = 0
    wait: int = 0
    fault: Fault = "none"

    def __str__(self) -> str:
        return f"bench_{self.stream}_{self.events}_{self.pace}_{self.wait}_{self.fault}"


ORDER = re.compile(rb'"user"\s*:\s*"bench_(\d+)_(\d+)_(\d+)_(\d+)_([a-z]+)"')
STREAM = re.compile(rb'"stream"\s*:\s*true')
USAGE = re.compile(rb'"include_usage"\s*:\s*true')
MARK = re.compile(rb"#(\d+)\.(\d+)\.(\d+)#")
"""Stream, number in the stream, nanoseconds of the monotonic clock; in the text of every event."""

_ABOUT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_bench",'
)
HEAD = _ABOUT + b'"choices":[{"index":0,"delta":{'
TAIL = b'},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
FINISH = _ABOUT + b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}\n\n'
USED = _ABOUT + b'"choices":[],"usage":{"prompt_tokens":19,"completion_tokens":%d,"total_tokens":%d}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(REPLY), REPLY)
ERROR_BODY = b'{"error":{"message":"the mock was asked to fail","type":"server_error","param":null,"code":null}}'
ERROR = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ERROR_BODY),
    ERROR_BODY,
)


def parse_order(body: bytes) -> Order:
    """Return the order in a request's `user`; without one, an answer at once."""
    found = ORDER.search(body)
    if found is None:
        return Order()
    stream, events, pace, wait = (int(found[index]) for index in range(1, 5))
    for fault in FAULTS:
        if fault == found[5].decode():
            return Order(stream, events, pace, wait, fault)
    raise ValueError(f"no fault is called {found[5].decode()!r}; there are {', '.join(FAULTS)}")


def event(stream: int, number: int, nanoseconds: int) -> bytes:
    """Return one event of text; the first also names the role."""
    role = b'"role":"assistant",' if number == 0 else b""
    return b'%b%b"content":" #%d.%d.%d#"%b' % (HEAD, role, stream, number, nanoseconds, TAIL)


def ending(events: int, usage: bool) -> bytes:
    """Return the last events: the finish, the usage where it was asked for, and the end mark."""
    return FINISH + (USED % (events, events + 19) if usage else b"") + DONE


def chunk(content: bytes) -> bytes:
    """Frame `content` as one chunk of HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(content), content)


class Upstream(asyncio.Protocol):
    """One connection; requests on it are answered in turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.body: list[bytes] = []
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's have no common class with asyncio's
        self.parser = httptools.HttpRequestParser(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body = []

    def on_body(self, piece: bytes) -> None:
        self.body.append(piece)

    def on_message_complete(self) -> None:
        body = b"".join(self.body)
        self.order = parse_order(body)
        self.streams = STREAM.search(body) is not None
        self.usage = USAGE.search(body) is not None
        if self.order.wait:
            self.timer = self.loop.call_later(self.order.wait / 1000, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        fault = self.order.fault
        if fault == "cut":
            self.transport.abort()
        elif fault == "garbage":
            self.transport.write(b"\x00\xffthis is not HTTP\r\n\r\n")
            self.transport.close()
        elif fault == "error":
            self.transport.write(ERROR)
        elif fault == "half" and not self.streams:
            self.transport.write(WHOLE[: len(WHOLE) // 2])
            self.transport.close()
        elif self.streams:
            self.transport.write(STREAM_HEAD)
            self.number = 0
            self.started = self.loop.time()
            self.tick()
        else:
            self.transport.write(WHOLE)

    def tick(self) -> None:
        order, number = self.order, self.number
        if number == order.events:
            last = chunk(ending(order.events, self.usage)) + b"0\r\n\r\n"
            if order.fault == "half":
                self.transport.write(last[:-20])
                self.transport.close()
            else:
                self.transport.write(last)
            return
        if order.fault == "midstream" and number > order.events // 2:
            self.transport.abort()
            return
        self.transport.write(chunk(event(order.stream, number, time.monotonic_ns())))
        self.number = number + 1
        # from the start, so that a late tick does not make every later one late
        due = self.started + self.number * order.pace / 1000
        self.timer = self.loop.call_at(due, self.tick)


async def serve() -> None:
    """Serve on a free port of the loopback until the process is ended."""
    loop = asyncio.get_running_loop()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    server = await loop.create_server(lambda: Upstream(loop), sock=listening, backlog=4096)
    print(listening.getsockname()[1], flush=True)
    gc.freeze()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
