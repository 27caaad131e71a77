"""What workers tell each other of targets and keys that rest."""

import multiprocessing
from pathlib import Path
from time import monotonic

from portico.config import schema
from portico.providers.auth.bearer import Bearer
from portico.upstream.health import Healths
from portico.upstream.shared import ROWS, SharedRests, hashed

ONE = schema.Provider(base_url="http://one", api_key="k")


def worker(path: Path, declared: schema.Provider = ONE) -> Healths:
    healths = Healths(shared=SharedRests(path))
    healths.declare(schema.Breaker(failures=1, rest=60.0, longest=60.0), {"one": declared})
    return healths


def test_a_breaker_that_opens_in_one_worker_is_open_in_the_others(tmp_path: Path) -> None:
    here, there = worker(tmp_path / "rests"), worker(tmp_path / "rests")
    known = there("one/known")
    assert here.shared is not None
    assert there.shared is not None
    for name in ("one/known", "one/new"):
        here(name).failed(monotonic())
    assert there.shared.changed
    there.listen()
    assert not there.shared.changed
    assert known.resting
    assert there("one/new").resting  # first asked for after it was told
    assert not there("one/other").resting
    now = here("one/known").until
    here("one/known").served(now)
    there.listen()
    assert not known.resting


def test_a_key_that_is_refused_in_one_worker_rests_in_the_others(tmp_path: Path) -> None:
    rings = [worker(tmp_path / "rests").keyring("one", [Bearer("one#1", "a"), Bearer("one#2", "b")]) for _ in range(2)]
    here, there = worker(tmp_path / "rests"), worker(tmp_path / "rests")
    keys = [Bearer("one#1", "a"), Bearer("one#2", "b")]
    mine, theirs = here.keyring("one", keys), there.keyring("one", keys)
    now = monotonic()
    mine.refused(mine.credentials[0], 401, None, now)
    there.listen()
    assert [key.id for _ in range(3) if (key := theirs.pick(now)) is not None] == ["one#2"] * 3
    mine.served(mine.credentials[0])
    there.listen()
    assert {key.id for _ in range(2) if (key := theirs.pick(now)) is not None} == {"one#1", "one#2"}
    assert all(ring.wakes == 0 for ring in rings)  # they have not listened


def test_a_part_hears_what_its_like_was_told_and_nobody_else_does(tmp_path: Path) -> None:
    whole = [worker(tmp_path / "rests") for _ in range(2)]
    parts: list[dict[str, Healths]] = []
    for each in whole:
        own = {team: each.part(team, 8, 8) for team in ("red", "blue")}
        for team, part in own.items():
            declared = schema.Provider(base_url="http://one", api_key=team)
            part.declare(schema.Breaker(failures=1, rest=60.0, longest=60.0), {"one": declared})
            part("one/model")
        each("one/model")
        parts.append(own)
    parts[0]["red"]("one/model").failed(monotonic())
    parts[1]["blue"].listen()  # who hears of it first tells all that are concerned
    assert whole[1].shared is not None
    assert not whole[1].shared.changed
    assert parts[1]["red"]("one/model").resting
    assert not parts[1]["blue"]("one/model").resting
    assert not any(each("one/model").resting for each in whole)


def test_another_key_under_the_same_name_begins_anew(tmp_path: Path) -> None:
    here = worker(tmp_path / "rests")
    here("one/model").failed(monotonic())
    assert worker(tmp_path / "rests")("one/model").resting
    changed = worker(tmp_path / "rests", schema.Provider(base_url="http://one", api_key="other"))
    assert not changed("one/model").resting


def test_more_names_than_fit_are_told_as_far_as_they_fit(tmp_path: Path) -> None:
    rests = SharedRests(tmp_path / "rests")
    until = monotonic() + 60
    for number in range(ROWS * 2):
        rests.tell(f"name {number}", until)
    told = rests.told()
    assert ROWS // 2 < len(told) <= ROWS
    assert all(abs(found - until) < 0.001 for found in told.values())
    rests.close()


def test_a_file_of_another_boot_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rests"
    rests = SharedRests(path)
    rests.tell("one", monotonic() + 60)
    rests.close()
    path.write_bytes(b"another!" + path.read_bytes()[8:])
    assert SharedRests(path).told() == {}


def _tell(path: Path, name: str) -> None:
    rests = SharedRests(path)
    for number in range(300):
        rests.tell(f"{name} {number}", 1e6 + number)
    rests.close()


def test_processes_that_tell_at_once_leave_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "rests"
    SharedRests(path).close()
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_tell, args=(path, "ab"[number % 2])) for number in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    known = {hashed(f"{name} {number}"): 1e6 + number for name in "ab" for number in range(300)}
    told = SharedRests(path).told()
    assert len(told) > 300
    # Two names that took the same free row at once may stand there with one's hash and the other's time, for once.
    wrong = [key for key, until in told.items() if abs(known[key] - until) > 0.001]
    assert len(wrong) <= 20
