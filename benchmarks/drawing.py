"""The figures as a table and as a picture."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.bench import Figure

ROW, LEFT, WIDE, RIGHT = 22, 330, 420, 250
COLORS = {"met": "#2a7d4f", "missed": "#b4472e", "": "#5b6b7b"}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """A table in Markdown."""
    lines = ["| what | case | measured | beside | ratio | to reach | |", "|---|---|---|---|---|---|---|"]
    for one in figures:
        beside = "" if one.limit is None else f"{_number(one.limit)} {one.limit_is}"
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        target = "" if one.target is None else f"{'≤' if one.most else '≥'} {one.target:g}"
        measured = f"{_number(one.ours)} {one.unit}"
        lines.append(f"| {one.group} | {one.case} | {measured} | {beside} | {ratio} | {target} | {one.verdict} |")
    return "\n".join(lines)


def picture(figures: Sequence[Figure]) -> str:
    """An SVG: a bar for each ratio, up to twice the limit, and a stroke where the target is."""
    shown = [one for one in figures if one.ratio is not None]
    height = ROW * (len(shown) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + RIGHT}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="white"/><text x="{LEFT}" y="15">0</text>',
        f'<text x="{LEFT + WIDE // 2}" y="15" text-anchor="middle">1 = the limit</text>',
        f'<line x1="{LEFT + WIDE // 2}" x2="{LEFT + WIDE // 2}" y1="20" y2="{height}" stroke="#bbb"/>',
    ]
    for place, one in enumerate(shown, start=1):
        assert one.ratio is not None
        y = ROW * place + 4
        wide = round(min(one.ratio, 2) * WIDE / 2)
        parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(f"{one.group}: {one.case}")}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{wide}" height="16" fill="{COLORS[one.verdict]}"/>')
        if one.target is not None:
            at = LEFT + round(min(one.target, 2) * WIDE / 2)
            parts.append(f'<line x1="{at}" x2="{at}" y1="{y - 2}" y2="{y + 18}" stroke="black" stroke-width="2"/>')
        said = f"{one.ratio:.2f}  ({_number(one.ours)} {one.unit})"
        parts.append(f'<text x="{LEFT + max(wide, 4) + 8}" y="{y + 13}">{escape(said)}</text>')
    return "\n".join([*parts, "</svg>", ""])
