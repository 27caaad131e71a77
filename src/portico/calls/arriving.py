"""The body of a request, which is waited for where it did not come with the head."""

import mmap

from portico.call import Call
from portico.snapshot import Snapshot
from portico.wire.exchange import Exchange


async def arrived(exchange: Exchange, call: Call, snapshot: Snapshot) -> bytes | mmap.mmap:
    """Wait for the body. What is only passed on, a form or what no dialect knows, stays in its spool file."""
    opaque = call.operation.name == "passthrough"
    form = exchange.fields.get(b"content-type", b"")[:10].lower() == b"multipart/"
    large = call.operation.upload or opaque
    limit = snapshot.limits.file_body if large else snapshot.limits.body
    await exchange.body.arrived(limit)
    if large and exchange.body.spooled and (opaque or form):
        return exchange.body.mapped()
    return exchange.body.whole()
