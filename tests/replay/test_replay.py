"""Recorded calls replayed through the gateway: what upstream gets and what the caller gets are the recording."""

import bisect
import itertools
import re
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.dialects.slow import documents, result, slow
from tests.framing.recordings import load
from tests.replay.calls import Call, decoded, passing, recorded
from tests.replay.declared import DECLARED, NOT_FORWARDED, NOT_RETURNED, comes_back, declare, goes_on, used
from tests.replay.expected import (
    check_asked,
    check_got,
    check_passed,
    check_record,
    ended,
    newer,
    summary,
    without_usage,
)
from tests.replay.origin import Framing, cut
from tests.replay.replaying import Outcome, Plan, replay

from portico.config import schema
from portico.dialects.objects import heard
from portico.dialects.operations import route
from portico.dialects.registry import DIALECTS
from portico.providers.catalog import CATALOG, resolve
from portico.upstream import headers

FRAMINGS: tuple[Framing, ...] = ("chunked", "sized", "close", "gzip")
BINARY = ("audio/", "application/octet-stream")
DEVELOPMENT = 7388
"""How many recordings there are in the set for which the numbers below hold."""
AT_LEAST = {
    "chat": 3109,
    "completions": 51,
    "embeddings": 90,
    "responses": 1063,
    "responses_input_tokens": 4,
    "messages": 915,
    "messages_count_tokens": 5,
    "moderations": 7,
    "images_generations": 24,
    "images_edits": 10,
    "audio_speech": 9,
    "audio_transcriptions": 43,
    "audio_translations": 4,
    "rerank": 5,
    "generate_content": 702,
    "stream_generate_content": 281,
    "gemini_count_tokens": 9,
    "embed_content": 2,
    "batch_embed_contents": 27,
    "converse": 246,
    "converse_stream": 54,
    "invoke": 135,
    "invoke_stream": 73,
    "cohere_chat": 92,
    "cohere_embed": 5,
    "cohere_rerank": 2,
}
"""The calls of each operation that are replayed at the least, so that none falls silently out of the proof."""


@cache
def raw() -> dict[str, dict[str, Any]]:
    return {record["id"]: record for record in load()}


@cache
def readable() -> frozenset[str]:
    """Return the calls whose request was recorded, and whose reply is of their dialect's form."""
    return frozenset(call.id for call in recorded()[0] if not call.made_up)


def read_slowly(call: Call, operation: str) -> dict[str, Any] | None:
    """Return the usage of a served call as the slow reader finds it; speech is billed by the text asked for."""
    if operation == "audio_speech":
        return result(0, 0, characters=len((call.table or {}).get("input", ""))) if call.table else None
    found = slow(operation, raw()[call.id])
    return found | {"characters": 0} if found is not None else None


@cache
def deleted() -> frozenset[bytes]:
    """Return the names of objects that some recording deletes."""
    return frozenset(call.path.rpartition("/")[2].encode() for call in passing()[0] if call.method == "DELETE")


def gone(body: bytes) -> bool:
    """Tell whether an error says that an object is not there which some recording may have deleted."""
    return b"there is no " in body and (b"REDACTED" in body or any(name in body for name in deleted()))


def failed(call: Call) -> bool:
    """Whether a recorded stream reports an error on its way."""
    if not call.streaming or call.reply.status >= 400:
        return False
    events = [document for document in documents(raw()[call.id]) if isinstance(document, dict)]
    return any(event.get("error") or event.get("type") in ("error", "response.failed") for event in events)


def streams(outcome: Outcome) -> bool:
    """Whether the caller has to get the reply as it comes, without knowing its length."""
    plan = outcome.plan
    reply = plan.call.reply
    if reply.status >= 400:
        return False
    kind = dict(reply.headers).get("content-type", "")
    if plan.call.streaming:
        return not (kind.startswith("application/json") and reply.body.lstrip().startswith(b"{"))
    return kind.startswith(BINARY) and plan.framing != "sized"


def check(outcome: Outcome) -> None:
    """Assert that upstream and caller got the recording, and that the record tells it."""
    call = outcome.plan.call
    if b"answered with a good status, and an error: " in outcome.got.body and outcome.got.status >= 400:
        # A stream that begins with an error is told as one: no SDK has to find it in a success.
        declare("an error in a good status")
        return
    if outcome.got.status == 404 and gone(outcome.got.body):
        return  # recordings share this id, and one of those that are replayed beside it has deleted the object
    if outcome.got.status != call.reply.status:
        raise AssertionError(f"{outcome.got.status}: {outcome.got.body[:300]!r}")
    (asked,) = outcome.asked
    check_asked(outcome.sent, asked, outcome.host)
    assert outcome.record is not None, "the call left no record"
    served = call.reply.status < 400
    if outcome.plan.framing == "gzip":
        declare("content coding")
    if outcome.plan.way == "through":
        check_got(outcome.sent, outcome.got, streams=None)
        check_passed(outcome.sent, outcome.record)
        if served and call.id in readable():
            usage = read_slowly(call, outcome.record.operation)
            if outcome.record.basis in ("counted", "estimated"):
                assert usage is None or usage["out"] <= outcome.record.usage.output_total
            else:
                assert summary(outcome.record.usage) == usage
        return
    whole = streams(outcome)
    check_got(outcome.sent, outcome.got, streams=whole)
    usage = read_slowly(call, call.operation) if served else None
    check_record(outcome.sent, outcome.record, usage, failed=failed(call))
    if whole and not outcome.sent.hides and outcome.plan.framing != "gzip" and tuple(outcome.plan.sizes):
        assert outcome.got.pieces >= completing(call, outcome.plan.sizes), "events were held back"


def completing(call: Call, sizes: Sequence[int]) -> int:
    """Return how many chunks of a stream complete an event: each has to go on before the next comes."""
    body = call.reply.body
    kind = dict(call.reply.headers).get("content-type", "")
    chunks = list(itertools.accumulate(len(piece) for piece in cut(body, sizes)))
    if kind.startswith(BINARY):
        return len(chunks)
    ends: list[int] = []
    if "amazon" in kind:
        while not ends or ends[-1] < len(body):
            start = ends[-1] if ends else 0
            ends.append(start + int.from_bytes(body[start : start + 4], "big"))
    elif not body.lstrip().startswith(b"["):
        # Comments before the first event wait for it: until then another provider may still answer.
        first = re.search(rb"^(?:data|event)", body, re.MULTILINE)
        begin = first.start() if first is not None else 0
        ends = [found.end() for found in re.finditer(rb"[^\r\n](?:\r\n\r\n|\n\n|\r\r)", body) if found.end() > begin]
    return len({bisect.bisect_left(chunks, end) for end in ends})


def prove(plans: Sequence[Plan]) -> None:
    """Replay, and report every deviation at once: how often each, and one call that shows it."""
    wrong: dict[str, list[str]] = {}

    def look(outcome: Outcome) -> None:
        try:
            check(outcome)
        except AssertionError as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            call = outcome.plan.call
            text = f"{call.id} {call.operation} at {call.place.name}: {str(error)[:1500]}"
            wrong.setdefault(f"{frame.name}: {frame.line}", []).append(text)

    replay(plans, look)
    report = [f"{len(texts)} times {where}\n    {texts[0]}" for where, texts in wrong.items()]
    assert not report, "\n".join([f"of {len(plans)} calls:", *report])


def as_recorded(call: Call) -> Plan:
    """Plan a call in its recorded chunks; naming and framing are drawn once for each."""
    naming = "alias" if call.seed % 2 else "provider"
    return Plan(call, naming, "own", call.reply.sizes, FRAMINGS[call.seed // 2 % len(FRAMINGS)])


def test_every_recorded_call_in_its_recorded_chunks(capsys: pytest.CaptureFixture[str]) -> None:
    calls, left = recorded()
    counted = Counter(call.operation for call in calls)
    with capsys.disabled():
        print(f"\n{len(calls)} recorded calls replayed: " + ", ".join(f"{n} {name}" for name, n in counted.items()))
        print("not replayed at an endpoint: " + ", ".join(f"{n} {reason}" for reason, n in left.most_common()))

    used.clear()
    prove([as_recorded(call) for call in calls])

    with capsys.disabled():
        print("declared changes seen: " + ", ".join(f"{n} {name}" for name, n in used.most_common()))
    if len(load()) == DEVELOPMENT:
        assert {name: counted[name] for name in AT_LEAST if counted[name] < AT_LEAST[name]} == {}
        assert used.keys() | {"broken stream"} == DECLARED.keys()


def sample(limit: int, each: int) -> Iterator[Call]:
    """Yield a few calls of every kind (operation, row, streamed, refused), none with a longer reply than `limit`."""
    taken = Counter[tuple[object, ...]]()
    for call in sorted(recorded()[0], key=lambda call: call.seed):
        kind = (call.operation, call.place.row, call.streaming, call.reply.status >= 400)
        if len(call.reply.body) <= limit and taken[kind] < each:
            taken[kind] += 1
            yield call


@pytest.mark.parametrize(("size", "limit", "each"), [(1, 4_000, 2), (7, 20_000, 3)])
def test_some_recorded_calls_of_every_kind_in_chunks_of(size: int, limit: int, each: int) -> None:
    plans = [as_recorded(call)._replace(sizes=(size,)) for call in sample(limit, each)]
    assert len(plans) > 150 or len(load()) != DEVELOPMENT

    prove(plans)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("size", [7, 1])
def test_every_recorded_call_in_chunks_of(size: int) -> None:
    plans = [as_recorded(call)._replace(sizes=(size,)) for call in recorded()[0]]
    for at in range(0, len(plans), 1000):
        prove(plans[at : at + 1000])


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("naming", ["alias", "provider"])
def test_every_recorded_call_by_every_name_and_in_every_framing(naming: str, framing: Framing) -> None:
    prove([as_recorded(call)._replace(naming=naming, framing=framing) for call in recorded()[0]])


def test_every_recorded_request_passes_through_unchanged() -> None:
    calls, left = passing()
    assert sum(left.values()) < len(calls) / 1000

    prove([as_recorded(call)._replace(way="through") for call in calls if not answered_here(call)])


def answered_here(call: Call) -> bool:
    """Tell whether a reply is not the provider's, byte for byte: lists of objects, and addresses of results.

    An upload goes on only where it began.
    """
    if "upload_id=" in call.query:
        return True
    found = route(call.method, f"/{call.place.name}{call.path}", {call.place.name})
    if found is None or found.found is None:
        return False
    heards = [heard(found.found, dialect).thing for dialect in DIALECTS]
    kept = [thing for thing in heards if thing.family in CATALOG[call.place.row].objects]
    return bool(kept) and (kept[0].does == "list" or b'"results_url":"http' in call.reply.body.replace(b" ", b""))


def test_callers_who_did_not_ask_for_usage_get_the_stream_without_it_and_it_is_recorded() -> None:
    calls = [unasked(call) for call in recorded()[0] if call.asks_usage and call.reply.status < 400]
    assert len(calls) > 400 or len(load()) != DEVELOPMENT
    hidden = []

    def look(outcome: Outcome) -> None:
        call = outcome.plan.call
        assert outcome.record is not None
        check(outcome)
        if outcome.sent.hides:
            hidden.append(call.id)
            assert b"include_usage" in outcome.asked[0].body
            shown = [event for event in events(outcome.got.body) if event.get("choices") == [] and event.get("usage")]
            assert not shown

    replay([as_recorded(call) for call in calls], look)
    assert len(hidden) > 300 or len(load()) != DEVELOPMENT


def test_recorded_streams_that_end_halfway_say_so_and_keep_every_whole_event() -> None:
    halves = [half(call) for call in recorded()[0] if call.streaming and call.reply.status < 400]
    calls = [call for call in halves if call.reply.body and not ended(call)]
    assert len(calls) > 1500 or len(load()) != DEVELOPMENT

    def look(outcome: Outcome) -> None:
        check_asked(outcome.sent, outcome.asked[0], outcome.host)
        check_got(outcome.sent, outcome.got, streams=True)
        assert outcome.record is not None
        assert outcome.record.error == "upstream_connection_lost"

    replay([as_recorded(call)._replace(sizes=()) for call in calls if call.operation in EVENTS], look)


EVENTS = ("chat", "completions", "responses", "messages", "cohere_chat")
"""Operations that stream server-sent events with an end of their own."""


def half(call: Call) -> Call:
    """Return a call whose reply ends after half of its events."""
    body = call.reply.body
    end = body.rfind(b"\n\n", 0, len(body) // 2) + 2
    body = body[:end] if end > 1 and body[:end].count(b"data:") else b""
    return msgspec.structs.replace(call, reply=msgspec.structs.replace(call.reply, body=body))


def unasked(call: Call) -> Call:
    """Return a call as its caller would make it without asking for usage."""
    assert call.table is not None
    options = {key: value for key, value in call.table["stream_options"].items() if key != "include_usage"}
    table = {key: value for key, value in call.table.items() if key != "stream_options"}
    return msgspec.structs.replace(call, table=table | ({"stream_options": options} if options else {}))


def events(body: bytes) -> list[dict[str, Any]]:
    found = []
    for line in body.splitlines():
        if line.startswith(b"data:") and line[5:].strip()[:1] == b"{":
            found.append(msgspec.json.decode(line[5:]))
    return found


def test_usage_is_hidden_as_openai_would_not_have_sent_it() -> None:
    plain = b'data: {"id":"1","choices":[{"delta":{"content":"\\",\\"usage\\":null"}}]}\n\n'
    asked = plain.replace(b"}]}", b'}],"usage":null}')
    usage = b'data: {"id":"1","choices":[],"usage":{"total_tokens":3}}\n\n'

    assert without_usage(asked + usage + b"data: [DONE]\n\n") == plain + b"data: [DONE]\n\n"


ELSEWHERE = {
    ("zai", "/api/coding/paas/v4"): "the coding plan's own address",
    ("huggingface", "/together/v1"): "the router asked for one provider",
    ("huggingface", "/hyperbolic/v1"): "the router asked for one provider",
    ("deepseek", "/beta"): "the address for beta features",
}
"""Recorded addresses of a row's provider that are not the row's."""
ACCOUNTS: dict[str, dict[str, Any]] = {
    "azure": {"resource": "example-resource"},
    "azure_ai": {"resource": "example-resource"},
    "azure_anthropic": {"resource": "example-resource"},
    "databricks": {"host": "https://example-workspace.azuredatabricks.net"},
    "snowflake": {"account": "example-account"},
    "cloudflare": {"account_id": "ACCOUNT"},
}


def test_calls_were_recorded_where_the_catalog_has_their_endpoint() -> None:
    compared = 0
    elsewhere = set()
    for call in recorded()[0]:
        row = call.place.row
        options = dict(call.place.options) | ACCOUNTS.get(row, {})
        if CATALOG[row].local or any("<" in value for value in options.values()):
            continue
        provider = resolve(row, schema.Provider(api_key="key", options=options), {"HOME": "/nonexistent"})
        endpoint = provider.endpoint(call.operation, call.model, stream=call.streaming)
        assert endpoint is not None
        if endpoint.host != raw()[call.id]["request"]["host"]:
            continue
        if call.place.base != provider.base.path:
            elsewhere.add((row, call.place.base))
            continue
        assert decoded(endpoint.path) == decoded(newer(call)), call.id
        compared += 1
    if len(load()) == DEVELOPMENT:
        assert elsewhere == ELSEWHERE.keys()
        assert compared > 6200


def test_no_header_stays_that_is_not_declared() -> None:
    calls, _ = recorded()
    asked = {name for call in calls for name, _ in call.headers if not goes_on(name)}
    replied = {name for call in calls for name, _ in call.reply.headers if not comes_back(name)}

    if len(load()) == DEVELOPMENT:
        assert asked == NOT_FORWARDED - {"host", "content-length"}
        assert replied == NOT_RETURNED


def test_the_page_on_passing_through_names_every_declared_change() -> None:
    page = Path(__file__).parents[2].joinpath("docs/explanation/pass-through.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| \*\*(.+?)\*\* \|", page, re.MULTILINE)

    assert named == list(DECLARED)
    assert all(reason in page for reason in DECLARED.values())
    for names in (headers.FORWARDED, headers.NEVER_FORWARDED, headers.HELD_BACK):
        assert {name.decode() for name in names if f"`{name.decode()}`" not in page} == set()
    for prefixes in (headers.FORWARDED_PREFIXES, headers.HELD_BACK_PREFIXES):
        assert {prefix.decode() for prefix in prefixes if f"`{prefix.decode()}*`" not in page} == set()
