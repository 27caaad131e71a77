"""A request of another dialect, written as Converse takes it.

docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11-20). What Bedrock refuses is not
written: blank text, empty descriptions, tool blocks without a `toolConfig`, a document without text beside it or with a
name of other characters, images by their address.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from portico.dialects import emulate, hosted
from portico.dialects.arguments import parsed_arguments
from portico.dialects.claude import Abilities, abilities, fit, input_schema
from portico.dialects.converse.blocks import DOCUMENTS, IMAGES, SOUNDS, VIDEOS, Block
from portico.dialects.converse.fields import Fields
from portico.dialects.converse.ids import legal
from portico.dialects.converse.writing import point
from portico.dialects.crossing import Notes, Target, Unsaid
from portico.dialects.documents import kind_of
from portico.dialects.pictures import inlined, typed
from portico.dialects.searching import note_lost, note_settings, search_of
from portico.dialects.toolbox import note_fields, told
from portico.dialects.turns import JSON_ALONE, Turns, hoisted
from portico.ir import (
    Audio,
    CacheMark,
    File,
    Image,
    Part,
    Request,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)

_TIERS = {"priority": "priority", "flex": "flex", "default": "default", "reserved": "reserved", "standard": "default"}
_ASKED = frozenset(("auto", "standard_only"))
_DOCUMENT = "See the document."
_NATIVE_SCHEMA = ("gpt-oss", "qwen3", "deepseek.v3")
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
        "verbosity",
        "prompt_cache_key",
        "safety",
        "user",
    )
)
_SERVER = {
    "web_search": "nova_grounding",
    "code_execution": "nova_code_interpreter",
    "code_interpreter": "nova_code_interpreter",
}


def compose(request: Request, target: Target, notes: Notes) -> Block:
    """Write the body. Raises InvalidRequest for what is to be refused."""
    model = target.model.lower()
    claude = abilities(target.model) if "claude" in model else None
    if request.tools:
        request = hosted.kept(request, notes, lambda tool: "nova" in model and tool.name in _SERVER)
    form, request = _form(request, model, claude)
    _unsaid(request, notes)
    system, messages = hoisted(request, notes, instruction)
    if request.output is not None and request.output.kind == "json":
        system.append({"text": JSON_ALONE})
    turns = Conversation(notes, claude)
    for message in messages:
        turns.add(message)
    body: Block = {"messages": turns.body(request.documents)}
    if system:
        body["system"] = system
    config = _tool_config(request, turns.used, model, notes)
    if config:
        body["toolConfig"] = config
    choice = config.get("toolChoice", {})
    fields = Fields(request, target.model, notes)
    if claude is not None:
        fields.claude(claude, forced="any" in choice or "tool" in choice, loop=turns.begun_without_thought)
    else:
        fields.others()
    inference: Block = {}
    for name, value in (
        ("maxTokens", fields.max_tokens),
        ("temperature", fields.temperature),
        ("topP", fields.top_p),
    ):
        if value is not None:
            inference[name] = value
    stop = [one for one in request.stop if one.strip()]
    if len(stop) < len(request.stop):
        notes.lost("stop_blank")
    if stop:
        inference["stopSequences"] = stop
    if inference:
        body["inferenceConfig"] = inference
    if fields.fields:
        body["additionalModelRequestFields"] = fields.fields
    if form is not None:
        body["outputConfig"] = {"textFormat": form}
    _labels(body, request, notes)
    return body


def _labels(body: Block, request: Request, notes: Notes) -> None:
    """Add metadata and the tier."""
    if isinstance(request.metadata, dict) and request.metadata:
        body["requestMetadata"] = {str(name): _word(value) for name, value in request.metadata.items()}
    if request.service_tier is not None and request.service_tier not in _ASKED:
        tier = _TIERS.get(request.service_tier)
        if tier is None:
            notes.lost("service_tier", request.service_tier)
        else:
            body["serviceTier"] = {"type": tier}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _form(request: Request, model: str, claude: Abilities | None) -> tuple[Block | None, Request]:
    """Return the native form of the output, or the request with a tool that stands for it."""
    output = request.output
    if output is None or output.kind != "json_schema":
        return None, request
    native = claude.schema if claude is not None else any(name in model for name in _NATIVE_SCHEMA)
    fitted = fit(output.schema) if native else None
    if fitted is None or fitted.get("type") != "object":
        return None, emulate.forced(request)
    inner: Block = {"schema": msgspec.json.encode(fitted).decode()}
    if output.name:
        inner["name"] = output.name
    if output.description:
        inner["description"] = output.description
    return {"type": "json_schema", "structure": {"jsonSchema": inner}}, request


def _unsaid(request: Request, notes: Notes) -> None:
    _UNSAID.note(request, notes)
    notes.one_text(request)
    if request.parallel_tools is False and request.tools:
        notes.lost("parallel_tools")
    notes.unknown(request.extra)


def instruction(parts: Iterable[Part], notes: Notes) -> list[Block]:
    """Write the texts of an instruction; nothing else can stand there."""
    blocks: list[Block] = []
    for part in parts:
        if type(part) is not Text:
            notes.lost("opaque")
        elif part.text.strip():
            blocks.append({"text": part.text})
            if part.cache is not None:
                blocks.append(point(part.cache))
    return blocks


class Conversation(Turns):
    """Turns as Bedrock writes them."""

    def __init__(self, notes: Notes, claude: Abilities | None) -> None:
        super().__init__(notes, legal, prefill=claude is None or claude.prefill)
        self._claude = claude
        self._names: set[str] = set()

    def text(self, text: str, cache: CacheMark | None, out: list[Block]) -> None:
        """Write text."""
        out.append({"text": text})
        if cache is not None:
            out.append(point(cache))

    def thought(self, part: Thinking, out: list[Block]) -> None:
        """Write a thought that came from here, or that Claude sealed elsewhere."""
        if part.opaque and (part.maker == "converse" or (part.maker == "messages" and self._claude is not None)):
            if part.redacted:
                out.append({"reasoningContent": {"redactedContent": part.opaque}})
            else:
                out.append({"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.opaque}}})
        elif part.text and not part.opaque and part.maker in (None, "converse") and self._claude is None:
            out.append({"reasoningContent": {"reasoningText": {"text": part.text}}})
        elif part.text or part.opaque:
            self.notes.lost("thinking_history")

    def leads(self, block: Block) -> bool:
        """Return whether a block is a thought."""
        return "reasoningContent" in block

    def call(self, part: ToolCall, call_id: str, out: list[Block]) -> None:
        """Write a tool call."""
        arguments = {"input": part.arguments} if part.kind == "custom" else parsed_arguments(part.arguments)
        out.append({"toolUse": {"toolUseId": call_id, "name": part.name, "input": arguments}})
        if part.cache is not None:
            out.append(point(part.cache))

    def result(self, part: ToolResult, call_id: str, content: list[Block], out: list[Block]) -> None:
        """Write a tool's result. A cache mark cannot stand inside one: it goes behind."""
        cache = part.cache
        for one in part.parts:
            cache = cache or getattr(one, "cache", None)
        if len(content) != 1:
            content = [block for block in content if "cachePoint" not in block] or [{"text": "(no output)"}]
        block: Block = {"toolUseId": call_id, "content": content}
        if part.error is not None:
            block["status"] = "error" if part.error else "success"
        out.append({"toolResult": block})
        if cache is not None:
            out.append(point(cache))

    def json(self, data: Any, out: list[Block]) -> None:
        """Write data."""
        out.append({"json": data} if isinstance(data, dict) else {"text": _word(data)})

    def media(self, part: Image | File | Audio | Video, out: list[Block]) -> None:
        """Write media; note what cannot be."""
        if type(part) is File:
            self._document(part, out)
            return
        if type(part) is Image and part.detail is not None and part.detail != "auto":
            self.notes.lost("image_detail")
        kind, formats = _KINDS[type(part)]
        source = inlined(part.source)
        if type(part) is Image:
            found = typed(source)
            if found is None:
                self.notes.lost("image_type", source.media_type or "")
                return
            source = found
        place = self._place(source, kind)
        if place is None:
            return
        form = (source.media_type or "").partition(";")[0].rpartition("/")[2].lower()
        form = _SPELLED.get(form, form)
        if form not in formats:
            form = _sniffed(source.data) if kind == "image" else _SHORT.get(kind, form)
        out.append({kind: {"format": form, "source": place}})
        if part.cache is not None:
            out.append(point(part.cache))

    def _place(self, source: Source, kind: str) -> Block | None:
        if source.data is not None:
            return {"bytes": source.data}
        if source.url is not None and source.url.startswith("s3://"):
            return {"s3Location": {"uri": source.url}}
        if source.file_id is not None:
            self.notes.lost("file_id")
        elif source.url is not None:
            self.notes.lost("file_url" if kind == "document" else f"{kind}_url")
        elif kind != "document":
            # Spoken before, and kept by its maker alone.
            self.notes.lost("file_id")
        return None

    def _document(self, part: File, out: list[Block]) -> None:
        source = inlined(part.source)
        inner: list[Block] = []
        images: list[Block] = []
        form = _FORMATS.get(kind_of(source, part.name))
        place: Block | None
        if part.data is not None and part.source.text is None:
            place, form = {"text": _word(part.data)}, "txt"
        elif part.parts:
            for one in part.parts:
                if type(one) is Text and one.text.strip():
                    inner.append({"text": one.text})
                elif type(one) is Image:
                    # A document holds text alone; what it shows stands behind it.
                    self.media(one, images)
            if part.origin is not None and inner:
                found: Block = {"source": part.origin, "title": part.name or part.origin, "content": inner}
                if part.cite is not None:
                    found["citations"] = {"enabled": part.cite}
                self._behind({"searchResult": found}, part.cache, images, out)
                return
            place, form = ({"content": inner} if inner else None), form or "txt"
        elif source.text is not None:
            place, form = ({"text": source.text} if source.text.strip() else None), form or "txt"
        else:
            if source.data is not None and form is None:
                form = self._readable(source, part.name)
                if form is None:
                    kind = (source.media_type or "").lower()
                    if kind.startswith("image/"):
                        self.media(Image(source=source, cache=part.cache), out)
                    else:
                        self.notes.lost("file_type", part.name or source.media_type or "")
                    return
            place = self._place(source, "document")
        if place is None:
            out += images
            return
        block: Block = {"name": self._name(part.name or part.id or "document"), "source": place}
        if form is not None:
            block["format"] = form
        if part.context:
            block["context"] = part.context
        if part.cite:
            block["citations"] = {"enabled": True}
        self._behind({"document": block}, part.cache, images, out)

    def _behind(self, block: Block, cache: CacheMark | None, images: list[Block], out: list[Block]) -> None:
        """Write a document, its mark, and what it shows."""
        out.append(block)
        if cache is not None:
            out.append(point(cache))
        out += images

    def _readable(self, source: Source, name: str | None) -> str | None:
        """Return the format of a document whose type is none of Bedrock's: text is, whatever it is called."""
        data = source.data or ""
        if data.startswith("JVBE"):
            return "pdf"
        kind = kind_of(source, name)
        if kind.startswith("text/") or kind in ("application/json", "application/xml", "application/yaml"):
            return "txt"
        return None

    def _name(self, name: str) -> str:
        """Return a name of the characters that Bedrock takes, another for each document."""
        plain = _SPACES.sub(" ", _FOREIGN.sub(" ", name)).strip()[:180] or "document"
        found, count = plain, 1
        while found in self._names:
            count += 1
            found = f"{plain} {count}"
        self._names.add(found)
        return found

    def body(self, documents: tuple[File, ...]) -> list[Block]:
        """End the conversation and write it. `documents` go before what the user said first, to be cited."""
        self.close()
        shown: list[Block] = []
        for document in documents:
            self.media(document, shown)
        for block in shown:
            if "document" in block:
                block["document"]["citations"] = {"enabled": True}
        self.show(shown)
        if self._names:
            for role, blocks in self.turns:
                shows = role == "user" and any("document" in block for block in blocks)
                if shows and not any("text" in block for block in blocks):
                    blocks.append({"text": _DOCUMENT})
        if self.turns and self.turns[-1][0] == "assistant" and "text" in self.turns[-1][1][-1]:
            # An answer to be gone on with may not end in space.
            self.turns[-1][1][-1]["text"] = self.turns[-1][1][-1]["text"].rstrip()
        return [{"role": role, "content": blocks} for role, blocks in self.turns]


_KINDS: dict[type, tuple[str, frozenset[str]]] = {
    Image: ("image", IMAGES),
    Audio: ("audio", SOUNDS),
    Video: ("video", VIDEOS),
}
_FORMATS = {media_type: form for form, media_type in DOCUMENTS.items()} | {"application/csv": "csv"}
_SPELLED = {
    "jpg": "jpeg",
    "quicktime": "mov",
    "x-matroska": "mkv",
    "3gpp": "three_gp",
    "x-wav": "wav",
    "x-m4a": "m4a",
    "x-flv": "flv",
    "x-ms-wmv": "wmv",
}
_SHORT = {"audio": "mp3", "video": "mp4"}
_HEADS = {"/9j/": "jpeg", "R0lG": "gif", "UklG": "webp"}
_FOREIGN = re.compile(r"[^a-zA-Z0-9\s\-()\[\]]")
_SPACES = re.compile(r"\s+")


def _sniffed(data: str | None) -> str:
    return _HEADS.get((data or "")[:4], "png")


def _listed(tools: tuple[Tool, ...], model: str, notes: Notes) -> list[Block]:
    listed: list[Block] = []
    for tool in tools:
        listed.append(_tool(tool, model, notes))
        if tool.cache is not None:
            listed.append(point(tool.cache))
    return listed


def _tool_config(request: Request, used: Iterable[str], model: str, notes: Notes) -> Block:
    """Write the tools and the choice among them; tools that the conversation used are declared in any case."""
    choice = request.tool_choice
    tools = request.tools
    if choice is not None and choice.mode == "allowed":
        tools = tuple([tool for tool in tools if tool.name in choice.names])
    elif choice is not None and choice.mode == "none":
        if not used:
            return {}
        if request.tools:
            notes.lost("tool_choice_none")
    if not tools:
        return {"tools": [_declared(name) for name in used]} if used else {}
    config: Block = {**told(tools, ("converse", model), notes, lambda heard: {"tools": _listed(tools, model, heard)})}
    if choice is not None:
        if choice.mode == "tool":
            config["toolChoice"] = {"tool": {"name": choice.name}}
        elif choice.mode == "required" or (choice.mode == "allowed" and choice.required):
            config["toolChoice"] = {"any": {}}
        elif choice.mode == "auto":
            config["toolChoice"] = {"auto": {}}
    return config


def _declared(name: str) -> Block:
    return {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object", "properties": {}}}}}


def _tool(tool: Tool, model: str, notes: Notes) -> Block:
    if tool.kind == "server":
        if tool.name == "web_search":
            note_lost(tool, search_of(tool), notes)
        else:
            note_settings(tool, notes)
        return {"systemTool": {"name": _SERVER[tool.name]}}
    if tool.extra:
        note_fields(tool, notes)
    schema = input_schema(tool.parameters, notes, tool.name)
    spec: Block = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description and tool.description.strip():
        spec["description"] = tool.description
    if tool.strict:
        fitted = fit(schema) if abilities(model).schema else None
        if fitted is None:
            notes.lost("tool_strict", tool.name)
        else:
            spec["strict"], spec["inputSchema"] = True, {"json": fitted}
    return {"toolSpec": spec}
