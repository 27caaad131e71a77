"""Converse's replies: from the wire, and to it.

docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11-20). What only its maker can
read is sealed (`dialects.seal`): the signature of a thought in `signature`, that of a tool call in a `redactedContent`
before the call.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from portico.dialects.arguments import merge, parsed_arguments
from portico.dialects.converse import watch
from portico.dialects.converse.blocks import DOCUMENTS, IMAGES, Block, parse_content, sealed_call
from portico.dialects.converse.ids import legal
from portico.dialects.converse.writing import render_citation, render_content
from portico.dialects.crossing import Given
from portico.dialects.malformed import Malformed
from portico.dialects.seal import seal
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply
from portico.ir import (
    Audio,
    Choice,
    Citation,
    File,
    Finish,
    Image,
    Opaque,
    Part,
    Refusal,
    Reply,
    Request,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from portico.types import Dialect, Usage

_decoder = msgspec.json.Decoder()

FINISHES: Mapping[str, Finish] = MappingProxyType(
    {
        "end_turn": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "stop_sequence": "stop_sequence",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
        "malformed_model_output": "error",
        "malformed_tool_use": "error",
    }
)
"""What a `stopReason` is in our words."""

_REASONS: Mapping[Finish, str] = MappingProxyType(
    {
        "stop": "end_turn",
        "length": "max_tokens",
        "stop_sequence": "stop_sequence",
        "tool_calls": "tool_use",
        "content_filter": "content_filtered",
        "refusal": "content_filtered",
        "pause": "end_turn",
        "error": "malformed_model_output",
        "other": "end_turn",
    }
)


def parse_reply(body: bytes) -> Reply:
    """Read a whole reply. Raises BadUpstreamReply for what is none."""
    try:
        value = _decoder.decode(body)
    except UNREADABLE as error:
        raise BadUpstreamReply(f"The provider's reply is not JSON that can be read: {error}") from error
    output = value.get("output") if type(value) is dict else None
    message = output.get("message") if type(output) is dict else None
    if type(output) is not dict or type(message) is not dict or "content" not in message:
        said = value.get("message") if type(value) is dict else None
        raise BadUpstreamReply(said if type(said) is str and said else "The provider's reply is not a message")
    try:
        parts = parse_content(message["content"], "output.message.content")
    except Malformed as error:
        raise BadUpstreamReply(f"The provider's reply is malformed: {error.where}: must be {error.wanted}") from None
    except RecursionError as error:
        raise BadUpstreamReply("The provider's reply is nested too deeply") from error
    del message["content"]
    if message.get("role") == "assistant":
        del message["role"]
    if not message:
        del output["message"]
    if not output:
        del value["output"]
    reason = value.get("stopReason")
    if type(reason) is str:
        del value["stopReason"]
    else:
        reason = None
    tier = value.get("serviceTier")
    served = tier.get("type") if type(tier) is dict else None
    return Reply(
        dialect="converse",
        choices=(
            Choice(
                parts=parts,
                finish=None if reason is None else FINISHES.get(reason, "other"),
                finish_raw=reason,
            ),
        ),
        usage=usage_of(value.get("usage"), tier),
        service_tier=served if type(served) is str else None,
        extra=value,
    )


def usage_of(counts: Any, tier: Any = None) -> Usage | None:
    """Read a decoded `usage` object, with the `serviceTier` beside it."""
    if type(counts) is not dict or not counts:
        return None
    return watch.usage(counts, tier if type(tier) is dict else None)


def render_reply(reply: Reply, request: Request, given: Given) -> bytes:  # noqa: ARG001  # every dialect's signature
    """Write a whole reply for a caller of this dialect, whose replies name neither a model nor an id."""
    return msgspec.json.encode(_own(reply) if reply.dialect == "converse" else _foreign(reply))


def _own(reply: Reply) -> Block:
    choice = reply.choices[0] if reply.choices else Choice()
    message: Block = {"role": "assistant", "content": render_content(choice.parts)}
    output: Block = {"message": message}
    rest = reply.extra.get("output")
    if type(rest) is dict:
        if type(rest.get("message")) is dict:
            merge(message, rest["message"])
        merge(output, rest)
    body: Block = {"output": output}
    if choice.finish is not None:
        body["stopReason"] = reason_of(choice.finish, choice.finish_raw)
    merge(body, reply.extra)
    if "usage" not in body and reply.usage is not None:
        body["usage"] = render_usage(reply.usage)
    return body


def _foreign(reply: Reply) -> Block:
    choice = next((one for one in reply.choices if one.index == 0), Choice())
    content: list[Block] = []
    for part in choice.parts:
        content.extend(foreign_blocks(part, reply.dialect))
    body: Block = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason_of(choice.finish or "stop"),
        "usage": render_usage(reply.usage or Usage()),
        # Bedrock's own measure of the model's time, which nobody told; the SDKs want the field.
        "metrics": {"latencyMs": 0},
    }
    tier = served(reply.service_tier)
    if tier is not None:
        body["serviceTier"] = tier
    return body


def served(tier: str | None) -> Block | None:
    """Write the tier that was served, where Bedrock has it."""
    return {"type": tier} if tier in ("priority", "flex", "default", "reserved") else None


def reason_of(finish: Finish, raw: str | None = None) -> str:
    """Return the `stopReason`: the provider's own word where it is one of ours."""
    if raw is not None and (finish == "other" or FINISHES.get(raw) == finish):
        return raw
    return _REASONS[finish]


def foreign_blocks(part: Part, maker: Dialect) -> list[Block]:
    """Write what another dialect's provider said; nothing for what is empty."""
    match part:
        case Text():
            if part.citations:
                citations = [foreign_citation(one) for one in part.citations]
                return [{"citationsContent": {"content": [{"text": part.text}], "citations": citations}}]
            return [{"text": part.text}] if part.text else []
        case Refusal():
            return [{"text": part.text}] if part.text else []
        case Thinking():
            if not part.text and not part.opaque:
                return []
            return [{"reasoningContent": {"reasoningText": {"text": part.text, "signature": seal(part, maker)}}}]
        case ToolCall():
            return _call(part)
        case ToolResult():
            return _result(part)
        case Image():
            return _image(part.source)
        case Audio():
            return [{"text": part.transcript}] if part.transcript else []
        case File():
            return _document(part)
        case Video() | Opaque():
            return []


def call_start(call: ToolCall, call_id: str) -> Block:
    """Write what is known of a call before its input."""
    if call.kind == "server":
        named = call.server_type is None or call.server_type == "mcp"
        name = call.name if named else call.server_type
        return {"toolUseId": call_id, "name": name, "type": "server_tool_use"}
    return {"toolUseId": call_id, "name": call.name}


def _call(call: ToolCall) -> list[Block]:
    call_id = legal(call.id)
    arguments = {"input": call.arguments} if call.kind == "custom" else parsed_arguments(call.arguments)
    block: Block = {"toolUse": {**call_start(call, call_id), "input": arguments}}
    if call.signature is None:
        return [block]
    return [sealed_call(msgspec.structs.replace(call, id=call_id)), block]


def result_start(result: ToolResult) -> Block:
    """Write what is known of a result before its content."""
    return {
        "toolUseId": legal(result.id),
        "type": f"{result.name or 'tool'}_result",
        "status": "error" if result.error else "success",
    }


def result_content(result: ToolResult) -> list[Block]:
    """Write what a tool answered that the provider ran."""
    content: list[Block] = [{"text": part.text} for part in result.parts if type(part) is Text and part.text]
    if type(result.data) is dict:
        content.append({"json": result.data})
    elif result.data is not None:
        content.append({"json": {"results": result.data}})
    return content


def _result(result: ToolResult) -> list[Block]:
    return [{"toolResult": {**result_start(result), "content": result_content(result)}}]


def _image(source: Source) -> list[Block]:
    form = (source.media_type or "image/png").rpartition("/")[2]
    if source.data is None:
        return [{"text": source.url}] if source.url else []
    return [{"image": {"format": form if form in IMAGES else "png", "source": {"bytes": source.data}}}]


def _document(part: File) -> list[Block]:
    if part.source.data is None:
        return []
    found = next((form for form, kind in DOCUMENTS.items() if kind == part.source.media_type), "txt")
    return [{"document": {"name": part.name or "document", "format": found, "source": {"bytes": part.source.data}}}]


def foreign_citation(citation: Citation) -> Block:
    """Write another dialect's citation."""
    plain = msgspec.structs.replace(citation, extra={}, title=citation.title or citation.document_id)
    block = render_citation(plain)
    if "location" not in block:
        if citation.url:
            block["location"] = {"web": {"url": citation.url}}
        elif citation.document is not None:
            block["location"] = {"documentChunk": {"documentIndex": citation.document, "start": 0, "end": 0}}
    return block


def render_usage(usage: Usage) -> Block:
    """Write a `usage` object."""
    read, written = usage.cache_read, usage.cache_write_5m + usage.cache_write_1h
    block: Block = {
        "inputTokens": usage.input + usage.input_audio + usage.input_image,
        "outputTokens": usage.output_total,
        "totalTokens": usage.total,
    }
    if read or written:
        block["cacheReadInputTokens"] = read
        block["cacheWriteInputTokens"] = written
    if usage.cache_write_1h:
        block["cacheDetails"] = [
            {"ttl": ttl, "inputTokens": count}
            for ttl, count in (("5m", usage.cache_write_5m), ("1h", usage.cache_write_1h))
            if count
        ]
    return block
