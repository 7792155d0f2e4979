"""Trains on a file of pivotal export --format prm with TRL's PRMTrainer, for prm_parity_test.cc.

usage: prm_parity.py MODEL PRM.jsonl OUT.json
OUT.json is {"texts": [TEXT], "labels": [[LABEL]], "losses": [LOSS]}: the text of all tokens and the labels of each line
as PRMTrainer tokenizes it, and the losses of two training steps of a Llama of one layer. TRL has PRMTrainer up to
1.12: `make test-parity` puts that beside the TRL of the other tests, in trl-prm/ of the virtual environment.
"""

import json
import math
import os
import pathlib
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
sys.path.insert(0, str(pathlib.Path(sys.prefix) / "trl-prm"))

import datasets  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from trl.experimental.prm import PRMConfig, PRMTrainer  # noqa: E402

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()


def tokenized(row, tokenizer):
    return PRMTrainer.tokenize_row(
        row, tokenizer, "", max_length=None, max_completion_length=None, train_on_last_step_only=False, is_eval=False
    )


def train(rows, tokenizer, folder):
    """Returns the losses of two steps."""
    torch.manual_seed(1)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), num_labels=2, pad_token_id=tokenizer.pad_token_id, **shape
    )
    arguments = PRMConfig(
        output_dir=folder,
        step_separator="",
        max_length=None,
        max_completion_length=None,
        max_steps=2,
        per_device_train_batch_size=4,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    trainer = PRMTrainer(
        model=transformers.LlamaForTokenClassification(config),
        args=arguments,
        processing_class=tokenizer,
        train_dataset=rows,
    )
    trainer.train()
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    model, data, out = sys.argv[1:]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    with tempfile.TemporaryDirectory() as folder:
        rows = datasets.load_dataset("json", data_files=data, split="train", cache_dir=folder)
        made = [tokenized(row, tokenizer) for row in rows]
        losses = train(rows, tokenizer, folder)
    assert all(math.isfinite(loss) for loss in losses)
    result = {
        "texts": [tokenizer.decode(row["input_ids"], skip_special_tokens=True) for row in made],
        "labels": [[label for label in row["labels"] if label != -100] for row in made],
        "losses": losses,
    }
    pathlib.Path(out).write_text(json.dumps(result))
