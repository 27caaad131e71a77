"""A request as other dialects understand it: what a client kept of a stream put together again, what is Google's noted.

Each element of a stream is a content of its own in a client's history.

Google's clients append what came as it came (`chats.py` of google-genai does): a text is many contents of some letters,
and what seals a thought stands in a part behind its words. For Gemini that is all one; another API takes each for a
text, or a thought, of its own.
"""

import msgspec

from portico.dialects.crossing import Notes
from portico.ir import Message, Part, Request, Text, Thinking

_replace = msgspec.structs.replace


def gathered(request: Request) -> Request:
    """Return the request with the model's contents that follow each other as one, and their pieces joined.

    The same object where there is nothing to join.
    """
    messages: list[Message] = []
    joined = False
    for message in request.messages:
        if message.role == "assistant":
            if messages and messages[-1].role == "assistant":
                messages[-1] = _replace(messages[-1], parts=(*messages[-1].parts, *message.parts))
                joined = True
                continue
            joined = joined or len(message.parts) > 1
        messages.append(message)
    if not joined:
        return request
    return _replace(request, messages=tuple(map(_whole, messages)))


def leave(request: Request, notes: Notes) -> None:
    """Note what a request of this dialect loses in any other, beside what the other's renderer notes."""
    if request.extra.get("cachedContent"):
        notes.lost("stored_context", "cachedContent")
    layout = request.extra.get("$tools")
    for entry in layout["entries"] if layout is not None else ():
        for name, settings in entry["rest"].items():
            if settings is not None and name[:1] != "$":
                notes.lost("server_tool" if request.tools else "server_tool_needed", name)
    for message in request.messages:
        if message.role == "assistant" and any(type(part) is Text and part.signature for part in message.parts):
            notes.lost("thinking_history")
            break


def _whole(message: Message) -> Message:
    if message.role != "assistant" or len(message.parts) < 2:
        return message
    parts: list[Part] = []
    texts: list[str] = []  # of the last part, where it is still open
    for part in message.parts:
        last = parts[-1] if parts else None
        if type(part) is Text and type(last) is Text:
            texts.append(part.text)
            if part.signature is not None or part.citations:
                parts[-1] = _replace(
                    last, signature=part.signature or last.signature, citations=(*last.citations, *part.citations)
                )
            continue
        if type(part) is Thinking and type(last) is Thinking and last.opaque is None and not last.redacted:
            if part.opaque is None and not part.redacted:
                texts.append(part.text)
                continue
            if not part.text and not part.redacted:
                parts[-1] = part
                continue
        _close(parts, texts)
        parts.append(part)
        texts = [part.text] if isinstance(part, Text | Thinking) else []
    _close(parts, texts)
    return _replace(message, parts=tuple(parts))


def _close(parts: list[Part], texts: list[str]) -> None:
    """Give the last part all of its text."""
    if parts and texts:
        last = parts[-1]
        assert isinstance(last, Text | Thinking)
        parts[-1] = _replace(last, text="".join(texts))
