"""How a result is told: tables for the terminal, a page in Markdown, JSON, and plots."""

import json
import time
from pathlib import Path

from bench import plots
from bench.figures import Spread
from bench.results import MEGABYTE, Result, as_dict, number, promises, shown
from bench.scenarios import Row

Table = list[list[str]]
NONE = "-"
QUIET = 0.05
"""The share of a core that others may use before the figures are called noise."""

UNSAID = """\
## What these figures do not say

- The upstream is a mock on the same machine that answers at once. A real provider takes hundreds of milliseconds,
  beside which every latency here vanishes; what stays visible there is CPU per call (your bill) and what happens
  under load and on errors.
- The mock's replies begin alike, as those of engines that people host themselves do: Portico does not parse a head
  again that repeats the last one. Where every reply has an id of its own, a call costs it 2 to 3 µs more.
- nginx and the direct line check no key, read no usage and write no record; Portico does. LiteLLM ran with its
  master key and without a database, so it kept less than in production. Portkey's gateway has no keys and no
  accounts of its own. They are beside each other because they stand at the same place in front of a provider, not
  because they do the same.
- One worker on one core, the load and the mock on another. More workers were not measured here, nor a network, nor
  other pairs of dialects than those above, nor anything else that a configuration may switch on.
- Portico's records are in its journal before their callers have the last byte. Another process brings them from there
  into the store, at 15 to 35 µs of CPU a record, and stands back for up to a minute while calls want its core. Here
  it shares the one core of the gateway, so that a part of that work is done when the load is over.
- Near the ceiling the load's core is the limit, not the subject: where *load core* is close to 1, calls a second
  are a lower bound (nginx's usually are, which flatters every ratio of calls a second against it). CPU per call is
  the better figure there.
- CPU is what the kernel accounts to the subject's processes, in ticks of 10 ms. What the network stack does in
  interrupts may be outside of it, for all subjects alike.
- CPU per event of a stream falls as the rate rises, because one wake-up then serves several events. LiteLLM and
  Portkey were driven with a sixteenth of the streams, being unable to follow the others, so theirs is not quite
  comparable.
- Resident memory counts pages shared between processes once for each of them, so the sum of several is an upper
  bound.
- Percentiles are the client's, which shares its core with the mock. At 64 connections they say how full the queue
  was, not how quick the subject is; only those at one connection, over nginx's of the same round, are about speed.
- A busy machine makes all of this noise. The load before the start is above; the extremes in brackets tell the
  rest.
"""


def progress(row: Row) -> str:
    """Return one line about a row just measured."""
    known = ", ".join(
        f"{name} {number(value)}" for name, value in row.values.items() if name in ("rate", "cpu", "p50", "p99", "lost")
    )
    wrong = "; ".join(f"{fault}: {count}" for fault, count in row.faults.items())
    return f"  {row.scenario} #{row.turn + 1} {row.subject}: {known or '-'}{'  FAULTS ' + wrong if wrong else ''}"


def _cell(found: Spread | None, scale: float = 1.0) -> str:
    return NONE if found is None else shown(found.scaled(scale))


def calls_table(result: Result, scenario: str) -> Table:
    """Whole calls: rates and CPU beside nginx's, latency at one connection over nginx's."""
    table = [
        ["", "calls/s", "of nginx", "CPU µs/call", "of nginx", "p50 µs over nginx", "p99 µs over nginx", "load core"]
    ]
    for subject in result.subjects(scenario):
        faults = result.faults(scenario, subject)
        if not result.rounds(scenario, subject, "rate"):
            table.append([subject, "no figure: " + _told(faults), *[""] * 6])
            continue
        table.append(
            [
                subject,
                _cell(result.figure(scenario, subject, "rate")),
                _cell(result.ratio(scenario, subject, "rate", "nginx")),
                _cell(result.figure(scenario, subject, "cpu")),
                _cell(result.ratio(scenario, subject, "cpu", "nginx")),
                _cell(result.added(scenario, subject, "p50", "nginx")),
                _cell(result.added(scenario, subject, "p99", "nginx")),
                _cell(result.figure(scenario, subject, "load core")),
            ]
        )
    return table


def cost_table(result: Result, scenario: str) -> Table:
    """Streams at full pace: CPU for one event, beside nginx's and the reference's."""
    table = [["", "CPU µs/event", "of nginx", "of the reference", "events/s", "lost", "load core", "faults"]]
    for subject in result.subjects(scenario):
        reference = result.against("stream cost", "stream", scenario, subject, "cpu")
        table.append(
            [
                subject,
                _cell(result.figure(scenario, subject, "cpu")),
                _cell(result.against("stream cost", "nginx", scenario, subject, "cpu")),
                _cell(reference),
                _cell(result.figure(scenario, subject, "rate")),
                _cell(result.figure(scenario, subject, "lost")),
                _cell(result.figure(scenario, subject, "load core")),
                _told(result.faults(scenario, subject)),
            ]
        )
    return table


def timing_table(result: Result, scenario: str) -> Table:
    """Few streams: how much later events come than without a gateway, ms."""
    wanted = ("first p50", "first p99", "transit p50", "transit p99", "gap p99")
    table = [["ms more than direct", *wanted, "lost", "faults"]]
    for subject in result.subjects(scenario):
        cells = [_cell(result.added(scenario, subject, metric, "direct"), 1e-3) for metric in wanted]
        lost = _cell(result.figure(scenario, subject, "lost"))
        table.append([subject, *cells, lost, _told(result.faults(scenario, subject))])
    return table


def held_table(result: Result, scenario: str) -> Table:
    """Many streams: is all of it there, and what does it take."""
    table = [["", "completed", "at once", "events lost", "CPU µs/event", "RSS MB, all", "worker", "faults"]]
    for subject in result.subjects(scenario):
        table.append(
            [
                subject,
                *[
                    _cell(result.figure(scenario, subject, metric))
                    for metric in ("completed", "at once", "lost", "cpu")
                ],
                _cell(result.figure(scenario, subject, "rss"), 1 / MEGABYTE),
                _cell(result.figure(scenario, subject, "largest rss"), 1 / MEGABYTE),
                _told(result.faults(scenario, subject)),
            ]
        )
    return table


def in_flight_table(result: Result, scenario: str) -> Table:
    """Two thousand calls at once."""
    table = [["", "completed", "failed", "at once", "reply p50 ms", "p99 ms", "CPU µs/call", "RSS MB", "faults"]]
    for subject in result.subjects(scenario):
        table.append(
            [
                subject,
                _cell(result.figure(scenario, subject, "completed")),
                _cell(result.figure(scenario, subject, "failed")),
                _cell(result.figure(scenario, subject, "at once")),
                _cell(result.figure(scenario, subject, "reply p50"), 1e-3),
                _cell(result.figure(scenario, subject, "reply p99"), 1e-3),
                _cell(result.figure(scenario, subject, "cpu")),
                _cell(result.figure(scenario, subject, "rss"), 1 / MEGABYTE),
                _told(result.faults(scenario, subject)),
            ]
        )
    return table


def crossing_calls_table(result: Result, scenario: str) -> Table:
    """Whole calls to a provider of Chat Completions, by what the caller speaks."""
    wanted = [f"{caller} {size} of chat" for size in ("1 KB", "14 KB") for caller in ("messages", "responses")]
    table = [["CPU", "chat 1 KB, µs/call", "chat 14 KB, µs/call", *wanted, "faults"]]
    for subject in result.subjects(scenario):
        cells = [_cell(result.figure(scenario, subject, metric)) for metric in ("chat 1 KB", "chat 14 KB", *wanted)]
        table.append([subject, *cells, _told(result.faults(scenario, subject))])
    return table


def crossing_events_table(result: Result, scenario: str) -> Table:
    """Events of streams from a provider of Chat Completions, by what the caller speaks."""
    table = [["CPU", "chat, µs/event", "messages of chat", "responses of chat", "faults"]]
    for subject in result.subjects(scenario):
        metrics = ("chat", "messages of chat", "responses of chat")
        cells = [_cell(result.figure(scenario, subject, metric)) for metric in metrics]
        table.append([subject, *cells, _told(result.faults(scenario, subject))])
    return table


def pairs_table(result: Result, scenario: str) -> Table:
    """The agent's request from each dialect to each other: µs with tools that came before / with new ones."""
    named = [name for row in result.rows if row.scenario == scenario for name in row.values if "," not in name]
    callers = list(dict.fromkeys(name.partition(" to ")[0] for name in named))
    table = [["µs: tools known / new", *callers]]
    for caller in callers:
        cells = []
        for provider in callers:
            known, new = (
                result.figure(scenario, "portico", f"{caller} to {provider}{more}") for more in ("", ", new tools")
            )
            cells.append(f"{_cell(known)} / {_cell(new)}" if known else NONE)
        table.append([caller, *cells])
    return table


def memory_table(result: Result) -> Table:
    """Resident memory, MB, of all processes of each."""
    table = [["", "idle", "loaded (largest)", "at rest after", "processes"]]
    for subject in result.subjects("memory idle"):
        loaded = result.loaded(subject)
        table.append(
            [
                subject,
                _cell(result.figure("memory idle", subject, "rss"), 1 / MEGABYTE),
                number(loaded / MEGABYTE) if loaded else NONE,
                _cell(result.figure("memory at rest", subject, "rss"), 1 / MEGABYTE),
                _cell(result.figure("memory idle", subject, "processes")),
            ]
        )
    return table


def soak_table(result: Result) -> Table:
    """Memory through a million calls."""
    table = [["", "calls", "broken calls", "plateau MB", "at the end MB", "growth", "faults"]]
    for subject in result.subjects("soak"):
        table.append(
            [
                subject,
                _cell(result.figure("soak", subject, "calls")),
                _cell(result.figure("soak", subject, "broken")),
                _cell(result.figure("soak", subject, "plateau"), 1 / MEGABYTE),
                _cell(result.figure("soak", subject, "end"), 1 / MEGABYTE),
                _cell(result.figure("soak", subject, "growth")),
                _told(result.faults("soak", subject)),
            ]
        )
    return table


def promises_table(result: Result) -> Table:
    """The bounds this project has set itself."""
    mark = {True: "holds", False: "FAILS", None: "?"}
    soaked = bool(result.subjects("soak"))  # a run of its own, which measures nothing else
    told = [one for one in promises(result) if one.holds is not None or not soaked]
    return [["", "bound", "found", ""], *[[one.text, one.bound, one.shown, mark[one.holds]] for one in told]]


def _told(faults: dict[str, int]) -> str:
    return "; ".join(f"{fault}: {count}" for fault, count in faults.items())


def tables(result: Result) -> list[tuple[str, Table]]:
    """Return every table that this run has something for, with its title."""
    found: list[tuple[str, Table]] = []
    for scenario in result.scenarios():
        if scenario.startswith("call"):
            found.append((f"{scenario}, 64 connections and 1", calls_table(result, scenario)))
        elif scenario.startswith("stream cost"):
            found.append((f"{scenario}, 20 ms an event", cost_table(result, scenario)))
        elif scenario == "stream timing":
            found.append(("stream timing, 8 streams, 20 ms an event", timing_table(result, scenario)))
        elif scenario == "streams held":
            found.append(("1,500 streams held, 100 ms an event", held_table(result, scenario)))
        elif scenario == "in flight":
            found.append(("2,000 calls in flight, a second each", in_flight_table(result, scenario)))
        elif scenario == "crossing calls":
            title = "crossing to a provider of chat completions, whole calls, 64 connections"
            found.append((title, crossing_calls_table(result, scenario)))
        elif scenario == "crossing events":
            title = "crossing from a provider of chat completions, streams, 20 ms an event"
            found.append((title, crossing_events_table(result, scenario)))
        elif scenario.startswith("pairs"):
            title = "a request of 14 KB, 12 tools and 30 turns, parsed (below) and rendered (beside)"
            found.append((title, pairs_table(result, scenario)))
        elif scenario == "soak":
            found.append(("soak", soak_table(result)))
    if result.subjects("memory idle"):
        found.append(("resident memory, MB", memory_table(result)))
    found.append(("what was promised", promises_table(result)))
    return found


def plain(table: Table) -> str:
    """Return a table with its columns lined up: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """Return a table in Markdown."""
    rows = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([rows[0], "|---" * len(table[0]) + "|", *rows[1:]])


def _facts(result: Result) -> list[str]:
    facts = [", ".join(f"{name}: {value}" for name, value in result.machine.items())]
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(result.began))
    facts.append(f"{began}, {result.seconds:.0f} s{', quick' if result.quick else ''}")
    facts.append("versions: " + ", ".join(f"{name} {version}" for name, version in result.versions.items() if version))
    foreign = result.foreign()
    if foreign is not None:
        warning = ": THIS MACHINE WAS BUSY, CALLS A SECOND AND PERCENTILES ARE NOISE" if foreign.median > QUIET else ""
        facts.append(f"others used {foreign.median:.0%} of the cores (median; up to {foreign.high:.0%}){warning}")
    facts += [f"left out: {name}: {reason}" for name, reason in result.skipped.items()]
    for name, records in result.records.items():
        verdict = "one for every call" if records.right else "WRONG"
        facts.append(
            f"records of {name}: {records.found:,}, {verdict} ({records.least:,} ended, up to {records.most:,} begun)"
        )
    return facts + result.notes


def as_text(result: Result) -> str:
    """Return the whole report for a terminal."""
    parts = ["\n".join(_facts(result))]
    parts += [f"{title.upper()}\n{plain(table)}" for title, table in tables(result)]
    return "\n\n".join(parts)


def as_markdown(result: Result, pictures: list[str]) -> str:
    """Return the whole report as a page, with what its figures do not say."""
    parts = ["# Comparison", "\n".join(f"- {fact}" for fact in _facts(result))]
    parts.append(
        "Medians of interleaved rounds, with the extremes in brackets; ratios and differences are taken within a round."
    )
    parts += [f"## {title}\n\n{markdown(table)}" for title, table in tables(result)]
    parts += [f"![{Path(picture).stem}]({picture})" for picture in pictures]
    return "\n\n".join([*parts, UNSAID])


def as_json(result: Result) -> str:
    """Return every row and promise as JSON."""
    return json.dumps(as_dict(result), indent=1)


def write(result: Result, folder: Path) -> list[Path]:
    """Write the result as JSON, Markdown and plots to `folder`, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in plots.pictures(result).items():
        path = folder / f"{result.stamp}-{name}.svg"
        path.write_text(picture)
        written.append(path)
    page, data = folder / f"{result.stamp}.md", folder / f"{result.stamp}.json"
    page.write_text(as_markdown(result, [path.name for path in written]))
    data.write_text(as_json(result))
    return [page, data, *written]
