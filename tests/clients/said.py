"""What a client of any SDK does and gets, in words that all six share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Call(NamedTuple):
    """A tool call as an SDK's user finds it; `id` is empty where the dialect has none."""

    id: str
    name: str
    arguments: Any


class Said(NamedTuple):
    """One answer, read from the SDK's own objects. `turn` is what its user adds to the history, `parsed` the object
    that the SDK made of JSON output. `input` and `output` are all tokens."""

    text: str
    thinking: str
    calls: list[Call]
    finish: str
    input: int | None
    output: int | None
    turn: list[Any]
    parsed: Any = None


class Failure(NamedTuple):
    """What an SDK raised: its class, and what is in it."""

    kind: str
    status: int | None
    message: str
    retry_after: str | None


class Tool(NamedTuple):
    """A tool to be offered."""

    name: str
    description: str
    schema: dict[str, Any]


class ToldOfAnError(Exception):
    """Some SDKs raise nothing at an error in mid-stream; they hand out the event that says so."""


class Client(Protocol):
    """An SDK and how it is used. A history is a list of the SDK's own turns."""

    finishes: Mapping[str, str]
    """The SDK's words for the end of an answer: `stop`, `tools` and `length`."""
    failures: Mapping[int, str]
    """The exception that the SDK has for a status."""

    def user(self, text: str, image: bytes | None = None) -> Any:
        """Return a turn of the user, with a PNG."""

    def results(self, answers: Sequence[tuple[Call, str]], *, stream: bool) -> list[Any]:
        """Return the turns that tell what the tools answered."""

    def say(
        self,
        model: str,
        history: Sequence[Any],
        *,
        stream: bool,
        tools: Sequence[Tool] = (),
        form: type[Any] | None = None,
        think: bool = False,
        limit: int | None = None,
    ) -> Said:
        """Make one call. `form` is a pydantic model for the output, `limit` the most tokens of it."""

    def failure(self, error: Exception) -> Failure:
        """Read what was raised."""
