"""Cohere's SDK: `chat` and `chat_stream`, whose events a user puts together by hand."""

import contextlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cohere
from tests.clients.said import Call, Failure, Said, ToldOfAnError, Tool


class Cohere:
    """A user of v2 chat. What a model plans to do with its tools counts as its text."""

    finishes: Mapping[Any, str] = MappingProxyType({"stop": "COMPLETE", "tools": "TOOL_CALL", "length": "MAX_TOKENS"})
    failures: Mapping[Any, str] = MappingProxyType(
        {
            400: "BadRequestError",
            404: "NotFoundError",
            429: "TooManyRequestsError",
            500: "InternalServerError",
        }
    )

    def __init__(self, url: str, key: str) -> None:
        self.client = cohere.ClientV2(base_url=url, api_key=key)

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
        asked: dict[str, Any] = {"model": model, "messages": list(history), "request_options": {"max_retries": 0}}
        if tools:
            asked["tools"] = [
                {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
                for t in tools
            ]
        if limit is not None:
            asked["max_tokens"] = limit
        if think:
            asked["thinking"] = {"type": "enabled", "token_budget": 2048}
        if form is not None:
            asked["response_format"] = {"type": "json_object", "json_schema": form.model_json_schema()}
        if stream:
            message, finish, used = self._gathered(asked)
        else:
            done = self.client.chat(**asked)
            message, finish, used = done.message.model_dump(exclude_none=True), done.finish_reason, done.usage
        content = message.get("content") or []
        text = "".join(part.get("text") or "" for part in content)
        return Said(
            text=(message.get("tool_plan") or "") + text,
            thinking="".join(part.get("thinking") or "" for part in content),
            calls=[
                Call(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "{}"))
                for call in message.get("tool_calls") or ()
            ],
            finish=finish,
            input=int(used.tokens.input_tokens),
            output=int(used.tokens.output_tokens),
            turn=[message],
            parsed=form.model_validate_json(text) if form is not None else None,
        )

    def _gathered(self, asked: dict[str, Any]) -> tuple[dict[str, Any], str, Any]:
        contents: dict[int, dict[str, Any]] = {}
        calls: dict[int, dict[str, Any]] = {}
        plan = ""
        with contextlib.closing(self.client.chat_stream(**asked)) as events:
            for event in events:
                if event.type == "content-start":
                    contents[event.index] = event.delta.message.content.model_dump(exclude_none=True)
                elif event.type == "content-delta":
                    for name, piece in event.delta.message.content.model_dump(exclude_none=True).items():
                        if name in ("text", "thinking"):
                            contents[event.index][name] += piece
                        else:
                            contents[event.index][name] = piece
                elif event.type == "tool-plan-delta":
                    plan += event.delta.message.tool_plan
                elif event.type == "tool-call-start":
                    calls[event.index] = event.delta.message.tool_calls.model_dump(exclude_none=True)
                elif event.type == "tool-call-delta":
                    calls[event.index]["function"]["arguments"] += event.delta.message.tool_calls.function.arguments
                elif event.type == "message-end":
                    if event.delta.finish_reason == "ERROR":
                        raise ToldOfAnError(event.delta.error)
                    message = {"role": "assistant", "content": [each for _, each in sorted(contents.items())]}
                    if calls:
                        message |= {"tool_calls": [call for _, call in sorted(calls.items())], "tool_plan": plan}
                    return message, event.delta.finish_reason, event.delta.usage
        raise AssertionError("the stream had no end")

    def failure(self, error: Any) -> Failure:
        headers = {name.lower(): value for name, value in (getattr(error, "headers", None) or {}).items()}
        return Failure(
            type(error).__name__, getattr(error, "status_code", None), str(error), headers.get("retry-after")
        )
