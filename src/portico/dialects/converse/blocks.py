"""Converse's content blocks, and the parts of a conversation that they are.

docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html (read 2026-11-20): a block is an object
with one member, whose name says what it is. A `cachePoint` is a mark on the part before it. What a part has no field
for stays in its `extra`; a block that is none of ours becomes an `Opaque` as it was.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import msgspec

from portico.dialects.malformed import Malformed
from portico.dialects.seal import PREFIX, seal_call, unseal, unseal_call
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

Block = dict[str, Any]

FIVE = CacheMark("5m")
HOUR = CacheMark("1h")
_INNER = 2
"""How deep blocks stand in blocks: a document in a tool's result, a text in a document."""
_encode = msgspec.json.encode
_replace = msgspec.structs.replace

DOCUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "pdf": "application/pdf",
        "csv": "text/csv",
        "doc": "application/msword",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls": "application/vnd.ms-excel",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "html": "text/html",
        "txt": "text/plain",
        "md": "text/markdown",
    }
)
"""Formats of documents, and what they are as MIME types."""
IMAGES = frozenset(("png", "jpeg", "gif", "webp"))
VIDEOS = frozenset(("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"))
SOUNDS = frozenset(
    ("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm", "webm")
)

LOCATIONS = {
    "documentChar": "char",
    "documentPage": "page",
    "documentChunk": "block",
    "searchResultLocation": "search",
}
"""Where a citation points, by its wire name: our kind."""


def parse_content(content: JSON, where: str, depth: int = _INNER) -> tuple[Part, ...]:
    """Read a list of blocks. Raises Malformed."""
    if type(content) is not list:
        raise Malformed(where, "a list of blocks")
    parts: list[Part] = []
    for at, block in enumerate(content):
        if type(block) is not dict:
            raise Malformed(f"{where}.{at}", "an object")
        if len(block) == 1 and type(text := block.get("text")) is str:
            parts.append(Text(text=text))
            continue
        if "cachePoint" in block:
            marked = _marked(parts[-1], block) if parts else None
            if marked is not None:
                parts[-1] = marked
                continue
        try:
            parts.append(parse_block(block, depth))
        except Malformed as error:
            raise error.within(f"{where}.{at}") from None
    return tuple(parts)


_SEALED = b64encode(b"portico:call").decode()


def signed(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Give sealed signatures back to the tool calls that they belong to."""
    for part in parts:
        if type(part) is Thinking:
            break
    else:
        return parts
    signatures: dict[str, str] = {}
    kept: list[Part] = []
    for part in parts:
        call = _signature(part) if type(part) is Thinking and part.redacted else None
        if call is not None:
            signatures[call[0]] = call[1]
        elif type(part) is ToolCall and part.id in signatures:
            kept.append(_replace(part, signature=signatures[part.id]))
        else:
            kept.append(part)
    return tuple(kept) if signatures else parts


def _signature(thought: Thinking) -> tuple[str, str] | None:
    if thought.opaque is None or not thought.opaque.startswith(_SEALED):
        return None
    try:
        return unseal_call(b64decode(thought.opaque).decode("latin-1"))
    except ValueError:  # not base64
        return None


def sealed_call(call: ToolCall) -> Block:
    """Write the signature of a call that another maker wants back, as a thought that nobody reads."""
    return {"reasoningContent": {"redactedContent": b64encode(seal_call(call).encode()).decode()}}


def cache_of(block: Block) -> tuple[CacheMark, bool] | None:
    """Read a `cachePoint` that says no more than a mark can, and whether it names its five minutes."""
    point = block.get("cachePoint")
    if type(point) is not dict or point.get("type") != "default" or len(block) != 1:
        return None
    ttl = point.get("ttl")
    if len(point) == 1:
        return FIVE, False
    if len(point) == 2 and ttl in ("5m", "1h"):
        return (HOUR, False) if ttl == "1h" else (FIVE, True)
    return None


def _marked(part: Part, block: Block) -> Part | None:
    found = cache_of(block)
    if found is None or isinstance(part, Thinking | Refusal | Opaque) or part.cache is not None:
        return None
    cache, named = found
    if named:
        return _replace(part, cache=cache, extra={**part.extra, "$ttl": True})
    return _replace(part, cache=cache)


def parse_block(block: Block, depth: int = _INNER) -> Part:
    """Read one block. Raises Malformed where what must be there is not."""
    if len(block) == 1:
        name, value = next(iter(block.items()))
        if name == "text":
            if type(value) is not str:
                raise Malformed("text", "a string")
            return Text(text=value)
        read = _READERS.get(name)
        holder = _HOLDERS.get(name) if read is None else None
        if read is not None or holder is not None:
            if type(value) is not dict:
                raise Malformed(name, "an object")
            part = read(value) if read is not None else holder(value, depth) if holder is not None else None
            return part if part is not None else Opaque(value=block)
    elif type(block.get("text")) is str and not any(name in _READERS or name in _HOLDERS for name in block):
        return Text(text=block["text"], extra={name: value for name, value in block.items() if name != "text"})
    return Opaque(value=block)


def _string(value: Block, name: str) -> str:
    found = value.get(name)
    if type(found) is not str:
        raise Malformed(name, "a string")
    return found


def _rest(value: Block, *names: str) -> Extra:
    if len(value) <= len(names) and value.keys() <= set(names):
        return {}
    return {name: found for name, found in value.items() if name not in names}


def _source(value: JSON, media_type: str | None) -> tuple[Source, Extra] | None:
    if type(value) is not dict or len(value) != 1:
        return None
    if type(value.get("bytes")) is str:
        return Source(data=value["bytes"], media_type=media_type), {}
    place = value.get("s3Location")
    if type(place) is dict and type(place.get("uri")) is str:
        # What is kept at Amazon is no address to anybody else.
        return Source(file_id=place["uri"], media_type=media_type), _rest(place, "uri")
    return None


def _media(value: Block, formats: frozenset[str], kind: str) -> tuple[Source, Extra] | None:
    form = value.get("format")
    if type(form) is not str or form not in formats:
        return None
    found = _source(value.get("source"), f"{kind}/{form}")
    if found is None:
        return None
    source, place = found
    extra = _rest(value, "format", "source")
    if place:
        extra["$place"] = place
    return source, extra


def _image(value: Block) -> Part | None:
    found = _media(value, IMAGES, "image")
    return Image(source=found[0], extra=found[1]) if found is not None else None


def _video(value: Block) -> Part | None:
    found = _media(value, VIDEOS, "video")
    return Video(source=found[0], extra=found[1]) if found is not None else None


def _audio(value: Block) -> Part | None:
    found = _media(value, SOUNDS, "audio")
    return Audio(source=found[0], extra=found[1]) if found is not None else None


def _document(value: Block, depth: int) -> Part | None:
    form, name, context, written = (value.get(key) for key in ("format", "name", "context", "source"))
    media_type = DOCUMENTS.get(form) if type(form) is str else None
    if (form is not None and media_type is None) or type(name) is not str or type(written) is not dict:
        return None
    if (context is not None and type(context) is not str) or depth < 1 or len(written) != 1:
        return None
    parts: tuple[Part, ...] = ()
    place: Extra = {}
    if type(written.get("text")) is str:
        source = Source(text=written["text"], media_type=media_type)
    elif type(written.get("content")) is list and written["content"]:
        parts = parse_content(written["content"], "source.content", depth - 1)
        source = Source(media_type=media_type)
    else:
        found = _source(written, media_type)
        if found is None:
            return None
        source, place = found
    extra = _rest(value, "format", "name", "source", "context")
    cite = _cite(extra)
    if place:
        extra["$place"] = place
    return File(source=source, parts=parts, name=name, context=context, cite=cite, extra=extra)


def _cite(extra: Extra) -> bool | None:
    asked = extra.get("citations")
    if type(asked) is dict and len(asked) == 1 and type(asked.get("enabled")) is bool:
        del extra["citations"]
        enabled: bool = asked["enabled"]
        return enabled
    return None


def _search_result(value: Block, depth: int) -> Part | None:
    title, content = value.get("title"), value.get("content")
    if depth < 1 or type(content) is not list or not content or type(title) is not str:
        return None
    parts = parse_content(content, "content", depth - 1)
    extra = _rest(value, "title", "content")
    cite = _cite(extra)
    origin = extra.pop("source") if type(extra.get("source")) is str else None
    extra["$search"] = True
    return File(source=Source(), parts=parts, name=title, origin=origin, cite=cite, extra=extra)


def _tool_use(value: Block) -> Part | None:
    call_id, name = value.get("toolUseId"), value.get("name")
    if type(call_id) is not str or type(name) is not str:
        call_id, name = _string(value, "toolUseId"), _string(value, "name")
    if "input" not in value:
        raise Malformed("input", "given")
    arguments = _encode(value["input"]).decode()
    if len(value) == 3:
        return ToolCall(id=call_id, name=name, arguments=arguments)
    extra = _rest(value, "toolUseId", "name", "input")
    if extra.get("type") == "server_tool_use":
        kind = SYSTEM_TOOLS.get(name, name)
        return ToolCall(id=call_id, name=name, arguments=arguments, kind="server", server_type=kind, extra=extra)
    return ToolCall(id=call_id, name=name, arguments=arguments, extra=extra)


SYSTEM_TOOLS: Mapping[str, str] = MappingProxyType(
    {"nova_grounding": "web_search", "nova_code_interpreter": "code_execution"}
)
"""Amazon's own tools, and our words for them."""


def _tool_result(value: Block, depth: int) -> Part | None:
    if depth < _INNER:
        return None
    call_id, content, status = _string(value, "toolUseId"), value.get("content"), value.get("status")
    if len(value) == 2 and type(content) is list and len(content) == 1:
        # The way of most answers: some words, and nothing of how it went.
        only = content[0]
        if type(only) is dict and len(only) == 1 and type(text := only.get("text")) is str:
            return ToolResult(id=call_id, parts=(Text(text=text),))
    extra = _rest(value, "toolUseId", "content", "status")
    error = None
    if status == "success" or status == "error":
        error = status == "error"
    elif "status" in value:
        extra["status"] = status
    parts: tuple[Part, ...] = ()
    data = None
    if type(content) is list and len(content) == 1 and _object(content[0]):
        data = content[0]["json"]
    elif content:
        parts = _answers(content, depth - 1)
    elif "content" in value:
        extra["content"] = content
    kind = extra.get("type")
    if type(kind) is str:
        name = kind.removesuffix("_result")
        name = SYSTEM_TOOLS.get(name, name)
        return ToolResult(id=call_id, name=name, parts=parts, data=data, error=error, server=True, extra=extra)
    return ToolResult(id=call_id, parts=parts, data=data, error=error, extra=extra)


def _object(block: JSON) -> bool:
    return type(block) is dict and len(block) == 1 and type(block.get("json")) is dict


def _answers(content: JSON, depth: int) -> tuple[Part, ...]:
    if type(content) is not list:
        raise Malformed("content", "a list of blocks")
    parts: list[Part] = []
    for at, block in enumerate(content):
        if type(block) is dict and len(block) == 1 and type(text := block.get("text")) is str:
            parts.append(Text(text=text))
        elif type(block) is dict and len(block) == 1 and "json" in block:
            parts.append(Text(text=_encode(block["json"]).decode(), extra={"$json": True}))
        else:
            parts.extend(parse_content([block], f"content.{at}", depth))
    return tuple(parts)


def _guard(value: Block) -> Part | None:
    inner = value.get("text")
    if len(value) != 1 or type(inner) is not dict or type(inner.get("text")) is not str:
        return None
    return Text(text=inner["text"], extra={"$guard": _rest(inner, "text")})


def _reasoning(value: Block) -> Part | None:
    if len(value) != 1:
        return None
    redacted = value.get("redactedContent")
    if type(redacted) is str:
        return Thinking(opaque=redacted, maker="converse", redacted=True)
    said = value.get("reasoningText")
    if type(said) is not dict:
        return None
    text, signature = said.get("text"), said.get("signature")
    if type(text) is not str:
        return None
    if type(signature) is str:
        if signature.startswith(PREFIX) and (thought := unseal(signature, text)) is not None:
            return thought
        return Thinking(text=text, opaque=signature, maker="converse", extra=_rest(said, "text", "signature"))
    return Thinking(text=text, extra=_rest(said, "text"))


def _cited(value: Block) -> Part | None:
    content, citations = value.get("content"), value.get("citations")
    if len(value) != 2 or type(content) is not list or type(citations) is not list:
        return None
    texts = [one.get("text") if type(one) is dict and len(one) == 1 else None for one in content]
    if not all(type(text) is str for text in texts) or not all(type(one) is dict for one in citations):
        return None
    extra: Extra = {"$cited": True if len(texts) == 1 else texts}
    text = "".join(cast(list[str], texts))
    return Text(text=text, citations=tuple(map(parse_citation, citations)), extra=extra)


def parse_citation(value: Block) -> Citation:
    """Read a citation, whole or from a stream."""
    extra = _rest(value, "location", "title", "sourceContent")
    title = value.get("title")
    if type(title) is not str:
        if "title" in value:
            extra["title"] = title
        title = None
    cited = None
    quoted = value.get("sourceContent")
    if type(quoted) is list and quoted and all(_quote(one) for one in quoted):
        cited = "".join(one["text"] for one in quoted)
        if len(quoted) > 1:
            extra["$quotes"] = [one["text"] for one in quoted]
    elif "sourceContent" in value:
        extra["sourceContent"] = quoted
    place = value.get("location")
    if type(place) is dict and len(place) == 1:
        name, inner = next(iter(place.items()))
        if name == "web" and type(inner) is dict and type(inner.get("url")) is str:
            rest = _rest(inner, "url")
            if rest:
                extra["$web"] = rest
            return Citation(kind="url", url=inner["url"], title=title, cited=cited, extra=extra)
        kind = LOCATIONS.get(name)
        index = "searchResultIndex" if kind == "search" else "documentIndex"
        if kind is not None and type(inner) is dict and set(inner) <= {index, "start", "end"}:
            found = inner.get(index), inner.get("start"), inner.get("end")
            if all(type(one) is int for one in found):
                return Citation(
                    kind=cast(Any, kind),  # a kind of the table above
                    title=title,
                    cited=cited,
                    document=found[0],
                    location=(cast(int, found[1]), cast(int, found[2])),
                    extra=extra,
                )
    if "location" in value:
        extra["location"] = place
    return Citation(title=title, cited=cited, extra=extra)


def _quote(value: JSON) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("text")) is str


_READERS = {
    "image": _image,
    "video": _video,
    "audio": _audio,
    "toolUse": _tool_use,
    "guardContent": _guard,
    "reasoningContent": _reasoning,
    "citationsContent": _cited,
}
_HOLDERS = {"document": _document, "searchResult": _search_result, "toolResult": _tool_result}
