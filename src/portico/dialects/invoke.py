"""Bedrock's invoke: each maker's own body, and what Bedrock adds to it.

The reply's headers `x-amzn-bedrock-{input,output,cache-read-input,cache-write-input}-token-count` say what is
billed; a stream's last chunk says the same in `amazon-bedrock-invocationMetrics`
(docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html, read 2026-11-20). Input, read and
written tokens are disjoint there. A body's own usage knows more (reasoning, how long a cache is kept, searches), so
it is used where it has counts. This is the one module that knows other dialects: their bodies travel here.
"""

from collections.abc import Iterable

import msgspec

from portico.dialects import converse, messages, openai
from portico.dialects.observer import failure
from portico.dialects.operation import Operation
from portico.dialects.tokens import NOTHING, UNREADABLE, Table, count, inner, split, table
from portico.dialects.wrapped import CHUNK
from portico.framing import eventstream
from portico.types import Usage

_COUNTS = {
    b"x-amzn-bedrock-input-token-count": "inputTokenCount",
    b"x-amzn-bedrock-output-token-count": "outputTokenCount",
    b"x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    b"x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}


class _Reply(msgspec.Struct):
    usage: msgspec.Raw = NOTHING
    meta: msgspec.Raw = NOTHING
    input_text: msgspec.Raw = msgspec.field(name="inputTextTokenCount", default=NOTHING)
    results: msgspec.Raw = NOTHING
    prompt: msgspec.Raw = msgspec.field(name="prompt_token_count", default=NOTHING)
    generated: msgspec.Raw = msgspec.field(name="generation_token_count", default=NOTHING)


class _Event(msgspec.Struct):
    error: msgspec.Raw = NOTHING
    usage: msgspec.Raw = NOTHING
    message: msgspec.Raw = NOTHING
    metadata: msgspec.Raw = NOTHING
    metrics: msgspec.Raw = msgspec.field(name="amazon-bedrock-invocationMetrics", default=NOTHING)


_reply = msgspec.json.Decoder(_Reply)
_event = msgspec.json.Decoder(_Event)
_numbers = msgspec.json.Decoder(int | None)
_results = msgspec.json.Decoder(list[Table])


def read_usage(body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Usage | None:
    """Read a whole reply's usage from its body, else from its headers (names lowercased)."""
    try:
        reply = _reply.decode(body)
    except UNREADABLE:
        reply = _Reply()
    return _own(table(reply.usage)) or _metrics(_from_headers(headers)) or _makers(reply)


def _own(values: Table) -> Usage | None:
    """Read a `usage` object by the names it uses: Anthropic's, Nova's or OpenAI's."""
    found: Usage | None
    if "inputTokens" in values:
        found = converse.usage(values)
    elif "prompt_tokens" in values:
        found = openai.usage(values)
    else:
        found = messages.usage(values)
    return found if found is not None and found.total else None


def _metrics(values: Table) -> Usage | None:
    """Read Bedrock's own counts."""
    read, written = count(values, "cacheReadInputTokenCount"), count(values, "cacheWriteInputTokenCount")
    found = split(
        total_in=count(values, "inputTokenCount") + read + written,
        total_out=count(values, "outputTokenCount"),
        cache_read=read,
        cache_write=written,
    )
    return found if found.total else None


def _from_headers(headers: Iterable[tuple[bytes, bytes]]) -> Table:
    return {_COUNTS[name]: int(value) for name, value in headers if name in _COUNTS and value.isdigit()}


def _makers(reply: _Reply) -> Usage | None:
    """Read the counts of Titan, of Llama, and of Cohere's bodies, where Bedrock's headers did not come along."""
    billed = inner(table(reply.meta), "billed_units")
    total_in = _number(reply.input_text) or _number(reply.prompt) or count(billed, "input_tokens")
    total_out = _number(reply.generated) or count(billed, "output_tokens")
    if bytes(reply.results):
        try:
            total_out = sum(count(result, "tokenCount") for result in _results.decode(reply.results))
        except UNREADABLE:
            total_out = 0
    found = split(total_in=total_in, total_out=total_out)
    return found if found.total else None


def _number(raw: msgspec.Raw) -> int:
    try:
        return max(_numbers.decode(raw) or 0, 0)
    except UNREADABLE:
        return 0


class InvokeObserver(converse.MessageObserver):
    """Watches a stream of chunks; the one with Bedrock's metrics is the last."""

    def __init__(self, operation: Operation, hide_usage: bool = False) -> None:
        super().__init__(operation, hide_usage)
        self._values: Table = {}

    def see(self, message: eventstream.Message) -> None:
        """Look for usage, the metrics and errors of the maker's own."""
        try:
            data = CHUNK.decode(message.payload).bytes
        except UNREADABLE:
            return
        if not (b'"usage"' in data or b"invocationMetrics" in data or b'"error"' in data):
            return
        try:
            event = _event.decode(data)
        except UNREADABLE:
            return
        error = failure(event.error)
        if error is not None:
            self.fail(error)
            return
        found = table(event.usage) or inner(table(event.message), "usage") or inner(table(event.metadata), "usage")
        self._values |= {name: value for name, value in found.items() if value is not None}
        metrics = table(event.metrics)
        self._usage = _own(self._values) or _metrics(metrics) or self._usage
        if metrics:
            self.finished = self.failed is None
