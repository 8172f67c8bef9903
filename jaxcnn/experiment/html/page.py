"""A web page in one file: nothing is loaded, nothing runs, every text is escaped."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

#: Readable by day and night, on small screens and on paper.
_CSS = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5b5b5b; --line: #d9d9d9;
  --back: #ffffff; --card: #f5f6f8; --blue: 0, 114, 178; --warn: #a33f00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #a9a9a9;
  --line: #3c3f44; --back: #17191c; --card: #22252a; --blue: 64, 160, 220;
  --warn: #ff9d5c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--back);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .4rem;
  border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 48rem; }
p.note, figcaption, dt, caption { color: var(--soft); font-size: .88rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem;
  margin: .8rem 0; }
dd { margin: 0; font-size: .92rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; margin: .6rem 0; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line);
  text-align: left; }
th { font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.hit { outline: 2px solid rgb(var(--blue)); outline-offset: -2px; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.card { background: var(--card); border-radius: .5rem; padding: .7rem 1rem; }
.card b { display: block; font-size: 1.5rem; }
.card span { color: var(--soft); font-size: .85rem; display: block; }
ul.warnings li { color: var(--warn); }
figure { margin: .8rem 0; }
img.plot { max-width: 100%; height: auto; background: #fff; border-radius: .4rem; }
.examples { display: grid; gap: .9rem;
  grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
.examples figure { margin: 0; background: var(--card); padding: .5rem;
  border-radius: .4rem; }
.examples img { width: 100%; image-rendering: pixelated; border-radius: .2rem; }
.examples figcaption { overflow-wrap: anywhere; line-height: 1.35; }
.examples figcaption b { color: var(--ink); }
@media print { :root { --ink: #000; --soft: #444; --back: #fff; --card: #f2f2f2;
  --line: #bbb; --blue: 0, 114, 178; --warn: #803000; }
  body { max-width: none; padding: 0; font-size: 11px;
    print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  h2 { break-after: avoid; } figure, tr, .card { break-inside: avoid; }
  .examples { grid-template-columns: repeat(6, 1fr); } .scroll { overflow: visible; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """Returns the whole page.

    Its policy forbids scripts and anything that would be loaded from elsewhere.

    Args:
        title: Plain text.
        body: HTML.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(title)}</title>",
        f"<style>{_CSS}</style>",
        "</head>",
        "<body>",
        "<main>",
    ]
    return "\n".join([*head, *body, "</main>", "</body>", "</html>", ""])


def text(value: object) -> str:
    """Returns any value as HTML that shows it, whatever signs are in it."""
    # Undecodable bytes of file names are no text that a file in UTF-8 can hold.
    plain = str(value).encode("utf-8", "replace").decode("utf-8")
    return html.escape(plain, quote=True)


def heading(title: str) -> str:
    """Returns the heading of a section."""
    return f"<h2>{text(title)}</h2>"


def paragraph(words: str, *, note: bool = False) -> str:
    """Returns a paragraph of plain text; a note is smaller."""
    kind = ' class="note"' if note else ""
    return f"<p{kind}>{text(words)}</p>"


def facts(values: Mapping[str, object]) -> str:
    """Returns a list of names and values."""
    pairs = (f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in values.items())
    return f"<dl>{''.join(pairs)}</dl>"


def warnings(lines: Sequence[str]) -> str:
    """Returns a list of what to beware of."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<ul class="warnings">{items}</ul>'


def cards(values: Mapping[str, tuple[str, str]]) -> str:
    """Returns the most important numbers: by name the number and a line below it."""
    found = "".join(
        f'<div class="card"><span>{text(name)}</span><b>{text(number)}</b>'
        f"<span>{text(below)}</span></div>"
        for name, (number, below) in values.items()
    )
    return f'<div class="cards">{found}</div>'


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    shades: Sequence[Sequence[float]] | None = None,
) -> str:
    """Returns a table, whose first column names the rows and whose others are numbers.

    Args:
        header: The titles of the columns.
        rows: The cells, plain text.
        caption: A line above it.
        shades: How dark every cell but the first of each row is, 0 to 1; those of the
            diagonal get a frame.
    """
    first, *others = header
    titles = f'<th scope="col">{text(first)}</th>' + "".join(
        f'<th scope="col" class="number">{text(title)}</th>' for title in others
    )
    lines = [
        f'<tr><th scope="row">{text(row[0])}</th>'
        + "".join(
            _cell(cell, None if shades is None else shades[r][c], r == c)
            for c, cell in enumerate(row[1:])
        )
        + "</tr>"
        for r, row in enumerate(rows)
    ]
    above = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{above}<thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(cell: str, shade: float | None, diagonal: bool) -> str:
    if shade is None:
        return f'<td class="number">{text(cell)}</td>'
    kind = "number hit" if diagonal else "number"
    # Light enough for the ink of day and night.
    style = f"background: rgba(var(--blue), {0.55 * shade:.3f})"
    return f'<td class="{kind}" style="{style}">{text(cell)}</td>'


def image(content: bytes, alt: str, *, kind: str = "png", plot: bool = False) -> str:
    """Returns an image that is part of the page.

    Args:
        content: The encoded image.
        alt: What it shows, for those who do not see it.
        kind: `"png"` or `"jpeg"`.
        plot: Whether it is a diagram, shown in its own size.
    """
    data = base64.b64encode(content).decode()
    look = ' class="plot"' if plot else ""
    return f'<img{look} src="data:image/{kind};base64,{data}" alt="{text(alt)}">'


def figure(picture: str, caption: str) -> str:
    """Returns an image with plain text below it."""
    return f"<figure>{picture}<figcaption>{text(caption)}</figcaption></figure>"
