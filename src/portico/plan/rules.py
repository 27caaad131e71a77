"""Rules: expressions in CEL (cel.dev), compiled and typed when a configuration is loaded, evaluated on each call.

Google's own runtime evaluates them, in 4 to 7 µs each; it is imported where there are rules, for it takes 10 MB.
An expression cannot loop, wait or reach anything but its variables.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

from portico.config import schema
from portico.errors import PorticoError
from portico.plan.facts import TYPES, Facts


class _Expression(Protocol):
    """What `cel_expr_python.cel` compiles; described here, for it need not be installed."""

    def eval(self, *, data: dict[str, object]) -> Any: ...

    def return_type(self) -> Any: ...


class _Environment(Protocol):
    def compile(self, expression: str) -> _Expression: ...


_WORD = re.compile(r"(?<![.\w])[a-z_]+\b")
_WHERE = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n|]*)")
_STRINGS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")


class BadExpression(PorticoError):
    """An expression that cannot be a rule; the message says where and why."""


class Condition:
    """A compiled expression. `names` are the variables that it reads."""

    __slots__ = ("_expression", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._expression = _compiled(text)
        self.names: Sequence[str] = names(text)

    def __repr__(self) -> str:
        return f"<Condition {self.text!r}>"

    def holds(self, facts: Facts) -> bool | None:
        """Return whether it is true of a call; None where that cannot be said, as of a tag that the call lacks."""
        value = self._expression.eval(data=facts.variables(self.names)).value()
        return value if isinstance(value, bool) else None


class Rule:
    """A rule of the configuration, ready to be asked."""

    __slots__ = ("condition", "require", "use")

    def __init__(self, declared: schema.RoutingRule) -> None:
        self.condition = Condition(declared.when)
        self.use = declared.use
        self.require = declared.require

    def __repr__(self) -> str:
        return f"<Rule {self.condition.text!r}>"


def names(text: str) -> list[str]:
    """Return the variables that an expression may read."""
    return [name for name in dict.fromkeys(_WORD.findall(_STRINGS.sub('""', text))) if name in TYPES]


def unscored(condition: Condition, *, scored: bool) -> str | None:
    """Return why a rule cannot be used that reads `complexity`, where no scorer can be asked; None where it can."""
    if scored or "complexity" not in condition.names:
        return None
    return (
        f"{condition.text!r} reads `complexity`, and there is no scorer to ask: "
        "set `routing.complexity.scorer`, or `complexity.scorer` of the model"
    )


def wrong_rules(config: schema.Config) -> list[tuple[tuple[str | int, ...], str]]:
    """Return where a configuration has expressions that cannot be used, and why."""
    general = config.routing.complexity.scorer is not None
    some = general or any(model.complexity.scorer is not None for model in config.models.values())
    ruled: list[tuple[tuple[str | int, ...], schema.RoutingRule, bool]] = [
        (("routing", "rules", index, "when"), rule, some) for index, rule in enumerate(config.routing.rules)
    ]
    for name, model in config.models.items():
        scored = general or model.complexity.scorer is not None
        ruled += [(("models", name, "rules", index, "when"), rule, scored) for index, rule in enumerate(model.rules)]
    wrong: list[tuple[tuple[str | int, ...], str]] = []
    for path, rule, scored in ruled:
        try:
            why = unscored(Condition(rule.when), scored=scored)
        except BadExpression as error:
            why = error.message
        if why is not None:
            wrong.append((path, why))
    return wrong


@cache
def _environment() -> _Environment:
    try:
        cel = import_module("cel_expr_python.cel")
    except ImportError:
        raise BadExpression("rules need the package cel-expr-python, which is not installed here") from None
    kinds = {
        "bool": cel.Type.BOOL,
        "double": cel.Type.DOUBLE,
        "int": cel.Type.INT,
        "string": cel.Type.STRING,
        "map": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    }
    return cast(_Environment, cel.NewEnv(variables={name: kinds[kind] for name, kind in TYPES.items()}))


def _compiled(text: str) -> _Expression:
    environment = _environment()
    try:
        expression = environment.compile(text)
    except RuntimeError as error:
        found = _WHERE.search(str(error))
        if found is None:
            raise BadExpression(f"{text!r} is not an expression") from None
        line, column, why = found.groups()
        place = f"at {column}" if line == "1" else f"in line {line} at {column}"
        raise BadExpression(f"{text!r}, {place}: {why.strip()}") from None
    kind = expression.return_type().name()
    if kind != "BOOL":
        raise BadExpression(f"{text!r} is not true or false, but of the type {kind.lower()}")
    return expression
