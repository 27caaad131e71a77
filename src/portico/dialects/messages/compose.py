"""A request of another dialect, written as Anthropic takes it.

Turns alternate between user and assistant; a user turn begins with the results of the tools that were called, each of
its call (docs.anthropic.com/en/docs/build-with-claude/tool-use, read 2026-11-20). What the API refuses is not written:
empty text, ids of another shape, unsigned thoughts, tools used but not declared, sampling beside thought.
"""

from base64 import b64decode
from collections.abc import Iterable
from typing import Any

import msgspec

from portico.dialects import emulate, hosted
from portico.dialects.arguments import parsed_arguments
from portico.dialects.claude import Abilities, abilities, fit, sampling, think
from portico.dialects.crossing import Notes, Target, Unsaid
from portico.dialects.documents import kind_of
from portico.dialects.messages.blocks import Block
from portico.dialects.messages.ids import legal
from portico.dialects.messages.tools import choice_of, declared, has_hosted, render_tools
from portico.dialects.messages.writing import mark, render_file, render_source, sniff
from portico.dialects.people import at_anthropic
from portico.dialects.pictures import inlined, typed
from portico.dialects.turns import FAILED, JSON_ALONE, Turns, hoisted
from portico.ir import (
    Audio,
    CacheMark,
    File,
    Image,
    Opaque,
    Part,
    Request,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only", "standard": "standard_only"}
_UNSAID = Unsaid(
    (
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "min_p",
        "metadata",
        "verbosity",
        "prompt_cache_key",
        "safety",
    )
)


def compose(request: Request, target: Target, notes: Notes) -> Block:
    """Write the body. Raises InvalidRequest for what is to be refused."""
    model = abilities(target.model)
    if request.tools:
        request = hosted.kept(request, notes, has_hosted)
    form, request = _form(request, model)
    _unsaid(request, notes)
    system, messages = hoisted(request, notes, instruction)
    if request.output is not None and request.output.kind == "json":
        system.append({"type": "text", "text": JSON_ALONE})
    turns = Conversation(notes, target)
    for message in messages:
        turns.add(message)
    body: Block = {"model": target.model, "messages": turns.body(request.documents)}
    if "anthropic_version_in_body" in target.quirks:
        del body["model"]
    if system:
        plain = len(system) == 1 and len(system[0]) == 2
        body["system"] = system[0]["text"] if plain else system
    tools: Any = render_tools(request, target, notes)
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
    _UNSAID.note(request, notes)
    notes.one_text(request)
    notes.unknown(request.extra)


def instruction(parts: Iterable[Part], notes: Notes) -> list[Block]:
    """Write the texts of an instruction; nothing else can stand there."""
    blocks = []
    for part in parts:
        if type(part) is Text:
            if part.text.strip():
                block: Block = {"type": "text", "text": part.text}
                mark(block, part.cache)
                blocks.append(block)
        elif type(part) is Opaque:
            notes.lost("opaque")
        else:
            notes.lost("field", "an instruction that is not text")
    return blocks


class Conversation(Turns):
    """Turns as Anthropic writes them."""

    def __init__(self, notes: Notes, target: Target) -> None:
        model = abilities(target.model)
        super().__init__(notes, legal, prefill=model.prefill or not model.claude)
        self._claude = model.claude

    def text(self, text: str, cache: CacheMark | None, out: list[Block]) -> None:
        """Write text."""
        block: Block = {"type": "text", "text": text}
        if cache is not None:
            mark(block, cache)
        out.append(block)

    def thought(self, part: Thinking, out: list[Block]) -> None:
        """Write a thought that Claude sealed; others behind this API check no signatures."""
        if part.opaque and (part.maker == "messages" or (part.maker == "converse" and self._claude)):
            if part.redacted:
                out.append({"type": "redacted_thinking", "data": part.opaque})
            else:
                out.append({"type": "thinking", "thinking": part.text, "signature": part.opaque})
        elif not self._claude and part.text:
            out.append({"type": "thinking", "thinking": part.text, "signature": ""})
        elif part.text or part.opaque:
            self.notes.lost("thinking_history")

    def leads(self, block: Block) -> bool:
        """Return whether a block is a thought."""
        return block["type"] in ("thinking", "redacted_thinking")

    def call(self, part: ToolCall, call_id: str, out: list[Block]) -> None:
        """Write a tool call."""
        arguments = {"input": part.arguments} if part.kind == "custom" else parsed_arguments(part.arguments)
        block: Block = {"type": "tool_use", "id": call_id, "name": part.name, "input": arguments}
        if part.cache is not None:
            mark(block, part.cache)
        out.append(block)

    def result(self, part: ToolResult, call_id: str, content: list[Block], out: list[Block]) -> None:
        """Write a tool's result."""
        block: Block = {"type": "tool_result", "tool_use_id": call_id}
        if part.error and not content:
            # The API wants to be told what is wrong.
            content = [{"type": "text", "text": FAILED}]
        if content:
            block["content"] = _plain(content)
        if part.error:
            block["is_error"] = True
        if part.cache is not None:
            mark(block, part.cache)
        out.append(block)

    def json(self, data: Any, out: list[Block]) -> None:
        """Write data as text."""
        out.append({"type": "text", "text": _compact(data)})

    def media(self, part: Image | File | Audio | Video, out: list[Block]) -> None:
        """Write an image or a document; notes what it cannot."""
        if type(part) is Image:
            if part.detail is not None and part.detail != "auto":
                self.notes.lost("image_detail")
            if part.source.file_id is not None:
                self.notes.lost("file_id")
                return
            source = typed(inlined(part.source))
            if source is None:
                self.notes.lost("image_type", part.source.media_type or "")
                return
            block: Block = {"type": "image", "source": render_source(source)}
            mark(block, part.cache)
            out.append(block)
        elif type(part) is File:
            self._document(part, out)
        else:
            self.notes.lost("audio" if type(part) is Audio else "video")

    def _document(self, part: File, out: list[Block]) -> None:
        source = inlined(part.source)
        parts: list[Block] = []
        if source.file_id is not None:
            self.notes.lost("file_id")
            return
        if part.data is not None and part.source.text is None:
            source = Source(text=_compact(part.data))
        elif part.parts:
            for inner in part.parts:
                if type(inner) is Text and inner.text.strip():
                    parts.append({"type": "text", "text": inner.text})
                elif type(inner) is Image:
                    self.media(inner, parts)
        elif source.data is not None:
            readable = _readable(source, self.notes, part.name)
            if readable is None:
                return
            if (readable.media_type or "").startswith("image/"):
                self.media(Image(source=readable, cache=part.cache), out)
                return
            source = readable
        elif source.text is not None:
            source = Source(text=source.text)
        if not parts and not (source.data or source.url or (source.text and source.text.strip())):
            return
        if part.origin is not None and parts and all(block["type"] == "text" for block in parts):
            found: Block = {"type": "search_result", "source": part.origin, "content": parts}
            found["title"] = part.name or part.origin
            if part.cite is not None:
                found["citations"] = {"enabled": part.cite}
            mark(found, part.cache)
            out.append(found)
            return
        shown = File(
            source=source,
            name=part.name or part.id or part.origin,
            context=part.context,
            cite=part.cite,
            parts=part.parts if parts else (),
        )
        block = render_file(shown, parts)
        mark(block, part.cache)
        out.append(block)

    def body(self, documents: tuple[File, ...]) -> list[Block]:
        """End the conversation and write it. `documents` go before what the user said first, to be cited."""
        self.close()
        shown: list[Block] = []
        for document in documents:
            self.media(document, shown)
        for block in shown:
            if block["type"] == "document":
                block["citations"] = {"enabled": True}
        self.show(shown)
        if self.turns and self.turns[-1][0] == "assistant":
            last = self.turns[-1][1][-1]
            if last["type"] == "text":
                # An answer to be gone on with may not end in space.
                last["text"] = last["text"].rstrip()
        return [{"role": role, "content": _plain(blocks)} for role, blocks in self.turns]


def _plain(blocks: list[Block]) -> str | list[Block]:
    """Return the words of what is one text and no more, else the blocks."""
    if len(blocks) == 1 and len(only := blocks[0]) == 2 and "text" in only:
        words: str = only["text"]
        return words
    return blocks


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _readable(source: Source, notes: Notes, name: str | None) -> Source | None:
    """Return a document as Anthropic reads it: a PDF as it is, text as text; None, noted, for another type."""
    data = source.data or ""
    kind = kind_of(source, name) or sniff(data)
    if kind == "application/pdf":
        return Source(data=data, media_type=kind)
    if kind.startswith("text/") or kind in _TEXTS:
        try:
            return Source(text=b64decode(data).decode("utf-8-sig", "replace"))
        except ValueError:  # not base64
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
    if request.user:
        body["metadata"] = {"user_id": at_anthropic(request.user)}
    if request.service_tier is not None:
        tier = _TIERS.get(request.service_tier)
        if tier is None:
            notes.lost("service_tier", request.service_tier)
        else:
            body["service_tier"] = tier
