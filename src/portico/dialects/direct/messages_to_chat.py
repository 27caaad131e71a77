"""Messages of words alone, put to a provider of Chat Completions, and its words as a message."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from portico.dialects.chat.answers import FINISH
from portico.dialects.chat.brief import Brief
from portico.dialects.chat.watch import read_usage
from portico.dialects.crossing import Given, Target
from portico.dialects.direct.to_chat import Number, Text, Turn, Words, shape
from portico.dialects.messages.reply import reason_of, render_usage
from portico.dialects.people import at_openai
from portico.types import Usage

Content = Words | Annotated[list[Text], msgspec.Meta(min_length=1)]


class _Turn(Turn, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system"]
    content: Content


class _Metadata(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    user_id: str


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A request."""

    model: str
    messages: list[_Turn]
    system: Content | None = None
    max_tokens: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    # OpenAI takes no more.
    stop_sequences: Annotated[list[str], msgspec.Meta(max_length=4)] | None = None
    metadata: _Metadata | None = None
    stream: bool | None = None

    def body(self, target: Target) -> bytes:
        """Return the body for a provider."""
        turns: list[Turn] = []
        if self.system is not None:
            turns.append(Turn("system", self.system))
        turns += self.messages
        for turn in turns:
            content = turn.content
            if type(content) is list and len(content) == 1:
                turn.content = content[0].text
        return _encode(
            shape(target)(
                model=target.model,
                messages=turns,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                user=at_openai(self.metadata.user_id) if self.metadata is not None else None,
                stop=self.stop_sequences or None,
            )
        )

    def told(self, heard: Brief, body: bytes, model: str, given: Given) -> tuple[bytes, Usage] | None:
        """Return a reply as a message, and what it used; None for one that has more than words, or no usage."""
        found, usage = heard.words(), heard.used()
        if found is None:
            return None
        used: _Used | Mapping[str, Any]
        if usage is not None:
            given_out = usage.output + usage.reasoning
            details = _Details(usage.reasoning) if usage.reasoning else msgspec.UNSET
            used = _Used(usage.input, usage.cache_read, given_out, details)
        elif (usage := read_usage(body)) is not None:
            used = render_usage(usage, heard.service_tier)
        else:
            return None
        text, reason = found
        message = _Message(
            id=given.new_id("msg_"),
            model=heard.model or model,
            content=(Text("text", text),) if text else (),
            stop_reason=_REASONS[reason],
            usage=used,
        )
        return _encode(message), usage


_REASONS: Final = {word: reason_of(ours) for word, ours in FINISH.items()}
_encode: Final = msgspec.json.encode


class _Details(msgspec.Struct, gc=False):
    thinking_tokens: int


class _Used(msgspec.Struct, gc=False):
    """What most calls use: `render_usage` has the rest."""

    input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: _Details | msgspec.UnsetType
    service_tier: str = "standard"
    cache_creation_input_tokens: int = 0
    cache_creation: msgspec.Raw = msgspec.Raw(b'{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}')


class _Message(msgspec.Struct, kw_only=True, gc=False):
    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: tuple[Text, ...]
    stop_reason: str | None
    stop_sequence: None = None
    usage: _Used | Mapping[str, Any]
