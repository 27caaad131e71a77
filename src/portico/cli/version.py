"""`portico version`: which Portico, which Python, which machine; for a bug report."""

import json
import platform
import sys

import click

from portico import __version__


@click.command(name="version")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(*, as_json: bool) -> None:
    """Say which version this is."""
    facts = {
        "portico": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"portico {facts['portico']} (Python {facts['python']}, {facts['platform']}, {sys.executable})")
