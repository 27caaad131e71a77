"""Replay calls through a whole gateway in one process and loop: caller, server, gateway, client, upstream."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
from tests.replay.caller import Caller, Got
from tests.replay.calls import Call
from tests.replay.expected import GATEWAY_KEY, Sent, Way, send
from tests.replay.origin import MARK, Asked, Framing, Origin, Play

from portico.config.schema import Config, Key, Model, Target
from portico.dialects.objects import FAMILIES, heard
from portico.dialects.operations import route
from portico.dialects.references import Reference, references
from portico.dialects.registry import DIALECTS
from portico.gateway import Gateway
from portico.providers.catalog import CATALOG
from portico.record import Record
from portico.rules import Holder
from portico.stages.own import remember
from portico.wire.server import Server
from portico.worker import loop_factory

LANES = 6
"""Calls under way at once."""
OF_A_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding")


HOLDER = Holder("replayed", "replayed")


def named_in(sent: Sent) -> list[Reference]:
    """Return what a recorded request names of what was kept at its provider."""
    call = sent.call
    found = route(sent.method, sent.path, {call.place.name})
    assert found is not None
    named: list[Reference] = []
    if found.found is not None:
        # Whose dialect it is: the path alone leaves that open.
        heards = [heard(found.found, dialect) for dialect in DIALECTS]
        thing = next((one for one in heards if one.thing.family in CATALOG[call.place.row].objects), None)
        if thing is None:
            return []
        named = [(thing.thing.family, name) for name in found.found.ids[:1]]
        named += [(family, (call.table or {}).get(member)) for member, family in thing.thing.refers.items()]
    if call.table is not None:
        members = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in call.table.items()}
        named += references(found.operation, members, msgspec.json.encode(call.table))
    return [(family, name) for family, name in named if name]


class Plan(NamedTuple):
    """How a call is replayed."""

    call: Call
    naming: str
    way: Way
    sizes: Sequence[int]
    framing: Framing


class Outcome(NamedTuple):
    """What came of it; `record` is None where none was written."""

    plan: Plan
    sent: Sent
    asked: list[Asked]
    got: Got
    record: Record | None
    host: str


def alias(call: Call) -> str:
    """Return the name of one's own that stands for a call's model."""
    return f"our models/{call.place.name}:{call.model} é"


def config(calls: Iterable[Call], origin: str) -> Config:
    """Return a configuration with every place of these calls, and an alias for every model."""
    places = {call.place for call in calls}
    assert len({place.name for place in places}) == len(places)
    return Config(
        providers={place.name: place.declared(origin) for place in places},
        models={alias(call): Model(targets=(Target(model=f"{call.place.name}/{call.model}"),)) for call in calls},
        keys={"replayed": Key(key=GATEWAY_KEY, passthrough=("*",))},
    )


def replay(plans: Sequence[Plan], look: Callable[[Outcome], None]) -> None:
    """Replay calls and have a look at what came of each."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        for outcome in runner.run(_replay(plans)):
            look(outcome)


class Running:
    """A gateway that serves on `port`; once it has stopped, `records` has those of its calls by id."""

    def __init__(self, port: int, gateway: Gateway) -> None:
        self.port = port
        self.gateway = gateway
        self.records: dict[str, Record] = {}


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Running]:
    """Run a gateway behind its server in this loop."""
    with tempfile.TemporaryFile() as written:
        gateway = Gateway(config, relay=None, records=written.fileno())
        await gateway.start()
        server = Server(gateway.handle, config.server.limits, config.server.timeouts, begin=gateway.begin)
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock)
        served = Running(sock.getsockname()[1], gateway)
        try:
            yield served
        finally:
            await server.close()
            await gateway.close()
        assert gateway.records.dropped == 0
        os.lseek(written.fileno(), 0, os.SEEK_SET)
        decode = msgspec.json.Decoder(Record).decode
        served.records = {record.id: record for record in map(decode, written.read().splitlines())}


async def _replay(plans: Sequence[Plan]) -> list[Outcome]:
    origin = Origin()
    await origin.start()
    done: list[tuple[Plan, Sent, list[Asked], Got]] = []
    async with running(config([plan.call for plan in plans], origin.url)) as gateway:
        waiting = iter(enumerate(plans))
        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(_lane(waiting, gateway, origin, done))
    origin.close()
    host = origin.url.removeprefix("http://")
    return [
        Outcome(plan, sent, asked, got, gateway.records.pop(got.header("x-request-id") or "", None), host)
        for plan, sent, asked, got in done
    ]


async def _lane(
    waiting: "Iterable[tuple[int, Plan]]",
    gateway: Running,
    origin: Origin,
    done: list[tuple[Plan, Sent, list[Asked], Got]],
) -> None:
    caller = Caller(gateway.port)
    with contextlib.closing(caller):
        for number, plan in waiting:
            call = plan.call
            name = alias(call) if plan.naming == "alias" else f"{call.place.name}/{call.model}"
            sent = send(call, name, plan.way)
            for family, named in named_in(sent):
                # What it names was made before the recording began.
                kind, place = FAMILIES[family].kind, call.place.name
                await remember(gateway.gateway.state, HOLDER, kind, named, place, f"{place}#1")
            mark = f"replay-{number}"
            headers = [header for header in call.reply.headers if header[0] not in OF_A_CONNECTION]
            play = Play(call.reply.status, headers, call.reply.body, plan.sizes, plan.framing, [])
            origin.plays[mark.encode()] = play
            head, body = sent.head(mark)
            got = await caller.call(head, body)
            del origin.plays[mark.encode()]
            done.append((plan, sent, play.asked, got))


assert MARK == b"x-session-id"
