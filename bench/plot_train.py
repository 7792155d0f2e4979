"""Plots training speed by the number of pairs on a trunk and by the length of a trunk.

usage: python bench/plot_train.py RESULTS.json ... PLOT.svg
RESULTS.json was written by bench/train_vs_trl.py --json for shapes KxL of one model.
Needs matplotlib==3.11.2.
"""
import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pivotal", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402  (after the backend)

COLORS = {"pivotal": "#0072b2", "trl": "#d55e00"}
LABELS = {"pivotal": "Pivotal", "trl": "TRL, reference cached"}

*sources, target = sys.argv[1:]
runs = {}  # (pairs on a trunk, tokens of a trunk) -> result
for source in sources:
    for result in json.load(open(source, encoding="utf-8"))["results"]:
        if "x" in result["shape"]:
            runs[tuple(map(int, result["shape"].split("x")))] = result


def most(of):
    """Returns the value that most runs have in common, which makes the longest line."""
    values = [key[of] for key in runs]
    return max(sorted(set(values)), key=values.count)


figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for axis, varies, label in ((axes[0], 0, "pairs on a trunk"), (axes[1], 1, "tokens of a trunk")):
    fixed = most(1 - varies)
    keys = sorted(key for key in runs if key[1 - varies] == fixed)
    for program, color in COLORS.items():
        speeds = [runs[key][program] for key in keys]
        middle = [speed["pairs_per_second"] for speed in speeds]
        spread = [[m - s["slowest"] for m, s in zip(middle, speeds)],
                  [s["fastest"] - m for m, s in zip(middle, speeds)]]
        axis.errorbar([key[varies] for key in keys], middle, spread, color=color, marker="o", capsize=2,
                      label=LABELS[program])
    axis.set(xscale="log", yscale="log", xlabel=label, ylabel="pairs a second",
             title=f"trunks of {fixed} tokens" if varies == 0 else f"{fixed} pairs on a trunk")
    axis.set_xticks([key[varies] for key in keys], [str(key[varies]) for key in keys])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
axes[0].legend()
figure.savefig(target, metadata={"Date": None})
