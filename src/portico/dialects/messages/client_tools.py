"""Anthropic's tools that the caller runs, as functions: their input is known to Claude alone, and told to others.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/ {bash-tool, text-editor-tool, memory-tool,
computer-use-tool} (read 2026-11-21). A version that is not here may ask for another input, and stays its maker's.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from portico.ir import Extra, Tool

Schema = dict[str, Any]

_NOTHING: Extra = {}


def _text(said: str) -> Schema:
    return {"type": "string", "description": said}


def _whole(said: str) -> Schema:
    return {"type": "integer", "description": said}


def _point(said: str, size: int = 2) -> Schema:
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": size, "maxItems": size}
    return {**numbers, "description": said}


def _one_of(said: str, *words: str) -> Schema:
    return {"type": "string", "enum": list(words), "description": said}


def _object(*required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _bash(_: Extra) -> tuple[str, Schema]:
    said = (
        "Runs a command in a bash session that goes on between calls: its directory, variables and files stay. "
        "Commands cannot ask for input."
    )
    properties = {
        "command": _text("The command to run; needed unless `restart` is true."),
        "restart": {"type": "boolean", "description": "True to begin a new session instead of running a command."},
    }
    return said, _object(**properties)


def _editor(settings: Extra, *, undo: bool, inserted: str) -> tuple[str, Schema]:
    words = ["view", "create", "str_replace", "insert", *(["undo_edit"] if undo else [])]
    said = (
        "Shows and edits text files. `view` shows a file with numbered lines, or what is in a directory; `create` "
        "writes a new file; `str_replace` replaces the one place where `old_str` stands; `insert` puts text after a "
        "line." + (" `undo_edit` takes back the last edit of a file." if undo else "")
    )
    limit = settings.get("max_characters")
    if type(limit) is int:
        said += f" Of a file, {limit} characters are shown at most."
    properties = {
        "command": _one_of("What to do.", *words),
        "path": _text("The file or directory."),
        "file_text": _text("For `create`: all that the file is to hold."),
        "old_str": _text("For `str_replace`: the text to replace, exactly as it stands, with its white space."),
        "new_str": _text("For `str_replace`: the text to put there."),
        "insert_line": _whole("For `insert`: the line after which the text goes; 0 is the beginning."),
        "view_range": _point("For `view` of a file: the first and the last line; -1 is the file's end."),
    }
    if inserted == "new_str":
        properties["new_str"] = _text("For `str_replace` and `insert`: the text to put there.")
    else:
        properties[inserted] = _text("For `insert`: the text to put there.")
    return said, _object("command", "path", **properties)


def _memory(_: Extra) -> tuple[str, Schema]:
    said = (
        "Keeps files under /memories from one conversation to the next. Look there before beginning a task, and write "
        "down what is worth knowing later. `view` shows a directory or a file, `create` writes a file, `str_replace` "
        "and `insert` edit one, `delete` and `rename` remove or move a file or directory."
    )
    words = ("view", "create", "str_replace", "insert", "delete", "rename")
    properties = {
        "command": _one_of("What to do.", *words),
        "path": _text("The file or directory, beginning with /memories; for all commands but `rename`."),
        "view_range": _point("For `view` of a file: the first and the last line."),
        "file_text": _text("For `create`: all that the file is to hold."),
        "old_str": _text("For `str_replace`: the text to replace."),
        "new_str": _text("For `str_replace`: the text to put there."),
        "insert_line": _whole("For `insert`: the line at which the text goes."),
        "insert_text": _text("For `insert`: the text to put there."),
        "old_path": _text("For `rename`: where it is."),
        "new_path": _text("For `rename`: where it is to be."),
    }
    return said, _object("command", **properties)


_FIRST = (
    "key",
    "type",
    "mouse_move",
    "left_click",
    "left_click_drag",
    "right_click",
    "middle_click",
    "double_click",
    "screenshot",
    "cursor_position",
)
_SECOND = (*_FIRST, "left_mouse_down", "left_mouse_up", "scroll", "hold_key", "wait", "triple_click")


def _computer(settings: Extra, *, later: bool) -> tuple[str, Schema]:
    width, height = settings.get("display_width_px"), settings.get("display_height_px")
    said = (
        f"Uses a computer by its mouse and keyboard, and shows its screen, which is {width} pixels wide and {height} "
        "high; (0, 0) is its upper left corner. Take a `screenshot` to see where things are, and after each step."
    )
    zoom = settings.get("enable_zoom") is True
    words = (*(_SECOND if later else _FIRST), *(("zoom",) if zoom else ()))
    properties = {
        "action": _one_of("What to do.", *words),
        "coordinate": _point("Where, as [x, y], for actions of the mouse."),
        "text": _text("What to type for `type`; the keys to press for `key` and `hold_key` (`ctrl+s`)."),
    }
    if later:
        properties |= {
            "start_coordinate": _point("For `left_click_drag`: where the drag begins, as [x, y]."),
            "scroll_direction": _one_of("For `scroll`: where to.", "up", "down", "left", "right"),
            "scroll_amount": _whole("For `scroll`: by how many notches of the wheel."),
            "duration": {"type": "number", "description": "For `hold_key` and `wait`: how long, in seconds."},
        }
    if zoom:
        properties["region"] = _point("For `zoom`: what to show closely, as [x0, y0, x1, y1].", 4)
    return said, _object("action", **properties)


_KNOWN: Mapping[str, tuple[str, Callable[[Extra], tuple[str, Schema]]]] = MappingProxyType(
    {
        "bash_20241022": ("bash", _bash),
        "bash_20250124": ("bash", _bash),
        "text_editor_20241022": ("str_replace_editor", lambda said: _editor(said, undo=True, inserted="new_str")),
        "text_editor_20250124": ("str_replace_editor", lambda said: _editor(said, undo=True, inserted="new_str")),
        "text_editor_20250429": (
            "str_replace_based_edit_tool",
            lambda said: _editor(said, undo=False, inserted="new_str"),
        ),
        "text_editor_20250728": (
            "str_replace_based_edit_tool",
            lambda said: _editor(said, undo=False, inserted="insert_text"),
        ),
        "memory_20250818": ("memory", _memory),
        "computer_20241022": ("computer", lambda said: _computer(said, later=False)),
        "computer_20250124": ("computer", lambda said: _computer(said, later=True)),
        "computer_20251124": ("computer", lambda said: _computer(said, later=True)),
    }
)
"""What each is called, and what tells what it does and takes."""

_TRIED = "computer_"

# What is told in words, or means nothing elsewhere.
_TOLD = frozenset(
    ("type", "name", "cache_control", "max_characters", "display_width_px", "display_height_px", "display_number")
)
_ALSO_TOLD = frozenset(("enable_zoom", "strict"))


def native(tool: Tool) -> bool:
    """Return whether a tool is in Anthropic's own words, and one that it takes of everyone.

    A computer wants a header that asks for the trial of it.
    """
    kind = tool.extra.get("type")
    return type(kind) is str and kind in _KNOWN and not kind.startswith(_TRIED)


def as_function(tool: Tool) -> Tool | None:
    """Return a tool as the function that it is to others; None for one that is not known here."""
    kind = tool.extra.get("type")
    known = _KNOWN.get(kind) if type(kind) is str else None
    if known is None:
        return None
    name, describe = known
    said, parameters = describe(tool.extra)
    own = tool.extra.get("name")
    strict = tool.extra.get("strict")
    left = {key: value for key, value in tool.extra.items() if key not in _TOLD and key not in _ALSO_TOLD}
    return msgspec.structs.replace(
        tool,
        name=own if type(own) is str and own else name,
        description=said,
        parameters=parameters,
        strict=strict if type(strict) is bool else None,
        kind="function",
        extra=left or _NOTHING,
    )
