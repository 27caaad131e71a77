"""Plots as SVG, written by hand: bars on a logarithmic scale, lines over time; for light pages and dark ones."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from bench.results import MEGABYTE, Result, number

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 22, 8, 130, 110, 46
COLOURS = {"portico": "#d9480f", "nginx": "#2f9e44"}
OTHER = "#748ffc"
STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:15px}"
    ".s{fill:#666;font-size:12px}.g{stroke:#8884;stroke-width:1}@media(prefers-color-scheme:dark){text{fill:#eee}.s{fill:#aaa}}</style>"
)


def bars(title: str, unit: str, values: Sequence[tuple[str, float]]) -> str:
    """Return a picture of one bar for each (name, value above zero), longest scale by powers of ten."""
    shown = [(name, value) for name, value in values if value > 0]
    low, high = _decades([value for _, value in shown])
    height = TOP + len(shown) * (BAR + GAP) + 30
    room = WIDTH - LEFT - RIGHT
    parts = [_opening(height, title, unit + ", logarithmic")]
    for decade in range(low, high + 1):
        x = LEFT + room * (decade - low) / (high - low)
        parts.append(f'<line class="g" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 26}"/>')
        parts.append(
            f'<text class="s" x="{x:.1f}" y="{height - 10}" text-anchor="middle">{number(10.0**decade)}</text>'
        )
    for index, (name, value) in enumerate(shown):
        y = TOP + index * (BAR + GAP)
        length = room * (math.log10(value) - low) / (high - low)
        parts.append(f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{COLOURS.get(name, OTHER)}"/>'
        )
        parts.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 16}">{number(value)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def line(title: str, unit: str, points: Sequence[tuple[float, float]]) -> str:
    """Return a picture of `points` (seconds, value from zero up), joined in order."""
    height, room = 300, WIDTH - LEFT - 40
    last, top = max(x for x, _ in points) or 1.0, max(y for _, y in points) * 1.1 or 1.0
    bottom = height - 34
    parts = [_opening(height, title, unit)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - (bottom - TOP) * share
        parts.append(f'<line class="g" x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + room}" y2="{y:.1f}"/>')
        parts.append(f'<text class="s" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(top * share)}</text>')
    path = " ".join(f"{LEFT + room * x / last:.1f},{bottom - (bottom - TOP) * y / top:.1f}" for x, y in points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS["portico"]}" stroke-width="2"/>')
    parts.append(f'<text class="s" x="{LEFT + room}" y="{height - 10}" text-anchor="end">{number(last)} s</text>')
    return "\n".join([*parts, "</svg>\n"])


LANE, BETWEEN = 84, 26
FAILED = "#e03131"


def lanes(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], steps: Sequence[tuple[float, str]]) -> str:
    """Return a picture of lines over the same seconds, one below the other, with what happened when.

    A line `x failed` is drawn into the lane of `x served`, on its scale.
    """
    shown = [name for name in lines if not name.endswith(" failed")]
    last = max(x for points in lines.values() for x, _ in points) or 1.0
    room = WIDTH - LEFT - 40
    top = TOP + 14
    height = top + len(shown) * (LANE + BETWEEN) + 24
    bottom = height - 24 - BETWEEN
    parts = [_opening(height, title, "calls a second by target (red: failed attempts), and what callers saw")]
    for begin, what in steps:
        x = LEFT + room * begin / last
        parts.append(f'<line class="g" x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="s" x="{x + 3:.1f}" y="{top - 8}">{escape(what)}</text>')
    for place, name in enumerate(shown):
        base = top + place * (LANE + BETWEEN) + LANE
        beside = lines.get(name.replace(" served", " failed"), ()) if name.endswith(" served") else ()
        most = max((y for points in (lines[name], beside) for _, y in points), default=0.0) or 1.0
        parts.append(f'<text x="{LEFT - 8}" y="{base - LANE / 2:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text class="s" x="{LEFT - 8}" y="{base - LANE + 8}" text-anchor="end">{number(most)}</text>')
        parts.append(f'<line class="g" x1="{LEFT}" y1="{base}" x2="{LEFT + room}" y2="{base}"/>')
        for points, colour in ((lines[name], OTHER), (beside, FAILED)):
            if points:
                path = " ".join(f"{LEFT + room * x / last:.1f},{base - LANE * y / most:.1f}" for x, y in points)
                parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    parts.append(f'<text class="s" x="{LEFT + room}" y="{height - 8}" text-anchor="end">{number(last)} s</text>')
    return "\n".join([*parts, "</svg>\n"])


def pictures(result: Result) -> dict[str, str]:
    """Return the plots that this result has figures for, by a name for their file."""
    wanted = (
        ("call 1 KB plain", "rate", "calls-1kb", "Calls a second, 1 KB, 64 connections, one core", "calls/s"),
        ("call 1 KB plain", "cpu", "cpu-1kb", "CPU for one call, 1 KB", "µs"),
        ("call 14 KB plain", "cpu", "cpu-14kb", "CPU for one call, 14 KB", "µs"),
        ("stream cost", "cpu", "cpu-event", "CPU for one event of a stream", "µs"),
    )
    drawn = {}
    for scenario, metric, name, title, unit in wanted:
        found = [(subject, result.figure(scenario, subject, metric)) for subject in result.subjects(scenario)]
        values = [(subject, figure.median) for subject, figure in found if figure and figure.median > 0]
        if values:
            drawn[name] = bars(title, unit, values)
    series = result.rounds("soak memory", "portico", "rss")
    if series:
        points = [(float(second), rss / MEGABYTE) for second, rss in sorted(series.items())]
        drawn["soak"] = line("Resident memory through the soak", "MB, all processes", points)
    return drawn


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that hold all values, with at least one between them; the shortest bar stays visible."""
    low = math.floor(math.log10(min(values)) - 0.05)
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def _opening(height: int, title: str, unit: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">'
        f'{STYLE}<text class="t" x="12" y="20">{escape(title)}</text>'
        f'<text class="s" x="12" y="36">{escape(unit)}</text>'
    )
