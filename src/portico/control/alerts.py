"""What people want to hear of, sent on: each event is posted to the address of the configuration, in order.

What has been sent is noted in the store, so that a restart repeats at most what was under way. Nothing is sent of the
time before an address was first given.
"""

import json
import urllib.error
import urllib.request
from typing import Final

from sqlalchemy import Connection, Engine, delete, func, insert, select

from portico.store.engine import writing
from portico.store.entities.rows import time
from portico.store.entities.tables import MARKS
from portico.store.tables import events

AT_ONCE: Final = 100
WITHIN: Final = 5.0
"""Seconds in which an answer has to come."""
_MARK: Final = "alerts sent"


class Undelivered(Exception):
    """The other side did not take an event; it is sent again later."""


def send_new(engine: Engine, url: str) -> int:
    """Post the events that are new, up to a hundred; return how many. Blocks: for a thread. Raises Undelivered."""
    with writing(engine).begin() as db:
        done = db.execute(select(MARKS.c.value).where(MARKS.c.name == _MARK)).scalar()
        if done is None:
            _note(db, db.execute(select(func.max(events.c.id))).scalar() or 0)
            return 0
    with engine.connect() as db:
        found = db.execute(select(events).where(events.c.id > int(done)).order_by(events.c.id).limit(AT_ONCE)).all()
    for row in found:
        told = {"id": str(row.id), "at": time(row.time_ms).isoformat(), "name": row.name}
        _post(url, json.dumps({**told, "about": json.loads(row.about)}).encode())
        with writing(engine).begin() as db:
            _note(db, row.id)
    return len(found)


def _note(db: Connection, id: int) -> None:  # noqa: A002  # the column's name
    db.execute(delete(MARKS).where(MARKS.c.name == _MARK))
    db.execute(insert(MARKS).values(name=_MARK, value=str(id)))


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310  # http or https
    try:
        with urllib.request.urlopen(request, timeout=WITHIN):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
        raise Undelivered(f"the webhook answered {status}") from None
    except (OSError, ValueError) as error:
        # The address may hold a secret: it is in no log.
        raise Undelivered(f"the webhook cannot be reached: {type(error).__name__}") from None
