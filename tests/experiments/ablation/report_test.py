"""The report of recipes tells what stands after Holm's correction, what nearly does, and what can't tell.

usage: report_test.py SOURCE_FOLDER
"""
import json
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(sys.argv[1]) / "experiments/ablation/recipes/report.py"
ODD = "worse | odd [x"
RECIPE = """
[run.model]
folder = "../../../tiny/model"
[run.problems]
limit = 150
[[arm]]
name = "better"
[[arm.stage]]
[[arm]]
name = "worse | odd [x"
problems = [100, 150]
[[arm.stage]]
"""


def score(arm, name, mean, change, p, holm):
    def interval(value):
        return {"mean": value, "low": value - 2, "high": value + 2}

    return {"arm": arm, "set": name, "sampled": interval(mean), "sampled_change": interval(change) | {"p": p, "holm_p": holm},
            "pairs": 12, "generated_tokens": 1234567, "trained_tokens": 45678, "seconds": 90}


def run(arm, name, seed, sampled):
    return {"arm": arm, "set": name, "seed": seed, "sampled": sampled}


def main():
    scores = [score("base", "held out", 50, 0, 1, 1), score("better", "held out", 60, 10, 0.001, 0.01),
              score(ODD, "held out", 40, -10, 0.002, 0.02), score("near", "held out", 53, 3, 0.03, 0.2),
              score("base", "hard", 0.1, 0, 1, 1), score("better", "hard", 0.2, 0.1, 0.9, 1),
              score(ODD, "hard", 0, -0.1, 0.9, 1), score("near", "hard", 0.1, 0, 1, 1)]
    # The seeds of ODD disagree: it is better than the baseline with the second seed.
    runs = [run(s["arm"], s["set"], seed, s["sampled"]["mean"] + (40 if s["arm"] == ODD and seed == 2 else 0))
            for s in scores for seed in (1, 2)]
    results = {"title": "A title", "question": "A question?", "model": "tiny", "baseline": "base", "seeds": [1, 2],
               "samples": 4, "comparisons": 6, "scores": scores, "runs": runs}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        recipe = folder / "recipes" / "one"
        recipe.mkdir(parents=True)
        (recipe / "recipe.toml").write_text(RECIPE)
        (recipe / "results.json").write_text(json.dumps(results))
        (recipe / "results-cost.svg").write_text("<svg/>")
        (recipe / "notes.md").write_text("**Meaning.** Written by hand ([c](curves.md), [d](../../d.md#e), [w](https://a.b/c)).\n")
        report = folder / "REPORT.md"
        subprocess.run([sys.executable, SCRIPT, report, recipe], check=True)
        text = report.read_text()
        # What can't be read is one line that names the file.
        for broken, said in (("{", "results.json: Expecting"), ("[]", "not what pivotal ablate writes"),
                             ('{"baseline": "b"}', "'scores' is missing"), (None, "No such file")):
            (recipe / "results.json").unlink()
            if broken is not None:
                (recipe / "results.json").write_text(broken)
            else:
                (recipe / "results.json").symlink_to("nowhere")
            failed = subprocess.run([sys.executable, SCRIPT, report, recipe], capture_output=True, text=True)
            assert failed.returncode == 1 and said in failed.stderr and failed.stderr.count("\n") == 1, failed.stderr
    for part in ("## A title (tiny world)", "**Question.** A question?", "On the tiny model: 4 arms with 2 seeds each",
                 "A search takes 100 or 150 problems", "6 changes", "known to ±2.0 points",
                 "| better | 60.0; +10.0 [+8.0, +12.0]* | 0.2; +0.1 [-1.9, +2.1] | 12 | 1.23M | 46k | 90 |",
                 "![accuracy of each arm](recipes/one/results.svg)", "(recipes/one/results-cost.svg)",
                 "- Better than *base* on held out: better (+10.0 [+8.0, +12.0]).",
                 "- Worse than *base* on held out: worse \\| odd \\[x (-10.0 [-12.0, -8.0]).",
                 "- Not told from *base* on held out: near.", "- Not told from *base* on hard: better, worse \\| odd \\[x, near.",
                 "near on held out (+3.0 [+1.0, +5.0]) has p = 0.030 by itself and 0.20 after correction",
                 "worse \\| odd \\[x on held out: seeds disagree about the sign", "hard tells nothing: all arms are between 0.0 and 0.2%",
                 "Written by hand ([c](recipes/one/curves.md), [d](d.md#e), [w](https://a.b/c))."):
        assert part in text, f"{part}\n{text}"
    assert text.index("**Found.**") < text.index("Written by hand") < text.index("**What would change this.**")
    assert "better on held out: seeds disagree" not in text


main()
