"""Writes a report of recipes from their results: question, design, table, plots, findings, what would change them.

usage: python report.py REPORT.md FOLDER [FOLDER...]
Each FOLDER is that of a recipe: recipe.toml, results.json, results.svg, results-cost.svg if it has curves, and notes.md
if somebody wrote down what the numbers mean. summary.md beside this script stands before all of them. Links are made
relative to REPORT.md, those of notes.md and summary.md too.
What is said to be found are the changes that stand after Holm's correction over the recipe.
"""
import json
import os
import pathlib
import re
import statistics
import sys
import tomllib

from reading import reading

LEVEL = 0.05
WORLDS = ("tiny", "small")  # whose models are shipped

HEAD = """# What helped

What do pivotal pairs, other pairs, losses, searches and rounds of training do for accuracy? The
[recipes](recipes/README.md) ask this of two shipped models: that of the [tiny world](../tiny/README.md), which has one
fork, and that of the [small world](../small/README.md), which has many.

Tables have the sampled accuracy in percent, its change from the baseline (in italics) with a 95% interval, and a star
where the change stands after Holm's correction for all changes of the table. Intervals count seeds and problems
([how](recipes/README.md#what-the-intervals-count)). Costs are means over seeds: pairs or responses that were trained
on, tokens that searches generated, tokens trained on, seconds of searches and trainings.

[recipes/report.py](recipes/report.py) writes this page from the results. What stands between **Found** and **What would
change this** is by hand."""


def number(value):
    return f"{value / 1e6:.2f}M" if value >= 1e6 else f"{value / 1e3:.0f}k" if value >= 1e4 else f"{value:.0f}"


def interval(value, sign=False):
    form = "+.1f" if sign else ".1f"
    return f"{value['mean']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"


def shown(name):
    """Returns a name as plain words in Markdown, on one line."""
    return re.sub(r"([\\\\`|*<\[])", r"\\\1", " ".join(name.split()))


def unique(items):
    return list(dict.fromkeys(items))


def join(items, word="and"):
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


def link(path, target):
    """Returns the way from the folder of `target` to `path`."""
    return pathlib.Path(os.path.relpath(path, target.parent)).as_posix()


def text_of(file, target):
    """Returns a Markdown file with its links made relative to the folder of `target`; "" if there is no such file."""
    if not file.exists():
        return ""
    return re.sub(r"(?<=\]\()(?![a-z]+:|#)[^)\s]+", lambda found: link(file.parent / found[0], target),
                  file.read_text(encoding="utf-8").strip())


class Results:
    """One recipe's results.json beside its recipe.toml."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        with reading(self.folder / "recipe.toml"):
            self.recipe = tomllib.loads((self.folder / "recipe.toml").read_text(encoding="utf-8"))
        self.data = json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
        self.base = self.data["baseline"]
        if all(score["arm"] != self.base for score in self.data["scores"]):
            raise KeyError(self.base)
        self.scores, self.model = self.data["scores"], self.data["model"]
        self.arms = unique(score["arm"] for score in self.scores)
        self.sets = unique(score["set"] for score in self.scores)

    def of(self, name):
        return [score for score in self.scores if score["set"] == name]

    def changes(self):
        return [score for score in self.scores if score["arm"] != self.base]

    def seeds_of(self, score):
        """Returns the change from the baseline of each seed."""
        runs = {(run["arm"], run["set"], run["seed"]): run["sampled"] for run in self.data["runs"]}
        return [runs[score["arm"], score["set"], seed] - runs[self.base, score["set"], seed]
                for seed in self.data["seeds"]]

    def searched(self):
        """Returns the numbers of problems that searches of the recipe take, each once; None: all of the file."""
        usual = self.recipe.get("run", {}).get("problems", {}).get("limit")
        numbers = []
        for arm in self.recipe.get("arm", []):
            for stage in arm.get("stage", []):
                own = stage.get("run", {}).get("problems", {}).get("limit", usual)
                numbers += arm.get("problems", [own])
        return unique(numbers)

    # The parts of a section.

    def design(self):
        seeds = len(self.data["seeds"])
        lines = [f"On the {self.model} model: {len(self.arms)} arms with {seeds} seed{'s' * (seeds > 1)} each, "
                 f"evaluated with {self.data['samples']} responses a problem on {join(map(shown, self.sets))}."]
        numbers = self.searched()
        if numbers and None not in numbers and 0 not in numbers:
            lines.append(f"A search takes {join(map(str, sorted(numbers)), 'or')} problems.")
        lines.append(f"Every arm is compared with *{shown(self.base)}* on every set: {self.data['comparisons']} changes, "
                     "one family for Holm's correction. "
                     + ("Intervals count seeds and problems." if seeds > 1 else
                        "Intervals count problems alone: one seed does not tell what another would change."))
        changes = [score["sampled_change"] for score in self.changes()]
        widths = [(change["high"] - change["low"]) / 2 for change in changes if change["high"] > change["low"]]
        if widths:
            lines.append(f"The median change is known to ±{statistics.median(widths):.1f} points.")
        return " ".join(lines)

    def table(self):
        rows = [["arm"] + [shown(name) for name in self.sets] + ["pairs", "generated", "trained on", "seconds"]]
        for arm in self.arms:
            mine = {score["set"]: score for score in self.scores if score["arm"] == arm}
            cells = [shown(arm) if arm != self.base else f"*{shown(arm)}*"]
            for name in self.sets:
                score = mine[name]
                cells.append(interval(score["sampled"]) if arm == self.base else
                             f"{score['sampled']['mean']:.1f}; {interval(score['sampled_change'], sign=True)}"
                             + ("*" if score["sampled_change"]["holm_p"] < LEVEL else ""))
            score = mine[self.sets[0]]
            cells += [f"{score['pairs']:.0f}", number(score["generated_tokens"]), number(score["trained_tokens"]),
                      f"{score['seconds']:.0f}"]
            rows.append(cells)
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|" + "---|" * len(rows[0]))
        return "\n".join(lines)

    def found(self):
        lines = []
        for name in self.sets:
            stands = [score for score in self.of(name) if score["arm"] != self.base
                      and score["sampled_change"]["holm_p"] < LEVEL]
            stands.sort(key=lambda score: -score["sampled_change"]["mean"])
            for better, word in ((True, "Better"), (False, "Worse")):
                some = [score for score in stands if (score["sampled_change"]["mean"] > 0) == better]
                if some:
                    lines.append(f"- {word} than *{shown(self.base)}* on {shown(name)}: "
                                 + ", ".join(f"{shown(score['arm'])} ({interval(score['sampled_change'], sign=True)})"
                                             for score in some) + ".")
            rest = [shown(score["arm"]) for score in self.of(name)
                    if score["arm"] != self.base and score not in stands]
            if rest:
                lines.append(f"- Not told from *{shown(self.base)}* on {shown(name)}: {', '.join(rest)}.")
        return "\n".join(lines)

    def doubts(self):
        lines = []
        for score in self.changes():
            change = score["sampled_change"]
            if change["p"] < LEVEL <= change["holm_p"]:
                lines.append(f"- {shown(score['arm'])} on {shown(score['set'])} ({interval(change, sign=True)}) has "
                             f"p = {change['p']:.3f} by itself and {change['holm_p']:.2f} after correction: more seeds "
                             "decide it.")
            elif change["holm_p"] < LEVEL and len({value > 0 for value in self.seeds_of(score)}) > 1:
                lines.append(f"- {shown(score['arm'])} on {shown(score['set'])}: seeds disagree about the sign.")
        for name in self.sets:
            means = [score["sampled"]["mean"] for score in self.of(name)]
            if max(means) < 3 or min(means) > 97:
                lines.append(f"- {shown(name)} tells nothing: all arms are between {min(means):.1f} and "
                             f"{max(means):.1f}%.")
        return "\n".join(lines) or "- No change is near the border of what is told."

    def section(self, target):
        def own(name):
            return link(self.folder / name, target)

        parts = [f"## {shown(self.data['title'])} ({self.model} {'world' if self.model in WORLDS else 'model'})"]
        if self.data["question"]:
            parts.append(f"**Question.** {shown(self.data['question'])}")
        parts += [f"**Design.** {self.design()} [Recipe]({own('recipe.toml')}), [all numbers]({own('results.md')}).",
                  self.table(), f"![accuracy of each arm]({own('results.svg')})"]
        if (self.folder / "results-cost.svg").exists():
            parts.append(f"![accuracy against cost]({own('results-cost.svg')})")
        parts.append(f"**Found.**\n\n{self.found()}")
        if notes := text_of(self.folder / "notes.md", target):
            parts.append(notes)
        parts.append(f"**What would change this.**\n\n{self.doubts()}")
        return "\n\n".join(parts)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    sections = []
    for folder in sys.argv[2:]:
        with reading(pathlib.Path(folder) / "results.json"):
            sections.append(Results(folder).section(target))
    summary = text_of(pathlib.Path(__file__).parent / "summary.md", target)
    with reading(target):
        target.write_text("\n\n".join([HEAD] + [summary] * bool(summary) + sections) + "\n", encoding="utf-8")


main()
