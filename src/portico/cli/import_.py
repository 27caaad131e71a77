"""`portico import`: other gateways' configurations, as one of Portico's."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from portico.cli.check import described, plain
from portico.config import files, litellm
from portico.config.problems import Place, Problem, Report
from portico.providers.catalog import CATALOG


@click.group()
def command() -> None:
    """Convert another gateway's configuration."""


@command.command("litellm")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Write the new configuration here, not to stdout."
)
@click.option("--force", is_flag=True, help="Overwrite the output file.")
@click.option("--json", "as_json", is_flag=True, help="Print what became of every value as JSON, on stdout.")
def from_litellm(file: str, output: str | None, *, force: bool, as_json: bool) -> None:
    """Convert litellm's FILE, and list whatever is not carried over.

    The new configuration goes to stdout or --output, the list to stderr, and into the head of the new file. Keys from
    the environment stay there; a key that stands in FILE will stand in the new one. `portico serve --config FILE` takes
    litellm's file as it is, too.
    """
    report = Report()
    document = files.read(file, report)
    if document is None:
        _refuse(report.errors)
    if not litellm.recognised(document):
        message = "this is not a litellm configuration: it has no `model_list`"
        _refuse([Problem(place=Place(file), path="", message=message)])
    imported = litellm.convert(document, file, os.environ, report, CATALOG)
    if report.errors:
        _refuse(report.errors)
    text = litellm.render(imported)
    if output is not None:
        _write(Path(output), text, force=force)
    if as_json:
        carried = [{"from": spelled_from, "to": to} for spelled_from, to in imported.moves()]
        data = {"files": imported.files, "carried": carried, "left_out": plain(imported.left_out)}
        click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
    elif output is None:
        click.echo(text, nl=False)
    if imported.left_out and not as_json:
        click.echo(f"portico: not carried over, or worth a look ({len(imported.left_out)}):", err=True)
        for problem in imported.left_out:
            click.echo(f"  {problem}", err=True)


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write a file that only its owner may read: keys may stand in it."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise click.UsageError(f"{str(path)!r} exists; --force overwrites it") from None
    except OSError as error:
        raise click.ClickException(f"{str(path)!r} cannot be written: {error.strerror}") from None


def _refuse(problems: list[Problem]) -> NoReturn:
    click.echo(described(problems), err=True)
    sys.exit(1)
