"""Replies and frames told again, with their parts or their events put otherwise: as the caller asked, not its provider.

A frame in which nothing is put otherwise is the same object: an encoder of its own dialect writes it as it came.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from portico.ir import AnyEvent, Frame, Part, PartEnded, PartStarted, Reply

_replace = msgspec.structs.replace

T = TypeVar("T")


def reply(told: Reply, put: Callable[[Part, T], Part], by: T) -> Reply:
    """Return a reply with each part as `put` makes it, `by` what it goes by."""
    choices = [_replace(choice, parts=tuple([put(part, by) for part in choice.parts])) for choice in told.choices]
    return _replace(told, choices=tuple(choices))


def parts(frame: Frame, put: Callable[[Part, T], Part], by: T) -> Frame:
    """Return a frame with each part that it tells of as `put` makes it, `by` what it goes by."""
    events: list[AnyEvent] = []
    changed = False
    for event in frame.events:
        if (type(event) is PartStarted or type(event) is PartEnded) and event.part is not None:
            part = put(event.part, by)
            if part is not event.part:
                event = _replace(event, part=part)
                changed = True
        events.append(event)
    return _replace(frame, events=tuple(events)) if changed else frame


def events(frame: Frame, see: Callable[[AnyEvent], tuple[AnyEvent, ...]]) -> Frame:
    """Return a frame with what `see` makes of each event: itself, others or none; such a frame is written anew."""
    if len(frame.events) == 1:
        seen = see(frame.events[0])
    else:
        told: list[AnyEvent] = []
        for event in frame.events:
            told += see(event)
        seen = tuple(told)
    return frame if seen == frame.events else _replace(frame, events=seen, extra={})
