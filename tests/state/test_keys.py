"""The snapshot of keys: what control writes, every worker goes by on its next call."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.state.desk import Desk, budget, limit

from portico.errors import StateUnavailable
from portico.rules import Applied, Holder
from portico.state import keys as module
from portico.state.keys import Keys
from portico.state.memory import MemoryState

WEB, OLD = b"w" * 16, b"o" * 16
RULES = (Applied(limit(5), {"team": ("core",)}, ("customer",)), Applied(budget(100)))


def keys_of(desk: Desk) -> Keys | MemoryState:
    return desk.state.keys if hasattr(desk.state, "keys") else desk.state


def test_nobody_holds_a_key_that_was_not_put_there(desk: Desk) -> None:
    assert desk.state.holder(WEB) is None
    assert desk.state.rules() == ()


def test_a_change_raises_the_version_and_is_seen_at_once(desk: Desk) -> None:
    keys, seen = keys_of(desk), [desk.state.version]
    for holder in (Holder("1", "web"), Holder("1", "web", blocked=True), None):
        keys.put_holders({WEB: holder, OLD: Holder("2", "old")})
        seen.append(desk.state.version)
        assert desk.state.holder(WEB) == holder
    keys.put_rules(RULES)
    seen.append(desk.state.version)
    assert desk.state.rules() == RULES
    assert desk.state.rules() is desk.state.rules()
    assert seen == sorted(set(seen))


def test_the_holder_of_a_key_is_decoded_once_for_a_version(desk: Desk) -> None:
    keys_of(desk).put_holders({WEB: Holder("1", "web")})
    assert desk.state.holder(WEB) is desk.state.holder(WEB)


REVOKES = "import sys; from pathlib import Path; from portico.state.keys import Keys; \
k = Keys(Path(sys.argv[1])); k.put_holders({b'w' * 16: None}); k.close()"


@pytest.mark.source
def test_more_keys_than_are_kept_are_found_and_those_asked_for_last_are_kept_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_HAND", 10)
    monkeypatch.setattr(module, "_PASSED", 30)
    keys = module.Keys(tmp_path)
    holders = {bytes([number]) * 16: Holder(f"key-{number}", "") for number in range(25)}
    keys.put_holders(holders)
    for _ in range(3):
        assert {digest: keys.holder(digest) for digest in holders} == holders
    late = bytes([24]) * 16
    for _ in range(30):
        assert keys.holder(late) == holders[late]
    assert keys.holder(late) is keys.holder(late)
    assert len(keys._cached) <= 10
    keys.close()


def test_a_key_that_another_process_revoked_is_refused_on_its_next_use(tmp_path: Path) -> None:
    worker = Keys(tmp_path)
    worker.put_holders({WEB: Holder("1", "web"), OLD: Holder("2", "old")})
    assert worker.holder(WEB) is not None
    before = worker.version
    subprocess.run([sys.executable, "-c", REVOKES, str(tmp_path)], check=True)
    assert worker.holder(WEB) is None
    assert worker.holder(OLD) is not None
    assert worker.version > before
    worker.close()


def test_a_snapshot_is_replaced_as_a_whole(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    assert keys.fresh
    names = [number.to_bytes(16, "big") for number in range(1_700)]
    keys.put_holders({name: Holder(name.hex(), "old") for name in names[:1_200]})
    keys.replace_holders({name: Holder(name.hex(), "new") for name in names[600:]})
    assert list(keys.digests()) == names[600:]
    assert all((held := keys.holder(name)) is not None and held.name == "new" for name in names[600:])
    keys.close()
    again = Keys(tmp_path)
    assert not again.fresh
    assert list(again.digests()) == names[600:]
    again.close()


def test_versions_go_on_when_the_machine_was_started_anew(tmp_path: Path) -> None:
    keys = Keys(tmp_path, boot="one")
    keys.put_holders({WEB: Holder("1", "web")})
    version = keys.version
    keys.close()
    keys = Keys(tmp_path, boot="two")
    assert keys.fresh
    assert keys.holder(WEB) is None
    keys.put_rules(RULES)
    assert keys.version > version
    keys.close()


def test_another_file_than_the_one_all_use_is_refused(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    with pytest.raises(StateUnavailable, match="not the file"):
        Keys(tmp_path / "other", inode=(tmp_path / "data.mdb").stat().st_ino)
    keys.close()
