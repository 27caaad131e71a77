"""What a request asks for that decides how much it can use: its text, its limits, and whatever is not text.

Two looks. `glance` reads with typed decoders that take nothing but text and tools of the caller's own: a microsecond or
two, None for anything else. `look` (in `asked_closely`) then walks the whole body and names what it finds.
"""

import tomllib
from importlib import resources
from typing import Any, Literal

import msgspec

from portico.dialects.operation import Operation
from portico.dialects.request import Members, Peek

_Raw = msgspec.Raw


class Asked(msgspec.Struct):
    """What a request asks for.

    `size` is the bytes of text that the model may read; no text has more tokens than bytes. `limit` is the most
    output tokens of one answer, None where the request names none; `copies` how many answers may be sampled. `tools`
    says that there are tools of the caller's own, or a schema for the answer. `marks` are the things that are not
    text, by the names of `providers/bounds.toml`, and how many there are of each. `tiers` are the service tiers
    asked for.
    """

    size: int
    limit: int | None = None
    copies: int = 1
    tools: bool = False
    marks: dict[str, int] = {}
    tiers: tuple[str, ...] = ()


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """Only fields that are text, or say nothing about size; another one fails the decoding."""


class _Text(_Plain):
    type: Literal["text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"] = "text"
    text: str | None = None
    refusal: str | None = None
    cache_control: _Raw | None = None
    annotations: list[None] | None = None
    logprobs: list[None] | None = None
    prompt_cache_breakpoint: _Raw | None = None


class _Function(_Plain):
    name: str = ""
    arguments: str | None = None


class _ToolCall(_Plain):
    type: Literal["function"] = "function"
    id: str | None = None
    function: _Function | None = None
    index: int | None = None


class _ChatMessage(_Plain):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"] = "user"
    content: str | list[_Text] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: _Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    annotations: list[None] | None = None
    audio: None = None


class _Tool(msgspec.Struct):
    type: Literal["function"]


class _MessagesBlock(_Plain):
    type: Literal["text", "thinking", "redacted_thinking", "tool_use", "tool_result"]
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: _Raw | None = None
    tool_use_id: str | None = None
    content: str | list[_Text] | None = None
    is_error: bool | None = None
    cache_control: _Raw | None = None


class _MessagesMessage(_Plain):
    role: str
    content: str | list[_MessagesBlock]


class _MessagesTool(_Plain):
    name: str
    input_schema: _Raw
    description: str | None = None
    type: Literal["custom"] | None = None
    cache_control: _Raw | None = None
    strict: bool | None = None
    input_examples: _Raw | None = None
    eager_input_streaming: bool | None = None


class _ResponsesItem(_Plain):
    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[_Text] | None = None
    summary: list[_Text] | None = None
    encrypted_content: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    output: str | list[_Text] | None = None
    status: str | None = None
    phase: str | None = None


class _GeminiCall(_Plain):
    name: str = ""
    id: str | None = None
    args: _Raw | None = None
    response: _Raw | None = None


class _GeminiPart(_Plain):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None  # noqa: N815  # Gemini's own spelling, here and below
    thought_signature: str | None = None
    functionCall: _GeminiCall | None = None  # noqa: N815
    function_call: _GeminiCall | None = None
    functionResponse: _GeminiCall | None = None  # noqa: N815
    function_response: _GeminiCall | None = None


class _GeminiContent(_Plain):
    parts: list[_GeminiPart] | None = None
    role: str | None = None


class _GeminiTool(_Plain):
    functionDeclarations: list[_Raw] | None = None  # noqa: N815
    function_declarations: list[_Raw] | None = None


class _GeminiConfig(msgspec.Struct):
    maxOutputTokens: int | None = None  # noqa: N815
    max_output_tokens: int | None = None
    candidateCount: int | None = None  # noqa: N815
    candidate_count: int | None = None
    responseModalities: list[Literal["TEXT", "text"]] | None = None  # noqa: N815
    response_modalities: list[Literal["TEXT", "text"]] | None = None
    speechConfig: None = None  # noqa: N815
    speech_config: None = None


class _ToolUse(_Plain):
    toolUseId: str = ""  # noqa: N815
    name: str = ""
    input: _Raw | None = None
    type: None = None


class _ResultBlock(_Plain):
    text: str | None = None
    json: _Raw | None = None


class _ToolResult(_Plain):
    toolUseId: str = ""  # noqa: N815
    content: list[_ResultBlock] | None = None
    status: str | None = None
    type: None = None


class _CachePoint(_Plain):
    type: str = ""
    ttl: str | None = None


class _ConverseBlock(_Plain):
    text: str | None = None
    toolUse: _ToolUse | None = None  # noqa: N815
    toolResult: _ToolResult | None = None  # noqa: N815
    reasoningContent: _Raw | None = None  # noqa: N815
    cachePoint: _CachePoint | None = None  # noqa: N815


class _ConverseMessage(_Plain):
    role: str = ""
    content: list[_ConverseBlock] = []


class _ConverseTool(_Plain):
    toolSpec: _Raw | None = None  # noqa: N815
    cachePoint: _CachePoint | None = None  # noqa: N815


class _ConverseTools(_Plain):
    tools: list[_ConverseTool] = []
    toolChoice: _Raw | None = None  # noqa: N815


class _ConverseConfig(_Plain):
    maxTokens: int | None = None  # noqa: N815
    temperature: float | None = None
    topP: float | None = None  # noqa: N815
    stopSequences: list[str] | None = None  # noqa: N815


class _CohereMessage(_Plain):
    role: str = ""
    content: str | list[_Text] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    tool_plan: str | None = None


def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind).decode


_OF_CALLER = _decoder(list[_Tool])
# Members that hold the conversation, or what else must be looked into: each with its decoder.
_READ: dict[str, dict[str, Any]] = {
    "chat": {"messages": _decoder(list[_ChatMessage]), "tools": _OF_CALLER},
    "completions": {"prompt": _decoder(str)},
    "embeddings": {"input": _decoder(str | list[str | int | list[int]])},
    "messages": {
        "messages": _decoder(list[_MessagesMessage]),
        "system": _decoder(str | list[_Text]),
        "tools": _decoder(list[_MessagesTool]),
    },
    "responses": {"input": _decoder(str | list[_ResponsesItem]), "tools": _OF_CALLER},
    "gemini": {
        "contents": _decoder(list[_GeminiContent] | _GeminiContent),
        "systemInstruction": _decoder(_GeminiContent),
        "system_instruction": _decoder(_GeminiContent),
        "tools": _decoder(list[_GeminiTool]),
    },
    "converse": {
        "messages": _decoder(list[_ConverseMessage]),
        "system": _decoder(list[_ConverseBlock]),
        "toolConfig": _decoder(_ConverseTools),
    },
    "cohere_chat": {"messages": _decoder(list[_CohereMessage]), "tools": _OF_CALLER},
}
_SAID = tomllib.loads(resources.files("portico.dialects").joinpath("asked.toml").read_text(encoding="utf-8"))
_OPENAI = ("chat", "completions", "responses")
_HARMLESS: dict[str, frozenset[str]] = {
    kind: frozenset((*names, *(_SAID["harmless"]["openai"] if kind in _OPENAI else ())))
    for kind, names in _SAID["harmless"].items()
}
_STRUCTURED = ("tools", "toolConfig", "functions", "response_format", "output_format", "output_config", "text")
_KIND = {
    "generate_content": "gemini",
    "stream_generate_content": "gemini",
    "converse_stream": "converse",
}
_LIMIT_NAMES = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_number = msgspec.json.Decoder(int | None).decode
_word = msgspec.json.Decoder(str | None).decode
_config = msgspec.json.Decoder(_GeminiConfig).decode
_inference = msgspec.json.Decoder(_ConverseConfig).decode


def glance(operation: Operation, seen: Peek, size: int) -> Asked | None:
    """Return what a request of nothing but text asks for; None for any other. `size` is that of its body."""
    kind = _KIND.get(operation.name, operation.name)
    read = _READ.get(kind)
    members = seen.members
    if read is None or members is None:
        return None
    harmless = _HARMLESS[kind]
    asked = Asked(size)
    try:
        for name, raw in members.items():
            if name in _STRUCTURED:
                asked.tools = True
            if name in read:
                read[name](raw)
            elif name == "generationConfig" or name == "generation_config":
                _gemini_config(asked, raw)
            elif name == "inferenceConfig":
                asked.limit = _positive(_inference(raw).maxTokens)
            elif name == "reasoning":
                if b'"mode"' in bytes(raw):
                    return None
            elif name not in harmless:
                return None
    except _UNREADABLE:
        return None
    return asked if _limits(asked, members) else None


def _gemini_config(asked: Asked, raw: msgspec.Raw) -> None:
    config = _config(raw)
    asked.limit = _positive(config.maxOutputTokens or config.max_output_tokens)
    asked.copies = max(config.candidateCount or config.candidate_count or 1, 1)


def _positive(limit: int | None) -> int | None:
    """Return a limit; none, or one that is no limit, is None."""
    return limit if limit is not None and limit > 0 else None


def _limits(asked: Asked, members: Members) -> bool:
    """Take the limits of the output that stand at the top; return whether they could be read."""
    try:
        for name in _LIMIT_NAMES:
            if name in members:
                found = _positive(_number(members[name]))
                # Which of two a provider takes is its own to say.
                if found is not None:
                    asked.limit = max(found, asked.limit or 0)
        if "n" in members:
            asked.copies = max(_number(members["n"]) or 1, 1)
        if "best_of" in members:
            asked.copies = max(_number(members["best_of"]) or 1, asked.copies)
        for name in ("service_tier", "speed"):
            if name in members and (word := _word(members[name])):
                asked.tiers += (word.lower(),)
    except _UNREADABLE:
        return False
    return True
