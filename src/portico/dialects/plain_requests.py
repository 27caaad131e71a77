"""What requests of nothing but text are read as, in each dialect: what does not fit is to be looked at closely."""

from typing import Any, Literal

import msgspec


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Only fields that are text, or say nothing about size; another one fails the decoding."""


class _Text(_Plain):
    type: Literal["text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"] = "text"
    text: str | None = None
    refusal: str | None = None
    cache_control: msgspec.Raw | None = None
    annotations: list[None] | None = None
    logprobs: list[None] | None = None
    prompt_cache_breakpoint: msgspec.Raw | None = None


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
    input: msgspec.Raw | None = None
    tool_use_id: str | None = None
    content: str | list[_Text] | None = None
    is_error: bool | None = None
    cache_control: msgspec.Raw | None = None


class _MessagesMessage(_Plain):
    role: str
    content: str | list[_MessagesBlock]


class _MessagesTool(_Plain):
    name: str
    input_schema: msgspec.Raw
    description: str | None = None
    type: Literal["custom"] | None = None
    cache_control: msgspec.Raw | None = None
    strict: bool | None = None
    input_examples: msgspec.Raw | None = None
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
    args: msgspec.Raw | None = None
    response: msgspec.Raw | None = None


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
    functionDeclarations: list[msgspec.Raw] | None = None  # noqa: N815
    function_declarations: list[msgspec.Raw] | None = None


class GeminiConfig(msgspec.Struct):
    """What a request says of its answer, in the spelling of the API or that of its SDKs; more of it may be said."""

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
    input: msgspec.Raw | None = None
    type: None = None


class _ResultBlock(_Plain):
    text: str | None = None
    json: msgspec.Raw | None = None


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
    reasoningContent: msgspec.Raw | None = None  # noqa: N815
    cachePoint: _CachePoint | None = None  # noqa: N815


class _ConverseMessage(_Plain):
    role: str = ""
    content: list[_ConverseBlock] = []


class _ConverseTool(_Plain):
    toolSpec: msgspec.Raw | None = None  # noqa: N815
    cachePoint: _CachePoint | None = None  # noqa: N815


class _ConverseTools(_Plain):
    tools: list[_ConverseTool] = []
    toolChoice: msgspec.Raw | None = None  # noqa: N815


class ConverseConfig(_Plain):
    """What a request says of its answer."""

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


READ: dict[str, dict[str, Any]] = {
    "chat": {"messages": list[_ChatMessage], "tools": list[_Tool]},
    "completions": {"prompt": str},
    "embeddings": {"input": str | list[str | int | list[int]]},
    "moderations": {"input": str | list[str]},
    "messages": {
        "messages": list[_MessagesMessage],
        "system": str | list[_Text],
        "tools": list[_MessagesTool],
    },
    "responses": {"input": str | list[_ResponsesItem], "tools": list[_Tool]},
    "gemini": {
        "contents": (list[_GeminiContent] | _GeminiContent),
        "systemInstruction": _GeminiContent,
        "system_instruction": _GeminiContent,
        "tools": list[_GeminiTool],
    },
    "converse": {
        "messages": list[_ConverseMessage],
        "system": list[_ConverseBlock],
        "toolConfig": _ConverseTools,
    },
    "cohere_chat": {"messages": list[_CohereMessage], "tools": list[_Tool]},
}
"""Members that hold the conversation, or what else must be looked into, by the kind of request: what each must fit."""
