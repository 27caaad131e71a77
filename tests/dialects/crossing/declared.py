"""Differences between what was said and what arrives that are meant, each with its reason."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.dialects.crossing.facts import Fact, Facts, answer

from portico.types import Dialect

# Recordings that are no calls of their dialect as its provider answers them.
UNREADABLE: Mapping[str, str] = {
    "33801f76831c55573178": "a stream whose blank lines were taken out when it was kept",
    "b1daa2a23bfb7bb436ac": "two streams in one file",
    "87c4a64b6c570926eb65": "two streams in one file",
    "1760b1a2f4826947c2da": "a stream whose deltas were cut short when it was kept, and their ends were not",
    "2f26a215d96a8bdba32f": "an error, answered with a good status",
    "98a0412d75cf1ac48193": "an error, answered with a good status",
    "801c85d611f2ac7b0ef4": "a body with a comma too many",
    "d27903186408a8428251": "a made-up reply that is none",
    "7b2c857f2a97311b04b8": "a made-up stream that is none",
    "2cb2a70bfd16f45027ff": "a chat completion, answered to a call of Responses",
    "26dae74965792b96a579": "a reply that is not there yet: a call in the background",
    "1a240ce88f8bd0672339": "a reply of which nothing came, not even its end",
    "5d9031b2221fdcb10628": "a video of a format that Bedrock does not have",
    "7b1e84a2c94516cf38b6": "made-up usage whose parts are more than the whole",
}

# Buckets of usage that a caller's dialect has no field for. The sums have them all.
USAGE_LOST: Mapping[Dialect, frozenset[str]] = {
    "chat": frozenset(),
    "responses": frozenset(),
    "messages": frozenset(),
    "gemini": frozenset({"written"}),  # what is written to a cache is no count of Google's
    "converse": frozenset({"reasoning"}),  # `outputTokens` holds it
    "cohere": frozenset({"written"}),  # `input_tokens` holds it
}


def as_it_is(facts: Facts) -> Facts:
    """Declare nothing."""
    return facts


def _never_other(facts: Facts) -> Facts:
    """A caller's dialect has no word for an end that fits no other word, nor for one by the provider's own fault."""
    return [("finish", "stop") if fact == ("finish", "other") else fact for fact in facts]


def _never_filtered(facts: Facts) -> Facts:
    """Cohere calls a refusal an end like others; only what a filter stopped is an error."""
    return [("finish", "stop") if fact[0] == "finish" and fact[1] in ("filter", "other") else fact for fact in facts]


# Dialects whose answers have no place for an image, and those that have none for sound: its transcript is told.
NO_IMAGES: frozenset[Dialect] = frozenset({"cohere"})
NO_SOUND: frozenset[Dialect] = frozenset({"responses", "messages", "converse", "cohere"})


def shown(caller: Dialect, facts: Facts) -> Facts:
    """Leave out the media that an answer in the caller's dialect cannot hold."""
    left_out = (("image",) if caller in NO_IMAGES else ()) + (("audio",) if caller in NO_SOUND else ())
    return [fact for fact in facts if fact[0] not in left_out]


ends: Mapping[Dialect, Callable[[Facts], Facts]] = {
    "chat": _never_other,
    "responses": as_it_is,
    "messages": _never_other,
    "gemini": _never_other,
    "converse": _never_other,
    "cohere": _never_filtered,
}


def unsayable(caller: Dialect, told: Facts) -> bool:
    """An end for which there is no reason, or no word in Responses, is told as any other, or as a failure."""
    ends = [fact[1] for fact in told if fact[0] == "finish"]
    return not ends or (caller == "responses" and ends == ["other"])


def ended(facts: Facts) -> Facts:
    """Calls are the reason for an end, even where a provider says "stop" because it was forced to call."""
    called = any(fact[0] == "call" for fact in facts)
    return [("finish", "calls") if called and fact in STOPS else fact for fact in facts]


STOPS = (("finish", "stop"), ("finish", "other"))

# Words that stand in for what a dialect requires and the caller did not say, and for what goes on elsewhere.
STAND_INS = (
    "AnswerwithonevalidJSONobjectandnothingelse:nowordsaboutit,nocodefence.",  # JSON without a schema
    "(whatthetoolreturnedbesidesfollowsinthenextmessage)",
    "(nooutput)",  # nor an empty result
    "(Theconversationbegins.)",  # Claude's first turn is the user's
    "Seethedocument.",  # Bedrock takes no document without a text
)
# What a tool may be called (read 2026-11-20): developers.openai.com/api/reference,
# docs.anthropic.com/en/docs/agents-and-tools/tool-use, ai.google.dev/api/caching#FunctionDeclaration,
# docs.aws.amazon.com/bedrock/latest/APIReference.
TOOL_NAMES: Mapping[Dialect, re.Pattern[str]] = {
    "chat": re.compile("[A-Za-z0-9_-]{1,64}"),
    "responses": re.compile("[A-Za-z0-9_-]{1,64}"),
    "messages": re.compile("[A-Za-z0-9_-]{1,128}"),
    "gemini": re.compile("[A-Za-z_][A-Za-z0-9_.:-]{0,63}"),
    "converse": re.compile("[A-Za-z0-9_-]{1,64}"),
}
NO_RESULT = "Noresultwasgiven."  # Claude takes no call without a result


# Names that a provider would refuse, and what its model is told instead (`test_names`).
RENAMED: Mapping[Dialect, Mapping[str, str]] = {"gemini": {"0": "_0_34069224"}}


def renamed(provider: Dialect, told: Facts) -> Facts:
    """Give tools, and calls of them, the names that a provider is told."""
    names = RENAMED.get(provider, {})
    return [(fact[0], names.get(fact[1], fact[1]), *fact[2:]) if fact[0] in ("tool", "call") else fact for fact in told]


# Tools of a maker's models that the caller runs, and what they take; others are told it (`test_client_tools`).
_EDITOR = ("command", "file_text", "insert_line", "insert_text", "new_str", "old_str", "path", "view_range")
_MEMORY = (*_EDITOR[:4], "new_path", "new_str", "old_path", *_EDITOR[5:])
_COMPUTER = ("action", "coordinate", "duration", "scroll_amount", "scroll_direction", "start_coordinate", "text")
CLIENT_TOOLS: Mapping[str, tuple[str, ...]] = {
    "bash_20250124": ("command", "restart"),
    "text_editor_20250728": _EDITOR,
    "memory_20250818": _MEMORY,
    "computer_20250124": _COMPUTER,
    "computer_20251124": _COMPUTER,
    "apply_patch": ("diff", "path", "type"),
    "shell": ("commands", "max_output_length", "timeout_ms"),
}


def untold(caller: Dialect, provider: Dialect, body: Any, arrived: Facts) -> Facts:
    """Leave out the functions that stand for tools which the caller's own models know untold."""
    known = {
        each.get("name", each["type"]): CLIENT_TOOLS[each["type"]]
        for each in (body.get("tools") if caller in ("messages", "responses") and provider != caller else None) or []
        if each.get("type") in CLIENT_TOOLS
    }
    found = {fact[1]: fact[3] for fact in arrived if fact[0] == "tool" and fact[1] in known and fact[2]}
    assert found == known, f"{known} are told as {found}"
    return [fact for fact in arrived if fact[0] != "tool" or fact[1] not in known]


def settled(provider: Dialect, told: Facts, arrived: Facts, dropped: list[str]) -> tuple[Facts, Facts]:
    """Leave out what is meant."""
    if "thinking_history" in dropped:
        # Thoughts that are not the provider's own, or unsigned, and would be refused.
        told, arrived = ([fact for fact in facts if fact[0] != "thinking"] for facts in (told, arrived))
    if "tool_result_media" in dropped:
        told, arrived = ([(*f[:3], ()) if f[0] == "result" else f for f in facts] for facts in (told, arrived))
    arrived = _called(provider, told, arrived)
    told, arrived = _tools(provider, told, arrived)
    arrived = [fact for fact in arrived if fact[0] != "result" or fact[2] != NO_RESULT]
    if not any(fact[0] == "document" for fact in told):
        told, arrived = _beside(told), _beside(arrived)
    return _instructed(told), _instructed([_said_alone(fact) for fact in arrived])


def _called(provider: Dialect, told: Facts, arrived: Facts) -> Facts:
    """Call tools by the names that they had where a provider would refuse these: they stand in the same order."""
    legal = TOOL_NAMES.get(provider)
    tools = [[fact[1] for fact in facts if fact[0] == "tool"] for facts in (told, arrived)]
    if legal is None or len(tools[0]) != len(tools[1]):
        return arrived
    was = {new: old for old, new in zip(*tools, strict=True) if not legal.fullmatch(old) and legal.fullmatch(new)}
    if not was:
        return arrived
    out: Facts = []
    for fact in arrived:
        if fact[0] in ("tool", "call"):
            fact = (fact[0], was.get(fact[1], fact[1]), *fact[2:])
        elif fact[0] == "choice" and fact[1] != "none":
            fact = (fact[0], tuple(was.get(name, name) for name in fact[1]), *fact[2:])
        out.append(fact)
    return out


def _tools(provider: Dialect, told: Facts, arrived: Facts) -> tuple[Facts, Facts]:
    if provider == "converse" and ("choice", "none") in told:
        # It cannot be forbidden to call: without tools it does not.
        told, arrived = ([fact for fact in facts if fact[0] != "tool"] for facts in (told, arrived))
    chosen = next((fact[1] for fact in told if fact[0] == "choice" and fact[1] != "none"), None)
    if chosen is not None and provider in ("messages", "converse", "cohere"):
        # A choice that cannot be made by name is made by leaving out the other tools.
        told, arrived = ([f for f in facts if f[0] != "tool" or f[1] in chosen] for facts in (told, arrived))
    # Claude takes calls of an earlier turn only beside tools of their names; JSON by a schema is a tool there.
    known = {fact[1] for fact in told if fact[0] == "tool"}
    called = {fact[1] for fact in told if fact[0] == "call"} - known
    arrived = [
        fact
        for fact in arrived
        if fact[0] != "tool" or (fact[1] not in called and not fact[1].startswith("portico_json_"))
    ]
    return told, arrived


def _said_alone(fact: Fact) -> Fact:
    """Take away what stands in."""
    if fact[0] not in ("text", "result"):
        return fact
    words = fact[2]
    for stand_in in STAND_INS:
        words = words.replace(stand_in, "")
    if fact[0] == "result" and words != fact[2]:
        words = answer(words)
    return (*fact[:2], words, *fact[3:])


def _beside(facts: Facts) -> Facts:
    """Media that a tool returned may follow its answer, as the user's, where a result has no place for it."""
    out: Facts = []
    waiting: Facts = []
    for fact in [*facts, ("end",)]:
        if fact[0] == "result":
            waiting += [("media", "user", where) for where in fact[3]]
            out.append((*fact[:3], ()))
            continue
        out += waiting
        waiting = []
        out.append(("media", *fact[1:]) if fact[0] in ("image", "file", "video", "audio") else fact)
    return out[:-1]


def _instructed(facts: Facts) -> Facts:
    """An instruction after the first turn, or without any other turn, goes on as the user's text between tags."""
    turns = [fact for fact in facts if fact[0] not in ("tool", "choice") and (fact[0] != "text" or fact[2])]
    alone = all(fact[:2] == ("text", "system") for fact in turns)
    begun = alone
    out: Facts = []
    for fact in facts:
        if fact[0] == "choice":
            continue
        if fact[0] == "text" and fact[1] == "system" and begun:
            fact = ("text", "user", fact[2])
        if fact[0] == "text" and fact[1] == "user":
            fact = ("text", "user", fact[2].replace("<system>", "").replace("</system>", ""))
        begun = begun or (fact in turns and fact[:2] != ("text", "system"))
        out.append(fact)
    return out
