"""Secrets that are planted everywhere are found nowhere: no reply but the one that shows them, no log, no dump."""

import base64
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, select, text

from control.conftest import MASTER, SECRET, Api, Clock
from portico.control import credentials
from portico.control.admin import Admin
from portico.control.publish import NoSnapshot
from portico.store.entities.tables import SEALED
from portico.store.tables import metadata

PROVIDER = "sk-proj-planted-secret-of-a-provider-0123456789"
RENEWED = "sk-proj-planted-second-secret-of-a-provider-9876"
BROUGHT = "sk-planted-key-that-somebody-brought-along-0001"


def written(secret: str) -> list[bytes]:
    """Return the ways in which a secret might stand somewhere."""
    plain = secret.encode()
    return [plain, plain.hex().encode(), base64.b64encode(plain)[:-4], plain[11:-4]]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_no_secret_is_anywhere_but_in_the_reply_that_shows_it(
    api: Api, admin: Admin, engine: Engine, snapshot: NoSnapshot, tmp_path: Path, caplog: Any, clock: Clock
) -> None:
    caplog.set_level(logging.DEBUG)
    replies: list[bytes] = []

    def said(*asked: Any, **headers: str) -> Any:
        reply = api(*asked, **headers)
        replies.append(reply.content + repr(dict(reply.headers)).encode())
        return reply

    secrets = [MASTER, PROVIDER, RENEWED, BROUGHT, "sk-portico-of-the-file-0001", SECRET.hex()]
    made = api.make("keys", name="a", role="viewer")
    secrets.append(made["key"])
    secrets.append(api("POST", "keys", {"name": "b"}, idempotency_key="once").json()["key"])
    secrets.append(api("POST", f"keys/{made['id']}/rotate", {"grace": 60}).json()["key"])
    assert api("POST", "/key/generate", {"key": BROUGHT}).status_code == 200
    credential = said("POST", "credentials", {"provider": "openai", "secret": PROVIDER}).json()
    said("PUT", f"credentials/{credential['id']}/secret", {"secret": RENEWED})

    for path in ("keys", f"keys/{made['id']}", f"keys/{made['id']}/hashes", f"keys/{made['id']}/usage", "audit", "me"):
        assert said("GET", path).status_code == 200
    for path in (
        "credentials",
        f"credentials/{credential['id']}",
        "teams",
        "limits",
        "spend",
        "records",
        "openapi.json",
    ):
        assert said("GET", path).status_code == 200
    for path in ("/key/list?return_full_object=true", f"/key/info?key={made['id']}", "/user/list", "/spend/logs"):
        assert said("GET", path).status_code == 200
    # what goes wrong with a secret in it
    said("POST", "credentials", {"provider": "openai", "secret": [PROVIDER]})
    said("POST", "credentials", {"provider": 5, "secret": PROVIDER})
    said("POST", "credentials", {"provider": "openai", "secret": PROVIDER, "more": 1})
    for bad in (f"{PROVIDER} {PROVIDER}", f"{PROVIDER}\n", "ключ", " "):
        wanted = 201 if bad.strip() == PROVIDER else 422
        answer = said("POST", "credentials", {"provider": "openai", "secret": bad})
        assert answer.status_code == wanted, bad
        if wanted == 201:
            said("DELETE", f"credentials/{answer.json()['id']}")
        assert said("PUT", f"credentials/{credential['id']}/secret", {"secret": "no key"}).status_code == 422
    said("POST", "keys", {"name": "c"}, idempotency_key="once")
    assert said("POST", "/key/generate", {"key": BROUGHT}).status_code == 409
    replies.append(api.as_(PROVIDER)("GET", "keys").content)
    clock.now += 61_000
    replies.append(api.as_(made["key"])("GET", "keys").content)
    with engine.begin() as db:
        db.execute(text("ALTER TABLE keys RENAME TO keys_away"))
    assert said("GET", "keys").status_code == 503
    assert said("POST", "keys", {"name": "d"}).status_code == 503
    with engine.begin() as db:
        db.execute(text("ALTER TABLE keys_away RENAME TO keys"))

    places = {
        "replies": b"\n".join(replies),
        "logs": caplog.text.encode(),
        "dump": dump(engine),
        "files": b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()),
        "state": msgspec.msgpack.encode([list(snapshot.holders.items()), snapshot.rules]),
        "reprs": repr([admin, admin.sealer, admin.declared, api.client]).encode(),
    }
    for secret in secrets:
        for form in written(secret):
            for place, held in places.items():
                assert form not in held, f"{secret!r} stands in the {place} as {form!r}"
    assert [secret for _, secret in credentials.secrets(admin)] == [RENEWED]


def dump(engine: Engine) -> bytes:
    """Return all that the store holds, as a dump would have it."""
    with engine.connect() as db:
        rows = [tuple(row) for table in metadata.sorted_tables for row in db.execute(select(table))]
        assert any(row.box for row in db.execute(select(SEALED)))
    return b"\n".join(
        value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row if value is not None
    )
