"""Owners are locked for as long as their process lives, and each dead one is found by one process only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from portico.state.owner import Owner, dead_owners

LIVES = "import sys; from pathlib import Path; from portico.state.owner import Owner; \
o = Owner.new(Path(sys.argv[1])); print(o.id, flush=True); sys.stdin.read()"


def test_an_owner_is_dead_once_its_process_is(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LIVES, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert dead_owners(tmp_path) == []
        os.kill(process.pid, signal.SIGSTOP)
        assert dead_owners(tmp_path) == []
        process.kill()
    (dead,) = dead_owners(tmp_path)
    assert dead.id == name
    assert dead_owners(tmp_path) == []  # it is being cleared up after
    dead.close()
    (again,) = dead_owners(tmp_path)
    again.bury()
    assert dead_owners(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_owners_have_ids_of_their_own(tmp_path: Path) -> None:
    owners = [Owner.new(tmp_path / "new" / "folder") for _ in range(50)]
    assert len({owner.id for owner in owners}) == 50
    assert all(len(bytes.fromhex(owner.id)) == 8 for owner in owners)
    assert dead_owners(tmp_path / "new" / "folder") == []
    for owner in owners:
        owner.bury()


def test_other_files_are_no_owners(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    assert dead_owners(tmp_path) == []
    assert dead_owners(tmp_path / "absent") == []
