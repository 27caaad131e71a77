"""`portico version`: which Portico, which Python, which machine; for a bug report."""

import importlib.util
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
        "compiled": _compiled(),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    how = ", compiled" if facts["compiled"] else ""
    click.echo(f"portico {facts['portico']}{how} (Python {facts['python']}, {facts['platform']}, {sys.executable})")


def _compiled() -> bool:
    """Return whether the way of a call is a library that was compiled from the source, and not the source itself."""
    found = importlib.util.find_spec("portico.call")
    return found is not None and not str(found.origin).endswith(".py")
