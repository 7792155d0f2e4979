"""Makes tables and a plot of the lines that bench/search_vs_truth.cc printed.

usage: python bench/plot_search.py ROWS.jsonl ... PLOT.svg
Prints Markdown tables of what the files hold: three for each family; one that compares the default with the parameters
of codelion/pts; calibration of the default; searches that make pairs; the border of the band; baselines.
Figures are means over seeds, with the range [lowest, highest] where it matters. Recall has a 95% interval: problems are
drawn again in each seed, and seeds are taken as independent. Writes the plot if there are rows of usual searches.
Needs matplotlib==3.11.2.
"""
import json
import math
import sys
from statistics import mean

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pivotal", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402  (after the backend)

TITLES = {"lane": "few tokens matter (lane worlds)", "drift": "many matter a little (drift worlds)",
          "rare": "rare tokens matter (rare worlds)", "strategy": "a strategy, slips (strategy worlds)",
          "alternatives": "many alternatives (alternatives worlds)", "near": "many near the gap (near worlds)",
          "coin": "p_0 near 0 or 1 (coin worlds)", "tiny": "the tiny model"}
COLORS = {"anchored": "#0072b2", "subdivide": "#d55e00", "subdivide-length": "#e69f00",
          "exhaustive": "#999999"}
# Columns of the tables: heading, digits, and whether to give the range.
COLUMNS = {"recall": ("recall", 3, True), "recall_sentence": ("recall, sentences", 3, False),
           "false_share": ("false share", 3, True),
           "tokens": ("generated tokens a response", 0, True),
           "found_per_million": ("truly found per million tokens", 1, False),
           "reported": ("reported a response", 2, False),
           "below": ("truly below the gap", 3, False),
           "expected_below": ("expected below", 3, False),
           "mse_p": ("mean squared error of p", 4, False),
           "coverage_delta": ("coverage, reported d", 3, False),
           "coverage_p": ("coverage, p", 3, False),
           "coverage_p0": ("coverage, p_0", 3, False),
           "coverage_alternatives": ("coverage, alternatives", 3, False),
           "error_p0": ("p_0 too high by", 3, False),
           "inward_p0": ("p_0 too near 1/2 by", 3, False),
           "problems": ("problems", 0, False), "searched": ("searched", 0, False),
           "pairs": ("pairs", 0, False),
           "true_pairs_per_million": ("true pairs a million tokens", 1, True),
           "pairs_below": ("pairs below the gap", 3, False),
           "pairs_wrong": ("pairs the wrong way round", 3, False)}
SUMS = {"problems", "searched", "pairs"}  # counts, which are summed over seeds
# Columns of the tables of a family.
FAMILY = [["recall", "false_share", "tokens", "found_per_million"],
          ["reported", "below", "expected_below", "mse_p"],
          ["coverage_p", "coverage_p0", "error_p0", "coverage_delta", "coverage_alternatives"]]
DEFAULT = ("anchored", "min-yield 0.0015")

*sources, target = sys.argv[1:]
runs = {}  # (searches, family, strategy, setting) -> the rows of all seeds
for source in sources:
    for line in open(source, encoding="utf-8"):
        row = json.loads(line)
        key = (row.get("searches", "usual"), row["family"], row["strategy"], row["setting"])
        runs.setdefault(key, []).append(row)


def values(key, name):
    return [row[name] for row in runs[key] if row.get(name) is not None]


def recall_interval(key):
    """Returns recall and its 95% interval; the distances of several seeds add up as squares."""
    rows = [row for row in runs[key] if row["recall"] is not None]
    middle = mean(row["recall"] for row in rows)
    side = lambda name: math.sqrt(sum((row["recall"] - row[name]) ** 2 for row in rows)) / len(rows)  # noqa: E731
    return middle, middle - side("recall_low"), middle + side("recall_high")


def cell(key, name):
    _, digits, ranged = COLUMNS[name]
    seen = values(key, name)
    if not seen:
        return "–"
    if name == "recall" and values(key, "recall_low"):
        return "{:.3f} [{:.3f}, {:.3f}]".format(*recall_interval(key))
    text = f"{sum(seen) if name in SUMS else mean(seen):.{digits}f}"
    return text + f" [{min(seen):.{digits}f}, {max(seen):.{digits}f}]" if ranged and len(seen) > 1 else text


def keys_of(searches, family):
    return [key for key in runs if key[:2] == (searches, family)]


def families_of(searches):
    return [family for family in TITLES if keys_of(searches, family)]


def print_rows(first, names, rows):
    """Prints a table; `rows` holds the first cells and the key of each row."""
    print("| " + " | ".join(first + [COLUMNS[name][0] for name in names]) + " |")
    print("|---" * (len(first) + len(names)) + "|")
    for cells, key in rows:
        print("| " + " | ".join(cells + [cell(key, name) for name in names]) + " |")
    print()


def table(family):
    keys = keys_of("usual", family)
    rows = runs[keys[0]]
    count = sum(row["responses"] for row in rows)
    weighted = lambda name: sum(row[name] * row["responses"] for row in rows) / count  # noqa: E731
    seeds = "1 seed" if len(rows) == 1 else f"{len(rows)} seeds"
    print(f"**{TITLES[family]}**: {count} responses over {seeds}, {weighted('length'):.0f} tokens "
          f"and {weighted('strong'):.2f} strong ones each\n")
    for names in FAMILY:
        print_rows(["search"], names, [([f"{key[2]}, {key[3]}"], key) for key in keys])


def beside():
    """Compares the default with the parameters of codelion/pts: the middle of a segment, 10 samples."""
    pair = [DEFAULT, ("subdivide-length", "samples 10")]
    print("| | " + " | ".join(", ".join(arm) for arm in pair) + " |")
    print("|---" * (len(pair) + 1) + "|")
    for family in families_of("usual"):
        if not all(("usual", family, *arm) in runs for arm in pair):
            continue
        for name in ("found_per_million", "false_share", "recall", "tokens"):
            cells = [cell(("usual", family, *arm), name) for arm in pair]
            print(f"| {TITLES[family]}: {COLUMNS[name][0]} | " + " | ".join(cells) + " |")
    print()


def calibration(family):
    """Returns [count, mean probability, share that is pivotal] of the default's reports, for each tenth."""
    bins = [[0, 0.0, 0.0] for _ in range(10)]
    for row in runs.get(("usual", family, *DEFAULT), []):
        for into, (count, probability, share) in zip(bins, row.get("calibration", [])):
            if count:
                into[0] += count
                into[1] += count * probability
                into[2] += count * share
    return [[n, p / n, s / n] if n else [0, None, None] for n, p, s in bins]


def print_calibration():
    print("| worlds | " + " | ".join(f"{i / 10:.1f} to {(i + 1) / 10:.1f}" for i in range(10)) + " |")
    print("|---" * 11 + "|")
    for family in families_of("usual"):
        cells = [f"{p:.2f} → {s:.2f} ({n})" if n else "–" for n, p, s in calibration(family)]
        print(f"| {family} | " + " | ".join(cells) + " |")
    print()


def print_pairs():
    names = ["tokens", "pairs", "true_pairs_per_million", "pairs_below", "pairs_wrong", "coverage_p"]
    print_rows(["worlds", "search"], names,
               [([family, f"{key[2]}, {key[3]}"], key)
                for family in families_of("pairs") for key in keys_of("pairs", family)])


def print_border():
    names = ["problems", "searched", "coverage_p0", "inward_p0", "coverage_p", "coverage_delta"]
    print_rows(["worlds", "search"], names,
               [([family, f"{key[2]}, {key[3]}"], key)
                for family in families_of("border") for key in keys_of("border", family)])


def print_baselines(family):
    """Prints a row for each method: what it finds, and what its pairs are worth."""
    found = ["recall", "recall_sentence", "false_share", "tokens"]
    made = ["tokens", "pairs", "true_pairs_per_million", "pairs_below", "pairs_wrong"]
    print(f"**{TITLES[family]}**\n")
    print("| method | " + " | ".join([COLUMNS[name][0] for name in found] +
                                     [COLUMNS[name][0] + (", with pairs" if name == "tokens" else "")
                                      for name in made]) + " |")
    print("|---" * (1 + len(found) + len(made)) + "|")
    for key in keys_of("baselines", family):
        with_pairs = (*key[:3], key[3] + ", pairs")
        if with_pairs in runs:
            cells = [cell(key, name) for name in found] + [cell(with_pairs, name) for name in made]
            print(f"| {key[2]}, {key[3]} | " + " | ".join(cells) + " |")
    print()


def panel(axes, family):
    for strategy, color in COLORS.items():
        keys = [key for key in runs if key[:3] == ("usual", family, strategy) and values(key, "recall")]
        keys.sort(key=lambda key: mean(values(key, "tokens")))
        tokens = [mean(values(key, "tokens")) for key in keys]
        recall = [mean(values(key, "recall")) for key in keys]
        ends = [[r - min(values(key, "recall")) for r, key in zip(recall, keys)],
                [max(values(key, "recall")) - r for r, key in zip(recall, keys)]]
        axes.errorbar(tokens, recall, ends, color=color, label=strategy, marker="o", markersize=4,
                      capsize=2, linewidth=1.3)
        for key, x, y in zip(keys, tokens, recall):
            share = mean(values(key, "false_share") or [0])
            if share > 0.05:  # marks searches with many false reports
                axes.plot(x, y, "o", color="white", markeredgecolor=color, markersize=7, zorder=3)
    axes.axhline(0.95, color="black", linewidth=0.6, linestyle=":")
    axes.set(title=TITLES[family], xscale="log", xlabel="generated tokens a response", ylim=(0.4, 1.03),
             xlim=(700, 2e6), ylabel="recall of |d| >= gap + 0.05")
    axes.grid(alpha=0.25)


def calibration_panel(axes):
    for family in families_of("usual"):
        bins = [(p, s) for n, p, s in calibration(family) if n >= 5]
        axes.plot([p for p, _ in bins], [s for _, s in bins], marker="o", markersize=4, linewidth=1.3, label=family)
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.6, linestyle=":")
    axes.set(title="calibration of the default", xlabel="probability of |d| >= gap", ylabel="share that has it")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", fontsize=7)


def plot():
    families = families_of("usual")
    across = 4 if len(families) > 3 else len(families) + 1
    down = -(-(len(families) + 1) // across)
    figure, panels = plt.subplots(down, across, figsize=(4 * across, 3.4 * down), squeeze=False,
                                  layout="constrained")
    panels = list(panels.flat)
    for family, axes in zip(families, panels):
        panel(axes, family)
    calibration_panel(panels[len(families)])
    for axes in panels[len(families) + 1:]:
        axes.set_axis_off()
    panels[0].legend(loc="lower right")
    figure.supxlabel("hollow: more than 5% of what is reported is false; bars: range over seeds", fontsize=8)
    figure.savefig(target, metadata={"Date": None})


if families_of("usual"):
    for each in families_of("usual"):
        table(each)
    beside()
    print_calibration()
    plot()
if families_of("pairs"):
    print_pairs()
if families_of("border"):
    print_border()
for each in families_of("baselines"):
    print_baselines(each)
