"""A request of another dialect, written as Anthropic takes it.

Turns alternate between user and assistant; a user turn begins with the results of the tools that were called, each of
its call (docs.anthropic.com/en/docs/build-with-claude/tool-use, read 2026-11-20). What the API refuses is not written:
empty text, ids of another shape, unsigned thoughts, tools used but not declared, sampling beside thought.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterable
from typing import Any

import msgspec

from portico.dialects import emulate
from portico.dialects.crossing import Notes, Target
from portico.dialects.messages.blocks import (
    Block,
    mark,
    parsed_arguments,
    render_file,
    render_source,
    sniff,
)
from portico.dialects.messages.ids import legal
from portico.dialects.messages.models import Abilities, abilities
from portico.dialects.messages.schema import fit
from portico.dialects.messages.thought import sampling, think
from portico.dialects.messages.tools import choice_of, declared, render_tools
from portico.ir import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

_HOISTED = ("system", "developer")
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only", "standard": "standard_only"}
_JSON = "Answer with one valid JSON object and nothing else: no words about it, no code fence."
_UNSAID = {
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "logit_bias": "logit_bias",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "repetition_penalty": "repetition_penalty",
    "min_p": "min_p",
    "metadata": "metadata",
    "verbosity": "verbosity",
    "prompt_cache_key": "prompt_cache_key",
    "safety": "safety",
}


def compose(request: Request, target: Target, notes: Notes) -> Block:
    """Write the body. Raises InvalidRequest for what is to be refused."""
    model = abilities(target.model)
    form, request = _form(request, model)
    _unsaid(request, notes)
    system, messages = _hoist(request, notes)
    if request.output is not None and request.output.kind == "json":
        system.append({"type": "text", "text": _JSON})
    turns = Turns(notes, target)
    for message in messages:
        turns.add(message)
    turns.close(request.documents)
    body: Block = {"model": target.model, "messages": turns.turns}
    if "anthropic_version_in_body" in target.quirks:
        del body["model"]
    if system:
        plain = len(system) == 1 and len(system[0]) == 2
        body["system"] = system[0]["text"] if plain else system
    tools = render_tools(request, model, notes)
    if not tools and turns.used:
        tools = declared(turns.used)
        choice: Block | None = {"type": "none"}
    else:
        choice = choice_of(request) if tools else None
    if tools:
        body["tools"] = tools
    _settings(body, request, model, notes, choice, form, loop=turns.begun_without_thought)
    if request.stream:
        body["stream"] = True
    return body


def _form(request: Request, model: Abilities) -> tuple[Block | None, Request]:
    """Return the native form of the output, or the request with a tool that stands for it."""
    output = request.output
    if output is None or output.kind != "json_schema":
        return None, request
    fitted = fit(output.schema) if model.schema else None
    if fitted is not None and fitted.get("type") == "object":
        return {"type": "json_schema", "schema": fitted}, request
    return None, emulate.forced(request)


def _unsaid(request: Request, notes: Notes) -> None:
    for field, feature in _UNSAID.items():
        value = getattr(request, field)
        if value is not None and value is not False and value != {}:
            notes.lost(feature)
    if request.n is not None and request.n > 1:
        notes.lost("n")
    for kind in request.modalities:
        if kind != "text":
            notes.lost(f"output_{kind}")
    unknown = [name for name, value in request.extra.items() if value is not None and name[:1] != "$"]
    if unknown:
        notes.lost("field", ", ".join(unknown))


def _hoist(request: Request, notes: Notes) -> tuple[list[Block], list[Message]]:
    """Return the instructions that lead, and the messages that are left; one is, if there is any."""
    system: list[Block] = []
    system.extend(instruction(request.system, notes))
    messages = list(request.messages)
    leading = 0
    while leading < len(messages) and messages[leading].role in _HOISTED:
        leading += 1
    if leading == len(messages) and leading:
        leading -= 1
    for message in messages[:leading]:
        system.extend(instruction(message.parts, notes))
    if leading + 1 == len(messages) and messages[leading].role in _HOISTED:
        return system, [Message(role="user", parts=messages[leading].parts)]
    return system, messages[leading:]


def instruction(parts: Iterable[Part], notes: Notes) -> list[Block]:
    """Write the texts of an instruction; nothing else can stand there."""
    blocks = []
    for part in parts:
        if type(part) is Text:
            if part.text:
                block: Block = {"type": "text", "text": part.text}
                mark(block, part.cache)
                blocks.append(block)
        elif type(part) is Opaque:
            notes.lost("opaque")
        else:
            notes.lost("field", "an instruction that is not text")
    return blocks


class Turns:
    """Alternating turns, made from messages of any order.

    `used` are the names of the tools that were called; `begun_without_thought` says that the last answer calls tools
    and holds no thought of Anthropic's.
    """

    def __init__(self, notes: Notes, target: Target) -> None:
        self.turns: list[Block] = []
        self.used: dict[str, None] = {}
        self.begun_without_thought = False
        self._notes = notes
        self._claude = abilities(target.model).claude
        self._ids: dict[str, str] = {}
        self._taken: set[str] = set()
        self._open: dict[str, None] = {}
        self._results: list[Block] = []
        self._said: list[Block] = []
        self._answer: list[Block] | None = None

    def add(self, message: Message) -> None:
        """Add one message."""
        if message.role == "assistant":
            self._assistant(message)
        elif message.role in _HOISTED:
            for block in instruction(message.parts, self._notes):
                block["text"] = f"<system>\n{block['text']}\n</system>"
                self._said.append(block)
        else:
            for part in message.parts:
                self._user(part)

    def close(self, documents: tuple[File, ...]) -> None:
        """End the conversation. `documents` go before what the user said first."""
        self._end_user()
        if self._answer and self._answer[-1]["type"] == "text":
            text = self._answer[-1]["text"].rstrip()
            if text:
                self._answer[-1]["text"] = text
            else:
                self._answer.pop()
                if not self._answer:
                    self.turns.pop()
        shown: list[Block] = []
        for document in documents:
            shown.extend(self.media(document))
        for block in shown:
            if block["type"] == "document":
                block["citations"] = {"enabled": True}
        if shown:
            if self.turns and self.turns[0]["role"] == "user":
                self.turns[0]["content"] = [*shown, *_blocks(self.turns[0]["content"])]
            else:
                self.turns.insert(0, {"role": "user", "content": shown})
        elif self.turns and self.turns[0]["role"] == "assistant":
            self.turns.insert(0, {"role": "user", "content": "(The conversation begins.)"})
        for turn in self.turns:
            content = turn["content"]
            if type(content) is list and len(content) == 1 and content[0]["type"] == "text" and len(content[0]) == 2:
                turn["content"] = content[0]["text"]

    def _assistant(self, message: Message) -> None:
        self._end_user()
        blocks: list[Block] = []
        for part in message.parts:
            match part:
                case Text() | Refusal():
                    if type(part) is Text and part.citations:
                        self._notes.lost("citations")
                    if part.text:
                        block: Block = {"type": "text", "text": part.text}
                        if type(part) is Text:
                            mark(block, part.cache)
                        blocks.append(block)
                case Thinking():
                    blocks.extend(self._thought(part))
                case ToolCall():
                    blocks.extend(self._call(part))
                case ToolResult():
                    self._notes.lost("server_tool_history")
                case Audio() if part.transcript:
                    blocks.append({"type": "text", "text": part.transcript})
                case Image() | File() | Audio() | Video():
                    # An answer holds no media here; what it showed goes on as the user's.
                    self._said.extend(self.media(part))
                case Opaque():
                    self._notes.lost("opaque")
        if not blocks:
            return
        if self._answer is None:
            self._answer = blocks
            self.turns.append({"role": "assistant", "content": blocks})
        else:
            self._answer.extend(blocks)
        calls = any(block["type"] == "tool_use" for block in self._answer)
        self.begun_without_thought = calls and self._answer[0]["type"] not in ("thinking", "redacted_thinking")

    def _thought(self, part: Thinking) -> list[Block]:
        if part.opaque and (part.maker == "messages" or (part.maker == "converse" and self._claude)):
            if part.redacted:
                return [{"type": "redacted_thinking", "data": part.opaque}]
            return [{"type": "thinking", "thinking": part.text, "signature": part.opaque}]
        if not self._claude and part.text:
            # Others behind this API check no signatures.
            return [{"type": "thinking", "thinking": part.text, "signature": ""}]
        if part.text or part.opaque:
            self._notes.lost("thinking_history")
        return []

    def _call(self, call: ToolCall) -> list[Block]:
        if call.kind == "server":
            self._notes.lost("server_tool_history")
            return []
        call_id = legal(call.id or "call")
        while call_id in self._taken:
            call_id = f"{call_id[:100]}_{len(self._taken)}"
        self._taken.add(call_id)
        self._ids[call.id] = call_id
        self._open[call_id] = None
        self.used[call.name] = None
        arguments = {"input": call.arguments} if call.kind == "custom" else parsed_arguments(call.arguments)
        block: Block = {"type": "tool_use", "id": call_id, "name": call.name, "input": arguments}
        mark(block, call.cache)
        return [block]

    def _user(self, part: Part) -> None:
        match part:
            case Text() | Refusal():
                if part.text:
                    block: Block = {"type": "text", "text": part.text}
                    if type(part) is Text:
                        mark(block, part.cache)
                    self._said.append(block)
            case Image() | File() | Audio() | Video():
                self._said.extend(self.media(part))
            case ToolResult():
                self._result(part)
            case Thinking():
                self._notes.lost("thinking_history")
            case ToolCall():
                self._notes.lost("server_tool_history")
            case Opaque():
                self._notes.lost("opaque")

    def _result(self, result: ToolResult) -> None:
        if result.server:
            self._notes.lost("server_tool_history")
            return
        content = self.answered(result)
        call_id = self._ids.get(result.id)
        if call_id is None or call_id not in self._open:
            # Its call is not in the turn before: Anthropic would refuse it as a result.
            title = f"Result of the tool {result.name}:" if result.name else "Result of a tool:"
            self._said.extend(({"type": "text", "text": title}, *content))
            return
        del self._open[call_id]
        block: Block = {"type": "tool_result", "tool_use_id": call_id}
        if len(content) == 1 and content[0]["type"] == "text" and len(content[0]) == 2:
            block["content"] = content[0]["text"]
        elif content:
            block["content"] = content
        if result.error:
            block["is_error"] = True
        mark(block, result.cache)
        self._results.append(block)

    def answered(self, result: ToolResult) -> list[Block]:
        """Write what a tool answered."""
        content: list[Block] = []
        for part in result.parts:
            match part:
                case Text() | Refusal():
                    if part.text:
                        content.append({"type": "text", "text": part.text})
                case Image() | File() | Audio() | Video():
                    content.extend(self.media(part))
                case Opaque():
                    self._notes.lost("opaque")
                case Thinking() | ToolCall() | ToolResult():
                    self._notes.lost("opaque", type(part).__name__)
        if result.data is not None:
            content.append({"type": "text", "text": _compact(result.data)})
        return content

    def media(self, part: Image | File | Audio | Video) -> list[Block]:
        """Write an image or a document; notes what it cannot."""
        if type(part) is Image:
            if part.source.file_id is not None:
                self._notes.lost("file_id")
                return []
            block: Block = {"type": "image", "source": render_source(part.source)}
            mark(block, part.cache)
            return [block]
        if type(part) is File:
            return self._document(part)
        self._notes.lost("audio" if type(part) is Audio else "video")
        return []

    def _document(self, part: File) -> list[Block]:
        source = part.source
        if source.file_id is not None:
            self._notes.lost("file_id")
            return []
        parts: list[Block] = []
        if part.data is not None:
            part = File(source=Source(text=_compact(part.data)), name=part.name or part.id, cite=part.cite)
        elif part.parts:
            for inner in part.parts:
                if type(inner) is Text and inner.text:
                    parts.append({"type": "text", "text": inner.text})
                elif type(inner) is Image:
                    parts.extend(self.media(inner))
            if not parts:
                return []
        elif source.data is not None:
            readable = _readable(source, self._notes, part.name)
            if readable is None:
                return []
            part = File(source=readable, name=part.name, context=part.context, cite=part.cite, cache=part.cache)
        elif source.text is not None:
            if not source.text:
                return []
            part = File(
                source=Source(text=source.text), name=part.name, context=part.context, cite=part.cite, cache=part.cache
            )
        elif source.url is None:
            return []
        if part.source.data is not None and (part.source.media_type or "").startswith("image/"):
            return self.media(Image(source=part.source, cache=part.cache))
        block = render_file(part, parts)
        mark(block, part.cache)
        return [block]

    def _end_user(self) -> None:
        content = self._results
        if self._open and self.turns and (self._results or self._said):
            # Each call wants its result, and gets none later.
            content.extend(
                {"type": "tool_result", "tool_use_id": call_id, "content": "No result was given.", "is_error": True}
                for call_id in self._open
            )
        content = [*content, *self._said]
        if not content:
            return
        self._open.clear()
        self._results, self._said, self._answer = [], [], None
        self.turns.append({"role": "user", "content": content})


def _blocks(content: Any) -> list[Block]:
    return [{"type": "text", "text": content}] if type(content) is str else content


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _readable(source: Source, notes: Notes, name: str | None) -> Source | None:
    """Return a document as Anthropic reads it: a PDF as it is, text as text; None, noted, for another type."""
    data = source.data or ""
    kind = (source.media_type or sniff(data)).partition(";")[0].strip().lower()
    if kind == "application/pdf":
        return Source(data=data, media_type=kind)
    if kind.startswith("text/") or kind in _TEXTS:
        try:
            return Source(text=b64decode(data).decode("utf-8-sig", "replace"))
        except binascii.Error:
            pass
    elif kind.startswith("image/"):
        return Source(data=data, media_type=kind)
    notes.lost("file_type", name or kind)
    return None


_TEXTS = frozenset(("application/json", "application/xml", "application/yaml", "application/x-yaml"))


def _settings(
    body: Block,
    request: Request,
    model: Abilities,
    notes: Notes,
    choice: Block | None,
    form: Block | None,
    *,
    loop: bool,
) -> None:
    """Add all that is neither message nor tool."""
    forced = choice is not None and choice["type"] in ("any", "tool")
    thought = think(request, model, notes, forced=forced, loop=loop)
    body["max_tokens"] = thought.max_tokens
    if thought.block is not None:
        body["thinking"] = thought.block
    if thought.effort is not None or form is not None:
        config: Block = {}
        if thought.effort is not None:
            config["effort"] = thought.effort
        if form is not None:
            config["format"] = form
        body["output_config"] = config
    if choice is not None:
        body["tool_choice"] = choice
    body.update(sampling(request, model, notes, thinking=thought.block is not None))
    stop = [one for one in request.stop if one.strip()]
    if len(stop) < len(request.stop):
        notes.lost("stop_blank")
    if stop:
        body["stop_sequences"] = stop
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier is not None:
        tier = _TIERS.get(request.service_tier)
        if tier is None:
            notes.lost("service_tier", request.service_tier)
        else:
            body["service_tier"] = tier
