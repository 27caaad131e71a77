"""`portico config`: what may be configured, and what is."""

import os
import sys
from importlib.resources import files

import click
import msgspec

from portico.cli.check import described, named
from portico.config.problems import RejectedConfigError


@click.group()
def command() -> None:
    """Show what may be configured, and what is."""


@command.command()
def schema() -> None:
    """Print the JSON Schema of a configuration, for editors.

    \b
      portico config schema > portico.schema.json
      # and at the top of portico.yaml, for editors that follow it:
      # yaml-language-server: $schema=portico.schema.json
    """
    from portico.config import editor

    click.echo(msgspec.json.format(msgspec.json.encode(editor.schema()), indent=2).decode())


@command.command()
def example() -> None:
    """Print an example of a whole configuration."""
    click.echo(files("portico.config").joinpath("example.yaml").read_text(encoding="utf-8"), nl=False)


@command.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--all", "everything", is_flag=True, help="Defaults too, not only what the file says.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
def show(file: str | None, *, everything: bool, as_json: bool) -> None:
    """Show what a configuration means.

    It is that in FILE (portico.yaml). Files are included, variables put in, short forms written out; secrets are
    shown as `***`.
    """
    from portico.config.handover import redacted
    from portico.config.load import load

    try:
        loaded = load(named(file), os.environ)
    except RejectedConfigError as error:
        click.echo(described(error.problems), err=True)
        sys.exit(1)
    data = redacted(loaded.config, defaults=everything)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
    else:
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
