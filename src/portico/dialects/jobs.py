"""What a provider says of a job: whether it has ended, how, and what it and each of its results have used.

OpenAI's batches (platform.openai.com/docs/api-reference/batch), fine-tuning jobs and background responses
(platform.openai.com/docs/guides/background), Anthropic's message batches (docs.anthropic.com/en/api/retrieving-message-
batches and …-message-batch-results), read 2026-11-20; Gemini's batches (ai.google.dev/api/batch-api), read 2026-11-21.
"""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from portico.dialects import openai
from portico.dialects.objects import THINGS, Found, Thing, sound
from portico.dialects.operation import Operation
from portico.dialects.operations import OPERATIONS
from portico.dialects.tokens import UNREADABLE, Table, count, inner, table
from portico.dialects.usage import read_usage
from portico.types import Usage

Outcome = Literal["completed", "failed", "cancelled", "expired"]

LONGEST_LINE: Final = 64 * 1024 * 1024
"""Bytes of one result; a longer one is not read."""

_ENDPOINTS = {
    "/chat/completions": "chat",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/moderations": "moderations",
    "/responses": "responses",
}
ENDPOINTS: Final = {**_ENDPOINTS, **{f"/v1{path}": name for path, name in _ENDPOINTS.items()}}
"""The operations that requests of an OpenAI batch may be for, by what stands in their `url`; Azure leaves out `/v1`."""

_ENDS: Final[dict[str, dict[str, Outcome]]] = {
    "batches": {"completed": "completed", "failed": "failed", "cancelled": "cancelled", "expired": "expired"},
    "fine_tuning": {"succeeded": "completed", "failed": "failed", "cancelled": "cancelled"},
    "responses": {
        "completed": "completed", "incomplete": "completed", "failed": "failed", "cancelled": "cancelled",
    },
}  # fmt: skip
RUNNING: Final = frozenset(("queued", "in_progress"))


class Told(msgspec.Struct, frozen=True):
    """What a provider says of a job. `outcome` is None while it goes on.

    `usage` is None where the provider does not say it here; `results` is then where it may be summed up, None where
    nothing is kept of that; `each` is what each request has used, where it is told at once. `model` is what all of it
    has run on, where that is told.
    """

    outcome: Outcome | None = None
    usage: Usage | None = None
    model: str | None = None
    results: Found | None = None
    each: "tuple[Used, ...] | None" = None


class Used(msgspec.Struct, frozen=True):
    """What one request of a batch has used, and the model that answered it."""

    model: str
    usage: Usage


def getter(family: str) -> Thing:
    """Return the call that asks about a job."""
    return next(one for one in THINGS.values() if one.family == family and one.does == "get")


def runs_on(body: bytes) -> bool:
    """Return whether a reply of Responses is one that goes on in the background."""
    values = table(body)
    return values.get("background") is True and values.get("status") in RUNNING


def read(family: str, name: str, body: bytes) -> Told | None:
    """Read what a provider says of the job of this name, None where it cannot be read."""
    if family == "gemini_batches":
        return _gemini_batch(body)
    values = table(body)
    if not values:
        return None
    if family == "message_batches":
        return _message_batch(name, values)
    outcome = _ENDS[family].get(str(values.get("status")))
    if outcome is None:
        return Told() if isinstance(values.get("status"), str) else None
    model = values.get("model")
    said = model if isinstance(model, str) and model else None
    if family == "responses":
        usage = read_usage(OPERATIONS["responses"], body)
        return Told(outcome, Usage() if usage is None and outcome == "failed" else usage, said)
    if family == "fine_tuning":
        if outcome != "failed" and inner(values, "method").get("type") == "reinforcement":
            return Told(outcome, None, said)  # it is paid for by the hour
        return Told(outcome, Usage(input=count(values, "trained_tokens")), said)
    return _batch(outcome, values, said)


def _batch(outcome: Outcome, values: Table, model: str | None) -> Told:
    output = values.get("output_file_id")
    if isinstance(output, str) and sound(output):
        used = openai.usage(inner(values, "usage"))
        if used is not None and not used.total:
            used = None  # it says nothing yet, or never does
        return Told(outcome, used, model, Found(THINGS["files_content"], (output,)))
    served = count(inner(values, "request_counts"), "completed")
    return Told(outcome, None if served else Usage(), model)


def _message_batch(name: str, values: Table) -> Told | None:
    status = values.get("processing_status")
    if status != "ended":
        return Told() if isinstance(status, str) else None
    counts = inner(values, "request_counts")
    outcome: Outcome = "completed"
    if count(counts, "canceled"):
        outcome = "cancelled"
    elif count(counts, "expired"):
        outcome = "expired"
    if not count(counts, "succeeded"):
        return Told(outcome, Usage())
    return Told(outcome, results=Found(THINGS["message_batches_results"], (name,)))


class _Inlined(msgspec.Struct):
    response: msgspec.Raw = msgspec.Raw(b"")


class _Listed(msgspec.Struct, rename="camel"):
    inlined_responses: list[_Inlined] = []


class _Output(msgspec.Struct, rename="camel"):
    inlined_responses: _Listed | None = None


class _Stats(msgspec.Struct, rename="camel"):
    successful_request_count: str | int = "0"  # 64 bits are a text


class _Metadata(msgspec.Struct, rename="camel"):
    state: str = ""
    model: str = ""
    output: _Output | None = None
    batch_stats: _Stats = msgspec.field(default_factory=_Stats)


class _Batch(msgspec.Struct):
    metadata: _Metadata
    response: _Output | None = None


_batch_of_gemini = msgspec.json.Decoder(_Batch)
_STATES: Final[dict[str, Outcome]] = {
    "SUCCEEDED": "completed", "FAILED": "failed", "CANCELLED": "cancelled", "EXPIRED": "expired",
}  # fmt: skip


def _gemini_batch(body: bytes) -> Told | None:
    """Read a batch of Gemini's: what its requests have used stands in their responses, unless these are in a file."""
    try:
        said = _batch_of_gemini.decode(body)
    except UNREADABLE:
        return None
    batch = said.metadata
    outcome = _STATES.get(batch.state.removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_"))
    if outcome is None:
        return Told() if batch.state else None
    output = batch.output or said.response
    listed = output.inlined_responses.inlined_responses if output is not None and output.inlined_responses else []
    if not listed:
        served = outcome == "completed" or str(batch.batch_stats.successful_request_count) not in ("", "0")
        return Told(outcome, None if served else Usage())
    model = batch.model.removeprefix("models/")
    told = [read_usage(OPERATIONS["generate_content"], bytes(one.response)) for one in listed if bytes(one.response)]
    each = tuple(Used(model, usage) for usage in told if usage is not None)
    return Told(outcome, model=model, each=each if len(each) == len(told) else None)


# results


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    response: _Response | None = None


class _Result(msgspec.Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"null")


class _Entry(msgspec.Struct):
    result: _Result


class _Named(msgspec.Struct):
    model: str = ""


_line = msgspec.json.Decoder(_Line)
_entry = msgspec.json.Decoder(_Entry)
_named = msgspec.json.Decoder(_Named)


def summed_up(endpoint: str) -> bool:
    """Return whether the usage of a whole batch says all that is billed of its requests: not the tools of Responses."""
    return ENDPOINTS.get(endpoint) != "responses"


def readable(family: str, endpoint: str) -> bool:
    """Return whether the results of a batch can be read."""
    return family == "message_batches" or endpoint in ENDPOINTS


class Results:
    """Reads the lines of a batch's results as they come, and tells of each request what it has used.

    `endpoint` is what an OpenAI batch is for. `unread` counts lines that nobody understands: what they used is unknown.
    """

    def __init__(self, family: str, endpoint: str, tell: Callable[[Used], None]) -> None:
        self.unread = 0
        self._tell = tell
        self._anthropic = family == "message_batches"
        self._operation: Operation | None = OPERATIONS["messages"]
        if not self._anthropic:
            self._operation = OPERATIONS.get(ENDPOINTS.get(endpoint, ""))
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Take a piece."""
        before, found, rest = piece.rpartition(b"\n")
        if not found:
            self._hold(piece)
            return
        whole = b"".join([*self._held, before])
        self._held.clear()
        self._size = 0
        for line in whole.split(b"\n"):
            self._read(line)
        self._hold(rest)

    def end(self) -> None:
        """Take the end: the last line need not have one."""
        self.feed(b"\n")

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LONGEST_LINE:
            self._held = [b"?"]  # what is no line is counted as unread when its end comes
            self._size = 1
        elif piece:
            self._held.append(piece)

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            body = self._served(line)
            if body is None:
                return
            model = _named.decode(body).model
        except UNREADABLE:
            self.unread += 1
            return
        usage = read_usage(self._operation, body) if self._operation is not None else None
        if usage is None:
            self.unread += 1
        else:
            self._tell(Used(model, usage))

    def _served(self, line: bytes) -> bytes | None:
        """Return the answer in a line, None for a request that was not answered: nothing is paid for that."""
        if self._anthropic:
            result = _entry.decode(line).result
            return bytes(result.message) if result.type == "succeeded" else None
        response = _line.decode(line).response
        return bytes(response.body) if response is not None and 200 <= response.status_code < 300 else None


class Sum:
    """Usage of many requests, added up bucket by bucket. All of it is of one service tier."""

    def __init__(self, tier: str | None) -> None:
        self._tier = tier
        self._counts: dict[str, float] = dict.fromkeys(_COUNTS, 0)

    def add(self, usage: Usage) -> None:
        """Add what a request has used."""
        counts = self._counts
        for name in _COUNTS:
            if found := getattr(usage, name):
                counts[name] += found

    @property
    def usage(self) -> Usage:
        """All of it together."""
        return Usage(**self._counts, tier=self._tier)  # type: ignore[arg-type]  # counts, by their names


_COUNTS: Final = tuple(name for name in Usage.__struct_fields__ if name not in ("reported_cost", "tier", "geo"))
