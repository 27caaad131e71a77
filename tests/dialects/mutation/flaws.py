"""What may be wrong with a body: bytes that are changed, cut or repeated, and JSON whose parts are not what they were.

Everything follows from a generator of random numbers, so that a case can be had again by its seed.
"""

import json
import random
from collections.abc import Callable
from typing import Any

from portico.framing import eventstream

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 2**31, 2**63, 2**64, 10**30, 1e308, "", " ", "x", "\u0000", "$", "é" * 50,
    "data:image/png;base64,", "data:;base64,####", "portico:messages:", "portico:", "{", "[]", "null", [], {}, [[]],
    [{}], [None], {"type": "text"}, {"type": "tool_use"},
    {"type": None}, {"": 0}, {"$": {"slots": [[9, "text", ["a"]]]}},
    {"$plain": True, "$item": 1, "$tools": {"entries": 7}},
)  # fmt: skip
"""Values to stand where others did."""
RAW = (
    "1e400", "-1e400", "1E-400", "-0", "9" * 400, "1" + "0" * 5000, '"\\ud800"', '"\\udc00\\ud800"', '"a\\ud83d"',
    "NaN", "Infinity", "01", "+1", "'x'", "tru", '"\t"', '"\\x"', "[" * 40 + "]" * 40, "[" * 3000 + "]" * 3000,
    '{"a":' * 3000 + "1" + "}" * 3000, "[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000,
)  # fmt: skip
"""The same, as JSON is written, or is not."""
_MARK = "\u241fraw\u241f"
_BYTES = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x00", b"\r", b"\n", b"\n\n", b"\r\r", b'"', b"\\", b"{", b"}", b",")


def flawed_bytes(rng: random.Random, body: bytes) -> bytes:
    """Change, cut, repeat or add a few bytes."""
    out = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 40))):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(7)
        if what == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < len(out):
            out[at] = rng.randrange(256)
        elif what == 2:
            del out[at : at + rng.choice((1, 2, 10, 100))]
        elif what == 3:
            out[at:at] = out[at : at + rng.choice((1, 5, 50, 500))]
        elif what == 4:
            out[at:at] = rng.choice(_BYTES)
        elif what == 5:
            out[at:at] = rng.choice(RAW[:19]).encode()
        elif rng.random() < 0.3:
            del out[at:]
    return bytes(out)


def flawed_json(rng: random.Random, value: Any) -> bytes:
    """Change a few parts of a JSON value, and write it."""
    value = json.loads(json.dumps(value))
    raw: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        value = _change(rng, value, raw)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    for written in raw:
        text = text.replace(json.dumps(_MARK, ensure_ascii=True), written, 1).replace(f'"{_MARK}"', written, 1)
    if rng.random() < 0.15:
        text = _doubled(rng, text)
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a value, as what holds it and its name or index there."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        named = list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder))
        for name, inner in named:
            found.append((holder, name))
            if isinstance(inner, dict | list):
                waiting.append(inner)
    return found


def _change(rng: random.Random, value: Any, raw: list[str]) -> Any:
    places = _places(value) if isinstance(value, dict | list) else []
    if not places or rng.random() < 0.01:
        return rng.choice(ODD)
    holder, name = rng.choice(places)
    what = rng.randrange(10)
    if what <= 3:
        holder[name] = json.loads(json.dumps(rng.choice(ODD)))
    elif what == 4:
        del holder[name]
    elif what == 5:
        raw.append(rng.choice(RAW))
        holder[name] = _MARK
    elif what == 6:
        other, place = rng.choice(places)
        if (isinstance(other, dict) and place in other) or (isinstance(other, list) and place < len(other)):
            holder[name] = json.loads(json.dumps(other[place]))
    elif what == 7 and isinstance(holder, dict):
        holder[rng.choice((*holder, "type", "$", "$plain", "id", "content", "text", "index", "x"))] = holder.pop(name)
    elif what == 8 and isinstance(holder, list):
        holder[name:name] = [holder[name]] * rng.choice((1, 2, 30))
    elif isinstance(holder[name], str):
        at = rng.randrange(len(holder[name]) + 1)
        added = rng.choice(("", "\u0000", "\u2028", '"', "\ud800", "  ", "0" * 70))
        holder[name] = holder[name][:at] + added + holder[name][at:]
    return value


def _doubled(rng: random.Random, text: str) -> str:
    """Write a member a second time, with another value."""
    at = text.find("{", rng.randrange(len(text) + 1)) + 1
    end = text.find(":", at)
    if at == 0 or end < 0 or text[at : at + 1] != '"':
        return text
    return f"{text[:at]}{text[at:end]}:{json.dumps(rng.choice(ODD))},{text[at:]}"


def flawed(rng: random.Random, body: bytes) -> bytes:
    """Return a body with a flaw: of its JSON where it is JSON, else of its bytes."""
    if rng.random() < 0.7:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            pass
        else:
            return flawed_json(rng, value)
    return flawed_bytes(rng, body)


def flawed_events(rng: random.Random, body: bytes) -> bytes:
    """Return a stream of server-sent events with a few events flawed, lost, repeated, or at another place."""
    if rng.random() < 0.25:
        return flawed_bytes(rng, body)
    events = body.split(b"\n\n")
    return b"\n\n".join(_reordered(rng, events, lambda event: _flawed_event(rng, event)))


def _reordered(rng: random.Random, events: list[bytes], change: Callable[[bytes], bytes]) -> list[bytes]:
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not events:
            break
        at = rng.randrange(len(events))
        what = rng.randrange(8)
        if what <= 3:
            events[at] = change(events[at])
        elif what == 4:
            del events[at]
        elif what == 5:
            events.insert(rng.randrange(len(events)), events[at])
        elif what == 6:
            other = rng.randrange(len(events))
            events[at], events[other] = events[other], events[at]
        elif rng.random() < 0.5:
            del events[at:]
    return events


def _flawed_event(rng: random.Random, event: bytes) -> bytes:
    head, found, data = event.partition(b"data:")
    return head + found + b" " + flawed(rng, data.strip())


def flawed_messages(rng: random.Random, body: bytes) -> bytes:
    """Return a binary event stream with flaws inside of its messages, whose checksums are right, or of its bytes."""
    if rng.random() < 0.2:
        return flawed_bytes(rng, body)
    messages = eventstream.Decoder().feed(body)

    def change(number: bytes) -> bytes:
        message = messages[int(number)]
        messages.append(eventstream.Message(message.encoded, flawed(rng, message.payload)))
        return b"%d" % (len(messages) - 1)

    order = _reordered(rng, [b"%d" % at for at in range(len(messages))], change)
    told = [messages[int(number)] for number in order]
    return b"".join(eventstream.encode(message.headers(), message.payload) for message in told)
