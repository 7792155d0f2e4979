"""Makes tables and a plot of the lines that bench/search_vs_truth.cc printed.

usage: python bench/plot_search.py ROWS.jsonl ... PLOT.svg
Prints two Markdown tables for each family, and one that compares the default with the parameters of codelion/pts.
Figures are means over seeds, with the range [lowest, highest] where it matters.
Needs matplotlib==3.11.2.
"""
import json
import sys
from statistics import mean

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pivotal", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402  (after the backend)

TITLES = {"lane": "few tokens matter (lane worlds)", "drift": "many matter a little (drift worlds)",
          "tiny": "the tiny model"}
COLORS = {"anchored": "#0072b2", "subdivide": "#d55e00", "subdivide-length": "#e69f00",
          "exhaustive": "#999999"}
# Columns of the tables: heading, digits, and whether to give the range.
COLUMNS = {"recall": ("recall", 3, True), "false_share": ("false share", 3, True),
           "tokens": ("generated tokens a response", 0, True),
           "found_per_million": ("truly found per million tokens", 1, False),
           "reported": ("reported a response", 2, False),
           "below": ("truly below the gap", 3, False),
           "expected_below": ("expected below", 3, False),
           "coverage_delta": ("coverage, reported d", 3, False),
           "coverage_p": ("coverage, p", 3, False)}

FIRST = ["recall", "false_share", "tokens", "found_per_million"]  # columns of the first table of a family

*sources, target = sys.argv[1:]
runs = {}  # (family, strategy, setting) -> the rows of all seeds
for source in sources:
    for line in open(source, encoding="utf-8"):
        row = json.loads(line)
        runs.setdefault((row["family"], row["strategy"], row["setting"]), []).append(row)


def values(key, name):
    return [row[name] for row in runs[key]]


def cell(key, name, digits, ranged):
    seen = values(key, name)
    text = f"{mean(seen):.{digits}f}"
    return text + f" [{min(seen):.{digits}f}, {max(seen):.{digits}f}]" if ranged else text


def table(family):
    keys = [key for key in runs if key[0] == family]
    rows = runs[keys[0]]
    count = sum(row["responses"] for row in rows)
    weighted = lambda name: sum(row[name] * row["responses"] for row in rows) / count  # noqa: E731
    print(f"**{TITLES[family]}**: {count} responses over {len(rows)} seeds, {weighted('length'):.0f} tokens "
          f"and {weighted('strong'):.2f} strong ones each\n")
    for names in (FIRST, [name for name in COLUMNS if name not in FIRST]):
        print("| search | " + " | ".join(COLUMNS[name][0] for name in names) + " |")
        print("|---" * (len(names) + 1) + "|")
        for key in keys:
            print(f"| {key[1]}, {key[2]} | " + " | ".join(cell(key, name, *COLUMNS[name][1:]) for name in names) + " |")
        print()


def beside():
    """Compares the default with the parameters of codelion/pts: the middle of a segment, 10 samples."""
    pair = {"anchored": "min-yield 0.0015", "subdivide-length": "samples 10"}
    print("| | " + " | ".join(f"{strategy}, {setting}" for strategy, setting in pair.items()) + " |")
    print("|---" * (len(pair) + 1) + "|")
    for family in families:
        for name in ("found_per_million", "false_share", "recall", "tokens"):
            title, digits, _ = COLUMNS[name]
            cells = [cell((family, *arm), name, digits, True) for arm in pair.items()]
            print(f"| {TITLES[family]}: {title} | " + " | ".join(cells) + " |")


def panel(axes, family):
    for strategy, color in COLORS.items():
        keys = [key for key in runs if key[:2] == (family, strategy)]
        keys.sort(key=lambda key: mean(values(key, "tokens")))
        tokens = [mean(values(key, "tokens")) for key in keys]
        recall = [mean(values(key, "recall")) for key in keys]
        ends = [[r - min(values(key, "recall")) for r, key in zip(recall, keys)],
                [max(values(key, "recall")) - r for r, key in zip(recall, keys)]]
        axes.errorbar(tokens, recall, ends, color=color, label=strategy, marker="o", markersize=4,
                      capsize=2, linewidth=1.3)
        for key, x, y in zip(keys, tokens, recall):
            share = mean(values(key, "false_share"))
            if share > 0.05:  # marks searches with many false reports
                axes.plot(x, y, "o", color="white", markeredgecolor=color, markersize=7, zorder=3)
    axes.axhline(0.95, color="black", linewidth=0.6, linestyle=":")
    axes.set(title=TITLES[family], xscale="log", xlabel="generated tokens a response", ylim=(0.4, 1.03))
    axes.grid(alpha=0.25)


families = [family for family in TITLES if any(key[0] == family for key in runs)]
figure, panels = plt.subplots(1, len(families), figsize=(4 * len(families), 3.4), sharex=True, sharey=True,
                              squeeze=False, layout="constrained")
for family, axes in zip(families, panels[0]):
    table(family)
    panel(axes, family)
beside()
panels[0][0].set_ylabel("recall of tokens with |d| >= gap + 0.05")
panels[0][0].legend(loc="lower right")
figure.supxlabel("hollow: more than 5% of what is reported is false; bars: range over seeds", fontsize=8)
figure.savefig(target, metadata={"Date": None})
