"""A call of one dialect, made at a provider that speaks another: the request there, the reply, stream and errors back.

`Question` is what a caller asked, read once. `Translation` is that question put to one provider: for each target of a
fall-back there is another, and making it raises InvalidRequest where the provider cannot be asked this. What most calls
are, a few words and an answer of words, is put directly (`direct`), and the question is read only where that fails.

    question = Question(operation, body, model=model, stream=stream)
    name = upstream_operation(operation.name, offered, stream=stream)
    translation = Translation(question, name, target, given, strict=strict)
    send(translation.body)
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from portico.dialects import chat, client_tools, direct, emulate, free_text, gemini, names, responses, unnamed
from portico.dialects.chat.brief import Brief
from portico.dialects.crossing import Complaint, Given, Notes, Target
from portico.dialects.gemini.gathered import gathered, leave
from portico.dialects.messages.caching import marked
from portico.dialects.operations import OPERATIONS, Operation
from portico.dialects.registry import PACKAGES, SPOKEN
from portico.dialects.toolbox import Members
from portico.errors import BadUpstreamReply, PorticoError, UpstreamRefused, untraced
from portico.ir import ArgumentsDelta, Ended, Failed, Frame, Reply, Request, TextDelta, ThinkingDelta, Used
from portico.types import Dialect, Usage

if TYPE_CHECKING:
    from portico.dialects.responses.namespaces import Owners

Headers = Iterable[tuple[bytes, bytes]]


class FrameDecoder(Protocol):
    """Reads a provider's stream; raises BadUpstreamReply only."""

    def feed(self, chunk: bytes, /) -> list[Frame]:
        """Return the frames that a chunk completes."""

    def flush(self) -> list[Frame]:
        """Return the frames that the end of the body completes; the last holds Ended where it was a proper end."""


class FrameEncoder(Protocol):
    """Writes a caller's stream."""

    def feed(self, frame: Frame, /) -> bytes:
        """Return what a frame comes to."""

    def fail(self, error: PorticoError, /) -> bytes:
        """Return the event that ends the stream with an error."""

    def finish(self) -> bytes:
        """Return what ends the stream properly."""


class Language(Protocol):
    """What the package of a dialect offers."""

    def parse_request(self, body: bytes, *, model: str, stream: bool, members: Members | None = None) -> Request:
        """Read a caller's request; `members` are those of its body, where they have been read."""

    def render_request(self, request: Request, target: Target, notes: Notes, /) -> bytes:
        """Write a request for a provider."""

    def parse_reply(self, body: bytes, /) -> Reply:
        """Read a provider's reply."""

    def render_reply(self, reply: Reply, request: Request, given: Given, /) -> bytes:
        """Write a reply for a caller."""

    def parse_error(self, status: int, headers: Headers, body: bytes, /) -> Complaint:
        """Read a provider's error."""

    @property
    def Decoder(self) -> Callable[..., FrameDecoder]:  # noqa: N802  # a class of the package
        """Reads a provider's stream."""

    @property
    def Encoder(self) -> Callable[[Request, Given], FrameEncoder]:  # noqa: N802  # a class of the package
        """Writes a caller's stream."""


LANGUAGES: Mapping[Dialect, Language] = MappingProxyType(
    {dialect: cast(Language, package) for dialect, package in PACKAGES.items()}
)
"""The packages of the dialects."""


# The call


class Question:
    """What a caller asked, read once for every provider that may be asked it.

    `model` is the model by the caller's name, `stream` whether a stream is wanted. `array` is true for Gemini's callers
    who did not ask for `alt=sse`: their streams are the elements of a JSON array. `members` are the body's, where they
    have been read.
    """

    __slots__ = ("_request", "array", "body", "members", "model", "operation", "stream")

    def __init__(
        self,
        operation: Operation,
        body: bytes,
        *,
        model: str,
        stream: bool,
        array: bool = False,
        members: Members | None = None,
    ) -> None:
        self.operation = operation
        self.body = body
        self.model = model
        self.stream = stream
        self.array = array and operation.dialect == "gemini"
        self.members = members
        self._request: Request | None = None

    def __repr__(self) -> str:
        return f"<Question {self.operation.name} {self.model!r}>"

    @property
    def request(self) -> Request:
        """All of it. Raises InvalidRequest."""
        if self._request is None:
            operation, body, model, stream = self.operation, self.body, self.model, self.stream
            if operation.name == "completions":
                self._request = chat.completions.parse_request(body, model=model, stream=stream)
            else:
                parse = LANGUAGES[operation.dialect].parse_request
                self._request = parse(body, model=model, stream=stream, members=self.members)
        return self._request

    def put(self, request: Request) -> "Question":
        """Return the question with another request in its place."""
        other = copy.copy(self)
        other._request = request
        return other


class Translation:
    """A question put to a provider, and what it answers in the caller's words.

    `upstream` names the provider's operation. `body` is what to send there; `dropped` names what could not be said,
    by the table of crossing.toml (with `strict` that is refused). Of a stream `finished` says that its proper end was
    seen and told, `failed` what it failed of, `usage` what it used; after either end nothing more is written.

    Raises InvalidRequest where the provider cannot be asked this.
    """

    more: Sequence[bytes] = ()
    """A conversation is always one request."""
    known: Usage | None = None
    """What it uses is the provider's to say."""
    estimated = False
    """No number of its reply is made up."""

    __slots__ = (
        "_asked",
        "_custom",
        "_decoder",
        "_encoder",
        "_given",
        "_heard",
        "_known",
        "_language",
        "_names",
        "_owners",
        "_question",
        "_teller",
        "_unwrapper",
        "_wrapping",
        "body",
        "dropped",
        "failed",
        "finished",
        "upstream",
        "usage",
    )

    def __init__(
        self, question: Question, upstream: str, target: Target, given: Given, *, strict: bool = False
    ) -> None:
        self._question = question
        self._given = given
        self.upstream = OPERATIONS[upstream]
        assert self.upstream.dialect == target.dialect, f"{upstream} is no operation of {target.dialect}"
        self._language = LANGUAGES[target.dialect]
        self.usage: Usage | None = None
        self.finished = False
        self.failed: PorticoError | None = None
        self._decoder: FrameDecoder | None = None
        self._encoder: FrameEncoder | None = None
        self._heard: Brief | None = None
        self._names: names.Names | None = None
        self._custom: free_text.Names | None = None
        self._known: Mapping[str, str] | None = None
        self._owners: Owners | None = None
        self._teller: free_text.Teller | None = None
        self._wrapping: emulate.Wrapping | None = None
        self._unwrapper: emulate.Unwrapper | None = None
        self._asked: direct.Asked | None = None
        self.dropped: Sequence[str] = ()
        if not question.stream:
            put = direct.put(question.operation.name, question.body, question.members, target)
            if put is not None:
                self.body, self._asked = put
                return
        self._write(question.request, target, Notes(target.dialect, strict=strict))

    def _write(self, asked: Request, target: Target, notes: Notes) -> None:
        if asked.dialect != target.dialect:
            if asked.dialect == "responses":
                from portico.dialects.responses import namespaces

                spread = namespaces.spread(asked)
                if spread is not None:
                    asked, self._owners = spread
            if (asked.tools or asked.dialect == "responses") and (
                (known := client_tools.asked(asked, target.dialect)) is not None
            ):
                asked, self._known = known
            if asked.tools and asked.dialect in free_text.HAVE_THEM and not free_text.takes(target):
                freed = free_text.asked(asked, notes)
                if freed is not None:
                    asked, self._custom = freed
                    self._teller = free_text.Teller(self._custom)
            if asked.tools and (aliased := names.aliased(asked, target.dialect)) is not None:
                asked, self._names = aliased
            if asked.dialect == "responses":
                responses.leave(asked, notes)
            elif asked.dialect == "gemini":
                leave(asked, notes)
                asked = gathered(asked)
            elif asked.dialect == "messages":
                asked = marked(asked)
        elif asked.stream and "usage_always" not in target.quirks:
            # A stream is accounted for by its usage, whether or not the caller wants to see it.
            asked = msgspec.structs.replace(asked, include_usage=True)
        output = asked.output
        if output is not None and output.kind != "text":
            box = emulate.boxed(asked, target.dialect) if asked.dialect != target.dialect else None
            asked = box or asked
            self._wrapping = emulate.Wrapping(box is not None, emulate.bare(output))
            self._unwrapper = emulate.Unwrapper(self._wrapping)
        self.body = self._language.render_request(asked, target, notes)
        self.dropped = notes.dropped

    def __repr__(self) -> str:
        return f"<Translation {self._question.operation.name} to {self.upstream.name}>"

    @property
    def content_type(self) -> bytes:
        """Of a whole reply."""
        return b"application/json"

    @property
    def stream_type(self) -> bytes:
        """The content type of a stream."""
        if self._question.array:
            return b"application/json"
        return SPOKEN[self._question.operation.dialect].stream_type

    # A whole reply

    def hears(self, body: bytes) -> bool:
        """Return whether a whole reply is an answer, in the shape that most have: then it is not read again.

        One that is not may be an answer all the same.
        """
        if self.upstream.dialect == "chat" and self._question.operation.dialect != "chat":
            # Most providers speak this, and most replies are brief.
            self._heard = chat.hear(body)
        return self._heard is not None

    def reply(self, body: bytes) -> bytes:
        """Return a provider's whole reply as the caller reads it. Raises BadUpstreamReply for what is none."""
        question = self._question
        reply = None
        if self._heard is not None or self.hears(body):
            heard, self._heard = self._heard, None
            assert heard is not None
            if (
                self._asked is not None
                and (told := self._asked.told(heard, body, question.model, self._given)) is not None
            ):
                told_body, self.usage = told
                return told_body
            reply = chat.brief_reply(heard, body)
        if reply is None:
            reply = unnamed.told(self._language.parse_reply(body), self._given)
        reply = self._restored(reply)
        if question.operation.name == "completions":
            return chat.completions.render_reply(reply, question.request, self._given)
        return LANGUAGES[question.operation.dialect].render_reply(reply, question.request, self._given)

    def _restored(self, reply: Reply) -> Reply:
        """Return a reply with what was put otherwise for its provider as the caller put it, and note what it used."""
        if self._wrapping is not None:
            reply = emulate.unwrap(reply, self._wrapping)
        if self._names is not None:
            reply = names.restored(reply, self._names)
        if self._custom is not None:
            reply = free_text.told(reply, self._custom)
        if self._known is not None:
            reply = client_tools.told(reply, self._known)
        if self._owners is not None:
            from portico.dialects.responses import namespaces

            reply = namespaces.told(reply, self._owners)
        self.usage = reply.usage
        return reply

    def replay(self, body: bytes) -> bytes:
        """Return a provider's whole reply as the stream that the caller asked for. Raises BadUpstreamReply."""
        from portico.dialects.replayed import frames

        reply = self._restored(unnamed.told(self._language.parse_reply(body), self._given))
        encoder = self._writer()
        out = [encoder.feed(frame) for frame in frames(reply)]
        self.finished = True
        return b"".join((*out, encoder.finish()))

    # A stream

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk from the provider and return what goes on to the caller. Does not raise."""
        if self.finished or self.failed is not None:
            return b""
        return self._written((self._decoder or self._reader()).feed, chunk)

    def relay(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return what takes a chunk and writes what goes on of it; for streams of many."""
        feed = self.feed

        def consume(chunk: bytes) -> None:
            out = feed(chunk)
            if out:
                write(out)

        return consume

    def flush(self) -> bytes:
        """Say that the provider's stream was closed as its framing wants it, and return what is still to go on.

        Where `finished` is false after it, the stream was cut, and `fail` is to say so.
        """
        if self.finished or self.failed is not None:
            return b""
        return self._written(lambda _: self._reader().flush(), b"")

    def fail(self, error: PorticoError) -> bytes:
        """Return the event that ends the caller's stream with an error; nothing where it has ended."""
        if self.finished or self.failed is not None:
            return b""
        self.failed = error
        return self._writer().fail(error)

    def _reader(self) -> FrameDecoder:
        if self._decoder is None:
            dialect = self.upstream.dialect
            brief = dialect in _BRIEF and dialect != self._question.operation.dialect
            self._decoder = self._language.Decoder(own=False) if brief else self._language.Decoder()
        return self._decoder

    def _writer(self) -> FrameEncoder:
        if self._encoder is None:
            request, operation = self._question.request, self._question.operation
            if operation.name == "completions":
                self._encoder = chat.completions.Encoder(request, self._given)
            elif self._question.array:
                self._encoder = gemini.Encoder(request, self._given, array=True)
            else:
                self._encoder = LANGUAGES[operation.dialect].Encoder(request, self._given)
        return self._encoder

    def _written(self, read: Callable[[bytes], list[Frame]], chunk: bytes) -> bytes:
        encoder = self._encoder or self._writer()
        try:
            frames = read(chunk)
        except BadUpstreamReply as error:
            self.failed = untraced(error)
            return encoder.fail(error)
        if (
            len(frames) == 1
            and self._unwrapper is None
            and self._teller is None
            and len(events := frames[0].events) == 1
            and type(events[0]) in _DELTAS
        ):
            # Most chunks are this.
            return encoder.feed(frames[0])
        out = []
        for frame in frames:
            told = unnamed.heard(frame, self._given)
            if self._unwrapper is not None:
                told = self._unwrapper.feed(told)
            if self._names is not None:
                told = names.heard(told, self._names)
            if self._teller is not None:
                told = self._teller.feed(told)
            if self._known is not None:
                told = client_tools.heard(told, self._known)
            if self._owners is not None:
                from portico.dialects.responses import namespaces

                told = namespaces.heard(told, self._owners)
            written = encoder.feed(told)
            if written:
                out.append(written)
            for event in told.events:
                kind = type(event)
                if kind is Used:
                    self.usage = event.usage  # type: ignore[union-attr]  # kind says so
                elif kind is Failed:
                    self.failed = event.error  # type: ignore[union-attr]  # kind says so
                    return b"".join(out)
                elif kind is Ended:
                    self.finished = True
        if self.finished:
            out.append(encoder.finish())
        return b"".join(out) if len(out) != 1 else out[0]

    # An error

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamRefused:
        """Return a provider's error reply as an error to be rendered in the caller's dialect.

        Its message, code, parameter, request id and time to wait are the provider's. Its status is the one that the
        caller's SDK turns into the exception that fits.
        """
        return refusal(self._question.operation.dialect, self.upstream.dialect, status, headers, body)


def refusal(dialect: Dialect, told: Dialect, status: int, headers: Headers, body: bytes) -> UpstreamRefused:
    """Return an error that a provider told in its dialect, for a caller of another."""
    said = LANGUAGES[told].parse_error(status, list(headers), body)
    return UpstreamRefused(
        said.message,
        status=told_status(dialect, status, body),
        code=said.code,
        param=said.param,
        request_id=said.request_id,
        retry_after=said.retry_after,
    )


_DELTAS = frozenset((TextDelta, ThinkingDelta, ArgumentsDelta))

# Whose decoders can leave out what no other dialect's encoder asks for; a dialect need not be among them.
_BRIEF: frozenset[Dialect] = frozenset(("chat", "messages", "responses"))

# Statuses that only their own provider's SDK knows: Bedrock's failed model and model that is too slow, Cohere's
# blocked content and call that was given up, Anthropic's overload.
_STATUSES = {408: 504, 424: 502, 498: 400, 499: 504, 529: 503}
# Google's word for a key that it does not know, in an answer with the status 400 (google.rpc.ErrorInfo).
_BAD_KEY = b'"API_KEY_INVALID"'


def told_status(dialect: Dialect, status: int, body: bytes) -> int:
    """Return the status by which a dialect's SDK finds the exception that fits a provider's error."""
    if status == 400 and _BAD_KEY in body:
        return 401
    if not 400 <= status < 600:
        return 502
    own = SPOKEN[dialect].statuses
    return own[status] if status in own else _STATUSES.get(status, status)
