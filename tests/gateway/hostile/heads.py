"""What is not HTTP, and request lines and headers that are wrong."""

import random

from gateway.hostile.draft import GONE, REFUSED, SMUGGLED, Draft, chat, chunked, chunks, head, sized

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
