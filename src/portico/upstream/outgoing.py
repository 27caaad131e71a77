"""A request on its way out: the same for every target but for what a target changes in it."""

import itertools
import mmap
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Final

from portico.dialects import vertex
from portico.dialects.operations import Operation
from portico.dialects.request import Peek, rewrite
from portico.dialects.sealed import holds_seal
from portico.dialects.stand_ins import CONVERSATIONS, TASKS, rewords
from portico.providers.address import Endpoint
from portico.providers.auth.scheme import Auth
from portico.rules import Bound
from portico.upstream.headers import FORWARDS
from portico.upstream.keyring import Credential
from portico.upstream.spooled import spliced
from portico.upstream.target import Line, Target

Body = bytes | Callable[[], tuple[int, AsyncIterator[bytes]]]
"""A body in memory, or how to read a spooled one from its start: its size and its pieces."""

PLAIN_JSON: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),)
if TYPE_CHECKING:
    from portico.dialects.resume.answer import Answer
    from portico.dialects.tasks import Errand, Task
    from portico.dialects.translate import Question, Translation

_WITH_BODY: Final = frozenset(("POST", "PUT", "PATCH"))

MOST_WAYS: Final = 64
"""Ways that are remembered for requests with one head."""


def _ids(call_id: str) -> Callable[[str], str]:
    """Return what makes the ids of a translation, and knows no more of its call than the id."""
    count = itertools.count(1)
    return lambda prefix: f"{prefix}{call_id}{next(count):x}"


@cache
def _translating() -> "tuple[ModuleType, type[Question], type[Translation]]":
    """Load what translates: most calls pass as they are, and a worker is a tenth smaller until one crosses."""
    from portico.dialects import crossing
    from portico.dialects.translate import Question, Translation

    return crossing, Question, Translation


class Way:
    """How requests with one head go to a target with a key.

    `alike` says that they are conversations in one dialect at both ends, and name their model in the body: they go as
    they are, but for that name, unless something is sealed in them. `foreign` says that the target speaks another
    dialect. `head` is what is written before their length, `crossed` the same of those in other words than the
    caller's; None until it is known to be the same for all.
    """

    __slots__ = ("alike", "crossed", "foreign", "head", "line")

    def __init__(self, line: Line, alike: bool = False, foreign: bool = False) -> None:
        self.line = line
        self.alike = alike
        self.foreign = foreign
        self.head: bytes | None = None
        self.crossed: bytes | None = None


class Outgoing:
    """What a caller asked for, as its targets are to get it: as it is, or in the dialect that a target speaks.

    `asked` is None for a request that passes through as it is; `passed` is then its method and address. `asks_usage`
    is true where a stream is to be asked for its usage because the caller did not. `limit` bounds a reply that is held
    whole. `bound` is the most that it can use, where that is known before anybody looks. `resumes` says that a stream
    that dies is gone on with at another target, `stores` that the caller wants its answer kept. `ways` remembers how
    such requests go, by target, key, and whether they stream: requests with the same head share it.
    """

    __slots__ = (
        "_question", "asked", "asks_usage", "body", "bound", "call_id", "headers", "limit", "model", "operation",
        "passed", "query", "resumes", "stores", "stream", "strict", "translations", "ways",
    )  # fmt: skip

    def __init__(
        self,
        operation: Operation,
        headers: Sequence[tuple[bytes, bytes]],
        query: str,
        body: bytes | mmap.mmap,
        asked: Peek | None,
        limit: int,
        ways: dict[tuple[Target, Credential, bool], Way] | None = None,
        stream: bool = False,
        call_id: str = "",
        model: str = "",
        strict: bool = False,
        asks_usage: bool = False,
        passed: tuple[str, Endpoint] | None = None,
        resumes: bool = False,
        stores: bool = False,
        bound: Bound | None = None,
    ) -> None:
        self.operation = operation
        self.headers = headers
        self.query = query
        self.body = body
        self.asked = asked
        self.limit = limit
        self.ways: dict[tuple[Target, Credential, bool], Way] = {} if ways is None else ways
        self.stream = stream
        self.call_id = call_id
        self.model = model
        self.strict = strict
        self.asks_usage = asks_usage
        self.passed = passed
        self.resumes = resumes
        self.stores = stores
        self.bound = bound
        self.translations: dict[Target, Translation | Errand] = {}
        self._question: Question | Task | None = None

    def way_to(self, target: Target, credential: Credential) -> Way:
        """Return the way to a target with a key."""
        if self.passed is not None:
            method, address = self.passed
            return Way(target.upstream.line(method, credential, address, address.query))
        stream = self.stream
        way = self.ways.get((target, credential, stream))
        if way is None:
            own = self.operation.name
            name = target.stands_in(own, stream)
            assert name is not None, "a plan has targets that serve"
            line = target.line(name, credential, self.query if name == own else "", stream)
            reworded = not target.model or (target.body_version and self.operation.dialect == "messages")
            way = Way(line, name == own and name in CONVERSATIONS and not reworded, name != own)
            if len(self.ways) >= MOST_WAYS:
                self.ways.clear()
            self.ways[target, credential, stream] = way
        return way

    def body_for(self, target: Target, auth: Auth, way: Way) -> Body:
        """Return the body that a target gets, by the key that is used."""
        body, asked = self.body, self.asked
        if isinstance(body, bytes):
            if asked is None:
                return body
            if way.alike and not self.resumes and not holds_seal(body, self.operation.dialect):
                asks = self.asks_usage and target.asks_usage
                return rewrite(self.operation, body, asked, model=target.model, ask_usage=asks)
            if way.foreign or (self.passed is None and self.crosses(target)):
                return self.translation(target).body
            if target.body_version and self.operation.dialect == "messages":
                return vertex.rewrite(body, asked, None if self.operation.name == "messages" else target.model)
            if not target.model:
                return body
            asks = self.asks_usage and target.asks_usage
            return rewrite(self.operation, body, asked, model=target.model, ask_usage=asks)
        if asked is None or not target.model:
            return spliced(body) if auth.static else body[:]  # a signature covers the bytes themselves
        assert asked.form is not None, "only a form stays in its spool file"
        return spliced(body, *asked.form.edit("model", target.model))

    def crosses(self, target: Target) -> bool:
        """Return whether a target gets the request in other words than the caller's.

        It speaks another dialect, or the caller gives back what was sealed for it on its way through another one, or
        a stream is listened to, so that another target can go on with it.
        """
        own = self.operation.name
        name = target.stands_in(own, self.stream)
        if self.resumes and self.goes_on(target):
            return True
        if name != own:
            return self.passed is None
        if name in CONVERSATIONS:
            return isinstance(self.body, bytes) and holds_seal(self.body, self.operation.dialect)
        if name not in TASKS or self.asked is None or self.asked.members is None:
            return False
        return rewords(name, self.asked.members, target.quirks)

    def goes_on(self, target: Target) -> bool:
        """Return whether a stream of a target that dies can be gone on with at another one.

        Not where the target keeps the answer, to be named in a later call: it would be kept without its end.
        """
        if not self.resumes:
            return False
        native = self.stores and target.stands_in("responses", True) == "responses"
        return not (native and "responses" in target.upstream.provider.objects)

    def copy(self, translations: dict[Target, "Translation | Errand"] | None = None) -> "Outgoing":
        """Return the same request once more, with other `translations` if they are given."""
        other = Outgoing(
            self.operation,
            self.headers,
            self.query,
            self.body,
            self.asked,
            self.limit,
            self.ways,
            self.stream,
            self.call_id,
            self.model,
            self.strict,
            self.asks_usage,
            self.passed,
            self.resumes,
            self.stores,
            self.bound,
        )
        other.translations = self.translations if translations is None else translations
        other._question = self._question
        return other

    def part(self, target: Target, body: bytes) -> "Outgoing":
        """Return this with another body for a target: one of several that a translation needs."""
        return self.copy({target: self.translations[target].part(body)})  # type: ignore[union-attr]  # an Errand

    def rest(self, answer: "Answer", target: Target) -> "Outgoing":
        """Return the request for the rest of an answer, for a target. Raises InvalidRequest where it cannot be made."""
        name = target.stands_in(self.operation.name, True)
        assert name is not None
        return self.copy({target: answer.rest(name, target.told(name))})

    def translation(self, target: Target) -> "Translation | Errand":
        """Return the request in the words of a target. Raises InvalidRequest where they lack what it takes."""
        made = self.translations.get(target)
        if made is None:
            made = self.translations[target] = self._made(target)
        return made

    def _made(self, target: Target) -> "Translation | Errand":
        crossing, ask, put = _translating()
        own, body, question = self.operation, self.body, self._question
        assert isinstance(body, bytes)
        name = target.stands_in(own.name, self.stream)
        assert name is not None
        told = target.told(name)
        # The translation is held here: what it holds must not hold this, or only the collector could free a call.
        given = crossing.Given(request_id=self.call_id, created=int(time.time()), new_id=_ids(self.call_id))
        if own.name in TASKS:
            from portico.dialects.tasks import Errand, Task

            if not isinstance(question, Task):
                question = self._question = Task(own, body, model=self.model)
            return Errand(question, name, told, given, strict=self.strict)
        if not isinstance(question, ask):
            asked = self.asked
            question = self._question = ask(
                own,
                body,
                model=self.model,
                stream=self.stream,
                array="alt=sse" not in self.query,
                members=asked.members if asked is not None else None,
            )
        if self.resumes and self.goes_on(target):
            from portico.dialects.resume.answer import Answer

            return Answer(question, name, told, given, strict=self.strict)
        return put(question, name, told, given, strict=self.strict)

    def head_for(self, way: Way, auth: Auth, body: Body, size: int, crossed: bool = False) -> bytes:
        """Write the head: the line's own part, the key's headers, the caller's that go on, and the length.

        A request that `crossed` into another dialect takes none of its caller's headers along: they speak to an API
        that is not there.
        """
        known = way.crossed if crossed else way.head
        if known is not None:
            return b"%bcontent-length: %d\r\n\r\n" % (known, size)
        line = way.line
        lines = [line.prefix]
        fixed = line.fixed
        forwarded = PLAIN_JSON if crossed else self.headers
        if line.defaults:
            sent = {name for name, _ in forwarded}
            forwarded = [*forwarded, *(header for header in line.defaults if header[0] not in sent)]
        if not auth.static:
            mine = [header for header in forwarded if FORWARDS[header[0]] and header[0] not in fixed]
            others = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in mine]
            signed = body if isinstance(body, bytes) else b""
            signature = auth.headers(line.method, line.host, line.path, line.query, others, signed)
            fixed = fixed | {name.lower().encode("latin-1") for name, _ in signature}
            lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in signature]
        own = b"".join(b"%b: %b\r\n" % field for field in forwarded if FORWARDS[field[0]] and field[0] not in fixed)
        lines.append(own)
        if auth.static and line.method == "POST":
            if crossed:
                way.crossed = b"".join(lines)
            else:
                way.head = b"".join(lines)
        if size or line.method in _WITH_BODY:
            lines.append(b"content-length: %d\r\n\r\n" % size)
        else:
            lines.append(b"\r\n")
        return b"".join(lines)
