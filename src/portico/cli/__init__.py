"""The `portico` command. A sub-command is imported when it is used, so that help is there at once."""

import importlib
from collections.abc import Mapping

import click

from portico import __version__

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("portico.cli.serve", "Serve: put Portico in front of your providers."),
    "check": ("portico.cli.check", "Check a configuration and say what is wrong, line by line."),
    "config": ("portico.cli.config_", "Show what may be configured, and what is."),
    "import": ("portico.cli.import_", "Convert another gateway's configuration."),
    "keys": ("portico.cli.keys", "Make, list, renew, block and remove keys."),
    "teams": ("portico.cli.teams", "Make, list and remove teams, and say who is in them."),
    "budgets": ("portico.cli.budgets", "Budgets, and how far they are used up."),
    "explain": ("portico.cli.explain", "Say where a call would go and why, without sending it."),
    "replay": ("portico.cli.replay", "Say what another configuration would have done with calls."),
    "logs": ("portico.cli.logs", "Show calls as they were recorded."),
    "jobs": ("portico.cli.jobs", "Show batches and other work that outlives its calls."),
    "spend": ("portico.cli.spend", "Sum up what calls used and cost."),
    "shadows": ("portico.cli.shadows", "Set copies of calls beside the calls that they are of."),
    "audit": ("portico.cli.audit", "Show who changed what, and check the chain of changes."),
    "backup": ("portico.cli.backup", "Copy all that Portico keeps, while it serves."),
    "restore": ("portico.cli.restore", "Put such a copy in the place of a data directory."),
    "models": ("portico.cli.models", "List known models with their prices and context sizes."),
    "complexity": ("portico.cli.complexity", "Train a scorer that tells which calls a small model does for."),
    "mock": ("portico.cli.mock", "Run a stand-in provider, to try things without a key."),
    "bench": ("portico.cli.bench", "Measure a running gateway, or Portico beside its peers."),
    "version": ("portico.cli.version", "Say which version this is."),
}
"""Each command: the module whose `command` it is, and its line in the help."""


class Commands(click.Group):
    """A group whose commands are known by name and loaded by use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="portico", message="%(prog)s %(version)s")
def portico() -> None:
    """Portico: one endpoint in front of every model provider.

    `portico serve` is all it takes to start. Exit codes: 0 done, 1 failed, 2 the command line or the configuration is
    wrong, 3 a port or directory is taken, 4 the admin API said no.
    """


def main() -> None:
    """Run the command line."""
    portico(prog_name="portico")
