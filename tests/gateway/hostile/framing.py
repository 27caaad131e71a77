"""Bodies that do not end where they say, and requests hidden in others."""

import random

from gateway.hostile.draft import GONE, LIMITS, SMUGGLED, Draft, chat, chunked, chunks, head, sized

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
