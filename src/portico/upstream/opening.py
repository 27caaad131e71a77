"""Whether a reply with a good status is an answer: a whole document, or a stream whose first event says something.

A page of some proxy, a body cut short by a server that calls it complete, an error dressed as a success, or nothing at
all would be a success without an answer to the caller's SDK. Until it is known to be none of these, nothing is passed
on, so that another target can still serve.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from portico.dialects.operation import Operation
from portico.dialects.operations import OPERATIONS
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply, PorticoError
from portico.framing import sse
from portico.upstream import causes
from portico.upstream.document import Document

if TYPE_CHECKING:
    from portico.upstream.arrival import Arrival

ANY_BODY: Final = frozenset(("audio_speech", "audio_transcriptions", "audio_translations", "invoke", "invoke_stream"))
"""Operations whose replies may be sound, plain text, or what a model's maker likes; all others reply with JSON."""
HELD: Final = 256 * 1024
"""Bytes of a stream's beginning that are held back at most: what has no end by then is passed on as it is."""
_PLAIN: Final = (b'data: {"id":"chatcmpl', b"event: message_start\ndata: {", b"event: response.created\ndata: {")
"""How most streams begin."""
_BINARY: Final = frozenset(("converse_stream", "invoke_stream"))
_NAMELESS: Final = frozenset(("chat", "completions", "generate_content", "stream_generate_content"))
"""Operations whose streams give their events no names."""
_EVENT_STREAM: Final = b"application/vnd.amazon.eventstream"
_NAMES_ERROR: Final = frozenset((b"error", b"response.failed"))


_NOTHING: Final = (b"", b"null", b"{}", b'""')


_document: Final = msgspec.json.Decoder(Document)
_anything: Final = msgspec.json.Decoder(msgspec.Raw)


def begun(arrival: "Arrival") -> bool:
    """Return whether enough of a stream has come to judge it: one event with something in it."""
    pieces = arrival.pieces
    data = pieces[0]
    if len(pieces) == 1 and data.startswith(_PLAIN) and data.endswith(b"\n\n"):
        return True
    if arrival.size > HELD:
        return True
    if len(pieces) > 1:
        arrival.pieces = [data := b"".join(pieces)]
    if arrival.header(b"content-type").startswith(_EVENT_STREAM):
        return len(data) >= 4 and len(data) >= int.from_bytes(data[:4])
    start = data.lstrip()[:1]
    if start in b"[{<" and start:
        return start == b"<" or _element(data) is not None
    return _first(data) is not None


def flaw(arrival: "Arrival", operation: Operation, theirs: str, name: str) -> PorticoError | None:
    """Return what is wrong with a reply, None for an answer. `theirs` is the provider's operation."""
    if operation.name in ANY_BODY:
        return None
    if arrival.streaming:
        if arrival.judged:
            return _flaw_of_stream(arrival, theirs, name)
        # Too long to be held, or of a type that is not read here.
        page = arrival.header(b"content-type").startswith(b"text/html")
        return _unreadable(arrival, name) if page or not arrival.pieces else None
    pieces = arrival.pieces
    if len(pieces) > 1:
        arrival.pieces = pieces = [b"".join(pieces)]
    if not pieces:
        return BadUpstreamReply(f"{name} answered {arrival.status} with an empty body")
    body = pieces[0]
    try:
        found = _document.decode(body) if body.lstrip()[:1] == b"{" else _anything.decode(body)
    except UNREADABLE:
        return _unreadable(arrival, name)
    if isinstance(found, Document):
        if _tells_error(found, theirs):
            return causes.refused(theirs, body, name)
    elif body.lstrip()[:1] != b"[":
        return _unreadable(arrival, name)
    return None


def _flaw_of_stream(arrival: "Arrival", theirs: str, name: str) -> PorticoError | None:
    pieces = arrival.pieces
    if not pieces:
        return BadUpstreamReply(f"{name} ended its stream before the first event")
    data = pieces[0]
    if len(pieces) > 1:
        arrival.pieces = [data := b"".join(pieces)]
    if arrival.header(b"content-type").startswith(_EVENT_STREAM):
        return _flaw_of_message(arrival, data, theirs, name)
    if theirs in _BINARY and not arrival.header(b"content-type"):
        return None  # some record and replay Bedrock without its headers
    start = data.lstrip()[:1]
    if start == b"<":
        return _unreadable(arrival, name)
    if start in (b"[", b"{"):
        element = _element(data)
        if element is None:
            return None if arrival.size > HELD else BadUpstreamReply(f"{name} ended its stream before the first event")
        told = sse.Event(b"", element)
    else:
        found = _plain(data) if data.startswith(_PLAIN) else _first(data)
        if found is None and arrival.ended and (rest := sse.parse(data)).data:
            found = rest  # no blank line ended it, but the stream has
        if found is None:
            return None if arrival.size > HELD else BadUpstreamReply(f"{name} ended its stream before the first event")
        told = found
    if told.data == b"[DONE]":
        return BadUpstreamReply(f"{name} ended its stream before the first event")
    try:
        document = _document.decode(told.data)
    except UNREADABLE:
        # An event with a name, in a grammar that names none, is somebody's own: it is passed on, not judged.
        return None if told.name and theirs in _NAMELESS else _unreadable(arrival, name)
    if told.name in _NAMES_ERROR or _tells_error(document, theirs):
        return causes.refused(theirs, told.data, name)
    return None


def _flaw_of_message(arrival: "Arrival", data: bytes, theirs: str, name: str) -> PorticoError | None:
    from portico.framing.eventstream import Decoder

    if len(data) < 16 or len(data) < int.from_bytes(data[:4]):
        return BadUpstreamReply(f"{name} ended its stream before the first event")
    try:
        message = Decoder().feed(data)[0]
        kind = message.headers().get(":message-type")
    except BadUpstreamReply as error:
        return BadUpstreamReply(f"{name}: {error.message}")
    if kind == "exception" or kind == "error":
        word = str(message.headers().get(":exception-type", message.headers().get(":error-code", "")))
        told = causes.refused(theirs, message.payload, name)
        # The words of exceptions in streams begin with a small letter.
        cause = causes.CODES.get(word.lower())
        told.code = word or told.code
        told.status = causes.STATUSES.get(cause, 502) if cause is not None else told.status
        return told
    return None if _object(message.payload) else _unreadable(arrival, name)


def _plain(data: bytes) -> sse.Event | None:
    """Return the first event of a stream that begins as most do: of one line of data, behind its name or none."""
    end = data.find(b"\n\n")
    return sse.Event(b"", data[data.find(b"data: ") + 6 : end]) if end > 0 else None


def _first(data: bytes) -> sse.Event | None:
    """Return the first event that has data, None while there is none whole: comments and blank ones say nothing."""
    run = sse.Splitter(2 * HELD).complete(data) if len(data) <= HELD else data
    for event in sse.split(run) if run else ():
        found = sse.parse(event)
        if found.data:
            return found
    return None


def _element(data: bytes) -> bytes | None:
    """Return the first element of an array, or the object that stands alone."""
    from portico.framing.jsonarray import Splitter

    text = data.lstrip()
    elements = Splitter().feed(text if text[:1] == b"[" else b"[" + text)
    return elements[0] if elements else None


def _object(data: bytes) -> bool:
    try:
        _document.decode(data)
    except UNREADABLE:
        return False
    return True


def _tells_error(found: Document, theirs: str) -> bool:
    if bytes(found.error) not in _NOTHING or bytes(found.type) == b'"error"':
        return True
    if bytes(found.message)[:1] == b'"':
        # Amazon and Cohere have a text here where answers have an object or nothing.
        known = OPERATIONS.get(theirs)
        return known is not None and known.dialect in ("converse", "cohere")
    return b'"ERROR"' in bytes(found.delta) and b'"finish_reason"' in bytes(found.delta)


def _unreadable(arrival: "Arrival", name: str) -> BadUpstreamReply:
    kind = arrival.header(b"content-type")[:64].decode("latin-1") or "no type"
    return BadUpstreamReply(f"{name} answered {arrival.status} with a body ({kind}) that is not what was asked for")
