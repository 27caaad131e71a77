"""`portico spend`: what calls used and cost, by team, key, model … or over time."""

from typing import Any

import click

from portico.cli.admin_client import AdminClient
from portico.cli.admin_show import Column, as_json, dollars, field, show_json, table, talks, when

DIMENSIONS = (
    "org", "team", "user", "key", "customer", "tag", "model", "target", "provider", "operation", "status", "arm"
)  # fmt: skip


def _count(name: str) -> Any:
    return lambda item: f"{item[name]:,}" if item[name] else ""


SUMS: tuple[Column, ...] = (
    ("CALLS", _count("requests")),
    ("ERRORS", _count("errors")),
    ("TOKENS IN", _count("input_tokens")),
    ("TOKENS OUT", _count("output_tokens")),
    ("UNPRICED", _count("unpriced")),
    ("COST", lambda item: dollars(item["cost_nano_usd"])),
    ("BILLED", lambda item: dollars(item["billed_nano_usd"])),
)


@click.command()
@click.option("--by", type=click.Choice(DIMENSIONS), help="Broken down by this.")
@click.option("--per", type=click.Choice(["minute", "hour", "day", "month"]), help="Over time.")
@click.option("--of", metavar="DIMENSION=VALUE", help="Of the calls of one: team=core.")
@click.option("--since", help="From then on: 2026-12-01T00:00:00Z; by default the last 30 days.")
@click.option("--until", help="Up to then.")
@as_json
@talks
def command(
    api: AdminClient,
    by: str | None,
    per: str | None,
    of: str | None,
    since: str | None,
    until: str | None,
    *,
    as_json: bool,
) -> None:
    """Sum up what calls used, what they cost, and what is billed on for them with the markups of teams and customers.

    Calls whose price nobody knows are counted as unpriced, never as free.

    \b
      portico spend --by team
      portico spend --of team=core --by model --since 2026-12-01T00:00:00Z
    """
    dimension, equals, value = (of or "").partition("=")
    if of and not (equals and dimension in DIMENSIONS and value):
        raise click.BadParameter(f"{of!r} is not such as team=core", param_hint="'--of'")
    query = {"by": by, "per": per, "of": dimension or None, "value": value or None, "since": since, "until": until}
    found = api("GET", "spend", **query)
    if as_json:
        show_json(found)
        return
    nothing = "No call was recorded in that time."
    if by:
        table(found["by"], ((by.upper(), field("value")), *SUMS), nothing)
    if per:
        table(found["per"], (("FROM (UTC)", when("start")), *SUMS), nothing)
    if not by and not per:
        table([found["total"]] if any(found["total"].values()) else [], SUMS, nothing)  # a job is no call, and costs
