"""The story of a call about something that lives at a provider: a file, a batch, a job, a stored response.

    place    where the object is, and with which key; for a new one, where it is to be
    admit    limits and budgets, as for every call
    attempt  at that one place
    note     what was made is remembered before anybody hears of it, what was deleted is forgotten
    settle   the record, then the permit, then the last byte; what goes on as a job keeps what it has reserved

Lists are not asked of providers, who would tell of everybody's objects: they are made of what is remembered.
"""

import asyncio
import mmap
import random
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from portico import jobs
from portico.call import Call
from portico.calls.arriving import arrived
from portico.calls.known import Known
from portico.calls.placing import Trimmed, meant, placing
from portico.calls.replying import Replies
from portico.calls.whole import keep, signature
from portico.dialects.batch import MESSAGES, Batched, batched, lines, of_gemini, renamed
from portico.dialects.jobs import read as read_job
from portico.dialects.objects import (
    FAMILIES,
    UPLOAD,
    Found,
    Thing,
    led_here,
    made_id,
    missing,
    model_named,
    output_files,
    page_asked,
    purpose_of,
    render_page,
    text_of,
)
from portico.dialects.operations import OPERATIONS
from portico.dialects.references import references
from portico.dialects.request import Peek, peek, peek_form
from portico.errors import BadUpstreamReply, Conflict, InvalidRequest, NotFound, PorticoError
from portico.providers.auth.scheme import Fetch
from portico.room import extender
from portico.rules import NO_BOUND
from portico.snapshot import Snapshot
from portico.stages import own
from portico.stages.admit import admit
from portico.stages.attribute import tags_of
from portico.stages.settle import Settling, settle
from portico.stages.weigh import noted, weigh, weight_of
from portico.state.contract import Moment, Owned, State
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.headers import reply_headers
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target
from portico.weight import Weight
from portico.wire.exchange import Exchange

AT_ONCE = 8
"""Objects of one list that are asked for at once."""
OUTPUT = b"batch_output"
"""The purpose of a file that a batch or a job has written."""
SEEN_WITHIN = 3600.0
"""Seconds after which a provider that does not know an object has it no more."""
COUNTED_WITHIN = 1.0
"""Seconds after which who wants to delete what is not counted yet may try again."""
ONE_TRY = Policy()
"""What changes something is tried once."""

_BATCHED = {
    "gemini_batches_create": OPERATIONS["generate_content"],
    "gemini_embeddings_batches_create": OPERATIONS["embed_content"],
}
"""What the requests of a batch of Gemini's are, by the call that makes it."""

Headers = list[tuple[bytes, bytes]]


class ObjectCalls:
    """Answers calls about objects."""

    def __init__(
        self,
        state: State,
        settling: Settling,
        fetch: Fetch,
        now: Callable[[], Moment],
        replies: Replies,
    ) -> None:
        self._state = state
        self._settling = settling
        self._fetch = fetch
        self._now = now
        self._replies = replies

    async def answer(
        self, exchange: Exchange, call: Call, snapshot: Snapshot, known: Known, upload: own.Begun | None
    ) -> None:
        """Answer one call. `upload` is the one that it goes on with."""
        caller, found = call.caller, call.route.found
        assert caller is not None
        assert found is not None
        body = await arrived(exchange, call, snapshot)
        call.received_ns = exchange.received_ns
        call.customer = known.customer
        if snapshot.markups is not None and call.customer is not None:
            call.markup = snapshot.markups.get(call.customer)
        call.tags = tags_of(known.tags, caller.tags) if known.tags else caller.tags
        thing = found.thing
        if thing.does == "list":
            await self._list(exchange, call, snapshot, known)
            return
        outgoing, target = self._plan(exchange, call, snapshot, known, body, upload)
        models: Sequence[str] = ()
        weight: Weight | None = None
        if thing.does == "create":
            if thing.family == "message_batches":
                models = await self._weigh(call, snapshot, outgoing, target)
            elif thing.family == "gemini_batches":
                await self._weigh_geminis(call, snapshot, outgoing, target)
            elif thing.family == "batches":
                models = await self._taken(call, snapshot, outgoing)
            elif thing.family == "files":
                weight = await self._looked_into(call, snapshot, known, body, target)
        elif thing.does == "delete":
            await self._check_paid(call, thing, found.ids[0])
        self._settling.check()
        waiting = admit(call, outgoing, (target,), snapshot.bounds, self._state, self._now)
        if waiting is not None:
            await waiting
        extend = extender(call, outgoing, (target,), snapshot.bounds, self._state, self._now)
        call.end = "failed"
        policy = snapshot.policy if exchange.method == "GET" else ONE_TRY
        arrival, target = await attempt_all((target,), outgoing, call, policy, self._fetch, extend)
        if arrival.error is not None:
            raise arrival.error
        call.status = arrival.status
        call.first_byte_ns = arrival.here_ns
        if arrival.streaming and not (arrival.ended and not arrival.pieces):
            if thing.bills:
                settle(call, None, target.price)  # nobody reads what was made
            await self._hand_on(exchange, call, arrival)
            return
        reply = arrival.body
        headers = reply_headers(arrival.headers)
        if arrival.status < 400:
            if thing.bills:
                settle(call, None, target.price)
            headers = await self._note(exchange, call, known, arrival, target, upload, headers, weight)
            if thing.family in jobs.FOLLOWED:
                await self._follow(call, thing, outgoing, target, models, reply)
            reply = led_here(thing, reply, _base(exchange))
            call.end = "served"
        else:
            call.error = "upstream_status"
            if arrival.status == 404 and thing.does == "get":
                await self._gone(call, thing, found.ids[0])
        keep(call, reply)
        await self._replies.settled(call)
        exchange.reply(arrival.status, headers, reply, signature(call))

    def _plan(
        self,
        exchange: Exchange,
        call: Call,
        snapshot: Snapshot,
        known: Known,
        body: bytes | mmap.mmap,
        upload: own.Begun | None,
    ) -> tuple[Outgoing, Target]:
        """Say where a call goes: where its object is, or where a new one is to be made."""
        caller, found, timeouts = call.caller, call.route.found, snapshot.config.timeouts
        assert caller is not None
        assert found is not None
        thing = found.thing
        asked: Peek | None = None
        named = _provider_named(exchange, call)
        place: Owned | None = upload[0] if upload is not None else None
        query, gap = known.query, None
        if found.ids:
            place = own.held(self._state, caller, thing.kind, found.ids[0])
        elif thing.operation.body == "json" and isinstance(body, bytes):
            asked = peek(thing.operation, body, known.kind)
            members = asked.members or {}
            names = references(thing.operation, members, body)
            if found.model:
                names += of_gemini(_BATCHED[thing.operation.name], members, found.model).references
            place = own.referred(self._state, caller, thing, members, names)
            call.model = found.model or model_named(members)
            if thing.family == "message_batches":
                requests = batched(members)
                call.model = requests[0].model if requests else None
        if call.route.provider is None:
            said = placing(exchange.fields, query, thing.operation, body, known.kind, asked)
            query, body, asked, gap = said.query, said.body, said.asked, said.gap
            if place is None and named is None and said.provider is not None:
                named = meant(said.provider, snapshot.upstreams)
            call.model = call.model or said.model
        if thing.bills and thing.family != "batches":  # whose models stand in its file
            own.check_models(caller, snapshot.keys.may_use, call.model)

        def find(model: str, operation: str) -> Sequence[Target]:
            return snapshot.routes.targets(model, operation, random.random)

        target = own.chosen(thing, place.target if place is not None else named, call.model, find)
        if place is not None:
            if named not in (None, place.target):
                raise missing(place.kind, own.id_of(place))
            upstream = own.place(place, snapshot.upstreams)
            target = upstream.target(target.model if target is not None else "", timeouts)
        elif target is None:
            target = own.keeper(thing, named, snapshot.upstreams).target(call.model or "", timeouts)
        what = (thing.operation, exchange.headers, query, body, asked, snapshot.limits.reply, known.ways)
        outgoing = Outgoing(*what) if gap is None else Trimmed(gap, *what)
        outgoing.call_id = call.id
        outgoing.bound = jobs.UNKNOWN if thing.bills else NO_BOUND
        if found.model and target.model:
            found = msgspec.structs.replace(found, model=target.model)
        there = own.address(target.upstream, found, query) if upload is None else own.onward(target, upload[1])
        outgoing.passed = (exchange.method, there)
        call.target = target.name if target.model else target.upstream.name
        if isinstance(body, bytes) and not thing.operation.upload:
            call.bodies = caller.bodies or snapshot.config.logs.bodies
            if call.bodies != "none":
                call.request_body = body
        return outgoing, target

    async def _weigh(self, call: Call, snapshot: Snapshot, outgoing: Outgoing, first: Target) -> Sequence[str]:
        """Find the models of a batch's requests at its provider, and the most that all of them can use."""
        caller = call.caller
        assert caller is not None
        assert outgoing.asked is not None
        assert isinstance(outgoing.body, bytes)
        requests = batched(outgoing.asked.members or {})
        targets: dict[str, Target] = {}
        for request in requests:
            if request.model not in targets:
                targets[request.model] = self._batch_target(call, snapshot, first, request.model)
        if snapshot.bounds.scopes(call, first):
            found = await weigh((targets[request.model], request) for request in requests)
            outgoing.bound = found.bound
        outgoing.body = renamed(outgoing.body, requests, [targets[request.model].model for request in requests])
        outgoing.asked = None
        return tuple({target.model: None for target in targets.values()})

    async def _weigh_geminis(self, call: Call, snapshot: Snapshot, outgoing: Outgoing, target: Target) -> None:
        """Find the most that the requests of a batch of Gemini's can use, and name its model as its provider does."""
        caller, found = call.caller, call.route.found
        assert caller is not None
        assert found is not None
        assert outgoing.asked is not None
        assert isinstance(outgoing.body, bytes)
        batch = of_gemini(_BATCHED[found.thing.operation.name], outgoing.asked.members or {}, found.model)
        if not batch.requests:  # what a file asks for nobody has looked at
            own.check_models(caller, snapshot.keys.may_use, None)
        elif snapshot.bounds.scopes(call, target):
            weight = await weigh((target, request) for request in batch.requests)
            outgoing.bound = weight.bound
        outgoing.body = renamed(outgoing.body, batch.requests, [target.model] * len(batch.requests))
        outgoing.asked = None

    async def _taken(self, call: Call, snapshot: Snapshot, outgoing: Outgoing) -> Sequence[str]:
        """Return the models of the file that a batch is made of; what that can use is the batch's bound."""
        caller = call.caller
        assert caller is not None
        assert outgoing.asked is not None
        named = text_of(outgoing.asked.members, "input_file_id")
        file = own.held(self._state, caller, "file", named) if named else None
        weight = weight_of(file.about) if file is not None else None
        if file is None or weight is None or not weight.models:
            own.check_models(caller, snapshot.keys.may_use, None)
            return ()
        for model in weight.models:
            snapshot.keys.check_model(caller, model, f"{file.target}/{model}")
        if len(weight.models) == 1:
            (call.model,) = weight.models
        outgoing.bound = weight.bound
        return weight.models

    async def _looked_into(
        self, call: Call, snapshot: Snapshot, known: Known, body: bytes | mmap.mmap, target: Target
    ) -> Weight | None:
        """Return what a file holds whose requests may be run in a batch, None for another one.

        What its requests name must be the caller's own. A file that nobody can read is the provider's to refuse.
        """
        caller = call.caller
        assert caller is not None
        upstream, timeouts = target.upstream, snapshot.config.timeouts
        try:
            form = peek_form(body, known.kind).form
            if form is None or form.text("purpose") != "batch" or "file" not in form.spans:
                return None
        except InvalidRequest:
            return None

        def asked() -> Iterator[tuple[Target, Batched]]:
            for request in lines(body, *form.spans["file"]):
                if request.operation is not None:
                    for family, name in references(request.operation, request.asked.members or {}, request.body):
                        own.held(self._state, caller, FAMILIES[family].kind, name)
                yield upstream.target(request.model, timeouts), request

        try:
            return await weigh(asked())
        except InvalidRequest:
            return None

    async def _gone(self, call: Call, thing: Thing, name: str) -> None:
        """Forget what its provider does not have any more; what was made just now may not be seen by all of it yet."""
        caller = call.caller
        assert caller is not None
        known = self._state.owned(own.entry(own.tenant_of(caller), thing.kind, name))
        if known is not None and time.time() - known.created > SEEN_WITHIN:
            await self._state.disown(known.id)

    async def _check_paid(self, call: Call, thing: Thing, name: str) -> None:
        """Raise Conflict where it would not be known any more what a job has used, were this deleted now."""
        caller = call.caller
        assert caller is not None
        tenant = own.tenant_of(caller)
        if thing.family in jobs.FOLLOWED:
            place = jobs.place_of(tenant, thing.family, name)
            if self._state.owned(place) is not None:
                await jobs.hurry(self._state, place)
                raise Conflict(
                    f"the {thing.kind.replace('_', ' ')} {name!r} goes on, or what it has used is being counted; wait "
                    "for its end, or cancel it, and try again in a moment",
                    retry_after=COUNTED_WITHIN,
                )
        elif thing.family == "files":
            file = self._state.owned(own.entry(tenant, "file", name))
            if file is not None and file.about == OUTPUT and jobs.due_of(self._state, tenant):
                raise Conflict(
                    f"what the batch has used that wrote {name!r} is being counted; try again in a moment",
                    retry_after=COUNTED_WITHIN,
                )

    async def _follow(
        self, call: Call, thing: Thing, outgoing: Outgoing, target: Target, models: Sequence[str], reply: bytes
    ) -> None:
        """Remember what a call has started that goes on; have what has ended be counted soon."""
        caller, found = call.caller, call.route.found
        assert caller is not None
        assert found is not None
        tenant = own.tenant_of(caller)
        if thing.does in ("get", "act"):
            told = read_job(thing.family, found.ids[0], reply)
            if told is not None and told.outcome is not None:
                await jobs.hurry(self._state, jobs.place_of(tenant, thing.family, found.ids[0]))
        elif thing.does == "create":
            name = made_id(thing, reply)
            assert name is not None, "what has no id was refused before"
            if not models and target.model:
                models = (target.model,)
            at = f"{target.upstream.name}/{models[0]}" if len(models) == 1 else target.upstream.name
            endpoint = text_of(outgoing.asked.members, "endpoint") if outgoing.asked is not None else None
            bound = outgoing.bound or jobs.UNKNOWN
            job = jobs.begun(call, thing.family, name, tenant, at, bound, models=models, endpoint=endpoint or "")
            await jobs.start(self._state, call, job)

    def _batch_target(self, call: Call, snapshot: Snapshot, first: Target, model: str) -> Target:
        """Return a model of a batch at the provider of its first one. Raises Forbidden, InvalidRequest."""
        assert call.caller is not None
        own.check_models(call.caller, snapshot.keys.may_use, model)
        upstream, timeouts = first.upstream, snapshot.config.timeouts
        try:
            targets = snapshot.routes.targets(model, MESSAGES.name, random.random)
        except PorticoError:
            return upstream.target(model, timeouts)  # a model that only its provider knows
        for target in targets:
            if target.upstream.name == upstream.name:
                return upstream.target(target.model, timeouts)
        raise InvalidRequest(f"the model {model!r} is not served by {upstream.name!r}, where this batch goes")

    async def _note(
        self,
        exchange: Exchange,
        call: Call,
        known: Known,
        arrival: Arrival,
        target: Target,
        upload: own.Begun | None,
        headers: Headers,
        weight: Weight | None,
    ) -> Headers:
        """Remember what a reply says was made, and forget what was deleted; return the headers that go back."""
        caller, found = call.caller, call.route.found
        assert caller is not None
        assert found is not None
        thing, body = found.thing, arrival.body
        upstream, credential = target.upstream.name, call.attempts[-1].credential
        if thing.does == "delete":
            await own.forget(self._state, caller, thing.kind, found.ids[0])
        for name in output_files(thing, body):
            if self._state.owned(own.entry(own.tenant_of(caller), "file", name)) is None:
                await own.remember(self._state, caller, "file", name, upstream, credential, OUTPUT)
        if thing.does != "create":
            return headers
        if thing is UPLOAD:
            url = arrival.header(b"x-goog-upload-url")
            if url and upload is None:
                token = await own.begin(self._state, caller, known.hashed, url, target, credential)
                return own.indirect(headers, _base(exchange), token)
            headers = [header for header in headers if header[0] not in own.UPLOAD_URLS]
            if arrival.header(b"x-goog-upload-status") not in (b"", b"final"):
                return headers
        made = made_id(thing, body)
        if made is None:
            raise BadUpstreamReply(f"{upstream} does not say what it has made")
        about = noted(purpose_of(body), weight) if thing.family == "files" else b""
        await own.remember(self._state, caller, thing.kind, made, upstream, credential, about)
        if upload is not None:
            await self._state.disown(upload[0].id)
        return headers

    async def _list(self, exchange: Exchange, call: Call, snapshot: Snapshot, known: Known) -> None:
        """Answer what objects a caller has: those that are remembered, each as its provider tells it now."""
        caller, found = call.caller, call.route.found
        assert caller is not None
        assert found is not None
        thing, named = found.thing, _provider_named(exchange, call)
        said = placing(exchange.fields, known.query, thing.operation, b"", b"", None)
        if named is None and said.provider is not None:
            named = meant(said.provider, snapshot.upstreams)
        page = page_asked(thing, said.query)
        mine, more = own.listed(self._state, caller, thing, page, named)
        able = own.keepers(thing, snapshot.upstreams)
        upstream = able[0] if able and named is None else own.keeper(thing, named, snapshot.upstreams)
        first = upstream.target("", snapshot.config.timeouts)
        asking = Outgoing(thing.operation, exchange.headers, "", b"", None, snapshot.limits.reply, known.ways)
        asking.bound = NO_BOUND
        self._settling.check()
        waiting = admit(call, asking, (first,), snapshot.bounds, self._state, self._now)
        if waiting is not None:
            await waiting
        extend = extender(call, asking, (first,), snapshot.bounds, self._state, self._now)
        call.end = "failed"
        gate = asyncio.Semaphore(AT_ONCE)
        get = own.getter(thing)

        async def one(owned: Owned) -> bytes | PorticoError | None:
            try:
                target = own.place(owned, snapshot.upstreams).target("", snapshot.config.timeouts)
            except NotFound:
                return None  # its key is not here any more
            outgoing = asking.copy()
            outgoing.passed = ("GET", own.address(target.upstream, Found(get, (own.id_of(owned),)), ""))
            async with gate:
                arrival, _ = await attempt_all((target,), outgoing, call, snapshot.policy, self._fetch, extend)
            if arrival.error is not None:
                return arrival.error
            if arrival.status == 404:
                await self._state.disown(owned.id)
            if arrival.status in (403, 404):
                return None  # Gemini says 403 of what has expired
            if arrival.status >= 400 or arrival.streaming:
                arrival.abandon()
                return BadUpstreamReply(f"{owned.target} answered {arrival.status} about {own.id_of(owned)!r}")
            return arrival.body

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(owned)) for owned in mine]
        told = [task.result() for task in tasks]
        for each in told:
            if isinstance(each, PorticoError):
                raise each
        here = [(own.id_of(owned), body) for owned, body in zip(mine, told, strict=True) if isinstance(body, bytes)]
        last = own.id_of(mine[-1]) if mine else ""
        reply = led_here(thing, render_page(thing, here, last if more else ""), _base(exchange))
        call.status, call.end = 200, "served"
        keep(call, reply)
        await self._replies.settled(call)
        exchange.reply(200, [(b"content-type", b"application/json")], reply, signature(call))

    async def _hand_on(self, exchange: Exchange, call: Call, arrival: Arrival) -> None:
        """Hand on what is kept at a provider, piece by piece: a file's content, results, a stored reply's events."""
        length = arrival.header(b"content-length")
        exchange.on_pause, exchange.on_resume = arrival.pause, arrival.resume
        exchange.start(
            arrival.status,
            reply_headers(arrival.headers),
            int(length) if length.isdigit() else None,
            signature(call),
        )
        call.request_body = None
        try:
            if exchange.paused:
                arrival.pause()
            arrival.forward(exchange.writer())
            await arrival.over()
        except BaseException:
            arrival.abandon()
            raise
        if arrival.error is not None:
            call.error, call.end = arrival.error.code, "cut"
            await self._replies.settled(call)
            exchange.abort()
            return
        call.end = "served" if arrival.status < 400 else "failed"
        await self._replies.settled(call)
        exchange.finish()


def _base(exchange: Exchange) -> bytes:
    """Return the address at which a caller found this gateway."""
    return (b"https://" if exchange.secure else b"http://") + exchange.fields.get(b"host", b"")


def _provider_named(exchange: Exchange, call: Call) -> str | None:
    """Return the provider that a caller names for what is not a model's: before the path, or in a header."""
    if call.route.provider is not None:
        return call.route.provider
    return exchange.fields.get(b"x-portico-provider", b"").decode("latin-1") or None
