"""Messages of words alone, put to a provider of Chat Completions, and its words as a message."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from portico.dialects.chat.answers import FINISH
from portico.dialects.chat.brief import Brief
from portico.dialects.chat.watch import read_usage
from portico.dialects.crossing import Given, Target
from portico.dialects.direct.messages import Details, Message, Request, Used
from portico.dialects.direct.to_chat import Text, Turn, shape
from portico.dialects.messages.reply import reason_of, render_usage
from portico.dialects.people import at_openai
from portico.types import Usage


class Asked:
    """A request."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    def body(self, target: Target) -> bytes:
        """Return the body for a provider."""
        request = self._request
        turns: list[Turn] = []
        if request.system is not None:
            turns.append(Turn("system", request.system))
        turns += request.messages
        for turn in turns:
            content = turn.content
            if type(content) is list and len(content) == 1:
                turn.content = content[0].text
        return _encode(
            shape(target)(
                model=target.model,
                messages=turns,
                max_tokens=request.max_tokens,
                temperature=request.temperature,
                top_p=request.top_p,
                user=at_openai(request.metadata.user_id) if request.metadata is not None else None,
                stop=request.stop_sequences or None,
            )
        )

    def told(self, heard: Brief, body: bytes, model: str, given: Given) -> tuple[bytes, Usage] | None:
        """Return a reply as a message, and what it used; None for one that has more than words, or no usage."""
        found, usage = heard.words(), heard.used()
        if found is None:
            return None
        used: Used | Mapping[str, Any]
        if usage is not None:
            given_out = usage.output + usage.reasoning
            details = Details(usage.reasoning) if usage.reasoning else msgspec.UNSET
            used = Used(usage.input, usage.cache_read, given_out, details)
        elif (usage := read_usage(body)) is not None:
            used = render_usage(usage, heard.service_tier)
        else:
            return None
        text, reason = found
        message = Message(
            id=given.new_id("msg_"),
            model=heard.model or model,
            content=(Text("text", text),) if text else (),
            stop_reason=_REASONS[reason],
            usage=used,
        )
        return _encode(message), usage


_REASONS: Final = {word: reason_of(ours) for word, ours in FINISH.items()}
_encode: Final = msgspec.json.encode
