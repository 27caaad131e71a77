"""A process that clears up after the dead and then lets a crowd of calls through, until it is killed or told to end.

Before a call is settled, what its provider served is appended to this owner's own log, as the provider's books would
have it. Run as: crowd.py FOLDER SEED [patient]. It prints a line for every round, and ends when its standard input
does. Who is patient takes it that there is no room while somebody reads.
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from portico.errors import StateFull
from portico.rules import Bound, Rule, Window
from portico.state.contract import Admission, Moment, Permit, Scope, Used
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner, dead_owners

CALLERS = 250
SIZE = 16 << 20
KEYS, TEAMS, CUSTOMERS = 40, 3, 5


def forever(name: str, amount: int) -> Rule:
    return Rule(name, "budget", "cost", amount, Window("forever"), alerts=(80,))


FLIGHT = Rule("flight", "limit", "in_flight", 10_000)
DAY = Rule("calls", "budget", "requests", 10**9, Window("forever"))
SCOPES = [
    (
        Scope(f"key:{key}", (Rule("rpm", "limit", "requests", 10**6, Window("minute")), FLIGHT, forever("key", 10**9))),
        Scope(f"team:{team}", (forever("team", 10**12), DAY)),
        Scope(f"customer:{customer}", (forever("customer", 10**7), FLIGHT)),  # soon all spent
    )[: 3 if customer else 2]
    for key in range(KEYS)
    for team in range(TEAMS)
    for customer in range(CUSTOMERS)
]
ROWS = sorted({scope.row for scopes in SCOPES for scope in scopes})


def now() -> Moment:
    return Moment(time.monotonic_ns(), time.time_ns())


def clear_up(state: LmdbState, folder: Path) -> None:
    """Settle what the dead left behind: by their own logs where these know, at the bound where they do not."""
    for dead in dead_owners(folder / "owners"):
        served = read_log(folder / "logs" / dead.id)
        for orphan in state.expire(dead.id, now()):
            if orphan.call_id in served:
                state.settle(Permit(orphan.call_id, (), orphan.bound), Used(cost=served[orphan.call_id]), now())
        state.flush()
        dead.bury()


def read_log(path: Path) -> dict[str, int]:
    """Return what each call of an owner was served. A torn last line was never written."""
    if not path.exists():
        return {}
    lines = path.read_bytes().split(b"\n")[:-1]
    return {call.decode(): int(cost) for call, cost in (line.split() for line in lines)}


async def crowd(state: LmdbState, log: int, draw: random.Random) -> None:
    tails: list[bytes] = []

    def write_log() -> None:
        os.write(log, b"".join(tails))
        tails.clear()

    state.before_settling = write_log

    async def call(number: int) -> None:
        scopes = draw.choice(SCOPES)
        bound = draw.randrange(1, 10_000)
        name = f"{state.owner}-{number}"
        try:
            answer = await state.admit(Admission(name, scopes, Bound(1, 1, bound), now(), name.encode()))
        except StateFull:
            if "patient" in sys.argv:
                return
            raise
        if not isinstance(answer, Permit):
            return
        if draw.random() < 0.1 and await state.extend(answer, Bound(1, 1, bound), now()) is None:
            bound *= 2
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)
        if draw.random() < 0.1:
            state.release(answer, now())
            return
        cost = draw.randrange(bound + 1)
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        tails.append(f"{name} {cost}\n".encode())
        state.settle(answer, Used(1, 1, cost), now(), done.set_result)
        assert not (await done).over_bound

    number = 0
    while not ended():
        await asyncio.gather(*(call(number + one) for one in range(CALLERS)))
        number += CALLERS
        state.tidy(now())
        os.write(1, b"round\n")


def ended() -> bool:
    import select

    return bool(select.select([0], [], [], 0)[0])


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    owner = Owner.new(folder / "owners")
    state = LmdbState(folder / "state", owner.id, size=SIZE)
    (folder / "logs").mkdir(exist_ok=True)
    log = os.open(folder / "logs" / owner.id, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def run() -> None:
        clear_up(state, folder)
        await crowd(state, log, random.Random(seed))

    asyncio.run(run())
    state.close()


if __name__ == "__main__":
    main()
