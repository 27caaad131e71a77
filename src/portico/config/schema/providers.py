"""Providers in use, and prices."""

from typing import Annotated, Literal

from portico.config.schema.words import AtOnce, Closed, Rate, Retention, Seconds, Secret, said


class Timeouts(Closed, frozen=True):
    """How long one attempt at a provider may take."""

    connect: Annotated[Seconds, said("To connect, TLS included.")] = 5.0
    first_byte: Annotated[Seconds, said("From the request sent to the first byte of the reply.")] = 300.0
    between_chunks: Annotated[Seconds, said("Between two pieces of a reply.")] = 120.0
    total: Annotated[Seconds, said("The whole attempt.")] = 1800.0
    call: Annotated[
        Seconds,
        said(
            "The whole call, with all its attempts and the waits between them, until its answer begins. Only the "
            "general one counts."
        ),
    ] = 1800.0


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
    team_keys: Annotated[
        Literal["optional", "required"],
        said(
            "Whether a call needs a key for this provider that belongs to its own team. `optional`: where its team has "
            "none, the shared keys serve. `required`: it is refused."
        ),
    ] = "optional"
    headers: Annotated[dict[str, Secret], said("Headers to send with every call.")] = {}
    options: Annotated[
        dict[str, str | int | float | bool],
        said("What this kind of provider needs besides a key: `region`, `project`, `api_version`, `resource` …"),
    ] = {}
    models: Annotated[
        tuple[str, ...], said("Models it serves that the catalog does not know (or all, for an endpoint of your own).")
    ] = ()
    base_models: Annotated[
        dict[str, str],
        said(
            "What models with names of your own are (`my-deployment: gpt-4o`): what they cost and how they depart from "
            "the dialect is found by that name."
        ),
    ] = {}
    operations: Annotated[
        tuple[str, ...],
        said("The only operations to use of those it has, by name: `[responses]` for models that have no `chat`."),
    ] = ()
    quirks: Annotated[
        tuple[str, ...],
        said(
            "How it departs from its dialect, beside what the catalog says of it: names from the catalog's table of "
            "quirks. With `-` before its name, a quirk of the catalog's is left out."
        ),
    ] = ()
    timeouts: Annotated[
        Timeouts | None, said("Deadlines, when other than the general ones, which fill in what is left out.")
    ] = None
    pool: Annotated[Pool, said("Connections kept to it.")] = Pool()
    ca: Annotated[str | None, said("Path of a PEM bundle to trust instead of the system's.")] = None
    client_cert: Annotated[str | None, said("Path of a PEM certificate to present.")] = None
    client_key: Annotated[str | None, said("Path of the PEM key of `client_cert`.")] = None
    region: Annotated[str | None, said("Where it computes: `eu`, `us-east-1` …; by default `options.region`.")] = None
    residency: Annotated[str | None, said("Where what it is sent stays, by law or contract: `eu`, `us` …")] = None
    retention: Annotated[
        Retention | None,
        said("What it keeps of calls: `none`; `limited`, for a while and not to learn from; `training`."),
    ] = None
    max_concurrency: Annotated[
        AtOnce | None,
        said("Calls that are there at once at most, of all workers; others go elsewhere, wait or fail."),
    ] = None
    adaptive: Annotated[
        bool | None,
        said(
            "Send as many calls at once, and as many a second, as each model turns out to bear: fewer after a 429, an "
            "overload or a time-out, and more again by and by. By default where calls may wait (`queue`)."
        ),
    ] = None
    proxy: Annotated[
        str | None, said("HTTP(S) proxy; by default HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply. `none` for no proxy.")
    ] = None


class PriceChange(Closed, frozen=True, rename={"day": "from"}):
    """What a model costs from a day on."""

    day: Annotated[str, said('The first day, by UTC: `"2026-12-01"`.')]
    input: Annotated[Rate | None, said("Input tokens.")] = None
    output: Annotated[Rate | None, said("Output tokens.")] = None
    cache_read: Annotated[Rate | None, said("Input tokens read from the provider's cache.")] = None
    cache_write: Annotated[Rate | None, said("Input tokens written to the provider's cache (5 minutes).")] = None
    cache_write_1h: Annotated[Rate | None, said("Input tokens written to it for an hour.")] = None
    rates: Annotated[dict[str, Rate], said("Any other rate by its name.")] = {}


class Price(Closed, frozen=True):
    """What a model costs, in dollars per million tokens; it overrides the shipped price.

    The name may hold `*`, which stands for any run of characters of the model's: an exact name goes first, then the
    longest pattern. `my-vllm/*: {input: 0, output: 0}` says that what is served there costs nothing. A model whose
    price nobody has said is unpriced, and a hard budget in money refuses it.
    """

    input: Annotated[float, said("Input tokens.", ge=0)]
    output: Annotated[float, said("Output tokens.", ge=0)]
    cache_read: Annotated[Rate | None, said("Input tokens read from the provider's cache.")] = None
    cache_write: Annotated[Rate | None, said("Input tokens written to the provider's cache (5 minutes).")] = None
    cache_write_1h: Annotated[Rate | None, said("Input tokens written to it for an hour.")] = None
    rates: Annotated[
        dict[str, Rate],
        said(
            "Any other rate by its name: `reasoning`, `input_audio`, `input>200000`, `batch.output`, `training` … per "
            "million tokens; `image`, `character`, `second`, `page`, `search`, `call`, `file_search`, `code_session` "
            "each."
        ),
    ] = {}
    changes: Annotated[tuple[PriceChange, ...], said("What it costs from a day on; what is not named stays.")] = ()
