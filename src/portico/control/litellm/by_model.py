"""LiteLLM's bounds of a key, a team or a user for one model: `model_max_budget`, `model_rpm_limit`, `model_tpm_limit`.

Here they are rules of their own, each for the calls of its holder for a model, by the name that is asked for. Their ids
say whose they are, so that they are found by the holder, are replaced when they are said anew, and go with it.
"""

import hashlib
from collections.abc import Iterator
from typing import Final, Literal, cast

from portico.control.admin import Change, Look
from portico.control.checks import check
from portico.control.litellm.fields import Plain, bounds, duration
from portico.control.objects import make, remove
from portico.control.problems import BadRequest
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import BudgetRule, LimitRule

Holder = Literal["key", "team", "user"]
FIELDS: Final = ("model_max_budget", "model_rpm_limit", "model_tpm_limit")
MOST: Final = 100
"""Models that one holder has bounds of its own for."""

_COUNTS: Final = {"model_rpm_limit": "rpm_limit", "model_tpm_limit": "tpm_limit"}
_KINDS: Final = {"model_max_budget": "budget", "model_rpm_limit": "limit", "model_tpm_limit": "limit"}


def apart(said: Plain) -> tuple[Plain, Plain]:
    """Return what is said of a holder, and of single models."""
    own = {name: value for name, value in said.items() if name not in FIELDS}
    return own, {name: said[name] or {} for name in FIELDS if name in said}


def bind(change: Change, holder: Holder, id: str, wanted: Plain) -> None:  # noqa: A002  # the word of every API
    """Put bounds for models in the place of those that a holder has, as far as they are said.

    Raises BadRequest; Forbidden for who could not have made them: a member could take away what its team had set.
    """
    for name, models in wanted.items():
        if not isinstance(models, dict) or len(models) > MOST:
            raise BadRequest(f"{name!r} is an object of at most {MOST} models", param=name)
        kind = KINDS[_KINDS[name]]
        for rule in list(_rules(change, holder, id, name)):
            check(change, kind, rule, rule)
            remove(change, kind, rule)
        for model, bound in models.items():
            limits, budgets = bounds(_bound(name, bound))
            if not limits and not budgets:
                continue
            entry = (limits or budgets)[0]
            scope = {holder: [id], "model": [model]}
            make(change, kind, {"id": _prefix(holder, id, name) + _digest(model), "for": scope, **entry})


def free(change: Change, holder: Holder, id: str) -> None:  # noqa: A002
    """Take away the bounds for models of a holder that is gone."""
    for name in FIELDS:
        for rule in list(_rules(change, holder, id, name)):
            remove(change, KINDS[_KINDS[name]], rule)


def by_model(look: Look, holder: Holder, id: str) -> Plain:  # noqa: A002
    """Return a holder's bounds for models in LiteLLM's words."""
    found: Plain = {}
    for name in FIELDS:
        told = found[name] = {}
        for rule in _rules(look, holder, id, name):
            (model,) = rule.to["model"]
            if isinstance(rule, BudgetRule):
                told[model] = {"budget_limit": rule.usd, "time_period": duration(rule.per)}
            else:
                told[model] = rule.requests if name == "model_rpm_limit" else rule.tokens
    return found


def _bound(name: str, bound: object) -> Plain:
    """Return one model's bound in the words for a holder's own. Raises BadRequest."""
    if name in _COUNTS:
        return {_COUNTS[name]: bound}
    if not isinstance(bound, dict):
        raise BadRequest(f"{name!r} has an object with `budget_limit` for each model", param=name)
    said = dict(bound)
    usd = said.pop("budget_limit", said.pop("max_budget", None))
    per = said.pop("time_period", said.pop("budget_duration", None))
    left = sorted(other for other, value in said.items() if value is not None)
    if left:
        raise BadRequest(f"{name!r} has `budget_limit` and `time_period`: not {left[0]!r}", param=name)
    if per is not None and not isinstance(per, str):
        raise BadRequest("`time_period` is a duration such as `30d`", param=name)
    return {"max_budget": usd, "budget_duration": per}


def _rules(look: Look, holder: Holder, id: str, name: str) -> Iterator[BudgetRule | LimitRule]:  # noqa: A002
    prefix = _prefix(holder, id, name)
    for rule in rows.page(look.db, KINDS[_KINDS[name]], {}, prefix, MOST):
        if not rule.id.startswith(prefix):
            return
        yield cast("BudgetRule | LimitRule", rule)


def _prefix(holder: Holder, id: str, name: str) -> str:  # noqa: A002
    return f"litellm:{_digest(f'{holder} {id}')}:{name}:"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
