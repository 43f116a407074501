"""Gain against jobs as an SVG picture: what each policy reached, below what hindsight would have."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 760, 440, 50
MOST_JOBS, MOST_SHARE = 60, 1.1
INK = 'font-family="sans-serif" font-size="12" fill="#222"'


def svg(policies: Mapping[str, tuple[int, float]], best: Sequence[float]) -> str:
    """Draw.

    Args:
        policies: Name -> jobs and gain share; those beyond 60 jobs, or below nothing gained, are left out.
        best: Gain share of the best plan, by number of jobs.
    """
    curve = " ".join(
        f"{_x(jobs):.1f},{_y(min(share, MOST_SHARE)):.1f}" for jobs, share in enumerate(best[: MOST_JOBS + 1])
    )
    shapes = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *(_line(_x(jobs), _y(0), _x(jobs), _y(MOST_SHARE), jobs) for jobs in range(0, MOST_JOBS + 1, 10)),
        *(_line(_x(0), _y(tenth / 10), _x(MOST_JOBS), _y(tenth / 10), f"{tenth * 10} %") for tenth in range(0, 12, 2)),
        f'<polyline points="{curve}" fill="none" stroke="#888" stroke-dasharray="5 3"/>',
        f'<text x="{_x(MOST_JOBS) - 190:.0f}" y="{_y(1.02):.0f}" {INK}>the best plan with hindsight</text>',
        f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 8}" {INK}>jobs in the year</text>',
        f'<text x="8" y="16" {INK}>share of what training every day gains</text>',
    ]
    lowest = 0.0  # so far: no name is written over another
    for name, (jobs, share) in sorted(policies.items(), key=lambda one: -one[1][1]):
        if jobs <= MOST_JOBS and share >= 0:
            x, y = _x(jobs), _y(share)
            lowest = max(y + 4, lowest + 14)
            shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#06c"/>')
            shapes.append(f'<text x="{x + 7:.1f}" y="{lowest:.1f}" {INK}>{escape(name)}</text>')
    body = "\n".join(shapes)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">\n{body}\n</svg>\n'


def _x(jobs: float) -> float:
    return MARGIN + jobs / MOST_JOBS * (WIDTH - 2 * MARGIN)


def _y(share: float) -> float:
    return HEIGHT - MARGIN - share / MOST_SHARE * (HEIGHT - 2 * MARGIN)


def _line(x1: float, y1: float, x2: float, y2: float, label: object) -> str:
    place = f'x="{x1 - 34:.1f}" y="{y1 + 4:.1f}"' if y1 == y2 else f'x="{x1 - 6:.1f}" y="{y1 + 18:.1f}"'
    line = f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'
    return f"{line}<text {place} {INK}>{label}</text>"
