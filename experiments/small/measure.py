"""Measures what the small world promises and prints it as tables in Markdown.

usage: python measure.py PIVOTAL_BINARY OUTPUT_FOLDER [MODEL_FOLDER]
Evaluations and searches are written into OUTPUT_FOLDER; what is there already is not done again. Needs nothing but
Python.
"""
import json
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SETS = ["heldout", "wording", "larger", "longer", "combination", "unanswerable"]
SEARCHED, RIGHT = 100, 300


class World:
    def __init__(self, pivotal, output, model):
        self.pivotal, self.output, self.model = pivotal, output, model

    def run(self, *arguments):
        done = subprocess.run([self.pivotal, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, arguments))}\n{done.stderr[-2000:]}")
        return done.stdout

    def scores(self, model, name, samples, limit=0):
        """Returns the lines of an evaluation: id, samples, successes, greedy, refusals."""
        path = self.output / f"{pathlib.Path(model).name}-{name}-{samples}.jsonl"
        if not path.exists():
            self.run("eval", "--model", model, "--problems", HERE / "problems" / f"{name}.jsonl", "--samples", samples,
                     "--limit", limit, "--max-new-tokens", 160, "--oracle", "hash", "--refusal", "can't tell", "--output",
                     path)
        return [json.loads(line) for line in open(path, encoding="utf-8")]

    def search(self, model, name):
        """Returns what a search found, and its folder."""
        folder, summary = self.output / f"run-{name}", self.output / f"run-{name}.json"
        if not summary.exists():
            shutil.rmtree(folder, ignore_errors=True)
            text = self.run("search", "--model", model, "--problems", HERE / "problems" / "train.jsonl", "--limit",
                            SEARCHED, "--max-new-tokens", 160, "--oracle", "hash", "--output", folder, "--json")
            summary.write_text(text, encoding="utf-8")
        return json.loads(summary.read_text(encoding="utf-8")), folder

    def trained_on_right(self, run):
        model = self.output / "sft"
        if not (model / "model.safetensors").exists():
            pairs = self.output / "right.jsonl"
            self.run("pairs", run, "--source", "full", "--count", RIGHT, "--output", pairs, "--force")
            lines = [json.loads(line) for line in open(pairs, encoding="utf-8")]
            data = self.output / "right-completions.jsonl"
            with open(data, "w", encoding="utf-8") as file:
                for line in lines:
                    file.write(json.dumps({"prompt_ids": line["prompt_ids"], "completion_ids": line["chosen_ids"]}) + "\n")
            shutil.rmtree(model, ignore_errors=True)
            self.run("train", "--objective", "sft", "--model", self.model, "--data", data, "--epochs", 2, "--batch-size", 8,
                     "--learning-rate", "2e-4", "--output", model)
        return model


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def percent(value):
    return f"{100 * value:.1f}%"


def recoveries(world, run):
    """Returns the share of right responses whose p(success) had fallen below half of what it was at the prompt."""
    world.run("curve", run, "--output", run / "curve.jsonl")
    lowest = {}
    for line in open(run / "curve.jsonl", encoding="utf-8"):
        unit = json.loads(line)
        key = (unit["id"], unit["response"])
        start, low, success = lowest.get(key, (unit["before"], 1, unit["success"]))
        lowest[key] = (start, min(low, unit["after"]), success)
    right = [(start, low) for start, low, success in lowest.values() if success]
    return mean(low < start / 2 for start, low in right), len(right)


def main():
    pivotal, output = sys.argv[1], pathlib.Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    world = World(pivotal, output, sys.argv[3] if len(sys.argv) > 3 else HERE / "model")
    print("| set | problems | sampled | at temperature 0 | refused |\n|---|---|---|---|---|")
    for name in SETS:
        lines = world.scores(world.model, name, 4)
        print(f"| {name} | {len(lines)} | {percent(mean(p['successes'] / p['samples'] for p in lines))} "
              f"| {percent(mean(p['greedy'] for p in lines))} "
              f"| {percent(mean(p['refusals'] / p['samples'] for p in lines))} |")
    shares = sorted(p["successes"] / p["samples"] for p in world.scores(world.model, "train", 32, 300))
    print("\n| p(success) of 300 problems, 32 responses each | |\n|---|---|")
    for text, low, high in (("below 0.1", -1, 0.1), ("0.1 to 0.3", 0.1, 0.3), ("0.3 to 0.5", 0.3, 0.5),
                            ("0.5 to 0.7", 0.5, 0.7), ("0.7 to 0.9", 0.7, 0.9), ("0.9 and above", 0.9, 2)):
        print(f"| {text} | {percent(mean(low <= share < high for share in shares))} |")
    before, run = world.search(world.model, "before")
    sft = world.trained_on_right(run)
    after, _ = world.search(sft, "after")
    solved = [mean(p["successes"] / p["samples"] for p in world.scores(model, "heldout", 4)) for model in (world.model, sft)]
    print(f"\n| {SEARCHED} problems searched | before | after SFT on {RIGHT} right responses |\n|---|---|---|")
    print(f"| held-out accuracy, sampled | {percent(solved[0])} | {percent(solved[1])} |")
    for key, text in (("in_band", "problems in the band"), ("responses", "responses"), ("pivotal_tokens", "pivotal tokens"),
                      ("confirmed_pairs", "pairs")):
        print(f"| {text} | {before[key]} | {after[key]} |")
    share, count = recoveries(world, run)
    print(f"\nOf {count} right responses of the first search, {percent(share)} had a p(success) below half of their "
          "prompt's at some token: a mistake that was mended.")


main()
