"""`portico keys`: make, list, renew, block and remove the keys that callers hold."""

from typing import Any

import click

from portico.cli.admin_client import AdminClient, part
from portico.cli.admin_show import (
    as_json,
    bounds,
    counted,
    field,
    how_many,
    parsed_bounds,
    show_json,
    table,
    talks,
    when,
)

COLUMNS = (
    ("ID", field("id")),
    ("NAME", field("name")),
    ("KEY", field("prefix")),
    ("TEAM", field("team")),
    ("USER", field("user")),
    ("ROLE", field("role")),
    ("STATE", lambda item: "blocked" if item["blocked"] else ""),
    ("EXPIRES", when("expires")),
    ("BOUNDS", bounds),
    ("FROM", lambda item: "file" if item["source"] == "configuration" else ""),
)


@click.group()
def command() -> None:
    """Keys that callers hold.

    \b
      portico keys create --name web --team core --budget 10usd/month
      portico keys list --team core
      portico keys rotate key_… --grace 1h
    """


@command.command("list")
@click.option("--team", help="Keys of this team.")
@click.option("--user", help="Keys of this user.")
@how_many
@as_json
@talks
def list_(api: AdminClient, team: str | None, user: str | None, limit: int, *, as_json: bool) -> None:
    """List keys."""
    found = api.pages("keys", limit, team=team, user=user)
    if as_json:
        show_json(found)
    else:
        table(found, COLUMNS, "There are no keys. `portico keys create` makes one.")


@command.command()
@click.option("--name", default="", help="For people.")
@click.option("--team", help="The team whose bounds it shares.")
@click.option("--user", help="The user whose bounds it shares.")
@click.option("--model", "models", multiple=True, help="A model or pattern that it may call; several times. None: all.")
@click.option(
    "--limit", "limits", multiple=True, help="100requests/minute, 50000tokens/hour, 5in_flight; several times."
)
@click.option("--budget", "budgets", multiple=True, help="10usd/month; several times.")
@click.option("--expires", help="When it stops to work: 2030-01-31T00:00:00Z.")
@click.option("--role", help="Let it use the admin API: owner, admin, team_admin, member, viewer or billing.")
@as_json
@talks
def create(
    api: AdminClient,
    name: str,
    team: str | None,
    user: str | None,
    models: tuple[str, ...],
    limits: tuple[str, ...],
    budgets: tuple[str, ...],
    expires: str | None,
    role: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a key. It is shown this once."""
    fields: dict[str, Any] = {"name": name, "team": team, "user": user, "models": models, "expires": expires}
    fields |= {"role": role, "limits": parsed_bounds(limits, "--limit"), "budgets": parsed_bounds(budgets, "--budget")}
    _shown(api("POST", "keys", {field: value for field, value in fields.items() if value}), as_json=as_json)


@command.command()
@click.argument("key_id")
@as_json
@talks
def show(api: AdminClient, key_id: str, *, as_json: bool) -> None:
    """Show a key and what it has used of its limits and budgets."""
    key = api("GET", f"keys/{part(key_id)}")
    usage = api("GET", f"keys/{part(key_id)}/usage")["items"]
    if as_json:
        show_json({**key, "usage": usage})
        return
    table([key], COLUMNS, "")
    if usage:
        click.echo()
        table(usage, USAGE, "")


USAGE = (
    ("RULE", field("rule")),
    ("USED", counted("used")),
    ("RESERVED", counted("reserved")),
    ("OF", counted("amount")),
    ("LEFT", counted("left")),
    ("MODE", field("mode")),
    ("RESETS", when("resets")),
)


@command.command()
@click.argument("key_id")
@click.option("--grace", default="0", help="How long the old one goes on to work: 1h, 7d.")
@as_json
@talks
def rotate(api: AdminClient, key_id: str, grace: str, *, as_json: bool) -> None:
    """Renew a key. The new one is shown this once."""
    from portico.config.units import duration

    try:
        seconds = duration(grace)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--grace'") from None
    _shown(api("POST", f"keys/{part(key_id)}/rotate", {"grace": seconds}), as_json=as_json)


@command.command()
@click.argument("key_id")
@talks
def block(api: AdminClient, key_id: str) -> None:
    """Refuse a key from its next use on."""
    api("POST", f"keys/{part(key_id)}/block")
    click.echo(f"{key_id} is blocked")


@command.command()
@click.argument("key_id")
@talks
def unblock(api: AdminClient, key_id: str) -> None:
    """Let a key work again."""
    api("POST", f"keys/{part(key_id)}/unblock")
    click.echo(f"{key_id} works again")


@command.command()
@click.argument("key_id")
@click.confirmation_option(prompt="A removed key cannot be brought back. Remove it?")
@talks
def delete(api: AdminClient, key_id: str) -> None:
    """Remove a key."""
    api("DELETE", f"keys/{part(key_id)}")
    click.echo(f"{key_id} is gone")


def _shown(key: Any, *, as_json: bool) -> None:
    if as_json:
        show_json(key)
        return
    click.echo(key["key"])
    click.echo(f"{key['id']}: keep the key, it is not shown again", err=True)
