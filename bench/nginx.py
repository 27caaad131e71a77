"""nginx in two parts: the upstream that answers at once, and the proxy that everything is compared with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from bench.bodies import REPLY

Upstream = Literal["plain", "tls", "paced"]
"""An upstream answers at once, or over TLS, or at the pace that the request asks for."""

UPSTREAMS: tuple[Upstream, ...] = ("plain", "tls", "paced")

COMMON = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{servers}
}}
"""

MOCK = """\
  server {{
    listen 127.0.0.1:{plain} backlog=4096;
    listen 127.0.0.1:{tls} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ default_type application/json; return 200 '{reply}'; }}
  }}
"""

PROXY = """\
  upstream {name} {{ server 127.0.0.1:{port}; keepalive 4096; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  server {{
    listen 127.0.0.1:{listen} backlog=4096;
    location / {{
      proxy_pass {scheme}://{name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering {buffering};
      proxy_read_timeout 600s;
{verify}
    }}
  }}
"""

VERIFY = """\
      proxy_ssl_trusted_certificate {ca};
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
"""


def mock(folder: Path, plain: int, tls: int, certificate: Path, key: Path) -> str:
    """Return the configuration of the upstream: the same reply to everything, at once, plain and over TLS."""
    # in a quoted nginx string a backslash and a quote are escaped, and a dollar would begin a variable
    reply = REPLY.decode().replace("\\", "\\\\").replace("'", "\\'")
    assert "$" not in reply
    servers = MOCK.format(plain=plain, tls=tls, certificate=certificate, key=key, reply=reply)
    return COMMON.format(folder=folder, servers=servers)


def proxy(folder: Path, routes: Mapping[Upstream, tuple[int, int]], ca: Path) -> str:
    """Return the configuration of the peer: for each upstream a port of its own (`routes`: listen on, forward to)."""
    servers = ""
    for name, (listen, port) in routes.items():
        verify = VERIFY.format(ca=ca) if name == "tls" else ""
        scheme = "https" if name == "tls" else "http"
        # events must leave as they come; whole replies may be buffered, which is what nginx does best
        buffering = "off" if name == "paced" else "on"
        servers += PROXY.format(name=name, listen=listen, port=port, scheme=scheme, verify=verify, buffering=buffering)
    return COMMON.format(folder=folder, servers=servers)
