"""Replies that no recording of the development set has: other line ends, other framing, other ends, nothing at all."""

import asyncio
import contextlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.replay.caller import Caller, Got
from tests.replay.origin import MARK, Asked, Framing, Origin, Play
from tests.replay.replaying import running

from portico.config.schema import Config, Key, Provider
from portico.record import Record
from portico.worker import loop_factory

KEY = "gateway-key"
SIZES: tuple[tuple[int, ...], ...] = ((), (1,), (7,))
CHAT = "/v1/chat/completions"
ASKED = {"model": "openai/m", "stream": True, "stream_options": {"include_usage": True}}
EVENTS = (("content-type", "text/event-stream"),)
JSON = (("content-type", "application/json"),)
USAGE = '"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'


def lines(*events: str, end: str = "\n") -> bytes:
    return "".join(f"{event}{end}{end}" for event in events).encode()


PIECE = 'data: {"choices":[{"delta":{"content":"hé"}}]}'
STOP = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}],' + USAGE + "}"
DONE = "data: [DONE]"


class Odd(msgspec.Struct, frozen=True, kw_only=True):
    """A reply, and what has to become of it. `gets` is the body that the caller gets, where that is another."""

    body: bytes
    path: str = CHAT
    method: str = "POST"
    table: dict[str, Any] | None = msgspec.field(default_factory=lambda: dict(ASKED))
    status: int = 200
    headers: tuple[tuple[str, str], ...] = EVENTS
    framing: tuple[Framing, ...] = ("chunked", "sized", "close", "gzip")
    gets: bytes | None = None
    ended: tuple[str, ...] = ("chunks",)
    total: int | None = 7
    error: str | None = None


WHOLE = ("{" + USAGE + ',"choices":[]}').encode()
SOUND = bytes(range(256)) * 8 + b"\n\ndata: x\n\n"
CASES = {
    "lines that end in CR LF": Odd(body=lines(PIECE, STOP, DONE, end="\r\n")),
    "lines that end in CR": Odd(body=lines(PIECE, STOP, DONE, end="\r")),
    "lines that end in all three ways": Odd(
        body=lines(PIECE, end="\r\n") + lines(PIECE) + lines(STOP, end="\r") + lines(DONE)
    ),
    "comments before, between and after": Odd(body=lines(": hello", PIECE, ": ping", STOP, DONE, ": bye")),
    "no [DONE]": Odd(body=lines(PIECE, STOP)),
    "no blank line at the end": Odd(body=lines(PIECE, STOP) + DONE.encode()),
    "white space at the end": Odd(body=lines(PIECE, STOP, DONE) + b"\n\n  \n"),
    "a byte order mark": Odd(body=b"\xef\xbb\xbf" + lines(PIECE, STOP, DONE)),
    "names, ids and retries": Odd(body=lines("id: 1\nretry: 5\nevent: chunk\n" + PIECE, "id: 2\n" + STOP, DONE)),
    "data in several lines": Odd(body=lines('data: {"choices":\ndata: []}', STOP, DONE)),
    "no space after the colon": Odd(body=lines(PIECE, STOP, DONE).replace(b"data: ", b"data:")),
    "events that say they are JSON": Odd(body=lines(PIECE, STOP, DONE), headers=JSON),
    "events that say they are text": Odd(body=lines(PIECE, STOP, DONE), headers=(("content-type", "text/plain"),)),
    "events that say nothing": Odd(body=lines(PIECE, STOP, DONE), headers=()),
    "an event after the end": Odd(body=lines(PIECE, STOP, DONE, 'data: {"late":true}')),
    "events that nobody knows": Odd(body=lines("event: x\ndata: y", PIECE, "data:", "data", STOP, DONE)),
    "an object where a stream was asked for": Odd(body=WHOLE, headers=JSON, ended=("length",)),
    "white space before and after an object": Odd(
        body=b" \n\n" * 40 + WHOLE + b"\r\n \n",
        headers=JSON,
        table={"model": "openai/m"},
        ended=("length",),
    ),
    "white space before an object where a stream was asked for": Odd(
        body=b"\n\n\n" + WHOLE + b"\n", headers=JSON, ended=("length",)
    ),
    "an object of no type": Odd(body=WHOLE, headers=(), table={"model": "openai/m"}, ended=("length",)),
    "an object with a name for its own type": Odd(
        body=WHOLE,
        headers=(("content-type", "application/vnd.maker+json; charset=utf-8"),),
        table={"model": "openai/m"},
        ended=("length",),
    ),
    "an error for a stream": Odd(
        body=b'{"error":{"message":"slow down"}}',
        status=429,
        headers=(*JSON, ("retry-after", "7"), ("x-ratelimit-reset", "1s")),
        ended=("length",),
        total=None,
        error="upstream_status",
    ),
    "an error page": Odd(
        body=b"<html>\r\n<body>Bad Gateway</body>\r\n</html>\r\n",
        status=502,
        headers=(("content-type", "text/html"),),
        ended=("length",),
        total=None,
        error="upstream_status",
    ),
    "an error without a body": Odd(
        body=b"",
        status=503,
        headers=(),
        framing=("sized", "chunked", "close"),
        ended=("length",),
        total=None,
        error="upstream_status",
    ),
    "a status of one's own": Odd(
        body=b'{"error":1}', status=529, headers=JSON, ended=("length",), total=None, error="upstream_status"
    ),
    "odd headers": Odd(
        body=lines(PIECE, STOP, DONE),
        headers=(
            *EVENTS,
            ("x-warning", "one"),
            ("x-warning", "two"),
            ("num_chars", "12"),
            ("x-empty", ""),
            ("x-latin", "caf\xe9"),
            ("x-long", "v" * 8000),
        ),
    ),
    "sound": Odd(
        path="/v1/audio/speech",
        table={"model": "openai/m", "input": "hé!"},
        body=SOUND,
        headers=(("content-type", "audio/mpeg"),),
        ended=("chunks", "length"),
        total=0,
    ),
    "a stream that its provider ends too early": Odd(
        body=lines(PIECE),
        ended=("cut",),
        gets=lines(PIECE) + b"ERROR",
        total=None,
        error="upstream_connection_lost",
    ),
    "a stream that breaks between events": Odd(
        body=lines(PIECE),
        framing=("cut",),
        ended=("cut",),
        gets=lines(PIECE) + b"ERROR",
        total=None,
        error="upstream_connection_lost",
    ),
    "a stream that breaks inside an event": Odd(
        body=lines(PIECE) + b'data: {"choices":[{"del',
        framing=("cut",),
        ended=("cut",),
        gets=lines(PIECE) + b"ERROR",
        total=None,
        error="upstream_connection_lost",
    ),
    "an array of replies": Odd(
        path="/v1beta/models/gemini%2Fm:streamGenerateContent",
        table={"contents": []},
        body=b'[{"candidates":[{}]}\n,\r\n{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}\n]\n',
        headers=JSON,
    ),
    "an array of replies that breaks": Odd(
        path="/v1beta/models/gemini%2Fm:streamGenerateContent",
        table={"contents": []},
        body=b'[{"candidates":[{}]}\n,\r\n{"cand',
        headers=JSON,
        framing=("cut",),
        ended=("cut",),
        gets=b'[{"candidates":[{}]}\n,\r\n{"cand',
        total=None,
        error="upstream_connection_lost",
    ),
    "nothing at all, passed through": Odd(
        path="/openai/v1/vector_stores/v",
        method="DELETE",
        table=None,
        body=b"",
        status=204,
        headers=(),
        framing=("sized",),
        ended=("length",),
        total=None,
    ),
    "an empty body, passed through": Odd(
        path="/openai/v1/vector_stores",
        body=b"",
        headers=JSON,
        framing=("sized", "chunked", "close"),
        ended=("length",),
        total=None,
    ),
    "not modified, passed through": Odd(
        path="/openai/v1/vector_stores/v",
        method="GET",
        table=None,
        body=b"",
        status=304,
        headers=(("etag", '"x"'),),
        framing=("sized",),
        ended=("length",),
        total=None,
    ),
    "events of another API, passed through": Odd(
        path="/openai/v1/vector_stores/v?stream=true",
        method="GET",
        table=None,
        body=lines(PIECE, "event: x\ndata: {}"),
        ended=("chunks", "length"),
        total=None,
    ),
    "a call passed through": Odd(path="/openai/v1/chat/completions", body=lines(PIECE, STOP, DONE)),
}


@pytest.mark.parametrize("sizes", SIZES, ids=["whole", "1", "7"])
@pytest.mark.parametrize("odd", CASES.values(), ids=CASES)
def test_an_odd_reply(odd: Odd, sizes: Sequence[int]) -> None:
    for framing in odd.framing:
        got, _, record = exchange(odd, sizes, framing)

        assert got.status == odd.status
        held_back = ("content-length", "transfer-encoding", "date", "connection")
        headers = [
            (name, value)
            for name, value in got.headers
            if name not in held_back and not name.startswith(("x-portico", "x-request"))
        ]
        assert headers == list(odd.headers)
        assert got.ended in (odd.ended if framing == "sized" else odd.ended[:1])
        expected = odd.body if odd.gets is None else odd.gets
        if expected.endswith(b"ERROR"):
            kept = expected.removesuffix(b"ERROR")
            assert got.body.startswith(kept)
            (event,) = got.body[len(kept) :].strip().splitlines()
            assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == odd.error
        else:
            assert got.body == expected
        if odd.total is None and record.usage is not None:
            assert record.basis in ("counted", "estimated")
        else:
            assert (record.usage.total if record.usage is not None else None) == odd.total
        assert record.error == odd.error


@pytest.mark.parametrize("coding", ["deflate", "gzip"])
def test_a_whole_reply_in_a_coding_of_a_known_length(coding: str) -> None:
    packed = zlib.compress(WHOLE) if coding == "deflate" else zlib.compress(WHOLE, wbits=31)
    headers = (*JSON, ("content-encoding", coding), ("vary", "accept-encoding"))
    odd = Odd(body=packed, headers=headers, table={"model": "openai/m"})

    got, _, record = exchange(odd, (5,), "sized")

    assert got.body == WHOLE
    assert got.header("content-encoding") is None
    assert got.header("content-length") == str(len(WHOLE))
    assert record.usage is not None


def test_what_cannot_be_looked_into_passes_through_as_it_is() -> None:
    odd = Odd(path="/openai/v1/chat/completions", table=None, body=WHOLE, headers=JSON)

    got, asked, _ = exchange(odd, (), "sized", sent=b'{"model": "m",,}')

    assert got.body == WHOLE
    assert asked[0].body == b'{"model": "m",,}'


@pytest.mark.parametrize("status", [400, 422])
def test_a_provider_that_refuses_to_be_asked_for_usage_is_not_asked_again(status: int) -> None:
    unasked = {"model": "openai/m", "stream": True}
    reply = lines(PIECE, STOP, DONE)
    odd = Odd(body=b'{"error":{"message":"unknown field stream_options"}}', table=unasked, status=status, headers=JSON)

    first, second = several(odd, Odd(body=reply, table=unasked), calls=2)

    for got, _, record in (first, second):
        assert (got.status, got.body) == (200, reply)
        assert record.usage is not None
    assert [b"stream_options" in asked.body for asked in (*first[1], *second[1])] == [True, False, False]
    assert [len(record.attempts) for _, _, record in (first, second)] == [2, 1]


def test_a_caller_who_asks_for_usage_is_told_that_it_is_refused() -> None:
    odd = Odd(body=b'{"error":{"message":"unknown field stream_options"}}', status=400, headers=JSON)

    got, asked, _ = exchange(odd, (), "sized")

    assert (got.status, got.body) == (400, odd.body)
    assert len(asked) == 1


def exchange(
    odd: Odd, sizes: Sequence[int], framing: Framing, *, sent: bytes | None = None
) -> tuple[Got, list[Asked], Record]:
    """Make one call through a gateway of its own; return the reply, what upstream got, and the record."""
    play = Play(odd.status, odd.headers, odd.body, sizes, framing, [])
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        (result,) = runner.run(_exchange(odd, play, sent, 1))
    return result


def several(odd: Odd, then: Odd, *, calls: int) -> list[tuple[Got, list[Asked], Record]]:
    """Make calls one after another; the first request gets one reply, all others get another."""
    later = Play(then.status, then.headers, then.body, (), "chunked", [])
    play = Play(odd.status, odd.headers, odd.body, (), "sized", [], later)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_exchange(odd, play, None, calls))


async def _exchange(odd: Odd, play: Play, sent: bytes | None, calls: int) -> list[tuple[Got, list[Asked], Record]]:
    origin = Origin()
    await origin.start()
    origin.plays[b"odd"] = play
    config = Config(
        providers={
            "openai": Provider(base_url=f"{origin.url}/v1", api_key="k1", proxy="none"),
            "gemini": Provider(base_url=origin.url, api_key="k2", proxy="none"),
        },
        keys={"odd": Key(key=KEY, passthrough=("*",))},
    )
    body = sent or (json.dumps(odd.table).encode() if odd.table is not None else b"")
    lines = (
        f"{odd.method} {odd.path} HTTP/1.1",
        "host: gateway.test",
        f"authorization: Bearer {KEY}",
        "content-type: application/json",
        f"{MARK.decode()}: odd",
        f"content-length: {len(body)}",
    )
    made: list[tuple[Got, list[Asked]]] = []
    async with running(config) as gateway:
        with contextlib.closing(Caller(gateway.port)) as caller:
            for _ in range(calls):
                got = await caller.call("\r\n".join([*lines, "", ""]).encode(), body)
                later = play.then.asked if play.then is not None else []
                made.append((got, [*play.asked, *later]))
                play.asked.clear()
                later.clear()
    origin.close()
    records = gateway.records
    return [(got, asked, records[got.header("x-request-id") or ""]) for got, asked in made]
