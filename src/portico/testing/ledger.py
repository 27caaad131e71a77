"""The mock's own account of every call: what was asked, what was written, what it would cost.

A call is entered when its body is in, and closed before the last byte of its reply is released: whoever has read a
reply to its end finds it here. Tokens are counted when the chunk that carries them is written: of a stream that was
cut, only what went out.
"""

import asyncio
from collections import deque
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec

from portico.config.schema import Price
from portico.types import Usage

Outcome = Literal["open", "served", "refused", "cut", "gone"]
PICO = 1_000_000  # pico-dollars of a token in a dollar of a million tokens


class Entry(msgspec.Struct, kw_only=True):
    """One call. Times are the clock's seconds; `usage` is what was served, `whole` what the full answer would be.

    `outcome`: "served" to its proper end; "refused" with an error or a made-up reply; "cut" by a fault; "gone" when
    the caller hung up.
    `cost` is in nano-dollars, None without a price.
    """

    id: int
    begun: float
    method: str
    path: str
    query: str = ""
    operation: str = ""
    dialect: str = ""
    model: str = ""
    controls: str = ""
    key: str | None = None
    stream: bool = False
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""
    body_bytes: int = 0
    outcome: Outcome = "open"
    status: int = 0
    fault: str | None = None
    chunks: int = 0
    bytes_out: int = 0
    usage: Usage = Usage()
    whole: Usage = Usage()
    cost: int | None = None
    ended: float | None = None

    def __repr__(self) -> str:  # without the key, the headers and the body
        return f"<Entry {self.id} {self.operation} {self.model!r} {self.status} {self.outcome}>"

    def header(self, name: str) -> str | None:
        """Return the first request header of this name."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for field, value in self.headers if field == wanted), None)

    @property
    def json(self) -> Any:
        """The request body, decoded (wire data)."""
        return msgspec.json.decode(self.body)

    def as_data(self) -> dict[str, Any]:
        """Return the entry as JSON data; bytes become text."""
        found: dict[str, Any] = msgspec.to_builtins({**msgspec.structs.asdict(self), "headers": None, "body": None})
        found["headers"] = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers]
        found["body"] = self.body.decode("utf-8", "backslashreplace")
        return found


class Totals(msgspec.Struct):
    """Sums over all calls since the last reset, those too that the ledger no longer holds."""

    calls: int = 0
    served: int = 0
    refused: int = 0
    cut: int = 0
    gone: int = 0
    input: int = 0
    output: int = 0
    chunks: int = 0
    bytes_out: int = 0
    cost: int = 0


def cost(price: Price, usage: Usage) -> int:
    """Return what a usage costs in nano-dollars, rounded half up once. Audio and images go by the text's price."""
    cached = price.input if price.cache_read is None else price.cache_read
    written = price.input if price.cache_write is None else price.cache_write
    written_1h = written if price.cache_write_1h is None else price.cache_write_1h
    pico = (
        (usage.input + usage.input_audio + usage.input_image) * round(price.input * PICO)
        + usage.cache_read * round(cached * PICO)
        + usage.cache_write_5m * round(written * PICO)
        + usage.cache_write_1h * round(written_1h * PICO)
        + usage.output_total * round(price.output * PICO)
    )
    return (pico + 500) // 1000


class Ledger:
    """The last `keep` calls, at most `keep_bytes` of their bodies together, and totals over all.

    A body over `body_limit` is kept cut at that size; `Entry.body_bytes` has its true one. With `record`, each call
    is also appended to a file as a JSON line once it has ended.
    """

    def __init__(
        self,
        keep: int = 10_000,
        keep_bytes: int = 64 * 1024 * 1024,
        body_limit: int = 256 * 1024,
        price: Price | None = None,
        record: Path | None = None,
    ) -> None:
        self.keep = keep
        self.keep_bytes = keep_bytes
        self.body_limit = body_limit
        self.price = price
        self.totals = Totals()
        self.open = 0
        self._held = 0
        self._entries: deque[Entry] = deque()
        self._next = 1
        self._idle: list[asyncio.Future[None]] = []
        self._record: TextIO | None = record.open("a", encoding="utf-8") if record else None

    def __repr__(self) -> str:
        return f"<Ledger {len(self._entries)} of {self.totals.calls} calls, {self.open} open>"

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> list[Entry]:
        """The calls it holds, in order of arrival."""
        return list(self._entries)  # one step of the interpreter: safe from another thread

    @property
    def last(self) -> Entry:
        """The call that came last."""
        return self._entries[-1]

    def enter(self, entry: Entry) -> Entry:
        """Take in a call."""
        entry.id = self._next
        self._next += 1
        entry.body_bytes = len(entry.body)
        if entry.body_bytes > self.body_limit:
            entry.body = entry.body[: self.body_limit]
        self.open += 1
        self.totals.calls += 1
        self._entries.append(entry)
        self._held += len(entry.body)
        while len(self._entries) > self.keep or (self._held > self.keep_bytes and len(self._entries) > 1):
            self._held -= len(self._entries.popleft().body)
        return entry

    def close(self, entry: Entry, outcome: Outcome, now: float) -> None:
        """End a call; the second time does nothing."""
        if entry.outcome != "open":
            return
        entry.outcome = outcome
        entry.ended = now
        totals, usage = self.totals, entry.usage
        if self.price is not None:
            entry.cost = cost(self.price, usage)
            totals.cost += entry.cost
        setattr(totals, outcome, getattr(totals, outcome) + 1)
        totals.input += usage.input_total
        totals.output += usage.output_total
        totals.chunks += entry.chunks
        totals.bytes_out += entry.bytes_out
        self.open -= 1
        if self._record is not None:
            self._record.write(msgspec.json.encode(entry.as_data()).decode() + "\n")
            self._record.flush()
        if not self.open and self._idle:
            for waiter in self._idle:
                if not waiter.done():
                    waiter.set_result(None)
            self._idle.clear()

    async def idle(self) -> None:
        """Return once no call is open."""
        if self.open:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    def reset(self) -> None:
        """Forget all calls and totals. A call that is open stays open, and is counted when it ends."""
        self._entries = deque(entry for entry in self._entries if entry.outcome == "open")
        self._held = sum(len(entry.body) for entry in self._entries)
        self.totals = Totals(calls=len(self._entries))

    def stop(self) -> None:
        """Close the record file."""
        if self._record is not None:
            self._record.close()
            self._record = None

    def as_data(self, limit: int = 100, after: int = 0) -> dict[str, Any]:
        """Return totals and the newest `limit` entries with an id above `after`, as JSON data."""
        chosen = [entry for entry in self._entries if entry.id > after]
        chosen = chosen[-limit:] if limit else []
        return {
            "totals": msgspec.to_builtins(self.totals),
            "open": self.open,
            "entries": [entry.as_data() for entry in chosen],
        }
