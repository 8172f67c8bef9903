"""Draws the picture of docs/transfer.md from experiments/transfer_cases.json.

`python docs/make_transfer.py` writes docs/images/transfer.png.
"""

import json
from pathlib import Path

from jaxcnn.plotting.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, write_figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "transfer_cases.json"
COLOURS = {
    "new_head": BLUE,
    "cut_early": GREEN,
    "fine_tune": ORANGE,
    "retrain": PURPLE,
    "scratch": GREY,
}
TITLES = {
    "cifar": ("CIFAR-10: classes 0-4 to 10 % of 5-9", "accuracy"),
    "xrays": ("CIFAR-10 to chest X-rays", "balanced_accuracy"),
}


def main() -> None:
    """Draws one panel a transfer: a bar a strategy, its spread, and every run."""
    from matplotlib.figure import Figure

    cases = json.loads(RESULTS.read_text())["cases"]
    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    axes = figure.subplots(1, len(cases), squeeze=False)[0]
    for axis, (case, strategies) in zip(axes, sorted(cases.items()), strict=True):
        title, metric = TITLES[case]
        names = [name for name in COLOURS if name in strategies]
        lowest = 1.0
        for place, name in enumerate(names):
            entry = strategies[name]
            mean, spread = (100 * entry[metric][k] for k in ("mean", "sd"))
            values = [100 * run[metric] for run in entry["runs"].values()]
            axis.bar(place, mean, 0.7, color=COLOURS[name], alpha=0.8)
            axis.errorbar(place, mean, spread, color=INK, capsize=5)
            axis.plot([place] * len(values), values, "o", ms=3, color=INK, alpha=0.6)
            lowest = min(lowest, min(values) / 100)
        axis.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
        axis.set_ylim(max(0, 100 * lowest - 10), None)
        axis.set_ylabel(f"test {metric.replace('_', ' ')}, %")
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    write_figure(figure, ROOT / "docs" / "images" / "transfer.png")


if __name__ == "__main__":
    main()
