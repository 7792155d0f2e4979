"""Trains with TRL's DPOTrainer on pairs of token ids (data/FORMATS.md) and times its steps.

usage: trl_train.py FOLDER PAIRS STEPS [--warm-up N] [--batch-size N] [--threads N] [--reference precomputed|each-step]
Prints one line of JSON at the end: pairs per second over the steps after the warm-up, and the peak of the resident
memory of the process. Trains in float32 on the CPU without gradient checkpointing; other settings are those of
`pivotal train`.
"""
import argparse
import json
import resource
import tempfile
import time

import datasets
import torch
import transformers
import trl

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()


class IdTrainer(trl.DPOTrainer):
    """A DPOTrainer that takes prompt_ids, chosen_ids and rejected_ids as they are."""

    def _prepare_dataset(self, dataset, *_):
        return dataset


def load_pairs(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    keys = ("prompt_ids", "chosen_ids", "rejected_ids")
    return datasets.Dataset.from_list([{k: row[k] for k in keys} for row in rows])


def load_model(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tokenizer


def settings(output, **more):
    """Returns the settings common to all runs, for trl.DPOConfig and similar classes."""
    return dict(output_dir=output, use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no",
                report_to=[], disable_tqdm=True, logging_steps=1, max_length=None) | more


class Stopwatch(transformers.TrainerCallback):
    def __init__(self):
        self.ends = []

    def on_step_end(self, *_, **__):
        self.ends.append(time.perf_counter())


def resident_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("pairs")
    parser.add_argument("steps", type=int)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", choices=["precomputed", "each-step"], default="precomputed")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    model, tokenizer = load_model(a.folder)
    with tempfile.TemporaryDirectory() as output:
        config = trl.DPOConfig(**settings(
            output, max_steps=a.steps, per_device_train_batch_size=a.batch_size, learning_rate=1e-5,
            precompute_ref_log_probs=a.reference == "precomputed"))
        watch = Stopwatch()
        loaded = resident_mb()
        trainer = IdTrainer(model, args=config, train_dataset=load_pairs(a.pairs), processing_class=tokenizer,
                            callbacks=[watch])
        trainer.train()
    assert len(watch.ends) == a.steps, f"{len(watch.ends)} steps of {a.steps}: too few pairs"
    timed = watch.ends[-1] - watch.ends[a.warm_up - 1]
    print(json.dumps({"pairs_per_second": (a.steps - a.warm_up) * a.batch_size / timed, "peak_mb": resident_mb(),
                      "loaded_mb": loaded}))


if __name__ == "__main__":
    main()
