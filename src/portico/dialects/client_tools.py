"""Tools of one maker's models that the caller runs, for the models of another: told as functions, with their input.

Claude knows what its `bash_20250124` takes, and GPT its `apply_patch`, without being told; others learn it from a
schema. Such a call comes back to its caller as the one that it knows.
"""

import msgspec

from portico.dialects import retold
from portico.dialects.responses import client_tools as openais
from portico.dialects.toolbox import Toolbox, made_of
from portico.ir import Frame, Reply, Request, Tool
from portico.types import Dialect

_replace = msgspec.structs.replace


def asked(request: Request, dialect: Dialect) -> tuple[Request, openais.Names | None] | None:
    """Return a request with functions in place of such tools, and how to tell their calls; None where it has none.

    A caller of Chat Completions may write Anthropic's tools in Anthropic's words.
    """
    if request.dialect == "responses":
        found = made_of(request.tools, "client_tools", lambda: openais.as_functions(request.tools))
        tools, names = found if found is not None else (request.tools, {})
        messages = openais.recalled(request.messages, names)
        if found is None and messages is request.messages:
            return None
        return _replace(request, tools=tools, messages=messages), names or None
    if request.dialect != "messages" and request.dialect != "chat":
        return None
    own = dialect == "messages"
    box = made_of(request.tools, ("client_tools", own), lambda: _anthropics(request.tools, own))
    return None if box is None else (_replace(request, tools=box), None)


def _anthropics(tools: tuple[Tool, ...], own: bool) -> Toolbox | None:
    """Return tools with functions in place of Anthropic's; with `own`, of those alone that it does not take of all."""
    if not any(tool.kind == "server" for tool in tools):
        return None
    from portico.dialects.messages import client_tools as anthropics

    found = [
        anthropics.as_function(tool) if tool.kind == "server" and not (own and anthropics.native(tool)) else None
        for tool in tools
    ]
    if not any(found):
        return None
    return Toolbox([function or tool for function, tool in zip(found, tools, strict=True)])


def told(reply: Reply, names: openais.Names) -> Reply:
    """Return a reply with calls of these tools as their caller knows them."""
    return retold.reply(reply, openais.told, names)


def heard(frame: Frame, names: openais.Names) -> Frame:
    """Return a frame with calls of these tools as their caller knows them; the same one where it has none."""
    return retold.parts(frame, openais.told, names)
