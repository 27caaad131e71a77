"""A frame of Gemini's own, written again as the element that it was, with what its events say now."""

import msgspec

from portico.dialects.gemini.reply import nothing_lost
from portico.dialects.gemini.spelling import Object, closed
from portico.dialects.gemini.writing import render_part
from portico.ir import ArgumentsDelta, Frame, Part, PartStarted, Text, TextDelta, Thinking, ThinkingDelta, ToolCall


def again(frame: Frame) -> Object:
    """Write a frame of our own as the element that it was, with what its events say now."""
    extra = frame.extra
    if "$candidates" not in extra:
        return closed(dict(extra))
    texts: dict[int, list[TextDelta | ThinkingDelta]] = {}
    others: dict[int, list[Part]] = {}
    for event in frame.events:
        if isinstance(event, TextDelta | ThinkingDelta):
            texts.setdefault(event.choice, []).append(event)
        elif isinstance(event, PartStarted):
            part = event.part
            if not isinstance(part, Text | Thinking) or (isinstance(part, Thinking) and part.opaque is not None):
                others.setdefault(event.choice, []).append(part)
        elif isinstance(event, ArgumentsDelta):
            called = others.get(event.choice)
            if called and isinstance(call := called[-1], ToolCall):
                called[-1] = msgspec.structs.replace(call, arguments=event.text)
    out = dict(extra)
    out["candidates"] = [_candidate(each, at, texts, others) for at, each in enumerate(extra["$candidates"])]
    return closed(out)


def _candidate(
    extra: Object, at: int, texts: dict[int, list[TextDelta | ThinkingDelta]], others: dict[int, list[Part]]
) -> Object:
    templates = extra.get("$parts")
    if templates is None:
        return extra
    out = extra.copy()
    del out["$parts"]
    index = out.get("index")
    choice = index if type(index) is int else at
    said = iter(texts.get(choice, ()))
    whole = iter(part for part in others.get(choice, ()) if "$pieces" not in part.extra)
    parts = []
    for template in templates:
        if template is None:
            found = next(whole, None)
            written = None if found is None else render_part(found, True, True, nothing_lost)
        elif "$whole" in template:
            written = template["$whole"]
        else:
            delta = next(said, None)
            written = None if delta is None else closed({**template, "text": delta.text})
        if written is not None:
            parts.append(written)
    out["content"] = {**out["content"], "parts": parts}
    return closed(out)
