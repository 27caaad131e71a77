"""Tool calls that came without an id, as some servers send them: each gets one, for its result to name it by."""

import msgspec

from portico.dialects import retold
from portico.dialects.crossing import Given
from portico.ir import Frame, Part, PartStarted, Reply, ToolCall


def told(reply: Reply, given: Given) -> Reply:
    """Return a reply in which every call has an id."""
    if any(type(part) is ToolCall and not part.id for choice in reply.choices for part in choice.parts):
        return retold.reply(reply, _named, given)
    return reply


def heard(frame: Frame, given: Given) -> Frame:
    """Return a frame in which every call that begins has an id; the same one where all have."""
    for event in frame.events:
        if type(event) is PartStarted and type(event.part) is ToolCall and not event.part.id:
            return retold.parts(frame, _named, given)
    return frame


def _named(part: Part, given: Given) -> Part:
    if type(part) is ToolCall and not part.id:
        return msgspec.structs.replace(part, id=given.new_id("call_"))
    return part
