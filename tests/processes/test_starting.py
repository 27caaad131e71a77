"""What keeps Portico from starting is said in a sentence, with an exit code of its own."""

import contextlib
import http.client
import os
import socket
import ssl
import stat
import subprocess

import pytest

from portico.testing.running import running_portico, start_portico


@contextlib.contextmanager
def failing(tmp_path, config=None, arguments=("--workers", "1"), **environ):
    portico = start_portico(tmp_path, config, arguments, environ)
    try:
        yield portico
    finally:
        portico.end()


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with failing(tmp_path, arguments=["--port", str(port), "--workers", "2"]) as portico:
            assert portico.wait() == 3
    assert f"port {port} on 127.0.0.1 is in use by another program" in portico.errors.lines[-1]
    assert "--port" in portico.errors.lines[-1]


def test_a_port_that_another_portico_shares_with_its_workers_is_taken(tmp_path):
    with running_portico() as first:
        port = first.address[1]
        with failing(tmp_path, arguments=["--port", str(port), "--workers", "2"]) as second:
            assert second.wait() == 3


def test_a_taken_data_directory_is_named_with_its_holder(tmp_path):
    with running_portico() as first:
        with failing(tmp_path, arguments=["--data-dir", str(first.data_dir)]) as second:
            assert second.wait() == 3
        assert f"in use by another Portico (process {first.pid})" in second.errors.lines[-1]
        assert first.request("GET", "/livez")[0] == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "sealed").mkdir(mode=0o500)
    with failing(tmp_path, arguments=["--data-dir", str(tmp_path / "sealed" / "in")]) as portico:
        assert portico.wait() == 3
    assert "--data-dir" in portico.errors.lines[-1]


def test_a_data_directory_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with failing(tmp_path, arguments=["--data-dir", str(tmp_path / "file")]) as portico:
        assert portico.wait() == 3
    assert "--data-dir" in portico.errors.lines[-1]


def test_a_bad_configuration_is_refused_with_its_line(tmp_path):
    with failing(tmp_path, "server:\n  prot: 4000\n") as portico:
        assert portico.wait() == 2
    assert any("portico.yaml:2" in line and "port" in line for line in portico.errors.lines)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PORTICO_WORKERS": "many"}, "PORTICO_WORKERS"),
        ({"PORTICO_SILENCE": "long"}, "PORTICO_SILENCE"),
        ({"PORTICO_CONFIG": "/nowhere/portico.yaml"}, "/nowhere/portico.yaml"),
    ],
)
def test_a_bad_variable_is_named(tmp_path, environ, said):
    with failing(tmp_path, arguments=[], **environ) as portico:
        assert portico.wait() == 2
    assert any(said in line for line in portico.errors.lines)


def test_a_host_that_is_no_address_of_this_machine_is_named(tmp_path):
    with failing(tmp_path, arguments=["--host", "192.0.2.1", "--workers", "1"]) as portico:
        assert portico.wait() == 3
    assert "192.0.2.1 is not an address of this machine" in portico.errors.lines[-1]


def test_it_listens_on_a_unix_socket_in_place_of_a_stale_one(tmp_path):
    path = tmp_path / "portico.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with running_portico({"server": {"unix_socket": str(path)}}) as portico:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        connection = http.client.HTTPConnection("gateway")
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.connect(str(path))
            connection.request("GET", "/livez")
            assert connection.getresponse().status == 200
        portico.stop()
        assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("do not remove")
    with failing(tmp_path, {"server": {"unix_socket": str(path)}}) as portico:
        assert portico.wait() == 3
    assert path.read_text() == "do not remove"


def make_certificate(folder, name):
    """Write a self-signed certificate for 127.0.0.1 and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    return certificate.public_bytes(pem).decode()


def test_it_serves_https_and_takes_a_renewed_certificate(tmp_path):
    first = make_certificate(tmp_path, "first")
    tls = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    with running_portico({"server": {"tls": tls}}) as portico:
        assert portico.url.startswith("https://")
        assert ssl.get_server_certificate(portico.address, timeout=30) == first
        second = make_certificate(tmp_path, "second")
        portico.errors.wait_for("configuration version 2 is in force")
        assert ssl.get_server_certificate(portico.address, timeout=30) == second


def test_a_certificate_that_is_none_is_named(tmp_path):
    (tmp_path / "cert.pem").write_text("nothing of the kind")
    tls = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "cert.pem")}
    with failing(tmp_path, {"server": {"tls": tls}}) as portico:
        assert portico.wait() == 2
    assert any("server.tls" in line and "cert.pem" in line for line in portico.errors.lines)


def test_the_processes_have_no_terminal_to_read_from():
    with running_portico() as portico:
        for pid in [*portico.workers(), portico.control()]:
            assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"


def test_every_process_can_be_seen_for_what_it_is():
    with running_portico() as portico:
        shown = subprocess.run(
            ["ps", "-o", "args=", "-p", str(portico.pid)], capture_output=True, text=True, check=True
        )
    assert "portico.supervisor" in shown.stdout
