"""Writes random preference and completion lines, and the token ids that TRL makes of them, for
example_text_parity_test.cc.

usage: trl_examples.py SEED OUT TINY [FOLDER ...]
Writes OUT/<case>.jsonl and OUT/cases.json: [{"folder", "kind", "data", "ids"}]. "ids" holds the lists [prompt, chosen,
rejected] or [prompt, completion] of each line. The model folder TINY has no chat template, so it is copied to OUT/tiny,
where it gets one.
"""
import json
import pathlib
import random
import shutil
import sys
from types import SimpleNamespace

import datasets
import transformers
from trl import DPOTrainer, SFTTrainer

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()
LINES = 60
TEMPLATE = ("{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
PIECES = ["a", " 4", "4", " ", "  ", "\n", "\n\n", " What is 2 + 2?", " caf\u00e9", "\u00e4", "\u00e5", "\u4f60\u597d", "\U0001f600", "it's",
          "Question:", "Answer: ", ".", "</s>", "<|end|>", "<|endoftext|>", "<|im_end|>", "12345", " the", "ing"]


class Lines:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def text(self, least=0):
        return "".join(self.r.choice(PIECES) for _ in range(self.r.randint(least, 8)))

    def user(self):
        return {"role": "user", "content": self.text()}

    def reply(self):
        return [{"role": "assistant", "content": self.text()}]

    def chat(self):
        system = [{"role": "system", "content": "x" + self.text()}] if self.r.random() < 0.3 else []
        turns = [m for _ in range(self.r.randint(0, 2)) for m in (self.user(), self.reply()[0])]
        return system + turns + [self.user()]

    def pair_text(self):
        return {"prompt": "So" + self.text(1), "chosen": self.text(), "rejected": self.text()}

    def pair_text_implicit(self):
        prompt = "So" + self.text(1)
        return {"chosen": prompt + self.text(), "rejected": prompt + self.text()}

    def pair_chat(self):
        return {"prompt": self.chat(), "chosen": self.reply(), "rejected": self.reply()}

    def pair_chat_implicit(self):
        prompt = self.chat()
        return {"chosen": prompt + self.reply(), "rejected": prompt + self.reply()}

    def completion_text(self):
        return {"prompt": "So" + self.text(1), "completion": self.text()}

    def completion_chat(self):
        return {"prompt": self.chat(), "completion": self.reply()}

    def messages(self):
        return {"messages": self.chat() + self.reply()}


def preferences(tokenizer, rows):
    """Returns the ids of rows as DPOTrainer prepares them, for which it needs no model."""
    trainer = SimpleNamespace(_tokenizer=tokenizer)
    args = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    dataset = DPOTrainer._prepare_dataset(trainer, datasets.Dataset.from_list(rows), tokenizer, args, "train")
    return [[row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]] for row in dataset]


def completions(tokenizer, rows):
    """Returns the ids of rows as SFTTrainer prepares them. The first token of a text cannot be predicted."""
    trainer = SimpleNamespace(_tokenizer=tokenizer, chat_template=None, completion_only_loss="prompt" in rows[0])
    args = SimpleNamespace(dataset_num_proc=None, max_length=None, dataset_text_field="text", assistant_only_loss=False,
                           shuffle_dataset=False)
    dataset = SFTTrainer._prepare_dataset(trainer, datasets.Dataset.from_list(rows), tokenizer, args, False, None, "train")
    out = []
    for row in dataset:
        cut = next(i for i, label in enumerate(row["labels"]) if label != -100)
        cut = max(cut, 1) if "messages" in rows[0] else cut
        out.append([row["input_ids"][:cut], row["input_ids"][cut:]])
    return out


def main():
    seed, out, tiny, folders = int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4:]
    copy = out / "tiny"
    copy.mkdir()
    for file in tiny.iterdir():
        if "safetensors" not in file.name:
            shutil.copy(file, copy / file.name)
    (copy / "chat_template.jinja").write_text(TEMPLATE)
    lines, cases = Lines(seed), []
    for folder in [copy, *map(pathlib.Path, folders)]:
        if not (folder / "tokenizer.json").exists():
            continue
        # This class follows tokenizer.json. AutoTokenizer of transformers 5 splits words as Llama and GPT-2 do instead,
        # which gives Phi-3 and Phi-4 other ids than they were trained on.
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        for make in (lines.pair_text, lines.pair_text_implicit, lines.pair_chat, lines.pair_chat_implicit,
                     lines.completion_text, lines.completion_chat, lines.messages):
            kind = make.__name__
            if tokenizer.chat_template is None and ("chat" in kind or kind == "messages"):
                continue
            rows = [make() for _ in range(LINES)]
            ids = (preferences if kind.startswith("pair") else completions)(tokenizer, rows)
            assert len(ids) == LINES
            # Pivotal refuses a prompt without tokens; TRL leaves out the first token of each side.
            kept = [(row, i) for row, i in zip(rows, ids) if all(i)]
            data = f"{folder.name}-{kind}.jsonl"
            (out / data).write_text("".join(json.dumps(row) + "\n" for row, _ in kept))
            cases.append({"folder": str(folder), "kind": kind, "data": data, "ids": [i for _, i in kept]})
    (out / "cases.json").write_text(json.dumps(cases))


main()
