"""Calls that need no task of their own, over both states; and what becomes of them when their caller leaves."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.certificates import certificate
from gateway.raw_upstream import Caught, reply, upstream
from gateway.test_hang_ups import nothing_left, until
from gateway_in_loop import MASTER, Running, chat, provider, running
from portico.config.load import load_plain
from portico.config.schema.server import Tls
from portico.gateway import Gateway
from portico.state.contract import State
from portico.state.memory import MemoryState
from portico.state.on_lmdb import LmdbState
from portico.testing.mock import MockProvider
from portico.upstream.arrival import Arrival
from portico.wire.certificate import tls_context
from portico.wire.server import Server

KEY = "sk-of-the-key-0123456"
BY_RULES = {"limits": [{"requests": 3, "per": "hour"}], "budgets": [{"usd": 1}]}
MESSAGES = {"model": "openai/gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
WORDS = {"model": "openai/text-embedding-3-small", "input": "hello"}
NAMED = ("/v1/chat/completions", chat())


def books(folder: Path) -> LmdbState:
    """Return an empty state of a machine."""
    state = LmdbState(folder / "state", "0123456789abcdef", size=1 << 22)
    state.ledger.mark_rebuilt()
    return state


@pytest.fixture(params=["memory", "lmdb"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    """A state of either kind, empty."""
    if request.param == "memory":
        yield MemoryState()
        return
    state = books(tmp_path)
    yield state
    state.close()


@asynccontextmanager
async def gateway(state: State, folder: Path, openai: dict[str, Any], **more: Any) -> AsyncIterator[Running]:
    """Run a gateway on a state, with a key under rules and the master's, which is under none."""
    plain = {
        "server": {"master_key": MASTER},
        "providers": {"openai": openai},
        "keys": {"k": {"key": KEY, **BY_RULES}},
        **more,
    }
    async with running(load_plain(plain, {}).config, folder / "records.jsonl", state=state) as started:
        yield started


class Caller:
    """One connection, kept."""

    def __init__(self, running: Running) -> None:
        self.sock = socket.create_connection(("127.0.0.1", running.port))
        self.sock.setblocking(False)

    def ask(self, path: str, body: dict[str, Any], key: str = MASTER) -> None:
        data = json.dumps(body).encode()
        lines = f"host: g\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        self.sock.send(f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(data)}\r\n\r\n".encode() + data)

    async def status(self) -> int:
        """Read one reply, to the end."""
        loop = asyncio.get_running_loop()
        data = b""
        async with asyncio.timeout(20):
            while b"\r\n\r\n" not in data:
                data += await loop.sock_recv(self.sock, 65536)
            head, _, body = data.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
            while (
                not body.endswith(b"0\r\n\r\n")
                if "content-length" not in fields
                else (len(body) < int(fields["content-length"]))
            ):
                body += await loop.sock_recv(self.sock, 65536)
        return int(head.split()[1])


@pytest.mark.parametrize("key", [MASTER, KEY], ids=["under no rule", "under rules"])
@pytest.mark.parametrize(
    ("path", "body"),
    [NAMED, ("/v1/messages", MESSAGES), ("/v1/embeddings", WORDS)],
    ids=["chat", "another dialect", "embeddings"],
)
async def test_a_call_that_nothing_is_in_the_way_of_needs_no_task(
    state: State, tmp_path: Path, mock: MockProvider, path: str, body: dict[str, Any], key: str
) -> None:
    async with gateway(state, tmp_path, provider(mock)) as running:
        first, second = Caller(running), Caller(running)
        first.ask(path, body)  # it leaves a connection to the provider
        assert await first.status() == 200
        for _ in range(3):
            second.ask(path, body, key)
            assert await second.status() == 200
        (connection,) = [each for each in running.server.connections if each.task is None]
        assert connection.idle
        records = running.records()
    assert [record["status"] for record in records] == [200] * 4
    assert not any("end" in record for record in records)


FALLBACK = {"fallbacks": {"outage": ["openai/gpt-4o"]}}
HEDGE = {"hedge": {"after": "10s"}}
SHADOW = {"shadow": {"to": "openai/gpt-4o", "share": 1}}


@pytest.mark.parametrize(
    ("more", "alone"), [(FALLBACK, True), (HEDGE, False), (SHADOW, False)], ids=["fallbacks", "a hedge", "a copy"]
)
async def test_a_call_needs_a_task_where_others_may_be_asked_beside_its_target_and_not_for_fallbacks_it_has(
    tmp_path: Path, mock: MockProvider, more: dict[str, Any], alone: bool
) -> None:
    models = {
        "with": {"targets": ["openai/gpt-4o-mini", "openai/gpt-4o"], **more},
        "without": {"targets": ["openai/gpt-4o-mini"]},
    }
    async with gateway(MemoryState(), tmp_path, provider(mock), models=models) as running:
        first = Caller(running)
        first.ask(*NAMED)  # it leaves a connection to the provider
        assert await first.status() == 200
        for model, none in (("without", True), ("with", alone)):
            caller = Caller(running)
            caller.ask("/v1/chat/completions", chat(model=model))
            assert await caller.status() == 200
            assert len([each for each in running.server.connections if each.task is None]) == int(none)
            caller.sock.close()


async def test_a_call_that_needs_no_task_until_it_fails_is_served_by_its_fallback(
    tmp_path: Path, mock: MockProvider
) -> None:
    models = {"with": {"targets": ["openai/gpt-4o-mini"], **FALLBACK}}
    retries = {"attempts": 1}
    async with gateway(MemoryState(), tmp_path, provider(mock), models=models, retries=retries) as running:
        caller = Caller(running)
        caller.ask("/v1/chat/completions", chat(model="with"))
        assert await caller.status() == 200
        mock.script.next({"status": 500})
        caller.ask("/v1/chat/completions", chat(model="with"))
        assert await caller.status() == 200
        records = running.records()
    assert [attempt["target"] for attempt in records[1]["attempts"]] == ["openai/gpt-4o-mini", "openai/gpt-4o"]


async def test_a_call_that_rules_refuse_is_told_and_the_next_one_on_its_connection_is_served(
    state: State, tmp_path: Path, mock: MockProvider
) -> None:
    async with gateway(state, tmp_path, provider(mock)) as running:
        caller = Caller(running)
        statuses = []
        for key in (KEY, KEY, KEY, KEY, MASTER, KEY, "sk-nobodys", MASTER):
            caller.ask(*NAMED, key)
            statuses.append(await caller.status())
        records = running.records()
    assert statuses == [200, 200, 200, 429, 200, 429, 401, 200]
    assert [record["status"] for record in records] == statuses


async def test_a_call_turns_to_what_takes_waiting_and_back(state: State, tmp_path: Path, mock: MockProvider) -> None:
    """A stream, a failure that is tried again, and a request that is refused, between calls that are none of it."""
    async with gateway(state, tmp_path, provider(mock), retries={"attempts": 2}) as running:
        caller = Caller(running)
        statuses = []
        for more, said in (
            ({}, None),
            ({"stream": True}, None),
            ({}, None),
            ({}, {"status": 503}),
            ({}, None),
            ({"messages": 1}, None),
            ({}, None),
        ):
            if said is not None:
                mock.script.next(said)
            caller.ask("/v1/chat/completions", chat(**more))
            statuses.append(await caller.status())
        records = running.records()
    assert statuses == [200, 200, 200, 200, 200, 400, 200]
    assert [len(record["attempts"]) for record in records] == [1, 1, 1, 2, 1, 1, 1]


async def silent(caught: Caught, writer: asyncio.StreamWriter) -> None:
    """Answer the first request, and no other."""
    if caught.body.find(b"again") < 0:
        writer.write(reply(200, b'{"choices":[]}', "content-type: application/json"))
    else:
        await asyncio.Event().wait()


@pytest.mark.parametrize("key", [MASTER, KEY], ids=["under no rule", "under rules"])
async def test_a_caller_who_leaves_while_the_provider_works_leaves_one_record_and_nothing_reserved(
    state: State, tmp_path: Path, key: str
) -> None:
    async with upstream(silent) as raw, gateway(state, tmp_path, raw.provider()) as running:
        caller = Caller(running)
        caller.ask(*NAMED, key)
        assert await caller.status() == 200
        caller.ask("/v1/chat/completions", chat(user="again", max_tokens=10), key)
        await until(lambda: len(raw.caught) == 2)
        caller.sock.close()
        await nothing_left(running)
        last = running.records()[-1]
        assert reserved(state) == 0
    assert (last["status"], last["error"], last["end"]) == (499, "caller_gone", "cut")
    assert [attempt["error"] for attempt in last["attempts"]] == ["caller_gone"]
    assert bool(last["attempts"][0]["assumed_nano_usd"]) == (key == KEY), "what was reserved for it may be billed"


async def test_a_caller_who_leaves_while_its_call_is_booked_has_nothing_reserved(
    tmp_path: Path, mock: MockProvider
) -> None:
    state = books(tmp_path)
    async with gateway(state, tmp_path, provider(mock)) as running:
        caller = Caller(running)
        state._due = True  # as if it were about to be written
        caller.ask(*NAMED, KEY)
        await until(lambda: state._admitting)
        caller.sock.close()
        await until(lambda: not running.server.connections)
        state._flush()
        await nothing_left(running)
        assert state.ledger.permits() == 0
        (record,) = running.records()
        assert reserved(state) == 0
    state.close()
    assert (record["status"], record["error"], record["attempts"]) == (499, "caller_gone", [])
    assert len(mock.ledger) == 0


async def test_a_call_that_cannot_be_booked_is_refused(tmp_path: Path, mock: MockProvider) -> None:
    state = books(tmp_path)
    async with gateway(state, tmp_path, provider(mock)) as running:
        caller = Caller(running)
        statuses = []
        for tight in (False, True, False):
            state.ledger.tight = tight
            caller.ask(*NAMED, KEY)
            statuses.append(await caller.status())
        records = running.records()
    state.close()
    assert statuses == [200, 503, 200]
    assert [record.get("end") for record in records] == [None, "refused", None]
    assert len(mock.ledger) == 2


def reserved(state: State) -> int:
    """Return what is reserved in all rows of a state."""
    from portico.state.clock import moment

    if isinstance(state, LmdbState):
        state.flush()
        with state.ledger._env.begin(state.ledger._file.index) as tx:
            rows = [key.decode() for key in tx.cursor().iternext(values=False)]
    else:
        assert isinstance(state, MemoryState)
        rows = [row.decode() for row in state._rows]
    return sum(counter.reserved for counter in state.counters(rows, moment()))


FIRST = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'


async def keeps(caught: Caught, writer: asyncio.StreamWriter) -> None:
    """Answer with a response that is kept."""
    told = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-4o-mini", "output": []}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    writer.write(reply(200, json.dumps({**told, "usage": usage}).encode(), "content-type: application/json"))


async def test_a_reply_that_is_kept_at_its_provider_is_served(state: State, tmp_path: Path) -> None:
    async with upstream(keeps) as raw, gateway(state, tmp_path, raw.provider()) as running:
        caller = Caller(running)
        for _ in range(3):
            caller.ask("/v1/responses", {"model": "openai/gpt-4o-mini", "input": "hi"}, KEY)
            assert await caller.status() == 200
        records = running.records()
        assert reserved(state) == 0
    assert [record.get("end") for record in records] == [None] * 3


@pytest.mark.source
async def test_a_stream_that_breaks_as_it_is_handed_over_is_a_stream_that_was_cut(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming: list[asyncio.StreamWriter] = []

    async def breaks(caught: Caught, writer: asyncio.StreamWriter) -> None:
        if caught.body.find(b"stream") < 0:
            writer.write(reply(200, b'{"choices":[]}', "content-type: application/json"))
            return
        streaming.append(writer)
        kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"%x\r\n%b\r\n" % (len(FIRST), FIRST))
        await asyncio.Event().wait()

    woken = Arrival._wake

    def wake(arrival: Arrival) -> None:
        woken(arrival)
        while streaming:
            streaming.pop().write(b"this is no chunk\r\n")  # it is there when the loop looks at its sockets next

    async with upstream(breaks) as raw, gateway(state, tmp_path, raw.provider()) as running:
        monkeypatch.setattr(Arrival, "_wake", wake)
        caller = Caller(running)
        caller.ask(*NAMED, KEY)
        assert await caller.status() == 200
        caller.ask("/v1/chat/completions", chat(stream=True), KEY)
        await until(lambda: len(running.records()) == 2)
        last = running.records()[-1]
        assert reserved(state) == 0
    assert (last["status"], last["end"], last["basis"]) == (200, "cut", "counted")
    assert last["cost_nano_usd"] > 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "over TLS"])
@pytest.mark.parametrize("key", [MASTER, KEY], ids=["under no rule", "under rules"])
async def test_a_gateway_that_stops_records_the_calls_that_have_no_task(tmp_path: Path, key: str, tls: bool) -> None:
    state = books(tmp_path)
    written = tmp_path / "records.jsonl"
    made = certificate(tmp_path)
    ours = tls_context(Tls(cert=str(made[0]), key=str(made[1]))) if tls else None
    theirs = ssl.create_default_context(cafile=str(made[0])) if tls else None
    data = json.dumps(chat(user="again", max_tokens=10)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {key}\r\n"

    async with upstream(silent) as raw:
        config = load_plain(
            {
                "server": {"master_key": MASTER},
                "providers": {"openai": raw.provider()},
                "keys": {"k": {"key": KEY, **BY_RULES}},
            },
            {},
        )
        with written.open("wb") as lines:
            stopped = Gateway(config.config, relay=None, records=lines.fileno(), state=state)
            await stopped.start()
            limits, timeouts = config.config.server.limits, config.config.server.timeouts
            server = Server(stopped.handle, limits, timeouts, begin=stopped.begin)
            sock = socket.create_server(("127.0.0.1", 0))
            await server.listen(sock, ours)
            where = {"host": "127.0.0.1", "port": sock.getsockname()[1], "ssl": theirs}
            for body, count in ((json.dumps(chat()).encode(), 1), (data, 2)):
                reader, writer = await asyncio.open_connection(**where)
                writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                await until(lambda count=count: len(raw.caught) == count)
                if count == 1:
                    await reader.readuntil(b"choices")
                    writer.transport.abort()
                    await until(lambda: not server.connections)
            assert [each.task for each in server.connections] == [None]
            await server.close()
            assert not server.connections
            await stopped.close()
            writer.transport.abort()
            await asyncio.sleep(0.01)
        assert state.ledger.permits() == 0
        records = [json.loads(line) for line in written.read_text().splitlines()]
    state.close()
    assert [record["status"] for record in records] == [200, 499]
