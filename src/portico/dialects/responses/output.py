"""Our parts as the items of a response's output, and the response around them, for answers that another API gave."""

from collections.abc import Sequence
from typing import Any

import msgspec

from portico.dialects.crossing import Given, Notes
from portico.dialects.openai import served_tier
from portico.dialects.responses import client_tools
from portico.dialects.responses.citations import write_annotation
from portico.dialects.responses.content import Object
from portico.dialects.responses.settings import write_reasoning
from portico.dialects.responses.tools import write_choice, write_own_tools
from portico.dialects.seal import seal, seal_call
from portico.dialects.toolbox import told
from portico.ir import Audio, Finish, Image, Part, Refusal, Request, Text, Thinking, Tool, ToolCall, ToolResult
from portico.types import Dialect, Usage

_object: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


FRAME: Object = {
    "object": "response",
    "status": "in_progress",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "auto",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": (),
    "top_p": 1.0,
    "usage": None,
    "metadata": {},
    "max_tool_calls": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "truncation": "disabled",
}
"""A response to a request that says nothing: what it repeats of one, and what is not known yet. Read-only."""
# Members of a request that its response repeats as they are.
_REPEATED = ("max_tool_calls", "prompt_cache_retention", "safety_identifier", "truncation")


def frame(request: Request, given: Given) -> Object:
    """Return the response without its output: what it repeats of the request, and what is not known yet as null."""
    value = FRAME.copy()
    value["id"] = given.new_id("resp_")
    value["created_at"] = given.created
    value["model"] = request.model
    value["output"] = []
    value["max_output_tokens"] = request.max_tokens
    value["prompt_cache_key"] = request.prompt_cache_key
    value["top_logprobs"] = request.top_logprobs or 0
    value["user"] = request.user
    if request.dialect == "responses" and request.extra:
        extra = request.extra | request.extra.get("$silent", {})
        for name in _REPEATED:
            if extra.get(name) is not None:
                value[name] = extra[name]
        if "$named" in extra:
            value["user"] = None
    texts = [part.text for part in request.system if type(part) is Text]
    if texts:
        value["instructions"] = "\n\n".join(texts)
    if request.output is not None or request.verbosity is not None:
        value["text"] = _form(request)
    if request.reasoning is not None:
        value["reasoning"] = FRAME["reasoning"] | write_reasoning(request)
    if request.tools:
        value |= told(request.tools, "again", Notes("responses"), lambda _: {"tools": _again(request.tools)})
    if request.parallel_tools is False:
        value["parallel_tool_calls"] = False
    if (tier := served_tier(request.service_tier)) is not None:
        value["service_tier"] = tier
    if request.temperature is not None:
        value["temperature"] = request.temperature
    if request.top_p is not None:
        value["top_p"] = request.top_p
    if request.tool_choice is not None:
        value["tool_choice"] = write_choice(request.tool_choice, request)
    if request.metadata:
        value["metadata"] = request.metadata
    return value


def _form(request: Request) -> Object:
    text: Object = {"format": {"type": "text"}}
    output = request.output
    if output is not None and output.kind == "json":
        text = {"format": {"type": "json_object"}}
    elif output is not None and output.kind == "json_schema":
        form = {
            "type": "json_schema",
            "name": output.name or "answer",
            "schema": output.schema or {},
            "description": output.description,
            "strict": output.strict or False,
        }
        text = {"format": form}
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    return text


def _again(tools: tuple[Tool, ...]) -> list[Object]:
    written = []
    for tool in write_own_tools(tools):
        if tool["type"] == "function":
            tool = {"description": None, "parameters": None, "strict": True} | tool
        written.append(tool)
    return written


def outcome(value: Object, finish: Finish | None, *, refused: bool) -> None:
    """Write how the answer ended. `refused` says that it has a refusal in words, which is an answer as well."""
    if finish == "length":
        value["status"] = "incomplete"
        value["incomplete_details"] = {"reason": "max_output_tokens"}
    elif finish == "content_filter" or (finish == "refusal" and not refused):
        value["status"] = "incomplete"
        value["incomplete_details"] = {"reason": "content_filter"}
    elif finish == "error":
        value["status"] = "failed"
        value["error"] = {"code": "server_error", "message": "The model ended its answer with an error"}
    else:
        value["status"] = "completed"


def write_usage(usage: Usage) -> Object:
    """Write what was used. Cached and written tokens are parts of the input, reasoning is part of the output."""
    asked = {
        "cached_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
    }
    given = {"reasoning_tokens": usage.reasoning}
    for details, name, tokens in (
        (asked, "audio_tokens", usage.input_audio),
        (asked, "image_tokens", usage.input_image),
        (given, "audio_tokens", usage.output_audio),
        (given, "image_tokens", usage.output_image),
    ):
        if tokens:
            details[name] = tokens
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": asked,
        "output_tokens": usage.output_total,
        "output_tokens_details": given,
        "total_tokens": usage.total,
    }


def write_output(parts: tuple[Part, ...], given: Given, maker: Dialect, logprobs: Any) -> list[Object]:
    """Write parts as items. Texts that follow one another are one message; a thought is sealed for its `maker`."""
    results = {part.id: part for part in parts if type(part) is ToolResult}
    tokens = token_logprobs(logprobs)
    items: list[Object] = []
    content: list[Object] | None = None
    for part in parts:
        spoken: Object | None = None
        if isinstance(part, Text):
            if not part.text:
                continue
            spoken = text_content(part, tokens)
            tokens = []
        elif isinstance(part, Refusal):
            spoken = {"type": "refusal", "refusal": part.text}
        elif isinstance(part, Audio) and part.transcript:
            spoken = text_content(Text(part.transcript), [])
        if spoken is not None:
            if content is None:
                content = []
                items.append(message_item(given.new_id("msg_"), content))
            content.append(spoken)
            continue
        made: list[Object] = []
        if isinstance(part, ToolCall):
            if part.signature is not None:
                made.append(signature_item(part, given))
            if part.kind == "server":
                made.append(server_item(part, given.new_id(server_prefix(part)), results.get(part.id)))
            else:
                made.append(any_call_item(part, given))
        elif isinstance(part, Thinking):
            if part.text or part.opaque:
                made.append(reasoning_item(part, given.new_id("rs_"), maker))
        elif isinstance(part, Image):
            made.append(image_item(part, given.new_id("ig_")))
        if made:
            content = None
            items += made
    return items


def token_logprobs(logprobs: Any) -> list[Any]:
    """Return the log probabilities of a text's tokens out of an answer's, which has them by `content`."""
    tokens = logprobs.get("content") if type(logprobs) is dict else logprobs
    if type(tokens) is not list:
        return []
    return [{"bytes": [], "top_logprobs": [], **token} for token in tokens if type(token) is dict]


def message_item(item_id: str, content: Sequence[Object], status: str = "completed") -> Object:
    """Return a message."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def text_content(part: Text, tokens: list[Any]) -> Object:
    """Return the content part of a text."""
    annotations = [write_annotation(cited, length=len(part.text)) for cited in part.citations]
    return {"type": "output_text", "text": part.text, "annotations": annotations, "logprobs": tokens}


def any_call_item(call: ToolCall, given: Given) -> Object:
    """Return the item of a whole call that the caller runs: a function's, a custom tool's, or one that it knows."""
    if call.server_type is not None:
        item = client_tools.call_item(call, given.new_id(client_tools.item_prefix(call)), call.arguments)
        if item is not None:
            return item
    return call_item(call, given.new_id(call_prefix(call)), call.arguments)


def call_prefix(call: ToolCall) -> str:
    """Return what the id of a call's item begins with."""
    return "ctc_" if call.kind == "custom" else "fc_"


def call_item(call: ToolCall, item_id: str, arguments: str, status: str = "completed") -> Object:
    """Return the item of a function call, or of a custom tool's."""
    item = {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call.id,
        "name": call.name,
    }
    if call.kind == "custom":
        item["type"] = "custom_tool_call"
        item["input"] = item.pop("arguments")
    elif not arguments and status == "completed":
        item["arguments"] = "{}"
    if call.namespace is not None:
        item["namespace"] = call.namespace
    return item


def signature_item(call: ToolCall, given: Given) -> Object:
    """Return the reasoning that carries a call's signature; it stands before the call."""
    return {"id": given.new_id("rs_"), "type": "reasoning", "summary": [], "encrypted_content": seal_call(call)}


def reasoning_item(thought: Thinking, item_id: str, maker: Dialect) -> Object:
    """Return the item of a thought. What seals it, or that nothing does, is sealed for its maker."""
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": seal(thought, maker)}


def image_item(image: Image, item_id: str) -> Object:
    """Return the item of an image that a model made."""
    source = image.source
    form = (source.media_type or "image/png").partition("/")[2]
    return {
        "id": item_id,
        "type": "image_generation_call",
        "status": "completed",
        "output_format": form,
        "result": source.data if source.data is not None else source.url,
    }


def server_prefix(call: ToolCall) -> str:
    """Return what the id of a built-in tool's item begins with."""
    return {"web_search": "ws_", "code_execution": "ci_"}.get(call.server_type or call.name, "mcp_")


def server_item(
    call: ToolCall, item_id: str, result: ToolResult | None, arguments: str | None = None, status: str = "completed"
) -> Object:
    """Return the item of a tool that the provider ran, with its result where the API has a place for one.

    A tool that the API does not have is shown as that of a connected server, which may be any.
    """
    said = call.arguments if arguments is None else arguments
    try:
        fields = _object.decode(said or "{}")
    except (msgspec.MsgspecError, RecursionError):
        fields = {}
    kind = call.server_type or call.name
    item: Object = {"id": item_id, "status": status}
    if kind == "web_search":
        query = fields.get("query")
        item["type"] = "web_search_call"
        item["action"] = {"type": "search", "query": query if type(query) is str else ""}
        return item
    shown = result_text(result)
    if kind == "code_execution":
        code = fields.get("code") or fields.get("command")
        item["type"] = "code_interpreter_call"
        item["code"] = code if type(code) is str else said
        item["container_id"] = ""
        item["outputs"] = None if shown is None else [{"type": "logs", "logs": shown}]
        return item
    item["type"] = "mcp_call"
    item["server_label"] = kind
    item["name"] = call.name
    item["arguments"] = said or "{}"
    item["output"] = shown
    item["error"] = None
    return item


def result_text(result: ToolResult | None) -> str | None:
    """Return what a built-in tool answered, as text."""
    if result is None:
        return None
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    if result.data is not None:
        texts.append(result.data if type(result.data) is str else msgspec.json.encode(result.data).decode())
    return "\n".join(texts)
