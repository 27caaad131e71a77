"""Requests that no decent caller sends, generated from a seed, each with what has to become of it.

A request that could be taken for a sound one bears the good key and the mark `hostile`, so that one which gets
through is seen at the provider. None of them may get there.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

GOOD = "sk-good-0123456789abcdef"
"""May call and pass through to the provider `mock`."""
NARROW = "sk-narrow-0123456789abcdef"
"""May call the model `mock/small` and nothing else."""
MARK = "hostile"
MODEL = "mock/gpt-4o-mini"

LIMITS: dict[str, int] = {
    "header_bytes": 8192,
    "header_count": 40,
    "url_bytes": 1024,
    "body": 65_536,
    "file_body": 131_072,
    "memory_body": 16_384,
    "body_budget": 64 * 1024 * 1024,
    "connections": 400,
}
TIMEOUTS = {"header": "4s", "body": "4s", "idle": "1s", "write": "1s"}

GONE = 0
"""Stands among statuses for a connection that is closed without a reply."""


class Send(NamedTuple):
    """Write bytes in pieces of `size` (0: at once), waiting `pace` seconds after each."""

    data: bytes
    size: int = 0
    pace: float = 0.0


Step = Send | Literal["half-close", "reset"]


class Case(NamedTuple):
    """What is sent, and the replies that may come back, in order: for each the statuses that it may have.

    `whole`: it is sent at once. `deaf`: the caller reads nothing. `waits` is True where a `100 Continue` may come.
    """

    category: str
    number: int
    steps: tuple[Step, ...]
    replies: tuple[frozenset[int], ...]
    whole: bool = False
    deaf: bool = False
    waits: bool = False


class Draft(NamedTuple):
    """A case before it is cut into pieces."""

    data: bytes
    replies: tuple[set[int], ...]
    end: Literal["stay", "half-close", "reset"] = "stay"
    pace: float = 0.0
    whole: bool = False
    deaf: bool = False
    waits: bool = False


Maker = Callable[[random.Random], Draft]

REFUSED = {400, 401, 403, 404, 405, 408, 411, 413, 414, 431, 501, 505}
AUTH = f"Authorization: Bearer {GOOD}\r\n"


def head(
    target: str | bytes = "/v1/chat/completions",
    lines: str | bytes = "",
    *,
    method: str = "POST",
    version: str = "HTTP/1.1",
    host: str = "Host: gateway\r\n",
    auth: str = AUTH,
) -> bytes:
    """Write the head of a request, which closes its connection unless `lines` say otherwise."""
    target = target.encode("latin-1") if isinstance(target, str) else target
    lines = lines.encode("latin-1") if isinstance(lines, str) else lines
    return b"%b %b %b\r\n%b%b%b\r\n" % (
        method.encode(),
        target,
        version.encode(),
        host.encode("latin-1"),
        auth.encode("latin-1"),
        lines,
    )


def sized(body: bytes, lines: str = "Connection: close\r\n", **more: Any) -> bytes:
    """Write a request whose body has its length told."""
    return head(lines=f"{lines}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", **more) + body


def chunked(body: bytes, lines: str = "Connection: close\r\n", **more: Any) -> bytes:
    """Write a request whose body is a run of bytes that claim to be chunks."""
    return head(lines=f"{lines}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", **more) + body


def chat(**more: Any) -> bytes:
    """Write the body of a call that would be served."""
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": MARK}], **more}).encode()


def chunks(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Write a body as one chunk, and an end."""
    return b"%x\r\n%b\r\n%b" % (len(body), body, end)


SMUGGLED = sized(chat())
"""A whole, sound call: what follows a refused request must not be taken for one."""


# What is not HTTP


def noise(rng: random.Random) -> Draft:
    data = rng.randbytes(rng.choice((1, 20, 300, 3000)))
    if rng.random() < 0.7:
        data += b"\r\n\r\n"
    return Draft(data, (REFUSED | {GONE},), rng.choice(("stay", "half-close", "reset")))


def other_protocols(rng: random.Random) -> Draft:
    data = rng.choice(
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(40),
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x05\x01\x00",
            b"EHLO gateway\r\nMAIL FROM:<a@b>\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
            b"<?xml version='1.0'?><a/>\r\n\r\n",
            b'{"model":"mock/x"}\r\n\r\n',
            b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + SMUGGLED,
        )
    )
    return Draft(data, (REFUSED | {GONE},))


def flipped(rng: random.Random) -> Draft:
    """Return a sound request for no model with some bytes changed, put in or left out."""
    data = bytearray(sized(b'{"messages":[]}'))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        kind = rng.random()
        if kind < 0.5:
            data[at] = rng.randrange(256)
        elif kind < 0.75:
            data.insert(at, rng.choice(b"\r\n\0 \t:;,%\x7f\xff") if rng.random() < 0.6 else rng.randrange(256))
        else:
            del data[at]
    return Draft(bytes(data), (REFUSED | {GONE}, REFUSED | {GONE}, REFUSED | {GONE}))


def cut_short(rng: random.Random) -> Draft:
    data = chunked(chunks(chat())) if rng.random() < 0.5 else sized(chat())
    at = rng.randrange(1, len(data))
    end = rng.choice(("stay", "half-close", "reset"))
    return Draft(data[:at], ({408} if end == "stay" else {GONE},), end)


def silence(rng: random.Random) -> Draft:
    return Draft(rng.choice((b"", b"\r\n", b"\r\n" * 20)), ({GONE},), rng.choice(("stay", "half-close")))


def dripped(rng: random.Random) -> Draft:
    """Return a request that comes a byte at a time and never gets to its end."""
    kind = rng.randrange(5)
    if kind == 0:
        return Draft(head()[:60], ({408},), pace=0.04)
    if kind == 1:
        return Draft(b"\r\n" * 30, ({GONE},), pace=0.04)
    if kind == 2:
        return Draft(sized(b" " * 40)[:-4], ({408},))
    # the end of a body that goes on without any of it
    tail = b"5\r\nhello\r\n0\r\nX-" if kind == 3 else b"5\r\nhello\r\n1;e="
    return Draft(chunked(tail + b"a" * 30), ({408},), pace=0.002)


# The request line


def versions(rng: random.Random) -> Draft:
    version = rng.choice(
        (
            "HTTP/2.0",
            "HTTP/1.2",
            "HTTP/0.9",
            "HTTP/3",
            "HTTP/1.",
            "HTTP/.1",
            "HTTP/11",
            "http/1.1",
            "HTTP/1.1 ",
            "HTTP/1,1",
            "HTTP /1.1",
            "HTTPS/1.1",
            "HTP/1.1",
            "ICE/1.0",
            "HTTP/-1.1",
            "HTTP/1.1x",
            "HTTP/1.\xef\xbc\x91",
            "",
        )
    )
    line = b"POST /v1/chat/completions %b\r\n" % version.encode("latin-1")
    return Draft(line + SMUGGLED.partition(b"\r\n")[2], ({400, 505},))


def methods(rng: random.Random) -> Draft:
    method, status = rng.choice(
        (
            ("BREW", {501}),
            ("post", {501}),
            ("POSTT", {501, 400}),
            ("PO ST", {501, 400}),
            ("P\0ST", {501}),
            ("M-SEARCH", {405, 501}),
            ("PROPFIND", {405}),
            ("TRACE", {405}),
            ("CONNECT", {400, 405}),
            ("SOURCE", {405}),
            ("LOCK", {405}),
            ("GET", {405}),
            ("PUT", {405}),
            ("DELETE", {405}),
            ("PATCH", {405}),
            ("OPTIONS", {405}),
            ("HEAD", {405}),
        )
    )
    return Draft(sized(chat(), method=method), (status,))


def targets(rng: random.Random) -> Draft:
    target, status = rng.choice(
        (
            (b"http:v1/chat/completions", {400}),
            (b"ftp://gateway/v1/chat/completions", {400}),
            (b"gateway/v1/chat/completions", {400}),
            (b"gateway:80", {400}),
            (b"*", {400, 404}),
            (b"**", {400}),
            (b"", {400, 501, 505}),
            (b"/v1/chat/completions#x", {400}),
            (b"/v1/chat/completions?a#b", {400}),
            (b"#/v1/chat/completions", {400}),
            (b"?/v1/chat/completions", {400}),
            (b"/v1/chat\xff/completions", {400}),
            (b"/v1/chat\x00/completions", {400}),
            (b"/v1/chat\x7f/completions", {400}),
            (b"/v1/chat/completions\t", {400}),
            (b"/v1/chat/completions\x0b", {400}),
            (b"/v1/chat /completions", {400}),
            (b"/v1/chat/completions\rX", {400}),
            (b"/v1//chats/completions", {400, 404}),
            (b"/v1/chat/./completions", {400, 404}),
            (b"/v1/chat%2fcompletions", {400, 404}),
            (b"/V1/CHAT/COMPLETIONS", {400, 404}),
            (b"/v1/chat/completions/x/", {400, 404}),
            (b"/v1/chat/completions%00", {400, 404}),
            (b"/v1/chat/completions;x", {400, 404}),
            (b"\\v1\\chat\\completions", {400}),
            (b"http://gateway?a=/v1/chat/completions", {400, 404, 405}),
            (b"http://gateway#/v1/chat/completions", {400, 404, 405}),
            (b"http://" + b"a" * 2000 + b"/", {414}),
            (b"/" + b"a" * rng.randint(1100, 30_000), {414}),
            (b"/v1/chat/completions?" + b"a=1&" * 4000, {414}),
        )
    )
    return Draft(sized(chat(), target=target), (status,))


# Headers


def hosts(rng: random.Random) -> Draft:
    host = rng.choice(
        (
            "",
            "Host: a\r\nHost: b\r\n",
            "Host: gateway\r\nhost: gateway\r\n",
            "X-Host: a\r\n",
            "Host : a\r\n",
            " Host: a\r\n",
            "Host: a\r\n b\r\n",
            "Host\r\n",
            "Host: a\x00b\r\n",
            "Host: a\rHost: b\r\n",
        )
    )
    return Draft(sized(chat(), host=host), ({400},))


def syntax(rng: random.Random) -> Draft:
    line = rng.choice(
        (
            "X : a\r\n",
            "X\t: a\r\n",
            ": a\r\n",
            "X\r\n",
            " X: a\r\n",
            "X: a\r\n b\r\n",
            "X: a\r\n\tb\r\n",
            "X: a\0b\r\n",
            "X\0: a\r\n",
            "X(y): a\r\n",
            "X y: a\r\n",
            "X@: a\r\n",
            "\xff: a\r\n",
            "X: a\rb\r\n",
            "X: a\nY: b\r\n",
            "X: a\n\r\n",
            "X: a\r\r\n",
            "X: \x01\r\n",
            "X: \x7f\r\n",
            "X: a\x0b\r\n",
            '"X": a\r\n',
            "X;y: a\r\n",
            "X=y\r\n",
            "{}: a\r\n",
            "\r: a\r\n",
            "\n\r\n",
            "GET / HTTP/1.1\r\n",
        )
    )
    return Draft(sized(chat(), lines=line), ({400},))


def too_many(rng: random.Random) -> Draft:
    kind = rng.randrange(5)
    if kind == 0:
        lines = "".join(f"X-{number}: {number}\r\n" for number in range(rng.randint(41, 600)))
    elif kind == 1:
        lines = "X: 1\r\n" * rng.randint(41, 900)
    elif kind == 2:
        lines = f"X: {'a' * rng.randint(9000, 60_000)}\r\n"
    elif kind == 3:
        lines = f"{'X' * rng.randint(9000, 60_000)}: a\r\n"
    else:
        return Draft(head()[:-2] + b"X: " + b"a" * rng.randint(10_000, 90_000), ({431},))
    return Draft(sized(chat(), lines=lines), ({431},))


def lengths(rng: random.Random) -> Draft:
    value = rng.choice(
        (
            "",
            " ",
            "-1",
            "+1",
            "0x10",
            "1e2",
            "1 1",
            "1,1",
            "1, 1",
            "1;1",
            "ten",
            "²",
            "1.0",
            "1_0",
            "'1'",
            "99999999999999999999",
            "18446744073709551616",
            "-0",
            "1\x0b",
            "0" * 50 + "x",
            "NaN",
            "\xd9\xa1",
        )
    )
    more = rng.choice(("", "", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"))
    return Draft(head(lines=f"Content-Length: {value}\r\n{more}") + chat(), ({400},))


def twice_sized(rng: random.Random) -> Draft:
    first, second = rng.choice(((5, 5), (5, 6), (0, len(SMUGGLED)), (len(SMUGGLED), 0)))
    name = rng.choice(("Content-Length", "content-length", "CONTENT-LENGTH"))
    data = head(lines=f"Content-Length: {first}\r\n{name}: {second}\r\n", auth="")
    return Draft(data + SMUGGLED, ({400},))


def codings(rng: random.Random) -> Draft:
    coding = rng.choice(
        (
            "gzip",
            "chunked, gzip",
            "gzip, chunked",
            "identity",
            "chunked, chunked",
            "xchunked",
            "chunkedx",
            '"chunked"',
            "",
            " ",
            "chunked;q=1",
            "chunked,",
            ",chunked",
            "chunked\x0b",
            "\x0bchunked",
            "chun\x00ked",
            "cow",
            "chunked, identity",
            "identity, chunked",
            "chunked\r\nTransfer-Encoding: chunked",
            "gzip\r\nTransfer-Encoding: chunked",
            "chunked\r\nTransfer-Encoding: x",
            "\nchunked",
            "\r\n chunked",
            "chunked\r\n ",
            "deflate",
        )
    )
    data = head(lines=f"Connection: close\r\nTransfer-Encoding: {coding}\r\n") + chunks(chat())
    return Draft(data, ({400, 501},))


def old_codings(rng: random.Random) -> Draft:
    """Return a request of HTTP/1.0 in chunks, which HTTP/1.0 does not have."""
    more = rng.choice(("", "Connection: keep-alive\r\n"))
    return Draft(head(lines=f"{more}Transfer-Encoding: chunked\r\n", version="HTTP/1.0") + chunks(chat()), ({400},))


# Bodies


def bad_chunks(rng: random.Random) -> Draft:
    good = chunks(chat(), b"")
    body = rng.choice(
        (
            b"zz\r\nab\r\n",
            b"-1\r\na\r\n",
            b"+1\r\na\r\n",
            b"0x1\r\na\r\n",
            b" 1\r\na\r\n",
            b"1 \r\na\r\n",
            b"1\na\n0\n\n",
            b"1\ra\r\n",
            b"1\r\nab\r\n",
            b"1\r\na\n0\r\n\r\n",
            b"1\r\na0\r\n\r\n",
            b"\r\n",
            b";\r\n",
            b"1\0\r\na\r\n",
            b"fffffffffffffffff\r\n",
            b"8000000000000000000\r\na",
            b"1;\0\r\na\r\n",
            b"1;a\nb\r\nc\r\n",
            b'1;a="\r\nb\r\n',
            b"1;\x7f=\r\na\r\n",
            b"0\r\nX : a\r\n\r\n",
            b"0\r\n: a\r\n\r\n",
            b"0\r\nX: a\nY: b\r\n\r\n",
            b"0\r\nX: a\r\n b\r\n\r\n",
            b"0\n\n",
            b"0\r\n\n",
            b"00\r\r\n\r\n",
            b"\xef\xbb\xbf0\r\n\r\n",
        )
    )
    return Draft(chunked(good + body if rng.random() < 0.6 else body), ({400},))


def floods(rng: random.Random) -> Draft:
    """Return a body that consists of what is not a body."""
    kind = rng.randrange(5)
    # What two reads hold is let pass.
    many = rng.randint(20_000, 120_000) if kind < 2 else rng.randint(600_000, 900_000)
    good = chunks(chat(), b"")
    if kind == 0:
        return Draft(chunked(good + b"0\r\nX: " + b"a" * many + b"\r\n\r\n"), ({400, 431},))
    if kind == 1:
        return Draft(chunked(good + b"0\r\n" + b"X: a\r\n" * (many // 6) + b"\r\n"), ({400, 431},))
    if kind == 2:
        return Draft(chunked(good + b"1;" + b"e" * many + b"\r\na\r\n0\r\n\r\n"), ({400, 431},))
    if kind == 3:
        return Draft(chunked(good + b"0" * many + b"\r\n\r\n"), ({400, 431},))
    return Draft(chunked(good + b"0\r\n" + b"X" * many), ({400, 431},))


def too_large(rng: random.Random) -> Draft:
    size = rng.randint(LIMITS["body"] + 1, LIMITS["body"] + 100_000)
    body = chat(pad="a" * size)
    kind = rng.randrange(5)
    if kind == 0:
        return Draft(sized(body), ({413},))
    if kind == 1:
        return Draft(chunked(chunks(body)), ({413},))
    if kind == 2:
        piece = rng.choice((100, 1000, 20_000))
        cut = b"".join(chunks(body[at : at + piece], b"") for at in range(0, len(body), piece))
        return Draft(chunked(cut + b"0\r\n\r\n"), ({413},))
    if kind == 3:
        length = rng.choice((len(body), 10**9, 2**63 - 1))
        return Draft(head(lines=f"Content-Length: {length}\r\n") + body[:1000], ({413},))
    length = LIMITS["file_body"] + rng.randint(1, 10**9)
    lines = f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n"
    return Draft(head("/v1/audio/transcriptions", lines) + b"--b\r\n" * 100, ({413},))


def expecting(rng: random.Random) -> Draft:
    kind = rng.randrange(4)
    if kind == 0:
        value = rng.choice(("100-continu", "200-ok", "100-continue, 100-continue", "", "100 continue", "\xff"))
        return Draft(sized(chat(), lines=f"Expect: {value}\r\n"), ({400, 417},))
    lines = f"Expect: {rng.choice(('100-continue', '100-Continue'))}\r\nContent-Length: {{}}\r\n"
    if kind == 1:  # not worth continuing
        return Draft(head(lines=lines.format(500), auth=""), ({401},))
    if kind == 2:
        return Draft(head(lines=lines.format(10**8)), ({413},))
    return Draft(head(lines=lines.format(500)), ({408},), waits=True)


def upgrades(rng: random.Random) -> Draft:
    offer = rng.choice(
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
        )
    )
    kind = rng.randrange(4)
    if kind == 0:
        frames = bytes((0x81, 0x85)) + rng.randbytes(20) + b"\r\n\r\n"
        return Draft(head("/nothing", offer, method="GET") + frames, ({404}, {400, 501, GONE, 408}))
    if kind == 1:
        return Draft(sized(b"{}", lines=offer) + b"\x00\x01garbage\r\n\r\n", ({400}, {400, 501, 505}))
    if kind == 2:
        return Draft(chunked(b"zz\r\n", lines=offer), ({400},))
    many = rng.randint(500, 2500)  # each of them offers again
    return Draft(
        head("/x", "Connection: upgrade\r\nUpgrade: a\r\n", method="PUT", auth="") * many + b"X\r\n\r\n",
        ({404},) * many + ({501},),
        whole=True,
    )


# One request in another


def after_refusal(rng: random.Random) -> Draft:
    """Return a sound request that is refused, and more behind it."""
    refused, status = rng.choice(
        (
            (sized(chat(), lines="", auth=""), 401),
            (sized(b"{}", lines=""), 400),
            (chunked(chunks(b"[]"), lines=""), 400),
            (head("/nothing", method="GET"), 404),
            (sized(chat(), lines="", method="PUT"), 405),
        )
    )
    times = rng.randint(1, 4)
    rest = rng.choice((b"\x00\r\n\r\n", b"X\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\xff" * 40))
    return Draft(refused * times + rest, (*({status} for _ in range(times)), {400, 501, 505}))


def after_close(rng: random.Random) -> Draft:
    """Return a refused request that ends its connection, and a sound one behind it, which must not be served."""
    first, status = rng.choice(
        (
            (sized(chat(), auth=""), 401),
            (sized(b"{}"), 400),
            (sized(chat(), lines="", auth="", version="HTTP/1.0"), 401),
            (chunked(chunks(b"{}")), 400),
            (head("/nothing", "Connection: close\r\n", method="GET"), 404),
        )
    )
    return Draft(first + SMUGGLED * rng.randint(1, 3), ({status},))


def smuggled(rng: random.Random) -> Draft:
    """Return the classics: what one parser takes for a body, another takes for the next request."""
    kind = rng.randrange(8)
    inner = SMUGGLED
    if kind == 0:  # CL.TE
        lines = f"Content-Length: {len(inner) + 5}\r\nTransfer-Encoding: chunked\r\n"
        return Draft(head(lines=lines, auth="") + b"0\r\n\r\n" + inner, ({400},))
    if kind == 1:  # TE.CL
        lines = "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"
        return Draft(head(lines=lines, auth="") + chunks(inner), ({400},))
    if kind == 2:  # TE.TE, one of them in disguise
        other = rng.choice(
            ("xchunked", " chunked ", "\tchunked", "x", "chunked-false", "identity", "\x0bchunked", "'chunked'", "")
        )
        name = rng.choice(("Transfer-Encoding", "Transfer-encoding", "transfer-encoding"))
        pair = [f"{name}: {other}\r\n", "Transfer-Encoding: chunked\r\n"]
        rng.shuffle(pair)
        lines = "".join(pair) + rng.choice(("", "Content-Length: 4\r\n"))
        return Draft(head(lines=lines, auth="") + chunks(inner), ({400, 501},))
    if kind == 3:  # a disguise that some parsers see through
        line = rng.choice(
            (
                "Transfer-Encoding : chunked",
                "Transfer_Encoding: chunked\x00",
                "X: X\nTransfer-Encoding: chunked",
                " Transfer-Encoding: chunked",
                "Transfer-Encoding\r\n : chunked",
                "Transfer-Encoding:\n chunked",
                "X: X\rTransfer-Encoding: chunked",
                "Transfer-Encoding: chunked\r\r",
            )
        )
        return Draft(head(lines=f"{line}\r\nContent-Length: 4\r\n", auth="") + chunks(inner), ({400},))
    if kind == 4:  # the extension of a chunk ends at LF for some
        return Draft(chunked(b"2;\nxx\r\n%x\r\n0\r\n\r\n%b" % (len(inner) + 5, inner), auth=""), ({400, 401},))
    if kind == 5:  # a body that reads like a request is a body
        return Draft(sized(inner, lines="", auth=""), ({401}, {GONE}))
    if kind == 6:
        return Draft(chunked(chunks(inner), lines="", auth=""), ({401}, {GONE}))
    # more body than told: what is over is the next request, and is not one
    data = head(lines="Content-Length: 2\r\n") + b"{}" + chat()
    return Draft(data, ({400}, {400, 501}))


def bare_lines(rng: random.Random) -> Draft:
    """Return a sound call with some of its line ends spoiled."""
    data = SMUGGLED
    end = rng.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b" \r\n\t", b"\x0b", b"\0\r\n"))
    top, _, body = data.partition(b"\r\n\r\n")
    lines = top.split(b"\r\n")
    if rng.random() < 0.4:
        return Draft(end.join(lines) + end * 2 + body, ({400, 408, 431},))
    at = rng.randrange(1, len(lines))
    return Draft(b"\r\n".join(lines[:at]) + end + b"\r\n".join(lines[at:]) + b"\r\n\r\n" + body, ({400, 401, 408},))


# Ways out of the provider's origin


def escapes(rng: random.Random) -> Draft:
    path = rng.choice(
        (
            "/mock/../admin",
            "/mock/v1/../../admin",
            "/mock/%2e%2e/admin",
            "/mock/.%2e/admin",
            "/mock/%2E./admin",
            "/mock/v1/..%2fadmin",
            "/mock/v1/..%5cadmin",
            "/mock/v1/%252e%252e/admin",
            "/mock/v1/%25252e%25252e%25252fadmin",
            "/mock/v1/..;/admin",
            "/mock/v1/.;x/models",
            "/mock//evil.example/v1",
            "/mock///evil.example/v1",
            "/mock/v1//models",
            "/mock/\\evil.example",
            "/mock/v1\\..\\admin",
            "/mock/v1/%00",
            "/mock/v1/%0d%0aHost:%20evil",
            "/mock/v1/%0aX:%20y",
            "/mock/v1/%7f",
            "/mock/v1/models#",
            "/mock/v1/models?a#b",
            "/mock/v1/%zz",
            "/mock/v1/%",
            "/mock/v1/%2",
            "/mock/v1/%u002e%u002e/",
            '/mock/v1/"',
            "/mock/v1/<x>",
            "/mock/v1/{a}",
            "/mock/v1/a|b",
            "/mock/v1/a^b",
            "/mock/v1/`id`",
            "/mock/v1/models?a=\\",
            "/mock/v1/models?%zz",
            "/openai/deployments/mock%2f..%2f..%2fadmin%0d%0a/chat/completions",
            "/v1beta/models/mock%2fx%0d%0aX:y:generateContent",
            "/v1beta/models/%ff:generateContent",
            "/model/mock%2f%00/converse",
            "/model/nobody%2f..%2fx/converse",
        )
    )
    status = {400} if path.startswith("/mock/") else {400, 404}
    method = rng.choice(("GET", "POST")) if path.startswith("/mock/") else "POST"
    return Draft(sized(chat(model="gpt-4o-mini"), target=path, method=method), (status,))


def narrow(rng: random.Random) -> Draft:
    """Return what a key for one model and no provider of its own may not do."""
    auth = f"Authorization: Bearer {NARROW}\r\n"
    kind = rng.randrange(4)
    if kind == 0:
        return Draft(sized(chat(), auth=auth), ({403},))
    if kind == 1:
        return Draft(sized(chat(model="gpt-4o-mini"), target="/mock/v1/chat/completions", auth=auth), ({403},))
    if kind == 2:
        path = f"/openai/deployments/{quote(MODEL, safe='')}/chat/completions"
        return Draft(sized(chat(model="mock/small"), target=path, auth=auth), ({403},))
    name = rng.choice(
        ("mock/small\0", "mock/small ", "MOCK/small", "mock/small/../gpt-4o-mini", "mock//small", "*", "mock/*")
    )
    return Draft(sized(chat(model=name), auth=auth), ({400, 403, 404},))


def keys(rng: random.Random) -> Draft:
    wrong = rng.choice(
        (
            "sk-wrong",
            GOOD[:-1],
            GOOD + "x",
            GOOD.upper(),
            GOOD[::-1],
            "",
            "ÿþ",
            "a" * 5000,
            f'"{GOOD}"',
            f"{GOOD},x",
            "null",
            "%s",
            "../master_key",
            "' OR 1=1 --",
            f"{GOOD}\t{GOOD}",
            quote(f"\x00{GOOD}"),
        )
    )
    form = rng.choice(
        (
            "Authorization: Bearer {}",
            "Authorization: bearer {}",
            "Authorization: {}",
            "Authorization: Basic {}",
            "Authorization: AWS4-HMAC-SHA256 Credential={}/20260101/x/y/aws4_request, SignedHeaders=host, Signature=0",
            "x-api-key: {}",
            "api-key: {}",
            "x-goog-api-key: {}",
            "Proxy-Authorization: Bearer {}",
            "Cookie: key={}",
            "X: {}",
        )
    )
    return Draft(sized(chat(), auth=f"{form.format(wrong)}\r\n"), ({401},))


def queried_keys(rng: random.Random) -> Draft:
    query = rng.choice(
        ("key=", "key=sk-wrong", "key=%FF", "key=%", f"Key={GOOD}", f"api_key={GOOD}", f"xkey={GOOD}", "key=a&key=b")
    )
    return Draft(sized(chat(), target=f"/v1/chat/completions?{query}", auth=""), ({401},))


def two_keys(rng: random.Random) -> Draft:
    """Return a request with two keys where one is meant."""
    second = rng.choice((GOOD, "sk-wrong", NARROW, ""))
    pair = [AUTH, f"{rng.choice(('Authorization', 'authorization'))}: Bearer {second}\r\n"]
    rng.shuffle(pair)
    return Draft(sized(chat(), auth="".join(pair)), ({400},))


# What the body says


def bodies(rng: random.Random) -> Draft:
    deep = rng.choice((2000, 9000))
    body: bytes = rng.choice(
        (
            b"",
            b" ",
            b"{",
            b"}",
            b"[]",
            b"null",
            b"1",
            b'"' + MARK.encode() + b'"',
            b"{}",
            b"{]",
            b'{"model"}',
            b'{"model":}',
            b'{"model":null}',
            b'{"model":true}',
            b'{"model":1e999}',
            b'{"model":' + b"9" * 5000 + b"}",
            b'{"model":["mock/gpt-4o-mini"]}',
            b'{"model":{"a":"mock/gpt-4o-mini"}}',
            b'{"model":""}',
            b'{"model":"mock/\xff"}',
            b'{"model":"mock/\xed\xa0\x80"}',
            b'{"model":"mock/\\ud800"}',
            b'{"model":"mock/\\udc00\\ud800"}',
            b'{"model":"mock/\\u0000"}',
            b'{"model":"mock/\\r\\nX-Injected: yes"}',
            b'{"model":"mock/a\nb"}',
            b'{"model":"mock/\\x41"}',
            b'{"model":"' + b"m" * 60_000 + b'"}',
            b'{"model":"mock/' + b"m" * 60_000 + b'"}',
            b'{"model":"mock/gpt-4o-mini","model":7}',
            b'{"model":"mock/gpt-4o-mini","model":null}',
            b'{"model":"mock/gpt-4o-mini","mod\\u0065l":""}',
            b'{"model":"mock/gpt-4o-mini"}{}',
            b'{"model":"mock/gpt-4o-mini"},',
            b'{"model":"mock/gpt-4o-mini",}',
            b"{'model':'mock/gpt-4o-mini'}",
            b'{"model":"mock/gpt-4o-mini"',
            b'{"model":"mock/gpt-4o-mini"}\0',
            b'\xff\xfe{\0"\0',
            b'{"model":"mock/gpt-4o-mini","stream":"yes"}',
            b'{"model":"mock/gpt-4o-mini","stream":1}',
            b'{"model":"mock/gpt-4o-mini","stream":true,"stream_options":7}',
            b'{"model":"mock/gpt-4o-mini","stream":true,"stream_options":[[[[]]]]}',
            b'{"model":"mock/gpt-4o-mini","a":' + b"[" * deep + b"]" * deep + b"}",
            b'{"model":"mock/gpt-4o-mini","a":' + b'{"a":' * deep + b"1" + b"}" * deep + b"}",
            b"[" * 30_000,
            b'{"a":' * 10_000,
            b'{"model":"nobody/x"}',
            b'{"model":"gpt-4o-mini/mock"}',
            b'{"model":"/"}',
            b'{"model":"mock/"}',
            b'{"model":"/gpt-4o-mini"}',
            b'{"model":" mock/gpt-4o-mini"}',
            b"{" + b",".join(b'"k%d":%d' % (number, number) for number in range(4000)) + b"}",
            b'{"messages":"' + rng.randbytes(2000) + b'"}',
        )
    )
    expected = {400} if body.startswith(b'{"model":"mock/gpt-4o-mini","a":') else {400, 404}
    return Draft(chunked(chunks(body) if body else b"0\r\n\r\n") if rng.random() < 0.3 else sized(body), (expected,))


def many_keys(rng: random.Random) -> Draft:
    """Return an object of as many members as a body may hold."""
    names = range(rng.randint(5000, 6500))
    return Draft(sized(b"{" + b",".join(b'"%x":0' % number for number in names) + b"}"), ({400},))


def coded(rng: random.Random) -> Draft:
    coding = rng.choice(("gzip", "br", "deflate", "zstd", "x", "gzip, gzip", "identity, gzip"))
    return Draft(sized(chat(), lines=f"Connection: close\r\nContent-Encoding: {coding}\r\n"), ({415},))


def forms(rng: random.Random) -> Draft:
    name = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    model = name % (b"model", MODEL.encode())
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nhostile\r\n'
    body, kind = rng.choice(
        (
            (file + model, "multipart/form-data; boundary=b"),
            (file + model + b"--b-", "multipart/form-data; boundary=b"),
            (file + b"--b--", "multipart/form-data; boundary=b"),
            (model + model + b"--b--", "multipart/form-data; boundary=b"),
            (model + b"--b--", "multipart/form-data; boundary=c"),
            (model + b"--b--", "multipart/form-data"),
            (model + b"--b--", "multipart/form-data; boundary="),
            (model + b"--b--", f"multipart/form-data; boundary={'b' * 300}"),
            (model + b"--b--", "multipart/form-data; boundary=\xff"),
            (name % (b"model", b"mock/\xff") + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b"model", b"") + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b"model", b"m" * 70_000) + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b"model", b"mock/\r\nX-Injected: yes") + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b'model"; name="x', b"mock/y") + b"--b", "multipart/form-data; boundary=b"),
            (b"--b\r\nX: " + b"a" * 20_000 + b"\r\n\r\n\r\n" + model + b"--b--", "multipart/form-data; boundary=b"),
            (b"--b\r\n" * 2000 + b"--b--", "multipart/form-data; boundary=b"),
            (file * 400 + model + b"--b--", "multipart/form-data; boundary=b"),
            (
                b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + model + b"--c--\r\n",
                "multipart/form-data; boundary=b",
            ),
            (b"--b" * 30_000, "multipart/form-data; boundary=b"),
            (b"\r\n--b" * 20_000, "multipart/form-data; boundary=b"),
            (b"", "multipart/form-data; boundary=b"),
            (rng.randbytes(3000), "multipart/form-data; boundary=b"),
        )
    )
    path = rng.choice(("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits"))
    data = head(path, f"Connection: close\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n") + body
    return Draft(data, ({400, 404},))


def two_kinds(rng: random.Random) -> Draft:
    """Return a body that says twice what it is: gateway and provider might each believe the other."""
    pair = ["Content-Type: application/json\r\n", "Content-Type: multipart/form-data; boundary=b\r\n"]
    rng.shuffle(pair)
    body = chat()
    path = "/v1/audio/transcriptions"
    return Draft(head(path, f"{pair[0]}{pair[1]}Content-Length: {len(body)}\r\n") + body, ({400},))


# Callers who do not play along


def deaf(rng: random.Random) -> Draft:
    """Return many requests whose long replies nobody reads."""
    return Draft(head("/v1/models", method="GET") * rng.randint(100, 900), (), deaf=True, whole=True)


MAKERS: tuple[tuple[float, Maker], ...] = (
    *((1.0, maker) for maker in (noise, other_protocols, flipped, cut_short, silence, dripped)),
    *((1.0, maker) for maker in (versions, methods, targets)),
    *((1.0, maker) for maker in (hosts, syntax, too_many, lengths, twice_sized, codings, old_codings)),
    *((1.0, maker) for maker in (bad_chunks, floods, too_large, expecting)),
    *((1.0, maker) for maker in (after_refusal, after_close, smuggled, bare_lines, escapes, narrow)),
    *((1.0, maker) for maker in (keys, queried_keys, two_keys)),
    *((2.0, maker) for maker in (bodies, forms)),
    *((0.5, maker) for maker in (many_keys, coded, two_kinds, upgrades)),
    (0.1, deaf),
)


def cases(seed: int, count: int, start: int = 0) -> Iterator[Case]:
    """Generate cases; one of them depends on nothing but the seed and its number."""
    weights = [weight for weight, _ in MAKERS]
    for number in range(start, start + count):
        rng = random.Random(f"{seed}/{number}")
        _, maker = rng.choices(MAKERS, weights)[0]
        yield case(maker, rng, number)


def case(maker: Maker, rng: random.Random, number: int) -> Case:
    """Generate one case, and cut what it sends into pieces."""
    draft = maker(rng)
    data = draft.data
    steps: list[Step] = []
    if draft.pace:
        steady = data[:-30]
        steps = [Send(steady), Send(data[len(steady) :], 1, draft.pace)]
    elif draft.whole or rng.random() < 0.4:
        steps = [Send(data)]
    elif len(data) < 600:
        steps = [Send(data, rng.choice((1, 7)))]
    else:
        steps = [Send(data, rng.choice((100, 1000, 7777)) if len(data) < 50_000 else 20_001)]
    if draft.end != "stay":
        steps.append(draft.end)
    replies = tuple(frozenset(statuses) for statuses in draft.replies)
    return Case(
        maker.__name__, number, tuple(steps), replies, len(steps) == 1 and not steps[0].size, draft.deaf, draft.waits
    )
