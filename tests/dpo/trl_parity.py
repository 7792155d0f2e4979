"""Trains a small random Phi-3 with TRL on pairs of ids, for trl_parity_test.cc.

usage: trl_parity.py OUT TOKENIZER single|full|text|advantages
The sides of pairs are single tokens ("single") or have 1 to 24 tokens ("full"); "text" is KTO on text, "advantages" a
policy gradient on completions. Writes into the folder OUT: model/ with the tokenizer files of TOKENIZER, files of examples, cases.json, a list of {"name", "data",
"flags"} where `flags` are the flags of `pivotal train` for the same training, and for each case TRL's result:
<name>/model.safetensors and <name>/log.json, a list with {"loss", "rewards/margins", ...} of every step.
PIVOTAL_TRL_CASES="wpo,aot" runs these cases alone.
"""
import copy
import json
import os
import pathlib
import random
import shutil
import sys

os.environ["TQDM_DISABLE"] = "1"
import datasets  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from trl import DPOConfig, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer  # noqa: E402
from trl.experimental.cpo import CPOConfig, CPOTrainer  # noqa: E402
from trl.experimental.orpo import ORPOConfig, ORPOTrainer  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench/peers"))
from trl_train import IdTrainer, load_model, load_pairs, settings  # noqa: E402

STEPS, BATCH = 20, 8


class FromIds:
    """Gives token ids to the trainers that tokenize row by row."""

    def tokenize_row(self, row, *_):
        out = {"prompt_input_ids": row["prompt_ids"], "prompt_attention_mask": [1] * len(row["prompt_ids"])}
        for side in ("chosen", "rejected"):
            ids = row["prompt_ids"] + row[side + "_ids"]
            out[side + "_input_ids"], out[side + "_attention_mask"] = ids, [1] * len(ids)
            out[side + "_labels"] = [-100] * len(row["prompt_ids"]) + row[side + "_ids"]
        return out


class Recorded:
    """Keeps the losses, because the log rounds them."""

    def compute_loss(self, *arguments, **more):
        loss = super().compute_loss(*arguments, **more)
        self.losses = [*getattr(self, "losses", []), loss.item()]
        return loss


class WarmUpFromOne:
    """Takes the rates of the warm-up one step ahead. transformers gives the first step the rate 0, Pivotal does not."""

    def create_scheduler(self, num_training_steps, optimizer=None):
        theirs = super().create_scheduler(num_training_steps, optimizer)
        warm_up = self.args.get_warmup_steps(num_training_steps)
        rates = [lambda step, rate=rate: rate(step + (step < warm_up)) for rate in theirs.lr_lambdas]
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(theirs.optimizer, rates)
        return self.lr_scheduler


class Dpo(WarmUpFromOne, Recorded, IdTrainer):
    pass


class Cpo(WarmUpFromOne, Recorded, FromIds, CPOTrainer):
    pass


class Orpo(WarmUpFromOne, Recorded, FromIds, ORPOTrainer):
    pass


class Kto(WarmUpFromOne, Recorded, KTOTrainer):
    """Takes text, so that TRL itself chooses the completions of the KL term."""


class Grpo(WarmUpFromOne, GRPOTrainer):
    """Takes completions and an advantage for each token as they are, in place of generating and judging them. The
    policy that sampled them and the reference are the model as it begins."""

    def __init__(self, model, args, train_dataset, processing_class):
        super().__init__(model, reward_funcs=lambda **_: [], args=args, train_dataset=train_dataset.select_columns("prompt"),
                         processing_class=processing_class)
        self.rows, self.losses, self.first = train_dataset, [], copy.deepcopy(model).eval()

    def _prepare_inputs(self, _):
        begin = self.state.global_step * BATCH % len(self.rows)
        rows = [self.rows[i] for i in range(begin, begin + BATCH)]

        def pad(key, left=False, fill=0, like=None):
            values = [row[key] if like is None else [1] * len(row[like]) for row in rows]
            longest = max(map(len, values))
            return torch.tensor([[fill] * (longest - len(v)) + v if left else v + [fill] * (longest - len(v)) for v in values])

        inputs = {"prompt_ids": pad("prompt_ids", left=True, fill=3), "prompt_mask": pad(None, left=True, like="prompt_ids"),
                  "completion_ids": pad("completion_ids", fill=3), "completion_mask": pad(None, like="completion_ids"),
                  "advantages": pad("advantages", fill=0.0)}
        with torch.no_grad():
            logps, *_ = self._get_per_token_logps_and_entropies(
                self.first, torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1), inputs["completion_ids"].size(1))
        return inputs | {"old_per_token_logps": logps, "ref_per_token_logps": logps}

    def compute_loss(self, *arguments, **more):
        loss = super().compute_loss(*arguments, **more)
        self.losses.append(loss.item())
        return loss


TRAINERS = {"dpo": (Dpo, DPOConfig), "cpo": (Cpo, CPOConfig), "orpo": (Orpo, ORPOConfig), "kto": (Kto, KTOConfig),
            "grpo": (Grpo, GRPOConfig)}
IN_ORDER = "--order file --lr-schedule linear --warmup-ratio 0"


def loss(kind, beta=0.1, smoothing=0.0):
    return ("dpo", dict(loss_type=[kind], beta=beta, label_smoothing=smoothing),
            f"{IN_ORDER} --loss {kind} --beta {beta}" + (f" --label-smoothing {smoothing}" if smoothing else ""))


def mix(weights):
    return ("dpo", dict(loss_type=list(weights), loss_weights=list(weights.values()), beta=0.1),
            f"{IN_ORDER} --loss {','.join(f'{kind}:{weight}' for kind, weight in weights.items())} --beta 0.1")


def divergence(kind, losses="sigmoid", alpha=0.5, beta=0.1):
    return ("dpo", dict(f_divergence_type=kind, f_alpha_divergence_coef=alpha, loss_type=losses.split(","), beta=beta),
            f"{IN_ORDER} --f-divergence {kind} --f-alpha {alpha} --loss {losses} --beta {beta}")


# name: (trainer, its settings, flags of `pivotal train`). These cases run with both shapes of pairs.
CASES = {
    "sigmoid": loss("sigmoid"),
    "sigmoid-beta-1": loss("sigmoid", beta=1.0),
    "hinge": loss("hinge"),
    "ipo": loss("ipo"),
    "robust": loss("robust", smoothing=0.1),
    "exo-pair": loss("exo_pair", smoothing=0.001),
    "nca-pair": loss("nca_pair"),
    "bco-pair": loss("bco_pair"),
    "sppo-hard": loss("sppo_hard"),
    "apo-zero": loss("apo_zero"),
    "apo-down": loss("apo_down"),
    "discopop": loss("discopop"),
    "sigmoid-norm": loss("sigmoid_norm"),
    "aot": loss("aot"),
    "aot-smoothed": loss("aot", beta=0.5, smoothing=0.1),
    "aot-unpaired": loss("aot_unpaired", beta=0.5),
    "mix": mix({"sigmoid": 0.8, "bco_pair": 0.2, "sft": 0.5}),
    "mix-of-differences": mix({"sigmoid": 0.5, "ipo": 0.01, "aot": 2.0}),
    "forward-kl": divergence("forward_kl"),
    "js": divergence("js_divergence"),
    "alpha": divergence("alpha_divergence", beta=1.0),
    "alpha-2": divergence("alpha_divergence", alpha=2.0),
    "forward-kl-mix": divergence("forward_kl", "hinge,sigmoid_norm,discopop,sft"),
    "js-ipo": divergence("js_divergence", "ipo"),
    "tr-dpo": ("dpo", dict(sync_ref_model=True, ref_model_sync_steps=3, precompute_ref_log_probs=False, beta=0.5),
               f"{IN_ORDER} --reference-sync-steps 3 --beta 0.5"),
    "tr-dpo-bco": ("dpo", dict(sync_ref_model=True, ref_model_sync_steps=1, ref_model_mixup_alpha=0.9, beta=1.0,
                               precompute_ref_log_probs=False, loss_type=["bco_pair"]),
                   f"{IN_ORDER} --reference-sync-steps 1 --reference-mixup 0.9 --beta 1 --loss bco_pair"),
    "ld": ("dpo", dict(ld_alpha=0.3, beta=0.5), f"{IN_ORDER} --ld-alpha 0.3 --beta 0.5"),
    "ld-ipo-wpo": ("dpo", dict(ld_alpha=0.0, loss_type=["ipo"], use_weighting=True, beta=0.1),
                   f"{IN_ORDER} --ld-alpha 0 --loss ipo --wpo --beta 0.1"),
    "wpo": ("dpo", dict(use_weighting=True, beta=0.5), f"{IN_ORDER} --wpo --beta 0.5"),
    "wpo-mix": ("dpo", dict(use_weighting=True, loss_type=["sigmoid", "apo_zero"], loss_weights=[1.0, 0.5], beta=0.1),
                f"{IN_ORDER} --wpo --loss sigmoid,apo_zero:0.5 --beta 0.1"),
    "warm-up": ("dpo", dict(beta=0.1, warmup_steps=0.2), "--order file --lr-schedule linear --warmup-ratio 0.2 --beta 0.1"),
    "cosine": ("dpo", dict(beta=0.1, warmup_steps=0.2, lr_scheduler_type="cosine"),
               "--order file --lr-schedule cosine --warmup-ratio 0.2 --beta 0.1"),
    "constant-unclipped": ("dpo", dict(beta=0.1, lr_scheduler_type="constant", max_grad_norm=0, weight_decay=0.1,
                                       adam_beta2=0.95),
                           "--order file --lr-schedule constant --warmup-ratio 0 --beta 0.1 --max-grad-norm 0 "
                           "--weight-decay 0.1 --adam-beta2 0.95"),
    "simpo": ("cpo", dict(loss_type="simpo", beta=2.0, simpo_gamma=0.5, cpo_alpha=0.0),
              f"{IN_ORDER} --objective simpo --beta 2 --simpo-gamma 0.5"),
    "cpo": ("cpo", dict(loss_type="sigmoid", beta=0.1, cpo_alpha=0.5),
            f"{IN_ORDER} --objective cpo --beta 0.1 --cpo-alpha 0.5"),
    "orpo": ("orpo", dict(beta=0.1), f"{IN_ORDER} --objective orpo --beta 0.1"),
}
# These cases run on text.
KTO = {
    "kto": ("kto", dict(beta=0.5, desirable_weight=1.3, undesirable_weight=0.8),
            f"{IN_ORDER} --objective kto --beta 0.5 --desirable-weight 1.3 --undesirable-weight 0.8"),
    "kto-apo-zero": ("kto", dict(beta=0.5, loss_type="apo_zero_unpaired"),
                     f"{IN_ORDER} --objective kto --beta 0.5 --loss apo_zero_unpaired"),
    "kto-tr": ("kto", dict(beta=0.5, precompute_ref_log_probs=False, sync_ref_model=True, ref_model_sync_steps=3),
               f"{IN_ORDER} --objective kto --beta 0.5 --reference-sync-steps 3"),
}
KTO_OF_PAIRS = {
    "kto-of-pairs": ("kto", dict(beta=0.5), f"{IN_ORDER} --objective kto --beta 0.5"),
}
# These cases run on completions with advantages; "bnpo" is the mean over the tokens of a batch, and the KL term is that of
# GRPO's paper, which TRL multiplies by the ratio by default. The learning rate is ten times that of the other cases, so
# that ratios are clipped.
PPO = {
    "ppo": ("grpo", dict(loss_type="bnpo", beta=0.5, epsilon=0.05, learning_rate=1e-3,
                        use_bias_correction_kl=False),
            f"{IN_ORDER} --objective ppo --clip-ratio 0.05 --kl-weight 0.5 --learning-rate 1e-3"),
    "ppo-without-kl": ("grpo", dict(loss_type="bnpo", beta=0.0, epsilon=0.02, learning_rate=1e-3),
                       f"{IN_ORDER} --objective ppo --clip-ratio 0.02 --kl-weight 0 --learning-rate 1e-3"),
}
# Every step has the same batch of pairs, so the order of the data does not matter.
ONE_BATCH = {
    "one-batch": ("dpo", dict(beta=0.1, lr_scheduler_type="cosine"), "--objective dpo --beta 0.1 --warmup-ratio 0"),
}
# TRL takes the mean over the chosen tokens of a batch, Pivotal over those of each pair. Both agree if sides are single tokens.
ONE_BATCH_OF_SINGLE_TOKENS = {
    "one-batch-rpo": ("dpo", dict(loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.3], beta=0.1,
                                  lr_scheduler_type="cosine"),
                      "--objective dpo --beta 0.1 --rpo-alpha 0.3 --warmup-ratio 0"),
}


def pairs(shape, count, vocab=700):
    """Yields pairs of ordinary token ids with different lengths within a batch."""
    r = random.Random(5)

    def ids(least, most):
        return [r.randrange(10, vocab) for _ in range(r.randint(least, most))]

    for _ in range(count):
        prompt = [1, *ids(4, 60)]
        if shape == "single":
            chosen, rejected = r.sample(range(10, vocab), 2)
            yield {"prompt_ids": prompt, "chosen_ids": [chosen], "rejected_ids": [rejected]}
        else:
            yield {"prompt_ids": prompt, "chosen_ids": ids(1, 24), "rejected_ids": ids(1, 24)}


def texts(count, paired):
    """Yields questions with answers of different lengths: each labelled, or in pairs."""
    r = random.Random(6)
    for i in range(count):
        prompt = f"Question: {i} boxes of {r.randrange(99)} pens" + " and a pen" * r.randrange(4) + "\nAnswer:"
        good, bad = f" {i}*{r.randrange(99)}" + "=1" * r.randrange(3), f" {r.randrange(999)} none" * r.randrange(1, 3)
        if paired:
            yield {"prompt": prompt, "chosen": good, "rejected": bad}
        else:
            label = r.random() < 0.6
            yield {"prompt": prompt, "completion": good if label else bad, "label": label}


def completions(count, vocab=700):
    """Yields completions whose tokens have advantages."""
    r = random.Random(7)
    for _ in range(count):
        ids = [r.randrange(10, vocab) for _ in range(r.randint(1, 24))]
        yield {"prompt": "", "prompt_ids": [1, *(r.randrange(10, vocab) for _ in range(r.randint(4, 60)))],
               "completion_ids": ids, "advantages": [r.choice([0.0, r.uniform(-1, 1)]) for _ in ids]}


def make_model(folder, tokenizer):
    torch.manual_seed(3)
    config = transformers.Phi3Config(
        vocab_size=768, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.1, bos_token_id=1, eos_token_id=2,
        pad_token_id=3)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for file in tokenizer.glob("tokenizer*"):
        shutil.copy(file, folder / file.name)


def train(out, folder, data, trainer, more):
    model, tokenizer = load_model(folder)
    trainer_class, config_class = TRAINERS[trainer]
    scored = trainer in ("dpo", "kto")
    if trainer == "grpo":
        reference = {"num_generations": 2, "steps_per_generation": 1}
    elif scored:
        reference = {"precompute_ref_log_probs": True, "train_sampling_strategy": "sequential"}
    else:
        reference = {"max_length": 256, "remove_unused_columns": False, "train_sampling_strategy": "sequential"}
    config = settings(str(out), **(dict(
        per_device_train_batch_size=BATCH, max_steps=STEPS, learning_rate=1e-4, lr_scheduler_type="linear")
        | reference | more))
    if trainer == "grpo":
        del config["max_length"]
    config = config_class(**config)
    if trainer in ("kto", "grpo"):
        dataset = datasets.Dataset.from_list([json.loads(line) for line in open(data, encoding="utf-8")])
    else:
        dataset = load_pairs(data)
    if trainer in ("cpo", "orpo"):
        for column in ("prompt", "chosen", "rejected"):
            dataset = dataset.add_column(column, [column] * len(dataset))
    run = trainer_class(model, args=config, train_dataset=dataset, processing_class=tokenizer)
    run.remove_callback(transformers.PrinterCallback)
    run.train()
    model.save_pretrained(out)
    logged = [entry for entry in run.state.log_history if "loss" in entry]
    # rewards/accuracies is left out: rounding decides it while the policy equals the reference.
    # A batch of KTO may lack good or bad examples.
    keys = ["rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"]
    keys += ["kl"] if trainer == "kto" and more.get("loss_type") != "apo_zero_unpaired" else []
    if trainer == "grpo":
        keys = ["clip_ratio/region_mean"] + (["kl"] if more["beta"] else [])
    assert len(run.losses) == len(logged) == STEPS
    (out / "log.json").write_text(json.dumps(
        [{"loss": loss} | {key: entry[key] for key in keys if trainer != "kto" or key in entry}
         for loss, entry in zip(run.losses, logged)]))


def main():
    out, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]) / "model"
    torch.set_num_threads(1)
    make_model(folder, pathlib.Path(sys.argv[2]))
    common = f"--learning-rate 1e-4 --batch-size {BATCH} --max-steps {STEPS} --epochs {STEPS}"
    cases = []
    chosen = [name for name in os.environ.get("PIVOTAL_TRL_CASES", "").split(",") if name]
    shape = sys.argv[3]
    one_batch = ONE_BATCH | (ONE_BATCH_OF_SINGLE_TOKENS if shape == "single" else {})
    if shape == "advantages":
        tables = [(PPO, "advantages", completions(BATCH * STEPS // 4))]
    elif shape == "text":
        tables = [(KTO, "unpaired", texts(BATCH * STEPS, False)), (KTO_OF_PAIRS, "texts", texts(BATCH * STEPS // 2, True))]
    else:
        tables = [(one_batch, "batch", pairs(shape, BATCH)), (CASES, "pairs", pairs(shape, BATCH * STEPS))]
    for table, file, lines in tables:
        data = out / f"{file}.jsonl"
        data.write_text("".join(json.dumps(line) + "\n" for line in lines))
        for name, (trainer, more, flags) in table.items():
            if chosen and name not in chosen:
                continue
            (out / name).mkdir()
            train(out / name, folder, data, trainer, more)
            cases.append({"name": name, "data": str(data), "flags": f"{common} {flags}"})
    (out / "cases.json").write_text(json.dumps(cases))


main()
