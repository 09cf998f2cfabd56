"""Tables of a run, as Markdown. Ratios are what may be compared between machines."""

from statistics import fmean, median, quantiles

from tests.bench.load import Sample

ECHO = "raw ASGI echo"
EMPTY = "empty view"
EMPTY_SESSION = "empty view, session"
EMPTY_API = "empty REST view, session"
PREVIEW_SESSION = "preview, session"
PREVIEW_TOKEN = "preview, token"
PARTS = "preview, watched"
AIM_MS = 4.0  # issue: preview <= empty view + 4 ms at concurrency 1
PART_NAMES = {
    "auth": "login: session and user, queries included",
    "database": "database: desk state, causes, lease, positions, reservations",
    "venues": "venue data: the hub",
    "pricing": "pricing and checks: domain",
    "serialisation": "serialisation: digest, plan id, JSON",
    "framework": "framework: Django under ASGI, REST, the rest",
}


def lines(samples: list[Sample]) -> list[str]:
    shown = []
    for concurrency in sorted({s.concurrency for s in samples}):
        shown += _table({s.name: s for s in samples if s.concurrency == concurrency}, concurrency)
    alone = {s.name: s for s in samples if s.concurrency == 1}
    return [*shown, *_aim(alone), "", *_parts(alone[PARTS])]


def p50(sample: Sample) -> float:
    return median(sample.ms)


def quiet(sample: Sample) -> float:
    """The median of the quietest turn: what the code costs when nobody else wants the machine."""
    return min(sample.turn_p50)


def p99(sample: Sample) -> float:
    return quantiles(sample.ms, n=100)[98]


def _table(samples: dict[str, Sample], concurrency: int) -> list[str]:
    empty, rows = samples[EMPTY], []
    for name, s in samples.items():
        if name == PARTS:
            continue
        cells = (
            name,
            f"{p50(s):.2f}",
            f"{p99(s):.2f}",
            f"{quiet(s):.2f}",
            f"{len(s.ms) / s.took:.0f}",
            f"{p50(s) / p50(empty):.2f}",
            f"{p99(s) / p99(empty):.2f}",
            f"{quiet(s) - quiet(empty):+.2f}",
            str(len(s.ms)),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return [
        f"Concurrency {concurrency}",
        "",
        "| what | p50 ms | p99 ms | quiet ms | requests/s | p50 : empty | p99 : empty | quiet - empty | n |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
    ]


def _aim(alone: dict[str, Sample]) -> list[str]:
    said = []
    for name in (PREVIEW_SESSION, PREVIEW_TOKEN):
        over, noisy = (figure(alone[name]) - figure(alone[EMPTY]) for figure in (quiet, p50))
        verdict = "met" if over <= AIM_MS else f"missed by {over - AIM_MS:.2f} ms"
        said.append(
            f"Aim, {name}: empty view + {AIM_MS:.0f} ms. Quietest turns: + {over:.2f} ms, {verdict}; "
            f"all turns: + {noisy:.2f} ms"
        )
    return said


def _parts(watched: Sample) -> list[str]:
    """Means add up, medians do not; the gap between them is the request that waited for a book."""
    rows = [(title, [t.get(part, 0.0) for t in watched.timing]) for part, title in PART_NAMES.items()]
    inside = [sum(t.get(part, 0.0) for part in PART_NAMES) for t in watched.timing]
    outside = [ms - own for ms, own in zip(watched.ms, inside, strict=True)]
    rows += [
        ("outside of Django: daphne, socket, client", outside),
        ("sum, as the client saw it", watched.ms),
    ]
    whole = fmean(watched.ms)
    return [
        "Where a preview's time goes (session, concurrency 1, "
        f"{fmean(t['queries'] for t in watched.timing):.1f} queries)",
        "",
        "| part | mean ms | share | p50 ms | p99 ms |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {title} | {fmean(ms):.2f} | {fmean(ms) / whole:.0%} | {median(ms):.2f} "
            f"| {quantiles(ms, n=100)[98]:.2f} |"
            for title, ms in rows
        ),
    ]
