"""How many tokens a request is, estimated without a tokeniser: for counts of models whose provider has no counter.

An estimate, and to be declared as one. Text is counted by its words, letters, digits, marks, lines and the bytes of
other scripts, weighted as a tokeniser of 200,000 words splits them; what a family of models adds (for each message,
each tool, hidden instructions for tools) comes from `_FAMILIES`. Both were fitted to recorded calls whose providers
reported the tokens of their input (weights to one half, and measured on the other). How far off it is on all of them,
without media, as a part of what was reported (half of the calls, and nine of ten, are nearer):

    GPT          6 %, 22 %      Claude 4.5 on    7 %, 44 %      Qwen, GLM, DeepSeek, Llama   16 %, 71 %
    gpt-oss      2 %, 10 %      Claude before   10 %, 48 %      Mistral                       8 %, 83 %
    Gemini      10 %, 56 %      Command         24 %, 67 %      Grok                         38 %, 89 %
    Gemini 2.0   7 %, 33 %      Nova            41 %, 55 %      others                       21 %, 65 %

The large ones are short requests where hidden instructions, of a model or of whoever hosts it, are most of the input.
Above a thousand tokens the median is 4 % for GPT and 10 to 13 % for Claude, Gemini and the open models.
`tests/dialects/tasks/test_estimating.py` measures this again. Pictures, sound and documents: `media_tokens.py`. What a
provider adds from elsewhere (stored conversations, its own tools) is not in it.
"""

import re
from typing import Final, NamedTuple

import msgspec

from portico.dialects.media_tokens import audio_tokens, file_tokens, image_tokens, video_tokens
from portico.ir import (
    Audio,
    File,
    Image,
    Opaque,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)

SAMPLED: Final = 32 * 1024
"""Characters beyond which a text is counted by samples: counting must not hold a worker up."""
_SAMPLES: Final = 16
_WORD: Final = re.compile(r"[^\W\d_]+")
_DIGITS: Final = re.compile(r"\d{1,3}")
_MARK: Final = re.compile(r"[^\w\s]|_")


class Family(NamedTuple):
    """What models of a family make of things: factors on text and on schemas, tokens for each of the others.

    `tools` is what having any tools costs, `start` what every request costs; `form` is the part of a schema for the
    answer that counts.
    """

    text: float
    schema: float
    message: float
    tool: float
    tools: float
    start: float
    call: float
    form: float = 1.0


_FAMILIES: Final[tuple[tuple[re.Pattern[str], Family], ...]] = tuple(
    (re.compile(pattern), Family(*numbers))
    for pattern, numbers in (
        (r"claude.*-4[.-][5-9]|claude-(opus|sonnet|haiku)-[5-9]", (1.13, 1.32, 1.3, 4.5, 504, 6, 10)),
        (r"claude", (1.21, 1.21, 0, 2.6, 314, 8, 17)),
        (r"gemini-(2\.0|1\.)", (1.02, 0.31, 0.3, 2.4, 0, 0, 0, 0)),
        (r"gemini", (1.08, 0.6, 0.5, 8, 0, 0.5, 5, 0)),
        (r"gpt-oss", (1.0, 0.41, 6.7, 9.3, 22, 61, 2)),
        (r"gpt|codex|(^|[/.])o[134]\b", (1.0, 0.5, 4.4, 2.9, 12, 2.6, 1.9)),
        (r"mistral|ministral|magistral|devstral|codestral|pixtral", (1.12, 0.94, 1.5, 21, 0, 1.6, 3.2)),
        (r"command|cohere", (1.03, 0.3, 2.2, 5, 0, 0, 4)),
        (r"nova", (1.16, 1.12, 0, 10, 349, 1.5, 4)),
        (r"qwen|qwq|glm|deepseek|llama", (1.02, 0.7, 4, 10, 110, 3, 7)),
        (r"grok", (1.0, 1.0, 5, 10, 150, 8, 11)),
    )
)
_OTHERS: Final = Family(1.0, 0.7, 4.5, 8, 30, 3, 4)


def estimate(request: Request, model: str | None = None) -> int:
    """Return an estimate of a request's input tokens, at least 1. `model` is the provider's name for the model."""
    named = (model or request.model).lower()
    family = family_of(named)
    spent = family.start + (family.message if request.system else 0.0)
    spent += sum(_part(part, family, named) for part in request.system)
    for message in request.messages:
        spent += family.message
        for part in message.parts:
            spent += _part(part, family, named)
    spent += sum(_part(document, family, named) for document in request.documents)
    if request.tools:
        spent += family.tools + sum(_tool(tool, family) for tool in request.tools)
    if request.output is not None and request.output.schema is not None:
        spent += family.form * family.schema * weigh(_json(request.output.schema))
    return max(1, round(spent))


def text_tokens(text: str, model: str = "") -> int:
    """Return an estimate of the tokens of a text alone."""
    return round(family_of(model.lower()).text * weigh(text)) if text else 0


def family_of(model: str) -> Family:
    """Return what a model's family makes of things, by its lowercase name."""
    for pattern, family in _FAMILIES:
        if pattern.search(model):
            return family
    return _OTHERS


def weigh(text: str) -> float:
    """Return a text's tokens, before a family's factor. Linear in its length, and bounded: long texts are sampled."""
    length = len(text)
    if length <= SAMPLED:
        return _weighed(text)
    size = SAMPLED // _SAMPLES
    step = (length - size) // (_SAMPLES - 1)
    sample = "\n".join(text[at * step : at * step + size] for at in range(_SAMPLES))
    return _weighed(sample) * length / len(sample)


def _weighed(text: str) -> float:
    lines = text.count("\n")
    marks = len(_MARK.findall(text))
    length = len(text)
    beyond = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - length
    letters = length - text.count(" ") - lines - marks
    words, digits = len(_WORD.findall(text)), len(_DIGITS.findall(text))
    return 0.699 * words + 0.065 * letters + 1.894 * digits + 0.719 * marks + 0.585 * lines + 0.347 * beyond


def _tool(tool: Tool, family: Family) -> float:
    told = weigh(f"{tool.name} {tool.description or ''}")
    if tool.parameters is not None:
        told += weigh(_json(tool.parameters))
    return family.tool + family.schema * told


def _part(part: Part, family: Family, model: str) -> float:
    if isinstance(part, Text | Refusal):
        return family.text * weigh(part.text)
    if isinstance(part, ToolCall):
        return family.call + family.text * (weigh(part.name) + weigh(part.arguments))
    if isinstance(part, ToolResult):
        told = family.call if part.data is None else family.call + family.text * weigh(_json(part.data))
        return told + sum(_part(inner, family, model) for inner in part.parts)
    if isinstance(part, Thinking):
        return family.text * weigh(part.text)
    if isinstance(part, Image):
        return image_tokens(part, model)
    if isinstance(part, Audio):
        return audio_tokens(part, model)
    if isinstance(part, Video):
        return video_tokens(part, model)
    if isinstance(part, File):
        return _file(part, family, model)
    assert isinstance(part, Opaque)
    return family.text * weigh(_json(part.value))


def _file(file: File, family: Family, model: str) -> float:
    told = sum(_part(inner, family, model) for inner in file.parts)
    if file.source.text is not None:
        told += family.text * weigh(file.source.text)
    elif file.data is not None:
        told += family.text * weigh(_json(file.data))
    elif not file.parts:
        told += file_tokens(file, model)
    return told


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8", "replace")
