"""Draws the accuracy of a recipe's arms with their intervals.

usage: python plot.py results.json PLOT.svg
Each set has a panel, which shows the sampled accuracy of every arm, its 95% interval and each seed. The dotted line is
the baseline. Hollow marks show the accuracy among answered problems, if the recipe has a refusal. Needs
matplotlib==3.11.2.
"""
import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pivotal", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402  (after the backend)

source, target = sys.argv[1:]
results = json.load(open(source, encoding="utf-8"))
names = list(dict.fromkeys(score["set"] for score in results["scores"]))
arms = list(dict.fromkeys(score["arm"] for score in results["scores"]))


def interval(axes, y, value, **style):
    axes.errorbar(value["mean"], y, xerr=[[value["mean"] - value["low"]], [value["high"] - value["mean"]]], fmt="o",
                  markersize=5, capsize=2, **style)


figure, panels = plt.subplots(1, len(names), sharey=True, squeeze=False,
                              figsize=(3 + 3.2 * len(names), 0.6 + 0.27 * len(arms)))
for axes, name in zip(panels[0], names):
    for score in results["scores"]:
        if score["set"] != name:
            continue
        y, color = arms.index(score["arm"]), "#0072b2"
        if score["arm"] == results["baseline"]:
            axes.axvline(score["sampled"]["mean"], color="#999999", linestyle=":", linewidth=1)
            color = "#444444"
        interval(axes, y, score["sampled"], color=color)
        if "right_of_answered" in score and score["answered"]["mean"] < 99.5:
            interval(axes, y + 0.25, score["right_of_answered"], color=color, markerfacecolor="white")
        seeds = [run["sampled"] for run in results["runs"] if run["arm"] == score["arm"] and run["set"] == name]
        axes.plot(seeds, [y - 0.25] * len(seeds), "|", color=color, markersize=5, alpha=0.7)
    axes.set_title(name)
    axes.set_xlabel("sampled accuracy, %")
    axes.grid(axis="x", alpha=0.3)
panels[0][0].set_yticks(range(len(arms)), arms)
panels[0][0].invert_yaxis()
figure.tight_layout()
figure.savefig(target, metadata={"Date": None})
