"""Responses of words alone, put to a provider of Chat Completions, and its words as a response."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from portico.dialects.chat.answers import FINISH
from portico.dialects.chat.brief import Brief
from portico.dialects.chat.watch import read_usage
from portico.dialects.crossing import Given, Target
from portico.dialects.direct.to_chat import Number, Text, Turn, Words, shape
from portico.dialects.openai import served_tier
from portico.dialects.people import at_openai
from portico.dialects.responses.output import FRAME, outcome, write_usage
from portico.ir import Finish
from portico.types import Usage


class _Input(msgspec.Struct, tag_field="type", tag="input_text", forbid_unknown_fields=True, gc=False):
    text: Words


class _Output(msgspec.Struct, tag_field="type", tag="output_text", forbid_unknown_fields=True):
    text: Words
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: Words | Annotated[list[_Input | _Output], msgspec.Meta(min_length=1)]
    type: Literal["message"] = "message"
    # Of those that come back as a response had them; no other API has a place for these.
    id: str | None = None
    status: str | None = None


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A request. Whether to `store` its answer says nothing to those who keep none."""

    model: str
    input: Words | Annotated[list[_Item], msgspec.Meta(min_length=1)]
    instructions: Words | None = None
    max_output_tokens: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    user: str | None = None
    store: bool | None = None
    stream: bool | None = None

    def body(self, target: Target) -> bytes | None:
        """Return the body for a provider; None where the model speaks twice in turn, which is one message."""
        turns: list[Turn] = []
        if self.instructions is not None:
            turns.append(Turn("system", self.instructions))
        if isinstance(self.input, str):
            turns.append(Turn("user", self.input))
        else:
            before = ""
            for item in self.input:
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
                max_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                user=at_openai(self.user) if self.user is not None else None,
            )
        )

    def told(self, heard: Brief, body: bytes, model: str, given: Given) -> tuple[bytes, Usage] | None:
        """Return a reply as a response, and what it used; None for one that has more than words, or no usage."""
        found, usage = heard.words(), heard.used()
        if found is None:
            return None
        used: _Used | Mapping[str, Any]
        if usage is not None:
            taken, given_out = usage.input + usage.cache_read, usage.output + usage.reasoning
            used = _Used(
                taken, _Read(usage.cache_read), given_out, _Thought(usage.reasoning), total_tokens=taken + given_out
            )
        elif (usage := read_usage(body)) is not None:
            used = write_usage(usage)
        else:
            return None
        text, reason = found
        response_id = given.new_id("resp_")
        response = _Response(
            response_id,
            heard.created or given.created,
            heard.model or model,
            (_Message(given.new_id("msg_"), (_Output(text),)),) if text else (),
            used,
            self.instructions,
            self.max_output_tokens,
            1.0 if self.temperature is None else self.temperature,
            1.0 if self.top_p is None else self.top_p,
            self.user,
            served_tier(heard.service_tier) or "auto",
        )
        return _encode(response)[:-1] + _RESTS[reason], usage


_encode: Final = msgspec.json.encode


class _Message(msgspec.Struct, tag_field="type", tag="message", gc=False):
    id: str
    content: tuple[_Output, ...]
    status: str = "completed"
    role: str = "assistant"


class _Read(msgspec.Struct, gc=False):
    cached_tokens: int
    cache_write_tokens: int = 0


class _Thought(msgspec.Struct, gc=False):
    reasoning_tokens: int


class _Used(msgspec.Struct, gc=False):
    """What most calls use: `write_usage` has the rest."""

    input_tokens: int
    input_tokens_details: _Read
    output_tokens: int
    output_tokens_details: _Thought
    total_tokens: int


class _Response(msgspec.Struct, gc=False):
    id: str
    created_at: int
    model: str
    output: tuple[_Message, ...]
    usage: _Used | Mapping[str, Any]
    instructions: str | None
    max_output_tokens: int | None
    temperature: Number
    top_p: Number
    user: str | None
    service_tier: str
    # What such a request asks nothing of.
    prompt_cache_key: None = None
    top_logprobs: int = 0


def _rest(finish: Finish) -> bytes:
    said = {name: value for name, value in FRAME.items() if name not in _Response.__struct_fields__}
    outcome(said, finish, refused=False)
    return b"," + _encode(said)[1:]


_RESTS: Final = {word: _rest(finish) for word, finish in FINISH.items()}
"""What the response to every such request has besides, by the word for why the answer ended."""
