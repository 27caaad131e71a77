"""One gateway before one mock that is a provider of each of the six dialects, and what the mock makes of a call."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from portico.testing import Entry, HostedMock
from portico.testing.ask import Answer, Ask, Request, answer
from portico.testing.controls import controls, named, pairs
from portico.testing.routes import route
from portico.testing.running import RunningPortico, eventually
from portico.testing.shapes import SHAPES

KEY = "sk-clients-app-0123456789abcdef"
UPSTREAM = "sk-clients-upstream-0123456789"
"""The only key that the mock takes: a call with another one has not come through the gateway."""


class Upstream(NamedTuple):
    """A provider: `like` is its row of the catalog, held to `operations` so that it is reached in one dialect."""

    like: str
    path: str
    model: str
    operations: tuple[str, ...]
    headers: Mapping[str, str] = MappingProxyType({})


UPSTREAMS = {
    "chat": Upstream("openrouter", "/api/v1", "anthropic/claude-sonnet-4.5", ("chat",), {"x-mock-usage": "always"}),
    "responses": Upstream("openai", "/v1", "gpt-5-mini", ("responses",)),
    "messages": Upstream("anthropic", "", "claude-sonnet-4-5", ("messages",)),
    "gemini": Upstream("gemini", "", "gemini-2.5-flash", ("generate_content", "stream_generate_content")),
    "converse": Upstream("bedrock", "", "anthropic.claude-sonnet-4-20250514-v1:0", ("converse", "converse_stream")),
    "cohere": Upstream("cohere", "", "command-a-reasoning-08-2025", ("cohere_chat",)),
}
DIALECTS = tuple(UPSTREAMS)
OPEN = "deepseek"
DEEPSEEK = Upstream("deepseek", "", "deepseek-reasoner", ("chat",))
"""A provider of chat completions whose thoughts are not sealed, and which wants them back."""


def config(url: str) -> dict[str, Any]:
    """Return a configuration whose providers are named for their dialects."""
    return {
        "providers": {
            name: {
                "like": each.like,
                "base_url": url + each.path,
                "api_key": UPSTREAM,
                "operations": list(each.operations),
                "headers": dict(each.headers),
            }
            for name, each in {**UPSTREAMS, OPEN: DEEPSEEK}.items()
        },
        "keys": {"app": {"key": KEY}},
    }


def model(upstream: str) -> str:
    """Return the name by which the gateway knows an upstream's model."""
    return f"{upstream}/{(DEEPSEEK if upstream == OPEN else UPSTREAMS[upstream]).model}"


class Stage:
    """A gateway, and the mock behind it."""

    def __init__(self, portico: RunningPortico, mock: HostedMock) -> None:
        self.portico = portico
        self.mock = mock

    def __repr__(self) -> str:
        return f"<Stage {self.portico.url} before {self.mock.url}>"

    @property
    def url(self) -> str:
        """Where clients call."""
        return self.portico.url

    def taken(self) -> list[Entry]:
        """Return the calls that reached the mock since it was last asked, once all of them have ended."""
        entries = self.mock.ledger.entries
        eventually(lambda: all(entry.outcome != "open" for entry in entries), "the mock has closed its calls")
        self.mock.mock.reset()
        return entries


def asked(entry: Entry) -> Ask:
    """Return what the mock read out of a request."""
    found = route(entry.method, entry.path)
    assert found is not None
    request = Request(entry.method, entry.path, entry.query, entry.headers, entry.body)
    ask = SHAPES[entry.operation].read(request, found.model)
    ask.model, _ = named(ask.model)
    return ask


def answered(entry: Entry) -> Answer:
    """Return what the mock answered: the same request and controls get the same answer."""
    return answer(asked(entry), controls(pairs(entry.controls)))
