"""The admin API of an installation, put together when it is first needed: the store opened, state seen to."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from portico.config.schema import Config
from portico.control.admin import Admin
from portico.control.repricing import go_on
from portico.control.state import OnState
from portico.secret import installation_secret
from portico.store.engine import make_engine
from portico.store.entities.sealing import sealer
from portico.store.migrate import upgrade

STORE = "PORTICO_STORE_URL"


def store_url(data_dir: Path, environ: Mapping[str, str]) -> str:
    """Return where the store is: as the environment says, or on SQLite in the data directory."""
    return environ.get(STORE) or f"sqlite:///{data_dir.absolute() / 'portico.db'}"


def open_admin(data_dir: Path, config: Config, environ: Mapping[str, str] = os.environ) -> Admin:
    """Return the admin of an installation, its store at the newest schema and its state filled. Raises ConfigError."""
    secret = installation_secret(data_dir)
    engine = make_engine(store_url(data_dir, environ))
    upgrade(engine, apart=True)
    state = OnState(data_dir, config)
    admin = Admin(
        engine,
        config=config,
        secret=secret,
        sealer=sealer(environ, secret),
        now_ms=lambda: time.time_ns() // 1_000_000,
        snapshot=state,
        counters=state.counters,
        data_dir=data_dir,
        rests=data_dir / "state" / "rests",
    )
    admin.start()
    threading.Thread(target=go_on, args=[admin], name="corrections", daemon=True).start()
    return admin
