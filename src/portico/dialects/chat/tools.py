"""Tools, the choice among them, and the form of the answer, read and written.

Shapes: platform.openai.com/docs/api-reference/chat/create (read 2026-11-20), the deprecated `functions` and
`function_call` included. Tools that a provider runs itself are listed by their type, or asked for by
`web_search_options`.
"""

import re
from typing import Any, Literal

import msgspec

from portico.dialects.chat.hints import HINTS, NONE, Table, keep, reopened
from portico.dialects.chat.marks import parse_mark, render_mark
from portico.dialects.crossing import Notes, Target
from portico.dialects.openai import fits_strict
from portico.dialects.searching import note_lost, search_of
from portico.dialects.toolbox import Toolbox, box, note_fields, told
from portico.errors import InvalidRequest
from portico.ir import Output, Tool, ToolChoice

_SERVER = {
    "openrouter:web_search": "web_search",
    "openrouter:web_fetch": "web_fetch",
    "web_search": "web_search",
    "web_search_preview": "web_search",
    "browser_search": "web_search",
    "code_interpreter": "code_execution",
    "code_execution": "code_execution",
    "file_search": "file_search",
    "google_search": "web_search",
    "enterprise_search": "web_search",
}
# Tools of other makers, which some write here as those write them.
_DATED = re.compile(r"_20\d{6}$")
_GOOGLES = {
    "googleSearch": "web_search",
    "google_search": "web_search",
    "googleSearchRetrieval": "web_search",
    "google_search_retrieval": "web_search",
    "enterpriseWebSearch": "web_search",
    "codeExecution": "code_execution",
    "code_execution": "code_execution",
    "urlContext": "url_context",
    "url_context": "url_context",
}
_SCHEMA_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
# As Anthropic and Responses have them.
_FLAT: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto",
    "none": "none",
    "any": "required",
    "required": "required",
}
_WORDS = frozenset(("auto", "none", "required"))


def parse_tools(fields: Table) -> tuple[Tool, ...]:
    """Take the tools out of a request; raises InvalidRequest for what is no list of tools."""
    found: list[Tool] = []
    listed = fields.get("tools")
    if listed is not None:
        del fields["tools"]
        if type(listed) is msgspec.Raw:
            known = box("chat", listed, _parse_listed)
            if "functions" not in fields and "web_search_options" not in fields:
                return known
            found = list(known)
        else:
            found = list(_parse_listed(listed))
    legacy = fields.get("functions")
    if legacy is not None:
        if type(legacy) is not list:
            raise InvalidRequest("`functions` must be a list", param="functions")
        del fields["functions"]
        found += [_parse_function(item, f"functions[{at}]", {"as": "functions"}) for at, item in enumerate(legacy)]
    options = fields.get("web_search_options")
    if type(options) is dict:
        del fields["web_search_options"]
        found.append(Tool(name="web_search", kind="server", extra=keep(options, {"as": "web_search_options"})))
    return tuple(found)


def _parse_listed(listed: Any) -> Toolbox:
    if type(listed) is not list:
        raise InvalidRequest("`tools` must be a list", param="tools")
    return Toolbox([_parse_tool(item, at) for at, item in enumerate(listed)])


def _parse_tool(item: Any, at: int) -> Tool:
    if type(item) is not dict:
        raise InvalidRequest(f"`tools[{at}]` must be an object", param=f"tools[{at}]")
    kind = item.get("type", "function")
    if len(item) == 1 and (known := _GOOGLES.get(next(iter(item)))) is not None:
        return Tool(name=known, kind="server", extra=item)
    if type(item.get("name")) is str and (
        (kind == "function" and kind not in item) or (kind == "custom" and "input_schema" in item)
    ):
        return _parse_flat(item, f"tools[{at}]")
    if kind == "function":
        inner = item.get("function")
        if type(inner) is not dict:
            raise InvalidRequest(f"`tools[{at}].function` must be an object", param=f"tools[{at}].function")
        if len(item) == 2 and "type" in item:
            return _parse_function(inner, f"tools[{at}].function", {})
        hints: Table = {}
        if "type" in item:
            del item["type"]
        else:
            hints["typeless"] = True
        del item["function"]
        cache = parse_mark(item, hints)
        if item:
            hints["outer"] = item
        return _parse_function(inner, f"tools[{at}].function", hints, cache)
    if kind == "custom" and type(item.get("custom")) is dict:
        inner = item["custom"]
        if type(inner.get("name")) is not str:
            raise InvalidRequest(f"`tools[{at}].custom.name` must be a string", param=f"tools[{at}].custom.name")
        del item["type"], item["custom"]
        description = inner.pop("description") if type(inner.get("description")) is str else None
        form = inner.pop("format", None)
        hints = {"outer": item} if item else {}
        if form is not None and _flat(form) is None:
            hints["format"] = form
        return Tool(
            name=inner.pop("name"),
            description=description,
            kind="custom",
            parameters=_flat(form),
            extra=keep(inner, hints),
        )
    if type(kind) is not str:
        raise InvalidRequest(f"`tools[{at}].type` must be a string", param=f"tools[{at}].type")
    plain = _DATED.sub("", kind)
    inner = item.get("function")
    if plain != kind and type(inner) is dict:
        # As LiteLLM writes Anthropic's tools.
        settings = inner.get("parameters")
        flat = {"type": kind, "name": inner.get("name", plain), **(settings if type(settings) is dict else NONE)}
        item = keep(flat, {"written": item})
    return Tool(name=_SERVER.get(plain, plain), kind="server", extra=item)


def _parse_flat(item: Table, where: str) -> Tool:
    """Read a function without an object of its own, as Responses and Anthropic have it."""
    hints = {"written": item.copy()}
    item.pop("type", None)
    schema = item.pop("input_schema", None)
    if type(schema) is dict:
        item["parameters"] = schema
    cache = parse_mark(item, hints)
    return _parse_function(item, where, hints, cache)


def _flat(form: Any) -> Any:
    """Return a custom tool's format as Responses writes it: the grammar beside its type; None for another shape."""
    if type(form) is not dict:
        return None
    grammar = form.get("grammar")
    if form.get("type") == "grammar" and type(grammar) is dict and form.keys() == {"type", "grammar"}:
        return {"type": "grammar", **grammar} if "type" not in grammar else None
    return form if "grammar" not in form and form.get("type") != "grammar" else None


def _nested(form: Any) -> Any:
    if type(form) is dict and form.get("type") == "grammar":
        return {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}
    return form


def _parse_function(inner: Any, where: str, hints: Table, cache: Any = None) -> Tool:
    if type(inner) is not dict:
        raise InvalidRequest(f"`{where}` must be an object", param=where)
    name = inner.pop("name", None)
    if type(name) is not str:
        raise InvalidRequest(f"`{where}.name` must be a string", param=f"{where}.name")
    if len(inner) == 2 and not hints and cache is None:
        description, parameters = inner.get("description"), inner.get("parameters")
        if type(description) is str and type(parameters) is dict:
            return Tool(name=name, description=description, parameters=parameters)
    description = inner.pop("description") if type(inner.get("description")) is str else None
    parameters = inner.pop("parameters") if type(inner.get("parameters")) is dict else None
    strict = inner.pop("strict") if type(inner.get("strict")) is bool else None
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        strict=strict,
        cache=cache,
        extra=keep(inner, hints) if inner or hints else inner,
    )


def has_hosted(tool: Tool, target: Target) -> bool:
    """Return whether a provider runs a tool of this name itself."""
    return tool.name == "web_search" and "web_search_options" in target.quirks


def render_tools(fields: Table, tools: tuple[Tool, ...], own: bool, target: Target, notes: Notes) -> None:
    """Write the tools into a request."""
    if own:
        fields |= _written(tools, own, target, notes)
    else:
        fields |= told(tools, ("chat", target.quirks), notes, lambda heard: _written(tools, own, target, heard))


def _written(tools: tuple[Tool, ...], own: bool, target: Target, notes: Notes) -> Table:
    fields: Table = {}
    listed: list[Table] = []
    legacy: list[Table] = []
    for tool in tools:
        inner, hints = reopened(tool, own)
        if "written" in hints:
            listed.append(hints["written"])
            continue
        if tool.kind == "server":
            if own and hints.get("as") != "web_search_options":
                listed.append(inner)
            elif own:
                fields["web_search_options"] = inner
            else:
                fields["web_search_options"] = _search_options(tool, notes)
            continue
        if tool.extra and not own:
            note_fields(tool, notes)
        inner["name"] = tool.name
        if tool.description is not None and (own or tool.description):
            inner["description"] = tool.description
        if tool.kind == "custom":
            form = hints["format"] if "format" in hints else _nested(tool.parameters)
            if form is not None:
                inner["format"] = form
            listed.append(hints.get("outer", NONE) | {"type": "custom", "custom": inner})
            continue
        if tool.parameters is not None:
            inner["parameters"] = tool.parameters
        if tool.strict is not None:
            if own or not tool.strict or fits_strict(tool.parameters):
                inner["strict"] = tool.strict
            else:
                notes.lost("tool_strict", tool.name)
        if "as" in hints:
            legacy.append(inner)
            continue
        outer: Table = {"type": "function", "function": inner}
        if hints:
            outer |= hints.get("outer", NONE)
            if "typeless" in hints:
                del outer["type"]
        if tool.cache is not None:
            render_mark(outer, tool.cache, hints, own, target, notes)
        listed.append(outer)
    if listed:
        fields["tools"] = listed
    if legacy:
        fields["functions"] = legacy
    return fields


def _search_options(tool: Tool, notes: Notes) -> Table:
    search = search_of(tool)
    options: Table = {}
    if search.place:
        options["user_location"] = {"type": "approximate", "approximate": search.place}
    if search.context_size is not None:
        options["search_context_size"] = search.context_size
    note_lost(tool, search, notes, "place", "context_size")
    return options


def parse_choice(fields: Table) -> ToolChoice | None:
    """Take the choice among tools out of a request; one that is not understood stays there."""
    choice = fields.get("tool_choice")
    if type(choice) is str:
        if choice in _WORDS:
            del fields["tool_choice"]
            return ToolChoice(mode=choice)  # type: ignore[arg-type]  # one of the three words
        if choice == "any":
            del fields["tool_choice"]
            return ToolChoice(mode="required", extra={HINTS: {"word": "any"}})
    elif type(choice) is dict:
        found = _parse_named(choice)
        if found is not None:
            del fields["tool_choice"]
            return found
    legacy = fields.get("function_call")
    if choice is None and legacy is not None:
        hints: Table = {HINTS: {"as": "function_call"}}
        if legacy == "auto" or legacy == "none":
            del fields["function_call"]
            return ToolChoice(mode=legacy, extra=hints)
        if type(legacy) is dict and legacy.keys() == {"name"} and type(legacy["name"]) is str:
            del fields["function_call"]
            return ToolChoice(mode="tool", name=legacy["name"], extra=hints)
    return None


def _parse_named(choice: Table) -> ToolChoice | None:
    kind = choice.get("type", "function")
    allowed = choice.get("allowed_tools")
    if kind == "allowed_tools" and type(allowed) is dict and choice.keys() == {"type", "allowed_tools"}:
        listed = allowed.get("tools")
        if (
            allowed.keys() != {"mode", "tools"}
            or allowed["mode"] not in ("auto", "required")
            or type(listed) is not list
        ):
            return None
        named = [_parse_named(item) if type(item) is dict else None for item in listed]
        if not all(named):
            return None
        names = tuple(item.name or "" for item in named if item is not None)
        plain = listed == [_named(name, "function") for name in names]
        return ToolChoice(
            mode="allowed",
            names=names,
            required=allowed["mode"] == "required",
            extra={} if plain else {HINTS: {"tools": listed}},
        )
    if kind == "tool" and choice.keys() == {"type", "name"} and type(choice["name"]) is str:
        return ToolChoice(mode="tool", name=choice["name"], extra={HINTS: {"form": "tool"}})
    flat = _FLAT.get(kind) if type(kind) is str else None
    if flat is not None and choice.keys() == {"type"}:
        return ToolChoice(mode=flat, extra={HINTS: {"written": choice}})
    if kind == "function" and choice.keys() == {"type", "name"} and type(choice["name"]) is str:
        return ToolChoice(mode="tool", name=choice["name"], extra={HINTS: {"written": choice}})
    if kind not in ("function", "custom"):
        return None
    inner = choice.get(kind)
    if type(inner) is not dict or inner.keys() != {"name"} or type(inner["name"]) is not str:
        return None
    if not choice.keys() <= {"type", kind}:
        return None
    hints: Table = {}
    if kind == "custom":
        hints["form"] = "custom"
    elif "type" not in choice:
        hints["form"] = "typeless"
    return ToolChoice(mode="tool", name=inner["name"], extra={HINTS: hints} if hints else {})


def render_choice(fields: Table, choice: ToolChoice, tools: tuple[Tool, ...], own: bool, target: Target) -> None:
    """Write the choice among tools into a request."""
    hints = choice.extra.get(HINTS, NONE) if own else NONE
    if hints.get("as") == "function_call":
        fields["function_call"] = {"name": choice.name} if choice.mode == "tool" else choice.mode
        return
    if not own and "tools" not in fields:
        return
    if "written" in hints:
        fields["tool_choice"] = hints["written"]
    elif choice.mode == "tool":
        custom = any(tool.kind == "custom" and tool.name == choice.name for tool in tools)
        fields["tool_choice"] = _named(choice.name, hints.get("form", "custom" if custom else "function"))
    elif choice.mode == "allowed":
        listed = hints.get("tools") or [_named(name, "function") for name in choice.names]
        mode = "required" if choice.required else "auto"
        fields["tool_choice"] = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": listed}}
    elif choice.mode == "required":
        word = "any" if "tool_choice_any" in target.quirks else "required"
        fields["tool_choice"] = hints.get("word", word)
    else:
        fields["tool_choice"] = choice.mode


def _named(name: str | None, form: str) -> Table:
    if form == "tool":
        return {"type": "tool", "name": name}
    if form == "typeless":
        return {"function": {"name": name}}
    return {"type": form, form: {"name": name}}


def parse_output(fields: Table) -> Output | None:
    """Take the form of the answer out of a request; one that is not understood stays there."""
    form = fields.get("response_format")
    if type(form) is not dict:
        return None
    kind = form.get("type")
    if kind == "json_schema":
        inner = form.get("json_schema")
        if type(inner) is not dict or type(inner.get("schema")) is not dict:
            flat = _parse_flat_output(form) if inner is None else None
            if flat is not None:
                del fields["response_format"]
            return flat
        del fields["response_format"], form["type"], form["json_schema"]
        return Output(
            kind="json_schema",
            schema=inner.pop("schema"),
            name=inner.pop("name") if type(inner.get("name")) is str else None,
            description=inner.pop("description") if type(inner.get("description")) is str else None,
            strict=inner.pop("strict") if type(inner.get("strict")) is bool else None,
            extra=keep(inner, {"outer": form} if form else {}),
        )
    if kind in ("text", "json_object") and len(form) == 1:
        del fields["response_format"]
        return Output(kind="text" if kind == "text" else "json")
    if kind == "json_object" and (flat := _parse_flat_output(form)) is not None:
        del fields["response_format"]
        return flat
    return None


def _parse_flat_output(form: Table) -> Output | None:
    """Read a schema that stands beside the type: Together's, llama.cpp's, LiteLLM's for Gemini, and Responses'."""
    schema = next((found for name in ("schema", "response_schema") if type(found := form.get(name)) is dict), None)
    if schema is None:
        return None
    name, description, strict = form.get("name"), form.get("description"), form.get("strict")
    return Output(
        kind="json_schema",
        schema=schema,
        name=name if type(name) is str else None,
        description=description if type(description) is str else None,
        strict=strict if type(strict) is bool else None,
        extra={HINTS: {"written": form}},
    )


def render_output(fields: Table, output: Output, own: bool, target: Target) -> None:
    """Write the form of the answer into a request. OpenAI wants a schema to have a name."""
    if output.kind == "text":
        if own:
            fields["response_format"] = {"type": "text"}
        return
    written = output.extra.get(HINTS, NONE).get("written") if own else None
    if written is not None:
        fields["response_format"] = written
        return
    if output.kind == "json" or "json_object_only" in target.quirks:
        fields["response_format"] = {"type": "json_object"}
        return
    inner, hints = reopened(output, own)
    if output.name is not None or not own:
        inner["name"] = output.name if own else _SCHEMA_NAME.sub("_", output.name or "")[:64] or "answer"
    if output.description is not None and (own or output.description):
        inner["description"] = output.description
    inner["schema"] = output.schema
    if output.strict is not None:
        inner["strict"] = output.strict
    fields["response_format"] = hints.get("outer", NONE) | {"type": "json_schema", "json_schema": inner}
