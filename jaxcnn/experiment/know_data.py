"""The command `jaxcnn data`: what a dataset holds, and what is wrong with it."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from jaxcnn.data.duplicates import Duplicates
from jaxcnn.data.every_split import load_splits
from jaxcnn.data.hashes import BITS, NEAR_BITS
from jaxcnn.data.inspection import Inspection, inspect
from jaxcnn.data.samples import class_samples
from jaxcnn.experiment.flags import parse_flags
from jaxcnn.table import aligned

_MOST_CLASSES = 40


@dataclasses.dataclass(frozen=True)
class _Flags:
    """Looks through a dataset: counts, sizes, broken files, duplicates and leaks."""

    data: tyro.conf.Positional[str]
    """A folder of images ([train|val|test]/CLASS/name.jpg), npz:FILE, idx:FOLDER,
    cifar10:FOLDER, digits, or a dataset that TFDS has prepared."""
    data_dir: str | None = None
    """Where the files of a dataset by name are."""
    strict: bool = False
    """Exit with code 1 if images of one split are, pixel by pixel, in another."""
    strict_near: bool = False
    """The same, also for images that only look alike."""
    near: bool = True
    """Look for images that look alike, too."""
    near_bits: int = NEAR_BITS
    """How many of 255 bits the hashes of images that look alike may differ in."""
    show: int = 10
    """How many findings of each kind to name; --json names all."""
    picture: str | None = None
    """Draw samples of every class into this file, such as samples.png."""
    per_class: int = 8
    """How many samples of a class to draw."""
    json: bool = False
    """Print JSON."""


def command(args: list[str]) -> int:
    """Prints what `jaxcnn data` finds; returns 1 for a leak where flags ask for it.

    Raises:
        ValueError: for a bad flag, name or file.
        OSError: if the data are missing or the picture cannot be written.
    """
    flags = parse_flags(_Flags, args, prog="jaxcnn data")
    if flags.strict_near and not flags.near:
        raise ValueError("--strict-near and --no-near exclude each other.")
    if flags.show < 0:
        raise ValueError(f"--show must be 0 or more, got {flags.show}.")
    if flags.per_class < 1:
        raise ValueError(f"--per-class must be 1 or more, got {flags.per_class}.")
    if not 0 <= flags.near_bits <= 64:
        raise ValueError(f"--near-bits must be 0 to 64, got {flags.near_bits}.")
    sources = load_splits(flags.data, data_dir=flags.data_dir)
    report = inspect(sources, near_bits=flags.near_bits if flags.near else None)
    if flags.picture:
        _draw(flags.picture, next(iter(sources.values())), flags.per_class)
    if flags.json:
        print(json.dumps({**report.to_json(), "picture": flags.picture}))
    else:
        print(describe(report, show=flags.show))
        if flags.picture:
            print(f"\nSamples of every class: {flags.picture}")
    leaks = sum(report.leaks.values()) * (flags.strict or flags.strict_near)
    return int(leaks + sum(report.near_leaks.values()) * flags.strict_near > 0)


def _draw(path: str, source: Any, count: int) -> None:
    from jaxcnn.plotting import comparison_grid

    rows = class_samples(source, count, most_classes=_MOST_CLASSES)
    note = ""
    if source.num_classes > _MOST_CLASSES:
        note = f"; the first {_MOST_CLASSES} of {source.num_classes} classes"
    comparison_grid(
        path, rows, title=source.name.rsplit("/", 1)[-1], subtitle=source.split + note
    )


def describe(report: Inspection, *, show: int = 10) -> str:
    """Returns an inspection as text.

    Args:
        report: From `jaxcnn.data.inspect`.
        show: How many findings of each kind to name.
    """
    total = sum(split.count for split in report.splits.values())
    parts = [
        [f"{report.name}: {total:,} examples"],
        _class_table(report),
        _split_table(report),
        _broken(report, show),
        _equal(report, show),
        _leaks(report, show),
        _two_labels(report, show),
        _alike(report, show),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _class_table(report: Inspection) -> list[str]:
    splits = report.splits
    names = dict.fromkeys(name for s in splits.values() for name in s.classes)
    cells = [
        [name, *(f"{s.classes.get(name, 0):,}" for s in splits.values())]
        for name in names
    ]
    cells.append(["all", *(f"{split.count:,}" for split in splits.values())])
    return aligned(["class", *splits], cells)


def _split_table(report: Inspection) -> list[str]:
    header = ["split", "sizes: smallest, median, largest", "channels"]
    header += ["mean", "standard deviation"]
    rows = []
    for name, split in report.splits.items():
        sizes = ", ".join(
            "x".join(f"{axis[k]:g}" for axis in split.sizes) for k in range(3)
        )
        modes = ", ".join(f"{mode} ({n:,})" for mode, n in split.modes.items())
        lines = list(split.channels.values()) or [((), ())]
        for k, (mean, std) in enumerate(lines):
            texts = [" ".join(f"{v:.4f}" for v in values) for values in (mean, std)]
            first = [name, sizes, modes] if k == 0 else ["", "", ""]
            rows.append([*first, *texts])
    return aligned(header, rows, left=range(5))


def _broken(report: Inspection, show: int) -> list[str]:
    broken = [item for s in report.splits.values() for item in s.broken.items()]
    if not broken:
        return ["Broken files: none."]
    lines = [f"{name}: {reason}" for name, reason in broken]
    return [f"Broken files: {len(broken):,}.", *_some(lines, show)]


def _equal(report: Inspection, show: int) -> list[str]:
    within = {name: _extra_copies(report.exact, name) for name in report.splits}
    counts = [f"{n:,} in {name}" for name, n in within.items() if n]
    if not counts:
        return ["Equal pixels within a split: none."]
    groups = [
        Duplicates(tuple(m for m in group.members if m.split == name))
        for name in report.splits
        for group in report.exact
    ]
    groups = [group for group in groups if len(group.members) > 1]
    return [
        f"Equal pixels within a split: {', '.join(counts)} repeat another one.",
        *_some(_lines(groups), show),
    ]


def _extra_copies(groups: Sequence[Duplicates], split: str) -> int:
    counts = [sum(m.split == split for m in group.members) for group in groups]
    return sum(max(count - 1, 0) for count in counts)


def _leaks(report: Inspection, show: int) -> list[str]:
    if len(report.splits) < 2:
        return []
    groups = [group for group in report.exact if group.is_leak]
    return [
        "Leaks, equal pixels in two splits: " + _between(report.leaks),
        *_some(_lines(groups), show),
    ]


def _between(leaks: dict[tuple[str, str], int]) -> str:
    texts = [f"{n:,} of {later} in {earlier}" for (earlier, later), n in leaks.items()]
    return ", ".join(texts) + "."


def _two_labels(report: Inspection, show: int) -> list[str]:
    if not report.conflicts:
        return ["Equal pixels under two labels: none."]
    return [
        f"Equal pixels under two labels: {len(report.conflicts):,}.",
        *_some(_lines(report.conflicts), show),
    ]


def _alike(report: Inspection, show: int) -> list[str]:
    if report.near_bits is None:
        return []
    head = (
        f"Alike, not equal (at most {report.near_bits} of {BITS} bits of the hash "
        "differ; look at them): "
    )
    plain = sum(split.plain for split in report.splits.values())
    left_out = [f"{plain:,} are too small or too plain for this."] if plain else []
    if not report.near:
        return [head + "none.", *left_out]
    least = "" if report.near_complete else "more than "
    two = sum(pair.is_conflict for pair in report.near)
    texts = [f"{least}{len(report.near):,} pairs, {two:,} of them under two labels"]
    if len(report.splits) > 1:
        texts.append(_between(report.near_leaks).rstrip("."))
    closest = sorted(report.near, key=lambda pair: (not pair.is_leak, pair.distance))
    return [
        head + "; ".join(texts) + ".",
        *_some(_lines(closest), show),
        *left_out,
    ]


def _lines(groups: Sequence[Duplicates]) -> Iterator[str]:
    for group in groups:
        members = [
            member.name + ("" if member.label is None else f" ({member.label})")
            for member in group.members
        ]
        bits = f": {group.distance} bits" if group.distance else ""
        yield " = ".join(members) if not bits else " ~ ".join(members) + bits


def _some(lines: Any, show: int) -> list[str]:
    lines = list(lines)
    more = len(lines) - show
    shown = [f"  {line}" for line in lines[:show]]
    return [*shown, f"  and {more:,} more"] if more > 0 else shown
