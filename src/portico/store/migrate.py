"""Bringing the schema of a store from one version to another, by the migrations in this package.

Their files are numbered (`0001_calls.py`), and each number is a revision. A store that is up to date is told at once,
without loading what migrates.
"""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, inspect, text

from portico.errors import ConfigError
from portico.store.engine import make_engine, writing

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x706F7274
"""The advisory lock of PostgreSQL under which one of several starts migrates."""


def revisions() -> list[str]:
    """Return the revisions there are, oldest first."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def revision(connection: Connection) -> str | None:
    """Return the revision of a store; None for one that is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine, to: str | None = None, *, apart: bool = False) -> None:
    """Bring a store to a revision, or the newest. Raises ConfigError for a store of a newer Portico.

    `apart` has a process of its own do it, where that can reach the store: what migrates is needed once, and would stay
    in the memory of this one, some 12 MB.
    """
    known = revisions()
    wanted = to or known[-1]
    with engine.connect() as connection:
        found = revision(connection)
    if found == wanted:
        return
    if found is not None and found not in known:
        raise ConfigError(
            f"the store is at revision {found!r}, which this Portico does not know (its newest is {known[-1]!r}): "
            "a newer one has used it. Use that one, or a backup."
        )
    if not (apart and engine.url.database not in (None, "", ":memory:") and _upgraded_apart(engine.url, wanted)):
        _run(engine, "upgrade", wanted)  # which says what is wrong, where it cannot be done


def downgrade(engine: Engine, to: str) -> None:
    """Take a store back to an earlier revision, or to `base`: nothing. What only the later ones hold is lost."""
    _run(engine, "downgrade", to)


def _run(engine: Engine, direction: str, to: str) -> None:
    from alembic import command

    config = _config()
    with writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config.attributes["connection"] = connection
        getattr(command, direction)(config, to)


def _upgraded_apart(url: URL, to: str) -> bool:
    """Return whether a process of its own could bring a store to a revision."""
    given = f"{url.render_as_string(hide_password=False)}\n{to}"  # there may be a password: it is on no command line
    command = [sys.executable, "-P", "-m", __name__]
    return not subprocess.run(command, input=given.encode(), capture_output=True, check=False).returncode  # noqa: S603  # ourselves


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


if __name__ == "__main__":
    upgrade(make_engine(sys.stdin.readline().rstrip("\n")), sys.stdin.readline())
