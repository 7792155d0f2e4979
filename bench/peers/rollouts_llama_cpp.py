"""Runs rollouts by llama.cpp, through the low-level interface of llama-cpp-python; see rollout_work.py for the work.

usage: rollouts_llama_cpp.py FOLDER [--weights f32|f16|bf16|q8_0] [--batch N] [--unified] [--flash] [--kv f16|f32]
                             [flags of the work]
A trunk is computed once, into a sequence of its own. A rollout begins with a copy of it (llama_memory_seq_cp) that is
cut at its leaving point. Up to --batch rollouts decode at once; when one ends, the next takes its slot. Without
--unified each sequence has its own cells, and a copy copies them. With it all sequences use one pool, a copy costs
nothing, and attention reads every cell.
"""
import collections
import ctypes

import llama_cpp as lc
import numpy as np

from rollout_work import arguments, report

LIMIT = 256  # largest number of sequences of a context (LLAMA_MAX_SEQ)


@lc.llama_log_callback
def silent(level, text, data):
    del level, text, data


def sampler(*links):
    chain = lc.llama_sampler_chain_init(lc.llama_sampler_chain_default_params())
    for link in links:
        lc.llama_sampler_chain_add(chain, link)
    return chain


class Batch:
    """A llama_batch whose arrays are filled through numpy, one sequence a token."""

    def __init__(self, size):
        self.raw = lc.llama_batch_init(size, 0, 1)

        def view(pointer, dtype):
            address = ctypes.cast(pointer, ctypes.c_void_p).value
            return np.frombuffer((ctypes.c_char * (size * np.dtype(dtype).itemsize)).from_address(address), dtype)
        self.token, self.pos = view(self.raw.token, np.int32), view(self.raw.pos, np.int32)
        self.logits = view(self.raw.logits, np.int8)
        view(self.raw.n_seq_id, np.int32)[:] = 1
        self.sequence = np.zeros(size, np.int32)
        for i in range(size):  # each pointer stays at its element of `sequence`
            self.raw.seq_id[i] = ctypes.cast(self.sequence.ctypes.data + 4 * i, ctypes.POINTER(ctypes.c_int32))

    def decode(self, context, tokens, positions, sequences, logits):
        n = len(tokens)
        self.token[:n], self.pos[:n], self.sequence[:n], self.logits[:n] = tokens, positions, sequences, logits
        self.raw.n_tokens = n
        status = lc.llama_decode(context, self.raw)
        if status != 0:
            raise RuntimeError(f"llama_decode: {status}")


class Engine:
    def __init__(self, a, trunk_tokens, new_tokens):
        lc.llama_log_set(silent, None)
        lc.llama_backend_init()
        params = lc.llama_model_default_params()
        self.model = lc.llama_model_load_from_file(str(a.model / f"{a.weights}.gguf").encode(), params)
        self.slots = min(a.batch, LIMIT - 1)
        c = lc.llama_context_default_params()
        c.n_seq_max = self.slots + 1  # the last sequence is the trunk
        c.kv_unified = a.unified
        c.n_ctx = (trunk_tokens * 2 + new_tokens * self.slots if a.unified
                   else (trunk_tokens + new_tokens) * c.n_seq_max)  # rounded up to a multiple of 256 for each
        c.n_batch = c.n_ubatch = max(512, self.slots)
        c.n_threads = c.n_threads_batch = a.threads
        c.flash_attn_type = lc.LLAMA_FLASH_ATTN_TYPE_ENABLED if a.flash else lc.LLAMA_FLASH_ATTN_TYPE_DISABLED
        c.type_k = c.type_v = lc.GGML_TYPE_F16 if a.kv == "f16" else lc.GGML_TYPE_F32
        c.no_perf = True
        self.context = lc.llama_init_from_model(self.model, c)
        if not self.context:
            raise RuntimeError("llama_init_from_model failed")
        self.memory = lc.llama_get_memory(self.context)
        self.batch = Batch(c.n_batch)
        self.draw = sampler(lc.llama_sampler_init_temp(1.0), lc.llama_sampler_init_dist(1))
        self.best = sampler(lc.llama_sampler_init_greedy())

    def prefill(self, trunk):
        """Computes a trunk into its sequence, without logits."""
        lc.llama_memory_seq_rm(self.memory, self.slots, -1, -1)
        for start in range(0, len(trunk), 512):
            part = trunk[start:start + 512]
            self.batch.decode(self.context, part, range(start, start + len(part)), self.slots, 0)

    def run(self, trunks, jobs, greedy):
        lc.llama_memory_clear(self.memory, False)
        chain = self.best if greedy else self.draw
        queue = collections.deque(sorted(range(len(jobs)), key=lambda i: jobs[i].trunk))
        made = [[] for _ in jobs]
        active, token, position = [], [], []  # for each slot: its job, its last token and the position of that token
        loaded = None

        def start(slot):
            """Starts the next job in a slot, with all of its prefix but the last token."""
            nonlocal loaded
            i = queue.popleft()
            if jobs[i].trunk != loaded:
                loaded = jobs[i].trunk
                self.prefill(trunks[loaded])
            last = jobs[i].length - 1
            lc.llama_memory_seq_rm(self.memory, slot, -1, -1)
            lc.llama_memory_seq_cp(self.memory, self.slots, slot, -1, -1)
            lc.llama_memory_seq_rm(self.memory, slot, last, -1)
            active[slot:slot + 1], token[slot:slot + 1] = [i], [trunks[loaded][last]]
            position[slot:slot + 1] = [last]

        while queue and len(active) < self.slots:
            start(len(active))
        while active:
            self.batch.decode(self.context, token, position, range(len(active)), 1)
            for slot, i in enumerate(active):
                token[slot] = lc.llama_sampler_sample(chain, self.context, slot)
                made[i].append(token[slot])
                position[slot] += 1
            for slot in reversed(range(len(active))):
                if len(made[active[slot]]) < jobs[active[slot]].new_tokens:
                    continue
                if queue:
                    start(slot)
                else:
                    self.leave(slot, active, token, position)
        return made

    def leave(self, slot, active, token, position):
        """Frees a slot. The last slot moves there, since the sequences of a batch must be adjacent."""
        last = len(active) - 1
        lc.llama_memory_seq_rm(self.memory, slot, -1, -1)
        if slot != last:
            lc.llama_memory_seq_cp(self.memory, last, slot, -1, -1)
            lc.llama_memory_seq_rm(self.memory, last, -1, -1)
        for values in (active, token, position):
            values[slot] = values[last]
            values.pop()


def main():
    parser = arguments(__doc__)
    parser.add_argument("--weights", choices=["f32", "f16", "bf16", "q8_0"], default="f32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--unified", action="store_true")
    parser.add_argument("--flash", action="store_true")
    parser.add_argument("--kv", choices=["f16", "f32"], default="f16")
    a = parser.parse_args()
    trunk_tokens, new_tokens = (a.trunk_tokens, 2 * a.new_tokens) if a.trunks else (a.prompt_tokens, a.new_tokens)
    engine = Engine(a, max(48, trunk_tokens), max(16, new_tokens))
    report(a, engine.run, exact=a.weights == a.kv == "f32", version=lc.__version__)


if __name__ == "__main__":
    main()
