"""Keys of providers: sealed in the store, never shown again, changed without a restart."""

from typing import Any, cast

import msgspec
from sqlalchemy import delete, insert, select

from portico.control.admin import Admin, Change
from portico.control.objects import make
from portico.control.problems import Unprocessable
from portico.control.replies import Secret, wish
from portico.control.routing import Answer, Asked
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.tables import SEALED
from portico.store.entities.things import Credential

CREDENTIAL = KINDS["credential"]

NewCredential = msgspec.defstruct(
    "CredentialNew",
    [("secret", str)],
    bases=(wish("credential"),),
    kw_only=True,
    forbid_unknown_fields=True,
    namespace={"__doc__": "What makes a credential. The secret is sealed, and never shown."},
)


def create(change: Change, asked: Asked) -> Answer:
    """Seal a secret."""
    fields: dict[str, Any] = msgspec.to_builtins(asked.body)
    secret: str = fields.pop("secret")
    _check(secret)
    made = cast("Credential", make(change, CREDENTIAL, {**fields, "hint": hint(secret)}))
    _seal(change, made.id, secret)
    return Answer(made, made.version, f"/api/v1/credentials/{made.id}")


def renew(change: Change, asked: Asked) -> Answer:
    """Put another secret in the place of one."""
    assert isinstance(asked.body, Secret)
    before = cast("Credential", change.find(CREDENTIAL, asked.path["id"], seen=asked.seen))
    _check(asked.body.secret)
    change.db.execute(delete(SEALED).where(SEALED.c.credential == before.id))
    _seal(change, before.id, asked.body.secret)
    after = msgspec.structs.replace(before, hint=hint(asked.body.secret))
    made = change.replace(CREDENTIAL, before, after, "renew")
    return Answer(made, made.version)


def secrets(admin: Admin) -> list[tuple[Credential, str]]:
    """Return the credentials that are not blocked, with their secrets: for those who call providers alone."""
    found: list[tuple[Credential, str]] = []
    with admin.reading() as db:
        boxes = {row.credential: bytes(row.box) for row in db.execute(select(SEALED))}
        for thing in rows.every(db, CREDENTIAL):
            credential = cast("Credential", thing)
            if not credential.blocked and credential.id in boxes:
                secret = admin.sealer.open(boxes[credential.id], _about(credential.id))
                found.append((credential, secret.decode()))
    return found


def hint(secret: str) -> str:
    """Return what tells a secret from another without telling it: its last four characters, of a long one."""
    return f"…{secret[-4:]}" if len(secret) >= 20 and secret.isprintable() else "…"


def _check(secret: str) -> None:
    """Raise Unprocessable for what no provider can be sent, so that nobody finds out by calls that fail."""
    from portico.providers.credentials import sendable  # how keys are sent is known by those who set one

    if not sendable(secret.strip()):
        raise Unprocessable("it holds a blank, or a character that no header can carry", param="secret")


def _seal(change: Change, id: str, secret: str) -> None:  # noqa: A002  # the word of every API
    box = change.admin.sealer.seal(secret.encode(), _about(id))
    change.db.execute(insert(SEALED).values(credential=id, box=box))


def _about(id: str) -> str:  # noqa: A002
    return f"credential {id}"
