"""Bars of a few figures as SVG, plain beside encrypted; legible on a light page and a dark one."""
from xml.sax.saxutils import escape

from links import FAST

PANELS = ("bulk down 1", "bulk up 16", "echo 64 conns", "connections, 1 at a time",
          "echo beside a download p99", f"{FAST}: download",
          f"{FAST}: echo beside the download p50", "memory an idle connection, both ends")
WIDTH, NAMES, NUMBERS, BAR, GAP, HEAD = 430, 130, 62, 16, 6, 40
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 } .note { fill: #656d76 }
.bar { fill: #8c959f } .ours { fill: #0a7d5a } .none { fill: #c9d1d9 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #9198a1 }
.bar { fill: #6e7681 } .ours { fill: #3fb68b } .none { fill: #484f58 }
}"""


def text(x, y, words, kind="", anchor="start"):
    return (f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">'
            f'{escape(str(words))}</text>')


def bar(x, y, width, name):
    kind = "ours" if name.startswith("gotunnel") else "none" if name == "direct" else "bar"
    return (f'<rect x="{x:g}" y="{y:g}" width="{max(width, 1):.1f}" height="{BAR}" rx="2" '
            f'class="{kind}"/>')


def panel(x, y, title, figure, bars):
    """Best first; its parts and its height. `bars` are (system, median)."""
    better = "less is better" if figure.less else "more is better"
    parts = [text(x, y + 14, title, "head"),
             text(x, y + 30, f"{figure.unit}, {better}".lstrip(", "), "note")]
    most = max(v for _, v in bars)
    room = WIDTH - NAMES - NUMBERS
    for number, (name, value) in enumerate(sorted(bars, key=lambda b: b[1], reverse=not figure.less)):
        at = y + HEAD + number * (BAR + GAP)
        length = room * value / most if most > 0 else 0
        parts += [text(x + NAMES - 8, at + 12, name, anchor="end"), bar(x + NAMES, at, length, name),
                  text(x + NAMES + max(length, 1) + 6, at + 12, f"{value:,.{figure.digits}f}", "note")]
    return parts, HEAD + len(bars) * (BAR + GAP) + 22


def plot(results, groups):
    """`groups`: a heading and its systems, a column each."""
    wanted = {f.name: f for row in results.rows for f in row.figures if f.name in PANELS}
    parts, y = [], 44
    for column, (heading, _) in enumerate(groups):
        parts.append(text(16 + column * (WIDTH + 24), 24, heading, "head"))
    for name in PANELS:
        heights = [0]
        for column, (_, systems) in enumerate(groups):
            bars = [(s, v) for s in systems
                    if name in wanted and (v := results.median(name, s)) is not None]
            if not bars:
                continue
            drawn, height = panel(16 + column * (WIDTH + 24), y, name, wanted[name], bars)
            parts += drawn
            heights.append(height)
        y += max(heights)
    width = 16 + len(groups) * (WIDTH + 24)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" '
            f'height="{y}" role="img"><title>gotunnel beside others</title>'
            f'<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n")
