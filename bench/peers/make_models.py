"""Writes a Phi-3 of random weights in the formats of all engines.

usage: make_models.py tiny|mid|phi3-mini FOLDER
FOLDER gets the checkpoint (for Pivotal and transformers), ct2/ (CTranslate2), f32.gguf and f16.gguf (llama.cpp), and
reference.json: greedy rollouts by the full forward pass of the module without a cache, which every engine must
reproduce. phi3-mini has the shape of Phi-3-mini in bfloat16, with bf16.gguf and q8_0.gguf and without ct2/. It takes
20 GB and some minutes.
"""
import json
import pathlib
import random
import shutil
import sys
import types

import ctranslate2
import gguf
import torch
import transformers
from ctranslate2.converters.transformers import Phi3Loader

from rollout_work import trunk_jobs

TOKENIZER = pathlib.Path(__file__).resolve().parents[2] / "experiments/tiny/model"
SIZES = {  # layers, width, heads, heads of keys and values, MLP, vocabulary
    "tiny": (4, 192, 6, 6, 512, 1024),
    "mid": (12, 768, 12, 4, 2048, 8192),
    "phi3-mini": (32, 3072, 32, 32, 8192, 32064),
}
LARGE = {"phi3-mini"}


def make(name):
    layers, width, heads, kv_heads, mlp, vocabulary = SIZES[name]
    torch.manual_seed(1)
    config = transformers.Phi3Config(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=mlp, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=2048,
        original_max_position_embeddings=2048, bos_token_id=1, eos_token_id=2, pad_token_id=3,
        initializer_range=0.05)  # so that logits differ as a trained model's do
    dtype = torch.bfloat16 if name in LARGE else torch.float32
    return transformers.Phi3ForCausalLM._from_config(config, dtype=dtype).eval()


@torch.inference_mode()
def reference(model, name):
    r = random.Random(3)
    count, tokens, places, rollouts, new = (1, 16, 1, 2, 2) if name in LARGE else (2, 48, 4, 3, 8)
    trunks = [[r.randrange(model.config.vocab_size) for _ in range(tokens)] for _ in range(count)]
    jobs = trunk_jobs(r, trunks=count, trunk_tokens=tokens, places=places, rollouts=rollouts, new_tokens=new)
    longest, made = {}, []
    for job in jobs:
        if job[:2] not in longest:
            ids = trunks[job.trunk][:job.length]
            for _ in range(2 * new):
                ids = [*ids, model(torch.tensor([ids])).logits[0, -1].argmax().item()]
            longest[job[:2]] = ids[job.length:]
        made.append(longest[job[:2]][:job.new_tokens])
    return {"trunks": trunks, "jobs": jobs, "tokens": made}


def write_gguf(model, path):
    """Writes a GGUF file in the type that it is named after; norms are float32."""
    c = model.config
    kind = gguf.GGMLQuantizationType[path.stem.upper()]
    writer = gguf.GGUFWriter(path, "phi3", use_temp_file=True)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(c.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    names = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
             "qkv_proj": "attn_qkv", "o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
             "gate_up_proj": "ffn_up", "down_proj": "ffn_down"}
    for key, value in model.state_dict().items():
        parts = key.split(".")
        block = f"blk.{parts[2]}." if "layers" in parts else ""
        array = value.float().numpy()
        if array.ndim == 1:
            writer.add_tensor(f"{block}{names[parts[-2]]}.weight", array)
        else:
            writer.add_tensor(f"{block}{names[parts[-2]]}.weight", gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_ctranslate2(model, folder):
    """Writes the module for CTranslate2, and changes the module: call it last."""
    # The converter takes any rope_parameters for LongRoPE; without them it uses the base 10,000.
    model.config.rope_parameters = None
    for layer in model.model.layers:  # the converter looks for LongRoPE factors here
        layer.self_attn.rotary_emb = types.SimpleNamespace(long_factor=None, short_factor=None)
    spec = Phi3Loader().get_model_spec(model)
    spec.register_vocabulary([f"t{i}" for i in range(model.config.vocab_size)])
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "t1", "t2", "t0"
    spec.config.layer_norm_epsilon = model.config.rms_norm_eps
    spec.validate()
    spec.optimize()
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SIZES:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    model = make(sys.argv[1])
    model.save_pretrained(folder)
    for file in TOKENIZER.glob("tokenizer*"):
        shutil.copy(file, folder / file.name)
    large = sys.argv[1] in LARGE
    for kind in ("bf16", "q8_0") if large else ("f32", "f16"):
        write_gguf(model, folder / f"{kind}.gguf")
    made = reference(model, sys.argv[1])
    weights = sum(p.numel() for p in model.parameters())
    if not large:
        write_ctranslate2(model, folder / "ct2")
    (folder / "reference.json").write_text(json.dumps(made) + "\n")  # last: the folder is complete
    print(json.dumps({"model": sys.argv[1], "weights": weights, "ctranslate2": ctranslate2.__version__}))


if __name__ == "__main__":
    main()
