"""Server-sent events, split however they are cut, and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import BadUpstreamReply
from portico.framing import sse

SIZES = (None, 1, 2, 3, 7)


def cut(body: bytes, size: int | None) -> list[bytes]:
    return [body] if size is None else [body[at : at + size] for at in range(0, len(body), size)]


def read(body: bytes, size: int | None) -> list[sse.Event]:
    splitter = sse.Splitter()
    events = [event for chunk in cut(body, size) for event in splitter.feed(chunk)]
    events.append(splitter.flush())
    return [event for event in map(sse.parse, events) if event != (b"", b"")]


def by_lines(body: bytes) -> list[sse.Event]:
    """Read a stream the slow way: line by line, an event for each blank line and for what follows the last."""
    events, lines = [], []
    for line in [*body.splitlines(), b""]:
        if line:
            lines.append(line)
        else:
            events.append(sse.parse(b"\n".join(lines)))
            lines = []
    return [event for event in events if event != (b"", b"")]


CASES = {
    "line feeds": (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "carriage returns and line feeds": (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    "mixed line ends": (
        b"data: a\n\r\ndata: b\r\n\ndata: c\r\r\ndata: d\n\rdata: e\n\n",
        [(b"", b"a"), (b"", b"b"), (b"", b"c"), (b"", b"d"), (b"", b"e")],
    ),
    "names": (b"event: ping\ndata: {}\n\nevent:x\ndata:y\n\n", [(b"ping", b"{}"), (b"x", b"y")]),
    "data of several lines": (b"data: a\ndata\ndata: b\n\n", [(b"", b"a\n\nb")]),
    "only the first space is taken": (b"data:  a \n\n", [(b"", b" a ")]),
    "comments and other fields": (b": hi\n\nid: 1\nretry: 3\nfoo: x\ndata: a\n\n", [(b"", b"a")]),
    "a byte order mark": (sse.BOM + b"data: a\n\n", [(b"", b"a")]),
    "no blank line at the end": (b"data: a\n\ndata: b", [(b"", b"a"), (b"", b"b")]),
    "blank lines in excess": (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_events_are_the_same_however_the_stream_is_cut(name: str, size: int | None) -> None:
    body, expected = CASES[name]
    assert read(body, size) == expected


ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
lines = st.sampled_from([b"data: x", b"data:", b": c", b"event: e", b"data: \xc3\xa9", b"id: 7", b""])
streams = st.lists(st.tuples(lines, ends).map(b"".join), max_size=12).map(b"".join)


@given(streams, st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_no_byte_is_lost_or_changed_and_cuts_do_not_matter(body: bytes, sizes: list[int]) -> None:
    splitter = sse.Splitter()
    out, at, events = b"", 0, []
    for size in sizes * (len(body) // sum(sizes) + 1):
        for event in splitter.feed(body[at : at + size]):
            out += event
            events.append(event)
        at += size
    rest = splitter.flush()
    assert out + rest == body
    found = [event for event in map(sse.parse, [*events, rest]) if event != (b"", b"")]
    assert found == by_lines(body)
    assert read(body, None) == by_lines(body)


def test_a_chunk_of_whole_events_is_not_copied() -> None:
    splitter = sse.Splitter()
    for chunk in (b"data: a\n\n", b"data: a\n\ndata: b\n\n", b"data: a\r\n\r\n", b"data: a\r\r"):
        assert splitter.complete(chunk) is chunk
    one = b"data: a\n\n"
    assert splitter.feed(one)[0] is one


def test_an_event_over_the_limit_is_refused_and_given_back() -> None:
    splitter = sse.Splitter(limit=10)
    assert splitter.complete(b"data: 1\n\ndata: ") == b"data: 1\n\n"
    with pytest.raises(BadUpstreamReply, match="10 bytes"):
        splitter.complete(b"123456")
    assert splitter.flush() == b"data: 123456"
    assert splitter.complete(b"data: a\n\n") == b"data: a\n\n"


@pytest.mark.parametrize("data", [b"{}", b"", b"a\nb", b"\xc3\xa9"])
@pytest.mark.parametrize("name", [b"", b"error"])
def test_what_is_rendered_parses_back(name: bytes, data: bytes) -> None:
    assert sse.parse(sse.render(data, name)) == (name, data)


def test_one_byte_chunks_of_a_long_event_cost_linear_work() -> None:
    body = b"data: " + b"x" * 300_000 + b"\n\n"
    splitter = sse.Splitter()
    events = [event for at in range(len(body)) for event in splitter.feed(body[at : at + 1])]
    assert events == [body]
