"""The pause before a process is started again grows with each death in a row."""

import os

from portico.supervisor.process import LONGEST_PAUSE, STABLE, Process
from portico.supervisor.supervise import of_workers


def process():
    return Process("worker 1", lambda link: [], [])


def test_the_pause_doubles_up_to_its_bound():
    dying = process()
    pauses = [dying.ended(now) for now in range(12)]
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]
    assert pauses[-1] == LONGEST_PAUSE
    assert dying.restart_at == 11 + LONGEST_PAUSE


def test_a_stable_run_makes_earlier_deaths_forgotten():
    dying = process()
    for now in range(5):
        dying.ended(now)
    dying.ready = True
    dying.started_at = 100.0
    assert dying.ended(100.0 + STABLE) == 0.05
    assert dying.deaths == 1


def test_a_long_run_that_never_served_is_not_stable():
    dying = process()
    dying.ended(0.0)
    assert dying.ended(1000.0) == 0.1


def test_what_is_compiled_apart_is_on_the_path_of_workers_alone():
    assert of_workers({"HOME": "/root"}) == {"HOME": "/root"}
    given = {"PORTICO_WORKER_PATH": "/made", "HOME": "/root"}
    assert of_workers(given) == {**given, "PYTHONPATH": "/made"}
    theirs = {**given, "PYTHONPATH": "/theirs"}
    assert of_workers(theirs) == {**theirs, "PYTHONPATH": f"/made{os.pathsep}/theirs"}
