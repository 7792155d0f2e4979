"""Makes data sets in a cache of huggingface_hub, and says what the library datasets finds in them.

usage: hub_parity.py CACHE OUTPUT

OUTPUT becomes a JSON object: the folder of each data set's snapshot, as huggingface_hub finds it without a network, and the
files of each configuration and split.
"""
import json
import os
import pathlib
import sys

cache, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
os.environ.update(HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=str(cache / "datasets"))

import datasets  # noqa: E402
from huggingface_hub import snapshot_download  # noqa: E402
from huggingface_hub.file_download import repo_folder_name  # noqa: E402

COMMIT = "0f7ff5a1b3c3d5e7f90112233445566778899aab"
ROW = '{"question": "1+1?", "answer": "2"}\n'
CARDS = {
    "me/card": """
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: socratic
  data_files:
  - split: train
    path: socratic/train-*
""",
    "me/forms": """
- config_name: text
  data_files: one.jsonl
- config_name: list
  data_files: [one.jsonl, "two*.jsonl"]
- config_name: paths
  default: true
  data_files:
  - split: test
    path: [a/*.jsonl, "b/**"]
""",
}
SETS = {
    "me/card": ["main/train-0.jsonl", "main/test-0.jsonl", "socratic/train-0.jsonl", "socratic/test-0.jsonl"],
    "me/forms": ["one.jsonl", "two-x.jsonl", "two/x.jsonl", "a/x.jsonl", "a/deep/x.jsonl", "b/deep/x.jsonl"],
    "me/plain": ["train.jsonl", "dev.jsonl", "eval_set.jsonl"],
    "me/shards": ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/validation-00000-of-00001.jsonl"],
    "me/folders": ["test/0.jsonl", "train/0.jsonl"],
    "me/none": ["questions.jsonl"],
    "me/latest": ["latest.jsonl", "contest.jsonl"],
    "me/words": ["my-test2.jsonl", "x_train_v1.jsonl"],
}


def add(name, files):
    """Puts a data set into the cache, as a download leaves it."""
    folder = cache / repo_folder_name(repo_id=name, repo_type="dataset")
    for part in ("blobs", "refs"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for number, (path, text) in enumerate(files.items()):
        blob, link = folder / "blobs" / str(number), folder / "snapshots" / COMMIT / path
        blob.write_text(text)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


found = {}
for name, files in SETS.items():
    texts = {path: ROW for path in files}
    if name in CARDS:
        texts["README.md"] = f"---\nlicense: mit\nconfigs:{CARDS[name]}---\n# A card\n"
    add(name, texts)
    snapshot = snapshot_download(name, repo_type="dataset", local_files_only=True)
    parts = {}
    for config in datasets.get_dataset_config_names(snapshot):
        for split, paths in datasets.load_dataset_builder(snapshot, config).config.data_files.items():
            parts[f"{config}/{split}"] = sorted(os.path.relpath(path, snapshot) for path in paths)
    found[name] = {"snapshot": snapshot, "parts": parts}
output.write_text(json.dumps(found))
