"""Heads of replies that repeat: taken without the parser, and told as it would have told them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.test_client_reply import Bench, Kept

from portico.wire.replied import RARELY, TRIES, LastHead, ReplyHead


def reply(body: bytes, *more: bytes, status: bytes = b"200 OK", name: bytes = b"Content-Length") -> bytes:
    lines = (b"HTTP/1.1 " + status, b"Content-Type: application/json", name + b": %d" % len(body), *more)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Asked(Bench):
    """One connection that asks again and again; `parsed` counts the replies that its parser was given."""

    def answer(self, *pieces: bytes) -> Kept:
        sink = self.ask() if self.sink.ends else self.sink
        for piece in pieces:
            self.read(piece)
        return sink

    @property
    def remembered(self) -> bool:
        return self.last.head is not None


def told(sink: Kept) -> tuple[object, ...]:
    return sink.status, sink.headers, sink.body, [error and str(error) for error in sink.ends]


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length"])
def test_a_reply_that_repeats_a_head_is_told_as_if_it_had_been_parsed(name: bytes) -> None:
    bench, once = Asked(), Asked()
    first = bench.answer(reply(b"[1]", name=name))
    head = bench.last.head
    for body in (b"[2]", b"[30, 40]", b"[5]"):
        other = Asked()
        assert told(bench.answer(reply(body, name=name))) == told(other.answer(reply(body, name=name)))
        assert bench.last.head is head, "it was not parsed again"
    assert told(first) == told(once.answer(reply(b"[1]", name=name)))
    assert bench.released == 4


DIFFERENT = {
    "another status": reply(b"[2]", status=b"429 Too Many Requests"),
    "another header": reply(b"[2]", b"X-Request-Id: 7"),
    "no more than its head": reply(b"[2]")[:-3],
    "a part of its body": reply(b"[2, 3]")[:-2],
    "something behind it": reply(b"[2]") + b"x",
    "no body": reply(b""),
    "a length that is none": reply(b"[2]").replace(b": 3", b": x"),
    "a connection that closes": reply(b"[2]", b"Connection: close"),
    "an interim reply before it": b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(b"[2]"),
}


@pytest.mark.parametrize("raw", DIFFERENT.values(), ids=DIFFERENT)
@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_reply_that_differs_in_anything_is_parsed(raw: bytes, size: int) -> None:
    bench, other = Asked(), Asked()
    bench.answer(reply(b"[1]"))
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
    assert told(bench.answer(*pieces)) == told(other.answer(*pieces))
    assert (bench.transport.closing, bench.released - 1) == (other.transport.closing, other.released)


@given(st.lists(st.sampled_from((*DIFFERENT.values(), *(reply(b"[%d]" % n) for n in range(12)))), max_size=12))
def test_whatever_came_before_a_reply_is_told_as_on_a_connection_of_its_own(replies: list[bytes]) -> None:
    bench = Asked()
    for raw in replies:
        other = Asked()
        assert told(bench.answer(raw)) == told(other.answer(raw))
        if bench.transport.closing or not bench.sink.ends:
            return


UNFIT = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n",
    "two headers of one name": reply(b"[1]", b"Link: a", b"Link: b"),
    "a connection that closes": reply(b"[1]", b"Connection: close"),
    "a body that is packed": reply(b"\x1f", b"Content-Encoding: gzip"),
    "a head of ten kilobytes": reply(b"[1]", b"X-Long: " + b"x" * 10_240),
}


@pytest.mark.parametrize("raw", UNFIT.values(), ids=UNFIT)
def test_heads_that_say_more_than_a_length_are_not_remembered(raw: bytes) -> None:
    bench = Asked()
    bench.answer(raw)
    assert not bench.remembered


EARLY = b"HTTP/1.1 103 Early Hints\r\nContent-Length: %d\r\n\r\n" % len(reply(b"[1]"))
IN_PIECES = {
    "within its head": (reply(b"[1]")[:40], reply(b"[1]")[40:]),
    "within its first line": (reply(b"[1]")[:9], reply(b"[1]")[9:]),
    "behind an interim reply": (b"HTTP/1.1 103 Early Hints\r\n\r\n", reply(b"[1]")),
    "with an interim reply": (EARLY + reply(b"[1]"),),
}


@pytest.mark.parametrize("pieces", IN_PIECES.values(), ids=IN_PIECES)
def test_only_a_reply_that_came_in_one_read_and_alone_is_remembered(pieces: tuple[bytes, ...]) -> None:
    bench, other = Asked(), Asked()
    assert bench.answer(*pieces).body == b"[1]"
    assert not bench.remembered
    assert told(bench.answer(pieces[-1])) == told(other.answer(pieces[-1]))


def test_an_answer_to_head_is_parsed() -> None:
    bench = Asked()
    bench.answer(reply(b"[1]"))
    sink = bench.ask(method_is_head=True)
    bench.read(reply(b"[1]")[:-3])
    assert (sink.body, sink.ends) == (b"", [None])


def test_where_no_head_is_repeated_nearly_none_is_remembered() -> None:
    last = LastHead()
    remembered = 0
    for number in range(TRIES + 2 * RARELY):
        fields = {b"content-length": b"1", b"x-request-id": b"%d" % number}
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Request-Id: %d\r\n\r\n0" % number
        assert last.find(raw) is None
        last.learn(raw, ReplyHead(200, list(fields.items()), fields))
        remembered += last.head is not None
    assert remembered == TRIES + 2
    assert last.find(raw) is None
    last.learn(raw, ReplyHead(200, list(fields.items()), fields))
    assert last.head is None


def test_heads_are_remembered_again_once_one_is_repeated() -> None:
    last = LastHead()
    fields = {b"content-length": b"1"}
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0"
    head = ReplyHead(200, list(fields.items()), fields)
    for _ in range(TRIES + 1):
        last.learn(raw, head)
    assert last.head is None
    while last.head is None:
        last.learn(raw, head)
    assert last.find(raw) == (head, len(raw) - 1)
    last.learn(raw, head)
    assert last.head is head
