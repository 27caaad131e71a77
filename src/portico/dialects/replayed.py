"""A whole reply as the frames of a stream: for a provider that answers whole where a stream was asked for."""

import msgspec

from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Choice,
    CitationDelta,
    Ended,
    Finished,
    Frame,
    Part,
    PartEnded,
    PartStarted,
    Refusal,
    Reply,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)

_replace = msgspec.structs.replace


def frames(reply: Reply) -> list[Frame]:
    """Return the frames that tell a reply: its parts one after another, each at once, then usage and the end."""
    events: list[AnyEvent] = [Started(id=reply.id, model=reply.model, created=reply.created)]
    for choice in reply.choices:
        _tell(choice, events)
    if reply.usage is not None:
        events.append(Used(usage=reply.usage))
    events.append(Ended())
    return [Frame(dialect=reply.dialect, events=(event,)) for event in events]


def _tell(choice: Choice, events: list[AnyEvent]) -> None:
    spoken = choice.logprobs
    for index, part in enumerate(choice.parts):
        begun, deltas = _split(part, choice.index, index)
        if spoken is not None and deltas and type(deltas[0]) is TextDelta:
            deltas[0] = _replace(deltas[0], logprobs=spoken)
            spoken = None
        events.append(PartStarted(choice=choice.index, index=index, part=begun))
        events += deltas
        events.append(PartEnded(choice=choice.index, index=index))
    events.append(
        Finished(
            choice=choice.index,
            finish=choice.finish or "stop",
            finish_raw=choice.finish_raw,
            stop_sequence=choice.stop_sequence,
        )
    )


def _split(part: Part, choice: int, index: int) -> tuple[Part, list[AnyEvent]]:
    """Return how a part begins, and the deltas that fill it."""
    if isinstance(part, Text):
        told: list[AnyEvent] = [TextDelta(choice=choice, index=index, text=part.text)]
        told += [CitationDelta(choice=choice, index=index, citation=citation) for citation in part.citations]
        return _replace(part, text="", citations=()), told
    if isinstance(part, Refusal):
        return _replace(part, text=""), [TextDelta(choice=choice, index=index, text=part.text)]
    if isinstance(part, Thinking) and not part.redacted:
        filled = ThinkingDelta(choice=choice, index=index, text=part.text, opaque=part.opaque)
        return _replace(part, text="", opaque=None), [filled]
    if isinstance(part, ToolCall) and part.kind == "function":
        filled_call = ArgumentsDelta(choice=choice, index=index, text=part.arguments)
        return _replace(part, arguments=""), [filled_call]
    if isinstance(part, Audio):
        sound = AudioDelta(choice=choice, index=index, data=part.source.data or "", transcript=part.transcript or "")
        return _replace(part, source=_replace(part.source, data=""), transcript=None), [sound]
    return part, []
