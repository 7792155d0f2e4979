"""Compares cDPO's contrastive scores with the truth of the tiny model: which tokens they find without rollouts.

usage: contrastive_scores.py PIVOTAL [--problems N] [--samples N] [--epochs N] [--learning-rate R] [--searched N]
                             [--pairs N] [--rollouts N] [--seed N] [--work DIR] [--json FILE]
PIVOTAL is the program. Needs torch, transformers and h5py; run from anywhere.

cDPO (Lin et al., arXiv 2411.19943) fine-tunes one model on right responses and one on wrong ones. The score of a token
is log p+(t) - log p-(t), their log-probabilities of it; the critical token of a wrong response has the lowest one.
  1. `pivotal search --strategy none` draws SAMPLES responses to each of the first PROBLEMS train problems. These are
     the only generated tokens that the method costs.
  2. `pivotal train --objective sft` makes the two models of the right and the wrong ones, from the tiny model.
  3. The tokens of tests/experiments/tiny/tiny_truth.jsonl are scored. As many as the search reports, those of largest
     abs(score), are compared with the truth: recall of tokens with abs(d) >= 0.25, and how many are false, abs(d) <
     0.15. `pivotal search` with its defaults on SEARCHED problems gives estimates of more responses, which say how many
     to report.
  4. Pairs: in wrong responses that were drawn, one a problem, the critical token among those with 1 - pi >= 0.2 is
     rejected. Chosen is the token of highest score among the others that the policy gives at least a tenth of its most
     probable token's probability. ROLLOUTS fresh rollouts of each side, which are not counted as cost, tell whether
     PAIRS of them are true: sides that differ by 0.2.
Prints a Markdown table. AUC is the chance that a pivotal token, abs(d) >= 0.2, has a larger abs(score) than another
token; "among uncertain tokens" takes those with 1 - pi >= 0.2 alone, as only they can be pivotal.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = ROOT / "experiments/tiny"
TRUTH = ROOT / "tests/experiments/tiny/tiny_truth.jsonl"
PROBLEMS = TINY / "problems/train.jsonl"
GAP, TOLERANCE, LONGEST = 0.2, 0.05, 64
PLAUSIBLE = 0.1  # of the largest probability: what the chosen token needs at least


def pivotal(program, *args):
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line and not line.startswith("Run with")]
        sys.exit(f"contrastive_scores.py: pivotal {args[0]}: {lines[-1] if lines else 'it failed'}")


def ragged(file, column):
    values, offsets = file[column][:], file[column + "_offsets"][:]
    return [values[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


def search(program, folder, seed, limit, *args):
    """Searches train problems; returns the HDF5 file of the traces."""
    pivotal(program, "search", "--model", TINY / "model", "--problems", PROBLEMS, "--limit", limit,
            "--max-new-tokens", LONGEST, "--seed", seed, "--output", folder, *args)
    return h5py.File(folder / "traces.h5")


def drawn_responses(traces):
    """Returns (query, prompt, response, success) of the rollouts of prompts."""
    prompts = ragged(traces, "queries/prompt")
    rows = zip(traces["rollouts/query"][:], traces["rollouts/kind"][:], ragged(traces, "rollouts/tokens"),
               traces["rollouts/success"][:])
    return [(int(query), prompts[query], tokens, bool(success)) for query, kind, tokens, success in rows if kind == 0]


def train(program, work, name, responses, options):
    """Fine-tunes the tiny model on responses; returns the model."""
    data = work / f"{name}.jsonl"
    data.write_text("".join(json.dumps({"prompt_ids": prompt, "completion_ids": tokens}) + "\n"
                            for _, prompt, tokens, _ in responses), encoding="utf-8")
    pivotal(program, "train", "--objective", "sft", "--model", TINY / "model", "--data", data, "--output", work / name,
            "--learning-rate", options.learning_rate, "--epochs", options.epochs, "--seed", options.seed)
    return load(work / name)


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def log_probabilities(model, prompt, tokens):
    """Returns [T, V]: the distribution before each of `tokens`."""
    logits = model(torch.tensor([prompt + tokens])).logits[0]
    return torch.log_softmax(logits[len(prompt) - 1:-1].double(), -1).numpy()


def auc(values, positive):
    """Returns the chance that a positive value is larger than another one; ties count half."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    ones = positive.sum()
    return (rank[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(values) - ones))


class Scores:
    """Tokens with their scores and true changes d."""

    def __init__(self, models):
        self.models = models
        self.score, self.change, self.leave = [], [], []

    def add(self, prompt, tokens, success_curve):
        policy, right, wrong = (log_probabilities(model, prompt, tokens)[np.arange(len(tokens)), tokens]
                                for model in self.models)
        self.score += (right - wrong).tolist()
        self.leave += (1 - np.exp(policy)).tolist()
        self.change += np.diff(success_curve).tolist()

    def result(self, reported):
        score, change, leave = map(np.array, (self.score, self.change, self.leave))
        size, pivotal_token, uncertain = abs(score), abs(change) >= GAP, leave >= GAP
        best = lambda order: np.argsort(-order, kind="stable")[:reported]  # noqa: E731
        rows = {}
        for name, kept in (("all tokens", np.full(len(size), True)), ("uncertain tokens", uncertain)):
            top = best(np.where(kept, size, -1))
            strong = abs(change) >= GAP + TOLERANCE
            rows[name] = {
                "tokens": int(kept.sum()), "pivotal": int(pivotal_token[kept].sum()), "reported": reported,
                "recall": strong[top].sum() / strong.sum(), "false": (abs(change[top]) < GAP - TOLERANCE).mean(),
                "sign": (np.sign(score[top]) == np.sign(change[top]))[pivotal_token[top]].mean(),
                "auc": auc(size[kept], pivotal_token[kept]), "auc_leave": auc(leave[kept], pivotal_token[kept])}
        return rows


def critical_pairs(responses, models, r, count):
    """Returns (query, prefix, chosen, rejected, tokens of the prompt) of wrong responses, one a problem."""
    pairs, seen = [], set()
    for query, prompt, tokens, success in r.sample(responses, len(responses)):
        if success or query in seen:
            continue
        seen.add(query)
        policy, right, wrong = (log_probabilities(model, prompt, tokens) for model in models)
        contrast, steps = right - wrong, np.arange(len(tokens))
        k = int(np.where(policy[steps, tokens] <= np.log(1 - GAP), contrast[steps, tokens], np.inf).argmin())
        plausible = policy[k] >= policy[k].max() + np.log(PLAUSIBLE)
        plausible[tokens[k]] = False
        if plausible.any():
            chosen = int(np.where(plausible, contrast[k], -np.inf).argmax())
            pairs.append((query, prompt + tokens[:k], chosen, tokens[k], len(prompt)))
        if len(pairs) == count:
            break
    return pairs


@torch.no_grad()
def success_rates(program, model, tokenizer, pairs, answers, rollouts, work):
    """Returns p(success) of both sides of each pair [P, 2], by fresh rollouts."""
    lines = []
    for query, prefix, chosen, rejected, prompt in pairs:
        for token in (chosen, rejected):
            ids = torch.tensor([prefix + [token]])
            ended = token == tokenizer.eos_token_id or ids.shape[1] - prompt >= LONGEST
            whole = ids.expand(rollouts, -1) if ended else model.generate(
                ids, do_sample=True, top_k=0, num_return_sequences=rollouts, pad_token_id=tokenizer.pad_token_id,
                max_new_tokens=LONGEST + prompt - ids.shape[1])
            lines += [{"response": text, "answer": answers[query]}
                      for text in tokenizer.batch_decode(whole[:, prompt:], skip_special_tokens=True)]
    asked, graded = work / "rollouts.jsonl", work / "graded.jsonl"
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    pivotal(program, "grade", "--oracle", "hash", "--input", asked, "--output", graded)
    verdicts = [json.loads(line)["success"] for line in open(graded, encoding="utf-8")]
    return np.array(verdicts, float).reshape(len(pairs), 2, rollouts).mean(2)


def run(options, work):
    """Does all steps in the folder `work`; returns the figures."""
    program = str(pathlib.Path(options.program).resolve())
    problems = [json.loads(line) for line in open(PROBLEMS, encoding="utf-8")]
    responses = drawn_responses(search(program, work / "drawn", options.seed, options.problems, "--strategy", "none",
                                       "--samples", options.samples, "--min-success", 0, "--max-success", 1))
    models = [load(TINY / "model")] + [
        train(program, work, name, [one for one in responses if one[3] == side], options)
        for name, side in (("right", True), ("wrong", False))]
    cost = sum(len(tokens) for _, _, tokens, _ in responses)

    found = search(program, work / "searched", options.seed + 1, options.searched)
    estimates, prompts = Scores(models), ragged(found, "queries/prompt")
    at = found["estimates/response"][:]
    for number, (query, tokens) in enumerate(zip(found["responses/query"][:], ragged(found, "responses/tokens"))):
        estimates.add(prompts[query], tokens, found["estimates/mean"][:][at == number])
    reported = len(found["pivotal/position"])
    search_cost = sum(map(len, ragged(found, "rollouts/tokens")))
    responses_searched = len(found["responses/query"])

    truth = Scores(models)
    lines = [json.loads(line) for line in open(TRUTH, encoding="utf-8")][1:]
    with h5py.File(work / "drawn/traces.h5") as drawn:
        prompt_of = dict(zip([one["id"] for one in problems], ragged(drawn, "queries/prompt")))
    for line in lines:
        truth.add(prompt_of[line["id"]], line["tokens"], line["p"])
    rows = {"truth": truth.result(round(reported / responses_searched * len(lines))),
            "estimates": estimates.result(reported)}

    torch.manual_seed(options.seed)
    pairs = critical_pairs(responses, models, random.Random(options.seed), options.pairs)
    tokenizer = transformers.AutoTokenizer.from_pretrained(TINY / "model")
    rates = success_rates(program, models[0], tokenizer, pairs, [one["answer"] for one in problems],
                          options.rollouts, work)
    better = rates[:, 0] - rates[:, 1]
    wrong_problems = len({query for query, _, _, success in responses if not success})
    share = (better >= GAP).mean()
    return {"settings": {key: str(value) for key, value in vars(options).items()}, "tokens": cost,
            "tokens_a_response": cost / len(responses), "search_tokens_a_response": search_cost / responses_searched,
            "scores": rows,
            "pairs": {"checked": len(pairs), "true": share, "below": 1 - share, "wrong": (better < 0).mean(),
                      "possible": wrong_problems, "true_per_million": 1e6 * share * wrong_problems / cost}}


def table(result):
    print("| responses | tokens | pivotal | reported | recall | false share | right direction | AUC | AUC of 1 - pi |")
    print("|---|---|---|---|---|---|---|---|---|")
    for source, rows in result["scores"].items():
        for kept, row in rows.items():
            print(f"| {source}, {kept} | {row['tokens']} | {row['pivotal']} | {row['reported']} | "
                  f"{row['recall']:.2f} | {row['false']:.2f} | {row['sign']:.2f} | {row['auc']:.3f} | "
                  f"{row['auc_leave']:.3f} |")
    pairs = result["pairs"]
    print(f"\n{result['tokens']:,} generated tokens, {result['tokens_a_response']:.0f} a response (the search: "
          f"{result['search_tokens_a_response']:.0f}). {pairs['checked']} pairs checked: {pairs['true']:.1%} true, "
          f"{pairs['below']:.1%} below the gap, {pairs['wrong']:.1%} the wrong way round. One pair for each of "
          f"{pairs['possible']} problems with a wrong response: {pairs['true_per_million']:.0f} true pairs a million "
          "tokens.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--searched", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=pathlib.Path, help="folder for the runs and the models, which is kept")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if not pathlib.Path(options.program).is_file():
        parser.error(f"{options.program}: there is no such program; give that of a build, build/release/bin/pivotal")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or pathlib.Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        result = run(options, work)
    table(result)
    if options.json:
        options.json.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
