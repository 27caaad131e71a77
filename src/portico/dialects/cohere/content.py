"""What a message of Cohere's holds: content, tool calls, documents, citations, both ways.

https://docs.cohere.com/reference/chat (read 2026-11-20). A `tool_plan`, what the model says before it calls tools, is
a text marked `$plan`. The signature of another maker's thought stands sealed in a `signature` beside the thought.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from portico.dialects.malformed import Malformed
from portico.dialects.seal import seal, seal_call, unseal, unseal_call
from portico.ir import (
    Citation,
    File,
    Image,
    Opaque,
    Part,
    Refusal,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from portico.types import Dialect

Object = dict[str, Any]

PLAN = "$plan"
"""Marks the text that is a tool plan."""

_DATA_URL = re.compile(r"data:([^;,]*)(;[^,]*)?;base64,")
_NUMBERED = re.compile(r"doc:(\d{1,6})")
# Under these a document keeps its text, and where there is one of them alone, a tool its answer.
_TEXTS = ("text", "snippet", "content")
# The fields of messages, functions and documents.
_USUAL = frozenset(("role", "content", "tool_calls", "tool_plan", "tool_call_id", "name", "description", "parameters"))
_USUAL |= {"data", "id", "citations"}
_encode = msgspec.json.encode


def clean(found: Object) -> Object:
    """Return a copy without names that begin with `$`, which are hints of ours and no fields of the API."""
    if found.keys() <= _USUAL:
        return found.copy()
    return {name: value for name, value in found.items() if name[:1] != "$"}


# Theirs to ours


def parse_part(found: Any, where: str) -> Part:
    """Read one part of a content; one of an unknown type is kept as it is."""
    if type(found) is not dict:
        raise Malformed(where, "an object")
    kind = found.get("type")
    if kind == "text" and type(found.get("text")) is str:
        if len(found) == 2:
            return Text(text=found["text"])
        return Text(text=found["text"], extra=_rest(found, "type", "text"))
    if kind == "thinking" and type(found.get("thinking")) is str:
        return _thinking(found)
    if kind == "image_url":
        return _image(found) or Opaque(value=found)
    if kind == "document":
        return _document_part(found) or Opaque(value=found)
    return Opaque(value=found)


def _rest(found: Object, *names: str) -> Object:
    return {name: value for name, value in found.items() if name not in names and name[:1] != "$"}


def _thinking(found: Object) -> Thinking:
    rest = _rest(found, "type", "thinking")
    sealed = rest.get("signature")
    if type(sealed) is str and (thought := unseal(sealed, found["thinking"])) is not None:
        return thought
    return Thinking(text=found["thinking"], extra=rest)


def _image(found: Object) -> Image | None:
    rest = _rest(found, "type")
    place = rest.get("image_url")
    if type(place) is str:
        rest["$string"] = True
        place = {"url": place}
    if type(place) is not dict or type(place.get("url")) is not str:
        return None
    del rest["image_url"]
    kept = _rest(place, "url")
    detail = kept.pop("detail") if type(kept.get("detail")) is str else None
    if kept:
        rest["image_url"] = kept
    url = place["url"]
    data = _DATA_URL.match(url)
    if data is None:
        return Image(source=Source(url=url), detail=detail, extra=rest)
    if data[2] or not data[1]:
        rest["$head"] = data[0]
    source = Source(data=url[data.end() :], media_type=data[1] or None)
    return Image(source=source, detail=detail, extra=rest)


def _document_part(found: Object) -> File | None:
    if type(found.get("document")) is not dict:
        return None
    document = parse_document(found["document"])
    rest = _rest(found, "type", "document")
    return msgspec.structs.replace(document, extra={**document.extra, "$part": rest}) if rest else document


def parse_document(found: Any) -> File:
    """Read a document: a string, or an id and a table of fields. Raises Malformed."""
    if type(found) is str:
        return File(source=Source(text=found))
    if type(found) is not dict:
        raise Malformed("documents", "a list of strings and objects")
    rest = clean(found)
    data = rest.pop("data", None)
    name = rest.pop("id") if type(rest.get("id")) is str else None
    if type(data) is dict:
        body = next((key for key in _TEXTS if type(data.get(key)) is str), "")
        title = data.get("title")
        if body and data.keys() <= {body, "title"}:
            text = data[body]
        else:
            # Whoever has no fields for a document is told all of them.
            text = "\n".join(f"{key}: {_word(value)}" for key, value in data.items() if key != "title")
        return File(
            source=Source(text=text), name=title if type(title) is str else None, id=name, data=data, extra=rest
        )
    if type(data) is str:
        return File(source=Source(text=data), id=name, data=data, extra=rest)
    if data is not None:
        raise Malformed("documents.data", "an object")
    rest["$no_data"] = True
    return File(source=Source(text=_encode(rest).decode()), id=name, extra=rest)


def _word(value: Any) -> str:
    return value if type(value) is str else _encode(value).decode()


def brief_call(found: Any) -> ToolCall | None:
    """Read a tool call of the shape of nearly every one; None for another."""
    if type(found) is not dict or len(found) != 3 or found.get("type") != "function":
        return None
    call, function = found.get("id"), found.get("function")
    if type(call) is not str or type(function) is not dict or len(function) != 2:
        return None
    name, arguments = function.get("name"), function.get("arguments")
    if type(name) is not str or type(arguments) is not str or not name or not arguments:
        return None
    return ToolCall(id=call, name=name, arguments=arguments)


def parse_call(found: Any, where: str) -> ToolCall:
    """Read a tool call. Raises Malformed."""
    brief = brief_call(found)
    if brief is not None:
        return brief
    function = found.get("function") if type(found) is dict else None
    if type(function) is not dict:
        raise Malformed(f"{where}.function", "an object")
    rest = _rest(found, "function")
    if rest.get("type") == "function":
        del rest["type"]
    else:
        rest["$type"] = rest.pop("type", None)
    name = function.get("name")
    if type(name) is not str or not name:
        raise Malformed(f"{where}.function.name", "a tool's name")
    arguments = function.get("arguments")
    call = rest.pop("id") if type(rest.get("id")) is str else ""
    if len(function) != 2 or type(arguments) is not str:
        kept = _rest(function, "name", "arguments")
        if type(arguments) is not str:
            kept["$arguments"] = "absent" if "arguments" not in function else "null"
            if arguments is not None:
                raise Malformed(f"{where}.function.arguments", "a string")
            arguments = "{}"
        rest["function"] = kept
    elif not arguments:
        rest["function"] = {"$arguments": "empty"}
        arguments = "{}"
    sealed = rest.get("signature")
    signature = None
    if type(sealed) is str and (opened := unseal_call(sealed)) is not None:
        signature = opened[1]
        del rest["signature"]
    return ToolCall(id=call, name=name, arguments=arguments, signature=signature, extra=rest)


def parse_citation(found: Any) -> list[Citation]:
    """Read a citation: one of ours for each of its sources."""
    if type(found) is not dict:
        return []
    start, end = found.get("start"), found.get("end")
    start = start if type(start) is int else None
    end = end if type(end) is int else None
    sources = found.get("sources")
    out = []
    for source in sources if type(sources) is list and sources else [{}]:
        if type(source) is not dict:
            continue
        name = source.get("id")
        name = name if type(name) is str else None
        document = source.get("document")
        document = document if type(document) is dict else {}
        number = _NUMBERED.fullmatch(name) if name is not None and source.get("type") == "document" else None
        url, title, text = (document.get(key) for key in ("url", "title", "text"))
        out.append(
            Citation(
                kind="document" if source.get("type") == "document" else "other",
                start=start,
                end=end,
                document=int(number[1]) if number is not None else None,
                document_id=name,
                url=url if type(url) is str else None,
                title=title if type(title) is str else None,
                cited=text if type(text) is str else None,
            )
        )
    return out


def cite(parts: list[Part], citations: Any, content: Sequence[int]) -> list[Part]:
    """Put citations to the texts that they are of. `content` are the places in `parts` of the content's parts."""
    if type(citations) is not list or not citations:
        return parts
    found: dict[int, list[Citation]] = {}
    texts = [at for at in content if isinstance(parts[at], Text)]
    plans = [at for at, part in enumerate(parts) if isinstance(part, Text) and PLAN in part.extra]
    for each in citations:
        if type(each) is not dict or each.get("type") == "THINKING_CONTENT":
            continue
        index = each.get("content_index")
        if each.get("type") == "PLAN":
            place = plans[0] if plans else None
        elif type(index) is int and 0 <= index < len(content) and content[index] in texts:
            place = content[index]
        else:
            place = texts[0] if texts else None
        if place is not None:
            found.setdefault(place, []).extend(parse_citation(each))
    return [
        msgspec.structs.replace(part, citations=tuple(found[at])) if isinstance(part, Text) and at in found else part
        for at, part in enumerate(parts)
    ]


# Ours to theirs


def strip(out: Object) -> Object:
    """Take the hints out of an object that is to be written."""
    for name in [name for name in out if name[:1] == "$"]:
        del out[name]
    return out


def render_text(part: Text, own: bool) -> Object:
    """Write a text."""
    if own and part.extra:
        return {"type": "text", "text": part.text, **strip(dict(part.extra))}
    return {"type": "text", "text": part.text}


def render_thinking(part: Thinking, own: bool, maker: Dialect | None) -> Object:
    """Write a thought. With `maker` it is for a caller: what that dialect sealed goes along."""
    out: Object = {"type": "thinking", "thinking": part.text, **(part.extra if own else {})}
    if maker is not None and (part.opaque is not None or part.redacted):
        out["signature"] = seal(part, maker)
    return strip(out)


def render_image(part: Image, own: bool) -> Object:
    """Write an image; it must be an address or data."""
    extra = part.extra if own else {}
    source = part.source
    url = source.url
    if url is None:
        head = extra.get("$head", f"data:{source.media_type or 'image/png'};base64,")
        url = f"{head}{source.data}"
    if extra.get("$string"):
        return strip({"type": "image_url", **extra, "image_url": url})
    place: Object = {"url": url, **extra.get("image_url", {})}
    if part.detail is not None:
        place["detail"] = part.detail
    return strip({"type": "image_url", **extra, "image_url": place})


def render_document(part: File, own: bool, name: str | None = None) -> Object | str:
    """Write a document that is text; `name` is its id where it has none."""
    if own:
        if part.data is None and part.id is None and not part.extra:
            return part.source.text or ""
        out = dict(part.extra)
        out.pop("$part", None)
        if "$no_data" not in out:
            out["data"] = part.data if part.data is not None else {"text": part.source.text or ""}
        if part.id is not None:
            out["id"] = part.id
        return strip(out)
    if type(part.data) is dict:
        data = part.data
    else:
        text = part.source.text
        if text is None:
            text = "\n".join(each.text for each in part.parts if isinstance(each, Text))
        data = {"text": text}
        if part.name:
            data["title"] = part.name
        if part.origin:
            data["url"] = part.origin
        if part.context:
            data["context"] = part.context
    identity = part.id or name
    return {"id": identity, "data": data} if identity else {"data": data}


def render_call(part: ToolCall, own: bool, reply: bool) -> Object:
    """Write a tool call. `reply` says that it is for a caller, who keeps Gemini's signature on it."""
    arguments = part.arguments
    if part.kind == "custom":
        arguments = _encode({"input": arguments}).decode()
    elif not arguments.strip():
        arguments = "{}"
    function: Object = {"name": part.name, "arguments": arguments}
    out: Object = {"id": part.id, "type": "function", "function": function}
    if own and part.extra:
        kept = part.extra.get("function", {})
        form = kept.get("$arguments")
        if form is not None and arguments == "{}":
            if form == "absent":
                del function["arguments"]
            else:
                function["arguments"] = None if form == "null" else ""
        function.update(kept)
        strip(function)
        out.update({name: value for name, value in part.extra.items() if name != "function"})
        if "$type" in out:
            del out["type"]
            if out["$type"] is not None:
                out["type"] = out["$type"]
        if not part.id:
            del out["id"]
        strip(out)
    if reply and part.signature is not None:
        out["signature"] = seal_call(part)
    return out


def render_citation(citation: Citation, text: str, index: int | None) -> Object:
    """Write a citation of a text. `index` is the place of the text in the content."""
    start = citation.start or 0
    end = len(text) if citation.end is None else citation.end
    document = {
        name: value
        for name, value in (("url", citation.url), ("title", citation.title), ("text", citation.cited))
        if value is not None
    }
    name = citation.document_id or citation.file_id
    if name is None:
        name = f"doc:{citation.document}" if citation.document is not None else citation.url or "doc:0"
    out: Object = {
        "start": start,
        "end": end,
        "text": text[start:end],
        "sources": [{"type": "document", "id": name, "document": {"id": name, **document}}],
        "type": "TEXT_CONTENT",
    }
    if index is not None:
        out["content_index"] = index
    return out


def said(part: Part) -> str | None:
    """Return the text of a part that is shown, None for any other part and for no text."""
    if isinstance(part, Text | Refusal):
        return part.text or None
    return None
