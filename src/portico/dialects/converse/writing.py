"""A conversation's parts as Converse's content blocks: as they were where this dialect parsed them."""

from typing import cast

from portico.dialects.arguments import merge, written_arguments
from portico.dialects.converse.blocks import DOCUMENTS, LOCATIONS, Block
from portico.dialects.seal import seal
from portico.ir import (
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

_LOCATION_OF = {kind: name for name, kind in LOCATIONS.items()}


def point(cache: CacheMark, extra: Extra | None = None) -> Block:
    """Write a `cachePoint`."""
    inner = {"type": "default"}
    if cache.ttl == "1h" or (extra and "$ttl" in extra):
        inner["ttl"] = cache.ttl
    return {"cachePoint": inner}


def render_content(parts: tuple[Part, ...]) -> list[Block]:
    """Write parts that this dialect parsed, as they were."""
    blocks = []
    for part in parts:
        if type(part) is Text and not part.extra and not part.citations:
            blocks.append({"text": part.text})
        else:
            blocks.append(render_block(part))
        if not isinstance(part, Thinking | Refusal | Opaque) and part.cache is not None:
            blocks.append(point(part.cache, part.extra))
    return blocks


def render_place(source: Source, extra: Extra) -> Block:
    """Write where bytes are."""
    if source.data is not None:
        return {"bytes": source.data}
    return {"s3Location": {"uri": source.file_id or source.url or "", **extra.get("$place", {})}}


def render_block(part: Part) -> Block:
    """Write one part, without its cache mark."""
    match part:
        case Text():
            return _render_text(part)
        case ToolCall():
            use: Block = {"toolUseId": part.id, "name": part.name, "input": written_arguments(part.arguments)}
            merge(use, part.extra)
            return {"toolUse": use}
        case ToolResult():
            return _render_result(part)
        case Thinking():
            return {"reasoningContent": render_thinking(part)}
        case Image():
            return {"image": _render_media(part.source, part.extra)}
        case Video():
            return {"video": _render_media(part.source, part.extra)}
        case Audio():
            return {"audio": _render_media(part.source, part.extra)}
        case File():
            return _render_file(part)
        case Opaque():
            return cast(Block, part.value)
        case Refusal():
            return {"text": part.text}


def _render_text(part: Text) -> Block:
    extra = part.extra
    if "$json" in extra:
        return {"json": written_arguments(part.text)}
    if "$guard" in extra:
        return {"guardContent": {"text": {"text": part.text, **extra["$guard"]}}}
    if part.citations or "$cited" in extra:
        texts = extra.get("$cited")
        if type(texts) is not list or "".join(texts) != part.text:
            texts = [part.text]
        content = [{"text": text} for text in texts]
        return {"citationsContent": {"content": content, "citations": [render_citation(one) for one in part.citations]}}
    block: Block = {"text": part.text}
    merge(block, extra)
    return block


def render_thinking(thought: Thinking) -> Block:
    """Write a thought; one that another maker sealed is sealed again in ours."""
    if thought.maker not in (None, "converse") or thought.id is not None or thought.summary:
        return {"reasoningText": {"text": thought.text, "signature": seal(thought)}}
    if thought.redacted:
        return {"redactedContent": thought.opaque or ""}
    said: Block = {"text": thought.text}
    if thought.opaque is not None:
        said["signature"] = thought.opaque
    merge(said, thought.extra)
    return {"reasoningText": said}


def _render_media(source: Source, extra: Extra) -> Block:
    block: Block = {
        "format": (source.media_type or "").partition("/")[2],
        "source": render_place(source, extra),
    }
    merge(block, extra)
    return block


_FORMATS = {media_type: form for form, media_type in DOCUMENTS.items()}


def _render_file(part: File) -> Block:
    block: Block
    if "$search" in part.extra:
        block = {"title": part.name, "content": render_content(part.parts)}
        if part.origin is not None:
            block["source"] = part.origin
    else:
        source: Block
        if part.parts:
            source = {"content": render_content(part.parts)}
        elif part.source.text is not None:
            source = {"text": part.source.text}
        else:
            source = render_place(part.source, part.extra)
        block = {"name": part.name, "source": source}
        form = _FORMATS.get(part.source.media_type or "")
        if form is not None:
            block["format"] = form
        if part.context is not None:
            block["context"] = part.context
    if part.cite is not None:
        block["citations"] = {"enabled": part.cite}
    merge(block, part.extra)
    return {"searchResult" if "$search" in part.extra else "document": block}


def _render_result(part: ToolResult) -> Block:
    block: Block = {"toolUseId": part.id}
    if part.data is not None:
        block["content"] = [{"json": part.data}]
    elif part.parts:
        block["content"] = render_content(part.parts)
    if part.error is not None:
        block["status"] = "error" if part.error else "success"
    merge(block, part.extra)
    return {"toolResult": block}


def render_citation(citation: Citation) -> Block:
    """Write a citation."""
    extra = citation.extra
    block: Block = {}
    if citation.title is not None:
        block["title"] = citation.title
    if citation.cited is not None:
        quotes = extra.get("$quotes") or [citation.cited]
        block["sourceContent"] = [{"text": quote} for quote in quotes]
    if citation.kind == "url":
        block["location"] = {"web": {"url": citation.url or "", **extra.get("$web", {})}}
    elif citation.location is not None and citation.kind in _LOCATION_OF:
        index = "searchResultIndex" if citation.kind == "search" else "documentIndex"
        first, last = citation.location
        block["location"] = {_LOCATION_OF[citation.kind]: {index: citation.document or 0, "start": first, "end": last}}
    merge(block, extra)
    return block
