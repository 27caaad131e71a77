"""Google's SDK: `generate_content` and its stream, whose chunks a user puts together by hand."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from google import genai
from google.genai import types
from tests.clients.said import Call, Failure, Said, Tool


class Gemini:
    """A user of generateContent. A whole history is answered without the ids of calls, as `Part` makes it."""

    finishes: Mapping[Any, str] = MappingProxyType({"stop": "STOP", "tools": "STOP", "length": "MAX_TOKENS"})
    failures: Mapping[Any, str] = MappingProxyType(
        {400: "ClientError", 404: "ClientError", 429: "ClientError", 500: "ServerError"}
    )

    def __init__(self, url: str, key: str) -> None:
        self.client = genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=url))

    def user(self, text: str, image: bytes | None = None) -> Any:
        parts = [types.Part(text=text)]
        if image is not None:
            parts.append(types.Part.from_bytes(data=image, mime_type="image/png"))
        return types.Content(role="user", parts=parts)

    def results(self, answers: Sequence[tuple[Call, str]], *, stream: bool) -> list[Any]:
        if stream:
            parts = [
                types.Part(
                    function_response=types.FunctionResponse(id=c.id or None, name=c.name, response={"output": text})
                )
                for c, text in answers
            ]
        else:
            parts = [types.Part.from_function_response(name=c.name, response={"result": text}) for c, text in answers]
        return [types.Content(role="user", parts=parts)]

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
        config = types.GenerateContentConfig()
        if tools:
            declared = [
                types.FunctionDeclaration(name=t.name, description=t.description, parameters_json_schema=t.schema)
                for t in tools
            ]
            config.tools = [types.Tool(function_declarations=declared)]
        config.max_output_tokens = limit
        if think:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
        if form is not None:
            config.response_mime_type = "application/json"
            config.response_schema = form
        asked: dict[str, Any] = {"model": model, "contents": history, "config": config}
        if stream:
            chunks = list(self.client.models.generate_content_stream(**asked))
        else:
            chunks = [self.client.models.generate_content(**asked)]
        parts = [part for chunk in chunks for part in _content(chunk).parts or ()]
        used = chunks[-1].usage_metadata
        finish = next(c.candidates[0].finish_reason for c in reversed(chunks) if c.candidates)
        return Said(
            text="".join(part.text or "" for part in parts if not part.thought),
            thinking="".join(part.text or "" for part in parts if part.thought),
            calls=[
                Call(part.function_call.id or "", part.function_call.name or "", part.function_call.args or {})
                for part in parts
                if part.function_call
            ],
            finish=finish.value if finish else "",
            input=used.prompt_token_count if used else None,
            output=(used.candidates_token_count or 0) + (used.thoughts_token_count or 0) if used else None,
            turn=[_content(chunk) for chunk in chunks if _content(chunk).parts],
            parsed=chunks[0].parsed if form is not None and not stream else None,
        )

    def failure(self, error: Any) -> Failure:
        after = error.response.headers.get("retry-after") if error.response is not None else None
        return Failure(type(error).__name__, error.code, str(error), after)


def _content(chunk: types.GenerateContentResponse) -> types.Content:
    if not chunk.candidates or chunk.candidates[0].content is None:
        return types.Content(role="model", parts=[])
    return chunk.candidates[0].content
