"""What a configuration may say: the types that a file is checked against, and that everything else reads.

Durations are seconds and sizes are bytes once loaded; a file may write them as `30s`, `2m`, `64MB`. Every public
field has a docstring line in `docs/reference/configuration.md`, which is generated from here.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, extra_json_schema={"x-portico": "duration"})]
Bytes = Annotated[int, Meta(ge=0, extra_json_schema={"x-portico": "size"})]
Secret = Annotated[str, Meta(min_length=1, extra_json_schema={"x-portico": "secret"})]


def said(description: str, **constraints: object) -> Meta:
    """Return the metadata of a field: what it means, for the reference page and for editors."""
    return Meta(description=description, **constraints)  # type: ignore[arg-type]  # keywords are Meta's own


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the configuration; a key that it does not name is an error."""


class Limits(Closed, frozen=True):
    """Bounds of what a caller may send to one worker; beyond them it is refused."""

    header_bytes: Annotated[Bytes, said("All headers of one request together.")] = 65_536
    header_count: Annotated[int, said("Headers of one request.", ge=1)] = 128
    url_bytes: Annotated[Bytes, said("The request target.")] = 16_384
    body: Annotated[Bytes, said("The body of a call.")] = 64 * 1024 * 1024
    file_body: Annotated[Bytes, said("The body of an upload: audio, images, files.")] = 512 * 1024 * 1024
    memory_body: Annotated[Bytes, said("A body is kept in memory up to here, then in a spool file.")] = 1024 * 1024
    body_budget: Annotated[
        Bytes, said("Bytes of bodies that one worker holds at once, in memory and spooled; then 503.")
    ] = 2 * 1024 * 1024 * 1024
    reply: Annotated[Bytes, said("A whole (not streamed) reply that is held in memory to be accounted.")] = 64 * 1024 * 1024
    connections: Annotated[int, said("Connections of one worker.", ge=1)] = 16_384


class ServerTimeouts(Closed, frozen=True):
    """How long a caller may take."""

    header: Annotated[Seconds, said("From the first byte of a request to the end of its headers.")] = 10.0
    body: Annotated[Seconds, said("Between two pieces of a body.")] = 30.0
    idle: Annotated[Seconds, said("A kept-alive connection without a request.")] = 75.0
    write: Annotated[Seconds, said("A caller that reads nothing of its reply.")] = 120.0


class Tls(Closed, frozen=True):
    """A certificate for the port that callers use."""

    cert: Annotated[str, said("Path of the PEM certificate chain.")]
    key: Annotated[str, said("Path of the PEM private key.")]


class Server(Closed, frozen=True):
    """The port, the processes, and their bounds."""

    host: Annotated[str, said("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, said("Port to listen on; 0 lets the system choose.", ge=0, le=65535)] = 4000
    unix_socket: Annotated[str | None, said("Also listen on this unix socket.")] = None
    workers: Annotated[int | Literal["auto"], said("Gateway processes; `auto` is one per core.")] = "auto"
    master_key: Annotated[
        Secret | None, said("The key that may do everything. Made and kept in the data directory when absent.")
    ] = None
    data_dir: Annotated[str | None, said("Where Portico keeps its state.")] = None
    drain: Annotated[Seconds, said("How long streams in flight may go on after a stop was asked for.")] = 30.0
    tls: Annotated[Tls | None, said("Serve HTTPS.")] = None
    limits: Annotated[Limits, said("What a caller may send.")] = Limits()
    timeouts: Annotated[ServerTimeouts, said("How long a caller may take.")] = ServerTimeouts()


class Timeouts(Closed, frozen=True):
    """How long one attempt at a provider may take."""

    connect: Annotated[Seconds, said("To connect, TLS included.")] = 5.0
    first_byte: Annotated[Seconds, said("From the request sent to the first byte of the reply.")] = 300.0
    between_chunks: Annotated[Seconds, said("Between two pieces of a reply.")] = 120.0
    total: Annotated[Seconds, said("The whole attempt.")] = 1800.0


class Pool(Closed, frozen=True):
    """The connections kept to one provider by one worker."""

    connections: Annotated[int, said("At most this many at once.", ge=1)] = 4096
    idle: Annotated[Seconds, said("An unused connection is closed after this long.")] = 50.0


class Provider(Closed, frozen=True):
    """One provider: a row of the catalog with your keys, or an endpoint of your own."""

    like: Annotated[str | None, said("The catalog's row to follow; by default the one of the same name.")] = None
    base_url: Annotated[str | None, said("Where it is, when not where the catalog says.")] = None
    api_key: Annotated[Secret | None, said("Its key.")] = None
    api_keys: Annotated[
        tuple[Secret, ...], said("Several keys: calls are balanced over them, and one that fails rests.")
    ] = ()
    headers: Annotated[dict[str, str], said("Headers to send with every call.")] = {}
    options: Annotated[
        dict[str, str | int | float | bool],
        said("What this kind of provider needs besides a key: `region`, `project`, `api_version`, `resource` …"),
    ] = {}
    models: Annotated[
        tuple[str, ...], said("Models it serves that the catalog does not know (or all, for an endpoint of your own).")
    ] = ()
    timeouts: Annotated[Timeouts | None, said("Deadlines, when other than the general ones.")] = None
    pool: Annotated[Pool, said("Connections kept to it.")] = Pool()
    ca: Annotated[str | None, said("Path of a PEM bundle to trust instead of the system's.")] = None
    client_cert: Annotated[str | None, said("Path of a PEM certificate to present.")] = None
    client_key: Annotated[str | None, said("Path of the PEM key of `client_cert`.")] = None
    proxy: Annotated[
        str | None, said("HTTP(S) proxy; by default HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply. `none` for no proxy.")
    ] = None


class Price(Closed, frozen=True):
    """What a model costs, in dollars per million tokens; it overrides the shipped price."""

    input: Annotated[float, said("Input tokens.", ge=0)]
    output: Annotated[float, said("Output tokens.", ge=0)]
    cache_read: Annotated[float | None, said("Input tokens read from the provider's cache.", ge=0)] = None
    cache_write: Annotated[float | None, said("Input tokens written to the provider's cache (5 minutes).", ge=0)] = None
    cache_write_1h: Annotated[float | None, said("Input tokens written to it for an hour.", ge=0)] = None


class Target(Closed, frozen=True):
    """One place where a call may go."""

    model: Annotated[str, said("`provider/model`.")]
    weight: Annotated[float, said("Its share, for the strategy `weighted`.", ge=0)] = 1.0
    timeouts: Annotated[Timeouts | None, said("Deadlines of attempts here.")] = None


class Model(Closed, frozen=True):
    """A model name of your own, and where calls to it go."""

    targets: Annotated[tuple[Target, ...], said("`provider/model` or a table, in order.", min_length=1)]
    strategy: Annotated[
        Literal["fallback", "weighted"],
        said("`fallback` tries targets in order; `weighted` starts at one drawn by weight, then tries the others."),
    ] = "fallback"


class Key(Closed, frozen=True):
    """A key that callers hold."""

    key: Annotated[Secret, said("The key itself.")]
    models: Annotated[
        tuple[str, ...], said("Names it may call; `*` stands for any run of characters. Empty: all.")
    ] = ()
    passthrough: Annotated[
        tuple[str, ...], said("Providers it may reach by `/{provider}/…`. Empty: none.")
    ] = ()


class Retries(Closed, frozen=True):
    """How often one target is tried before the next."""

    attempts: Annotated[int, said("Tries of one target.", ge=1, le=10)] = 1
    on: Annotated[
        tuple[Literal["connect", "timeout", "429", "5xx"], ...], said("What may be tried again, here or at the next target.")
    ] = ("connect", "timeout", "429", "5xx")


class Logs(Closed, frozen=True):
    """What is written of calls."""

    calls: Annotated[Literal["stdout", "none"], said("Where the JSON line of each call goes.")] = "stdout"


class Config(Closed, frozen=True):
    """A whole configuration."""

    server: Annotated[Server, said("The port, the processes, and their bounds.")] = Server()
    providers: Annotated[dict[str, Provider], said("Providers by name.")] = {}
    models: Annotated[dict[str, Model], said("Model names of your own, and their targets.")] = {}
    keys: Annotated[dict[str, Key], said("Keys that callers hold, by a name for people.")] = {}
    retries: Annotated[Retries, said("How often one target is tried before the next.")] = Retries()
    timeouts: Annotated[Timeouts, said("How long one attempt at a provider may take.")] = Timeouts()
    prices: Annotated[dict[str, Price], said("Prices by `provider/model`, over the shipped ones.")] = {}
    logs: Annotated[Logs, said("What is written of calls.")] = Logs()
