"""A process that reads all files of a state and stays in the middle of it until it is killed: reader.py FOLDER.

It prints a line once it is inside a read transaction of the keys and of the objects, and reads the counters all the
time; told to, by a line, it stays inside those as well, and prints another.
"""

import sys
import threading
import time
from pathlib import Path

from portico.state.contract import Moment
from portico.state.keys import Keys
from portico.state.ledger import Ledger
from portico.state.objects import Objects


def main() -> None:
    folder = Path(sys.argv[1])
    ledger = Ledger.visit(folder / "money")
    assert ledger is not None
    keys, objects = Keys(folder / "keys"), Objects(folder / "objects")
    held = [env.begin() for env in (keys._env, objects._env)]
    assert all(tx.stat() for tx in held)

    def read_on() -> None:
        while True:
            ledger.counters(ROWS, Moment(time.monotonic_ns(), time.time_ns()))
            assert len(list(keys.digests())) in (0, KEYS)
            objects.owned_by("a tenant", "file")

    thread = threading.Thread(target=read_on, daemon=True)
    thread.start()
    print("inside", flush=True)
    sys.stdin.readline()
    held.append(ledger._env.begin())
    print("further inside", flush=True)
    sys.stdin.read()


KEYS = 300
ROWS = [f"key:{number}" for number in range(40)]

if __name__ == "__main__":
    main()
