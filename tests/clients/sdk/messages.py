"""Anthropic's SDK: `create`, `parse`, and the accumulator of `stream`."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import anthropic
from tests.clients.said import Call, Failure, Said, Tool
from tests.clients.sdk.chat import FAILURES, told


class Messages:
    """A user of Anthropic's messages."""

    finishes: Mapping[Any, str] = MappingProxyType({"stop": "end_turn", "tools": "tool_use", "length": "max_tokens"})
    failures: Mapping[Any, str] = FAILURES

    def __init__(self, url: str, key: str) -> None:
        self.client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)

    def user(self, text: str, image: bytes | None = None) -> Any:
        if image is None:
            return {"role": "user", "content": text}
        source = {"type": "base64", "media_type": "image/png", "data": b64encode(image).decode()}
        return {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image", "source": source}]}

    def results(self, answers: Sequence[tuple[Call, str]], *, stream: bool) -> list[Any]:
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in answers]
        return [{"role": "user", "content": blocks}]

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
        asked: dict[str, Any] = {"model": model, "messages": history, "max_tokens": limit or 6000}
        if tools:
            asked["tools"] = [{"name": t.name, "description": t.description, "input_schema": t.schema} for t in tools]
        if think:
            asked["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        if form is not None:
            asked["output_format"] = form
        if stream:
            with self.client.messages.stream(**asked) as events:
                streamed = "".join(event.text for event in events if event.type == "text")
                done = events.get_final_message()
            assert streamed == "".join(block.text for block in done.content if block.type == "text")
        elif form is not None:
            done = self.client.messages.parse(**asked)
        else:
            done = self.client.messages.create(**asked)
        used = done.usage
        cached = (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0)
        return Said(
            text="".join(block.text for block in done.content if block.type == "text"),
            thinking="".join(block.thinking for block in done.content if block.type == "thinking"),
            calls=[Call(block.id, block.name, block.input) for block in done.content if block.type == "tool_use"],
            finish=str(done.stop_reason),
            input=used.input_tokens + cached,
            output=used.output_tokens,
            turn=[{"role": "assistant", "content": done.content}],
            parsed=getattr(done, "parsed_output", None),
        )

    def failure(self, error: Exception) -> Failure:
        return told(error)
