"""Tools and the choice among them, both ways.

https://ai.google.dev/api/caching#Tool and …#ToolConfig (read 2026-11-20). An entry of `tools` may hold several
functions and several of Google's own tools; how they were laid out stays in the request's `extra` under `$tools`.
"""

from collections.abc import Callable
from typing import Any

from portico.dialects.crossing import Notes, Target
from portico.dialects.gemini.numbered import MODES, word
from portico.dialects.gemini.schema import in_subset, to_json_schema, to_subset
from portico.dialects.gemini.spelling import Fields, Object, closed, opened, without_hints
from portico.dialects.malformed import Malformed, a_list, an_object
from portico.dialects.searching import note_lost, note_settings, search_of
from portico.dialects.toolbox import Toolbox, note_fields, told
from portico.ir import Extra, Request, Tool, ToolChoice

SERVER = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "enterpriseWebSearch": "web_search",
    "codeExecution": "code_execution",
    "urlContext": "url_context",
    "computerUse": "computer",
    "fileSearch": "file_search",
    "googleMaps": "google_maps",
    "retrieval": "retrieval",
}
"""Google's own tools, and our word for each."""

# Tools of other providers that Google has too. They go over without their settings, which differ.
_SAME = {
    "web_search": "googleSearch",
    "code_execution": "codeExecution",
    "url_context": "urlContext",
    "web_fetch": "urlContext",
    "google_maps": "googleMaps",
}
_ENTRY = Fields(("functionDeclarations", *SERVER))
_DECLARATION = Fields(
    ("name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior")
)
_CONFIG = Fields(("functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"))
_CALLING = Fields(("mode", "allowedFunctionNames"))


def parse_tools(found: Any) -> Toolbox:
    """Read the tools; beside them stands how they were laid out where that is not one list of functions.

    Raises Malformed.
    """
    subset = in_subset(found)
    tools: list[Tool] = []
    layout: list[Object] = []
    entries = [found] if type(found) is dict else a_list(found, "tools")
    for at, entry in enumerate(entries):
        try:
            rest = opened(an_object(entry, ""), _ENTRY)
            start = len(tools)
            declared = rest.get("functionDeclarations")
            if declared:
                del rest["functionDeclarations"]
                for index, each in enumerate(a_list(declared, "functionDeclarations")):
                    tools.append(_declaration(each, index, subset))
            functions = len(tools) - start
            for name in [name for name in rest if name in SERVER and type(rest[name]) is dict]:
                tools.append(Tool(name=SERVER[name], kind="server", extra={**rest.pop(name), "$type": name}))
        except Malformed as problem:
            raise problem.within(f"tools[{at}]") from None
        layout.append({"functions": functions, "server": len(tools) - start - functions, "rest": rest})
    usual = len(layout) == 1 and not layout[0]["server"] and not layout[0]["rest"] and type(found) is list
    if usual:
        return Toolbox(tools)
    return Toolbox(tools, {"entries": layout, "single": type(found) is dict})


def _declaration(found: Any, index: int, subset: bool) -> Tool:
    if type(found) is not dict:
        raise Malformed(f"functionDeclarations[{index}]", "an object")
    rest = opened(found, _DECLARATION)
    name = rest.pop("name", None)
    if type(name) is not str or not name:
        raise Malformed(f"functionDeclarations[{index}].name", "a tool's name")
    description = rest.pop("description") if type(rest.get("description")) is str else None
    parameters = None
    if type(rest.get("parametersJsonSchema")) is dict:
        parameters = rest.pop("parametersJsonSchema")
        rest["$json"] = True
    elif type(rest.get("parameters")) is dict:
        written = rest.pop("parameters")
        parameters = to_json_schema(written) if subset else written
        if parameters != written:
            rest["$written"] = written
            rest["$read"] = parameters
    return Tool(name=name, description=description, parameters=parameters, extra=rest)


def hosts(request: Request) -> Callable[[Tool], bool]:
    """Return what says whether Google runs a tool for another's request.

    Beside functions it takes none of its own, but where the steps of these come back with the next turn as they were
    (ai.google.dev/gemini-api/docs/tool-combination, read 2026-11-21), which another's client does not do.
    """
    beside = any(tool.kind != "server" for tool in request.tools)
    return lambda tool: not beside and tool.name in _SAME


def render_tools(request: Request, own: bool, target: Target, notes: Notes) -> Any:
    """Write the tools as they were laid out, else all functions in one entry and each other tool in its own."""
    if not request.tools:
        return None
    layout = request.extra.get("$tools") if own else None
    if layout is not None and sum(each["functions"] + each["server"] for each in layout["entries"]) == len(
        request.tools
    ):
        entries = []
        start = 0
        for each in layout["entries"]:
            middle = start + each["functions"]
            end = middle + each["server"]
            entry: Object = dict(each["rest"])
            if middle > start:
                entry["functionDeclarations"] = [
                    _write(tool, True, target, notes) for tool in request.tools[start:middle]
                ]
            for tool in request.tools[middle:end]:
                entry[tool.extra["$type"]] = without_hints(tool.extra)
            entries.append(closed(entry))
            start = end
        return entries[0] if layout["single"] else entries
    if own:
        return _entries(request.tools, own, target, notes) or None
    made = told(
        request.tools,
        ("gemini", target.quirks),
        notes,
        lambda heard: {"tools": entries} if (entries := _entries(request.tools, own, target, heard)) else {},
    )
    return made.get("tools")


def _entries(tools: tuple[Tool, ...], own: bool, target: Target, notes: Notes) -> list[Object]:
    functions = [_write(tool, own, target, notes) for tool in tools if tool.kind != "server"]
    out: list[Object] = [{"functionDeclarations": functions}] if functions else []
    for tool in tools:
        if tool.kind != "server":
            continue
        if own and "$type" in tool.extra:
            out.append({tool.extra["$type"]: without_hints(tool.extra)})
            continue
        if tool.name == "web_search":
            note_lost(tool, search_of(tool), notes)
        else:
            note_settings(tool, notes)
        out.append({_SAME[tool.name]: {}})
    return out


def _write(tool: Tool, own: bool, target: Target, notes: Notes) -> Object:
    out: Object = {"name": tool.name}
    if own:
        out = {**tool.extra, **out}
        if tool.description is not None:
            out["description"] = tool.description
        if tool.parameters is not None:
            if "$written" in out and tool.parameters == out["$read"]:
                out["parameters"] = out["$written"]
            elif "$json" in out or "$written" in out:
                out["parametersJsonSchema"] = tool.parameters
            else:
                out["parameters"] = tool.parameters
        return closed(out) if tool.extra else out
    if tool.extra:
        note_fields(tool, notes)
    if tool.description:
        out["description"] = tool.description
    if tool.strict:
        notes.lost("tool_strict", tool.name)
    if tool.cache is not None:
        notes.lost("cache_mark")
    if tool.parameters is not None:
        if not tool.parameters:
            # An empty schema is one of no type, which the API refuses.
            pass
        elif "schema_subset" not in target.quirks:
            out["parametersJsonSchema"] = tool.parameters
        else:
            schema = to_subset(tool.parameters, lambda detail: notes.lost("schema_keywords", detail))
            if schema.get("properties"):
                out["parameters"] = schema
    return out


def parse_choice(found: Any) -> tuple[ToolChoice | None, Object]:
    """Read `toolConfig`: the choice, and what is left of it. Raises Malformed."""
    rest = opened(an_object(found, "toolConfig"), _CONFIG)
    if rest.get("functionCallingConfig") is None:
        return None, rest
    calling = opened(an_object(rest.pop("functionCallingConfig"), "toolConfig.functionCallingConfig"), _CALLING)
    written = calling.pop("mode", None)
    said = word(written, MODES)
    mode = said.upper() if type(said) is str else None
    names: tuple[str, ...] = ()
    if calling.get("allowedFunctionNames"):
        allowed = a_list(calling.pop("allowedFunctionNames"), "toolConfig.functionCallingConfig.allowedFunctionNames")
        if not all(type(name) is str for name in allowed):
            raise Malformed("toolConfig.functionCallingConfig.allowedFunctionNames", "names of tools")
        names = tuple(allowed)
    if mode == "NONE":
        choice = ToolChoice(mode="none")
        if names:
            calling["allowedFunctionNames"] = list(names)
    elif mode == "ANY":
        if len(names) == 1:
            choice = ToolChoice(mode="tool", name=names[0])
        else:
            choice = ToolChoice(mode="allowed" if names else "required", names=names, required=bool(names))
    else:
        choice = ToolChoice(mode="allowed" if names else "auto", names=names)
    if _calling(choice).get("mode") != written:
        calling["$mode"] = written
    return (replace_extra(choice, calling) if calling else choice), rest


def replace_extra(choice: ToolChoice, extra: Extra) -> ToolChoice:
    """Return a choice with this extra."""
    return ToolChoice(mode=choice.mode, name=choice.name, names=choice.names, required=choice.required, extra=extra)


def _calling(choice: ToolChoice) -> Object:
    if choice.mode == "auto":
        return {"mode": "AUTO"}
    if choice.mode == "none":
        return {"mode": "NONE"}
    if choice.mode == "required":
        return {"mode": "ANY"}
    if choice.mode == "tool":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": "ANY" if choice.required else "VALIDATED", "allowedFunctionNames": list(choice.names)}


def render_choice(request: Request, own: bool) -> Object | None:
    """Write `toolConfig`; None where it would say nothing."""
    kept = request.extra.get("toolConfig", request.extra.get("$toolConfig")) if own else None
    choice = request.tool_choice
    if choice is None:
        return closed(dict(kept)) if isinstance(kept, dict) else None
    out: Object = dict(kept) if isinstance(kept, dict) else {}
    calling = _calling(choice)
    if own and choice.extra:
        calling.update(choice.extra)
        if "$mode" in choice.extra:
            if choice.extra["$mode"] is None:
                del calling["mode"]
            else:
                calling["mode"] = choice.extra["$mode"]
        closed(calling)
    out["functionCallingConfig"] = calling
    return closed(out)
