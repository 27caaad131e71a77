"""OpenAI's SDK with responses: `create`, `parse`, and the accumulator of `stream`. Nothing is stored."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import openai
from tests.clients.said import Call, Failure, Said, ToldOfAnError, Tool
from tests.clients.sdk.chat import FAILURES, told


class Responses:
    """A user of responses."""

    finishes: Mapping[Any, str] = MappingProxyType({"stop": "completed", "tools": "completed", "length": "incomplete"})
    failures: Mapping[Any, str] = FAILURES

    def __init__(self, url: str, key: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)

    def user(self, text: str, image: bytes | None = None) -> Any:
        if image is None:
            return {"role": "user", "content": text}
        shown = f"data:image/png;base64,{b64encode(image).decode()}"
        parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": shown, "detail": "auto"}]
        return {"role": "user", "content": parts}

    def results(self, answers: Sequence[tuple[Call, str]], *, stream: bool) -> list[Any]:
        return [{"type": "function_call_output", "call_id": call.id, "output": text} for call, text in answers]

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
        asked: dict[str, Any] = {"model": model, "input": history, "store": False}
        if tools:
            asked["tools"] = [
                {"type": "function", "name": t.name, "description": t.description, "parameters": t.schema}
                for t in tools
            ]
        if limit is not None:
            asked["max_output_tokens"] = limit
        if think:
            asked["reasoning"] = {"effort": "medium", "summary": "auto"}
            asked["include"] = ["reasoning.encrypted_content"]
        if form is not None:
            asked["text_format"] = form
        if stream:
            streamed, last = "", -1
            cut: Any = None  # which is no final response for the accumulator
            with self.client.responses.stream(**asked) as events:
                for event in events:
                    assert event.sequence_number == last + 1
                    last = event.sequence_number
                    if event.type == "response.output_text.delta":
                        streamed += event.delta
                    elif event.type == "error":
                        raise ToldOfAnError(event.message)
                    elif event.type == "response.failed":
                        raise ToldOfAnError(event.response.error.message if event.response.error else "")
                    elif event.type == "response.incomplete":
                        cut = event.response
                done = events.get_final_response() if cut is None else cut
            assert streamed == done.output_text
        elif form is not None:
            done = self.client.responses.parse(**asked)
        else:
            done = self.client.responses.create(**asked)
        return Said(
            text=done.output_text,
            thinking="".join(
                part.text
                for item in done.output
                if item.type == "reasoning"
                for part in [*item.summary, *(item.content or [])]
            ),
            calls=[
                Call(item.call_id, item.name, json.loads(item.arguments))
                for item in done.output
                if item.type == "function_call"
            ],
            finish=str(done.status),
            input=done.usage.input_tokens if done.usage else None,
            output=done.usage.output_tokens if done.usage else None,
            turn=list(done.output),
            parsed=getattr(done, "output_parsed", None),
        )

    def failure(self, error: Exception) -> Failure:
        return told(error)
