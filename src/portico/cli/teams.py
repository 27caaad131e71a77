"""`portico teams`: make, list and remove teams, and say who is in them."""

from typing import Any

import click

from portico.cli.admin_client import AdminClient, part
from portico.cli.admin_show import as_json, bounds, field, how_many, parsed_bounds, show_json, table, talks

COLUMNS = (
    ("ID", field("id")),
    ("NAME", field("name")),
    ("ORG", field("org")),
    ("MODELS", field("models")),
    ("STATE", lambda item: "blocked" if item["blocked"] else ""),
    ("BOUNDS", bounds),
    ("FROM", lambda item: "file" if item["source"] == "configuration" else ""),
)
MEMBERS = (("USER", field("user")), ("ROLE", field("role")), ("BOUNDS", bounds))


@click.group()
def command() -> None:
    """Teams, whose keys share limits and budgets.

    \b
      portico teams create core --budget 500usd/month
      portico teams add core anna --budget 20usd/month
    """


@command.command("list")
@how_many
@as_json
@talks
def list_(api: AdminClient, limit: int, *, as_json: bool) -> None:
    """List teams."""
    found = api.pages("teams", limit)
    if as_json:
        show_json(found)
    else:
        table(found, COLUMNS, "There are no teams. `portico teams create` makes one.")


@command.command()
@click.argument("team_id")
@click.option("--name", default="", help="For people.")
@click.option("--org", help="The organization that it belongs to.")
@click.option("--model", "models", multiple=True, help="A model or pattern that its keys may call; several times.")
@click.option("--limit", "limits", multiple=True, help="600requests/minute; several times.")
@click.option("--budget", "budgets", multiple=True, help="500usd/month; several times.")
@as_json
@talks
def create(
    api: AdminClient,
    team_id: str,
    name: str,
    org: str | None,
    models: tuple[str, ...],
    limits: tuple[str, ...],
    budgets: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Make a team."""
    fields: dict[str, Any] = {"id": team_id, "name": name, "org": org, "models": models}
    fields |= {"limits": parsed_bounds(limits, "--limit"), "budgets": parsed_bounds(budgets, "--budget")}
    made = api("POST", "teams", {name: value for name, value in fields.items() if value})
    if as_json:
        show_json(made)
    else:
        click.echo(made["id"])


@command.command()
@click.argument("team_id")
@how_many
@as_json
@talks
def members(api: AdminClient, team_id: str, limit: int, *, as_json: bool) -> None:
    """List the members of a team."""
    found = api.pages(f"teams/{part(team_id)}/members", limit)
    if as_json:
        show_json(found)
    else:
        table(found, MEMBERS, "Nobody is in this team.")


@command.command()
@click.argument("team_id")
@click.argument("user_id")
@click.option("--role", type=click.Choice(["team_admin", "member", "viewer"]), default="member", show_default=True)
@click.option("--budget", "budgets", multiple=True, help="20usd/month, in place of what the team gives its members.")
@talks
def add(api: AdminClient, team_id: str, user_id: str, role: str, budgets: tuple[str, ...]) -> None:
    """Let a user join a team."""
    fields: dict[str, Any] = {"user": user_id, "role": role, "budgets": parsed_bounds(budgets, "--budget")}
    api("POST", f"teams/{part(team_id)}/members", {name: value for name, value in fields.items() if value})
    click.echo(f"{user_id} is in {team_id}")


@command.command()
@click.argument("team_id")
@click.confirmation_option(prompt="Remove the team?")
@talks
def delete(api: AdminClient, team_id: str) -> None:
    """Remove a team that has no keys and members any more."""
    api("DELETE", f"teams/{part(team_id)}")
    click.echo(f"{team_id} is gone")
