"""Where a key may stand, whom it names, and what that one may do."""

from types import SimpleNamespace
from typing import Any

import pytest

from portico.config.declared import declared
from portico.config.schema import Config, Key, Server
from portico.errors import Forbidden, StateUnavailable, Unauthenticated
from portico.rules import Holder
from portico.stages.authenticate import Keys, authenticate, identify, token_of

pytestmark = pytest.mark.source

CONFIG = Config(
    server=Server(master_key="sk-master"),
    keys={
        "web": Key(key="sk-web", models=("smart", "openai/*-mini")),
        "all": Key(key="sk-all", passthrough=("openai",)),
        "gone": Key(key="sk-gone", expires=1000.0),
        "blocked": Key(key="sk-blocked", blocked=True),
        "chat": Key(key="sk-chat", routes=("chat",)),
        "office": Key(key="sk-office", ips=("10.0.0.0/8", "2001:db8::/32")),
    },
)
STORED = Holder(id="k1", name="stored")
SECRET = bytes(32)
KEYS = Keys(declared(CONFIG).holders, SECRET, lambda hashed: STORED if hashed == KEYS.digest(b"sk-stored") else None)


def holder(
    fields: dict[bytes, bytes], query: str = "", *, operation: str = "chat", peer: str = "10.1.2.3", now: float = 0.0
) -> Holder:
    exchange: Any = SimpleNamespace(peer=peer)
    return authenticate(identify(fields, query, KEYS), KEYS, operation, exchange, now)


PLACES = {
    "bearer": ({b"authorization": b"Bearer sk-web"}, ""),
    "bearer in lower case": ({b"authorization": b"bearer  sk-web "}, ""),
    "anthropic": ({b"x-api-key": b"sk-web"}, ""),
    "azure": ({b"api-key": b"sk-web"}, ""),
    "google": ({b"x-goog-api-key": b"sk-web"}, ""),
    "google's query": ({}, "alt=sse&key=sk%2Dweb"),
    "an AWS signature": (
        {
            b"authorization": b"AWS4-HMAC-SHA256 Credential=sk-web/20261120/us-east-1/bedrock/aws4_request, "
            b"SignedHeaders=host, Signature=00"
        },
        "",
    ),
    "litellm": ({b"x-litellm-api-key": b"Bearer sk-web"}, ""),
    "litellm, with a provider's token": (
        {b"x-litellm-api-key": b"Bearer sk-web", b"authorization": b"Bearer sk-ant-oat01"},
        "",
    ),
    "portkey": ({b"x-portkey-api-key": b"sk-web", b"authorization": b"Bearer OPENAI_API_KEY"}, ""),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_found_where_each_sdk_puts_it(place: str) -> None:
    fields, query = PLACES[place]
    assert holder(fields, query).name == "web"


@pytest.mark.parametrize(
    "fields",
    [{}, {b"authorization": b"Basic abc"}, {b"authorization": b"Bearer "}, {b"authorization": b"Bearer sk-other"}],
)
def test_no_key_or_an_unknown_one_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        holder(fields)
    assert "sk-other" not in refused.value.message


def test_authorization_goes_before_the_headers_of_sdks() -> None:
    assert token_of({b"x-api-key": b"two", b"authorization": b"Bearer one"}, "") == b"one"


def test_a_key_with_models_may_use_those_only() -> None:
    web = holder({b"x-api-key": b"sk-web"})
    KEYS.check_model(web, "smart")
    KEYS.check_model(web, "openai/gpt-4o-mini")
    KEYS.check_model(web, "gpt-4o-mini", "openai/gpt-4o-mini")
    with pytest.raises(Forbidden) as refused:
        KEYS.check_model(web, "openai/gpt-4o")
    assert refused.value.param == "model"
    assert "'openai/gpt-4o'" in refused.value.message


def test_a_key_without_models_may_use_all() -> None:
    KEYS.check_model(holder({b"x-api-key": b"sk-all"}), "anything")


def test_pass_through_is_allowed_key_by_key() -> None:
    KEYS.check_passthrough(holder({b"x-api-key": b"sk-master"}), "openai")
    KEYS.check_passthrough(holder({b"x-api-key": b"sk-all"}), "openai")
    for key in (b"sk-web", b"sk-all"):
        with pytest.raises(Forbidden):
            KEYS.check_passthrough(holder({b"x-api-key": key}), "anthropic")


def test_keys_are_not_kept_in_the_clear() -> None:
    kept = repr(KEYS) + repr(vars(KEYS))
    assert not any(secret in kept for secret in ("sk-web", "sk-all", "sk-master"))


def test_a_key_of_the_store_is_found_by_its_hash() -> None:
    assert holder({b"x-api-key": b"sk-stored"}) is STORED


def test_an_expired_key_is_unknown_and_a_blocked_one_forbidden() -> None:
    assert holder({b"x-api-key": b"sk-gone"}, now=999.9).name == "gone"
    with pytest.raises(Unauthenticated, match=r"^Incorrect API key provided: .* has expired"):
        holder({b"x-api-key": b"sk-gone"}, now=1000.0)
    with pytest.raises(Forbidden, match="is blocked"):
        holder({b"x-api-key": b"sk-blocked"})


def test_a_key_may_be_held_to_some_operations() -> None:
    assert holder({b"x-api-key": b"sk-chat"}).name == "chat"
    with pytest.raises(Forbidden, match="may not call embeddings; it may call chat"):
        holder({b"x-api-key": b"sk-chat"}, operation="embeddings")


@pytest.mark.parametrize("peer", ["10.9.9.9", "::ffff:10.9.9.9", "2001:db8::7"])
def test_a_key_may_be_held_to_some_addresses(peer: str) -> None:
    assert holder({b"x-api-key": b"sk-office"}, peer=peer).name == "office"


@pytest.mark.parametrize("peer", ["11.0.0.1", "2001:db9::7", "", "nonsense"])
def test_a_key_is_refused_from_other_addresses(peer: str) -> None:
    with pytest.raises(Forbidden, match="from this address"):
        holder({b"x-api-key": b"sk-office"}, peer=peer)


def test_a_key_that_is_not_known_yet_is_told_to_come_again() -> None:
    complete = False
    keys = Keys({}, SECRET, lambda _: None, lambda: complete)
    exchange: Any = SimpleNamespace(peer="10.1.2.3")
    with pytest.raises(StateUnavailable, match="try again") as told:
        authenticate(keys.digest(b"sk-stored"), keys, "chat", exchange, 0.0)
    assert (told.value.status, told.value.retry_after) == (503, 1)
    complete = True
    with pytest.raises(Unauthenticated):
        authenticate(keys.digest(b"sk-stored"), keys, "chat", exchange, 0.0)
