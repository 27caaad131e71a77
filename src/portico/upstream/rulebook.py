"""The rules and scorers of a configuration, made ready when it comes into force. What it does not use is not loaded."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from portico.config import schema
from portico.errors import ConfigError

if TYPE_CHECKING:
    from portico.plan.rules import Rule
    from portico.plan.scorer import Scorer


def compiled(rules: Sequence[schema.RoutingRule], where: str, *, scored: bool) -> "tuple[Rule, ...]":
    """Return rules ready to be asked. Raises ConfigError, which says which one is none, and why.

    `scored` says whether there is a scorer that they may read.
    """
    if not rules:
        return ()
    # The language is loaded where it is spoken: it takes 10 MB.
    from portico.plan.rules import BadExpression, Rule, unscored

    made = []
    for index, rule in enumerate(rules):
        try:
            made.append(Rule(rule))
        except BadExpression as error:
            raise ConfigError(f"{where}.rules[{index}].when: {error}") from None
        why = unscored(made[-1].condition, scored=scored)
        if why is not None:
            raise ConfigError(f"{where}.rules[{index}].when: {why}")
    return tuple(made)


def scorers(aliases: Mapping[str, schema.Model], routing: schema.Routing) -> "dict[str | None, Scorer]":
    """Return the scorers of names, and for None that of all.

    Raises ConfigError, which says which one is not to be used, and why.
    """
    found: dict[str | None, Scorer] = {}
    if routing.complexity.scorer is not None:
        from portico.plan.scorer import scorer_of_all

        try:
            general = scorer_of_all(routing)
        except ConfigError as error:
            raise ConfigError(f"routing.complexity.scorer: {error.message}") from None
        assert general is not None
        found[None] = general
    for name, model in aliases.items():
        if model.complexity.scorer is None:
            continue
        from portico.plan.scorer import scorer_of  # few configurations have one

        try:
            scorer = scorer_of(model, name)
        except ConfigError as error:
            raise ConfigError(f"models.{name}.complexity.scorer: {error.message}") from None
        if scorer is not None:
            found[name] = scorer
    return found
