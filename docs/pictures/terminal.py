"""Turn a terminal's screen into a picture: tmux capture-pane -ep | python terminal.py COLUMNS >
x.svg

Knows what the monitor prints: bold, dim, and colours of the 256-colour table.
"""

import re
import sys
from html import escape

CELL_W, CELL_H, PAD = 8.4, 18, 14  # of a 14 px monospaced font
INK, DIM, PAPER = "#e6e6e6", "#8b949e", "#16191d"
SEQUENCE = re.compile(r"\x1b\[([\d;]*)m")


def colour(number: int) -> str:
    """Of the 6 x 6 x 6 cube; the monitor uses no others."""
    steps = (0, 95, 135, 175, 215, 255)
    number -= 16
    return f"#{steps[number // 36]:02x}{steps[number // 6 % 6]:02x}{steps[number % 6]:02x}"


def spans(line: str) -> list[tuple[str, str]]:
    """(text, SVG attributes) of the parts of a line."""
    parts, style, position = [], {}, 0
    for found in [*SEQUENCE.finditer(line), None]:
        text = line[position : found.start() if found else len(line)]
        if text:
            attributes = f'fill="{style.get("fill", INK)}"'
            attributes += ' font-weight="bold"' if style.get("bold") else ""
            parts.append((text, attributes))
        if found is None:
            break
        position = found.end()
        codes = [int(code or 0) for code in found[1].split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                style = {}
            elif code == 1:
                style["bold"] = True
            elif code == 2:
                style["fill"] = DIM
            elif code == 38 and codes[:1] == [5]:
                style["fill"] = colour(codes[1])
                codes = codes[2:]
            elif code == 39:
                style.pop("fill", None)
            elif code == 22:
                style.pop("bold", None)
    return parts


def picture(text: str, columns: int) -> str:
    lines = text.rstrip("\n").split("\n")
    width, height = columns * CELL_W + 2 * PAD, len(lines) * CELL_H + 2 * PAD
    body = []
    for row, line in enumerate(lines):
        column = 0
        for text, attributes in spans(line):
            x, y = PAD + column * CELL_W, PAD + (row + 0.75) * CELL_H
            column += len(text)
            body.append(
                f'<text x="{x:.1f}" y="{y:.1f}" textLength="{len(text) * CELL_W:.1f}" '
                f'xml:space="preserve" {attributes}>{escape(text)}</text>'
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-size="14" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">'
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>' + "\n".join(body) + "</svg>\n"
    )


if __name__ == "__main__":
    print(picture(sys.stdin.read(), int(sys.argv[1])), end="")
