"""The items that a model makes (messages, function calls, reasoning, calls of built-in tools) and our parts.

Several items of one turn are the parts of one message of ours. What told them apart is in `extra`: the first part of a
message item has the item's own members under `$message`, `$string` where its content was a plain string; a call of a
built-in tool has its whole item under `$item`; reasoning in several pieces has their lengths under `$pieces`.
"""

from typing import Any

import msgspec

from portico.dialects.responses.content import Object, UnfitError, read_content, remainder, take, write_own, written
from portico.dialects.seal import PREFIX, unseal, unseal_call
from portico.ir import Image, Opaque, Part, Refusal, Source, Text, Thinking, ToolCall

Signatures = dict[str, str]
"""Signatures of tool calls still to come, by the calls' ids."""

SERVER_TOOLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
    "mcp_call": "mcp",
}
"""Items of tools that the provider runs, and our words for the tools."""

_STRING: dict[str, Any] = {"$message": {}, "$string": True}
_LIST: dict[str, Any] = {"$message": {}}
_ITEM: dict[str, Any] = {"$item": True}
_SEPARATOR = "\n\n"
_encode = msgspec.json.encode


def read_item(item: Object, signatures: Signatures) -> list[Part]:
    """Read an item that a model made, or may have made, and consume it; an unknown one is Opaque. Raises UnfitError."""
    kind = item.get("type")
    if kind == "function_call" or kind == "custom_tool_call":
        return [_read_call(item, kind, signatures)]
    if kind == "message" or kind is None:
        return read_message(item)
    if kind == "reasoning":
        return _read_reasoning(item, signatures)
    if kind == "image_generation_call" and type(item.get("result")) is str:
        return [_read_made_image(item)]
    if type(kind) is str and kind in SERVER_TOOLS:
        return [_read_server_call(item, kind)]
    return [Opaque(item, extra=_ITEM)]


def read_message(item: Object) -> list[Part]:
    """Read a message of the assistant."""
    content = item.pop("content", None)
    item.pop("role", None)
    if type(content) is str:
        return [Text(content, extra={"$message": remainder(item), "$string": True} if item else _STRING)]
    if type(content) is not list:
        raise UnfitError("The content of a message is a string or a list", ".content")
    if len(content) == 1 and type(content[0]) is dict and not content[0].get("annotations"):
        only = content[0]
        if only.get("type") == "output_text" and type(only.get("text")) is str:
            # The commonest message by far, read without a detour.
            del only["type"]
            text = only.pop("text")
            extra = remainder(only)
            extra["$message"] = remainder(item)
            return [Text(text, extra=extra)]
    parts = read_content(content, "output_text")
    hint = {"$message": remainder(item)} if item else _LIST
    if not parts:
        return [Text("", extra={**hint, "$empty": True})]
    first = parts[0]
    parts[0] = msgspec.structs.replace(first, extra=hint if not first.extra else {**first.extra, **hint})
    return parts


def _read_call(item: Object, kind: str, signatures: Signatures) -> ToolCall:
    field = "arguments" if kind == "function_call" else "input"
    call_id, name, arguments = item.get("call_id"), item.get("name"), item.get(field)
    if type(name) is not str:
        raise UnfitError("The name of a call is a string", ".name")
    if type(arguments) is not str:
        raise UnfitError("What a tool is called with is a string", f".{field}")
    del item["type"], item["name"], item[field]
    if type(call_id) is str:
        del item["call_id"]
        extra = remainder(item) if item else item
    else:
        # Some imitators have the one id only.
        call_id = item.get("id")
        if type(call_id) is not str:
            raise UnfitError("The id of a call is a string", ".call_id")
        extra = {**remainder(item), "$one_id": True}
    signature = signatures.pop(call_id, None) if signatures else None
    return ToolCall(
        call_id, name, arguments, "function" if kind == "function_call" else "custom", signature=signature, extra=extra
    )


def _read_reasoning(item: Object, signatures: Signatures) -> list[Part]:
    summary, content = item.get("summary"), item.get("content")
    if summary == [] and (content is None or content == []):
        text = ""
        pieces = None if content is None else {"summary": [], "content": content}
    else:
        read = _pieces(summary), _pieces(content)
        if read[0] is None or read[1] is None:
            return [Opaque(item, extra=_ITEM)]
        texts = [text for text, _ in read[0] + read[1]]
        text = _SEPARATOR.join(texts)
        pieces = None
        if not text or len(texts) != 1 or content is not None or read[0][0][1] != {"type": "summary_text"}:
            pieces = {
                "summary": None if summary is None else [(len(text), rest) for text, rest in read[0]],
                "content": None if content is None else [(len(text), rest) for text, rest in read[1]],
            }
    opaque = take(item, "encrypted_content")
    if opaque is not None and opaque[:8] == PREFIX:
        signed = unseal_call(opaque)
        if signed is not None:
            signatures[signed[0]] = signed[1]
            return []
        thought = unseal(opaque, text)
        if thought is not None:
            return [thought]
    item.pop("summary", None)
    item.pop("content", None)
    del item["type"]
    own_id = take(item, "id")
    extra = remainder(item)
    if pieces is not None:
        extra = {**extra, "$pieces": pieces}
    return [
        Thinking(
            text,
            opaque,
            "responses" if opaque is not None else None,
            id=own_id,
            summary=not content,
            extra=extra,
        )
    ]


def _pieces(listed: object) -> list[tuple[str, Object]] | None:
    """Return the texts of a summary or content, each with its other members; None for what is none."""
    if listed is None:
        return []
    if type(listed) is not list:
        return None
    found = []
    for piece in listed:
        if type(piece) is not dict or type(piece.get("text")) is not str:
            return None
        found.append((piece["text"], {name: value for name, value in piece.items() if name != "text"}))
    return found


def _read_made_image(item: Object) -> Image:
    data = item.pop("result")
    form = item.get("output_format")
    media_type = f"image/{form}" if type(form) is str and form.isalnum() else "image/png"
    return Image(Source(data=data, media_type=media_type), extra={"$item": item})


def _read_server_call(item: Object, kind: str) -> ToolCall:
    name = SERVER_TOOLS[kind]
    arguments: Any = {}
    if kind == "web_search_call":
        action = item.get("action")
        if type(action) is dict:
            arguments = {key: value for key, value in action.items() if key not in ("type", "sources")}
    elif kind == "mcp_call":
        arguments = item.get("arguments")
        name = item["name"] if type(item.get("name")) is str else name
    elif kind == "code_interpreter_call":
        arguments = {"code": item.get("code")}
    else:
        arguments = {"queries": item.get("queries")}
    call_id = item.get("id")
    return ToolCall(
        call_id if type(call_id) is str else "",
        name,
        arguments if type(arguments) is str else _encode(arguments or {}).decode(),
        "server",
        SERVER_TOOLS[kind],
        extra={"$item": item},
    )


# Ours to wire, for what this dialect's parser read


def write_items(parts: tuple[Part, ...], out: list[Any]) -> list[Thinking]:
    """Write parts that `read_item` made as the items that they were, at the end of `out`.

    Returns the thoughts that were left out, as another's provider sealed them.
    """
    left: list[Thinking] = []
    content: list[Any] | None = None
    for part in parts:
        extra = part.extra
        if type(part) is ToolCall:
            content = None
            out.append(_write_call(part))
        elif type(part) is Thinking:
            content = None
            if part.maker is None or part.maker == "responses":
                out.append(_write_reasoning(part))
            else:
                left.append(part)
        elif type(part) is Opaque and "$item" in extra:
            content = None
            out.append(part.value)
        elif "$message" in extra or (content is None and type(part) in (Text, Refusal)):
            item = {"role": "assistant", **extra.get("$message", {})}
            if type(part) is Text and "$string" in extra:
                item["content"] = part.text
                content = None
            else:
                item["content"] = content = []
                if "$empty" not in extra or (type(part) is Text and part.text):
                    value = write_own(part, "output_text")
                    if value is not None:
                        content.append(value)
            out.append(item)
        elif type(part) is Image and "$item" in extra:
            content = None
            out.append({**extra["$item"], "result": part.source.data})
        elif content is not None:
            value = write_own(part, "output_text")
            if value is not None:
                content.append(value)
    return left


def _write_call(call: ToolCall) -> Object:
    extra = call.extra
    if "$item" in extra:
        return extra["$item"]  # type: ignore[no-any-return]  # what read_item put there
    item = {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
    if call.kind == "custom":
        item["type"] = "custom_tool_call"
        item["input"] = item.pop("arguments")
    if extra:
        item.update(written(extra))
        if "$one_id" in extra:
            del item["call_id"]
    return item


def _write_reasoning(thought: Thinking) -> Object:
    extra = thought.extra
    item: Object = {"type": "reasoning"}
    if thought.id is not None:
        item["id"] = thought.id
    if extra:
        item.update(written(extra))
    if thought.opaque is not None:
        item["encrypted_content"] = thought.opaque
    pieces = extra.get("$pieces")
    cut = _cut(thought.text, pieces) if pieces is not None else None
    if cut is not None:
        item.update(cut)
    elif not thought.text:
        item["summary"] = []
    else:
        item["summary"] = [{"type": "summary_text", "text": thought.text}]
    return item


def _cut(text: str, pieces: Object) -> Object | None:
    """Cut a text into the pieces that it was joined from; None where it no longer is as long as they were."""
    cut: Object = {}
    at = 0
    for name, lengths in pieces.items():
        if lengths is None:
            continue
        cut[name] = []
        for length, rest in lengths:
            cut[name].append({**rest, "text": text[at : at + length]})
            at += length + len(_SEPARATOR)
    return cut if max(at - len(_SEPARATOR), 0) == len(text) else None
