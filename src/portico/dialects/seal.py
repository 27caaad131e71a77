"""Sealing: how what only one maker can read travels through a client of another dialect, and is known again.

A signature, an encrypted thought or the signature of a tool call is put where the caller's dialect keeps opaque text,
as `portico:<maker>:<base64url of JSON>`. Nobody but Portico reads it; coming back it is what it was.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, get_args

import msgspec

from portico.dialects.tokens import UNREADABLE
from portico.ir import Thinking, ToolCall
from portico.types import Dialect

PREFIX: Final = "portico:"
"""What every sealed text begins with."""

_CALL: Final = "portico:call:"
_MAKERS: Final = frozenset(get_args(Dialect))
_encode: Final = msgspec.json.encode
_thought: msgspec.json.Decoder[tuple[str | None, bool, str | None, bool]] = msgspec.json.Decoder(
    tuple[str | None, bool, str | None, bool]
)
_signed: msgspec.json.Decoder[tuple[str, str]] = msgspec.json.Decoder(tuple[str, str])


def seal(thought: Thinking, maker: Dialect | None = None) -> str:
    """Seal all of a thought but its text; `maker` stands in where the thought names none."""
    payload = _encode((thought.opaque, thought.redacted, thought.id, thought.summary))
    return f"{PREFIX}{thought.maker or maker or ''}:{urlsafe_b64encode(payload).decode()}"


def unseal(sealed: str, text: str = "") -> Thinking | None:
    """Open what `seal` made, with the thought's text; None for anything else."""
    if not sealed.startswith(PREFIX):
        return None
    maker, _, payload = sealed[len(PREFIX) :].partition(":")
    if maker and maker not in _MAKERS:
        return None
    try:
        opaque, redacted, item, summary = _thought.decode(urlsafe_b64decode(payload))
    except (*UNREADABLE, binascii.Error):
        return None
    known: Dialect | None = maker or None  # type: ignore[assignment]  # one of the dialects: looked up above
    return Thinking(text=text, opaque=opaque, maker=known, redacted=redacted, id=item, summary=summary)


def seal_call(call: ToolCall) -> str:
    """Seal the signature of a tool call, with the call's id."""
    assert call.signature is not None
    return _CALL + urlsafe_b64encode(_encode((call.id, call.signature))).decode()


def unseal_call(sealed: str) -> tuple[str, str] | None:
    """Return the id and the signature that `seal_call` sealed; None for anything else."""
    if not sealed.startswith(_CALL):
        return None
    try:
        return _signed.decode(urlsafe_b64decode(sealed[len(_CALL) :]))
    except (*UNREADABLE, binascii.Error):
        return None
