"""Compare what was said with what arrives: every fact in its order, but for what is declared."""

from tests.dialects.crossing import declared
from tests.dialects.crossing.facts import Facts, by_kind, joined

from portico.types import Dialect

FIELDS = ("chat", "cohere")
"""Dialects whose assistants' messages are fields, not a list: the order of kinds in a turn is theirs."""


def answers(caller: Dialect, provider: Dialect, told: Facts, arrived: Facts) -> list[str]:
    """Return how a reply differs from what its provider said; nothing where it does not."""
    lost = declared.USAGE_LOST[caller]
    told = [fact for fact in told if fact[0] != "usage" or fact[1] not in lost]
    if caller != provider and declared.unsayable(caller, told):
        told, arrived = ([fact for fact in facts if fact[0] != "finish"] for facts in (told, arrived))
    settle = declared.ends[caller] if caller != provider else declared.as_it_is
    if caller != provider:
        told, arrived = (declared.shown(caller, facts) for facts in (told, arrived))
    return _differences(*(_ordered(declared.ended(settle(facts)), caller, provider) for facts in (told, arrived)))


def questions(caller: Dialect, provider: Dialect, told: Facts, arrived: Facts, dropped: list[str]) -> list[str]:
    """Return how a request differs from what its caller said; nothing where it does not."""
    if caller != provider:
        told, arrived = declared.settled(provider, told, arrived, dropped)
    if any(fact[0] == "document" or fact[:2] == ("result", None) for fact in told):
        return _contained(told, arrived, bare=provider == "converse")
    return _differences(*(_ordered(facts, caller, provider) for facts in (told, arrived)))


def _ordered(facts: Facts, caller: Dialect, provider: Dialect) -> Facts:
    fields = caller in FIELDS or provider in FIELDS
    return joined(by_kind(joined(facts))) if fields else joined(facts)


def _differences(told: Facts, arrived: Facts) -> list[str]:
    if told == arrived:
        return []
    for number, (one, other) in enumerate(zip([*told, None], [*arrived, None], strict=False)):
        if one != other:
            return [f"fact {number}: said {_shown(one)}, arrived {_shown(other)}"]
    raise AssertionError("two lists that differ, differ somewhere")


def _shown(fact: object) -> str:
    shown = repr(fact)
    return shown if len(shown) < 400 else shown[:200] + "…" + shown[-200:]


def _contained(told: Facts, arrived: Facts, *, bare: bool) -> list[str]:
    """Compare a request of which something becomes text: every text is found, all else is there in its order.

    `bare` counts letters and digits only: Bedrock's names of documents take no dots.
    """
    kinds = ("text", "document", "result")

    def plain(words: str) -> str:
        return "".join(filter(str.isalnum, words)) if bare else words

    words = plain("".join(str(fact[2]) for fact in arrived if fact[0] in kinds))
    missing = [_shown(fact) for fact in told if fact[0] in kinds and plain(fact[2]) not in words]
    rest = [[fact for fact in facts if fact[0] not in kinds] for facts in (told, arrived)]
    return [f"missing {fact}" for fact in missing] or _differences(*rest)
