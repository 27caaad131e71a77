"""`portico audit`: who changed what, and whether the chain of changes holds."""

import sys

import click

from portico.cli.admin_client import AdminClient
from portico.cli.admin_show import as_json, field, how_many, show_json, table, talks, when

COLUMNS = (
    ("NO", field("seq")),
    ("TIME (UTC)", when("at")),
    ("WHO", field("actor")),
    ("DID", field("action")),
    ("WHAT", field("kind")),
    ("WHICH", field("object")),
)


@click.group()
def command() -> None:
    """Changes of keys, teams and all the rest, newest first; each with what was before and after."""


@command.command("list")
@click.option("--kind", help="Changes of this kind of object: key, team, budget …")
@click.option("--object", "object_", help="Changes of this object, by its id.")
@how_many
@as_json
@talks
def list_(api: AdminClient, kind: str | None, object_: str | None, limit: int, *, as_json: bool) -> None:
    """List changes."""
    found = api.pages("audit", limit, kind=kind, object=object_)
    if as_json:
        show_json(found)
    else:
        table(found, COLUMNS, "Nothing was changed.")


@command.command()
@as_json
@talks
def verify(api: AdminClient, *, as_json: bool) -> None:
    """Recompute the chain of changes; exit 1 where it is broken."""
    found = api("GET", "audit/verify")
    if as_json:
        show_json(found)
    elif found["sound"]:
        click.echo(f"{found['changes']} changes, and the chain holds")
    else:
        click.echo(f"the chain breaks at change {found['broken_at']}: {found['why']}", err=True)
    if not found["sound"]:
        sys.exit(1)
