"""`portico budgets`: budgets of their own, and how far those of somebody are used up."""

from typing import Any

import click

from portico.cli.admin_client import AdminClient, part
from portico.cli.admin_show import as_json, bounds, field, how_many, parsed_bounds, show_json, table, talks
from portico.cli.keys import USAGE

COLUMNS = (
    ("ID", field("id")),
    ("FOR", lambda item: " ".join(f"{name}={'|'.join(values)}" for name, values in item["for"].items()) or "all"),
    ("EACH", field("each")),
    ("BUDGET", lambda item: bounds({"budgets": [item]})),
    ("MODE", field("mode")),
    ("FROM", lambda item: "file" if item["source"] == "configuration" else ""),
)
KINDS = ("key", "team", "user", "customer", "organization", "tag")


@click.group()
def command() -> None:
    """Budgets: over all calls or some, and how far they are used up.

    \b
      portico budgets create 2usd/day --for team=core --each customer
      portico budgets usage team core
    """


@command.command("list")
@how_many
@as_json
@talks
def list_(api: AdminClient, limit: int, *, as_json: bool) -> None:
    """List budgets of their own.

    Those of keys and teams are shown with them.
    """
    found = api.pages("budgets", limit)
    if as_json:
        show_json(found)
    else:
        table(found, COLUMNS, "There are no budgets of their own.")


@command.command()
@click.argument("amount")
@click.option("--for", "selected", multiple=True, help="team=core, model=openai/*; several times. None: all calls.")
@click.option("--each", multiple=True, help="Count apart what differs here: customer, user, key …; several times.")
@click.option("--zone", default="UTC", show_default=True, help="The time zone whose calendar counts.")
@click.option("--rolling", is_flag=True, help="Count back from now rather than by the calendar.")
@click.option("--mode", type=click.Choice(["hard", "clamp", "soft"]), default="hard", show_default=True)
@as_json
@talks
def create(
    api: AdminClient,
    amount: str,
    selected: tuple[str, ...],
    each: tuple[str, ...],
    zone: str,
    mode: str,
    *,
    rolling: bool,
    as_json: bool,
) -> None:
    """Make a budget of AMOUNT: 10usd/month, 100000tokens/day.

    Without a period it is for good: 500usd is never renewed.
    """
    chosen: dict[str, list[str]] = {}
    for text in selected:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise click.BadParameter(f"{text!r} is not name=value", param_hint="'--for'")
        chosen.setdefault(name, []).append(value)
    fields: dict[str, Any] = {**parsed_bounds([amount], "AMOUNT")[0], "for": chosen, "each": each}
    made = api("POST", "budgets", {**fields, "zone": zone, "mode": mode, "rolling": rolling})
    if as_json:
        show_json(made)
    else:
        click.echo(made["id"])


@command.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("id_", metavar="ID")
@as_json
@talks
def usage(api: AdminClient, kind: str, id_: str, *, as_json: bool) -> None:
    """Show what bounds somebody, and what is used of it."""
    found = api("GET", f"{kind}s/{part(id_)}/usage")["items"]
    if as_json:
        show_json(found)
    else:
        table(found, USAGE, "Nothing bounds these calls.")


@command.command()
@click.argument("budget_id")
@click.confirmation_option(prompt="Remove the budget?")
@talks
def delete(api: AdminClient, budget_id: str) -> None:
    """Remove a budget of its own."""
    api("DELETE", f"budgets/{part(budget_id)}")
    click.echo(f"{budget_id} is gone")
