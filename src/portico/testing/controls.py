"""What a caller may tell the mock to do, wherever it is said.

The same names work in four places; a later one wins: a suffix of the model's name (`mock-model?tokens=50&pace=0.02`,
or with `;` where an SDK refuses a question mark), the last message of the prompt (`[mock tokens=50 pace=0.02]`),
headers (`x-mock-tokens: 50`) and the server's script. A name that is not one of these is refused with 400, so that a
misspelt control cannot make a test pass.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from portico.errors import InvalidRequest

Fault = Literal[
    "cut-before-head",  # the connection is cut before a byte of the reply
    "cut-after-head",  # after the head of the reply
    "cut-mid-stream",  # after `at` chunks, between two
    "cut-mid-chunk",  # after `at` chunks and half of the next; a whole reply: in the middle of its body
    "bad-chunk",  # after `at` chunks a chunk header that is none; a whole reply is sent in chunks for it
    "stall",  # after `at` chunks nothing comes for `hold` seconds, or until the caller leaves
    "end-early",  # after `at` chunks a proper end of the HTTP body, without the end of the stream's grammar
    "error-mid-stream",  # after `at` chunks the provider's own error event
    "error-in-200",  # status 200 with an error body
    "broken-json",  # the body, or the chunk after `at` others, is no JSON
    "wrong-type",  # an HTML page where JSON or a stream was due
    "empty",  # status 200 and no body
]
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]
Natural = Annotated[int, Meta(ge=0, le=1_000_000)]
Seconds = Annotated[float, Meta(ge=0)]


class Controls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the mock can be told about one call. Durations are seconds."""

    # what it says
    tokens: Natural | None = None  # of text in the answer
    reasoning: Natural | None = None  # tokens of reasoning, shown
    calls: Natural | None = None  # tool calls to make
    turns: Natural | None = None  # rounds of tool calls before it answers in text
    cached: Natural = 0  # input tokens reported as read from a cache
    cache_write: Natural = 0  # input tokens reported as written to one
    text: str | None = None  # the answer itself
    echo: bool = False  # answer with the prompt
    usage: Literal["asked", "always", "never"] = "asked"  # whether it is reported
    overrun: Natural = 0  # output tokens reported, and billed, beyond those of the answer, whatever its limit
    chunk: Positive = 1  # tokens in one streamed event
    rare: bool = False  # write streams in grammar that is real and seldom: empty deltas, padding, calls without ids
    # how long it goes on, for what outlives its call
    job: Seconds | None = None  # until a batch, a fine-tuning job or a background response has ended
    ends: Literal["completed", "failed", "cancelled", "expired"] = "completed"  # and how
    # how it comes
    latency: Seconds = 0.0  # to the first byte
    pace: Seconds = 0.0  # between two chunks
    split: Natural = 0  # bytes of one written chunk; 0: an event is a chunk
    gzip: bool = False
    close: bool = False  # no length, no chunks: the end of the connection is the end of the body
    # what goes wrong
    status: Annotated[int, Meta(ge=200, le=599)] | None = None  # an error of this status
    retry_after: Seconds | None = None
    fault: Fault | None = None
    at: Natural = 3  # chunks before the fault
    hold: Seconds | None = None  # how long a stall lasts
    reset: bool = False  # a cut is a reset (RST) rather than a plain close
    rpm: Natural | None = None  # calls a minute for this key and model, then 429
    rps: Natural | None = None  # the same for a second
    # how often it goes wrong
    first: Natural | None = None  # the first N calls that say so; the later ones are served
    one_in: Positive | None = None  # one in N, by the server's seed


PLAIN = Controls()
_NAMES = Controls.__struct_fields__
_IN_PROMPT = re.compile(r"\[mock ([^\]\n]{0,500})\]")
_BREAKS = re.compile(r"[\s&;]+")


def pairs(text: str) -> dict[str, str]:
    """Return the controls written as `a=1&b=2`; `;` and blanks separate too, a bare name means yes."""
    found = {}
    for word in _BREAKS.split(text):
        if word:
            name, equals, value = word.partition("=")
            found[name.strip().lower().replace("-", "_")] = value.replace("+", " ") if equals else "true"
    return found


def controls(said: Mapping[str, str]) -> Controls:
    """Return the controls for these names and values.

    Raises InvalidRequest for a name that does not exist or a value of the wrong kind.
    """
    return _controls(tuple(said.items())) if said else PLAIN


@lru_cache(maxsize=1024)
def _controls(said: tuple[tuple[str, str], ...]) -> Controls:
    for name, _ in said:
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_NAMES)}"
            raise InvalidRequest(f"The mock has no control {name!r}{hint}", param=name)
    values: dict[str, Any] = dict(said)
    if "fault" in values:
        values["fault"] = values["fault"].replace("_", "-")
    try:
        said_so = msgspec.convert(values, Controls, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"A control of the mock is wrong: {error}") from None
    if said_so.gzip and said_so.fault in ("error-mid-stream", "broken-json"):
        raise InvalidRequest(f"The mock cannot do {said_so.fault!r} inside a gzip stream", param="gzip")
    return said_so


@lru_cache(maxsize=4096)
def named(model: str) -> tuple[str, str]:
    """Return the model's bare name and the controls written behind it."""
    at = min((place for place in (model.find("?"), model.find(";")) if place > 0), default=-1)
    return (model, "") if at < 0 else (model[:at], model[at + 1 :])


def in_prompt(prompt: str) -> str:
    """Return the controls written in the prompt."""
    return " ".join(_IN_PROMPT.findall(prompt)) if "[mock " in prompt else ""


def without_controls(prompt: str) -> str:
    """Return the prompt less what is meant for the mock."""
    return _IN_PROMPT.sub("", prompt).strip() if "[mock " in prompt else prompt


def in_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the controls in the headers: `x-mock: tokens=5&pace=1`, or one name each: `x-mock-tokens: 5`."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(b"x-mock"):
            text = value.decode("latin-1")
            if name == b"x-mock":
                found.update(pairs(text))
            elif name.startswith(b"x-mock-"):
                found[name[7:].decode("latin-1").replace("-", "_")] = text
    return found
