"""Whose the objects at providers are, and where: remembered before anybody is told of them, asked for by their owners.

An object belongs to the team of the key that made it, or to the key where that has no team. It is remembered under its
owner, its kind and its id together, so that nobody else's object can be meant, whatever ids providers give.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from portico.dialects.models import style
from portico.dialects.objects import FAMILIES, THINGS, UPLOAD, Found, Page, Thing, heard, missing
from portico.dialects.operations import OPERATIONS, Route
from portico.dialects.registry import DIALECTS
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply, Forbidden, InvalidRequest, NotFound, PorticoError
from portico.providers.address import Endpoint, checked_query, parse
from portico.rules import Holder
from portico.state.contract import Owned, State
from portico.told import Opening, Told, Upload
from portico.upstream.target import Target, Upstream, joined_query

SERVED_BY: Final[Mapping[str, str]] = {
    "chat": "chat",
    "responses": "responses",
    "messages": "messages",
    "gemini": "generate_content",
}
"""The operation by which a name for a model is looked up, by dialect."""
ALL: Final = 100_000
"""Objects of one owner that are looked through for a list in another order than newest first."""


def kept(route: Route, upstreams: Mapping[str, Upstream]) -> Route:
    """Return a route to an object; what passes to a provider that keeps no such thing only passes through."""
    assert route.found is not None
    if route.provider is None:
        return route
    objects = upstreams[route.provider].provider.objects
    if route.found.thing.family in objects:
        return route
    for dialect in DIALECTS:
        twin = heard(route.found, dialect)
        if twin.thing.family in objects:
            return route.to(twin)
    return Route(OPERATIONS["passthrough"], None, route.provider, route.rest)


def addressed(route: Route, path: str, fields: Mapping[bytes, bytes]) -> Route:
    """Return a route to an object in the dialect that its caller speaks."""
    assert route.found is not None
    found = heard(route.found, style(path, fields)) if route.provider is None else route.found
    if found is route.found:
        return route
    return route.to(found)


def tenant_of(holder: Holder) -> str:
    """Return whose what a key makes is."""
    return f"team:{holder.team}" if holder.team is not None else f"key:{holder.id}"


def entry(tenant: str, kind: str, name: str) -> str:
    """Return under what an object is remembered. Neither a kind nor an id has a line break in it."""
    return f"{kind}\n{tenant}\n{name}"


def id_of(thing: Owned) -> str:
    """Return the id of an object, as its provider has it."""
    return thing.id.rpartition("\n")[2]


def held(state: State, holder: Holder, kind: str, name: str) -> Owned:
    """Return what is known of an object; NotFound where there is none of this holder's."""
    thing = state.owned(entry(tenant_of(holder), kind, name))
    if thing is None:
        raise missing(kind, name)
    return thing


def remember(
    state: State, holder: Holder, kind: str, name: str, upstream: str, credential: str, about: bytes = b""
) -> Awaitable[None]:
    """Remember an object. It is on disk when the answer is there: nobody hears of it before."""
    tenant = tenant_of(holder)
    return state.own(Owned(entry(tenant, kind, name), kind, tenant, upstream, credential, time.time(), about))


def forget(state: State, holder: Holder, kind: str, name: str) -> Awaitable[None]:
    """Forget an object that is no more."""
    return state.disown(entry(tenant_of(holder), kind, name))


def place(thing: Owned, upstreams: Mapping[str, Upstream]) -> Upstream:
    """Return where an object is, with the key that holds it; NotFound where either is no longer configured."""
    upstream = upstreams.get(thing.target)
    pinned = upstream.pinned(thing.credential) if upstream is not None else None
    if pinned is None:
        raise NotFound(
            f"the {thing.kind.replace('_', ' ')} {id_of(thing)!r} is held by {thing.credential!r} at {thing.target!r}, "
            "which is not in the configuration any more"
        )
    return pinned


def chosen(
    thing: Thing,
    named: str | None,
    model: str | None,
    find: Callable[[str, str], Sequence[Target]],
) -> Target | None:
    """Return which of a model's targets keep such things, the first of them at the provider `named` where one is.

    None where no model is named, or one that only its provider knows. `find` says who serves a model.
    """
    if not model:
        return None
    try:
        found = find(model, SERVED_BY[thing.operation.dialect])
    except PorticoError:
        return None
    able = (target for target in found if thing.family in target.upstream.provider.objects)
    return next((target for target in able if named in (None, target.upstream.name)), None)


def keepers(thing: Thing, upstreams: Mapping[str, Upstream]) -> list[Upstream]:
    """Return the providers that keep such things: those that are open to the caller, or a closed one that says why."""
    able = [upstream for upstream in upstreams.values() if thing.family in upstream.provider.objects]
    return [upstream for upstream in able if upstream.closed is None] or able[:1]


def keeper(thing: Thing, named: str | None, upstreams: Mapping[str, Upstream]) -> Upstream:
    """Return the provider that is named, or the only one that keeps such things. Raises InvalidRequest."""
    family = thing.family
    what = family.replace("_", " ")
    if named is not None:
        upstream = upstreams.get(named)
        if upstream is None or family not in upstream.provider.objects:
            raise InvalidRequest(f"the provider {named!r} keeps no {what} here", param="x-portico-provider")
        return upstream
    able = keepers(thing, upstreams)
    if len(able) == 1:
        return able[0]
    if not able:
        raise InvalidRequest(f"no provider that is configured here keeps {what}")
    names = ", ".join(upstream.name for upstream in able)
    raise InvalidRequest(
        f"several providers keep {what}; name one of {names} in the header x-portico-provider",
        param="x-portico-provider",
    )


def address(upstream: Upstream, found: Found, query: str) -> Endpoint:
    """Return where a call about objects is at a provider."""
    base = upstream.provider.objects[found.thing.family]
    path = found.thing.path
    if found.model:
        path = path.replace("{model}", quote(found.model.removeprefix("models/"), safe="-._~"))
        path = base.path.removesuffix("/batches") + path
        return Endpoint(base.scheme, base.host, base.port, path, _query(base, query), found.thing.operation.name)
    for hole, name in zip(("{id}", "{part}"), found.ids, strict=False):
        path = path.replace(hole, quote(name, safe="-._~"))
    path = base.path + path
    if found.thing is UPLOAD:
        version, _, _ = path.rpartition("/files")
        before, _, version = version.rpartition("/")
        path = f"{before}/upload/{version}/files"
    return Endpoint(base.scheme, base.host, base.port, path, _query(base, query), found.thing.operation.name)


def _query(base: Endpoint, query: str) -> str:
    return joined_query(base.query, checked_query(query))


def listed(state: State, holder: Holder, thing: Thing, page: Page, provider: str | None) -> tuple[list[Owned], bool]:
    """Return the objects on a page of a list, of one provider if it is named, and whether there are more.

    An id that nobody has begins no page.
    """
    tenant = tenant_of(holder)
    after = entry(tenant, thing.kind, page.after) if page.after else ""
    if not (page.ascending or page.before or page.purpose or page.only or provider):
        found = state.owned_by(tenant, thing.kind, after, page.size + 1)
        return found[: page.size], len(found) > page.size
    every = state.owned_by(tenant, thing.kind, "", ALL)
    names = [one.id for one in every]
    if page.ascending:
        every.reverse()
        names.reverse()
    start, end = 0, len(every)
    if page.after:
        start = names.index(after) + 1 if after in names else end
    if page.before:
        before = entry(tenant, thing.kind, page.before)
        end = names.index(before) if before in names else 0
    fit = [
        one
        for one in every[start:end]
        if provider in (None, one.target)
        and (not page.purpose or one.about.partition(b"\n")[0] == page.purpose.encode())
        and (not page.only or id_of(one) in page.only)
    ]
    return (fit[-page.size :] if page.before else fit[: page.size]), len(fit) > page.size


def check_models(holder: Holder, may_use: Callable[[Holder, str], bool], model: str | None) -> None:
    """Raise Forbidden where a key that is limited to certain models asks for another one, or does not say which."""
    if not holder.models:
        return
    if not model:
        raise Forbidden(f"the key {holder.name!r} is limited to certain models, and nobody can tell which this runs")
    if not may_use(holder, model):
        raise Forbidden(f"the key {holder.name!r} may not use the model {model!r}", param="model")


def referred(
    state: State,
    holder: Holder,
    thing: Thing,
    members: Mapping[str, msgspec.Raw],
    named: Sequence[tuple[str, str]] = (),
) -> Owned | None:
    """Return where what a body names is, which is where something new of it must be made; None where it names nothing.

    `named` are the families and ids that are not in members of their own. Raises NotFound for what is not the
    holder's, InvalidRequest where it is not all at one place.
    """
    place: Owned | None = None
    in_members = ((family, _text(members.get(member))) for member, family in thing.refers.items())
    for family, name in (*in_members, *named):
        if name is None:
            continue
        found = held(state, holder, FAMILIES[family].kind, name)
        if place is not None and (place.target, place.credential) != (found.target, found.credential):
            raise InvalidRequest(f"{id_of(place)!r} and {name!r} are not in one place")
        place = found
    return place


def _text(raw: msgspec.Raw | None) -> str | None:
    try:
        value = msgspec.json.decode(raw) if raw is not None else None
    except UNREADABLE:
        return None
    return value if isinstance(value, str) else None


def getter(thing: Thing) -> Thing:
    """Return the call that reads one of the things that a call lists."""
    return next(one for one in THINGS.values() if one.family == thing.family and one.does == "get")


# Gemini's uploads


Begun = tuple[Owned, Upload]
UPLOAD_URLS: Final = frozenset((b"x-goog-upload-url", b"x-goog-upload-control-url"))

_upload = msgspec.msgpack.Decoder(Upload)


def begun(state: State, route: Route, query: str) -> Begun | None:
    """Return the upload that a request goes on with, None for one that begins. NotFound for one that nobody began."""
    if route.found is None or route.found.thing is not UPLOAD or "upload_id=" not in query:
        return None
    name = next((pair[10:] for pair in query.split("&") if pair.startswith("upload_id=")), "")
    thing = state.owned(f"upload\n\n{name}")
    if thing is None:
        raise missing("upload", name[:64])
    return thing, _upload.decode(thing.about)


async def begin(state: State, holder: Holder, key: bytes, url: bytes, target: Target, credential: str) -> str:
    """Remember an upload that a provider has let begin at a URL of its own; return its id here.

    Google's clients send the bytes without a key: the id stands for it, so it cannot be guessed.
    """

    try:
        there = parse(url.decode("ascii"))
    except ValueError as error:
        raise BadUpstreamReply(f"{target.upstream.name} wants an upload at a URL that is none") from error
    base = target.upstream.provider.objects["gemini_files"]
    if (there.scheme, there.host, there.port) != (base.scheme, base.host, base.port):
        raise BadUpstreamReply(f"{target.upstream.name} wants an upload to go to another host")
    import secrets  # an upload that begins needs a name nobody guesses

    name = secrets.token_urlsafe(32)
    about = msgspec.msgpack.encode(Upload(key, there.path, there.query))
    tenant = tenant_of(holder)
    await state.own(Owned(f"upload\n\n{name}", "upload", tenant, target.upstream.name, credential, time.time(), about))
    return name


def onward(target: Target, upload: Upload) -> Endpoint:
    """Return where the next bytes of an upload go."""
    base = target.upstream.provider.objects["gemini_files"]
    return Endpoint(base.scheme, base.host, base.port, upload.path, upload.query, UPLOAD.operation.name)


def indirect(headers: Sequence[tuple[bytes, bytes]], base: bytes, token: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a reply that lets an upload begin, with an address here in the place of the provider's."""
    url = b"%b/upload/v1beta/files?upload_id=%b&upload_protocol=resumable" % (base, token.encode())
    others = [header for header in headers if header[0] not in UPLOAD_URLS]
    return [*others, (b"x-goog-upload-url", url)]


# conversations with what is stored


def continued(
    state: State, holder: Holder, named: Sequence[tuple[str, str]], targets: Sequence[Target]
) -> Sequence[Target]:
    """Return those targets, with the one key, that can see what a request names (families and ids).

    Only providers that keep such things are asked about: elsewhere a name means whatever it means there. Raises
    NotFound for what is not the holder's, InvalidRequest where no target can see it all.
    """
    for family, name in named:
        if not any(family in target.upstream.provider.objects for target in targets):
            continue
        thing = held(state, holder, FAMILIES[family].kind, name)
        seeing = []
        for target in targets:
            if target.upstream.name != thing.target:
                continue
            upstream = target.upstream.pinned(thing.credential)
            if upstream is not None:
                seeing.append(upstream.target(target.model, target.timeouts))
        if not seeing:
            raise InvalidRequest(
                f"the {thing.kind.replace('_', ' ')} {name!r} is held by {thing.credential!r} at {thing.target!r}, and "
                "the model is not served from there"
            )
        targets = seeing
    return targets


_EVENTS = re.compile(rb"\r?\n\r?\n")
_told = msgspec.json.Decoder(Told)
_begun = msgspec.json.Decoder(Opening)
LONGEST_OPENING: Final = 8 * 1024 * 1024
"""Bytes of a stream in which its id must have come."""


def response_id(body: bytes) -> str | None:
    """Return the id of a reply of Responses, None where it has none."""
    try:
        return _told.decode(body).id
    except UNREADABLE:
        return None


class Announced:
    """A stream of Responses that is held back until the id in its first event is remembered.

    `remember` returns what is done once the id is on disk. Pieces are taken by calling it; `over` waits until all that
    came is written, and raises what hindered that. A stream without an id is let go as it is: there is nothing that
    could be asked for.
    """

    def __init__(self, write: Callable[[bytes], None], remember: Callable[[str], Awaitable[None]]) -> None:
        self._write = write
        self._remember = remember
        self._held: list[bytes] = []
        self._open = False
        self._waiting: asyncio.Future[None] | None = None

    def __call__(self, piece: bytes) -> None:
        """Take a piece."""
        if self._open:
            self._write(piece)
            return
        self._held.append(piece)
        if self._waiting is None and b"\n" in piece:
            opening = b"".join(self._held)
            name = _announced(opening)
            if name is not None:
                self._waiting = asyncio.ensure_future(self._remember(name))
                self._waiting.add_done_callback(self._remembered)
            elif len(opening) > LONGEST_OPENING:
                self._release()

    async def over(self) -> None:
        """Wait until what came is written."""
        if self._waiting is not None:
            await self._waiting
        self._release()

    def _remembered(self, waiting: "asyncio.Future[None]") -> None:
        if not waiting.cancelled() and waiting.exception() is None:
            self._release()

    def _release(self) -> None:
        if not self._open:
            self._open = True
            held, self._held = self._held, []
            for piece in held:
                self._write(piece)


def _announced(opening: bytes) -> str | None:
    """Return the id in the whole events at the beginning of a stream."""
    for event in _EVENTS.split(opening)[:-1]:
        for line in event.splitlines():
            if line.startswith(b"data:"):
                try:
                    return _begun.decode(line[5:]).response.id
                except UNREADABLE:
                    continue
    return None
