"""A provider that is not one: every dialect, whole and streamed; on demand slow, broken or out of quota.

async with MockProvider() as mock:
    client = AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="any")
"""

import socket
import ssl
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import msgspec

from portico.config.schema import Limits, Price, ServerTimeouts
from portico.dialects.objects import Found
from portico.errors import InvalidRequest, PorticoError
from portico.testing.ask import Answer, Ask, Piece, Request, answer
from portico.testing.clock import Clock, LoopClock
from portico.testing.controls import PLAIN, Controls, controls, in_headers, in_prompt, named, pairs
from portico.testing.credentials import credential
from portico.testing.delivery import Delivery, Reply
from portico.testing.faults import Canned, RateLimits, Said, Script, spoken
from portico.testing.ledger import Entry, Ledger
from portico.testing.objects import ObjectStore
from portico.testing.routes import Route, route
from portico.testing.shapes import SHAPES, bedrock
from portico.testing.shapes.errors import Refusal, message_for, refuse, stream_error
from portico.testing.shapes.lines import EVENT_STREAM, JSON, Shape, encode
from portico.testing.shapes.models import listed, single, speaks
from portico.types import Usage
from portico.wire.exchange import Exchange
from portico.wire.server import Server

MODELS = ("mock-model", "mock-reasoner", "mock-embedding")
LIMITS = Limits(memory_body=64 * 1024 * 1024)
TIMEOUTS = ServerTimeouts(idle=3600.0)
MOST_CHOICES = 128
_NOWHERE = Route("unknown", "chat")
_BROKEN_PAGE = b"<!doctype html><title>502 Bad Gateway</title><h1>Bad Gateway</h1>"
_FAILED: dict[str, int] = {"messages": 529, "gemini": 503, "converse": 424}


class MockProvider:
    """A fake provider on a port of its own.

    `keys`: those it takes (any when None). `defaults`: controls for calls that say nothing else. `price`:
    dollars per million tokens, for the ledger's costs. `seed`: of what happens now and then. Faults for the calls to
    come: `mock.script("status=429")`.
    """

    def __init__(
        self,
        *,
        keys: Collection[str] | None = None,
        models: Sequence[str] = MODELS,
        defaults: Said = None,
        price: Price | None = None,
        seed: int = 0,
        clock: Clock | None = None,
        keep: int = 10_000,
        record: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.keys = None if keys is None else frozenset(keys)
        self.models = tuple(models)
        self.script = Script(seed)
        self.defaults = spoken(defaults)
        self.limits = RateLimits()
        self.objects = ObjectStore()
        self.clock: Clock = LoopClock() if clock is None else clock
        self.objects.serve(self.clock.now, self._batched)
        self.ledger = Ledger(keep=keep, price=price, record=record)
        self.host = host
        self.port = port
        self._tls = tls
        self._server: Server | None = None

    def __repr__(self) -> str:
        return f"<MockProvider {self.url} {self.ledger!r}>"

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        sock = socket.create_server((self.host, self.port), backlog=4096)
        self.port = sock.getsockname()[1]
        self._server = Server(self.handle, LIMITS, TIMEOUTS)
        await self._server.listen(sock, self._tls)

    async def stop(self) -> None:
        """Cut what is open and stop listening."""
        if self._server is not None:
            await self._server.close()
            self._server = None
        self.ledger.stop()

    def reset(self) -> None:
        """Forget calls, script and rate limits."""
        self.ledger.reset()
        self.script.clear()
        self.limits.clear()
        self.objects.clear()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        path = exchange.path
        try:
            await exchange.body.arrived(LIMITS.body)
        except PorticoError as error:
            exchange.reply(*refuse("chat", Refusal(error.status, error.message), "req_mock"))
            return
        request = Request(exchange.method, path, exchange.query, exchange.headers, exchange.body.whole())
        if path.startswith("/_mock"):
            exchange.reply(*self._control(request))
            return
        entry = self.ledger.enter(
            Entry(
                id=0,
                begun=self.clock.now(),
                method=exchange.method,
                path=path,
                query=request.query,
                headers=exchange.headers,
                body=request.body,
                key=credential(request),
            )
        )
        try:
            await Delivery(exchange, self._decide(request, entry), entry, self.ledger, self.clock).send()
        finally:
            self.ledger.close(entry, "cut", self.clock.now())  # nothing, unless the mock itself failed

    # what to answer

    def _decide(self, request: Request, entry: Entry) -> Reply:
        """Return the reply to a request."""
        found = route(request.method, request.path) or _NOWHERE
        if found.operation in ("models", "model"):
            found = msgspec.structs.replace(found, dialect=speaks(request))
        entry.operation, entry.dialect = found.operation, found.dialect
        thing = self.objects.called(request) if found is _NOWHERE or found.operation == "model" else None
        if thing is not None:
            operation = thing.thing.operation
            found = Route(operation.name, operation.dialect)
            entry.operation, entry.dialect = found.operation, found.dialect
        try:
            if self.keys is not None and entry.key not in self.keys:
                return self._refused(found, entry, Refusal(401, "Incorrect API key provided.", key=True))
            if thing is not None:
                return self._object(request, found, thing, entry)
            if found.operation in ("models", "model"):
                return self._models(found, entry)
            if found is _NOWHERE:
                message = f"Unknown request URL: {request.method} {request.path}."
                return self._refused(found, entry, Refusal(404, message))
            return self._call(request, found, entry)
        except InvalidRequest as error:
            return self._refused(found, entry, Refusal(400, error.message, error.param))

    def _object(self, request: Request, found: Route, thing: Found, entry: Entry) -> Reply:
        """Return the reply to a call about what is kept here; a script of statuses is for these calls too."""
        told = self.script.told("")
        say = PLAIN
        if not isinstance(told, Canned):
            headed = in_headers(request.headers)
            say = controls({**self.defaults, **headed, **told}) if told or headed or self.defaults else PLAIN
            if say.status is not None and say.status >= 300:
                return self._refused(found, entry, Refusal(say.status, message_for(say.status)), say)
        try:
            answered = self.objects.answer(request, thing, entry.key, self.url, say)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise InvalidRequest(f"The request is not what this operation takes: {error}") from None
        if isinstance(answered, Refusal):
            return self._refused(found, entry, answered)
        headers, body = answered
        return Reply(200, [*headers, *_marks(found, entry)], [Piece(body)])

    def _call(self, request: Request, found: Route, entry: Entry) -> Reply:
        shape = SHAPES[found.operation]
        ask = _read(shape, request, found.model)
        sent = ask.model
        ask.model, suffix = named(sent)
        entry.model, entry.stream = ask.model, ask.stream
        told = self.script.told(ask.model)
        if isinstance(told, Canned):
            pieces = [Piece(chunk) for chunk in told.chunks]
            entry.controls = "canned"
            sized = told.length is not None
            return Reply(
                told.status, list(told.headers), pieces, streamed=not sized, length=told.length, outcome="refused"
            )
        say = self._controls(request, ask, suffix, told, entry, sent)
        limit: list[tuple[bytes, bytes]] = []
        for most, window in ((say.rpm, 60.0), (say.rps, 1.0)):
            if most is None:
                continue
            left, wait = self.limits.take(f"{entry.key} {ask.model} {window:g}", most, self.clock.now(), window)
            limit = _limit_headers(found, most, max(left, 0), wait)
            if left < 0:
                refusal = Refusal(429, message_for(429), retry_after=_shown(wait, window))
                return self._refused(found, entry, refusal, say, limit)
        if say.status is not None and say.status >= 300 and say.fault != "error-mid-stream":
            return self._refused(
                found, entry, Refusal(say.status, message_for(say.status), retry_after=say.retry_after), say
            )
        if say.fault in ("wrong-type", "error-in-200", "empty"):
            return self._pretended(found, entry, say)
        if say.fault == "error-mid-stream" and not ask.stream:
            status = say.status or _FAILED.get(found.dialect, 500)
            return self._refused(found, entry, Refusal(status, message_for(status)), say)
        if found.operation == "responses":
            missing = self.objects.continued(request, entry.key)
            if missing is not None:
                return self._refused(found, entry, missing)
        said = answer(ask, say)
        if found.operation == "responses":
            going_on = self.objects.store(request, entry.key, said.id("resp_"), shape.whole(ask, said), say)
            if going_on is not None and not ask.stream:
                return Reply(200, [(b"content-type", JSON), *_marks(found, entry)], [Piece(going_on)])
        return self._answered(found, shape, ask, said, say, entry, limit)

    def _batched(self, operation: str, request: Request) -> tuple[bytes, Usage]:
        """Answer a request of a batch."""
        shape = SHAPES[operation]
        model = request.path.rpartition("/")[2].partition(":")[0] if operation == "generate_content" else None
        ask = _read(shape, request, model)
        ask.model, suffix = named(ask.model)
        said = answer(ask, controls({**self.defaults, **pairs(suffix), **pairs(in_prompt(ask.prompt))}))
        return shape.whole(ask, said), said.usage

    def _controls(
        self, request: Request, ask: Ask, suffix: str, told: dict[str, str], entry: Entry, sent: str
    ) -> Controls:
        """Return what holds for this call: defaults, suffix, prompt, headers, script; the later wins."""
        asked = in_prompt(ask.prompt)
        if ask.answering:  # what the caller said before its tools answered still holds
            asked = f"{in_prompt(ask.question)} {asked}".strip()
        headed = in_headers(request.headers)
        if not (suffix or asked or headed or told or self.defaults):
            return PLAIN
        said = {**self.defaults, **pairs(suffix), **pairs(asked), **headed, **told}
        entry.controls = "&".join(f"{name}={value}" for name, value in said.items())
        say = controls(said)
        if (say.first is not None or say.one_in is not None) and not self.script.happens(
            f"{sent} {asked} {headed}", say.first, say.one_in
        ):
            say = msgspec.structs.replace(say, status=None, fault=None, retry_after=None)
        return say

    def _answered(
        self, found: Route, shape: Shape, ask: Ask, said: Answer, say: Controls, entry: Entry, limit: Sequence[Any]
    ) -> Reply:
        """Return the real thing."""
        stream = shape.stream if ask.stream else None
        whole = said.usage
        kind = shape.stream_type if stream else shape.whole_type(ask)
        if found.operation == "stream_generate_content" and ask.body != "sse":
            kind = JSON
        pieces = stream(ask, said) if stream else [Piece(shape.whole(ask, said), said.output, said.reasoned)]
        reply = Reply(
            200,
            [(b"content-type", kind), *_marks(found, entry), *limit],
            pieces,
            streamed=stream is not None,
            opening=msgspec.structs.replace(whole, output=0, reasoning=0, output_audio=0, output_image=0),
            whole=whole,
            say=say,
        )
        if say.fault == "error-mid-stream":
            reply.failure = self._failure(found, ask, say, entry)
        elif say.fault == "broken-json":
            at = min(say.at, len(pieces) - 1)
            broken = pieces[at].data.replace(b"{", b"{{", 1)
            reply.broken = bedrock.event("chunk", b'{"broken') if kind == EVENT_STREAM else broken
        return reply

    def _failure(self, found: Route, ask: Ask, say: Controls, entry: Entry) -> bytes:
        """Return the chunk that says in mid-stream that it failed."""
        status = say.status or _FAILED.get(found.dialect, 500)
        refusal = Refusal(status, message_for(status))
        if found.dialect == "converse":
            return bedrock.exception(refusal)
        event = stream_error(found.dialect, refusal, _request_id(entry), say.at)
        if found.operation == "stream_generate_content" and ask.body != "sse":
            comma = b",\r\n" if say.at else b"["
            return comma + event.removeprefix(b"data: ").rstrip() + b"\n]"
        return event

    def _refused(
        self,
        found: Route,
        entry: Entry,
        refusal: Refusal,
        say: Controls = PLAIN,
        more: Sequence[tuple[bytes, bytes]] = (),
    ) -> Reply:
        """Return an error in the words of the dialect."""
        status, headers, body = refuse(found.dialect, refusal, _request_id(entry))
        headers += [(b"x-mock-call", b"%d" % entry.id), *more]
        cutting = say.fault if say.fault in ("cut-before-head", "cut-after-head", "cut-mid-chunk") else None
        say = msgspec.structs.replace(say, fault=cutting)
        return Reply(status, headers, [Piece(body)], outcome="refused", say=say)

    def _pretended(self, found: Route, entry: Entry, say: Controls) -> Reply:
        """Return a reply with a good status that is none."""
        kind, body = b"text/html; charset=utf-8", _BROKEN_PAGE
        if say.fault == "error-in-200":
            _, _, body = refuse(found.dialect, Refusal(500, message_for(500)), _request_id(entry))
            kind = JSON
        elif say.fault == "empty":
            kind, body = JSON, b""
        headers = [(b"content-type", kind), *_marks(found, entry)]
        return Reply(say.status or 200, headers, [Piece(body)], outcome="refused", say=say)

    def _models(self, found: Route, entry: Entry) -> Reply:
        """Return the list of models, or one of them."""
        if found.operation == "models":
            body = listed(found.dialect, self.models)
        elif found.model is not None and named(found.model)[0] in self.models:
            body = single(found.dialect, found.model)
        else:
            return self._refused(found, entry, Refusal(404, f"The model {found.model!r} does not exist."))
        return Reply(200, [(b"content-type", JSON), *_marks(found, entry)], [Piece(encode(body))])

    # the mock's own pages

    def _control(self, request: Request) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Answer a request to the mock itself."""
        headers = [(b"content-type", JSON)]
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        try:
            match request.method, request.path.rstrip("/"):
                case "GET", "/_mock/ledger":
                    limit, after = int(query.get("limit", "100")), int(query.get("after", "0"))
                    return 200, headers, encode(self.ledger.as_data(limit, after))
                case "DELETE", "/_mock/ledger":
                    self.ledger.reset()
                case "POST", "/_mock/reset":
                    self.reset()
                case "POST", "/_mock/script":
                    self._take_script(msgspec.json.decode(request.body, type=_Scripted))
                case "GET", "/_mock":
                    names = list(Controls.__struct_fields__)
                    return 200, headers, encode({"controls": names, "models": self.models})
                case _:
                    return 404, headers, encode({"error": f"no {request.method} {request.path} here"})
        except (msgspec.DecodeError, ValueError) as error:
            return 400, headers, encode({"error": str(error)})
        except InvalidRequest as error:
            return 400, headers, encode({"error": error.message})
        return 200, headers, encode({"ok": True})

    def _take_script(self, scripted: "_Scripted") -> None:
        if scripted.clear:
            self.script.clear()
        self.script.next(*scripted.next, model=scripted.model, times=scripted.times)
        for rule in scripted.sometimes:
            self.script.sometimes(rule.say, rule.one_in, rule.model)
        if scripted.always is not None:
            self.script.always(scripted.always)


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    say: str | dict[str, str]
    one_in: int
    model: str | None = None


class _Scripted(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /_mock/script` takes: the methods of Script, by name."""

    next: list[str | dict[str, str] | None] = []
    model: str | None = None
    times: int = 1
    sometimes: list[_Rule] = []
    always: str | dict[str, str] | None = None
    clear: bool = False


def _read(shape: Shape, request: Request, model: str | None) -> Ask:
    """Read a request; whatever is not as the shape expects is the caller's mistake."""
    try:
        ask = shape.read(request, model)
    except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
        raise InvalidRequest(f"The request body is not what this operation takes: {error}") from None
    if not 0 <= ask.n <= MOST_CHOICES:
        raise InvalidRequest(f"n must be between 1 and {MOST_CHOICES}", param="n")
    most: object = ask.max_tokens
    if most is not None and not (isinstance(most, int) and most >= 0):
        raise InvalidRequest("the most tokens to answer with must be a whole number, not negative", param="max_tokens")
    return ask


def _shown(wait: float, window: float) -> float:
    """Return the seconds to wait as they are told: whole ones, unless the window itself is as short as one."""
    return max(1.0, round(wait + 0.5)) if window > 1 else round(wait, 3)


def _request_id(entry: Entry) -> str:
    return f"req_mock_{entry.id:012d}"


def _marks(found: Route, entry: Entry) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a reply can be found in the ledger."""
    number = b"%d" % entry.id
    request_id = b"req_mock_%012d" % entry.id
    if found.dialect == "messages":
        return [(b"request-id", request_id), (b"x-mock-call", number)]
    if found.dialect == "converse":
        return [(b"x-amzn-requestid", request_id), (b"x-mock-call", number)]
    return [(b"x-request-id", request_id), (b"x-mock-call", number)]


def _limit_headers(found: Route, per_minute: int, left: int, wait: float) -> list[tuple[bytes, bytes]]:
    """Return the headers in which providers tell their rate limits."""
    if found.dialect == "messages":
        reset = datetime.now(UTC) + timedelta(seconds=wait)
        prefix = b"anthropic-ratelimit-requests-"
        return [
            (prefix + b"limit", b"%d" % per_minute),
            (prefix + b"remaining", b"%d" % left),
            (prefix + b"reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
        ]
    return [
        (b"x-ratelimit-limit-requests", b"%d" % per_minute),
        (b"x-ratelimit-remaining-requests", b"%d" % left),
        (b"x-ratelimit-reset-requests", b"%.3fs" % wait),
    ]
