"""Makes and runs small random models of every Phi with transformers, for parity_test.cc.

phi_family.py make DIR TOKENIZER   writes DIR/<variant>/, a Hugging Face folder (weights, config, the tokenizer files
                                   of TOKENIZER) with truth.json: ids, logits of two batches, 200 greedy tokens
phi_family.py score FOLDER IDS     prints {"logits", "greedy"} of one folder as JSON on the last line
phi_family.py check DIR            loads DIR/<variant>/saved, which Pivotal wrote, and compares its logits bit for bit
"""
import json
import math
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
VOCAB = 800
GREEDY = 200


def longrope(dims, original, **more):
    return {"rope_type": "longrope", "short_factor": [1 + 0.05 * i for i in range(dims)],
            "long_factor": [1.5 + 0.4 * i for i in range(dims)], "rope_theta": 10000.0,
            "original_max_position_embeddings": original, **more}


SIZES = dict(vocab_size=VOCAB, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
             num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=512,
             bos_token_id=1, eos_token_id=799, pad_token_id=3)
PHI = dict(SIZES, num_key_value_heads=6, hidden_act="gelu_new")
LONG = dict(SIZES, original_max_position_embeddings=64)
MOE = dict(SIZES, num_local_experts=5, num_experts_per_tok=2, attention_bias=True, lm_head_bias=True,
           router_jitter_noise=0.05)

# name: (config class, keys, rewrite of config.json after saving, dtype of the file, shard size)
VARIANTS = {
    "phi-1": ("PhiConfig", dict(PHI, partial_rotary_factor=0.5), None, "float32", None),
    "phi-2": ("PhiConfig", dict(PHI, hidden_size=60, num_attention_heads=6, num_key_value_heads=6,
                                partial_rotary_factor=0.4), "v4", "float16", None),
    "phi-qk-norm": ("PhiConfig", dict(PHI, num_key_value_heads=3, partial_rotary_factor=0.5,
                                      qk_layernorm=True), "v4", "float32", None),
    "phi-3-mini-4k": ("Phi3Config", dict(SIZES, num_key_value_heads=6, sliding_window=37), "v4",
                      "bfloat16", None),
    "phi-3-medium": ("Phi3Config", SIZES, None, "float32", "40KB"),
    "phi-4": ("Phi3Config", dict(SIZES, rope_parameters={"rope_type": "default", "rope_theta": 250000.0}),
              "v4", "bfloat16", None),
    "phi-4-named-llama": ("LlamaConfig", dict(SIZES, rms_norm_eps=1e-5, rope_parameters={
        "rope_type": "default", "rope_theta": 250000.0}), "v4", "bfloat16", "60KB"),
    "phi-3-own-head": ("Phi3Config", SIZES, "tied", "float32", None),
    "phi-3-mini-128k": ("Phi3Config", dict(LONG, rope_parameters=longrope(4, 64)), "v4", "float32", None),
    "phi-4-mini": ("Phi3Config", dict(LONG, hidden_size=96, tie_word_embeddings=True, rope_parameters=longrope(
        6, 64, partial_rotary_factor=0.75)), None, "float32", None),
    "phi-3-vision": ("Phi3Config", dict(LONG, rope_parameters=longrope(4, 64)), "vision", "float32", None),
    "phi-3.5-moe": ("PhimoeConfig", dict(MOE, rope_parameters=longrope(
        4, 64, short_mscale=1.1, long_mscale=1.3)), "v4", "float32", None),
    "phi-moe-plain": ("PhimoeConfig", dict(MOE, eos_token_id=798, attention_bias=False, lm_head_bias=False,
                                           num_key_value_heads=6), None, "float32", None),
}
SMALL = dict(architectures=["Phi3SmallForCausalLM"], model_type="phi3small", vocab_size=VOCAB, hidden_size=48,
             ff_intermediate_size=64, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
             max_position_embeddings=512, hidden_act="gegelu", gegelu_limit=1.5, layer_norm_epsilon=1e-5,
             rope_embedding_base=1000000, rope_position_scale=1.0, rope_scaling=None, mup_use_scaling=True,
             mup_attn_multiplier=1.3, mup_embedding_multiplier=10.0, mup_width_multiplier=8.0,
             dense_attention_every_n_layers=2, blocksparse_block_size=8, blocksparse_num_local_blocks=2,
             blocksparse_vert_stride=3, blocksparse_homo_head_pattern=False, dummy_token_indices=[5, 790, 799],
             bos_token_id=1, eos_token_id=799, torch_dtype="float32", tie_word_embeddings=True)
SMALLS = {
    "phi-3-small-8k": SMALL,
    "phi-3-small-strided": dict(SMALL, blocksparse_vert_stride=14, dense_attention_every_n_layers=3,
                                mup_use_scaling=False),
    "phi-3-small-homogeneous": dict(SMALL, blocksparse_homo_head_pattern=True),
    "phi-3-small-128k": dict(SMALL, rope_scaling=dict(
        type="su", short_factor=[1 + 0.05 * i for i in range(4)], long_factor=[1.5 + 0.4 * i for i in range(4)],
        short_mscale=1.0, long_mscale=1.19, original_max_position_embeddings=64)),
}


class Phi3Small:
    """Computes Phi-3-small as Microsoft's modeling_phi3_small.py does (also in vLLM 0.9), one sequence at a time."""

    def __init__(self, config, weights):
        self.c, self.w = config, weights

    def linear(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, name, x):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"],
                                              self.c["layer_norm_epsilon"])

    def rope(self, x):  # [T, heads, D]
        c, (T, _, D) = self.c, x.shape
        frequency = 1.0 / c["rope_embedding_base"] ** (torch.arange(0, D, 2).float() / D)
        scale = 1.0
        if c["rope_scaling"]:
            long = T > c["rope_scaling"]["original_max_position_embeddings"]
            frequency = frequency / torch.tensor(c["rope_scaling"]["long_factor" if long else "short_factor"])
            scale = c["rope_scaling"]["long_mscale" if long else "short_mscale"]
        angle = torch.outer(torch.arange(T).float(), frequency)[:, None]
        cos, sin = angle.cos() * scale, angle.sin() * scale
        a, b = x[..., :D // 2], x[..., D // 2:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def mask(self, layer, heads, T):
        c = self.c
        t = torch.arange(T)
        allowed = (t[None, :] <= t[:, None]).expand(heads, T, T)
        if (layer + 1) % c["dense_attention_every_n_layers"] == 0:
            return allowed
        i, j = (t // c["blocksparse_block_size"])[:, None], (t // c["blocksparse_block_size"])[None, :]
        stride = c["blocksparse_vert_stride"]
        step = 0 if c["blocksparse_homo_head_pattern"] else max(1, stride // heads)
        return allowed & torch.stack([(i - j < c["blocksparse_num_local_blocks"]) |
                                      ((j + h * step + 1) % stride == 0) for h in range(heads)])

    def logits(self, ids):  # [T] -> [T, V]
        c = self.c
        heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
        D, T, group = c["hidden_size"] // heads, len(ids), heads // kv
        x = self.w["model.embed_tokens.weight"][ids] * c["mup_embedding_multiplier"]
        for i in range(c["num_hidden_layers"]):
            p = f"model.layers.{i}."
            qkv = self.linear(p + "self_attn.query_key_value", self.norm(p + "input_layernorm", x))
            qkv = qkv.view(T, kv, group + 2, D)
            q, k, v = qkv[:, :, :group].reshape(T, heads, D), qkv[:, :, group], qkv[:, :, group + 1]
            q, k = self.rope(q), self.rope(k).repeat_interleave(group, 1)
            scale = c["mup_attn_multiplier"] / D if c["mup_use_scaling"] else 1 / math.sqrt(D)
            score = torch.einsum("thd,shd->hts", q, k) * scale
            score = score.masked_fill(~self.mask(i, heads, T), -math.inf).softmax(-1)
            out = torch.einsum("hts,shd->thd", score, v.repeat_interleave(group, 1)).reshape(T, -1)
            x = x + self.linear(p + "self_attn.dense", out)
            up = self.linear(p + "mlp.up_proj", self.norm(p + "post_attention_layernorm", x))
            gate = up[:, ::2].clamp(max=c["gegelu_limit"])
            straight = up[:, 1::2].clamp(-c["gegelu_limit"], c["gegelu_limit"])
            x = x + self.linear(p + "mlp.down_proj", gate * torch.sigmoid(1.702 * gate) * (straight + 1))
        out = self.norm("model.final_layernorm", x) @ self.w["model.embed_tokens.weight"].T
        out = out / c["mup_width_multiplier"]
        out[:, c["dummy_token_indices"]] = -math.inf
        return out


def small_weights(c):
    hidden, inner, D = c["hidden_size"], c["ff_intermediate_size"], c["hidden_size"] // c["num_attention_heads"]
    shapes = {"model.embed_tokens.weight": (VOCAB, hidden)}

    def linear(name, out, into):
        shapes[name + ".weight"], shapes[name + ".bias"] = (out, into), (out,)

    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        linear(p + "self_attn.query_key_value", (c["num_attention_heads"] + 2 * c["num_key_value_heads"]) * D, hidden)
        linear(p + "self_attn.dense", hidden, hidden)
        linear(p + "mlp.up_proj", 2 * inner, hidden)
        linear(p + "mlp.down_proj", hidden, inner)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[p + norm + ".weight"] = shapes[p + norm + ".bias"] = (hidden,)
    shapes["model.final_layernorm.weight"] = shapes["model.final_layernorm.bias"] = (hidden,)
    weights = {name: torch.empty(shape) for name, shape in shapes.items()}
    perturb(weights.items())
    return weights


def perturb(named):
    """Makes every weight random, those of norms and biases too, so that a missing one is noticed."""
    generator = torch.Generator().manual_seed(7)
    for name, weight in named:
        with torch.no_grad():
            noise = torch.empty(weight.shape).normal_(generator=generator)
            weight.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else 0.25 * noise)


def batches():
    def row(salt, length):
        return [1] + [(31 * t * t + 17 * t + 101 * salt + 4) % (VOCAB - 10) for t in range(1, length)]
    return [[row(r, 53) for r in range(3)], [row(9, 91)]]


def rewrite(config, how):
    """Rewrites a config into the form of published folders."""
    if how in ("v4", "vision"):
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        partial = rope.pop("partial_rotary_factor", None)
        if partial is not None:
            config["partial_rotary_factor"] = partial
        kind = rope.pop("rope_type")
        config["rope_scaling"] = None if kind == "default" else dict(rope, type=kind)
        config["torch_dtype"] = config.pop("dtype", "float32")
    if how == "tied":  # although the file has an output matrix that is not the embedding
        config["tie_word_embeddings"] = True
    if how == "vision":
        config["architectures"], config["model_type"] = ["Phi3VForCausalLM"], "phi3_v"
        config["rope_scaling"]["type"] = "su"
        config["img_processor"], config["embd_layer"] = {"name": "clip"}, {"use_hd_transform": True}
    return config


def score(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids)).logits


def generate(model, ids):
    ids = torch.tensor([ids])
    with torch.no_grad():
        return model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                              max_new_tokens=GREEDY)[0, ids.shape[1]:].tolist()


def write_truth(folder, logits, greedy):
    (folder / "truth.json").write_text(json.dumps(
        {"ids": batches(), "logits": [[v if math.isfinite(v) else None for v in l.flatten().tolist()] for l in logits],
         "greedy": greedy}))


def make_variant(folder, config_class, keys, how, dtype, shard):
    config = getattr(transformers, config_class)(**json.loads(json.dumps(keys)))
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    perturb(model.named_parameters())
    model = model.to(getattr(torch, dtype))
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    config = rewrite(json.loads((folder / "config.json").read_text()), how)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    if how == "tied":
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if how == "vision":
        weights = load_file(folder / "model.safetensors")
        weights["model.vision_embed_tokens.img_processor.x.weight"] = torch.zeros(3, 5)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_truth(folder, [score(model, ids) for ids in batches()], generate(model, batches()[0][0][:20]))


def make_small(folder, config):
    folder.mkdir()
    weights = small_weights(config)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 799}))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = Phi3Small(config, weights)
    ids, greedy = batches()[0][0][:20], []
    while len(greedy) < GREEDY and (not greedy or greedy[-1] != 799):
        greedy.append(int(model.logits(torch.tensor(ids + greedy))[-1].argmax()))
    write_truth(folder, [torch.stack([model.logits(torch.tensor(row)) for row in ids]) for ids in batches()], greedy)


def make(directory, tokenizer):
    directory, tokenizer = pathlib.Path(directory), pathlib.Path(tokenizer)
    for name, variant in VARIANTS.items():
        make_variant(directory / name, *variant)
    for name, config in SMALLS.items():
        make_small(directory / name, config)
    for folder in directory.iterdir():
        for file in ("tokenizer.model", "tokenizer_config.json"):
            shutil.copy(tokenizer / file, folder / file)


def check(directory):
    for name in VARIANTS:
        folder = pathlib.Path(directory) / name
        model = transformers.AutoModelForCausalLM.from_pretrained(folder / "saved", dtype=torch.float32).eval()
        truth = json.loads((folder / "truth.json").read_text())
        for ids, logits in zip(truth["ids"], truth["logits"]):
            worst = (score(model, ids).flatten() - torch.tensor(logits)).abs().max().item()
            # A Llama is saved as a Phi-3, which multiplies with larger matrices.
            assert worst <= (1e-5 if name == "phi-4-named-llama" else 0), \
                f"{name}: saved by Pivotal, logits differ by {worst}"
    print(f"{len(VARIANTS)} saved folders load with the same logits")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "score":
        model = transformers.AutoModelForCausalLM.from_pretrained(arguments[0], dtype=torch.float32).eval()
        ids = json.load(open(arguments[1]))
        print(json.dumps({"logits": score(model, ids).flatten().tolist(), "greedy": generate(model, ids[0])}))
    else:
        {"make": make, "check": check}[command](*arguments)
