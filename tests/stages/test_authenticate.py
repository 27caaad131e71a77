"""Where a key may stand, whom it names, and what that one may do."""

import pytest

from portico.config.schema import Key
from portico.errors import Forbidden, Unauthenticated
from portico.stages.authenticate import Keys, authenticate, token_of

KEYS = Keys(
    {
        "web": Key(key="sk-web", models=("smart", "openai/*-mini")),
        "all": Key(key="sk-all", passthrough=("openai",)),
    },
    "sk-master",
)

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
}


@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_found_where_each_sdk_puts_it(place: str) -> None:
    fields, query = PLACES[place]
    assert authenticate(fields, query, KEYS).name == "web"


@pytest.mark.parametrize(
    "fields",
    [{}, {b"authorization": b"Basic abc"}, {b"authorization": b"Bearer "}, {b"authorization": b"Bearer sk-other"}],
)
def test_no_key_or_an_unknown_one_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        authenticate(fields, "", KEYS)
    assert "sk-other" not in refused.value.message


def test_authorization_goes_before_other_headers() -> None:
    assert token_of({b"x-api-key": b"two", b"authorization": b"Bearer one"}, "") == b"one"


def test_a_key_with_models_may_use_those_only() -> None:
    web = authenticate({b"x-api-key": b"sk-web"}, "", KEYS)
    KEYS.check_model(web, "smart")
    KEYS.check_model(web, "openai/gpt-4o-mini")
    KEYS.check_model(web, "gpt-4o-mini", "openai/gpt-4o-mini")
    with pytest.raises(Forbidden) as refused:
        KEYS.check_model(web, "openai/gpt-4o")
    assert refused.value.param == "model"
    assert "'openai/gpt-4o'" in refused.value.message


def test_a_key_without_models_may_use_all() -> None:
    KEYS.check_model(authenticate({b"x-api-key": b"sk-all"}, "", KEYS), "anything")


def test_pass_through_is_allowed_key_by_key() -> None:
    KEYS.check_passthrough(authenticate({b"x-api-key": b"sk-master"}, "", KEYS), "openai")
    KEYS.check_passthrough(authenticate({b"x-api-key": b"sk-all"}, "", KEYS), "openai")
    for key in (b"sk-web", b"sk-all"):
        with pytest.raises(Forbidden):
            KEYS.check_passthrough(authenticate({b"x-api-key": key}, "", KEYS), "anthropic")


def test_keys_are_not_kept_in_the_clear() -> None:
    kept = repr(KEYS) + repr(vars(KEYS))
    assert not any(secret in kept for secret in ("sk-web", "sk-all", "sk-master"))
