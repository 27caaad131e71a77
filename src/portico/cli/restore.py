"""`portico restore`: a backup in the place of a data directory."""

from pathlib import Path

import click

from portico.cli.admin_client import FAILED, WRONG, default_data_dir, leave


@click.command()
@click.argument("copy", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The data directory [$PORTICO_DATA_DIR; ~/.local/share/portico].",
)
def command(copy: Path, data_dir: Path | None) -> None:
    """Put the backup COPY in the place of the data directory, which must be empty or not exist.

    \b
      portico restore /var/backups/portico/2026-11-20 --data-dir /var/lib/portico

    Then start Portico: it reads into the store what it had not read when the copy was made, and counts for each budget
    what its records say, before calls spend from it. A store on PostgreSQL is restored by PostgreSQL's own means first.
    """
    from portico.errors import PorticoError
    from portico.store.backup import restore

    where = data_dir or default_data_dir()
    try:
        made = restore(copy.absolute(), where)
    except PorticoError as error:
        leave(str(error), WRONG)
    except OSError as error:
        leave(str(error), FAILED)
    click.echo(f"{where}: {made.segments} segments of the journal" + (", and the store" if made.store else ""))
