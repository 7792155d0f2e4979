"""Real servers of a model folder, and TRL on pairs found with one, for served_parity_test.cc.

served_parity.py check vllm|llama.cpp|trl        says what is missing, or nothing
served_parity.py serve vllm|llama.cpp FOLDER     prints the address once it answers; serves until standard input ends
served_parity.py train PAIRS FOLDER              trains two steps of a small random Llama with the tokenizer of FOLDER on
                                                 pairs.jsonl by TRL's DPOTrainer; prints the losses as JSON

vLLM runs from the environment that scripts/vllm-cpu makes in build/vllm (PIVOTAL_VLLM names another Python); llama.cpp's
server is xllamacpp's, its model made by llama.cpp's own converter, both installed by `make test-parity`.
"""
import importlib.util
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).parents[3]
VLLM = os.environ.get("PIVOTAL_VLLM", str(ROOT / "build/vllm/bin/python"))
LLAMA_CPP = pathlib.Path(os.environ.get("PIVOTAL_LLAMA_CPP", pathlib.Path(sys.prefix) / "llama.cpp"))


def missing(*modules):
    return [name for name in modules if importlib.util.find_spec(name) is None]


def check(kind):
    if kind == "vllm":
        lacks = [] if pathlib.Path(VLLM).exists() else [VLLM + " (scripts/vllm-cpu)"]
    elif kind == "llama.cpp":
        lacks = missing("torch", "transformers", "xllamacpp")
        if not (LLAMA_CPP / "convert_hf_to_gguf.py").exists():
            lacks.append(f"{LLAMA_CPP}/convert_hf_to_gguf.py")
    else:
        lacks = missing("torch", "transformers", "trl", "datasets")
    if lacks:
        print("lacks", ", ".join(lacks), end="")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address):
    try:
        with urllib.request.urlopen(address + "/v1/models", timeout=5) as page:
            return page.status == 200
    except (urllib.error.URLError, OSError):
        return False


def serve_vllm(folder):
    port = free_port()
    # The CPU build of 0.32 fails on requests with seeds whose prompts are read in parts, so prompts are read whole.
    command = [VLLM, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", "tiny",
               "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-model-len", "256",
               "--max-num-seqs", "64", "--max-num-batched-tokens", "32768", "--no-enable-chunked-prefill",
               "--logprobs-mode", os.environ.get("LOGPROBS_MODE", "raw_logprobs")]
    environment = dict(os.environ, VLLM_CPU_KVCACHE_SPACE="1", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1",
                       VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
    environment.pop("PYTHONPATH", None)
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        while not answers(address):
            if process.poll() is not None:
                log.seek(0)
                sys.exit("vLLM ended: " + log.read()[-2000:])
            time.sleep(0.5)
        print(address, flush=True)
        sys.stdin.read()
        process.send_signal(signal.SIGKILL)


def serve_llama(folder):
    with tempfile.TemporaryDirectory() as temp:
        model = pathlib.Path(temp) / "model.gguf"
        done = subprocess.run([sys.executable, LLAMA_CPP / "convert_hf_to_gguf.py", folder, "--outfile", model, "--outtype",
                               "f32"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        import xllamacpp
        params, slots = xllamacpp.CommonParams(), 16
        params.model.path, params.port = str(model), free_port()
        params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 256 * slots, slots, False, 0
        params.n_threads_http = 80  # requests that wait for a slot hold one each
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        sys.stdin.read()
        os._exit(0)


def train(pairs, folder):
    os.environ["TQDM_DISABLE"] = "1"
    import datasets
    import torch
    import transformers
    from trl import DPOConfig, DPOTrainer
    torch.manual_seed(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                      num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512)
    rows = [json.loads(line) for line in pathlib.Path(pairs).read_text().splitlines()]
    data = datasets.Dataset.from_list([{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows])
    with tempfile.TemporaryDirectory() as output:
        model = transformers.LlamaForCausalLM(config)
        model.save_pretrained(output)  # TRL reads the reference from where the model comes from
        trainer = DPOTrainer(
            transformers.LlamaForCausalLM.from_pretrained(output), processing_class=tokenizer, train_dataset=data,
            args=DPOConfig(output_dir=output, max_steps=2, per_device_train_batch_size=4, logging_steps=1, report_to=[],
                           save_strategy="no", use_cpu=True, disable_tqdm=True))
        trainer.train()
        print(json.dumps([entry["loss"] for entry in trainer.state.log_history if "loss" in entry]))


if __name__ == "__main__":
    {"check": check, "serve": lambda kind, folder: (serve_vllm if kind == "vllm" else serve_llama)(folder),
     "train": train}[sys.argv[1]](*sys.argv[2:])
