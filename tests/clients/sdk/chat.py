"""OpenAI's SDK with chat completions: `create`, `parse`, and the accumulator of `stream`."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import openai
from tests.clients.said import Call, Failure, Said, Tool

FAILURES = MappingProxyType(
    {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"}
)


def told(error: Any) -> Failure:
    """Read an exception of OpenAI's or Anthropic's SDK."""
    reply = getattr(error, "response", None)
    after = reply.headers.get("retry-after") if reply is not None else None
    return Failure(type(error).__name__, getattr(error, "status_code", None), str(error), after)


class Chat:
    """A user of chat completions."""

    finishes: Mapping[Any, str] = MappingProxyType({"stop": "stop", "tools": "tool_calls", "length": "length"})
    failures: Mapping[Any, str] = FAILURES

    def __init__(self, url: str, key: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)

    def user(self, text: str, image: bytes | None = None) -> Any:
        if image is None:
            return {"role": "user", "content": text}
        shown = {"url": f"data:image/png;base64,{b64encode(image).decode()}"}
        return {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": shown}]}

    def results(self, answers: Sequence[tuple[Call, str]], *, stream: bool) -> list[Any]:
        return [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in answers]

    def say(
        self,
        model: str,
        history: Sequence[Any],
        *,
        stream: bool,
        tools: Sequence[Tool] = (),
        form: type[Any] | None = None,
        think: bool = False,
        limit: int | None = None,
    ) -> Said:
        asked: dict[str, Any] = {"model": model, "messages": history}
        if tools:
            asked["tools"] = [
                {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
                for t in tools
            ]
        if limit is not None:
            asked["max_completion_tokens"] = limit
        if think:
            asked["reasoning_effort"] = "medium"
        if form is not None:
            asked["response_format"] = form
        if stream:
            with self.client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
                streamed = ""
                try:
                    for event in events:
                        streamed += event.delta if event.type == "content.delta" else ""
                    done: Any = events.get_final_completion()
                except openai.LengthFinishReasonError as cut:  # it takes that for an error, and has the answer
                    done = cut.completion
            assert streamed == (done.choices[0].message.content or "")
        elif form is not None:
            done = self.client.chat.completions.parse(**asked)
        else:
            done = self.client.chat.completions.create(**asked)
        (choice,) = done.choices
        message = choice.message
        return Said(
            text=message.content or "",
            thinking=getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or "",
            calls=[
                Call(call.id, call.function.name, json.loads(call.function.arguments))
                for call in message.tool_calls or ()
            ],
            finish=str(choice.finish_reason),
            input=done.usage.prompt_tokens if done.usage else None,
            output=done.usage.completion_tokens if done.usage else None,
            turn=[message],
            parsed=getattr(message, "parsed", None),
        )

    def failure(self, error: Exception) -> Failure:
        return told(error)
