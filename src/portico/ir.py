"""The conversation that all dialects meet in: requests, replies, and the events of a stream.

What one dialect can say and another can express has a field here; the order of messages and parts is kept. What only
its own dialect knows stays in `extra`, under its own name, and goes out again in that dialect alone: `extra` belongs to
the dialect that parsed it (`Request.dialect`, `Reply.dialect`, `Frame.dialect`). A name in `extra` that begins with `$`
is no field of the wire: it says how something was written ("content was a plain string"), to be written so again.

Parsed JSON in `extra`, schemas and tool inputs is plain data (dict, list, str, int, float, bool, None).
"""

from typing import Any, Literal

import msgspec

from portico.errors import PorticoError
from portico.types import Dialect, Usage

Extra = dict[str, Any]
JSON = Any
"""Plain data, as JSON holds it."""


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Anything of a conversation. Treat `extra` as read-only; `msgspec.structs.replace` makes a changed copy.

    The garbage collector need not look at it: it holds plain data and other nodes, and no way back to itself.
    """

    extra: Extra = {}


# Where media is


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Where bytes are: exactly one of `url`, `data` (base64), `file_id`, `text` (a document's plain text).

    `media_type` is a MIME type where one is known (`image/png`).
    """

    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    text: str | None = None
    media_type: str | None = None


class CacheMark(msgspec.Struct, frozen=True):
    """The prompt may be cached up to here, for `ttl` ("5m" or "1h")."""

    ttl: Literal["5m", "1h"] = "5m"


class Citation(Node, frozen=True, tag="citation"):
    """A source for a stretch of text.

    `start` and `end` are character offsets into the text it belongs to, where the dialect gives them. `document` is the
    index of a document of the request; `document_id` its id (Cohere). `kind` says what `location` holds.
    """

    kind: Literal["url", "document", "page", "char", "block", "search", "file", "other"] = "other"
    url: str | None = None
    title: str | None = None
    cited: str | None = None
    start: int | None = None
    end: int | None = None
    document: int | None = None
    document_id: str | None = None
    file_id: str | None = None
    location: tuple[int, int] | None = None


# Parts of a message, in order


class Text(Node, frozen=True, tag="text"):
    """Text that is shown."""

    text: str
    citations: tuple[Citation, ...] = ()
    cache: CacheMark | None = None
    signature: str | None = None  # Gemini signs text parts too


class Image(Node, frozen=True, tag="image"):
    """An image; `detail` is OpenAI's ("low", "high", "auto")."""

    source: Source
    detail: str | None = None
    cache: CacheMark | None = None


class Audio(Node, frozen=True, tag="audio"):
    """Sound; `transcript` and `id` where a model spoke it."""

    source: Source
    transcript: str | None = None
    id: str | None = None
    cache: CacheMark | None = None


class Video(Node, frozen=True, tag="video"):
    """A film."""

    source: Source
    cache: CacheMark | None = None


class File(Node, frozen=True, tag="file"):
    """A document: PDF, text, or several texts (`source.text`; `parts` for a document made of blocks).

    `cite` asks for citations from it; `id` is Cohere's name for it; `origin` says where a search found it.
    """

    source: Source
    name: str | None = None
    context: str | None = None
    origin: str | None = None
    cite: bool | None = None
    id: str | None = None
    parts: tuple["Part", ...] = ()
    data: JSON = None  # Cohere: a document that is a table of fields
    cache: CacheMark | None = None


class Thinking(Node, frozen=True, tag="thinking"):
    """Reasoning. `opaque` is what only its maker can read (a signature, an encrypted thought), to be given back.

    `maker` is the dialect whose provider made `opaque`; it must not be given to another's. `id` is a Responses item's.
    `summary` is true where the text is a summary of the thought.
    """

    text: str = ""
    opaque: str | None = None
    maker: Dialect | None = None
    redacted: bool = False
    id: str | None = None
    summary: bool = False


class ToolCall(Node, frozen=True, tag="tool_call"):
    """A call that the model makes. `arguments` is JSON text as the model wrote it ("{}" where it wrote none).

    `kind` is `custom` where the input is free text, `server` where the provider runs the tool itself (`server_type`
    is then its type there: `web_search`, `code_execution`). On a function `server_type` is the type by which its caller
    knows the tool and runs it (`shell`), where it has items of its own. `signature` is Gemini's thought signature.
    """

    id: str
    name: str
    arguments: str = "{}"
    kind: Literal["function", "custom", "server"] = "function"
    server_type: str | None = None
    signature: str | None = None
    namespace: str | None = None  # Responses: of the tool, where another dialect's provider calls it
    cache: CacheMark | None = None


class ToolResult(Node, frozen=True, tag="tool_result"):
    """What a tool answered: parts (text, images, files), or `data` where it is a JSON object. `name` is the tool's.

    `server` marks the result of a tool that the provider ran.
    """

    id: str
    name: str | None = None
    parts: tuple["Part", ...] = ()
    data: JSON = None
    error: bool | None = None
    server: bool = False
    cache: CacheMark | None = None


class Refusal(Node, frozen=True, tag="refusal"):
    """Text in which the model declines."""

    text: str


class Opaque(Node, frozen=True, tag="opaque"):
    """Something that only its own dialect knows, as it was written."""

    value: JSON


Part = Text | Image | Audio | Video | File | Thinking | ToolCall | ToolResult | Refusal | Opaque

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(Node, frozen=True):
    """One turn. Tool results are parts of a `tool` message, or of a `user` message where the dialect has them there."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    id: str | None = None


# What may be asked for


class Tool(Node, frozen=True):
    """A tool that the model may call. `parameters` is a JSON Schema, None where the dialect's caller gave none.

    `kind` is `server` for a provider's own tool: `name` is then our word for it where we have one (`web_search`,
    `code_execution`, `file_search`, `computer`, `web_fetch`, `url_context` …), and `extra` has its settings.
    """

    name: str
    description: str | None = None
    parameters: JSON = None
    strict: bool | None = None
    kind: Literal["function", "custom", "server"] = "function"
    cache: CacheMark | None = None


class ToolChoice(Node, frozen=True):
    """`auto`, `none`, `required` (some tool), `tool` (the one named), `allowed` (of `names`; one, if `required`)."""

    mode: Literal["auto", "none", "required", "tool", "allowed"]
    name: str | None = None
    names: tuple[str, ...] = ()
    required: bool = False


class Output(Node, frozen=True):
    """The form of the answer: `text`, any JSON object, or JSON by a schema."""

    kind: Literal["text", "json", "json_schema"]
    schema: JSON = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(Node, frozen=True):
    """How much to think: an effort in words, or a budget in tokens; `enabled` False forbids it, None leaves it open.

    `show` says whether thoughts come back (`summary` is OpenAI's word for how).
    """

    enabled: bool | None = None
    effort: str | None = None
    budget: int | None = None
    show: bool | None = None
    summary: str | None = None


class Request(Node, frozen=True):
    """A conversation to go on with. `system` has the instructions that stand apart from the messages, in order.

    Where a dialect writes them as messages (role `system` or `developer`), they stay messages: position matters there.
    """

    dialect: Dialect
    model: str
    messages: tuple[Message, ...] = ()
    system: tuple[Part, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    output: Output | None = None
    reasoning: Reasoning | None = None
    documents: tuple[File, ...] = ()  # Cohere: beside the messages
    stream: bool = False
    include_usage: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    n: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: JSON = None
    user: str | None = None
    metadata: JSON = None
    service_tier: str | None = None
    verbosity: str | None = None
    modalities: tuple[str, ...] = ()  # "text", "audio", "image"
    prompt_cache_key: str | None = None
    safety: JSON = None  # Gemini's safetySettings, Cohere's safety_mode, Bedrock's guardrailConfig: their own words


# What comes back

Finish = Literal[
    "stop", "length", "tool_calls", "stop_sequence", "content_filter", "refusal", "pause", "error", "other"
]


class Choice(Node, frozen=True):
    """One answer. `finish` is our word, `finish_raw` the provider's; `logprobs` is OpenAI's shape."""

    index: int = 0
    parts: tuple[Part, ...] = ()
    finish: Finish | None = None
    finish_raw: str | None = None
    stop_sequence: str | None = None
    logprobs: JSON = None


class Reply(Node, frozen=True):
    """A whole answer."""

    dialect: Dialect
    id: str = ""
    model: str = ""
    created: int | None = None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    service_tier: str | None = None


# A stream, event by event


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Anything that happens in a stream. `choice` counts answers where there are several (OpenAI's and Gemini's)."""

    choice: int = 0


class Started(Event, frozen=True, tag="started"):
    """The answer begins."""

    id: str = ""
    model: str = ""
    created: int | None = None


class PartStarted(Event, frozen=True, tag="part_started"):
    """A part begins: `part` is what is known of it (an empty Text, a ToolCall with its id and name, a Thinking).

    `index` counts the parts of this choice in order; deltas name it.
    """

    index: int
    part: Part


class TextDelta(Event, frozen=True, tag="text_delta"):
    """More of a Text or a Refusal."""

    index: int
    text: str
    logprobs: JSON = None


class ThinkingDelta(Event, frozen=True, tag="thinking_delta"):
    """More of a Thinking: text, or what seals it."""

    index: int
    text: str = ""
    opaque: str | None = None


class ArgumentsDelta(Event, frozen=True, tag="arguments_delta"):
    """More of a ToolCall's arguments, as JSON text."""

    index: int
    text: str


class CitationDelta(Event, frozen=True, tag="citation_delta"):
    """A citation of a Text."""

    index: int
    citation: Citation


class AudioDelta(Event, frozen=True, tag="audio_delta"):
    """More of an Audio: base64 data, transcript."""

    index: int
    data: str = ""
    transcript: str = ""


class PartEnded(Event, frozen=True, tag="part_ended"):
    """A part is whole; `part` is all of it where the dialect says so (a Responses item), else None."""

    index: int
    part: Part | None = None


class Used(Event, frozen=True, tag="used"):
    """What has been used so far; a later one replaces it."""

    usage: Usage


class Finished(Event, frozen=True, tag="finished"):
    """This choice has ended."""

    finish: Finish
    finish_raw: str | None = None
    stop_sequence: str | None = None


class Ended(Event, frozen=True, tag="ended"):
    """The stream came to its proper end. A stream without it was cut."""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The provider reported an error inside the stream."""

    error: PorticoError


class Ping(Event, frozen=True, tag="ping"):
    """A sign of life."""


AnyEvent = (
    Started
    | PartStarted
    | TextDelta
    | ThinkingDelta
    | ArgumentsDelta
    | CitationDelta
    | AudioDelta
    | PartEnded
    | Used
    | Finished
    | Ended
    | Failed
    | Ping
)


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the wire, and what happens in it, in order; `extra` is what only its own dialect knows of it.

    An encoder of the same dialect writes one wire event for a frame; another writes what `events` come to in its own
    grammar, which may be none or several.
    """

    dialect: Dialect
    events: tuple[AnyEvent, ...] = ()
    extra: Extra = {}
