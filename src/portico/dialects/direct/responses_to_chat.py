"""Responses of words alone, put to a provider of Chat Completions, and its words as a response."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from portico.dialects.chat.answers import FINISH
from portico.dialects.chat.brief import Brief
from portico.dialects.chat.watch import read_usage
from portico.dialects.crossing import Given, Target
from portico.dialects.direct.responses import Message, Output, Read, Request, Response, Thought, Used
from portico.dialects.direct.to_chat import Text, Turn, shape
from portico.dialects.openai import served_tier
from portico.dialects.people import at_openai
from portico.dialects.responses.output import FRAME, outcome, write_usage
from portico.ir import Finish
from portico.types import Usage


class Asked:
    """A request."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    def body(self, target: Target) -> bytes | None:
        """Return the body for a provider; None where the model speaks twice in turn, which is one message."""
        request = self._request
        turns: list[Turn] = []
        if request.instructions is not None:
            turns.append(Turn("system", request.instructions))
        if isinstance(request.input, str):
            turns.append(Turn("user", request.input))
        else:
            before = ""
            for item in request.input:
                role: str = item.role
                if role == before == "assistant":
                    return None
                before = role
                if role == "developer" and "developer_role" not in target.quirks:
                    role = "system"
                said = item.content
                if isinstance(said, str):
                    turns.append(Turn(role, said))
                elif len(said) == 1:
                    turns.append(Turn(role, said[0].text))
                else:
                    turns.append(Turn(role, [Text("text", part.text) for part in said]))
        return _encode(
            shape(target)(
                model=target.model,
                messages=turns,
                max_tokens=request.max_output_tokens,
                temperature=request.temperature,
                top_p=request.top_p,
                user=at_openai(request.user) if request.user is not None else None,
            )
        )

    def told(self, heard: Brief, body: bytes, model: str, given: Given) -> tuple[bytes, Usage] | None:
        """Return a reply as a response, and what it used; None for one that has more than words, or no usage."""
        found, usage = heard.words(), heard.used()
        if found is None:
            return None
        used: Used | Mapping[str, Any]
        if usage is not None:
            taken, given_out = usage.input + usage.cache_read, usage.output + usage.reasoning
            used = Used(
                taken, Read(usage.cache_read), given_out, Thought(usage.reasoning), total_tokens=taken + given_out
            )
        elif (usage := read_usage(body)) is not None:
            used = write_usage(usage)
        else:
            return None
        request = self._request
        text, reason = found
        response_id = given.new_id("resp_")
        response = Response(
            response_id,
            heard.created or given.created,
            heard.model or model,
            (Message(given.new_id("msg_"), (Output(text),)),) if text else (),
            used,
            request.instructions,
            request.max_output_tokens,
            1.0 if request.temperature is None else request.temperature,
            1.0 if request.top_p is None else request.top_p,
            request.user,
            served_tier(heard.service_tier) or "auto",
        )
        return _encode(response)[:-1] + _RESTS[reason], usage


_encode: Final = msgspec.json.encode


def _rest(finish: Finish) -> bytes:
    said = {name: value for name, value in FRAME.items() if name not in Response.__struct_fields__}
    outcome(said, finish, refused=False)
    return b"," + _encode(said)[1:]


_RESTS: Final = {word: _rest(finish) for word, finish in FINISH.items()}
"""What the response to every such request has besides, by the word for why the answer ended."""
