"""What stands beside the content of a model's message: refusal, annotations, sound, images, the deprecated call.

Shapes: platform.openai.com/docs/api-reference/chat/object; `images` as OpenRouter writes them
(openrouter.ai/docs/features/multimodal/image-generation); read 2026-11-20.
"""

from typing import Any

import msgspec

from portico.dialects.chat.calls import parse_call
from portico.dialects.chat.hints import Table, keep, reopened
from portico.dialects.chat.parts import parse_image
from portico.ir import Audio, Citation, Image, Part, Refusal, Source, Text


def parse_beside(fields: Table, parts: list[Part], hints: Table, legacy_id: str, where: str) -> None:
    """Take out of a model's message what stands beside its content: refusal, annotations, sound, images, a call."""
    refusal = fields.get("refusal")
    if refusal and type(refusal) is str:
        del fields["refusal"]
        parts.append(Refusal(text=refusal))
    annotations = fields.get("annotations")
    if annotations and type(annotations) is list:
        parse_annotations(fields, annotations, parts)
    audio = fields.get("audio")
    if type(audio) is dict and any(map(audio.get, ("id", "data", "transcript"))):
        parts.append(parse_audio(fields.pop("audio")))
    images = fields.get("images")
    if images and type(images) is list and all(map(_an_image, images)):
        del fields["images"]
        hints["images"] = True
        for image in images:
            part = parse_image(image)
            assert isinstance(part, Image)
            parts.append(part)
    call = fields.get("function_call")
    # Some write an empty one beside `tool_calls`.
    if type(call) is dict and call.get("name") and not fields.get("tool_calls"):
        del fields["function_call"]
        hints["function_call"] = True
        parts.append(parse_call({"id": legacy_id, "type": "function", "function": call}, f"{where}.function_call"))


def _an_image(value: Any) -> bool:
    if type(value) is not dict or value.get("type") != "image_url":
        return False
    inner = value.get("image_url")
    return type(inner) is str or (type(inner) is dict and type(inner.get("url")) is str)


def parse_annotations(fields: Table, annotations: list[Any], parts: list[Part]) -> None:
    """Take annotations out of a message as citations of its last text, if all are of the kind that we know."""
    at = next((at for at in range(len(parts) - 1, -1, -1) if isinstance(parts[at], Text)), None)
    if at is None:
        return
    citations = []
    for item in annotations:
        citation = parse_citation(item)
        if citation is None:
            return
        citations.append(citation)
    del fields["annotations"]
    text = parts[at]
    assert isinstance(text, Text)
    parts[at] = msgspec.structs.replace(text, citations=tuple(citations))


def parse_citation(item: Any) -> Citation | None:
    """Read a `url_citation`; None for anything else. What is known of it is taken out of `item`."""
    inner = item.get("url_citation") if type(item) is dict else None
    if type(inner) is not dict or item.get("type") != "url_citation" or item.keys() != {"type", "url_citation"}:
        return None
    if type(inner.get("url")) is not str:
        return None
    inner = inner.copy()
    start = inner.pop("start_index") if type(inner.get("start_index")) is int else None
    end = inner.pop("end_index") if type(inner.get("end_index")) is int else None
    return Citation(
        kind="url",
        url=inner.pop("url"),
        title=inner.pop("title") if type(inner.get("title")) is str else None,
        cited=inner.pop("content") if type(inner.get("content")) is str else None,
        start=start,
        end=end,
        extra=inner,
    )


def render_citation(citation: Citation, own: bool) -> Table | None:
    """Write a citation as an annotation; None for one without an address, which this dialect cannot say."""
    if citation.url is None:
        return None
    inner: Table = {"url": citation.url}
    for name, value in (
        ("title", citation.title),
        ("start_index", citation.start),
        ("end_index", citation.end),
        ("content", citation.cited),
    ):
        if value is not None:
            inner[name] = value
    if own:
        return {"type": "url_citation", "url_citation": inner | citation.extra}
    # OpenAI's own objects always have these.
    inner.setdefault("title", citation.url)
    inner.setdefault("start_index", 0)
    inner.setdefault("end_index", 0)
    return {"type": "url_citation", "url_citation": inner}


def parse_audio(fields: Table) -> Audio:
    """Read the sound that a model made, or the id of what it said before."""
    data = fields.pop("data") if type(fields.get("data")) is str else None
    return Audio(
        source=Source(data=data),
        transcript=fields.pop("transcript") if type(fields.get("transcript")) is str else None,
        id=fields.pop("id") if type(fields.get("id")) is str else None,
        extra=keep(fields, {"in": "audio"}),
    )


def render_audio(part: Audio, own: bool) -> Table:
    """Write the sound that a model made."""
    fields, _ = reopened(part, own)
    for name, value in (("id", part.id), ("data", part.source.data), ("transcript", part.transcript)):
        if value is not None:
            fields[name] = value
    return fields
