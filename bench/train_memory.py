"""Compares the memory that `pivotal train` plans with the peak that it reaches, for combinations of its flags.

usage: train_memory.py PIVOTAL PYTHON [--models 91M 953M] [--only WORD ...] [--ranks N] [--steps N] [--batch-size N]
  [--device cpu|cuda] [--json FILE]
PIVOTAL is the program. PYTHON is an interpreter with transformers; `make test-parity` makes build/parity/bin/python.
Each run trains a random model on random pairs for a few steps. Prints a Markdown table: bytes a parameter, planned and
measured (resident memory of the process on a CPU, LibTorch's allocations on a GPU), and their ratio. A combination that
does not fit into the free memory is left out, and the table says so. --only keeps combinations whose name has a WORD.
--ranks trains with so many processes under mpirun, with and without --shard-weights; figures are those of process 0.
"""
import argparse
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = ROOT / "experiments/tiny/model"
MODELS = {
    "91M": dict(hidden_size=640, intermediate_size=1728, num_hidden_layers=10, num_attention_heads=10,
                num_key_value_heads=10, tie_word_embeddings=False),
    "953M": dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=16, num_attention_heads=16,
                 num_key_value_heads=16, tie_word_embeddings=False),
    "tied": dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=12,
                 num_key_value_heads=4, tie_word_embeddings=True),
}
MAKE = """
import json, sys, torch, transformers
torch.manual_seed(1)
config = transformers.Phi3Config(vocab_size=32064, max_position_embeddings=4096, bos_token_id=1, eos_token_id=2,
                                 pad_token_id=3, **json.loads(sys.argv[2]))
model = transformers.AutoModelForCausalLM.from_config(config)
model.save_pretrained(sys.argv[1])
print(sum(p.numel() for p in model.parameters()))
"""
HALF = ["--dtype", "bfloat16"]
STOCHASTIC = [*HALF, "--bf16-update", "stochastic"]
EIGHT = ["--optimizer", "adamw8bit"]
FUSED = ["--fused-backward", "--clip-by", "tensor"]
CHECKPOINTING = ["--activation-checkpointing"]
COMBINATIONS = {
    "float32": [],
    "float32, 8-bit": EIGHT,
    "float32, 8-bit, fused": EIGHT + FUSED,
    "float32, 8-bit, fused, checkpointing": EIGHT + FUSED + CHECKPOINTING,
    "bf16, float32 copies": HALF,
    "bf16, float32 copies, 8-bit": HALF + EIGHT,
    "bf16, stochastic": STOCHASTIC,
    "bf16, stochastic, fused": STOCHASTIC + FUSED,
    "bf16, stochastic, 8-bit": STOCHASTIC + EIGHT,
    "bf16, stochastic, 8-bit, fused": STOCHASTIC + EIGHT + FUSED,
    "bf16, stochastic, 8-bit, fused, checkpointing": STOCHASTIC + EIGHT + FUSED + CHECKPOINTING,
    "float32, LoRA": ["--lora-rank", "16"],
    "bf16, LoRA, checkpointing": [*HALF, "--lora-rank", "16"] + CHECKPOINTING,
    "bf16, LoRA on NF4, checkpointing": [*HALF, "--lora-rank", "16", "--base-weights", "nf4"] + CHECKPOINTING,
}
SHARDED = ["--shard-weights"]
OF_RANKS = {
    "float32": [],
    "float32, sharded": SHARDED,
    "float32, sharded, 8-bit": SHARDED + EIGHT,
    "bf16, stochastic, sharded, 8-bit": SHARDED + STOCHASTIC + EIGHT,
    "bf16, stochastic, sharded, 8-bit, checkpointing": SHARDED + STOCHASTIC + EIGHT + CHECKPOINTING,
    "bf16, LoRA, sharded, checkpointing": SHARDED + [*HALF, "--lora-rank", "16"] + CHECKPOINTING,
}
UNITS = {"KiB": 2 ** 10, "MiB": 2 ** 20, "GiB": 2 ** 30}


def write_pairs(path, count, length):
    r = random.Random(1)
    with open(path, "w") as out:
        for _ in range(count):
            ids = [1, *(r.randrange(10, 700) for _ in range(length - 1))]
            chosen, rejected = r.sample(range(10, 700), 2)
            out.write(json.dumps({"prompt_ids": ids, "chosen_ids": [chosen], "rejected_ids": [rejected]}) + "\n")


def bytes_of(text):
    number, unit = text.split()
    return float(number) * UNITS[unit]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("pivotal")
    parser.add_argument("python")
    parser.add_argument("--models", nargs="+", default=["91M", "953M"], choices=MODELS)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json")
    args = parser.parse_args()
    launch = []
    if args.ranks > 1:
        launch = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", str(args.ranks)]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_pairs(folder / "pairs.jsonl", 16, 256)
        for model in args.models:
            path = folder / model
            path.mkdir()
            made = subprocess.run([args.python, "-c", MAKE, path, json.dumps(MODELS[model])], check=True,
                                  capture_output=True, text=True)
            parameters = int(made.stdout.split()[-1])
            for file in TINY.iterdir():
                if file.name.startswith(("tokenizer", "special_tokens")):
                    shutil.copy(file, path)
            print(f"\n| {model}: {parameters / 1e6:.0f}M parameters | planned GiB | peak GiB | planned / peak | peak "
                  "bytes a parameter |\n|---|---|---|---|---|", flush=True)
            for combination, flags in (OF_RANKS if launch else COMBINATIONS).items():
                if not any(word in combination for word in args.only):
                    continue
                output = folder / "output"
                shutil.rmtree(output, ignore_errors=True)
                run = subprocess.run(
                    [*launch, args.pivotal, "train", "--model", path, "--data", folder / "pairs.jsonl", "--output", output,
                     "--device", args.device, "--batch-size", str(args.batch_size), "--max-steps", str(args.steps),
                     "--no-reference-cache", *flags], capture_output=True, text=True)
                found = re.search(r"peak memory ([\d.]+ \w+), planned ([\d.]+ \w+)", run.stdout)
                if not found:
                    print(f"| {combination} | {(run.stderr or run.stdout).strip().splitlines()[-1]} | | | |", flush=True)
                    continue
                peak, planned = bytes_of(found[1]), bytes_of(found[2])
                rows.append(dict(model=model, parameters=parameters, flags=flags, peak=peak, planned=planned))
                print(f"| {combination} | {planned / 2**30:.2f} | {peak / 2**30:.2f} | {planned / peak:.2f} | "
                      f"{peak / parameters:.1f} |", flush=True)
            shutil.rmtree(path)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    sys.exit(main())
