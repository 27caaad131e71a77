"""A PostgreSQL of the tests' own: a cluster in a temporary directory, reached over a unix socket, as no root."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from portico.store.engine import make_engine
from portico.store.migrate import upgrade

COMMON = "listen_addresses= fsync=off synchronous_commit=off max_connections=30 shared_buffers=64MB"


def programs() -> Path | None:
    """Return where initdb and postgres are."""
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


class Cluster:
    """A server that can be stopped and started again."""

    def __init__(self, bin_: Path, directory: Path) -> None:
        self.bin = bin_
        self.directory = directory
        self.data = directory / "data"
        self.user: str | None = None
        if os.getuid() == 0:
            self.user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
            assert self.user is not None
            shutil.chown(directory, self.user)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N", "--no-instructions")
        self._server: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._template: str | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = [part for option in COMMON.split() for part in ("-c", option)]
        self._server = subprocess.Popen(
            [self.bin / "postgres", "-D", self.data, "-k", self.directory, *options],
            user=self.user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
        )
        until = time.monotonic() + 30
        while True:
            try:
                self._sql("SELECT 1")
            except psycopg.OperationalError:
                assert self._server.poll() is None, "PostgreSQL has ended"
                assert time.monotonic() < until, "PostgreSQL does not answer"
                time.sleep(0.05)  # it has no other way to say that it is there
            else:
                return

    def stop(self) -> None:
        """Stop at once; whoever is connected is cut off."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()
            self._server = None

    @property
    def stopped(self) -> bool:
        """Whether it does not run."""
        return self._server is None

    def database(self, like: str = "template1") -> str:
        """Make a database, empty or as another is; return its URL."""
        self._made += 1
        name = f"portico_{self._made}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {like}")
        return self._url(name)

    def migrated(self) -> str:
        """Make a database with the newest schema; return its URL."""
        if self._template is None:
            self._template = "portico_template"
            self._sql(f"CREATE DATABASE {self._template}")
            engine = make_engine(self._url(self._template))
            upgrade(engine)
            engine.dispose()
        return self.database(self._template)

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(str(self.directory))}"

    def _sql(self, statement: str) -> None:
        with psycopg.connect(host=str(self.directory), user="postgres", dbname="postgres", autocommit=True) as asked:
            asked.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.bin / program, *arguments], user=self.user, capture_output=True, text=True, cwd=self.directory
        )
        assert done.returncode == 0, done.stderr


def _exists(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running cluster."""
    bin_ = programs()
    if bin_ is None:
        pytest.skip("postgresql is not installed: the store on PostgreSQL is not tested (tests/install.sh installs it)")
    # a short path: a unix socket's holds 107 bytes; and one that another user may enter
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    directory.chmod(0o755)
    cluster = Cluster(bin_, directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)
