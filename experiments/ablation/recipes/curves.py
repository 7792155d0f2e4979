"""Draws the losses of a recipe's trainings with the first seed, and prints how far they are apart.

usage: python curves.py results.json PLOT.svg > TABLE.md
The upper panel shows the losses, the lower one their differences from the baseline's; both are means over WINDOW steps.
The table has the largest differences of single steps and of such means from the baseline, and those of single steps
from the nearest other arm. Needs matplotlib==3.11.2.
"""
import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pivotal", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402  (after the backend)

from reading import reading  # noqa: E402

WINDOW = 10


def losses(log):
    with reading(log), open(log, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
        return [line["loss"] for line in lines if "loss" in line]


def smooth(values):
    """Returns the means of WINDOW consecutive values."""
    return [sum(values[i:i + WINDOW]) / WINDOW for i in range(len(values) - WINDOW + 1)]


def largest(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def read_curves(source):
    """Returns the name of the baseline, the first seed, and the losses of each training by its name."""
    with reading(source):
        with open(source, encoding="utf-8") as file:
            results = json.load(file)
        curves = {training["name"]: losses(training["log"]) for training in results["trainings"]}
        base, seed = results["baseline"], results["seeds"][0]
    if base not in curves or len(curves) < 2:
        sys.exit(f"{source}: losses are compared with those of the baseline: it must be an arm that trains, beside others")
    if len({len(curve) for curve in curves.values()}) > 1 or len(curves[base]) < WINDOW:
        sys.exit(f"{source}: the trainings must have the same number of steps, at least {WINDOW}: set train.steps.max_steps")
    return base, seed, curves


def draw(base_name, seed, curves, target):
    base = curves[base_name]
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7.5, 6.2))
    colors = plt.get_cmap("tab10").colors
    print(f"\n**Losses of {len(base)} steps**, seed {seed}: differences from those of {base_name}\n")
    print(f"| arm | last {WINDOW} steps, mean loss | largest difference of a step | of a mean over {WINDOW} steps | mean | "
          "nearest other arm, largest difference of a step |")
    print("|---|---|---|---|---|---|")
    for i, (name, curve) in enumerate(curves.items()):
        is_base = name == base_name
        style = {"label": name, "linewidth": 1.6 if is_base else 1, "color": "#000000" if is_base else colors[i % 10],
                 "linestyle": "-" if i <= 5 else "--"}
        steps = range(WINDOW, len(curve) + 1)
        above.plot(steps, smooth(curve), **style)
        apart = [a - b for a, b in zip(curve, base, strict=True)]
        below.plot(steps, smooth(apart), **style)
        cells = [f"{sum(curve[-WINDOW:]) / WINDOW:.4f}"]
        if is_base:
            cells += [""] * 3
        else:
            step = max(range(len(apart)), key=lambda i: abs(apart[i]))
            cells += [f"{abs(apart[step]):.4f} (step {step + 1})", f"{max(map(abs, smooth(apart))):.4f}",
                      f"{sum(map(abs, apart)) / len(apart):.4f}"]
        near = min((largest(curve, other), i, arm) for i, (arm, other) in enumerate(curves.items()) if arm != name)
        cells.append(f"{near[2]}, {near[0]:.4f}")
        print(f"| {name} | {' | '.join(cells)} |")
    above.set_ylabel(f"loss, mean of {WINDOW} steps")
    below.set_ylabel(f"difference from {base_name}")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    above.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = sys.argv[1:]
    draw(*read_curves(source), target)


main()
