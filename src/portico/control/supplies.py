"""Prices and keys of providers in the store, as workers take them over."""

import logging
from typing import cast

from sqlalchemy import Connection, select

from portico.state.supplies import StoredKey, StoredPrice
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.sealing import Sealer, Unsealable
from portico.store.entities.tables import SEALED
from portico.store.entities.things import Credential, PriceOverride

log = logging.getLogger("portico.control")


def stored_prices(db: Connection) -> list[StoredPrice]:
    """Return all prices, in order of their ids."""
    found = (cast("PriceOverride", thing) for thing in rows.every(db, KINDS["price"]))
    return [
        StoredPrice(
            one.model,
            int(one.since.timestamp()),
            one.input,
            one.output,
            one.cache_read,
            one.cache_write,
            one.cache_write_1h,
        )
        for one in found
    ]


def stored_keys(db: Connection, sealer: Sealer) -> list[StoredKey]:
    """Return the credentials that are not blocked, with their secrets.

    One that cannot be opened is logged, and left out; a team's own is handed on without its secret, so that the team's
    calls are refused rather than sent with a key that others share.
    """
    boxes = {row.credential: bytes(row.box) for row in db.execute(select(SEALED))}
    found: list[StoredKey] = []
    for thing in rows.every(db, KINDS["credential"]):
        one = cast("Credential", thing)
        if one.blocked or one.id not in boxes:
            continue
        try:
            secret = sealer.open(boxes[one.id], f"credential {one.id}").decode()
        except Unsealable as error:
            log.error("the credential %s cannot be used: %s", one.id, error)
            if one.team is None:
                continue
            secret = ""
        found.append(StoredKey(one.provider, one.id, secret, one.team))
    return found
