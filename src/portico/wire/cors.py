"""What a browser is told so that pages of another origin may call (fetch.spec.whatwg.org, «CORS protocol»).

Callers are known by the key that a page sends itself, never by a cookie: no credentials are allowed.
"""

from typing import Final

from portico.wire.exchange import Exchange

AGE: Final = b"86400"
"""Seconds for which a browser need not ask again; it asks sooner by bounds of its own."""
METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"


def lines(origin: str | None) -> bytes:
    """Return the header lines that every reply has: of one origin, of `*` for any, none for None."""
    if origin is None:
        return b""
    varies = b"" if origin == "*" else b"vary: origin\r\n"
    return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: *\r\n%b" % (origin.encode(), varies)


def preflight(exchange: Exchange) -> bool:
    """Answer a browser that asks whether a page may call; False for a request that does not ask that.

    It has no key, and is let through for nothing: whether the origin is allowed stands in the lines of every reply.
    """
    fields = exchange.fields
    if exchange.method != "OPTIONS" or b"origin" not in fields or b"access-control-request-method" not in fields:
        return False
    asked = fields.get(b"access-control-request-headers", b"")
    headers = [(b"access-control-allow-methods", METHODS), (b"access-control-max-age", AGE)]
    if asked:
        headers.append((b"access-control-allow-headers", asked))
    exchange.reply(204, headers, b"")
    return True
