"""What expires is renewed ahead of its end, once, and a failure reaches those who need the value."""

import asyncio

import pytest

from portico.errors import CredentialError, UpstreamTimeout
from portico.providers.auth import Headers
from portico.providers.auth.exchange import ask_json
from portico.providers.auth.renewal import MARGIN, PAUSE, Renewal
from portico.providers.auth.scheme import Fetch
from portico.providers.auth.token import Token


async def nowhere(method: str, url: str, headers: Headers, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    raise AssertionError("nothing is fetched here")


class Source:
    """Hands out numbered values that live for `life` seconds, or fails."""

    def __init__(self, life: float | None = 3600.0) -> None:
        self.life = life
        self.calls = 0
        self.fails = False
        self.gate: asyncio.Event | None = None

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise CredentialError("refused")
        return f"value {self.calls}", None if self.life is None else now + self.life


async def test_a_value_is_obtained_once_and_used_until_it_is_near_its_end() -> None:
    source = Source()
    renewal = Renewal(source)
    assert not renewal.ready(0.0)
    await renewal.prepare(nowhere, 0.0)
    assert renewal.value == "value 1"
    assert renewal.ready(3299.0)
    await renewal.prepare(nowhere, 3299.0)
    assert source.calls == 1
    assert not renewal.ready(3300.0)
    await renewal.prepare(nowhere, 3300.0)
    assert renewal.value == "value 2"


async def test_a_short_life_is_renewed_in_its_last_fifth() -> None:
    renewal = Renewal(Source(life=60.0))
    await renewal.prepare(nowhere, 0.0)
    assert renewal.ready(47.0)
    assert not renewal.ready(48.0)


async def test_what_has_no_end_is_never_renewed() -> None:
    source = Source(life=None)
    renewal = Renewal(source)
    await renewal.prepare(nowhere, 0.0)
    assert renewal.ready(1e12)
    await renewal.prepare(nowhere, 1e12)
    assert source.calls == 1


async def test_many_calls_at_once_obtain_one_value() -> None:
    source = Source()
    source.gate = asyncio.Event()
    renewal = Renewal(source)
    waiting = [asyncio.ensure_future(renewal.prepare(nowhere, 0.0)) for _ in range(50)]
    await asyncio.sleep(0)
    source.gate.set()
    await asyncio.gather(*waiting)
    assert source.calls == 1
    assert renewal.value == "value 1"


async def test_while_one_call_renews_the_others_go_on_with_what_is_there() -> None:
    source = Source()
    renewal = Renewal(source)
    await renewal.prepare(nowhere, 0.0)
    source.gate = asyncio.Event()
    renewing = asyncio.ensure_future(renewal.prepare(nowhere, 3400.0))
    await asyncio.sleep(0)
    assert renewal.ready(3400.0)
    assert renewal.value == "value 1"
    assert not renewal.ready(3600.0 - MARGIN)
    source.gate.set()
    await renewing
    assert renewal.value == "value 2"
    assert source.calls == 2


async def test_a_failure_reaches_everyone_who_waits_and_is_asked_once() -> None:
    source = Source()
    source.fails = True
    source.gate = asyncio.Event()
    renewal = Renewal(source)
    waiting = [asyncio.ensure_future(renewal.prepare(nowhere, 0.0)) for _ in range(10)]
    await asyncio.sleep(0)
    source.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["refused"] * 10
    assert all(isinstance(outcome, CredentialError) for outcome in outcomes)
    assert source.calls == 1
    assert not renewal.ready(0.0)


async def test_after_a_failure_the_next_call_tries_again() -> None:
    source = Source()
    source.fails = True
    renewal = Renewal(source)
    with pytest.raises(CredentialError):
        await renewal.prepare(nowhere, 0.0)
    source.fails = False
    await renewal.prepare(nowhere, 1.0)
    assert renewal.value == "value 2"
    assert renewal.failure is None


async def test_a_failed_renewal_ahead_of_time_costs_no_call_and_is_tried_again_after_a_pause() -> None:
    source = Source()
    renewal = Renewal(source)
    await renewal.prepare(nowhere, 0.0)
    source.fails = True
    await renewal.prepare(nowhere, 3400.0)
    assert str(renewal.failure) == "refused"
    assert renewal.ready(3400.0 + PAUSE - 1)
    assert not renewal.ready(3400.0 + PAUSE)
    await renewal.prepare(nowhere, 3400.0 + PAUSE)
    assert source.calls == 3
    with pytest.raises(CredentialError):
        await renewal.prepare(nowhere, 3600.0)


async def test_a_cancelled_call_leaves_the_work_to_the_next() -> None:
    source = Source()
    source.gate = asyncio.Event()
    renewal = Renewal(source)
    first = asyncio.ensure_future(renewal.prepare(nowhere, 0.0))
    second = asyncio.ensure_future(renewal.prepare(nowhere, 0.0))
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    await second
    assert first.cancelled()
    assert source.calls == 2
    assert renewal.value == "value 2"


async def test_a_token_before_it_is_prepared_is_an_error_and_not_an_empty_header() -> None:
    token = Token("x#1", "test", Source())
    assert not token.static
    with pytest.raises(CredentialError):
        token.headers("POST", "h", "/", "", [], b"")
    await token.prepare(nowhere, 0.0)
    assert token.headers("POST", "h", "/", "", [], b"") == [("authorization", "Bearer value 1")]
    assert repr(token) == "<Token x#1 test>"


async def test_a_network_failure_becomes_a_credential_error() -> None:
    async def late(
        method: str, url: str, headers: Headers, body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        raise UpstreamTimeout("too late", phase="connect")

    with pytest.raises(CredentialError) as failed:
        await ask_json(late, "The thing", "GET", "https://id.example/token?secret=PLANTED", [])
    assert failed.value.message == "The thing: id.example could not be asked (upstream_timeout)."


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "PLANTED"}', "answered 400 (invalid_grant)."),
        (401, b'{"error": "x", "error_description": "AADSTS7000215: PLANTED"}', "answered 401 (x, AADSTS7000215)."),
        (403, b'{"error": {"status": "PERMISSION_DENIED", "message": "PLANTED"}}', "answered 403 (PERMISSION_DENIED)."),
        (400, b'{"error": "PLANTED with blanks"}', "answered 400."),
        (500, b"PLANTED", "answered 500."),
        (200, b"PLANTED", "answered 200 with something that is no JSON object."),
        (200, b'["PLANTED"]', "answered 200 with something that is no JSON object."),
        (200, b"[" * 100_000, "answered 200 with something that is no JSON object."),
    ],
)
async def test_an_error_names_the_code_and_never_repeats_the_reply(status: int, body: bytes, says: str) -> None:
    async def fetch(
        method: str, url: str, headers: Headers, sent: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        return status, [], body

    with pytest.raises(CredentialError) as failed:
        await ask_json(fetch, "The thing", "GET", "https://id.example/token", [])
    assert failed.value.message == f"The thing: id.example {says}"
    assert "PLANTED" not in str(failed.value)
