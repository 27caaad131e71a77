"""The first attempt of a call, begun at once: where nothing is in its way, as with most calls, it is the only one.

What has to be waited for, chosen, or done with care is left to `attempt_all`, which also goes on from here.
"""

from portico.call import Call
from portico.errors import PorticoError
from portico.record import AttemptRecord
from portico.upstream.arrival import Arrival
from portico.upstream.health import SMALL, size_of
from portico.upstream.opening import ANY_BODY
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target
from portico.wire.connection import JOINED


def at_once(target: Target, outgoing: Outgoing, call: Call, policy: Policy) -> Arrival | None:
    """Send a call's request to its first target; None where that cannot be done at once, and nothing is begun.

    It can where the target and its key are known to be well, it has one key that needs no preparation and takes as
    many calls as come, a connection is kept, the body is in memory, and the call has time. The record of
    the attempt is the call's last.
    """
    health, upstream, deadlines = target.health, target.upstream, target.deadlines
    keyring = upstream.keyring
    credential = keyring.only
    shared = upstream.healths.shared
    if (
        credential is None
        or upstream.gating is not None
        or health.until
        or keyring.wakes
        or policy.deadline < deadlines.total
        or (shared is not None and shared.changed)
    ):
        return None
    auth = credential.auth
    if not auth.static:
        return None
    try:
        way = outgoing.way_to(target, credential)
        body = outgoing.body_for(target, auth, way)
    except PorticoError:
        return None  # another target may have words for it
    if not isinstance(body, bytes):
        return None
    size = len(body)
    head = outgoing.head_for(way, auth, body, size, target in outgoing.translations)
    line = way.line
    connection = line.pool.take()
    if connection is None:
        return None
    arrival = Arrival(line.pool.loop, outgoing.stream, outgoing.limit)
    if outgoing.stream:
        arrival.judged = outgoing.passed is None and outgoing.operation.name not in ANY_BODY
    arrival.reused = arrival.asked = True
    arrival.connection = connection
    arrival.health = health
    health.in_flight += 1
    length = len(outgoing.body)
    if length >= SMALL:
        arrival.question = size_of(length)
    began = (arrival.sent_ns - call.began_ns) // 1000
    call.attempts.append(AttemptRecord(call.target or target.name, credential.id, None, None, began))
    policy.budget.calls += 1
    bodiless = outgoing.passed is not None and line.method == "HEAD"
    if size < JOINED:
        connection.send(head + body, (), arrival, deadlines, method_is_head=bodiless)
    else:
        connection.send(head, (body,), arrival, deadlines, method_is_head=bodiless)
    return arrival
