"""A conversation's parts as Anthropic's content blocks: as they were where this dialect parsed them."""

from typing import cast

from portico.dialects.arguments import merge, written_arguments
from portico.dialects.messages.blocks import LOCATIONS, Block
from portico.dialects.seal import seal
from portico.ir import (
    JSON,
    Audio,
    CacheMark,
    Citation,
    Extra,
    File,
    Image,
    Opaque,
    Part,
    Refusal,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

_LOCATION_OF = {kind: (name, first, last) for name, (kind, first, last) in LOCATIONS.items()}


def mark(block: Block, cache: CacheMark | None, extra: Extra | None = None) -> None:
    """Add `cache_control`."""
    if cache is not None and "cache_control" not in block:
        control = {"type": "ephemeral"}
        if cache.ttl == "1h" or (extra and "$ttl" in extra):
            control["ttl"] = cache.ttl
        block["cache_control"] = control


def render_source(source: Source) -> Block:
    """Write where an image or a document is."""
    if source.data is not None:
        return {"type": "base64", "media_type": source.media_type or sniff(source.data), "data": source.data}
    if source.url is not None:
        return {"type": "url", "url": source.url}
    if source.file_id is not None:
        return {"type": "file", "file_id": source.file_id}
    return {"type": "text", "media_type": "text/plain", "data": source.text or ""}


_HEADS = {"/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp", "JVBE": "application/pdf"}


def sniff(data: str) -> str:
    """Guess the media type of base64 data by how it begins; a PNG image where nothing fits."""
    return _HEADS.get(data[:4], "image/png")


def render_file(part: File, parts: list[Block]) -> Block:
    """Write a document; `parts` are its blocks, already written."""
    block: Block
    if part.extra.get("type") == "search_result":
        block = {"type": "search_result", "content": parts}
        if part.origin is not None:
            block["source"] = part.origin
        if part.name is not None:
            block["title"] = part.name
    else:
        if not part.parts:
            source = render_source(part.source)
            if part.source.text is not None and part.source.media_type:
                source["media_type"] = part.source.media_type
        else:
            content: JSON = parts
            if "$plain" in part.extra and len(parts) == 1:
                content = parts[0]["text"]
            source = {"type": "content", "content": content}
        block = {"type": "document", "source": source}
        if part.name is not None:
            block["title"] = part.name
        if part.context is not None:
            block["context"] = part.context
    if part.cite is not None:
        block["citations"] = {"enabled": part.cite}
    return block


def render_citation(citation: Citation) -> Block:
    """Write a citation that this dialect made."""
    block: Block
    if citation.kind == "url":
        block = {"type": "web_search_result_location"}
        if citation.url is not None:
            block["url"] = citation.url
        if citation.title is not None:
            block["title"] = citation.title
    elif citation.kind in _LOCATION_OF:
        name, first, last = _LOCATION_OF[citation.kind]
        block = {"type": name}
        if citation.location is not None:
            block[first], block[last] = citation.location
        if citation.document is not None:
            block["document_index"] = citation.document
        searched = citation.kind == "search"
        if citation.title is not None:
            block["title" if searched else "document_title"] = citation.title
        if citation.url is not None and searched:
            block["source"] = citation.url
        if citation.file_id is not None:
            block["file_id"] = citation.file_id
    else:
        block = {}
    if citation.cited is not None:
        block["cited_text"] = citation.cited
    if citation.extra:
        merge(block, citation.extra)
    return block


def render_thinking(thought: Thinking) -> Block:
    """Write a thought; one that another maker sealed is sealed again in ours."""
    if thought.maker not in (None, "messages") or thought.id is not None or thought.summary:
        return {"type": "thinking", "thinking": thought.text, "signature": seal(thought)}
    if thought.redacted:
        block = {"type": "redacted_thinking", "data": thought.opaque or ""}
    else:
        block = {"type": "thinking", "thinking": thought.text}
        if thought.opaque is not None:
            block["signature"] = thought.opaque
    return block


def render_block(part: Part) -> Block:
    """Write a part that this dialect parsed, as it was."""
    block: Block
    cache: CacheMark | None = None
    match part:
        case Text():
            block = {"type": "text", "text": part.text}
            if part.citations:
                block["citations"] = [render_citation(one) for one in part.citations]
            cache = part.cache
        case ToolCall():
            kind = "tool_use" if part.kind == "function" else part.extra.get("type", "server_tool_use")
            block = {"type": kind, "id": part.id, "name": part.name, "input": written_arguments(part.arguments)}
            cache = part.cache
        case ToolResult():
            block = _render_result(part)
            cache = part.cache
        case Thinking():
            block = render_thinking(part)
        case Image():
            block = {"type": "image", "source": render_source(part.source)}
            cache = part.cache
        case File():
            block = render_file(part, [render_block(one) for one in part.parts])
            cache = part.cache
        case Opaque():
            return cast(Block, part.value)
        case Refusal():
            return {"type": "text", "text": part.text}
        case Audio() | Video():
            return {"type": "text", "text": getattr(part, "transcript", None) or ""}
    extra = part.extra
    if extra:
        if "$block" in extra:
            return cast(Block, extra["$block"])
        if cache is not None and "cache_control" not in extra:
            mark(block, cache, extra)
        merge(block, extra)
    elif cache is not None:
        mark(block, cache)
    return block


def _render_result(part: ToolResult) -> Block:
    block: Block
    if part.server:
        block = {
            "type": part.extra.get("type") or f"{part.name or 'web_search'}_tool_result",
            "tool_use_id": part.id,
            "content": part.data,
        }
    else:
        block = {"type": "tool_result", "tool_use_id": part.id}
        if part.parts:
            first = part.parts[0]
            if "$plain" in part.extra and len(part.parts) == 1 and type(first) is Text:
                block["content"] = first.text
            else:
                block["content"] = [render_block(one) for one in part.parts]
    if part.error is not None:
        block["is_error"] = part.error
    return block
