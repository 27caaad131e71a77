"""What control publishes is what workers find in state, and whether all of it is there is known without the store."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from control.conftest import MASTER
from portico.config.load import load_plain
from portico.config.schema import Config
from portico.control import publish as publishing
from portico.control.actors import MASTER as OWNER
from portico.control.admin import Admin
from portico.control.keys import issue
from portico.control.starting import open_admin
from portico.control.state import OnState
from portico.rules import Holder, Rule, Window
from portico.secret import digest, installation_secret
from portico.state.contract import Admission, Bound, Moment, Permit, Scope
from portico.state.keys import Keys
from portico.state.on_lmdb import LmdbState
from portico.store.engine import make_engine, writing
from portico.store.entities import stored, tokens

CONFIG = load_plain({"server": {"master_key": MASTER}}, {}).config


def certain(data_dir: Path, config: Config = CONFIG) -> bool:
    """Say what control sees when it starts."""
    state = OnState(data_dir, config)
    try:
        return state.certain
    finally:
        state.close()


def closed(admin: Admin) -> None:
    assert isinstance(admin.snapshot, OnState)
    admin.snapshot.close()
    admin.engine.dispose()


def test_a_key_made_in_control_is_found_by_a_worker(tmp_path: Path) -> None:
    admin = open_admin(tmp_path, CONFIG, {})
    with admin.changing(OWNER) as change:
        made = issue(change, {"name": "web", "limits": [{"requests": 5}]})
    closed(admin)
    worker = Keys(tmp_path / "state" / "keys")
    found = worker.holder(digest(made.key.encode(), installation_secret(tmp_path)))
    worker.close()
    assert found is not None
    assert (found.id, found.rules[0].rule.amount) == (made.id, 5)


def test_it_is_known_whether_state_holds_all_that_the_store_does(tmp_path: Path) -> None:
    closed(open_admin(tmp_path, CONFIG, {}))
    assert certain(tmp_path)
    changed = msgspec.structs.replace(CONFIG, strict=True)
    assert not certain(tmp_path, changed)
    closed(open_admin(tmp_path, changed, {}))
    assert certain(tmp_path, changed)
    assert not certain(tmp_path)
    shutil.rmtree(tmp_path / "state" / "keys")
    assert not certain(tmp_path, changed)


def test_a_change_that_did_not_reach_state_leaves_doubt_and_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = open_admin(tmp_path, CONFIG, {})
    with monkeypatch.context() as broken:
        broken.setattr(admin, "_publish", lambda *_args, **_more: None)  # killed between commit and state
        with admin.changing(OWNER) as change:
            issue(change, {})
    assert list(admin.snapshot.digests()) == []
    closed(admin)
    assert not certain(tmp_path)
    again = open_admin(tmp_path, CONFIG, {})
    assert len(list(again.snapshot.digests())) == 1
    closed(again)
    assert certain(tmp_path)


@pytest.mark.parametrize("slices", [0, 1, 2])
def test_a_key_revoked_after_a_start_that_was_cut_off_is_not_served_by_what_that_start_left(
    tmp_path: Path, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "AT_ONCE", 2)
    monkeypatch.setattr(publishing, "PAGES", 1)
    admin = open_admin(tmp_path, CONFIG, {})
    with admin.changing(OWNER) as change:
        made = [issue(change, {}) for _ in range(5)]
    closed(admin)
    shutil.rmtree(tmp_path / "state")
    cut_off(tmp_path, monkeypatch, slices)
    assert not certain(tmp_path)
    engine = make_engine(f"sqlite:///{tmp_path}/portico.db")
    with writing(engine).begin() as db:
        for key in made[:3]:
            assert tokens.forget(db, key.id)
    engine.dispose()
    closed(open_admin(tmp_path, CONFIG, {}))
    assert certain(tmp_path)
    worker = Keys(tmp_path / "state" / "keys")
    secret = installation_secret(tmp_path)
    assert [worker.holder(digest(key.key.encode(), secret)) is not None for key in made] == [False] * 3 + [True] * 2
    worker.close()


def cut_off(data_dir: Path, monkeypatch: pytest.MonkeyPatch, slices: int) -> None:
    """Start, and die after so many slices of keys are in state."""

    def put_holders(self: OnState, changes: Mapping[bytes, Holder | None]) -> None:
        nonlocal slices
        if not slices:
            raise KeyboardInterrupt
        slices -= 1
        before(self, changes)

    before = OnState.put_holders
    with monkeypatch.context() as patch:
        patch.setattr(OnState, "put_holders", put_holders)
        with pytest.raises(KeyboardInterrupt):
            open_admin(data_dir, CONFIG, {})


async def test_counters_are_those_of_the_workers(tmp_path: Path) -> None:
    worker = LmdbState(tmp_path / "state", "0123456789abcdef", size=1 << 22)
    rule = Rule("team:core/budget/requests/forever", "budget", "requests", 9, Window())
    at = Moment(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())
    permit = await worker.admit(Admission("c1", (Scope("team:core", (rule,)),), Bound(1, 1, 1), at))
    assert isinstance(permit, Permit)
    worker.close()
    state = OnState(tmp_path, CONFIG)
    (counter,) = state.counters(["team:core", "team:other"])
    state.close()
    assert (counter.rule_id, counter.used, counter.reserved) == (rule.id, 0, 1)


def test_where_nothing_was_counted_there_are_no_counters(tmp_path: Path) -> None:
    state = OnState(tmp_path, CONFIG)
    assert state.counters(["team:core"]) == []
    state.close()
