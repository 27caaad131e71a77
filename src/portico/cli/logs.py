"""`portico logs`: calls as they were recorded, newest first."""

from datetime import UTC, datetime
from typing import Any

import click

from portico.cli.admin_client import AdminClient, part
from portico.cli.admin_show import as_json, dollars, field, how_many, show_json, table, talks
from portico.config.rates import TOKEN_RATES


def _at(item: Any) -> str:
    return datetime.fromtimestamp(item["time_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _tokens(item: Any) -> str:
    usage = item.get("usage") or {}
    counted = [usage[name] for name in TOKEN_RATES if name in usage]
    return f"{sum(counted):,}" if counted else ""


COLUMNS = (
    ("TIME (UTC)", _at),
    ("STATUS", field("status")),
    ("KEY", field("key")),
    ("MODEL", field("model")),
    ("TARGET", field("target")),
    ("TOKENS", _tokens),
    ("COST", lambda item: dollars(item.get("cost_nano_usd"))),
    ("MS", lambda item: f"{item['total_us'] / 1000:.0f}"),
    ("ERROR", field("error")),
    ("ID", field("id")),
)


@click.command()
@click.argument("call_id", required=False)
@click.option("--of-key", help="Calls of this key, by its id.")
@click.option("--team", help="Calls of this team.")
@click.option("--user", help="Calls of this user.")
@click.option("--customer", help="Calls for this end user.")
@click.option("--model", help="Calls that asked for this model.")
@click.option("--arm", help="Calls that a split gave this side.")
@click.option("--status", type=int, help="Calls that were answered with this status.")
@click.option("--error", help="Calls that ended with this error.")
@click.option("--since", help="Calls from then on: 2026-12-01T00:00:00Z.")
@how_many
@as_json
@talks
def command(api: AdminClient, /, call_id: str | None, limit: int, *, as_json: bool, **filters: Any) -> None:
    """Show calls, or why the one with CALL_ID went as it did.

    \b
      portico logs --team core --status 429
      portico logs 0199…
    """
    if call_id is not None:
        show_json(api("GET", f"records/{part(call_id)}/explain"))
        return
    filters["key"] = filters.pop("of_key")
    found = api.pages("records", limit, **filters)
    if as_json:
        show_json(found)
    else:
        table(found, COLUMNS, "No call is recorded that fits.")
