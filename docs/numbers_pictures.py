#!/usr/bin/env python3
"""Draws the pictures of docs/numbers.md from the files that the tutorial makes.

usage: docs/numbers_pictures.py TUTORIAL_FOLDER PICTURE_FOLDER    Needs matplotlib==3.11.2.

TUTORIAL_FOLDER is the folder in which the commands of docs/tutorial.md ran, such as build/tutorial/pivotal-tutorial
after tests/docs/tutorial_test.py . build/release/bin/pivotal --home build/tutorial.
"""
import json
import pathlib
import random
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pivotal", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402  (after the backend)

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#57616b"


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def wilson(successes, samples, z=1.959964):
    """The interval of a share at 95% (Wilson 1927)."""
    share = successes / samples
    middle = (share + z * z / (2 * samples)) / (1 + z * z / samples)
    half = z / (1 + z * z / samples) * (share * (1 - share) / samples + z * z / (4 * samples**2)) ** 0.5
    return max(0, middle - half), min(1, middle + half)


def whisker(axis, y, successes, samples, color, **more):
    low, high = wilson(successes, samples)
    axis.plot([low, high], [y, y], color=color, linewidth=2, alpha=0.5)
    axis.plot(successes / samples, y, "o", color=color, markersize=5, **more)


def draw_intervals(axis):
    """What a share of one half says after so many rollouts."""
    counts = [8, 16, 32, 64, 128, 512]
    for y, samples in enumerate(reversed(counts)):
        whisker(axis, y, samples // 2, samples, BLUE)
        low, high = wilson(samples // 2, samples)
        axis.text(1.02, y, f"{low:.2f} to {high:.2f}", va="center", color=GREY)
    axis.set_yticks(range(len(counts)), [f"{samples // 2} of {samples}" for samples in reversed(counts)])
    axis.set(xlim=(0, 1), xlabel="p(success), and its 95% interval")


def draw_pairs(axis, pairs):
    """Both sides of pairs on fresh rollouts."""
    for y, pair in enumerate(reversed(pairs)):
        low, high = (pair[f"{side}_successes"] / pair[f"{side}_samples"] for side in ("rejected", "chosen"))
        axis.plot([low, high], [y, y], color=GREY, linewidth=0.8, linestyle=":")
        for side, color, shift in (("chosen", BLUE, 0.13), ("rejected", ORANGE, -0.13)):
            whisker(axis, y + shift, pair[f"{side}_successes"], pair[f"{side}_samples"], color,
                    label=side if y == 0 else None)
    names = [f"{p['id'].split('/')[0]}   {p['chosen'].strip()!r} over {p['rejected'].strip()!r}" for p in reversed(pairs)]
    axis.set_yticks(range(len(pairs)), names)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(pairs) - 0.4), xlabel="p(success) on fresh rollouts, and its 95% interval")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


def draw_training(axes, log):
    steps = [line for line in log if "loss" in line]
    held_out = [line for line in log if "eval_accuracy" in line]
    for axis, key, title in zip(axes, ("loss", "rewards/margins", "rewards/accuracies"),
                                ("loss", "reward margin", "reward accuracy")):
        axis.plot([line["step"] for line in steps], [line[key] for line in steps], color=BLUE)
        axis.set(title=title, xlabel="step")
    axes[2].set_ylim(0, 1.05)
    axes[3].plot([line["step"] for line in held_out], [line["eval_accuracy"] for line in held_out], "o-", color=ORANGE)
    axes[3].set(title="validation accuracy", xlabel="step", ylim=(0, 1.05), xlim=axes[0].get_xlim())
    for axis in axes:
        axis.grid(alpha=0.3)


def bootstrap(values, draws=10000):
    """The mean, and its 95% percentile interval when the problems are drawn anew."""
    generator = random.Random(1)
    means = sorted(sum(generator.choices(values, k=len(values))) / len(values) for _ in range(draws))
    return sum(values) / len(values), means[draws // 40], means[-draws // 40]


def draw_accuracy(axes, before, after):
    shares = [{line["id"]: 100 * line["successes"] / line["samples"] for line in scores} for scores in (before, after)]
    rows = [("before", list(shares[0].values()), axes[0], ORANGE), ("after", list(shares[1].values()), axes[0], BLUE),
            ("after minus before, problem by problem", [shares[1][name] - shares[0][name] for name in shares[0]], axes[1], GREY)]
    for label, values, axis, color in rows:
        mean, low, high = bootstrap(values)
        y = {"before": 1, "after": 0}.get(label, 0)
        axis.plot([low, high], [y, y], color=color, linewidth=2, alpha=0.5)
        axis.plot(mean, y, "o", color=color)
        axis.annotate(f"{mean:.1f} [{low:.1f}, {high:.1f}]", (mean, y), xytext=(0, 8), textcoords="offset points", ha="center")
    axes[0].set_yticks([1, 0], ["before", "after"])
    axes[0].set(xlim=(0, 100), ylim=(-0.5, 1.7), xlabel="sampled accuracy, %")
    axes[1].set_yticks([])
    axes[1].axvline(0, color=GREY, linewidth=0.8)
    axes[1].set(xlim=(-10, 50), ylim=(-0.5, 1.7), xlabel="after minus before, problem by problem")


def save(figure, path):
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text("utf-8").splitlines()) + "\n", "utf-8")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(pathlib.Path, sys.argv[1:])

    figure, axis = plt.subplots(figsize=(6, 2.2), layout="constrained")
    draw_intervals(axis)
    save(figure, target / "numbers-intervals.svg")

    figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
    draw_pairs(axis, lines_of(source / "run/pairs.jsonl")[::14])
    save(figure, target / "numbers-pairs.svg")

    figure, axes = plt.subplots(1, 4, figsize=(9, 2.2), layout="constrained")
    draw_training(axes, lines_of(source / "tuned/log.jsonl"))
    save(figure, target / "numbers-training.svg")

    figure, axes = plt.subplots(1, 2, figsize=(8, 1.8), layout="constrained")
    draw_accuracy(axes, lines_of(source / "before.jsonl"), lines_of(source / "after.jsonl"))
    save(figure, target / "numbers-accuracy.svg")


if __name__ == "__main__":
    main()
