"""The ledger: bounds, prices, the record file, and an account that adds up over many calls of all kinds."""

import asyncio
import json
from pathlib import Path

import pytest

from portico.config.schema import Price
from portico.testing import Entry, Ledger, MockProvider, tokens
from portico.testing.ledger import cost
from portico.types import Usage


def entry(body: bytes = b"") -> Entry:
    return Entry(id=0, begun=0.0, method="POST", path="/", body=body)


def test_the_oldest_calls_make_room_and_the_totals_stay():
    ledger = Ledger(keep=3)
    for _ in range(5):
        ledger.close(ledger.enter(entry()), "served", 1.0)
    assert [kept.id for kept in ledger.entries] == [3, 4, 5]
    assert (ledger.totals.calls, ledger.totals.served) == (5, 5)


def test_bodies_are_bounded_one_by_one_and_together():
    ledger = Ledger(keep_bytes=100, body_limit=40)
    for _ in range(5):
        ledger.close(ledger.enter(entry(b"x" * 1000)), "served", 1.0)
    assert [(len(kept.body), kept.body_bytes) for kept in ledger.entries] == [(40, 1000)] * 2


def test_a_call_is_closed_once():
    ledger = Ledger()
    call = ledger.enter(entry())
    ledger.close(call, "cut", 1.0)
    ledger.close(call, "served", 2.0)
    assert (call.outcome, call.ended, ledger.totals.cut, ledger.totals.served, ledger.open) == ("cut", 1.0, 1, 0, 0)


def test_a_reset_keeps_what_is_open():
    ledger = Ledger()
    open_call = ledger.enter(entry())
    ledger.close(ledger.enter(entry()), "served", 1.0)
    ledger.reset()
    assert ledger.entries == [open_call]
    ledger.close(open_call, "served", 1.0)
    assert (ledger.totals.calls, ledger.totals.served, ledger.open) == (1, 1, 0)


def test_costs_are_exact_and_rounded_once():
    price = Price(input=0.15, output=0.6, cache_read=0.075)
    assert cost(price, Usage(input=1000, output=500)) == 450_000
    assert cost(price, Usage(cache_read=1)) == 75
    assert cost(Price(input=0.0005, output=0), Usage(input=1)) == 1  # half a nano-dollar, up
    assert cost(Price(input=0.0004, output=0), Usage(input=1)) == 0
    assert cost(price, Usage(output=1, reasoning=1)) == 1200


def test_a_repr_shows_no_key_and_no_body():
    call = Entry(id=1, begun=0, method="POST", path="/", key="sk-secret", body=b"private", model="m")
    assert "secret" not in repr(call)
    assert "private" not in repr(call)


async def test_idle_waits_for_the_last_open_call():
    ledger = Ledger()
    await ledger.idle()
    first, second = ledger.enter(entry()), ledger.enter(entry())
    waiting = asyncio.ensure_future(ledger.idle())
    ledger.close(first, "served", 1.0)
    await asyncio.sleep(0)
    assert not waiting.done()
    ledger.close(second, "served", 1.0)
    await waiting


KINDS = ["", "fault=cut-mid-stream&at=5", "fault=cut-mid-chunk&at=9", "status=503", "fault=error-mid-stream&at=4"]


@pytest.mark.parametrize("options", ["", "&split=7"])
async def test_the_account_equals_what_callers_got(tmp_path: Path, options: str):
    record = tmp_path / "calls.jsonl"
    got: list[int] = []

    async def call(number: int, mock: MockProvider) -> None:
        model = f"any?tokens=20&{KINDS[number % len(KINDS)]}{options}"
        messages = [{"role": "user", "content": f"Hello {number:03}"}]
        body = json.dumps({"model": model, "messages": messages, "stream": True}).encode()
        reader, writer = await asyncio.open_connection(mock.host, mock.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            % len(body)
        )
        writer.write(body)
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        if head.startswith(b"HTTP/1.1 200"):
            got.append(said_in(rest))

    async with MockProvider(record=record, price=Price(input=1, output=2)) as mock:
        await asyncio.gather(*(call(number, mock) for number in range(40)))
        await mock.ledger.idle()
        totals, entries = mock.ledger.totals, mock.ledger.entries
    assert totals.output == sum(got)
    assert totals.output == sum(call.usage.output for call in entries) == 8 * (20 + 4 + 8 + 3)
    assert totals.input == sum(call.usage.input for call in entries) == 32 * (4 + tokens("Hello 000"))
    assert (totals.calls, totals.served, totals.cut, totals.refused) == (40, 8, 24, 8)
    assert totals.cost == totals.input * 1000 + totals.output * 2000
    assert totals.chunks == sum(call.chunks for call in entries)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert len(lines) == 40
    assert sum(line["cost"] for line in lines) == totals.cost


def said_in(raw: bytes) -> int:
    """Return the tokens in the whole events of a chunked body, which may be cut."""
    body = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        declared = int(size or b"0", 16)
        body, raw = body + raw[:declared], raw[declared + 2 :]
    said = 0
    for event in body.split(b"\n\n")[:-1]:
        data = json.loads(event[6:]) if event != b"data: [DONE]" else {}
        said += sum(tokens(choice["delta"].get("content") or "") for choice in data.get("choices", ()))
    return said
