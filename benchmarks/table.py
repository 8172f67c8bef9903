"""The one table: images/s of every side, ratios, bars and shares of the peak."""

import json
from pathlib import Path
from typing import Any

from benchmarks import record

SIDES = ("torch", "keras", "flax")

#: Multiply-adds of a train step in those of inference: forward, and for each weight
#: the two products of its gradients.
WORK = {"train": 3, "inference": 1}


def table_lines(rows: list[dict[str, Any]], peak: float | None = None) -> list[str]:
    """Returns the rows as a table in markdown.

    Args:
        rows: As `benchmarks.summary.summarise_row` makes them.
        peak: GFLOP/s of the machine, for the last column.
    """
    head = ["model", "call", "batch", "jaxcnn, images/s", "middle half"]
    head += [f"{side}, images/s" for side in SIDES]
    head += [f"of {side}" for side in SIDES] + [
        "GFLOP/s",
        "of peak",
        "compile, s",
        "MB",
    ]
    lines = [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)])]
    return lines + [_line(_cells(row, peak)) for row in rows]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: dict[str, Any], peak: float | None) -> list[str]:
    ours = _best(row, "jaxcnn")
    if ours is None:
        return [row["model"], row["kind"], str(row["batch"]), "failed", *[""] * 11]
    low, high = (row["batch"] / s for s in reversed(ours["quartiles"]))
    rate = 2e-9 * row["macs"] * row["batch"] * WORK[row["kind"]] / ours["seconds"]
    return [
        row["model"],
        row["kind"],
        str(row["batch"]),
        _number(ours["images_per_second"]),
        f"{_number(low)} to {_number(high)}",
        *(_speed(row, side) for side in SIDES),
        *(_ratio(row["ratios"].get(side)) for side in SIDES),
        f"{rate:.1f}",
        f"{rate / peak:.0%}" if peak else "",
        f"{ours['first_call_seconds']:.1f}",
        str(ours["peak_mb"]),
    ]


def _best(row: dict[str, Any], side: str) -> dict[str, Any] | None:
    found = row["sides"].get(side)
    return found and found["best"] and found["variants"][found["best"]]


def _speed(row: dict[str, Any], side: str) -> str:
    if side not in row["sides"]:
        return ""
    if "refused" in row["sides"][side]:
        return "refused"
    found = _best(row, side)
    if not found:
        return "failed"
    return f"{_number(found['images_per_second'])} ({row['sides'][side]['best']})"


def _ratio(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["bar"] is None:
        return f"{found['ratio']:.2f}"
    verdict = "met" if found["met"] else "**not met**"
    return f"{found['ratio']:.2f} ({found['bar']:g} {verdict})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each side that was refused and each variant that failed."""
    lines = []
    for row in rows:
        for name, side in row["sides"].items():
            where = f"{row['model']}, {row['kind']}, {name}"
            if "refused" in side:
                lines.append(f"- {where}: {side['refused']}")
            for variant, found in side["variants"].items():
                if "error" in found:
                    lines.append(f"- {where} ({variant}): {found['error']}")
    return lines


def measured_peak(cpu: str | None = None) -> float | None:
    """Returns the GFLOP/s of the newest `limits` file of this kind of processor."""
    for path in sorted(record.RESULTS.glob("limits-*.json"), reverse=True):
        content = json.loads(path.read_text())
        if cpu in (None, content["cpu"]):
            return max(row["gflops"] for row in content["rows"] if "gflops" in row)
    return None


def print_table(rows: list[dict[str, Any]], cpu: str | None = None) -> None:
    """Prints the table and, under it, what was refused or has failed."""
    lines = [*table_lines(rows, measured_peak(cpu)), "", *notes(rows)]
    print("\n".join(lines), flush=True)


def write_table(path: Path) -> Path:
    """Writes the table of a file of results next to it, in markdown."""
    content = json.loads(path.read_text())
    lines = table_lines(content["rows"], measured_peak(content["cpu"]))
    about = [
        f"{content['cpu']}; commit {content['commit']}, {content['date']}; "
        + ", ".join(f"{k} {v}" for k, v in content["versions"].items()),
        "",
    ]
    table = path.with_suffix(".md")
    table.write_text("\n".join([*about, *lines, "", *notes(content["rows"])]) + "\n")
    return table
