"""Anthropic's replies: from the wire, and to it (docs.anthropic.com/en/api/messages, read 2026-11-20).

A reply of another dialect gets an id of this one's form. What only its maker can read is sealed (`dialects.seal`): the
signature of a thought in `signature`, that of a tool call in a `redacted_thinking` before the call.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from portico.dialects.arguments import merge, parsed_arguments
from portico.dialects.crossing import Given
from portico.dialects.malformed import Malformed
from portico.dialects.messages import watch
from portico.dialects.messages.blocks import Block, completed, parse_content
from portico.dialects.messages.ids import legal
from portico.dialects.messages.writing import render_block, render_citation, render_source
from portico.dialects.observer import failure
from portico.dialects.seal import seal, seal_call
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
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "stop_sequence": "stop_sequence",
        "tool_use": "tool_calls",
        "refusal": "refusal",
        "pause_turn": "pause",
    }
)
"""What a `stop_reason` is in our words."""

_REASONS: Mapping[Finish, str] = MappingProxyType(
    {
        "stop": "end_turn",
        "length": "max_tokens",
        "stop_sequence": "stop_sequence",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
        "refusal": "refusal",
        "pause": "pause_turn",
        "error": "end_turn",
        "other": "end_turn",
    }
)


def parse_reply(body: bytes) -> Reply:
    """Read a whole reply. Raises BadUpstreamReply for what is none."""
    try:
        value = _decoder.decode(body)
    except UNREADABLE as error:
        raise BadUpstreamReply(f"The provider's reply is not JSON that can be read: {error}") from error
    if type(value) is not dict or "content" not in value:
        said = failure(msgspec.json.encode(value["error"])) if type(value) is dict and value.get("error") else None
        raise BadUpstreamReply(said or "The provider's reply is not a message")
    try:
        parts = parse_content(_completed(value.pop("content")), "content")
    except Malformed as error:
        raise BadUpstreamReply(f"The provider's reply is malformed: {error.where}: must be {error.wanted}") from None
    except RecursionError as error:
        raise BadUpstreamReply("The provider's reply is nested too deeply") from error
    counts = value.get("usage")
    if value.get("type") == "message":
        del value["type"]
    if value.get("role") == "assistant":
        del value["role"]
    reason = _string(value, "stop_reason")
    tier = counts.get("service_tier") if type(counts) is dict else None
    return Reply(
        dialect="messages",
        id=_string(value, "id") or "",
        model=_string(value, "model") or "",
        choices=(
            Choice(
                parts=parts,
                finish=None if reason is None else FINISHES.get(reason, "other"),
                finish_raw=reason,
                stop_sequence=_string(value, "stop_sequence"),
            ),
        ),
        usage=usage_of(counts),
        service_tier=tier if type(tier) is str else None,
        extra=value,
    )


def _completed(content: Any) -> Any:
    if type(content) is list:
        for block in content:
            if type(block) is dict:
                completed(block)
    return [] if content is None else content


def usage_of(counts: Any) -> Usage | None:
    """Read a decoded `usage` object."""
    if type(counts) is not dict or not counts:
        return None
    return watch.usage(counts)


def _string(value: Block, name: str) -> str | None:
    found = value.get(name)
    if type(found) is str:
        del value[name]
        return found
    return None


def render_reply(reply: Reply, request: Request, given: Given) -> bytes:
    """Write a whole reply for a caller of this dialect."""
    return msgspec.json.encode(_own(reply) if reply.dialect == "messages" else _foreign(reply, request, given))


def _own(reply: Reply) -> Block:
    body: Block = {"id": reply.id, "type": "message", "role": "assistant", "model": reply.model}
    choice = reply.choices[0] if reply.choices else Choice()
    body["content"] = [render_block(part) for part in choice.parts]
    if choice.finish_raw is not None or choice.finish is not None:
        body["stop_reason"] = reason_of(choice.finish, choice.finish_raw)
    if choice.stop_sequence is not None:
        body["stop_sequence"] = choice.stop_sequence
    for name in ("id", "model"):
        if not body[name] and name not in reply.extra and reply.extra:
            del body[name]
    merge(body, reply.extra)
    if "usage" not in body and reply.usage is not None:
        body["usage"] = render_usage(reply.usage)
    return body


def _foreign(reply: Reply, request: Request, given: Given) -> Block:
    choice = next((one for one in reply.choices if one.index == 0), Choice())
    content: list[Block] = []
    for part in choice.parts:
        content.extend(foreign_blocks(part, reply.dialect))
    return {
        "id": given.new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": reply.model or request.model,
        "content": content,
        "stop_reason": reason_of(choice.finish or "stop"),
        "stop_sequence": choice.stop_sequence,
        "usage": render_usage(reply.usage or Usage(), reply.service_tier),
    }


def reason_of(finish: Finish | None, raw: str | None = None) -> str | None:
    """Return the `stop_reason`: the provider's own word where it is one of ours."""
    if raw is not None and (finish == "other" or FINISHES.get(raw) == finish):
        return raw
    return _REASONS[finish] if finish is not None else None


def foreign_blocks(part: Part, maker: Dialect) -> list[Block]:
    """Write what another dialect's provider said; nothing for what is empty."""
    match part:
        case Text():
            if not part.text:
                return []
            block: Block = {"type": "text", "text": part.text}
            if part.citations:
                block["citations"] = [foreign_citation(one) for one in part.citations]
            return [block]
        case Refusal():
            return [{"type": "text", "text": part.text}] if part.text else []
        case Thinking():
            return [foreign_thinking(part, maker)] if part.text or part.opaque else []
        case ToolCall():
            return foreign_call(part)
        case ToolResult():
            return foreign_result(part)
        case Image():
            return [{"type": "image", "source": render_source(part.source)}]
        case Audio():
            return [{"type": "text", "text": part.transcript}] if part.transcript else []
        case File() | Video() | Opaque():
            return []


def foreign_thinking(thought: Thinking, maker: Dialect) -> Block:
    """Write a thought of another's, sealed so that it is known again and never taken for one of Anthropic's."""
    return {"type": "thinking", "thinking": thought.text, "signature": seal(thought, maker)}


def foreign_call(call: ToolCall) -> list[Block]:
    """Write a tool call, after the signature that its maker wants back with it."""
    call_id = legal(call.id)
    arguments = {"input": call.arguments} if call.kind == "custom" else parsed_arguments(call.arguments)
    if call.kind == "server":
        block: Block = {"type": "server_tool_use", "id": call_id, "name": served_name(call)}
    else:
        block = {"type": "tool_use", "id": call_id, "name": call.name}
    block["input"] = arguments
    if call.signature is None:
        return [block]
    sealed = seal_call(msgspec.structs.replace(call, id=call_id))
    return [_wrapped(sealed), block]


def served_name(call: ToolCall) -> str:
    """Return the name of a tool that its provider ran: one of a server's own keeps it."""
    return call.name if call.server_type is None or call.server_type == "mcp" else call.server_type


def _wrapped(sealed: str) -> Block:
    return {"type": "redacted_thinking", "data": sealed}


def foreign_result(result: ToolResult) -> list[Block]:
    """Write what a tool answered that the provider ran, in the blocks that Anthropic has for it."""
    call_id = legal(result.id)
    said = "".join(part.text for part in result.parts if type(part) is Text)
    data = result.data if type(result.data) is dict else {}
    if result.name == "code_execution":
        said = said or str(data.get("output") or data.get("logs") or "")
        content: Block = {
            "type": "code_execution_result",
            "stdout": "" if result.error else said,
            "stderr": said if result.error else "",
            "return_code": 1 if result.error else 0,
            "content": [],
        }
        return [{"type": "code_execution_tool_result", "tool_use_id": call_id, "content": content}]
    if result.name == "web_search":
        return [{"type": "web_search_tool_result", "tool_use_id": call_id, "content": []}]
    return [{"type": "text", "text": said}] if said else []


def foreign_citation(citation: Citation) -> Block:
    """Write another dialect's citation as the nearest that Anthropic has."""
    cited = citation.cited or ""
    if citation.kind == "url" or citation.url is not None:
        return {
            "type": "web_search_result_location",
            "url": citation.url or "",
            "title": citation.title,
            "cited_text": cited,
            "encrypted_index": "",
        }
    if citation.kind in ("char", "page", "block", "search") and citation.location is not None:
        block = render_citation(msgspec.structs.replace(citation, extra={}))
        block.setdefault("cited_text", "")
        block.setdefault("document_index", citation.document or 0)
        block.setdefault("document_title", citation.title or citation.document_id)
        return block
    first, last = citation.location or (0, len(cited))
    return {
        "type": "char_location",
        "cited_text": cited,
        "document_index": citation.document or 0,
        "document_title": citation.title or citation.document_id,
        "start_char_index": first,
        "end_char_index": last,
        "file_id": None,
    }


def render_usage(usage: Usage, tier: str | None = None) -> Block:
    """Write a `usage` object."""
    block: Block = {
        "input_tokens": usage.input + usage.input_audio + usage.input_image,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output_total,
        "service_tier": _TIERS.get(tier or usage.tier or "", "standard"),
    }
    if usage.reasoning:
        block["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.searches:
        block["server_tool_use"] = {"web_search_requests": usage.searches}
    return block


_TIERS = {"priority": "priority", "batch": "batch"}
