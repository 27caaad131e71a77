"""Budgets that litellm's settings declare: of all calls, of each end user, and of providers."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from portico.config.document import Node, Scalar, Series, Table
from portico.config.litellm.ledger import Draft, Ledger
from portico.config.litellm.prefixes import ROWS
from portico.config.litellm.values import Values, decimal_text
from portico.config.problems import Path

_DURATION: Final = re.compile(r"[1-9][0-9]{0,5}[smhd]")
_PERIODS: Final = {"1mo": "month", "1w": "week", "daily": "day", "weekly": "week", "monthly": "month"}
_LIMITS: Final = ("budget_limit", "max_budget")
_TIMES: Final = ("time_period", "budget_duration")


def carry_budgets(
    sections: Mapping[str, Table], named: Mapping[str, Sequence[str]], values: Values, ledger: Ledger, draft: Draft
) -> None:
    """Draft the budgets. `named` are the names that providers have been given, by their row of the catalog."""
    found: list[Draft] = []
    settings, router = sections["litellm_settings"], sections["router_settings"]
    whole = _budget(settings, ("litellm_settings",), ("max_budget",), ("budget_duration",), values, ledger)
    if whole is not None:
        found.append(whole)
    each = _budget(settings, ("litellm_settings",), ("max_end_user_budget",), (), values, ledger)
    if each is not None:
        each.rows["each"] = [Scalar("customer", each.place)]
        found.append(each)
    providers = router.rows.get("provider_budget_config")
    for name, node in (providers.rows if isinstance(providers, Table) else {}).items():
        path: Path = ("router_settings", "provider_budget_config", name)
        theirs = named.get(ROWS[name].name if name in ROWS else name, ())
        if not theirs or not isinstance(node, Table):
            ledger.leave(path, "no provider here is called so" if not theirs else "it is not a table")
            continue
        one = _budget(node, path, _LIMITS, _TIMES, values, ledger)
        if one is not None:
            one.table("for").rows["provider"] = [Scalar(own, one.place) for own in theirs]
            found.append(one)
    if found:
        draft.rows["budgets"] = found


def _budget(
    table: Table, at: Path, limits: Sequence[str], times: Sequence[str], values: Values, ledger: Ledger
) -> Draft | None:
    """Return a budget of these members of a table; None where there is none, which the ledger has if it was meant."""
    limit = next((name for name in limits if name in table.rows), None)
    if limit is None:
        return None
    node, path = table.rows[limit], (*at, limit)
    usd = values.number(node)
    if usd is None or usd > 10**9:
        ledger.leave(path, "it is not an amount in dollars")
        return None
    if usd == 0:
        ledger.leave(path, "litellm takes 0 for no budget")
        return None
    made = Draft(node.place)
    made.rows["usd"] = Scalar(decimal_text(Decimal(usd)), node.place, plain=True)
    ledger.carry(path, ("budgets",))
    time = next((name for name in times if name in table.rows), None)
    if time is not None:
        per = _per(table.rows[time], values)
        if per is None:
            ledger.leave((*at, time), "it is not a duration such as `30d` or `1mo`; the budget holds for ever")
        else:
            made.rows["per"] = Scalar(per, table.rows[time].place)
            ledger.carry((*at, time), ("budgets",))
    return made


def _per(node: Node, values: Values) -> str | None:
    text = values.known(node) if not isinstance(node, Series | Table) else None
    if text is None or text in _PERIODS:
        return _PERIODS.get(text or "")
    return text if _DURATION.fullmatch(text) else None
