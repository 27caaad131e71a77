"""A request of another dialect, written as Cohere takes it.

Documents that are text become `documents`, which answers can cite; what the model says before it calls tools is its
`tool_plan`; a choice of certain tools is made by offering no others.
"""

from typing import Any

import msgspec

from portico.dialects import hosted
from portico.dialects.cohere.content import (
    Object,
    render_call,
    render_citation,
    render_document,
    render_image,
    render_text,
    render_thinking,
    said,
)
from portico.dialects.crossing import Notes, Target, Unsaid
from portico.dialects.documents import spelled_out
from portico.dialects.toolbox import note_fields, told
from portico.ir import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)

_SETTINGS = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("p", "top_p"),
    ("k", "top_k"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
)
_UNSAID = Unsaid(
    (
        "top_logprobs",
        "logit_bias",
        "min_p",
        "repetition_penalty",
        "verbosity",
        "user",
        "metadata",
        "prompt_cache_key",
        "safety",
    )
)
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192}
_TIERS = ("auto", "default", "standard")
_encode = msgspec.json.encode


def compose(request: Request, target: Target, notes: Notes) -> Object:
    """Write the body. Raises InvalidRequest for what is to be refused."""
    if request.tools:
        request = hosted.kept(request, notes, lambda _: False)
    _unsaid(request, notes)
    conversation = Conversation(notes)
    conversation.instruct(request.system)
    for message in request.messages:
        conversation.add(message)
    for document in request.documents:
        conversation.document(document)
    out: Object = {"model": target.model, "messages": conversation.messages}
    if conversation.documents:
        out["documents"] = conversation.documents
    _tools(request, out, notes)
    for name, ours in _SETTINGS:
        value = getattr(request, ours)
        if value is not None:
            out[name] = value
    if request.stop:
        out["stop_sequences"] = list(request.stop)
    if request.logprobs:
        out["logprobs"] = True
    if request.output is not None and request.output.kind != "text":
        out["response_format"] = {"type": "json_object"}
        if request.output.kind == "json_schema":
            out["response_format"]["json_schema"] = request.output.schema
    if request.reasoning is not None:
        thinking = _thinking(request.reasoning)
        if thinking is not None:
            out["thinking"] = thinking
    if request.stream:
        out["stream"] = True
    return out


def _unsaid(request: Request, notes: Notes) -> None:
    _UNSAID.note(request, notes)
    notes.one_text(request)
    if request.parallel_tools is False and request.tools:
        notes.lost("parallel_tools")
    if request.service_tier is not None and request.service_tier not in _TIERS:
        notes.lost("service_tier", request.service_tier)
    if request.extra:
        unknown = [name for name, value in request.extra.items() if value is not None and name[:1] != "$"]
        if unknown:
            notes.lost("field", ", ".join(unknown))


def _thinking(reasoning: Reasoning) -> Object | None:
    if reasoning.enabled is False or reasoning.effort == "none" or reasoning.budget == 0:
        return {"type": "disabled"}
    budget = reasoning.budget
    if budget is None and reasoning.effort is not None:
        budget = _BUDGETS.get(reasoning.effort)
    if budget is None and reasoning.effort is None and not reasoning.enabled:
        return None
    return {"type": "enabled"} if budget is None else {"type": "enabled", "token_budget": budget}


def _tools(request: Request, out: Object, notes: Notes) -> None:
    choice = request.tool_choice
    names: tuple[str, ...] | None = None
    if choice is not None and choice.mode == "tool" and choice.name is not None:
        names = (choice.name,)
    elif choice is not None and choice.mode == "allowed":
        names = choice.names
    tools = [tool for tool in request.tools if names is None or tool.name in names]
    if not tools:
        return
    offered = request.tools if len(tools) == len(request.tools) else tuple(tools)
    out |= told(offered, "cohere", notes, lambda heard: {"tools": [_tool(tool, heard) for tool in offered]})
    if all(tool.strict for tool in tools):
        out["strict_tools"] = True
    elif any(tool.strict for tool in tools):
        notes.lost("tool_strict")
    if choice is not None:
        if choice.mode == "none":
            out["tool_choice"] = "NONE"
        elif choice.mode in ("required", "tool") or choice.required:
            out["tool_choice"] = "REQUIRED"


def _tool(tool: Tool, notes: Notes) -> Object:
    if tool.cache is not None:
        notes.lost("cache_mark")
    if tool.extra:
        note_fields(tool, notes)
    function: Object = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    # The API wants parameters, of a tool that takes none too.
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


class Conversation:
    """Writes messages: every answer of a tool in one of its own, after its call."""

    def __init__(self, notes: Notes) -> None:
        self.messages: list[Object] = []
        self.documents: list[Object | str] = []
        self._lost = notes.lost
        self._called: set[str] = set()

    def instruct(self, parts: tuple[Part, ...]) -> None:
        """Add instructions, as a message of the system."""
        texts = []
        for part in parts:
            self._marks(part)
            if isinstance(part, File) and self.document(part):
                continue
            text = said(part)
            if text is not None:
                texts.append({"type": "text", "text": text})
            elif not isinstance(part, Text | Refusal):
                self._lost("opaque" if isinstance(part, Opaque) else "field", "an instruction that is not text")
        if texts:
            self._message("system", texts)

    def add(self, message: Message) -> None:
        """Add one message."""
        if message.name is not None and message.role != "tool":
            self._lost("participant_name", message.name)
        if message.role in ("system", "developer"):
            self.instruct(message.parts)
        elif message.role == "assistant":
            self._answer(message.parts)
        else:
            self._user(message.parts)

    def document(self, part: File) -> bool:
        """Add a document that is text; False for another."""
        part = spelled_out(part)
        source = part.source
        if source.data is not None or source.url is not None or source.file_id is not None:
            return False
        if source.text is None and part.data is None and not any(isinstance(each, Text) for each in part.parts):
            return not part.parts
        self.documents.append(render_document(part, False, f"doc:{len(self.documents)}"))
        return True

    def _marks(self, part: Part) -> None:
        if getattr(part, "cache", None) is not None:
            self._lost("cache_mark", "")

    def _message(self, role: str, content: list[Object], **more: Any) -> None:
        out: Object = {"role": role, **more}
        if len(content) == 1 and content[0]["type"] == "text":
            out["content"] = content[0]["text"]
        elif content:
            out["content"] = content
        self.messages.append(out)

    def _user(self, parts: tuple[Part, ...]) -> None:
        content: list[Object] = []
        for part in parts:
            if type(part) is Text and part.cache is None:
                if part.text:
                    content.append({"type": "text", "text": part.text})
            elif isinstance(part, ToolResult) and not part.server:
                if part.id in self._called:
                    self._result(part)
                else:
                    content.append({"type": "text", "text": f"Result of {part.name or 'a tool'}: {self._words(part)}"})
            else:
                content += self._shown(part)
        if content:
            self._message("user", content)

    def _shown(self, part: Part) -> list[Object]:
        """Write what a user may show."""
        self._marks(part)
        if isinstance(part, Text | Refusal):
            return [{"type": "text", "text": part.text}] if part.text else []
        if isinstance(part, Image):
            return self._image(part)
        if isinstance(part, File):
            if not self.document(part):
                source = part.source
                feature = "file_id" if source.file_id else "file_url" if source.url else "file"
                self._lost(feature, part.name or "")
            return [written for each in part.parts if not isinstance(each, Text) for written in self._shown(each)]
        if isinstance(part, Audio):
            self._lost("audio", "")
        elif isinstance(part, Video):
            self._lost("video", "")
        elif isinstance(part, Opaque):
            self._lost("opaque", "")
        elif isinstance(part, ToolResult | ToolCall):
            self._lost("server_tool_history", part.name or "")
        elif part.text:
            return [render_thinking(part, False, None)]
        return []

    def _image(self, part: Image) -> list[Object]:
        if part.source.file_id is not None:
            self._lost("file_id", part.source.file_id)
            return []
        return [render_image(part, False)]

    def _answer(self, parts: tuple[Part, ...]) -> None:
        content: list[Object] = []
        citations: list[Object] = []
        calls: list[Object] = []
        for part in parts:
            if isinstance(part, ToolCall) and part.kind != "server":
                self._marks(part)
                self._called.add(part.id)
                calls.append(render_call(part, False, False))
            elif isinstance(part, Thinking):
                if part.opaque is not None or part.redacted:
                    self._lost("thinking_history", "")
                if part.text:
                    content.append(render_thinking(part, False, None))
            elif isinstance(part, Text):
                self._marks(part)
                if part.text:
                    for citation in part.citations:
                        citations.append(render_citation(citation, part.text, len(content)))
                    content.append(render_text(part, False))
            else:
                content.extend(self._shown(part))
        if not content and not calls:
            return
        more: Object = {"citations": citations} if citations else {}
        if calls:
            # With calls a text is the plan to make them.
            plan = "".join(each["text"] for each in content if each["type"] == "text")
            content = [each for each in content if each["type"] != "text"]
            more = {"tool_plan": plan} if plan else {}
            if citations:
                self._lost("citations", "")
            more["tool_calls"] = calls
        self._message("assistant", content, **more)

    def _result(self, part: ToolResult) -> None:
        self._marks(part)
        content = self._result_content(part)
        self.messages.append({"role": "tool", "tool_call_id": part.id, "content": content})

    def _result_content(self, part: ToolResult) -> str | list[Object]:
        texts: list[str] = []
        documents: list[Object] = []
        for each in part.parts:
            text = said(each)
            if text is not None:
                texts.append(text)
            elif isinstance(each, File) and (each.source.text is not None or each.data is not None or each.parts):
                document = render_document(each, False)
                documents.append({"type": "document", "document": document})
            elif not isinstance(each, Text | Refusal):
                self._lost("tool_result_media", type(each).__name__.lower())
        if part.data is not None:
            data = part.data if type(part.data) is dict else {"output": part.data}
            documents.append({"type": "document", "document": {"data": data}})
        if part.error:
            data = {"error": "\n".join(texts)} if texts or not documents else {"error": True}
            return [{"type": "document", "document": {"data": data}}, *documents]
        if not documents:
            # An empty string is refused.
            return "\n".join(texts) or [{"type": "document", "document": {"data": {"output": ""}}}]
        return [*({"type": "text", "text": text} for text in texts), *documents]

    def _words(self, part: ToolResult) -> str:
        texts = [text for text in map(said, part.parts) if text is not None]
        return "\n".join(texts) if texts else _encode(part.data).decode() if part.data is not None else ""
