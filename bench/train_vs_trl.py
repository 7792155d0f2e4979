"""Compares speed and memory of training by `pivotal train` and by TRL's DPOTrainer on the same pairs.

usage: train_vs_trl.py PIVOTAL PYTHON [--models tiny random] [--shapes pivotal full] [--steps N] [--repeats N]
                       [--threads N] [--busy N] [--reference precomputed|each-step] [--json FILE]
PIVOTAL is the program. PYTHON is an interpreter with trl, which runs bench/peers/trl_train.py; `make test-parity` makes
build/parity/bin/python. The two take turns. Prints a Markdown table: medians of pairs per second over the steps after
the warm-up, and of the peak of the resident memory of the process. Both train in float32 with batches of 8 pairs and
the same number of threads. Scoring by the reference is not timed, unless TRL does it in each step.

With --threads 0 both choose their threads, as a user has it who sets nothing. --busy N lets N other processes want a core
meanwhile.

The model `tiny` is experiments/tiny, and `random` is a Phi-3 of 91M random weights. Pairs are random ids:
  pivotal  1 to 8 pairs of single tokens on each trunk of 64 to 512 tokens; prompts are prefixes of trunks, as search
           finds them
  full     prompts of 128 tokens, sides of 64
  KxL      K pairs of single tokens on each trunk of L tokens, e.g. 4x128; plot_train.py draws these
(for tiny, whose positions end at 256, trunks end at 248).
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = ROOT / "experiments/tiny/model"
BATCH, WARM_UP = 8, 2
VOCABULARY = 700  # ids of the tiny tokenizer, which both models have

MAKE_RANDOM = """
import sys, torch, transformers
torch.manual_seed(1)
config = transformers.Phi3Config(
    vocab_size=32064, hidden_size=640, intermediate_size=1728, num_hidden_layers=10, num_attention_heads=10,
    num_key_value_heads=10, max_position_embeddings=4096, bos_token_id=1, eos_token_id=2, pad_token_id=3)
model = transformers.AutoModelForCausalLM.from_config(config)
model.save_pretrained(sys.argv[1])
print(sum(p.numel() for p in model.parameters()))
"""


def pivotal_pairs(r, count, longest):
    pairs = []
    while len(pairs) < count:
        trunk = [1] + [r.randrange(10, VOCABULARY) for _ in range(r.randint(64, longest) - 1)]
        question = len(trunk) // 4
        for position in sorted(r.sample(range(question, len(trunk)), r.randint(1, 8))):
            chosen, rejected = r.sample(range(10, VOCABULARY), 2)
            pairs.append((trunk[:position], [chosen], [rejected]))
    return pairs[:count]


def full_pairs(r, count, _):
    def ids(n):
        return [r.randrange(10, VOCABULARY) for _ in range(n)]
    return [([1, *ids(127)], ids(64), ids(64)) for _ in range(count)]


SHAPES = {"pivotal": pivotal_pairs, "full": full_pairs}


def trunk_pairs(each, length):
    """Makes `each` pairs on each trunk of `length` tokens: one at its end, the others in its last three quarters."""
    def pairs(r, count, _):
        made = []
        while len(made) < count:
            trunk = [1] + [r.randrange(10, VOCABULARY) for _ in range(length - 1)]
            for position in [*sorted(r.sample(range(length // 4, length), each - 1)), length]:
                chosen, rejected = r.sample(range(10, VOCABULARY), 2)
                made.append((trunk[:position], [chosen], [rejected]))
        return made[:count]
    return pairs


def shape_of(name):
    """Returns the function that makes pairs of a shape."""
    if name in SHAPES:
        return SHAPES[name]
    if match := re.fullmatch(r"(\d+)x(\d+)", name):
        return trunk_pairs(int(match[1]), int(match[2]))
    raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(SHAPES)}, KxL")


def write_pairs(path, pairs):
    with open(path, "w", encoding="utf-8") as file:
        for prompt, chosen, rejected in pairs:
            file.write(json.dumps({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}) + "\n")


def run(command, **more):
    """Returns standard output and the peak of the resident memory in MB (Linux gives KiB)."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, **more)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\n{out.read()}\n{err.read()}")
        return out.read(), usage.ru_maxrss / 1024


@contextlib.contextmanager
def busy(count):
    """Processes that compute until the block ends."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def environment_of(threads):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    return kept | ({"OMP_NUM_THREADS": str(threads)} if threads else {})


def run_pivotal(a, folder, pairs, output):
    _, peak = run([a.pivotal, "train", "--model", folder, "--data", pairs, "--output", output,
                   "--batch-size", str(BATCH), "--max-steps", str(a.steps), "--learning-rate", "1e-5"],
                  env=environment_of(a.threads))
    seconds = [json.loads(line)["seconds"] for line in open(output / "log.jsonl", encoding="utf-8")]
    assert len(seconds) == a.steps
    shutil.rmtree(output)
    return {"pairs_per_second": (a.steps - WARM_UP) * BATCH / (seconds[-1] - seconds[WARM_UP - 1]), "peak_mb": peak}


def run_trl(a, folder, pairs):
    out, peak = run([a.python, ROOT / "bench/peers/trl_train.py", folder, pairs, str(a.steps),
                     "--warm-up", str(WARM_UP), "--batch-size", str(BATCH), "--threads", str(a.threads or os.cpu_count()),
                     "--reference", a.reference], env=environment_of(a.threads) | {"TQDM_DISABLE": "1"})
    return json.loads(out.splitlines()[-1]) | {"peak_mb": peak}


def summary(runs):
    speeds = [r["pairs_per_second"] for r in runs]
    return {"pairs_per_second": statistics.median(speeds), "slowest": min(speeds), "fastest": max(speeds),
            "peak_mb": statistics.median(r["peak_mb"] for r in runs)}


def compare(a, model, folder, shape, scratch):
    pairs = scratch / f"{model}-{shape}.jsonl"
    longest = 248 if model == "tiny" else 512
    write_pairs(pairs, shape_of(shape)(random.Random(7), a.steps * BATCH, longest))
    ours, theirs = [], []
    for _ in range(a.repeats):
        with busy(a.busy):
            ours.append(run_pivotal(a, folder, pairs, scratch / "out"))
            theirs.append(run_trl(a, folder, pairs))
        print(f"{model} {shape}: {ours[-1]} {theirs[-1]}", file=sys.stderr, flush=True)
    return {"model": model, "shape": shape, "pivotal": summary(ours), "trl": summary(theirs)}


def row(result):
    ours, theirs = result["pivotal"], result["trl"]

    def speed(s):
        return f"{s['pairs_per_second']:.2f} [{s['slowest']:.2f}, {s['fastest']:.2f}]"
    return (f"| {result['model']} | {result['shape']} | {speed(ours)} | {speed(theirs)} | "
            f"{ours['pairs_per_second'] / theirs['pairs_per_second']:.2f} | "
            f"{ours['peak_mb']:.0f} | {theirs['peak_mb']:.0f} | "
            f"{ours['peak_mb'] / theirs['peak_mb']:.2f} |")


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("pivotal", type=pathlib.Path)
    parser.add_argument("python")
    parser.add_argument("--models", nargs="+", choices=["tiny", "random"], default=["tiny", "random"])
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), metavar="pivotal|full|KxL",
                        type=lambda name: name if shape_of(name) else None)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0, metavar="N")
    parser.add_argument("--reference", choices=["precomputed", "each-step"], default="precomputed",
                        help="when TRL scores pairs by the reference")
    parser.add_argument("--json", type=pathlib.Path)
    a = parser.parse_args()
    if a.steps <= WARM_UP:
        parser.error(f"--steps must be above {WARM_UP}, the number of steps that warm up")
    results = []
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        folders = {"tiny": TINY, "random": scratch / "random"}
        if "random" in a.models:
            print("random model:", run([a.python, "-c", MAKE_RANDOM, folders["random"]])[0].strip(), "weights",
                  file=sys.stderr)
            for file in TINY.glob("tokenizer*"):
                shutil.copy(file, folders["random"] / file.name)
        for model in a.models:
            results += [compare(a, model, folders[model], shape, scratch) for shape in a.shapes]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {a.threads or 'unset'} threads, {a.busy} busy processes beside, batches of {BATCH}, "
          f"{a.steps} steps of which {WARM_UP} warm up, medians of {a.repeats} [slowest, fastest]; "
          f"TRL's reference: {a.reference}\n")
    print("| model | pairs | Pivotal, pairs/s | TRL, pairs/s | ratio | Pivotal, peak MB | TRL, peak MB | ratio |\n"
          "|---|---|---|---|---|---|---|---|")
    for result in results:
        print(row(result))
    if a.json:
        setting = {"machine": platform.platform(), "cores": os.cpu_count(), "threads": a.threads, "busy": a.busy, "batch": BATCH,
                   "steps": a.steps, "repeats": a.repeats, "reference": a.reference}
        a.json.write_text(json.dumps(setting | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
