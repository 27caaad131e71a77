"""Anthropic's content blocks, and the parts of a conversation that they are.

docs.anthropic.com/en/api/messages (read 2026-11-20). What a part has no field for stays in its `extra`; a block that
is none of ours, or is not written as documented, becomes an `Opaque` as it was.
"""

from typing import Any, cast

import msgspec

from portico.dialects.malformed import Malformed
from portico.dialects.seal import PREFIX, unseal
from portico.ir import (
    JSON,
    CacheMark,
    Citation,
    Extra,
    File,
    Image,
    Opaque,
    Part,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

Block = dict[str, Any]

PLAIN: Extra = {"$plain": True}
"""Content that was written as a plain string. Read-only."""
FIVE = CacheMark("5m")
HOUR = CacheMark("1h")
_INNER = 2
"""How deep blocks stand in blocks: a document in a tool's result, a text in a document."""
_encode = msgspec.json.encode

LOCATIONS: dict[str, tuple[str, str, str]] = {
    "char_location": ("char", "start_char_index", "end_char_index"),
    "page_location": ("page", "start_page_number", "end_page_number"),
    "content_block_location": ("block", "start_block_index", "end_block_index"),
    "search_result_location": ("search", "start_block_index", "end_block_index"),
}
"""Where a citation points, by its wire name: our kind, and the names of where it begins and ends."""


def parse_content(content: JSON, where: str, depth: int = _INNER) -> tuple[Part, ...]:
    """Read a list of blocks. Raises Malformed."""
    if type(content) is not list:
        raise Malformed(where, "a string or a list of blocks")
    parts: list[Part] = []
    for at, block in enumerate(content):
        if type(block) is not dict:
            raise Malformed(f"{where}.{at}", "an object")
        if len(block) == 2 and block.get("type") == "text" and type(text := block.get("text")) is str:
            parts.append(Text(text=text))
            continue
        try:
            parts.append(parse_block(block, depth))
        except Malformed as error:
            raise error.within(f"{where}.{at}") from None
    return tuple(parts)


_OPTIONAL: dict[str, tuple[str, Any]] = {
    "tool_use": ("input", {}),
    "thinking": ("thinking", ""),
    "text": ("text", ""),
}
"""What of an answer's block some providers leave out, or say is null, where there is none of it."""


def completed(block: Block) -> Block:
    """Give an answer's block what it may have been sent without; changes it in place."""
    kind = block.get("type")
    known = _OPTIONAL.get(kind) if type(kind) is str else None
    if known is not None:
        name, empty = known
        if block.get(name) is None:
            block[name] = empty
        if name == "input" and block.get("id") is None:
            block["id"] = ""
    return block


def parse_block(block: Block, depth: int = _INNER) -> Part:
    """Read one block; takes the dict over. Raises Malformed where a field that must be there is not."""
    kind = block.get("type")
    if type(kind) is not str:
        raise Malformed("type", "a string")
    read = _READERS.get(kind)
    if read is not None:
        return read(block)
    holder = _HOLDERS.get(kind)
    if holder is not None:
        return holder(block, depth)
    if kind.endswith("_tool_result") and "content" in block and type(block.get("tool_use_id")) is str:
        return _server_result(block, kind)
    return Opaque(value=block)


def _string(block: Block, name: str) -> str:
    value = block.get(name)
    if type(value) is not str:
        raise Malformed(name, "a string")
    return value


def _take(extra: Extra, name: str) -> str | None:
    """Take an optional string out; what is none stays."""
    value = extra.get(name)
    if type(value) is str:
        del extra[name]
        return value
    return None


def take_cache(extra: Extra) -> CacheMark | None:
    """Take `cache_control` out; one with settings of its own also stays as it was written."""
    if "cache_control" not in extra:
        return None
    mark = extra["cache_control"]
    if type(mark) is not dict or mark.get("type") != "ephemeral":
        return None
    ttl = mark.get("ttl")
    if len(mark) == 1 or (len(mark) == 2 and ttl in ("5m", "1h")):
        del extra["cache_control"]
        if ttl == "5m":
            extra["$ttl"] = True
    return HOUR if ttl == "1h" else FIVE


def _text(block: Block) -> Part:
    text = _string(block, "text")
    if len(block) == 2:
        return Text(text=text)
    del block["type"], block["text"]
    cache = take_cache(block)
    found = block.get("citations")
    citations: tuple[Citation, ...] = ()
    if type(found) is list and found and all(type(one) is dict for one in found):
        citations = tuple(map(parse_citation, found))
        del block["citations"]
    return Text(text=text, citations=citations, cache=cache, extra=block)


def parse_citation(value: Block) -> Citation:
    """Read one location of any kind; takes the dict over."""
    kind = value.get("type")
    if kind == "web_search_result_location":
        cited, title, url = (_take(value, name) for name in ("cited_text", "title", "url"))
        del value["type"]
        return Citation(kind="url", cited=cited, title=title, url=url, extra=value)
    known = LOCATIONS.get(kind) if type(kind) is str else None
    if known is None:
        return Citation(cited=value.get("cited_text") if type(value.get("cited_text")) is str else None, extra=value)
    word, first, last = known
    del value["type"]
    location = None
    begins, ends = value.get(first), value.get(last)
    if type(begins) is int and type(ends) is int:
        location = (begins, ends)
        del value[first], value[last]
    document = value.get("document_index")
    if type(document) is int:
        del value["document_index"]
    else:
        document = None
    searched = word == "search"
    return Citation(
        kind=cast(Any, word),  # a kind of the table above
        cited=_take(value, "cited_text"),
        title=_take(value, "title" if searched else "document_title"),
        url=_take(value, "source") if searched else None,
        document=document,
        file_id=_take(value, "file_id"),
        location=location,
        extra=value,
    )


def _source(source: JSON) -> Source | None:
    """Read where an image or a document is; None for what has more to say than a Source holds."""
    if type(source) is not dict:
        return None
    kind, size = source.get("type"), len(source)
    if kind == "base64" or kind == "text":
        data, media_type = source.get("data"), source.get("media_type")
        if size == 3 and type(data) is str and type(media_type) is str:
            if kind == "text":
                return Source(text=data, media_type=media_type)
            return Source(data=data, media_type=media_type)
    elif kind == "url":
        if size == 2 and type(source.get("url")) is str:
            return Source(url=source["url"])
    elif kind == "file" and size == 2 and type(source.get("file_id")) is str:
        return Source(file_id=source["file_id"])
    return None


def _image(block: Block) -> Part:
    source = _source(block.get("source"))
    if source is None or source.text is not None:
        return Opaque(value=block)
    del block["type"], block["source"]
    cache = take_cache(block)
    return Image(source=source, cache=cache, extra=block)


def _document(block: Block, depth: int) -> Part:
    if depth < 1:
        return Opaque(value=block)
    written = block.get("source")
    source = _source(written)
    parts: tuple[Part, ...] = ()
    plain = False
    if source is None:
        if type(written) is not dict or written.get("type") != "content" or len(written) != 2:
            return Opaque(value=block)
        content = written.get("content")
        if type(content) is str:
            parts, plain = (Text(text=content),), True
        elif type(content) is list and content:
            parts = parse_content(content, "source.content", depth - 1)
        else:
            return Opaque(value=block)
        source = Source()
    del block["type"], block["source"]
    if plain:
        block["$plain"] = True
    return File(
        source=source,
        parts=parts,
        name=_take(block, "title"),
        context=_take(block, "context"),
        cite=_cite(block),
        cache=take_cache(block),
        extra=block,
    )


def _cite(block: Block) -> bool | None:
    asked = block.get("citations")
    if type(asked) is dict and len(asked) == 1 and type(asked.get("enabled")) is bool:
        del block["citations"]
        enabled: bool = asked["enabled"]
        return enabled
    return None


def _search_result(block: Block, depth: int) -> Part:
    content = block.get("content")
    if depth < 1 or type(content) is not list or not content:
        return Opaque(value=block)
    parts = parse_content(content, "content", depth - 1)
    del block["content"]
    return File(
        source=Source(),
        parts=parts,
        name=_take(block, "title"),
        origin=_take(block, "source"),
        cite=_cite(block),
        cache=take_cache(block),
        extra=block,
    )


def _thinking(block: Block) -> Part:
    text, signature = _string(block, "thinking"), block.get("signature")
    if type(signature) is str:
        if signature.startswith(PREFIX) and (thought := unseal(signature, text)) is not None:
            return thought
        if len(block) == 3:
            return Thinking(text=text, opaque=signature, maker="messages")
        del block["signature"]
    else:
        signature = None
        if len(block) == 2:
            return Thinking(text=text)
    del block["type"], block["thinking"]
    return Thinking(text=text, opaque=signature, maker="messages" if signature is not None else None, extra=block)


def _redacted(block: Block) -> Part:
    data = _string(block, "data")
    if data.startswith(PREFIX) and (thought := unseal(data)) is not None:
        return thought
    del block["type"], block["data"]
    return Thinking(opaque=data, maker="messages", redacted=True, extra=block)


def _tool_use(block: Block) -> Part:
    kind, call_id, name = block["type"], block.get("id"), block.get("name")
    if type(call_id) is not str or type(name) is not str:
        call_id, name = _string(block, "id"), _string(block, "name")
    if "input" not in block:
        raise Malformed("input", "given")
    arguments = _encode(block["input"]).decode()
    if kind == "tool_use":
        if len(block) == 4:
            return ToolCall(id=call_id, name=name, arguments=arguments)
        del block["type"], block["id"], block["name"], block["input"]
        return ToolCall(id=call_id, name=name, arguments=arguments, cache=take_cache(block), extra=block)
    del block["id"], block["name"], block["input"]
    return ToolCall(
        id=call_id,
        name=name,
        arguments=arguments,
        kind="server",
        server_type="mcp" if kind == "mcp_tool_use" else name,
        cache=take_cache(block),
        extra=block,
    )


def _tool_result(block: Block, depth: int) -> Part:
    if depth < _INNER:
        return Opaque(value=block)
    call_id = _string(block, "tool_use_id")
    content = block.get("content")
    if len(block) == 3 and type(content) is str:
        # The way of most answers.
        return ToolResult(id=call_id, parts=(Text(text=content),), extra=PLAIN)
    error = None
    if "is_error" in block and type(block["is_error"]) is bool:
        error = block.pop("is_error")
    parts: tuple[Part, ...] = ()
    del block["type"], block["tool_use_id"]
    if type(content) is str:
        parts = (Text(text=content),)
        del block["content"]
        if not block:
            return ToolResult(id=call_id, parts=parts, error=error, extra=PLAIN)
        block["$plain"] = True
    elif content:
        parts = parse_content(content, "content", depth - 1)
        del block["content"]
        if not block:
            return ToolResult(id=call_id, parts=parts, error=error)
    return ToolResult(id=call_id, parts=parts, error=error, cache=take_cache(block), extra=block)


def _server_result(block: Block, kind: str) -> Part:
    error = block.get("is_error")
    if type(error) is bool:
        del block["is_error"]
    else:
        error = None
    data = block.pop("content")
    return ToolResult(
        id=block.pop("tool_use_id"),
        name=kind.removesuffix("_tool_result"),
        data=data,
        error=error,
        server=True,
        cache=take_cache(block),
        extra=block,
    )


def _reference(block: Block) -> Part:
    """Read what a search for tools, made by the caller, has found; all of them are told of elsewhere."""
    return Text(text=f"The tool {_string(block, 'tool_name')} can be called now.", extra={"$block": block})


def _chats_image(block: Block) -> Part:
    """Read an image as Chat Completions has it: for models of other providers it is one all the same."""
    inner = block.get("image_url")
    url = inner.get("url") if type(inner) is dict else inner
    if type(url) is not str:
        return Opaque(value=block)
    head, comma, data = url.partition(",")
    if head.startswith("data:") and comma and head.endswith(";base64") and ";" not in (media_type := head[5:-7]):
        source = Source(data=data, media_type=media_type or None)
    else:
        source = Source(url=url)
    return Image(source=source, extra={"$block": block})


_READERS = {
    "text": _text,
    "image_url": _chats_image,
    "tool_reference": _reference,
    "image": _image,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "mcp_tool_use": _tool_use,
}
_HOLDERS = {"document": _document, "search_result": _search_result, "tool_result": _tool_result}
