"""The requests in a batch: which models they name, and a batch of Anthropic's with other names for them.

A request of Anthropic's is `{"custom_id", "params"}`, its params a request to Messages
(docs.anthropic.com/en/api/creating-message-batches); OpenAI's are the lines of a file,
`{"custom_id", "method", "url", "body"}` (platform.openai.com/docs/guides/batch); both read 2026-11-20. Gemini's stand
in the body, as `{"request", "metadata"}`, or are the lines of a file (ai.google.dev/api/batch-api, read 2026-11-21).
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from portico.dialects.jobs import ENDPOINTS
from portico.dialects.multipart import Buffer
from portico.dialects.operation import Operation
from portico.dialects.operations import OPERATIONS
from portico.dialects.references import Reference
from portico.dialects.request import Peek, peek, rewrite
from portico.dialects.tokens import UNREADABLE
from portico.errors import InvalidRequest


class _Entry(msgspec.Struct):
    params: msgspec.Raw


class _Line(msgspec.Struct):
    url: str
    body: msgspec.Raw


MESSAGES = OPERATIONS["messages"]
_lines = msgspec.json.Decoder(_Line)
_entries = msgspec.json.Decoder(list[_Entry])


class Batched(msgspec.Struct, frozen=True):
    """One request of a batch: its bytes, and what they say. `operation` is None where nobody knows what it asks for."""

    body: bytes
    asked: Peek
    operation: Operation | None = MESSAGES

    @property
    def model(self) -> str:
        """The model that it names."""
        return self.asked.model or ""


def batched(members: Mapping[str, msgspec.Raw]) -> list[Batched]:
    """Return the requests of a batch. Raises InvalidRequest for what is no batch."""
    try:
        entries = _entries.decode(members.get("requests", msgspec.Raw(b"[]")))
    except UNREADABLE as error:
        raise InvalidRequest("`requests` must be a list of objects with `params`", param="requests") from error
    found = []
    for place, entry in enumerate(entries):
        body = bytes(entry.params)
        try:
            asked = peek(MESSAGES, body, b"application/json")
        except InvalidRequest as error:
            raise InvalidRequest(f"request {place}: {error.message}", param=f"requests.{place}") from error
        if not asked.model:
            raise InvalidRequest(f"request {place} names no `model`", param=f"requests.{place}.params.model")
        found.append(Batched(body, asked))
    return found


class OfGemini(msgspec.Struct, frozen=True):
    """What a batch of Gemini's is made of: requests, or a file by its id; neither where nobody can tell.

    `references` are the families and ids of what it names.
    """

    requests: Sequence[Batched] = ()
    file: str = ""
    references: Sequence[Reference] = ()


class _Inlined(msgspec.Struct):
    request: msgspec.Raw = msgspec.Raw(b"{}")


_table = msgspec.json.Decoder(dict[str, msgspec.Raw])
_inlined = msgspec.json.Decoder(list[_Inlined])
_text = msgspec.json.Decoder(str)


def of_gemini(operation: Operation, members: Mapping[str, msgspec.Raw], model: str) -> OfGemini:
    """Return what a batch of requests of an operation is made of, which a model is to run.

    Raises InvalidRequest for what is no batch, and for a request that names another model.
    """
    try:
        config = _part(_part(members, "batch"), "inputConfig", "input_config")
        named = _one(config, "fileName", "file_name")
        file = _text.decode(named).removeprefix("files/") if named is not None else ""
        entries = _inlined.decode(_one(_part(config, "requests"), "requests") or msgspec.Raw(b"[]"))
    except UNREADABLE as error:
        raise InvalidRequest("`batch.inputConfig` has a `fileName` or `requests`", param="batch.inputConfig") from error
    if file and entries:
        raise InvalidRequest("a batch has a `fileName` or `requests`, not both", param="batch.inputConfig")
    found: list[Batched] = []
    references: list[Reference] = [("gemini_files", file)] if file else []
    for place, entry in enumerate(entries):
        body = bytes(entry.request)
        try:
            asked = peek(operation, body, b"application/json")
            told = asked.members or {}
            inner, cached = told.get("model"), _one(told, "cachedContent", "cached_content")
            if inner is not None and _text.decode(inner).removeprefix("models/") != model:
                raise InvalidRequest(f"it names another model than {model!r}")
            if cached is not None:
                references.append(("cached_contents", _text.decode(cached).removeprefix("cachedContents/")))
        except UNREADABLE:
            raise InvalidRequest(f"request {place} has a name that is no text", param=f"requests.{place}") from None
        except InvalidRequest as error:
            raise InvalidRequest(f"request {place}: {error.message}", param=f"requests.{place}") from error
        found.append(Batched(body, asked, operation))
    return OfGemini(found, file, references)


def _part(table: Mapping[str, msgspec.Raw], *names: str) -> Mapping[str, msgspec.Raw]:
    raw = _one(table, *names)
    return _table.decode(raw) if raw is not None else {}


def _one(table: Mapping[str, msgspec.Raw], *names: str) -> msgspec.Raw | None:
    """Return a member by either of its names. Raises InvalidRequest where both are there: one would be looked past."""
    found = [table[name] for name in names if name in table]
    if len(found) > 1:
        raise InvalidRequest(f"{names[0]!r} and {names[1]!r} are the same; leave one of them out", param=names[0])
    return found[0] if found else None


def renamed(body: bytes, requests: Sequence[Batched], models: Sequence[str]) -> bytes:
    """Return a batch with these models in its requests, as far as they name one, every other byte left as it is."""
    pieces = []
    at = 0
    for request, model in zip(requests, models, strict=True):
        start = body.index(request.body, at)
        told = rewrite(request.operation or MESSAGES, request.body, request.asked, model=model, ask_usage=False)
        pieces += [body[at:start], told]
        at = start + len(request.body)
    return b"".join([*pieces, body[at:]])


def lines(file: Buffer, start: int, end: int) -> Iterator[Batched]:
    """Read the requests of a batch file, which stands from `start` to `end`. Raises InvalidRequest, naming the line."""
    number = 0
    while start < end:
        stop = file.find(b"\n", start, end)
        stop = end if stop < 0 else stop
        text = file[start:stop]
        start = stop + 1
        number += 1
        if not text.strip():
            continue
        try:
            line = _lines.decode(text)
        except UNREADABLE as error:
            raise InvalidRequest(
                f"line {number} of the file is no object with `url` and `body`", param="file"
            ) from error
        operation = OPERATIONS.get(ENDPOINTS.get(line.url, ""))
        body = bytes(line.body)
        try:
            asked = peek(operation or OPERATIONS["chat"], body, b"application/json")
        except InvalidRequest as error:
            raise InvalidRequest(f"line {number} of the file: {error.message}", param="file") from error
        if not asked.model:
            raise InvalidRequest(f"line {number} of the file names no `model`", param="file")
        yield Batched(body, asked, operation)
