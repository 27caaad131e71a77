"""A whole Portico in front of a mock of every provider, and what one call left on both sides."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from portico.config.schema import Price
from portico.testing import Entry, HostedMock
from portico.testing.running import RunningPortico, eventually
from portico.types import Usage

KEY = "sk-e2e-app-0123456789abcdef"
"""The key that an application holds in the tests. It may call everything, and pass through to OpenAI."""

NARROW = "sk-e2e-narrow-0123456789abcdef"
"""A key for a few models, which may not pass through."""

UPSTREAM = "sk-e2e-upstream-0123456789"
"""The only key that the mock takes: a call with another one has not come through the gateway."""

PRICE = Price(input=3.0, output=12.0, cache_read=0.3, cache_write=3.75)
"""Dollars per million tokens of every model below, on both sides."""

PRICED = (
    "openai/gpt-4o-mini",
    "openai/gpt-3.5-turbo-instruct",
    "openai/text-embedding-3-small",
    "anthropic/claude-haiku-4-5",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-embedding-001",
    "bedrock/amazon.nova-lite-v1:0",
    "bedrock/anthropic.claude-haiku-4-5-20251001-v1:0",
    "cohere/command-a-03-2025",
)

SECRET = "AWS_SECRET_THAT_THE_GATEWAY_NEVER_SEES"


def config(url: str, **more: Any) -> dict[str, Any]:
    """Return a configuration whose providers are all at `url`, at the paths that they really have."""
    paths = {"openai": "/v1", "anthropic": "", "gemini": "", "bedrock": "", "cohere": ""}
    return {
        "providers": {name: {"base_url": url + path, "api_key": UPSTREAM} for name, path in paths.items()},
        "prices": {name: plain(PRICE) for name in PRICED},
        "keys": {
            "app": {"key": KEY, "passthrough": ["openai"]},
            "narrow": {"key": NARROW, "models": ["gpt-4o-mini", "claude-haiku-4-5"]},
        },
        **more,
    }


def plain(price: Price) -> dict[str, float]:
    """Return a price as a configuration writes it."""
    return {name: value for name, value in msgspec.structs.asdict(price).items() if value is not None}


class Settled:
    """One call after its end: the gateway's record and the mock's entries of the same call."""

    def __init__(self, record: dict[str, Any], entries: list[Entry]) -> None:
        self.record = record
        self.entries = entries

    @property
    def entry(self) -> Entry:
        """What the mock has of the attempt that stood."""
        return self.entries[-1]

    @property
    def usage(self) -> Usage:
        """What the gateway says was used."""
        return msgspec.convert(self.record["usage"], Usage)

    @property
    def cost(self) -> int | None:
        """What the gateway says it cost, in nano-dollars."""
        cost: int | None = self.record["cost_nano_usd"]
        return cost


class Front:
    """A running Portico and the mock behind it; `ca` is who is to be trusted where it serves HTTPS."""

    def __init__(self, portico: RunningPortico, mock: HostedMock, ca: Path | None = None) -> None:
        self.portico = portico
        self.mock = mock
        self.ca = ca
        self.mark = 0

    def __repr__(self) -> str:
        return f"<Front {self.url} before {self.mock.url}>"

    @property
    def url(self) -> str:
        """What an SDK is told instead of its provider's address."""
        return self.portico.url

    def entries(self) -> list[Entry]:
        """Return what reached the mock since the test began."""
        return self.mock.ledger.entries

    def begin(self) -> "Front":
        """Look from now on: at what the next test does."""
        self.mark = len(self.portico.records)
        return self

    def record_with(self, text: str) -> dict[str, Any]:
        """Return the first record since the test began that has this text, once it is there."""
        record: dict[str, Any] = json.loads(self.portico.records.wait_for(text, after=self.mark))
        return record

    def record(self, request_id: str) -> dict[str, Any]:
        """Return the line that a call left on standard output, once it is there."""
        return self.record_with(f'"id":"{request_id}"')

    def of(self, entry: Entry) -> dict[str, Any]:
        """Return the record of the call whose attempt the mock has."""
        return self.record_with(f'"upstream_request_id":"req_mock_{entry.id:012d}"')

    def settled(self, headers: Mapping[str, str]) -> Settled:
        """Return what both sides have of the call whose reply had these headers."""
        record = self.record(headers["x-request-id"])
        ids = {attempt.get("upstream_request_id") for attempt in record["attempts"]}
        ids.add(f"req_mock_{int(headers['x-mock-call']):012d}")  # not every refusal has an id of its own
        entries = [entry for entry in self.entries() if f"req_mock_{entry.id:012d}" in ids]
        assert entries, f"no attempt of {record} is in the mock's ledger"
        eventually(lambda: all(entry.outcome != "open" for entry in entries), "the mock has closed the call")
        return Settled(record, entries)

    def agrees(self, headers: Mapping[str, str], *, target: str, stream: bool = False) -> Settled:
        """Assert that the reply's headers, the record and the mock's ledger say the same of a priced, served call."""
        settled = self.settled(headers)
        record, entry = settled.record, settled.entry
        assert headers["x-portico-target"] == record["target"] == target
        assert headers["x-portico-attempts"] == str(len(record["attempts"])) == "1"
        assert int(headers["x-portico-overhead-us"]) >= 0
        assert record["key"] == "app"
        assert record["status"] == 200
        assert record.get("error") is None
        assert record["stream"] is entry.stream is stream
        assert entry.outcome == "served"
        assert entry.key == UPSTREAM
        assert settled.usage == entry.usage
        assert record["basis"] == "reported"
        assert settled.cost == entry.cost
        if stream:
            assert "x-portico-cost-usd" not in headers  # it was not known when the head of the reply left
        else:
            assert headers["x-portico-cost-usd"] == f"{entry.cost / 1e9:.9f}"
        assert KEY not in json.dumps(record)
        return settled
