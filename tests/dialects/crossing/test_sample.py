"""A sample of recorded calls crosses every pair of dialects, and no text, image, tool, call, result, thought or count
of usage is lost or comes in another order, but for what is declared."""

import pytest
from tests.dialects.crossing import pairs, proof
from tests.dialects.crossing.pairs import PAIRS

from portico.types import Dialect

every_pair = pytest.mark.parametrize(("caller", "provider"), PAIRS)


@every_pair
def test_requests_say_to_a_provider_what_their_caller_said(caller: Dialect, provider: Dialect) -> None:
    records = proof.sample(caller, provider, pairs.requests(caller), 60)
    outcomes = {record["id"]: proof.request(caller, provider, record) for record in records}
    assert {at: found for at, found in outcomes.items() if found} == {}
    assert sum(found == [] for found in outcomes.values()) >= 40


@every_pair
def test_replies_say_to_a_caller_what_their_provider_said(caller: Dialect, provider: Dialect) -> None:
    records = proof.sample(caller, provider, pairs.replies(provider), 60)
    outcomes = {record["id"]: proof.reply(caller, provider, record) for record in records}
    assert {at: found for at, found in outcomes.items() if found} == {}
    assert len(outcomes) == 60


@every_pair
def test_streams_say_to_a_caller_what_their_provider_said(caller: Dialect, provider: Dialect) -> None:
    records = proof.sample(caller, provider, pairs.streams(provider), 15)
    outcomes = {record["id"]: proof.every_cut(caller, provider, record) for record in records}
    assert {at: found for at, found in outcomes.items() if found} == {}
    assert len(outcomes) == 15
