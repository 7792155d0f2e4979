"""Runs rollouts by transformers' generate with SDPA in float32; see rollout_work.py for the work.

usage: rollouts_transformers.py FOLDER [--batch N] [flags of the work]
A prefix is computed once, and its cache is repeated for its rollouts. Prefixes of one length are computed together,
then their rollouts in batches of up to --batch, sorted by length: a batch takes as many steps as its longest rollout.
"""
import collections
import copy

import torch
import transformers

from rollout_work import arguments, report


class Engine:
    def __init__(self, a):
        torch.set_num_threads(a.threads)
        self.batch = a.batch
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            a.model, dtype=torch.float32, attn_implementation="sdpa").eval()
        self.model.generation_config.eos_token_id = None

    def caches(self, prefixes):
        """Computes the cache of all but the last token of each prefix."""
        if len(prefixes[0]) == 1:
            return None
        return self.model.model(torch.tensor(prefixes)[:, :-1], use_cache=True).past_key_values

    def generate(self, prefixes, rows, caches, steps, greedy):
        """Returns the new tokens of rollouts whose prefixes are prefixes[rows]."""
        if caches is not None:
            caches = copy.deepcopy(caches)
            caches.batch_select_indices(torch.tensor(rows))
        ids = torch.tensor([prefixes[row] for row in rows])
        sampling = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        made = self.model.generate(ids, attention_mask=torch.ones_like(ids), past_key_values=caches,
                                   max_new_tokens=steps, min_new_tokens=steps, **sampling)
        return made[:, ids.shape[1]:].tolist()

    @torch.inference_mode()
    def run(self, trunks, jobs, greedy):
        by_length = collections.defaultdict(list)
        for i, job in enumerate(jobs):
            by_length[job.length].append(i)
        made = [None] * len(jobs)
        for length, indices in by_length.items():
            row_of = {trunk: row for row, trunk in enumerate(sorted({jobs[i].trunk for i in indices}))}
            prefixes = [trunks[trunk][:length] for trunk in row_of]
            caches = self.caches(prefixes)
            indices.sort(key=lambda i: jobs[i].new_tokens)
            for start in range(0, len(indices), self.batch):
                part = indices[start:start + self.batch]
                rows = [row_of[jobs[i].trunk] for i in part]
                ids = self.generate(prefixes, rows, caches, jobs[part[-1]].new_tokens, greedy)
                for i, tokens in zip(part, ids, strict=True):
                    made[i] = tokens[:jobs[i].new_tokens]
        return made


def main():
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, default=64)
    a = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    report(a, Engine(a).run, exact=True, version=transformers.__version__)


if __name__ == "__main__":
    main()
