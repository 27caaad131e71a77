"""Keys read many at once: compiled to the same holders as one by one, and no budget that any of them has is missed."""

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine

from portico.config.load import load_plain
from portico.config.schema import Budget, Limit
from portico.control.publish import NoSnapshot, publish, reconcile
from portico.rules import Holder
from portico.store.engine import writing
from portico.store.entities import holders, rows, stored, tokens
from portico.store.entities.holders import Compiler
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Key, Membership, Organization, Team, Template, Thing, User

NOW = 1_800_000_000_123
CONFIG = load_plain(
    {
        "teams": {"declared": {"models": ["openai/*"], "tags": ["from:file"], "markup": 1.5}},
        "users": {"dora": {"blocked": True, "budgets": [{"usd": 1}]}},
        "organizations": {"inc": {"models": ["openai/gpt-*"]}},
    },
    {},
).config
LATE = datetime(2030, 1, 2, 3, 4, 5, 678_000, UTC)


def put(db: Connection, kind: str, thing: Thing) -> None:
    rows.make(db, KINDS[kind], thing, NOW)


def fill(db: Connection, draw: random.Random, count: int) -> list[str]:
    """Put keys of all sorts into the store, with what they refer to; some of that is not there. Return their ids."""
    put(db, "template", Template(id="gold", limits=(Limit(requests=7),), budgets=(Budget(usd=3),)))
    put(db, "organization", Organization(id="acme", models=("openai/*", "x/*"), template="gold"))
    put(db, "organization", Organization(id="shut", blocked=True))
    put(
        db,
        "team",
        Team(id="core", org="acme", models=("openai/a*",), aliases={"fast": "openai/a"}, tags=("t:1", "t:1")),
    )
    put(db, "team", Team(id="shut", org="shut", allowance_usd=0.5, default_max_tokens=9, bodies="all", markup=1.25))
    put(db, "user", User(id="ann", org="acme", limits=(Limit(tokens=5),), template="gold"))
    put(db, "user", User(id="bob", models=("openai/abc", "y/*"), blocked=True))
    member = Membership(id="core/ann", team="core", user="ann", budgets=(Budget(usd=4, per="36h", rolling=True),))
    put(db, "membership", member)
    ids = []
    for number in range(count):
        some: dict[str, Any] = {
            "name": draw.choice(["", 'é \\ "quoted"']),
            "org": draw.choice([None, None, "acme", "inc", "gone"]),
            "team": draw.choice([None, "core", "shut", "declared", "gone"]),
            "user": draw.choice([None, "ann", "bob", "dora", "gone"]),
            "blocked": draw.random() < 0.1,
            "expires": draw.choice([None, LATE]),
            "models": draw.choice([(), ("openai/*",), ("y/*", "openai/abc")]),
            "routes": draw.choice([(), ("chat",)]),
            "ips": draw.choice([(), ("10.0.0.0/8",)]),
            "passthrough": draw.choice([(), ("openai",)]),
            "defaults": draw.choice([{}, {"temperature": 0.1, "deep": {"a": [None, "ü"]}}]),
            "enforced": draw.choice([{}, {"user": None}]),
            "aliases": draw.choice([{}, {"fast": "x/b", "slow": "x/c"}]),
            "tags": draw.choice([(), ("a:b", "t:1")]),
            "default_max_tokens": draw.choice([None, 12]),
            "allowance_usd": draw.choice([None, 0.0, 0.1]),
            "bodies": draw.choice([None, "none"]),
            "markup": draw.choice([None, 0.0, 1.1]),
            "template": draw.choice([None, "gold"]),
            "limits": draw.choice([(), (Limit(in_flight=3, mode="soft"),)]),
            "budgets": draw.choice([(), (Budget(tokens=5, per="day", zone="Europe/Berlin"),)]),
            "metadata": draw.choice([{}, {"blocked": True, "budgets": [{"usd": "none"}], "id": 3}]),
        }
        id_ = f"key-{draw.randrange(10**6):06d}-{number}"
        put(db, "key", Key(id=id_, prefix="sk-…", role=draw.choice([None, "viewer"]), **some))
        for _ in range(draw.choice([1, 1, 2])):
            tokens.retire(db, id_, NOW + draw.randrange(10**9))
            tokens.remember(db, id_, draw.randbytes(16), "sk-…")
        ids.append(id_)
    return ids


def one_by_one(db: Connection) -> dict[bytes, Holder]:
    """Return what each key is compiled to alone, found as the API finds it."""
    found = {}
    for thing in rows.every(db, KINDS["key"]):
        assert isinstance(thing, Key)
        for hashed in tokens.hashes(db, [thing.id]):
            found[hashed.digest] = Compiler(db, CONFIG).holder(thing, hashed.until_ms)
    return found


def test_what_is_read_of_a_key_is_what_a_key_has() -> None:
    of_key = {field.name: field for field in msgspec.structs.fields(Key)}
    for field in msgspec.structs.fields(stored.Stored):
        assert field.name in of_key
        if field.name != "id":
            assert field.default == of_key[field.name].default
            assert field.default_factory == of_key[field.name].default_factory


@pytest.mark.parametrize("at_hand", [1, 30_000])
@pytest.mark.parametrize("at_once", [1, 7, 1_000])
def test_many_keys_are_compiled_as_each_of_them_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, at_once: int, at_hand: int
) -> None:
    monkeypatch.setattr(stored, "AT_ONCE", at_once)
    monkeypatch.setattr(holders, "AT_HAND", at_hand)
    monkeypatch.setattr(holders, "FEW", 1 if at_hand == 1 else 4)
    with writing(engine).begin() as db:
        ids = fill(db, random.Random(7), 60)
        expected = one_by_one(db)
        whole, touched = NoSnapshot(), NoSnapshot()
        assert reconcile(db, CONFIG, whole) == len(expected) > len(ids)
        publish(db, CONFIG, touched, ids, [], with_rules=False)
    assert whole.holders == expected
    assert touched.holders == expected


def test_filling_state_takes_out_of_it_what_the_store_lacks(engine: Engine) -> None:
    with writing(engine).begin() as db:
        ids = fill(db, random.Random(8), 20)
        snapshot = NoSnapshot()
        reconcile(db, CONFIG, snapshot)
        for id_ in ids[:5]:
            for digest in tokens.forget(db, id_):
                assert digest in snapshot.holders
        reconcile(db, CONFIG, snapshot)
        assert snapshot.holders == one_by_one(db)


def test_every_budget_is_found_and_each_once(engine: Engine) -> None:
    draw = random.Random(9)
    budgets = [Budget(usd=float(number + 1)) for number in range(5)]
    with writing(engine).begin() as db:
        for number in range(100):
            own = tuple(draw.sample(budgets, draw.randrange(3))) if number % 2 else ()
            metadata: dict[str, Any] = draw.choice([{}, {"budgets": [{"usd": 1}]}, {"budgets": []}])
            put(db, "key", Key(id=f"key-{number}", budgets=own, metadata=metadata))
        put(db, "template", Template(id="gold", budgets=(Budget(usd=77),)))
        had = {budget for thing in rows.every(db, KINDS["key"]) if isinstance(thing, Key) for budget in thing.budgets}
        assert had == set(budgets)
        assert stored.budgets(db, "key") == had
        assert stored.budgets(db, "template") == {Budget(usd=77)}
        assert stored.budgets(db, "user") == set()
