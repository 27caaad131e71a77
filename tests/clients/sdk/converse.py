"""boto3 with Bedrock's converse and its event stream, whose blocks a user puts together by hand."""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import boto3
from botocore.config import Config
from tests.clients.said import Call, Failure, Said, Tool


class Converse:
    """A user of converse. It signs its requests; the gateway goes by the id of its key."""

    finishes: Mapping[Any, str] = MappingProxyType({"stop": "end_turn", "tools": "tool_use", "length": "max_tokens"})
    failures: Mapping[Any, str] = MappingProxyType(
        {
            400: "ValidationException",
            404: "ResourceNotFoundException",
            429: "ThrottlingException",
            500: "InternalServerException",
        }
    )

    def __init__(self, url: str, key: str) -> None:
        self.client = boto3.client(
            "bedrock-runtime",
            endpoint_url=url,
            region_name="eu-central-1",
            aws_access_key_id=key,
            aws_secret_access_key="any",  # nobody checks it
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
        )

    def user(self, text: str, image: bytes | None = None) -> Any:
        content: list[dict[str, Any]] = [{"text": text}]
        if image is not None:
            content.append({"image": {"format": "png", "source": {"bytes": image}}})
        return {"role": "user", "content": content}

    def results(self, answers: Sequence[tuple[Call, str]], *, stream: bool) -> list[Any]:
        content = [{"toolResult": {"toolUseId": c.id, "content": [{"text": text}]}} for c, text in answers]
        return [{"role": "user", "content": content}]

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
        asked: dict[str, Any] = {"modelId": model, "messages": list(history)}
        if tools:
            specs = [
                {"toolSpec": {"name": t.name, "description": t.description, "inputSchema": {"json": t.schema}}}
                for t in tools
            ]
            asked["toolConfig"] = {"tools": specs}
        if limit is not None:
            asked["inferenceConfig"] = {"maxTokens": limit}
        if think:
            asked["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
        if form is not None:
            schema = {"jsonSchema": {"schema": json.dumps(form.model_json_schema()), "name": form.__name__}}
            asked["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": schema}}
        if stream:
            with contextlib.closing(self.client.converse_stream(**asked)["stream"]) as events:
                content, finish, used = gathered(events)
        else:
            reply = self.client.converse(**asked)
            content, finish, used = reply["output"]["message"]["content"], reply["stopReason"], reply["usage"]
        text = "".join(block.get("text", "") for block in content)
        cached = used.get("cacheReadInputTokens", 0) + used.get("cacheWriteInputTokens", 0)
        thoughts = [block["reasoningContent"] for block in content if "reasoningContent" in block]
        return Said(
            text=text,
            thinking="".join(thought.get("reasoningText", {}).get("text", "") for thought in thoughts),
            calls=[
                Call(block["toolUse"]["toolUseId"], block["toolUse"]["name"], block["toolUse"]["input"])
                for block in content
                if "toolUse" in block
            ],
            finish=finish,
            input=used["inputTokens"] + cached,
            output=used["outputTokens"],
            turn=[{"role": "assistant", "content": content}],
            parsed=form.model_validate_json(text) if form is not None else None,
        )

    def failure(self, error: Any) -> Failure:
        reply = error.response
        meta = reply.get("ResponseMetadata", {})
        status = meta.get("HTTPStatusCode")
        return Failure(reply["Error"]["Code"], status, str(error), meta.get("HTTPHeaders", {}).get("retry-after"))


def gathered(events: Iterable[Any]) -> tuple[list[dict[str, Any]], str, dict[str, int]]:
    """Put a stream together: content, stop reason, usage."""
    blocks: dict[int, dict[str, Any]] = {}
    finish, used = "", {}
    for event in events:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        elif "contentBlockDelta" in event:
            said = event["contentBlockDelta"]
            delta, block = said["delta"], blocks.setdefault(said["contentBlockIndex"], {})
            if "text" in delta:
                block["text"] = block.get("text", "") + delta["text"]
            elif "toolUse" in delta:
                block["toolUse"]["input"] += delta["toolUse"]["input"]
            elif "redactedContent" in delta["reasoningContent"]:
                block["reasoningContent"] = {"redactedContent": delta["reasoningContent"]["redactedContent"]}
            else:
                thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
                for name, piece in delta["reasoningContent"].items():
                    thought[name] = thought.get(name, "") + piece
        elif "messageStop" in event:
            finish = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            used = event["metadata"]["usage"]
    content = [block for _, block in sorted(blocks.items())]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return content, finish, used
