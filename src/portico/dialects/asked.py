"""What a request asks for that decides how much it can use: its text, its limits, and whatever is not text.

Two looks. `glance` reads with typed decoders that take nothing but text and tools of the caller's own: a microsecond or
two, None for anything else. `look` (in `asked_closely`) then walks the whole body and names what it finds.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec

from portico.dialects.operation import Operation
from portico.dialects.request import Peek

_Raw = msgspec.Raw
_NOTHING: Mapping[str, int] = MappingProxyType({})


class Asked(msgspec.Struct, gc=False):
    """What a request asks for.

    `size` is the bytes of text that the model may read; no text has more tokens than bytes. `limit` is the most
    output tokens of one answer, None where the request names none; `copies` how many answers may be sampled. `tools`
    says that there are tools of the caller's own, or a schema for the answer. `marks` are the things that are not
    text, by the names of `providers/bounds.toml`, and how many there are of each. `tiers` are the service tiers
    asked for. `searches`, `images` and `characters` are what is billed by the piece.

    No copies are no answer: an embedding.
    """

    size: int
    limit: int | None = None
    copies: int = 1
    tools: bool = False
    marks: Mapping[str, int] = _NOTHING
    tiers: tuple[str, ...] = ()
    searches: int = 0
    images: int = 0
    characters: int = 0


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
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


# Members that hold the conversation, or what else must be looked into: each with what it is read as.
_READ: dict[str, dict[str, Any]] = {
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
_SAID = tomllib.loads(Path(__file__).with_name("asked.toml").read_text(encoding="utf-8"))
_OPENAI = ("chat", "completions", "responses")
_STRUCTURED = ("tools", "toolConfig", "functions", "response_format", "output_format", "output_config", "text")
_KIND = {
    "generate_content": "gemini",
    "stream_generate_content": "gemini",
    "converse_stream": "converse",
    "responses_compact": "responses",
}
_SILENT = ("embeddings", "moderations")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_number = msgspec.json.Decoder(int | None).decode
_word = msgspec.json.Decoder(str | None).decode
_config = msgspec.json.Decoder(_GeminiConfig).decode
_inference = msgspec.json.Decoder(_ConverseConfig).decode
_Take = Callable[[Asked, msgspec.Raw], None]
_Decode = Callable[[msgspec.Raw], object]


class _Takes(NamedTuple):
    """What to do with each member of a request of one kind; what is in none of these needs a closer look."""

    harmless: frozenset[str]
    texts: dict[str, _Decode]
    """Those that must decode as what these read."""
    others: dict[str, _Take]


def _limit(asked: Asked, raw: msgspec.Raw) -> None:
    """Take a limit; which of two a provider takes is its own to say."""
    found = _number(raw)
    if found is not None and found > (asked.limit or 0):
        asked.limit = found


def _copies(asked: Asked, raw: msgspec.Raw) -> None:
    if asked.copies:
        asked.copies = max(_number(raw) or 1, asked.copies)


def _tier(asked: Asked, raw: msgspec.Raw) -> None:
    if word := _word(raw):
        asked.tiers += (word.lower(),)


def _reasoning(_: Asked, raw: msgspec.Raw) -> None:
    if b'"mode"' in bytes(raw):
        raise ValueError("a way of reasoning that needs a closer look")


def _gemini_config(asked: Asked, raw: msgspec.Raw) -> None:
    """Take the most of what is said in both spellings, and perhaps twice: which counts is for the provider to say."""
    config = _config(raw)
    asked.limit = _positive(max(config.maxOutputTokens or 0, config.max_output_tokens or 0, asked.limit or 0))
    asked.copies = max(config.candidateCount or 1, config.candidate_count or 1, asked.copies)


def _converse_config(asked: Asked, raw: msgspec.Raw) -> None:
    asked.limit = _positive(_inference(raw).maxTokens)


def _positive(limit: int | None) -> int | None:
    return limit if limit is not None and limit > 0 else None


def _structured(kind: Any) -> _Take:
    """Return what takes a member that is a schema or has some, and must decode as this kind (as anything, for None)."""
    decode = None if kind is None else msgspec.json.Decoder(kind).decode

    def take(asked: Asked, raw: msgspec.Raw) -> None:
        if decode is not None:
            decode(raw)
        asked.tools = True

    return take


def _takes(kind: str) -> _Takes:
    """Return what to do with each member of a request of this kind."""
    names = {*_SAID["harmless"][kind], *(_SAID["harmless"]["openai"] if kind in _OPENAI else ())}
    read = _READ[kind]
    others: dict[str, _Take] = dict.fromkeys(("max_completion_tokens", "max_tokens", "max_output_tokens"), _limit)
    others |= {"n": _copies, "best_of": _copies, "service_tier": _tier, "speed": _tier, "reasoning": _reasoning}
    if kind == "gemini":
        others |= {"generationConfig": _gemini_config, "generation_config": _gemini_config}
    elif kind == "converse":
        others["inferenceConfig"] = _converse_config
    others |= {name: _structured(read.get(name)) for name in _STRUCTURED if name in names or name in read}
    texts: dict[str, _Decode] = {
        name: msgspec.json.Decoder(type_).decode for name, type_ in read.items() if name not in others
    }
    return _Takes(frozenset(names - others.keys() - texts.keys()), texts, others)


_TAKES: dict[str, _Takes] = {}
"""Made when a request of the kind first comes: decoders take memory that a worker at rest does without."""


class _Way(NamedTuple):
    """How to look into requests of one operation that have the same members."""

    copies: int
    texts: tuple[tuple[str, _Decode], ...]
    others: tuple[tuple[str, _Take], ...]
    plain: tuple[str, _Decode, str | None] | None
    """Of a request for one answer that has one member to look into and at most one limit: those two. Else None."""


_WAYS: dict[tuple[str, ...], _Way] = {}
"""By the name of the operation and those of the members, in their order: an application's requests are much alike."""
_WAYS_MOST = 1_024


def _way_of(names: tuple[str, ...]) -> _Way | None:
    """Return the way of an operation and members of these names; None where one needs a closer look."""
    operation, *members = names
    kind = "messages" if "anthropic_version" in members else _KIND.get(operation, operation)  # at Bedrock's invoke too
    if kind not in _READ:
        return None
    takes = _TAKES.get(kind)
    if takes is None:
        takes = _TAKES[kind] = _takes(kind)
    rest = [name for name in members if name not in takes.harmless]
    if not all(name in takes.texts or name in takes.others for name in rest):
        return None
    if len(_WAYS) >= _WAYS_MOST:
        _WAYS.clear()
    texts = tuple((name, takes.texts[name]) for name in rest if name in takes.texts)
    others = tuple((name, takes.others[name]) for name in rest if name in takes.others)
    plain: tuple[str, _Decode, str | None] | None = None
    if len(texts) == 1 and len(others) <= 1 and all(take is _limit for _, take in others) and kind not in _SILENT:
        plain = (*texts[0], others[0][0] if others else None)
    way = _WAYS[names] = _Way(0 if kind in _SILENT else 1, texts, others, plain)
    return way


def limit_of(operation: Operation, seen: Peek) -> int:
    """Return the limit of a request for one answer that is nothing but text and asks for nothing besides.

    0 where it names none, -1 for any other request: `glance` says more of it.
    """
    members = seen.members
    if members is None:
        return -1
    names = (operation.name, *members)
    way = _WAYS.get(names) or _way_of(names)
    if way is None or way.plain is None:
        return -1
    text, decode, limit = way.plain
    try:
        decode(members[text])
        return 0 if limit is None else max(_number(members[limit]) or 0, 0)
    except _UNREADABLE:
        return -1


def glance(operation: Operation, seen: Peek, size: int) -> Asked | None:
    """Return what a request of nothing but text asks for; None for any other. `size` is that of its body."""
    members = seen.members
    if members is None:
        return None
    names = (operation.name, *members)
    way = _WAYS.get(names) or _way_of(names)
    if way is None:
        return None
    copies, texts, others, _ = way
    asked = Asked(size, None, copies)
    try:
        for name, decode in texts:
            decode(members[name])
        for name, take in others:
            take(asked, members[name])
    except _UNREADABLE:
        return None
    return asked
