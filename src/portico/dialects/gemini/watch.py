"""Gemini's generateContent family, of the Gemini API and of Vertex AI.

Usage (ai.google.dev/api/generate-content#UsageMetadata, read 2026-11-20): `promptTokenCount` holds the cached
tokens; `toolUsePromptTokenCount`, `candidatesTokenCount` and `thoughtsTokenCount` are beside it; details by
modality say how many of each are audio or images (cached ones are taken off the input's). Grounding with Google
Search is billed by the query or the prompt: the queries are counted as searches.

Streams: server-sent events, or a JSON array without `alt=sse`; each element repeats the usage so far, so the last
that has counts is the one. There is no mark of the end besides a finish reason and the close of the body.
"""

from typing import Any, Final

import msgspec

from portico.dialects.gemini.replied import Candidate, Predictions, Reply
from portico.dialects.observer import EventObserver, failure, told
from portico.dialects.operation import Operation
from portico.dialects.tokens import UNREADABLE, Table, count, split, table, tier
from portico.errors import BadUpstreamReply, PorticoError
from portico.framing import jsonarray, sse
from portico.types import Usage

_reply: Final = msgspec.json.Decoder(Reply)
_candidates: Final = msgspec.json.Decoder(list[Candidate])
_COUNTS: Final = b'TokenCount"'
_QUERIES: Final = b'"webSearchQueries"'
# Vertex AI's client libraries for some languages write the modality's number.
_MODALITIES: Final = {1: "TEXT", 2: "IMAGE", 3: "VIDEO", 4: "AUDIO", 5: "DOCUMENT"}


def read_usage(body: bytes) -> Usage | None:
    """Read a whole reply's usage, None where it reports none."""
    try:
        reply = _reply.decode(body)
    except UNREADABLE:
        return None
    return _usage_of(reply)


_predictions: Final = msgspec.json.Decoder(Predictions)


def read_predicted(body: bytes) -> Usage | None:
    """Read what a reply to Vertex AI's `predict` of texts says: each vector the tokens of its own."""
    try:
        found = _predictions.decode(body).predictions
    except UNREADABLE:
        return None
    counts = [each.embeddings.statistics for each in found if each.embeddings is not None]
    total = sum(int(each.token_count or 0) for each in counts if each is not None)
    return Usage(input=total) if total > 0 else None


def _usage_of(reply: Reply) -> Usage | None:
    found = usage(table(reply.usage))
    if found is not None and (searches := _searches(reply.candidates)):
        found = msgspec.structs.replace(found, searches=searches)
    return found


def _searches(candidates: msgspec.Raw) -> int:
    if _QUERIES not in bytes(candidates):
        return 0
    try:
        found = _candidates.decode(candidates)
    except UNREADABLE:
        return 0
    return sum(len(each.grounding.queries or ()) for each in found if each.grounding is not None)


def usage(values: Table) -> Usage | None:
    """Split a `usageMetadata` object; None where it has no counts."""
    asked = _by_modality(values, "promptTokensDetails", "promptTokenDetails")
    cached = _by_modality(values, "cacheTokensDetails")
    given = _by_modality(values, "candidatesTokensDetails")
    thoughts = count(values, "thoughtsTokenCount")
    found = split(
        total_in=count(values, "promptTokenCount") + count(values, "toolUsePromptTokenCount"),
        total_out=count(values, "candidatesTokenCount") + thoughts,
        total=count(values, "totalTokenCount"),
        cache_read=count(values, "cachedContentTokenCount"),
        input_audio=max(asked.get("AUDIO", 0) - cached.get("AUDIO", 0), 0),
        input_image=max(asked.get("IMAGE", 0) - cached.get("IMAGE", 0), 0),
        reasoning=thoughts,
        output_audio=given.get("AUDIO", 0),
        output_image=given.get("IMAGE", 0),
        tier=tier(values.get("serviceTier"), values.get("trafficType")),
    )
    return found if "promptTokenCount" in values or "totalTokenCount" in values else None


def _by_modality(values: Table, *names: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        details: Any = values.get(name)
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                kind = detail.get("modality")
                key = _MODALITIES.get(kind, "") if isinstance(kind, int) else str(kind)
                counts[key] = counts.get(key, 0) + count(detail, "tokenCount")
    return counts


class GeminiObserver(EventObserver):
    """Watches a stream of replies, as events or as a JSON array. Usage is decoded when it is asked for."""

    def __init__(self, operation: Operation, hide_usage: bool = False) -> None:
        super().__init__(operation, hide_usage)
        self._latest = b""
        self._searches = 0
        self._array: jsonarray.Splitter | None = None
        self._begun = False

    @property
    def usage(self) -> Usage | None:
        """What was used, by the last event that has counts; decoded here, for every event repeats it."""
        events = sse.split(self._latest) if self._array is None else [self._latest]
        for event in reversed(events):
            found = read_usage(sse.parse(event).data if self._array is None else event)
            if found is not None:
                return msgspec.structs.replace(found, searches=max(found.searches, self._searches))
        return None

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; the first byte that is no white space says whether this is an array."""
        if self._array is not None and not self._blind:
            self._elements(chunk)
            return chunk
        if not self._begun and (first := chunk.lstrip()[:1]):
            self._begun = True
            if first == b"[":
                self._array = jsonarray.Splitter()
                self._elements(chunk)
                return self._splitter.flush() + chunk
        return super().feed(chunk)

    def flush(self) -> bytes:
        """Take the close of the body as the end, unless an array is still open."""
        rest = super().flush()
        self.finished = self.failed is None and self._begun and (self._array is None or self._array.closed)
        return rest

    def _elements(self, chunk: bytes) -> None:
        assert self._array is not None
        try:
            elements = self._array.feed(chunk)
        except BadUpstreamReply as error:
            self._blind = True
            self.fail(error.message)
            return
        for element in elements:
            if self._marked(element):
                self._see(element)

    def inspect(self, run: bytes) -> bytes:
        """Keep the last events with counts; look for a finish reason, searches and errors."""
        if self._marked(run):
            for event in sse.split(run):
                self._see(sse.parse(event).data)
        return run

    def _marked(self, run: bytes) -> bool:
        """Take what needs no decoding; return whether there is more."""
        if _COUNTS in run:
            self._latest = run
        if told(run, b'"finishReason"'):
            self.finished = self.failed is None
        return _QUERIES in run or told(run, b'"error"')

    def _see(self, data: bytes) -> None:
        try:
            reply = _reply.decode(data)
        except UNREADABLE:
            return
        self._searches = max(self._searches, _searches(reply.candidates))
        error = failure(reply.error)
        if error is not None:
            self.fail(error)


_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}


def error_body(error: PorticoError, request_id: str) -> bytes:
    """Write an error as Google's APIs do (google.aip.dev/193, cloud.google.com/apis/design/errors, read 2026-11-20)."""
    status = _STATUSES.get(error.status) or ("UNAVAILABLE" if error.status >= 500 else "INVALID_ARGUMENT")
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": error.code.upper(), "domain": "portico"}
    details: list[dict[str, object]] = [{**reason, "metadata": {"param": error.param}} if error.param else {**reason}]
    if request_id:
        # What served the request is the provider's call, by its own name for it.
        served = {"servingData": error.request_id} if error.request_id else {}
        info = {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id}
        details.append({**info, **served})
    if error.retry_after is not None:
        delay = f"{error.retry_after:g}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    body = {"code": error.status, "message": error.message, "status": status, "details": details}
    return msgspec.json.encode({"error": body})


def stream_error(error: PorticoError, request_id: str) -> bytes:
    """Write an error as an event of a stream."""
    return sse.render(error_body(error, request_id))
