"""A row of figures from the turns of all sides."""

from typing import Any

from benchmarks.rounds import quartiles
from benchmarks.rows import ROWS, bar


def summarise_row(
    model: str,
    kind: str,
    facts: dict[str, dict[str, Any]],
    first: dict[Any, dict[str, float]],
    turns: dict[Any, list[dict[str, float]]],
    errors: dict[tuple[str, str, str], str],
) -> dict[str, Any]:
    """Returns what one kind of call of one model took, on every side.

    Args:
        model: A name of `ROWS`.
        kind: `"train"` or `"inference"`.
        facts: By side, `params`, `macs` and, if it does not count, `refused`.
        first: By worker, `first`: the seconds of its first call.
        turns: By worker, `seconds` a call and `peak_mb` of each turn.
        errors: What failed, by kind (or `"start"`), side and variant.
    """
    sides: dict[str, Any] = {}
    for worker, each in turns.items():
        found = summarise_turns(each, ROWS[model].batch)
        found["first_call_seconds"] = round(first[worker]["first"], 2)
        side = sides.setdefault(worker.side, {"variants": {}})
        side["variants"][worker.variant] = found
    for (failed, name, variant), message in errors.items():
        if failed in ("start", kind):
            side = sides.setdefault(name, {"variants": {}})
            side["variants"][variant] = {"error": message}
    for name, side in sides.items():
        side |= {"best": best_of(side["variants"])}
        if "refused" in facts.get(name, {}):
            side["refused"] = facts[name]["refused"]
    row = {
        "model": model,
        "kind": kind,
        "batch": ROWS[model].batch,
        "image": list(ROWS[model].image),
        "params": facts["jaxcnn"]["params"],
        "macs": facts["jaxcnn"]["macs"],
        "sides": sides,
    }
    return {**row, "ratios": ratios(model, kind, sides)}


def summarise_turns(turns: list[dict[str, float]], batch: int) -> dict[str, Any]:
    """Returns median and quartiles of the seconds a call, images/s and peak memory."""
    seconds = [turn["seconds"] for turn in turns]
    low, middle, high = quartiles(seconds)
    return {
        "seconds": float(f"{middle:.4g}"),
        "quartiles": [float(f"{low:.4g}"), float(f"{high:.4g}")],
        "repeats": len(turns),
        "images_per_second": float(f"{batch / middle:.4g}"),
        "peak_mb": round(turns[-1]["peak_mb"]),
    }


def best_of(variants: dict[str, dict[str, Any]]) -> str | None:
    """Returns the variant with the smallest median; None if all have failed."""
    timed = {name: v["seconds"] for name, v in variants.items() if "seconds" in v}
    return min(timed, key=timed.__getitem__) if timed else None


def ratios(model: str, kind: str, sides: dict[str, Any]) -> dict[str, Any]:
    """Returns our speed in shares of each other side's best, and whether that will do.

    A side that is refused has no ratio.
    """
    ours = sides.get("jaxcnn", {"best": None})
    if ours["best"] is None:
        return {}
    seconds = ours["variants"][ours["best"]]["seconds"]
    found = {}
    for name, side in sides.items():
        if name == "jaxcnn" or side["best"] is None or "refused" in side:
            continue
        ratio = side["variants"][side["best"]]["seconds"] / seconds
        least = bar(model, kind, name)
        # Two figures, as precise as medians of such rounds are.
        met = None if least is None else round(ratio, 2) >= least
        found[name] = {"ratio": round(ratio, 3), "bar": least, "met": met}
    return found
