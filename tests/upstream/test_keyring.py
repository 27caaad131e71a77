"""Keys are used in turn, and one that failed rests while there are others."""

from collections.abc import Sequence

from portico.providers.auth.bearer import Bearer
from portico.upstream.keyring import Credential, Keyring


def keyring(count: int) -> Keyring:
    return Keyring([Credential(Bearer(f"p#{number}", f"secret-{number}")) for number in range(1, count + 1)])


def picks(ring: Keyring, times: int, now: float = 0.0) -> Sequence[str]:
    return [credential.id for _ in range(times) if (credential := ring.pick(now)) is not None]


def test_keys_are_used_in_turn() -> None:
    assert picks(keyring(3), 6) == ["p#1", "p#2", "p#3", "p#1", "p#2", "p#3"]


def test_the_calls_of_a_conversation_have_the_same_key_while_it_is_awake_and_take_nobodys_turn() -> None:
    ring = keyring(3)

    def pick(turn: int, now: float = 0.0, tried: Sequence[Credential] = ()) -> str:
        found = ring.pick(now, tried, turn)
        assert found is not None
        return found.id

    assert [pick(7) for _ in range(3)] == ["p#2", "p#2", "p#2"]
    assert [pick(6), pick(8)] == ["p#1", "p#3"]
    assert picks(ring, 3) == ["p#1", "p#2", "p#3"]
    ring.refused(ring.credentials[1], 429, None, 0.0)
    assert pick(7) == "p#3"
    assert pick(7, 0.0, (ring.credentials[2],)) == "p#1"
    assert pick(7, 6.0) == "p#2"


def test_a_refused_key_rests_and_comes_back() -> None:
    ring = keyring(2)
    first = ring.credentials[0]
    assert ring.refused(first, 401, None, now=10.0)
    assert picks(ring, 3, now=10.0) == ["p#2"] * 3
    assert "p#1" in picks(ring, 2, now=10.0 + 300.0)


def test_retry_after_says_how_long_a_key_rests() -> None:
    ring = keyring(2)
    ring.refused(ring.credentials[0], 429, 20.0, now=0.0)
    assert picks(ring, 2, now=19.0) == ["p#2", "p#2"]
    assert "p#1" in picks(ring, 2, now=20.0)


def test_a_fault_of_the_caller_rests_no_key() -> None:
    ring = keyring(2)
    for status in (400, 404, 413, 422, 500, 503):
        assert not ring.refused(ring.credentials[0], status, None, now=0.0)
    assert picks(ring, 2) == ["p#1", "p#2"]


def test_the_only_key_is_used_even_when_it_was_refused() -> None:
    ring = keyring(1)
    assert not ring.refused(ring.credentials[0], 401, None, now=0.0)
    assert picks(ring, 2) == ["p#1", "p#1"]


def test_when_all_rest_the_one_that_wakes_first_is_used() -> None:
    ring = keyring(2)
    ring.refused(ring.credentials[0], 429, 100.0, now=0.0)
    ring.refused(ring.credentials[1], 429, 50.0, now=0.0)
    assert picks(ring, 1) == ["p#2"]


def test_a_key_tried_for_this_call_is_not_picked_again() -> None:
    ring = keyring(2)
    first = ring.pick(0.0)
    assert first is not None
    second = ring.pick(0.0, [first])
    assert second is not None
    assert second is not first
    assert ring.pick(0.0, [first, second]) is None


def test_no_secret_is_shown() -> None:
    ring = keyring(2)
    assert "secret" not in repr(ring) + repr(ring.credentials)
