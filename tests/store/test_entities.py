"""Objects, keys and the audit on both stores: made, paged, replaced, sealed, chained; and the schema both ways."""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from portico.config.schema import Budget, Config, Limit
from portico.errors import ConfigError
from portico.rules import Applied, Rule, Window
from portico.secret import DIGEST, derived, digest, installation_secret
from portico.store.engine import writing
from portico.store.entities import audit, rows, tokens
from portico.store.entities.holders import Compiler
from portico.store.entities.kinds import KINDS
from portico.store.entities.sealing import VARIABLE, Sealer, Unsealable, sealer
from portico.store.entities.tables import AUDIT, TABLES
from portico.store.entities.things import BudgetRule, Customer, Key, Membership, Organization, Tag, Team, Template, User
from portico.store.migrate import downgrade, upgrade

NOW = 1_800_000_000_123
SECRET = bytes(range(32))


def test_what_is_made_is_found_as_it_was_said(engine: Engine) -> None:
    team = Team(
        id="core",
        org="acme",
        models=("openai/*",),
        metadata={"deep": {"list": [1, None, "ü"]}},
        limits=(Limit(requests=5),),
        budgets=(Budget(usd=0.1, per="month", zone="Europe/Berlin", alerts=(50,)),),
    )
    with writing(engine).begin() as db:
        made = rows.make(db, KINDS["team"], team, NOW)
    with engine.connect() as db:
        found = rows.find(db, KINDS["team"], "core")
    assert found == made
    assert isinstance(found, Team)
    assert (found.metadata, found.limits, found.budgets) == (team.metadata, team.limits, team.budgets)
    assert (found.version, found.created_at) == (1, datetime.fromtimestamp(NOW / 1000, UTC))


def test_an_id_is_had_once_and_a_version_is_replaced_once(engine: Engine) -> None:
    kind = KINDS["customer"]
    with writing(engine).begin() as db:
        first = rows.make(db, kind, Customer(id="c"), NOW)
        with pytest.raises(rows.Taken):
            rows.make(db, kind, Customer(id="c"), NOW)
        second = rows.replace(db, kind, Customer(id="c", blocked=True), first.version, NOW + 1)
        assert second.version == 2
        with pytest.raises(rows.Changed):
            rows.replace(db, kind, Customer(id="c"), first.version, NOW + 2)
        with pytest.raises(rows.Changed):
            rows.remove(db, kind, "c", first.version)
        rows.remove(db, kind, "c", second.version)
        assert rows.find(db, kind, "c") is None


def test_pages_are_in_the_order_of_bytes_on_every_store(engine: Engine) -> None:
    ids = ["B", "a", "a-b", "a.b", "a:b", "ab", "a_b", "Z", "0"]
    with writing(engine).begin() as db:
        for id_ in ids:
            rows.make(db, KINDS["customer"], Customer(id=id_), NOW)
        seen: list[str] = []
        while found := rows.page(db, KINDS["customer"], {}, seen[-1] if seen else "", 2):
            seen += [thing.id for thing in found]
        assert seen == sorted(ids)
        assert [thing.id for thing in rows.every(db, KINDS["customer"], slice_of=4)] == sorted(ids)
        assert rows.count(db, KINDS["customer"]) == len(ids)


def test_what_a_change_touches_are_the_keys_below_it(engine: Engine) -> None:
    with writing(engine).begin() as db:
        rows.make(db, KINDS["template"], Template(id="gold"), NOW)
        rows.make(db, KINDS["organization"], Organization(id="acme"), NOW)
        rows.make(db, KINDS["team"], Team(id="core", org="acme"), NOW)
        rows.make(db, KINDS["user"], User(id="anna", template="gold"), NOW)
        rows.make(db, KINDS["membership"], Membership(id="core/anna", team="core", user="anna"), NOW)
        for key in (
            Key(id="k1", team="core", user="anna"),
            Key(id="k2", team="core"),
            Key(id="k3", org="acme"),
            Key(id="k4"),
        ):
            rows.make(db, KINDS["key"], key, NOW)

        def under(kind: str, id_: str) -> list[str]:
            return sorted(rows.keys_under(db, KINDS[kind], id_))

        assert under("key", "k4") == ["k4"]
        assert under("team", "core") == ["k1", "k2"]
        assert under("user", "anna") == ["k1"]
        assert under("membership", "core/anna") == ["k1"]
        assert under("organization", "acme") == ["k1", "k2", "k3"]
        assert under("template", "gold") == ["k1"]
        assert under("customer", "c") == []
        assert rows.used_by(db, KINDS["template"], "gold") == "user"
        assert rows.used_by(db, KINDS["team"], "core") in ("membership", "key")
        assert rows.used_by(db, KINDS["key"], "k1") is None


def test_a_key_is_known_by_its_hash_while_that_is_good(engine: Engine) -> None:
    old, new = tokens.new_token(), tokens.new_token()
    with writing(engine).begin() as db:
        rows.make(db, KINDS["key"], Key(id="k"), NOW)
        tokens.remember(db, "k", digest(old.encode(), SECRET), tokens.shown(old))
        tokens.retire(db, "k", NOW + 1000)
        tokens.retire(db, "k", NOW + 5000)
        tokens.remember(db, "k", digest(new.encode(), SECRET), tokens.shown(new))
        for token, at, holder in (
            (old, NOW, "k"),
            (old, NOW + 999, "k"),
            (old, NOW + 1000, None),
            (new, NOW + 10**9, "k"),
        ):
            assert tokens.holder_of(db, digest(token.encode(), SECRET), at) == holder
        assert len(tokens.hashes(db, ["k"])) == 2
        assert len(tokens.forget(db, "k")) == 2
        assert tokens.holder_of(db, digest(new.encode(), SECRET), NOW) is None


def test_objects_compile_to_holders_and_rules(engine: Engine) -> None:
    with writing(engine).begin() as db:
        rows.make(db, KINDS["team"], Team(id="core", blocked=True, tags=("a:b",), aliases={"x": "y"}), NOW)
        rows.make(db, KINDS["tag"], Tag(id="feature:chat", limits=(Limit(in_flight=3),)), NOW)
        rows.make(db, KINDS["budget"], BudgetRule(id="b1", each=("customer",), tokens=9, per="36h"), NOW)
        expires = datetime(2030, 1, 1, tzinfo=UTC)
        compiler = Compiler(db, Config())
        holder = compiler.holder(Key(id="k", team="core", expires=expires, enforced={"store": False}), NOW)
        assert (holder.blocked, holder.tags, holder.aliases) == (True, ("a:b",), {"x": "y"})
        assert holder.expires == NOW / 1000
        assert bytes(holder.enforced["store"]) == b"false"
        assert list(compiler.rules()) == [
            Applied(
                Rule("tag:feature:chat/limit/in_flight", "limit", "in_flight", 3, Window()), {"tag": ("feature:chat",)}
            ),
            Applied(
                Rule("b1:all|each=customer/budget/tokens/36h", "budget", "tokens", 9, Window(129_600)),
                {},
                ("customer",),
            ),
        ]


# The audit


def noted(engine: Engine, count: int = 5) -> None:
    with writing(engine).begin() as db:
        for number in range(count):
            audit.append(db, SECRET, NOW + number, "master", "update", "team", f"t{number}", {"a": 1}, {"a": 2})


def test_the_chain_of_changes_holds(engine: Engine) -> None:
    noted(engine)
    with engine.connect() as db:
        assert audit.verify(db, SECRET, slice_of=2) == (5, None)
        assert audit.last(db) == 5
        assert [entry.seq for entry in audit.page(db, None, 2)] == [5, 4]
        assert [entry.seq for entry in audit.page(db, 4, 2)] == [3, 2]
        assert [entry.object for entry in audit.page(db, None, 9, "team", "t3")] == ["t3"]
        assert audit.verify(db, bytes(32))[1] == audit.Broken(1, "it, or the one before it, was altered")


@pytest.mark.parametrize("what", ["UPDATE audit SET actor = 'nobody' WHERE seq = 3", "DELETE FROM audit WHERE seq = 3"])
def test_the_database_refuses_to_alter_a_change(engine: Engine, what: str) -> None:
    noted(engine)
    with pytest.raises(DBAPIError, match="append-only"), writing(engine).begin() as db:
        db.execute(text(what))
    with engine.connect() as db:
        assert audit.verify(db, SECRET) == (5, None)


@pytest.mark.parametrize(("what", "why"), [("alter", "altered"), ("remove", "missing")])
def test_what_was_altered_all_the_same_is_found(engine: Engine, what: str, why: str) -> None:
    noted(engine)
    with writing(engine).begin() as db:
        if engine.dialect.name == "postgresql":
            db.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        else:
            db.execute(text("DROP TRIGGER audit_no_update"))
            db.execute(text("DROP TRIGGER audit_no_delete"))
        if what == "alter":
            db.execute(update(AUDIT).where(AUDIT.c.seq == 3).values(after='{"a":3}'))
        else:
            db.execute(AUDIT.delete().where(AUDIT.c.seq == 3))
    with engine.connect() as db:
        held, broken = audit.verify(db, SECRET)
    assert held == 2
    assert broken is not None
    assert broken.seq == 3
    assert why in broken.why


# The schema


def test_the_schema_goes_back_and_forth_with_data_in_it(engine: Engine) -> None:
    noted(engine)
    with writing(engine).begin() as db:
        rows.make(db, KINDS["team"], Team(id="core"), NOW)
    downgrade(engine, "0001")
    assert not set(inspect(engine).get_table_names()) & {table.name for table in TABLES.values()}
    upgrade(engine)
    with engine.connect() as db:
        assert rows.count(db, KINDS["team"]) == 0
        assert audit.last(db) == 0


def test_the_tables_are_those_of_the_migrations(engine: Engine) -> None:
    found = inspect(engine)
    for table in (*TABLES.values(), AUDIT):
        assert {column["name"] for column in found.get_columns(table.name)} == {column.name for column in table.columns}
        assert {index.name for index in table.indexes} <= {index["name"] for index in found.get_indexes(table.name)}


def test_all_columns_are_said_by_the_kinds(engine: Engine) -> None:
    with engine.connect() as db:
        for kind in KINDS.values():
            assert db.execute(select(*(TABLES[kind.name].c[name] for name in ("id", *kind.columns)))).all() == []


# Secrets


def test_what_is_sealed_opens_for_the_same_thing_alone() -> None:
    mine = Sealer([os.urandom(32)])
    box = mine.seal(b"sk-of-a-provider", "credential a")
    assert b"sk-of" not in box
    assert mine.open(box, "credential a") == b"sk-of-a-provider"
    assert mine.seal(b"sk-of-a-provider", "credential a") != box
    for other, about in ((mine, "credential b"), (Sealer([os.urandom(32)]), "credential a")):
        with pytest.raises(Unsealable):
            other.open(box, about)
    with pytest.raises(Unsealable):
        mine.open(box[:-1] + bytes([box[-1] ^ 1]), "credential a")


def test_keys_of_encryption_are_changed_without_losing_what_was_sealed() -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    first = sealer({}, SECRET).seal(b"one", "x")
    second = sealer({VARIABLE: old}, SECRET).seal(b"two", "x")
    both = sealer({VARIABLE: f"{new}, {old}"}, SECRET)
    assert (both.open(first, "x"), both.open(second, "x")) == (b"one", b"two")
    with pytest.raises(Unsealable):
        sealer({VARIABLE: new}, SECRET).open(second, "x")
    assert sealer({VARIABLE: os.urandom(32).hex()}, SECRET).open(first, "x") == b"one"
    with pytest.raises(ConfigError, match="32 bytes"):
        sealer({VARIABLE: "short"}, SECRET)


def test_an_installation_has_one_secret_that_only_it_may_read(tmp_path: Path) -> None:
    secret = installation_secret(tmp_path / "data")
    assert installation_secret(tmp_path / "data") == secret
    assert len(secret) == 32
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert len(digest(b"key", secret)) == DIGEST
    assert derived(secret, "a") != derived(secret, "b")
    (tmp_path / "data" / "secret").write_bytes(b"cut")
    with pytest.raises(ConfigError, match="3 bytes"):
        installation_secret(tmp_path / "data")
