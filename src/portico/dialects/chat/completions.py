"""The legacy `/v1/completions` over a chat model: a prompt is one user message, the answer's text comes back.

Shape: platform.openai.com/docs/api-reference/completions (read 2026-11-20). A chat model cannot go on inside a text,
repeat the prompt, or take tokens: `suffix`, `echo`, `best_of` and prompts of tokens are refused, several prompts too.
Where `max_tokens` is left out the model's own limit holds, not the 16 tokens of the legacy models.
"""

from typing import Any

import msgspec

from portico.dialects.chat.answers import render_finish
from portico.dialects.chat.request import decode_object, parse_fields
from portico.dialects.chat.usage import render_usage
from portico.dialects.chat.watch import stream_error
from portico.dialects.crossing import Given
from portico.errors import InvalidRequest, PorticoError
from portico.ir import (
    Choice,
    Failed,
    Finished,
    Frame,
    Message,
    PartStarted,
    Ping,
    Refusal,
    Reply,
    Request,
    Started,
    Text,
    TextDelta,
    Used,
)
from portico.types import Usage

_encode = msgspec.json.encode
_TOP = 5
_REFUSED = {
    "suffix": "a chat model cannot fill in the text before a suffix",
    "echo": "a chat model does not repeat its prompt",
}


def parse_request(body: bytes, *, model: str, stream: bool) -> Request:
    """Read a request as one for a chat. Raises InvalidRequest, naming the field where one is at fault."""
    fields = decode_object(body)
    prompt = _prompt(fields.pop("prompt", None))
    for name, why in _REFUSED.items():
        if fields.pop(name, None):
            raise InvalidRequest(f"`{name}` is not supported by this model: {why}", param=name)
    best_of = fields.pop("best_of", None)
    if best_of is not None and best_of != (fields.get("n") or 1):
        raise InvalidRequest("`best_of` is not supported by this model; ask for `n` answers", param="best_of")
    logprobs = fields.pop("logprobs", None)
    if logprobs is not None:
        if type(logprobs) is not int or not 0 <= logprobs <= _TOP:
            raise InvalidRequest(f"`logprobs` must be a whole number from 0 to {_TOP}", param="logprobs")
        fields["logprobs"] = True
        if logprobs:
            fields["top_logprobs"] = logprobs
    message = Message(role="user", parts=(Text(text=prompt),))
    return parse_fields(fields, model=model, stream=stream, messages=(message,))


def _prompt(prompt: Any) -> str:
    if type(prompt) is list:
        if len(prompt) != 1:
            raise InvalidRequest(
                "`prompt` must be one string: a chat model takes neither several prompts in one call nor tokens",
                param="prompt",
            )
        prompt = prompt[0]
    if type(prompt) is not str:
        raise InvalidRequest("`prompt` must be a string: a chat model takes no tokens", param="prompt")
    if not prompt:
        raise InvalidRequest("`prompt` must not be empty", param="prompt")
    return prompt


def render_reply(reply: Reply, request: Request, given: Given) -> bytes:
    """Write a chat's reply as a text completion."""
    fields: dict[str, Any] = {
        "id": given.new_id("cmpl-"),
        "object": "text_completion",
        "created": reply.created if reply.created is not None else given.created,
        "model": reply.model or request.model,
        "choices": [_choice(choice) for choice in reply.choices],
    }
    if reply.usage is not None:
        fields["usage"] = render_usage(reply.usage)
    return _encode(fields)


def _choice(choice: Choice) -> dict[str, Any]:
    text = "".join([part.text for part in choice.parts if type(part) is Text or type(part) is Refusal])
    return {
        "text": text,
        "index": choice.index,
        "logprobs": _logprobs(choice.logprobs, 0),
        "finish_reason": _reason(render_finish(choice.finish)),
    }


def _reason(reason: str) -> str:
    return "stop" if reason == "tool_calls" else reason


def _logprobs(logprobs: Any, offset: int) -> dict[str, Any] | None:
    """Write a chat's log probabilities as the legacy lists; `offset` is where in the text they begin."""
    content = logprobs.get("content") if type(logprobs) is dict else None
    if type(content) is not list:
        return None
    tokens = [item for item in content if type(item) is dict and type(item.get("token")) is str]
    offsets = []
    for item in tokens:
        offsets.append(offset)
        offset += len(item["token"])
    return {
        "tokens": [item["token"] for item in tokens],
        "token_logprobs": [item.get("logprob") for item in tokens],
        "top_logprobs": [_likeliest(item.get("top_logprobs")) for item in tokens],
        "text_offset": offsets,
    }


def _likeliest(listed: Any) -> dict[str, Any]:
    if type(listed) is not list:
        return {}
    return {top["token"]: top.get("logprob") for top in listed if type(top) is dict and type(top.get("token")) is str}


class Encoder:
    """Turns the frames of a chat into the stream of a text completion. After `fail` nothing more is written."""

    def __init__(self, request: Request, given: Given) -> None:
        self._request = request
        self._given = given
        self._id = ""
        self._created = given.created
        self._model = request.model
        self._usage: Usage | None = None
        self._usage_asked = request.include_usage is True
        self._lengths: dict[int, int] = {}
        self._finished: set[int] = set()
        self._over = False

    def feed(self, frame: Frame) -> bytes:
        """Write the text of a frame; nothing where it has none."""
        out = b""
        for event in frame.events:
            if self._over:
                break
            if type(event) is Started:
                self._created = event.created if event.created is not None else self._created
                self._model = event.model or self._model
            elif type(event) is TextDelta:
                out += self._text(event.choice, event.text, event.logprobs)
            elif type(event) is PartStarted and type(event.part) in (Text, Refusal):
                text = getattr(event.part, "text", "")
                out += self._text(event.choice, text) if text else b""
            elif type(event) is Finished and event.choice not in self._finished:
                self._finished.add(event.choice)
                out += self._chunk(event.choice, "", None, _reason(render_finish(event.finish)))
            elif type(event) is Used:
                self._usage = event.usage
            elif type(event) is Failed:
                out += self.fail(event.error)
            elif type(event) is Ping and 0 not in self._finished:
                out += self._chunk(0, "", None, None)
        return out

    def fail(self, error: PorticoError) -> bytes:
        """Write an error, which ends the stream."""
        if self._over:
            return b""
        self._over = True
        return stream_error(error)

    def finish(self) -> bytes:
        """Write what ends a stream properly; nothing after a failure."""
        if self._over:
            return b""
        self._over = True
        out = b""
        for choice in sorted(self._lengths.keys() - self._finished):
            out += self._chunk(choice, "", None, "stop")
        if self._usage_asked and self._usage is not None:
            out += b"data: " + _encode(self._fields([]) | {"usage": render_usage(self._usage)}) + b"\n\n"
        return out + b"data: [DONE]\n\n"

    def _fields(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        self._id = self._id or self._given.new_id("cmpl-")
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "choices": choices,
            "model": self._model,
        }

    def _text(self, choice: int, text: str, logprobs: Any = None) -> bytes:
        offset = self._lengths.get(choice, 0)
        self._lengths[choice] = offset + len(text)
        return self._chunk(choice, text, _logprobs(logprobs, offset), None)

    def _chunk(self, choice: int, text: str, logprobs: Any, reason: str | None) -> bytes:
        one = {"text": text, "index": choice, "logprobs": logprobs, "finish_reason": reason}
        fields = self._fields([one])
        if self._usage_asked:
            fields["usage"] = None
        return b"data: " + _encode(fields) + b"\n\n"
