"""What happens when a process dies or hangs: it is replaced, and nobody else notices."""

import http.client
import os
import signal
import socket

from portico.testing.running import PATIENCE, alive, eventually, running_portico


def replaced(portico, gone, count=2):
    """Return the workers once `gone` is not among them and there are `count` again."""
    return eventually(
        lambda: (now := portico.workers()) and gone not in now and len(now) == count and now, "a worker is replaced"
    )


def test_a_killed_worker_is_replaced_and_the_others_stay():
    with running_portico() as portico:
        first, second = portico.workers()
        os.kill(first, signal.SIGKILL)
        portico.errors.wait_for(f"worker 1 (process {first}) was killed by SIGKILL")
        portico.errors.wait_for("worker 1 is back")
        assert second in replaced(portico, first)
        for _ in range(20):
            assert portico.request("GET", "/readyz")[0] == 200


def state(pid):
    """Return the letter of a process's state."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_a_connection_that_waits_for_a_killed_worker_is_served_by_the_next():
    with running_portico(arguments=["--workers", "1"]) as portico:
        (worker,) = portico.workers()
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: state(worker) == "T", "the worker is stopped")
        with socket.create_connection(portico.address, timeout=PATIENCE) as waiting:
            waiting.sendall(b"GET /livez HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
            os.kill(worker, signal.SIGKILL)
            assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_stream_of_another_worker_goes_on_when_one_is_killed(held, ask):
    with running_portico(held.config()) as portico:
        streams = []
        for _ in range(6):
            connection = http.client.HTTPConnection(*portico.address, timeout=PATIENCE)
            connection.connect()
            connection.request(
                "POST",
                "/v1/chat/completions",
                body=str(ask(stream=True)).replace("'", '"').replace("True", "true").encode(),
                headers={"authorization": f"Bearer {portico.master_key}", "content-type": "application/json"},
            )
            assert held.streaming.acquire(timeout=PATIENCE)
            streams.append(connection)
        victim, survivor = portico.workers()
        mine = connections_of(victim)
        os.kill(victim, signal.SIGKILL)
        portico.errors.wait_for("worker 1 is back")
        held.release.set()
        for connection in streams:
            if connection.sock.getsockname()[1] in mine:
                connection.close()
                continue
            body = connection.getresponse().read()
            assert body.endswith(b"data: [DONE]\n\n")
            connection.close()
        assert survivor in portico.workers()


def connections_of(pid):
    """Return the peers' ports of a process's established TCP connections."""
    inodes = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    with open(f"/proc/{pid}/net/tcp") as table:
        for row in table.readlines()[1:]:
            columns = row.split()
            if columns[9] in inodes:
                ports.add(int(columns[2].partition(":")[2], 16))
    return ports


def test_a_hung_worker_is_killed_and_replaced():
    with running_portico(PORTICO_SILENCE="1.5") as portico:
        hung, other = portico.workers()
        os.kill(hung, signal.SIGSTOP)
        portico.errors.wait_for("has been silent for 1.5 s")
        assert other in replaced(portico, hung)
        assert not alive(hung)


def test_nothing_is_left_when_the_supervisor_is_killed():
    with running_portico() as portico:
        pids = [*portico.workers(), portico.control()]
        portico.process.kill()
        eventually(lambda: not any(alive(pid) for pid in pids), "all processes are gone")


def test_what_a_killed_portico_left_does_not_keep_the_next_from_starting(tmp_path):
    shared = ["--data-dir", str(tmp_path), "--workers", "1"]
    with running_portico(arguments=shared) as first:
        first.process.kill()
        first.wait()
    with running_portico(arguments=shared) as second:
        assert second.request("GET", "/api/v1/health")[0] == 200


def test_calls_go_on_without_control_and_control_comes_back(held, ask):
    with running_portico(held.config()) as portico:
        control = portico.control()
        os.kill(control, signal.SIGKILL)
        assert portico.request("POST", "/v1/chat/completions", ask(), key=portico.master_key)[0] == 200
        portico.errors.wait_for(f"control (process {control}) was killed by SIGKILL")
        portico.errors.wait_for("control is back")
        assert portico.request("GET", "/api/v1/health")[0] == 200
        assert portico.control() != control


def test_a_worker_that_dies_again_and_again_is_covered_by_another():
    with running_portico() as portico:
        dead = -1
        # Its pause doubles with each death in a row; while the last one lasts, every connection must find somebody.
        for pause in ("0.05", "0.1", "0.2", "0.4", "0.8", "1.6", "3.2"):
            at = len(portico.errors)
            dead = replaced(portico, dead)[0]
            os.kill(dead, signal.SIGKILL)
            portico.errors.wait_for(f"the next one starts in {pause} s", after=at)
        for _ in range(10):
            assert portico.request("GET", "/livez")[0] == 200
        assert len(portico.workers()) == 1


def test_a_killed_worker_fails_its_own_calls_in_flight_and_no_other(held, calling):
    with running_portico(held.config()) as portico:
        callers = calling(portico)
        eventually(lambda: callers.answered > 20, "calls are made")
        os.kill(portico.workers()[0], signal.SIGKILL)
        portico.errors.wait_for("worker 1 is back")
        callers.done = True
        callers.join()
    # Four callers have one call each in flight; none can fail twice by one death.
    assert len(callers.failed) <= 4
