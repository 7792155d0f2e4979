"""Runs what Pivotal wrote by llama.cpp, for gguf_parity_test.cc.

gguf_parity.py check               says what is missing, or nothing
gguf_parity.py make NAME TOKENIZER FOLDER
                                   writes a small random model of the shape NAME with the files of the folder TOKENIZER
gguf_parity.py run FOLDER REQUEST  converts the model FOLDER by llama.cpp's own convert_hf_to_gguf.py; REQUEST is a
                                   JSON file {"prompts": [ids, ...], "new_tokens": n, "texts": [text, ...]}. Writes
                                   REQUEST.out: {"tokens": n greedy tokens for each prompt, "continued": their texts,
                                   "ids": those of each text}.
With a third argument, run applies the LoRA adapter of that folder, converted by convert_lora_to_gguf.py.

The converters are those of the source package of llama-cpp-python on PyPI, which `make test-parity` unpacks into the
folder llama.cpp of the environment (PIVOTAL_LLAMA_CPP names another). xllamacpp has llama.cpp as a wheel.
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request

LLAMA_CPP = pathlib.Path(os.environ.get("PIVOTAL_LLAMA_CPP", pathlib.Path(sys.prefix) / "llama.cpp"))
CONTEXT = 256  # tokens; LongRoPE has its short factors up to twice as many

SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=512, original_max_position_embeddings=512, initializer_range=0.2)
PHI4 = dict(SIZES, vocab_size=100352, bos_token_id=100257, eos_token_id=100265, pad_token_id=100349)
SHAPES = {
    "phi-4": ("Phi3Config", dict(PHI4, rope_parameters={"rope_type": "default", "rope_theta": 250000.0})),
    "phi-4-mini": ("Phi3Config", dict(PHI4, max_position_embeddings=2048, tie_word_embeddings=True, rope_parameters={
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 512,
        "partial_rotary_factor": 0.75, "short_factor": [1 + 0.05 * i for i in range(6)],
        "long_factor": [1.5 + 0.4 * i for i in range(6)]})),
    "phi-2": ("PhiConfig", dict(SIZES, num_key_value_heads=4, intermediate_size=256, vocab_size=51200,
                                bos_token_id=50256, eos_token_id=50256, partial_rotary_factor=0.5,
                                hidden_act="gelu_new")),
}


def check():
    missing = [name for name in ("torch", "transformers", "sentencepiece", "xllamacpp")
               if importlib.util.find_spec(name) is None]
    if not (LLAMA_CPP / "convert_hf_to_gguf.py").exists():
        missing.append(f"{LLAMA_CPP}/convert_hf_to_gguf.py")
    if missing:
        print("lacks", ", ".join(missing), end="")


def make(name, tokenizer, folder):
    import torch
    import transformers
    kind, keys = SHAPES[name]
    torch.manual_seed(1)
    config = getattr(transformers, kind)(**keys)
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    for file in pathlib.Path(tokenizer).iterdir():
        shutil.copy(file, folder)


def convert(script, folder, out, *more):
    done = subprocess.run([sys.executable, LLAMA_CPP / script, folder, "--outfile", out, "--outtype", "f32", *more],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


class Server:
    """llama.cpp's server in this process, in float32."""

    def __init__(self, model, adapter):
        import xllamacpp
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx, params.n_parallel, params.warmup, params.verbosity = CONTEXT, 1, False, 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if adapter:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        self.server = xllamacpp.Server(params)

    def post(self, path, body):
        request = urllib.request.Request(self.server.listening_address + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def greedy(self, prompt, new_tokens):
        return self.post("/completion", {"prompt": prompt, "n_predict": new_tokens, "temperature": 0,
                                         "return_tokens": True})

    def ids(self, text):
        return self.post("/tokenize", {"content": text, "add_special": True})["tokens"]


def run(folder, request, adapter=None):
    asked = json.loads(pathlib.Path(request).read_text())
    convert("convert_hf_to_gguf.py", folder, request + ".gguf")
    if adapter:
        convert("convert_lora_to_gguf.py", adapter, request + ".lora.gguf", "--base", folder)
    server = Server(request + ".gguf", adapter and request + ".lora.gguf")
    greedy = [server.greedy(prompt, asked["new_tokens"]) for prompt in asked["prompts"]]
    pathlib.Path(request + ".out").write_text(json.dumps({
        "tokens": [answer["tokens"] for answer in greedy], "continued": [answer["content"] for answer in greedy],
        "ids": [server.ids(text) for text in asked["texts"]]}))


if __name__ == "__main__":
    {"check": check, "make": make, "run": run}[sys.argv[1]](*sys.argv[2:])
