"""`portico backup`: a copy of everything that is kept, made while calls are served."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import click

from portico.cli.admin_client import FAILED, WRONG, default_data_dir, leave


@click.command()
@click.argument("to", type=click.Path(path_type=Path))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The data directory [$PORTICO_DATA_DIR; ~/.local/share/portico].",
)
@click.option(
    "--store-with",
    metavar="COMMAND",
    help="How a store on PostgreSQL is backed up: a shell command, run while the journal is held.",
)
def command(to: Path, data_dir: Path | None, store_with: str | None) -> None:
    """Copy all that Portico keeps into the new directory TO, while it serves.

    \b
      portico backup /var/backups/portico/2026-11-20
      portico backup /var/backups/portico/2026-11-20 \\
        --store-with 'pg_dump --format=custom --file=portico.dump "$PORTICO_STORE_URL"'

    The copy has every call that had ended when it was begun, once, and who owns files and batches at providers. It has
    the secret by which keys are known, and the master key if it was made here: keep it as safe as the original.
    Variables of the environment are not in it, PORTICO_ENCRYPTION_KEY least of all. COMMAND runs in TO.

    Exit codes: 0 done; 1 failed, and TO is of no use; 2 it cannot be done that way.
    """
    from portico.errors import PorticoError
    from portico.store.backup import backup

    try:
        made = backup(data_dir or default_data_dir(), to.absolute(), _store(to, store_with))
    except PorticoError as error:
        leave(str(error), WRONG)
    except subprocess.CalledProcessError as error:
        leave(f"the store was not backed up: its command ended with {error.returncode}", FAILED)
    except OSError as error:
        leave(str(error), FAILED)
    store = "the store" if made.store else "what the command made of the store" if store_with else "no store yet"
    click.echo(f"{to}: {store}, {made.segments} segments of the journal")


def _store(to: Path, command: str | None) -> Path | Callable[[], None] | None:
    """Return how the store is backed up; None for the one in the data directory."""
    url = os.environ.get("PORTICO_STORE_URL")
    if command is not None:
        return lambda: _run(command, to)
    if url is None:
        return None
    from sqlalchemy.engine import make_url

    from portico.errors import ConfigError
    from portico.store.engine import make_engine

    make_engine(url).dispose()  # for what it says of a URL that is none
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise ConfigError(
            "the store is on PostgreSQL: say with --store-with by which command it is backed up, such as "
            "'pg_dump --format=custom --file=portico.dump \"$PORTICO_STORE_URL\"'"
        )
    return Path(parsed.database)


def _run(command: str, to: Path) -> None:
    subprocess.run(command, shell=True, cwd=to, check=True)  # noqa: S602  # the user's own, as it was typed
