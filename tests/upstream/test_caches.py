"""Where prompts are cached is remembered for as long as the provider keeps them, within bounds, by all workers."""

from pathlib import Path

import pytest

from portico.plan.candidate import LOW, mark_of
from portico.plan.conversation import Conversation
from portico.providers.prompt_caches import HOUR, PROMPT_CACHES
from portico.providers.row import CATALOG
from portico.types import Usage
from portico.upstream.caches import SETS, WAYS, Caches, Kept

TURN = Conversation(0xABCD_EF01_2345_6789, 0x1234_5678_9ABC_DEF0, 2_000)
USED = Usage(input=5_000, output=100)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def half(target: str) -> int:
    return mark_of(target) & LOW


@pytest.mark.parametrize("provider", sorted(PROMPT_CACHES))
def test_a_prompt_is_warm_for_as_long_as_its_provider_says_and_no_longer(provider: str) -> None:
    clock = Clock()
    caches = Caches(clock=clock)
    used = Usage(input=1_000, cache_read=2_000, cache_write_5m=2_000, output=9)
    caches.note(TURN, f"{provider}/m", provider, used, 0)
    tokens = 4_000 if PROMPT_CACHES[provider].marked else 5_000
    seconds = PROMPT_CACHES[provider].seconds
    clock.now += seconds - 1
    assert caches.expected(TURN) == (half(f"{provider}/m"), {half(f"{provider}/m"): tokens})
    clock.now += 2
    assert caches.expected(TURN) == (None, None)


def test_every_row_names_a_provider_of_the_catalog_and_its_source() -> None:
    for name, cache in PROMPT_CACHES.items():
        assert name in CATALOG
        assert "/" in cache.source
        assert 60 <= cache.seconds <= 86_400


def test_what_is_marked_for_an_hour_is_kept_for_one() -> None:
    clock = Clock()
    caches = Caches(clock=clock)
    caches.note(TURN, "anthropic/m", "anthropic", Usage(input=10, cache_write_1h=5_000, output=9), 0)
    clock.now += HOUR - 1
    assert caches.expected(TURN)[0] == half("anthropic/m")


def test_what_is_asked_to_be_kept_for_a_day_is_counted_on_for_one_where_that_can_be_asked() -> None:
    clock = Clock()
    caches = Caches(clock=clock)
    long = TURN._replace(extended=True)
    caches.note(long, "openai/m", "openai", USED, 0)
    clock.now += 86_399
    assert caches.expected(long)[0] == half("openai/m")
    caches.note(long, "groq/m", "groq", USED, 0)
    clock.now += 7_201
    assert caches.expected(long) == (None, None)


QUIET: list[tuple[str, str, Usage]] = [
    ("nothing was marked", "anthropic", USED),
    ("it is too short", "openai", Usage(input=900, output=5)),
    ("a provider that nothing is known of says of no cache", "a-host-of-my-own", USED),
]


@pytest.mark.parametrize(("why", "kind", "used"), QUIET, ids=[case[0] for case in QUIET])
def test_what_no_provider_keeps_is_not_remembered(why: str, kind: str, used: Usage) -> None:
    caches = Caches()
    caches.note(TURN, f"{kind}/m", kind, used, 0)
    assert caches.expected(TURN) == (None, None), why


def test_a_provider_that_nothing_is_known_of_is_believed_what_it_says() -> None:
    caches = Caches()
    caches.note(TURN, "mine/m", "mine", Usage(input=50, cache_read=800, output=5), 0)
    assert caches.expected(TURN) == (half("mine/m"), {half("mine/m"): 800})


def test_other_conversations_are_expected_to_find_the_stem_where_it_was_last_used() -> None:
    caches = Caches()
    caches.note(TURN, "openai/m", "openai", USED, 0)
    assert caches.expected(Conversation(99, TURN.stem, TURN.stem_tokens)) == (None, {half("openai/m"): 2_000})
    assert caches.expected(Conversation(99)) == (None, None)


def test_a_conversation_that_moved_is_warm_where_it_is_now() -> None:
    caches = Caches()
    for target in ("openai/a", "openai/b"):
        caches.note(TURN, target, "openai", USED, 0)
    assert caches.expected(TURN)[0] == half("openai/b")


def test_workers_share_what_they_know(tmp_path: Path) -> None:
    one, other = Caches(tmp_path / "prompts"), Caches(tmp_path / "prompts")
    one.note(TURN, "openai/m", "openai", USED, 0)
    assert other.expected(TURN) == one.expected(TURN) == (half("openai/m"), {half("openai/m"): 5_000})
    for caches in (one, other):
        caches.close()


def test_nothing_is_made_before_it_is_counted_on(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "prompts")
    assert not (tmp_path / "prompts").exists()
    caches.find(7)
    assert (tmp_path / "prompts").stat().st_size < 400_000
    caches.close()


def test_of_those_that_share_a_place_the_one_that_ends_first_makes_room() -> None:
    clock = Clock()
    caches = Caches(clock=clock)
    crowd = [Conversation(7 + SETS * number) for number in range(1, WAYS + 2)]
    for conversation in crowd:
        clock.now += 1
        caches.note(conversation, "openai/m", "openai", USED, 0)
    assert [caches.find(each.id) is not None for each in crowd] == [False, *[True] * WAYS]


def test_a_target_that_does_not_keep_what_it_should_is_counted_on_less_and_wins_trust_back() -> None:
    caches = Caches()
    kept = Kept(caches, TURN, {half("openai/m"): 4_000}, {"openai": "openai"})
    for _ in range(20):
        kept.served("openai/m", USED)
    assert caches.expected(TURN) == (half("openai/m"), {half("openai/m"): 0})
    for _ in range(20):
        Kept(caches, TURN, None, {}).served("openai/m", Usage(input=1_000, cache_read=4_000, output=9))
    tokens = caches.expected(TURN)[1]
    assert tokens is not None
    assert tokens[half("openai/m")] > 4_900


def test_the_documentation_says_for_how_long_each_provider_is_counted_on() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "route-calls.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, cache in PROMPT_CACHES.items():
        assert any(f"`{name}`" in row and f"{cache.seconds:.0f}" in row for row in rows), name
