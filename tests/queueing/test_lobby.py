"""The decision who waits, tries, is shed and is too late, at times that the tests say."""

import pytest

from portico.errors import LimitExceeded
from portico.queueing.line import Key, Waiter
from portico.queueing.lobby import Lobby

REFUSED = LimitExceeded("the limit is used up")


def waiter(
    flow: str = "team", deadline: float = 60.0, *, priority: int = 0, size: int = 0, weight: float = 1.0
) -> Waiter:
    return Waiter(flow, deadline, REFUSED, priority=priority, size=size, weight=weight)


def lobby(calls: int = 1000, size: int = 1 << 20) -> Lobby:
    return Lobby(calls, size)


def names(turns: list[tuple[Waiter, Key]]) -> list[Key]:
    return [key for _, key in turns]


def test_one_call_of_a_line_tries_at_a_time_and_the_next_once_it_got_through() -> None:
    here = lobby()
    first, second = waiter(), waiter()
    assert here.join(first, [("door", 5.0)], 0.0) == []
    assert here.join(second, [("door", 5.0)], 0.0) == []
    assert here.due(4.9) == []
    assert here.wake() == 5.0
    assert here.due(5.0) == [(first, "door")]
    assert here.due(5.0) == []
    here.granted(first, 5.1)
    assert here.due(5.1) == [(second, "door")]
    here.again(second, [("door", 9.0)], 5.2)
    assert here.due(8.9) == []
    assert here.due(9.0) == [(second, "door")]
    here.granted(second, 9.0)
    assert here.wake() is None
    assert not here.lines
    assert len(here) == 0


def test_what_was_given_back_is_tried_for_at_once() -> None:
    here = lobby()
    first = waiter()
    here.join(first, [("door", 5.0)], 0.0)
    assert here.open("door", 1.0)
    assert here.due(1.0) == [(first, "door")]
    assert not here.open("another", 1.0)


def test_positions_are_told_as_the_turns_will_be() -> None:
    here = lobby()
    found = [waiter() for _ in range(3)]
    for each in found:
        here.join(each, [("door", 5.0)], 0.0)
    quiet = waiter("quiet")
    here.join(quiet, [("door", 5.0)], 0.0)
    assert [each.position for each in found] == [1, 2, 3]
    assert quiet.position == 2


def test_a_call_may_wait_at_several_doors_and_leaves_all_of_them_at_once() -> None:
    here = lobby()
    first, second = waiter(), waiter()
    here.join(first, [("one", 5.0), ("two", 7.0)], 0.0)
    here.join(second, [("two", 7.0)], 0.0)
    assert here.due(5.0) == [(first, "one")]
    assert here.due(7.0) == []  # the first of that line tries elsewhere
    here.granted(first, 7.0)
    assert here.due(7.0) == [(second, "two")]
    assert list(here.lines) == ["two"]


def test_a_call_that_fails_elsewhere_gives_its_turns_in_other_lines_their_due() -> None:
    here = lobby()
    first = waiter()
    here.join(first, [("one", 5.0), ("two", 6.0)], 0.0)
    assert here.due(5.0) == [(first, "one")]
    assert here.due(6.0) == []
    here.again(first, [("one", 9.0), ("two", 6.0)], 6.0)
    assert here.due(6.0) == [(first, "two")]


def test_a_call_that_something_else_refuses_goes_to_the_line_of_that() -> None:
    here = lobby()
    first, second, other = waiter(), waiter(), waiter("other")
    here.join(first, [("key", 1.0)], 0.0)
    here.join(second, [("key", 1.0)], 0.0)
    here.join(other, [("team", 3.0)], 0.0)
    assert here.due(1.0) == [(first, "key")]
    here.again(first, [("team", 3.0)], 1.0)
    assert here.due(1.0) == [(second, "key")]
    here.granted(second, 1.0)
    assert here.due(3.0) == [(other, "team")]
    here.granted(other, 3.0)
    assert here.due(3.0) == [(first, "team")]


def test_who_hangs_up_in_its_turn_hands_it_on() -> None:
    here = lobby()
    first, second = waiter(), waiter()
    here.join(first, [("door", 5.0)], 0.0)
    here.join(second, [("door", 5.0)], 0.0)
    assert here.due(5.0) == [(first, "door")]
    here.leave(first, 5.5)
    assert here.due(5.5) == [(second, "door")]


def test_a_call_whose_time_is_up_leaves() -> None:
    here = lobby()
    short, long = waiter(deadline=2.0), waiter(deadline=10.0)
    here.join(long, [("door", 1.0)], 0.0)
    here.join(short, [("door", 1.0)], 0.0)
    here.due(1.0)
    here.again(long, [("door", 9.0)], 1.0)
    assert here.wake() == 2.0
    assert here.late(2.0) == [short]
    assert short not in here
    assert here.late(2.0) == []


def test_who_tries_as_its_time_is_up_is_let_finish() -> None:
    here = lobby()
    first = waiter(deadline=2.0)
    here.join(first, [("door", 1.0)], 0.0)
    assert here.due(1.999) == [(first, "door")]
    assert here.late(2.0) == []
    here.again(first, [("door", 9.0)], 2.001)
    assert here.late(2.02) == [first]


def test_a_call_is_not_taken_in_where_its_time_is_up_before_anything_opens() -> None:
    here = lobby()
    hopeless = waiter(deadline=4.0)
    assert here.join(hopeless, [("door", 5.0)], 0.0) == [hopeless]
    assert here.join(waiter(deadline=4.0), [("door", 5.0), ("two", 3.0)], 0.0) == []
    assert len(here) == 1


def test_a_call_is_not_taken_in_whose_turn_would_come_far_too_late() -> None:
    here = lobby()
    for _ in range(40):
        here.join(waiter(deadline=1000.0), [("door", 0.0)], 0.0)
    now = 0.0
    for _ in range(20):  # one a second
        ((each, _),) = here.due(now)
        here.granted(each, now)
        here.due(now)
        following = here.lines["door"].trying
        assert following is not None
        now += 1.0
        here.again(following, [("door", now)], now - 0.5)
    hopeless, patient, quiet = waiter(deadline=now + 5), waiter(deadline=now + 30), waiter("quiet", deadline=now + 5)
    assert here.join(hopeless, [("door", now)], now) == [hopeless]
    assert hopeless not in here
    assert here.join(patient, [("door", now)], now) == []
    assert here.join(quiet, [("door", now)], now) == []


def test_where_the_room_is_full_the_flow_with_most_of_it_gives_way_by_its_nearest_deadline() -> None:
    here = lobby(calls=5)
    hogs = [waiter("hog", deadline) for deadline in (30.0, 10.0, 20.0, 40.0)]
    for each in hogs:
        here.join(each, [("door", 5.0)], 0.0)
    small = waiter("small", 6.0)
    assert here.join(small, [("door", 5.0)], 0.0) == []
    assert here.join(waiter("other", 50.0), [("elsewhere", 5.0)], 0.0) == [hogs[1]]
    assert here.join(waiter("hog", 50.0), [("door", 5.0)], 0.0) == [hogs[2]]
    assert small in here
    assert len(here) == 5


def test_the_least_priority_gives_way_first() -> None:
    here = lobby(calls=2)
    urgent, idle = waiter(deadline=10.0, priority=2), waiter(deadline=50.0, priority=0)
    here.join(urgent, [("door", 5.0)], 0.0)
    here.join(idle, [("door", 5.0)], 0.0)
    assert here.join(waiter(deadline=20.0, priority=1), [("door", 5.0)], 0.0) == [idle]
    least = waiter(deadline=50.0, priority=0)
    assert here.join(least, [("door", 5.0)], 0.0) == [least]


def test_weight_gives_room() -> None:
    here = lobby(calls=4)
    for _ in range(3):
        here.join(waiter("weighty", weight=8.0), [("door", 5.0)], 0.0)
    one = waiter("light", 10.0)
    here.join(one, [("door", 5.0)], 0.0)
    assert here.join(waiter("weighty", weight=8.0), [("door", 5.0)], 0.0) == [one]


def test_bytes_are_bounded_as_calls_are() -> None:
    here = lobby(size=1000)
    big = waiter("big", size=900)
    here.join(big, [("door", 5.0)], 0.0)
    for _ in range(10):
        here.join(waiter("many", size=10), [("door", 5.0)], 0.0)
    assert here.held == 1000
    assert here.join(waiter("many", size=10), [("door", 5.0)], 0.0) == [big]
    assert here.held == 110
    enormous = waiter("big", size=1001)
    assert here.join(enormous, [("door", 5.0)], 0.0) == [enormous]


def test_who_tries_is_not_shed() -> None:
    here = lobby(calls=1)
    first = waiter(deadline=10.0)
    here.join(first, [("door", 1.0)], 0.0)
    here.due(1.0)
    late = waiter(deadline=20.0)
    assert here.join(late, [("door", 5.0)], 1.0) == [late]
    assert first in here


def test_all_can_be_hurried() -> None:
    here = lobby()
    found = [waiter(deadline=60.0), waiter(deadline=3.0)]
    for each in found:
        here.join(each, [("door", 50.0)], 0.0) if each is found[0] else here.join(each, [("door", 1.0)], 0.0)
    here.hurry(7.0)
    assert set(here.late(7.0)) == set(found)


@pytest.mark.parametrize("leavers", [0, 1, 2])
def test_nothing_is_kept_of_calls_that_are_gone(leavers: int) -> None:
    here = lobby()
    for number in range(5000):
        each = waiter(f"team-{number % 7}", number + 50.0, size=10)
        here.join(each, [("door", 1e9)], float(number))
        if leavers == 0:
            here.leave(each, float(number))
        elif leavers == 1 and number % 2:
            here.open("door", float(number))
            for turn, _ in here.due(float(number)):
                here.granted(turn, float(number))
        else:
            here.late(float(number))
    assert len(here) < 3000
    for each in list(here._waiters):
        here.leave(each, 1e6)
    assert (len(here), here.held, here.lines, here._crowds) == (0, 0, {}, {})
    assert here.wake() is None
    assert len(here._deadlines) < 200
