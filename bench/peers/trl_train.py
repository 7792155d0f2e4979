"""Trains with TRL's DPOTrainer on pairs of token ids (data/FORMATS.md) and times its steps.

usage: trl_train.py FOLDER PAIRS STEPS [--warm-up N] [--batch-size N] [--threads N] [--reference precomputed|each-step]
                    [--device cpu|cuda] [--dtype float32|bfloat16] [--lora-rank N]
Prints one line of JSON at the end: pairs per second over the steps after the warm-up, and the peak of the resident
memory of the process, on a GPU that of its tensors there. Trains without gradient checkpointing; other settings are
those of `pivotal train`.
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


def load_model(folder, dtype=torch.float32, device="cpu"):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device), tokenizer


def adapter(rank):
    """Returns PEFT's settings of LoRA on every linear layer, as `pivotal train --lora-rank` has it; None for rank 0."""
    if rank == 0:
        return None
    import peft
    return peft.LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")


def settings(output, **more):
    """Returns the settings common to all runs, for trl.DPOConfig and similar classes."""
    return dict(output_dir=output, use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no",
                report_to=[], disable_tqdm=True, logging_steps=1, max_length=None) | more


class Stopwatch(transformers.TrainerCallback):
    def __init__(self):
        self.ends = []

    def on_step_end(self, *_, **__):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--lora-rank", type=int, default=0)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    on_cpu = a.device == "cpu"
    model, tokenizer = load_model(a.folder, getattr(torch, a.dtype), a.device)
    with tempfile.TemporaryDirectory() as output:
        config = trl.DPOConfig(**settings(
            output, max_steps=a.steps, per_device_train_batch_size=a.batch_size, learning_rate=1e-5,
            use_cpu=on_cpu, bf16=a.dtype == "bfloat16", precompute_ref_log_probs=a.reference == "precomputed"))
        watch = Stopwatch()
        loaded = resident_mb()
        trainer = IdTrainer(model, args=config, train_dataset=load_pairs(a.pairs), processing_class=tokenizer,
                            callbacks=[watch], peft_config=adapter(a.lora_rank))
        trainer.train()
    assert len(watch.ends) == a.steps, f"{len(watch.ends)} steps of {a.steps}: too few pairs"
    timed = watch.ends[-1] - watch.ends[a.warm_up - 1]
    peak = resident_mb() if on_cpu else torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"pairs_per_second": (a.steps - a.warm_up) * a.batch_size / timed, "peak_mb": peak,
                      "loaded_mb": loaded}))


if __name__ == "__main__":
    main()
