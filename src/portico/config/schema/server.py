"""What the processes are told: the port, bounds and time limits, what is written of calls."""

from typing import Annotated, Literal

from msgspec import Meta

from portico.config.schema.words import Bytes, Closed, Seconds, Secret, said


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
    reply: Annotated[Bytes, said("A whole (not streamed) reply that is held in memory to be accounted.")] = (
        64 * 1024 * 1024
    )
    connections: Annotated[int, said("Connections of one worker; fewer where it may open too few files.", ge=1)] = (
        16_384
    )


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
    state_size: Annotated[
        Bytes,
        said("The two files of counters and of open permits, half each; all of it is taken from the disk at once."),
    ] = 96 * 1024 * 1024
    drain: Annotated[Seconds, said("How long streams in flight may go on after a stop was asked for.")] = 30.0
    tls: Annotated[Tls | None, said("Serve HTTPS.")] = None
    cors: Annotated[
        str | None,
        said("The origin of web pages that may call from a browser (`https://chat.example.com`), or `*` for any."),
    ] = None
    litellm_headers: Annotated[
        bool,
        said(
            "Give every reply the `x-litellm-*` headers of LiteLLM's proxy too. A caller asks for them by the header "
            "`x-portico-litellm-headers: true`."
        ),
    ] = False
    limits: Annotated[Limits, said("What a caller may send.")] = Limits()
    timeouts: Annotated[ServerTimeouts, said("How long a caller may take.")] = ServerTimeouts()


class Alerts(Closed, frozen=True):
    """Who hears of budgets that were passed or closed."""

    webhook: Annotated[
        Annotated[str, Meta(pattern="^https?://", extra_json_schema={"x-portico": "secret"})] | None,
        said("Where each event is posted to as JSON; tried again until it is taken."),
    ] = None


class Logs(Closed, frozen=True):
    """What is written of calls."""

    calls: Annotated[Literal["stdout", "none"], said("Where the JSON line of each call goes.")] = "stdout"
    bodies: Annotated[
        Literal["all", "errors", "none"],
        said("Of which calls the bodies of request and reply are kept; a key may say otherwise of its own."),
    ] = "none"
    fsync: Annotated[
        Literal["none", "group"],
        said(
            "`none`: what is recorded survives every crash of Portico; `group`: loss of power too, for some latency. "
            "A change takes a restart."
        ),
    ] = "none"
