"""Runs rollouts by CTranslate2's Generator; see rollout_work.py for the work.

usage: rollouts_ctranslate2.py FOLDER [--compute-type float32|int8] [--batch N] [--inter-threads N] [flags of the work]
A prefix is computed once for the rollouts that have it in common (num_hypotheses). Prefixes of one length are computed
in one batch of up to --batch rollouts. A rollout leaves its batch when it reaches its own length.
"""
import collections

import ctranslate2

from rollout_work import arguments, report


class Engine:
    def __init__(self, a):
        self.batch = a.batch
        workers = min(a.inter_threads, a.threads)
        self.generator = ctranslate2.Generator(
            str(a.model / "ct2"), device="cpu", compute_type=a.compute_type, inter_threads=workers,
            intra_threads=a.threads // workers)

    def submit(self, prefixes, lengths, greedy):
        """Starts a batch. lengths[i] are the lengths of the rollouts of prefix i, equally many for each prefix."""
        longest = max(map(max, lengths))
        mixed = any(n != longest for row in lengths for n in row)

        def ends(step):
            return step.step + 1 >= lengths[step.batch_id][step.hypothesis_id]
        return self.generator.generate_batch(
            prefixes, num_hypotheses=len(lengths[0]), asynchronous=True, min_length=longest, max_length=longest,
            sampling_topk=0, sampling_temperature=1e-6 if greedy else 1, include_prompt_in_result=False,
            callback=ends if mixed else None)

    def run(self, trunks, jobs, greedy):
        rollouts = collections.defaultdict(list)  # by prefix
        for i, job in enumerate(jobs):
            rollouts[job.length, job.trunk].append(i)
        calls = []  # batches of prefixes of one length with equally many rollouts
        for (length, trunk), indices in sorted(rollouts.items()):
            prefix = [f"t{i}" for i in trunks[trunk][:length]]
            for start in range(0, len(indices), self.batch):
                part = indices[start:start + self.batch]
                if calls and calls[-1][0] == (length, len(part)) and (len(calls[-1][1]) + 1) * len(part) <= self.batch:
                    calls[-1][1].append(prefix), calls[-1][2].append(part)
                else:
                    calls.append(((length, len(part)), [prefix], [part]))
        pending = [(parts, self.submit(prefixes, [[jobs[i].new_tokens for i in part] for part in parts], greedy))
                   for _, prefixes, parts in calls]
        made = [None] * len(jobs)
        for parts, results in pending:
            for part, result in zip(parts, results, strict=True):
                part.sort(key=lambda i: jobs[i].new_tokens)  # results are ordered by score
                for i, ids in zip(part, sorted(result.result().sequences_ids, key=len), strict=True):
                    made[i] = ids
        return made


def main():
    parser = arguments(__doc__)
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--inter-threads", type=int, default=1)
    a = parser.parse_args()
    report(a, Engine(a).run, exact=a.compute_type == "float32", version=ctranslate2.__version__)


if __name__ == "__main__":
    main()
