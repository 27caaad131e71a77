"""What budgets count of calls whose records are let go of: kept, so that nobody's budget begins anew with a machine.

State has it all, until the machine is lost. What it had counted is then put together from the records of calls
(`rebuild`), and a budget may count calls for longer than those are kept.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from portico.control.admin import Admin
from portico.control.under import NOTHING, Under, reaches, used_for
from portico.journal.entries import decode_record
from portico.state import windows
from portico.store import carried
from portico.store.carried import Amounts, Place
from portico.store.sums import DAY


class Carrying:
    """Keeps what budgets count of calls, by the rules of now: in one walk over old calls, at `now` (in seconds)."""

    def __init__(self, admin: Admin, now: int) -> None:
        self._wall_ns = now * windows.SECOND
        # Rules are read before anything is locked: there may be many.
        with admin.reading() as db:
            self._under = Under(admin, db)
            self._since_ms = self._under.since(self._wall_ns)

    def __call__(self, connection: Connection, records: Iterable[bytes]) -> None:
        """Keep what these records were charged, in the transaction that removes them."""
        self._under.look_by(connection)
        sums: dict[Place, Amounts] = {}
        ended: dict[str, int] = {}
        for encoded in records:
            record = decode_record(encoded)
            used = used_for(record)
            if record.time_ms < self._since_ms or used == NOTHING:
                continue
            when = record.time_ms // 1000
            for scope, mine in self._under.charged(record, used):
                for rule in scope.rules:
                    since = reaches(rule, self._wall_ns) // windows.SECOND
                    if rule.kind != "budget" or when < since:
                        continue
                    day = 0
                    if windows.length_ns(rule.window) is not None:
                        day = when - when % DAY
                        ended[rule.id] = since
                    place = Place(scope.row, rule.id, day)
                    before = sums.get(place, Amounts())
                    sums[place] = Amounts(
                        before.requests + mine.requests,
                        before.input_tokens + mine.input_tokens,
                        before.output_tokens + mine.output_tokens,
                        before.cost_nano_usd + mine.cost,
                    )
        carried.add(connection, sums)
        for rule_id, since in ended.items():
            carried.drop(connection, rule_id, since)
