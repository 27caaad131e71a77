"""What goes out for an attempt: its request, with whatever that takes, and within the time that its call has."""

import asyncio
import time
from time import perf_counter_ns

from portico.errors import UpstreamTimeout
from portico.providers.auth.scheme import Fetch
from portico.upstream.arrival import Arrival
from portico.upstream.keyring import Credential
from portico.upstream.outgoing import Outgoing, Way
from portico.upstream.target import Target
from portico.wire.upload import send_streaming


async def within(
    left: float,
    arrival: Arrival,
    way: Way,
    credential: Credential,
    target: Target,
    outgoing: Outgoing,
    fetch: Fetch,
) -> None:
    """Send, and wait for the reply, as long as the call has time. Raises UpstreamTimeout where that is up."""
    limit = asyncio.timeout(left)
    try:
        async with limit:
            await send(arrival, way, credential, target, outgoing, fetch)
            await arrival.here
    except TimeoutError:
        if not limit.expired():
            raise
        raise UpstreamTimeout(
            f"{target.name} had {left:.3g} s left of the time that a call may take", phase="call"
        ) from None
    finally:
        del limit  # it knows the task, which keeps what it was cancelled with, and that this frame


async def send(
    arrival: Arrival, way: Way, credential: Credential, target: Target, outgoing: Outgoing, fetch: Fetch
) -> None:
    """Send the request, with whatever that takes: a token, a connection, the body from its file."""
    auth = credential.auth
    if not auth.static and not auth.ready(time.time()):
        await auth.prepare(fetch, time.time())
    body = outgoing.body_for(target, auth, way)
    size, pieces = (len(body), None) if isinstance(body, bytes) else body()
    head = outgoing.head_for(way, auth, body, size, target in outgoing.translations)
    connection = way.line.pool.take()
    if connection is None:
        connection = await way.line.pool.acquire(asyncio.get_running_loop().time() + target.deadlines.connect)
    else:
        arrival.reused = True
    arrival.connection = connection
    arrival.asked = True
    arrival.sent_ns = perf_counter_ns()
    if pieces is None:
        assert isinstance(body, bytes)
        parts = (body,) if body else ()
        connection.send(head, parts, arrival, target.deadlines, method_is_head=way.line.method == "HEAD")
    else:
        await send_streaming(connection, head, pieces, arrival, target.deadlines, chunked=False)
