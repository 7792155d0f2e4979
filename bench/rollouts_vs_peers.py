"""Compares speed and memory of rollouts by `pivotal bench rollouts` and by engines that a user could pick instead.

usage: rollouts_vs_peers.py PIVOTAL PYTHON [--models tiny mid phi3-mini] [--sequences 1 8 64 512]
                            [--workload sequences trunks] [--repeats N] [--threads N] [--json FILE] ...
PIVOTAL is the program. PYTHON is an interpreter with the peers; `make bench-peers` makes build/peers/bin/python.
Engines take turns on one machine, each as a process of its own. Times are of the rollouts with their prefill, not of
reading the model. Each setting of an engine (SETTINGS below) is tried on a part of the work, and the fastest is
measured. Peers must prove that they compute the same model before they are timed (bench/peers/rollout_work.py). Random
models are made in build/peer-models when first needed. phi3-mini has 3.8B weights, is compared with llama.cpp alone,
takes 20 GB of disk and is measured only if --models names it.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench/peers"
PACKAGES = ["torch", "transformers", "ctranslate2", "llama-cpp-python"]
FLAGS = ["avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8",
         "avx_vnni"]

CT2 = [["--batch", batch, "--inter-threads", workers] for batch in ("64", "256") for workers in ("1", "2")]
MKL = [["CT2_USE_MKL=1", *setting] for setting in CT2]  # forces MKL on AMD, where its int8 is very slow
LLAMA = [*(["--batch", batch, *rest] for batch in ("64", "255") for rest in ([], ["--flash"])),
         ["--batch", "64", "--unified"]]
# For each peer: its script, the fixed flags and the settings to try. NAME=VALUE sets an environment variable.
SETTINGS = {
    "transformers fp32": ("rollouts_transformers.py", [], [["--batch", "64"], ["--batch", "256"]]),
    "CTranslate2 fp32": ("rollouts_ctranslate2.py", ["--compute-type", "float32"], [*CT2, *MKL]),
    "CTranslate2 int8": ("rollouts_ctranslate2.py", ["--compute-type", "int8"], CT2),
    "llama.cpp f32": ("rollouts_llama_cpp.py", ["--weights", "f32"], [*LLAMA, ["--batch", "64", "--kv", "f32"]]),
    "llama.cpp f16": ("rollouts_llama_cpp.py", ["--weights", "f16"], LLAMA),
    "llama.cpp bf16": ("rollouts_llama_cpp.py", ["--weights", "bf16"], [["--batch", "64", "--flash"]]),
    "llama.cpp q8_0": ("rollouts_llama_cpp.py", ["--weights", "q8_0"], [["--batch", "64", "--flash"]]),
}
# The types of Pivotal's weights and the peers that are measured unless flags say otherwise, for some models and for all
# other models.
LARGE = {"phi3-mini": (["bf16", "int8"], ["llama.cpp bf16", "llama.cpp q8_0"])}
USUAL = (["fp32", "int8"], [name for name in SETTINGS if name not in LARGE["phi3-mini"][1]])


def run(command, limit=3600, **environment):
    """Returns the JSON object on standard output, with the peak of the resident memory as the system counts it."""
    command = [str(c) for c in command]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | environment)
        timer = threading.Timer(limit, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{out.read()}{err.read()}")
        text = out.read()
    return json.loads(text[text.index("{"):]) | {"peak_rss_mb": usage.ru_maxrss * 1024 / 1e6}  # Linux gives KiB


def trunks_of(a, model):
    return a.mid_trunks if model == "mid" else a.trunks


def work_flags(a, model, workload, part=False):
    """Returns the flags of the whole work, or of a part of it that tells which setting is fast."""
    if workload == "trunks":
        leaves = max(1, a.leaves // 8) if part else a.leaves
        return ["--trunks", trunks_of(a, model), "--trunk-tokens", a.trunk_tokens, "--leaves", leaves,
                "--rollouts", a.rollouts, "--new-tokens", a.new_tokens]
    return ["--sequences", workload, "--prompt-tokens", a.prompt_tokens,
            "--new-tokens", max(1, a.new_tokens // 4) if part else a.new_tokens]


def fitting(settings, rows):
    """Returns the settings that differ: batches of all rows or more are the same."""
    seen = {}
    for setting in settings:
        at = setting.index("--batch") + 1
        seen.setdefault((*setting[:at], min(rows, int(setting[at])), *setting[at + 1:]), setting)
    return list(seen.values())


class Engine:
    """Runs one engine on one piece of work."""

    def __init__(self, a, name, model, workload):
        self.name, self.runs, self.tried, self.setting = name, [], {}, []
        self.environment = {"OMP_NUM_THREADS": str(a.threads)}
        # The scripts of peers warm up by themselves.
        usual = ["--repeats", 2 if name.startswith("Pivotal") else 1, "--threads", a.threads]
        self.work = [*work_flags(a, model, workload), *usual]
        if name.startswith("Pivotal"):
            self.command = [a.pivotal, "bench", "rollouts", "--json", "--no-compare", "--model", a.cache / model,
                            "--weights", name.split()[1]]
            return
        script, fixed, settings = SETTINGS[name]
        self.command = [a.python, PEERS / script, a.cache / model, *fixed]
        rows = trunks_of(a, model) * a.leaves * a.rollouts if workload == "trunks" else workload
        part = [*work_flags(a, model, workload, part=True), *usual]
        choices = fitting(settings, rows)
        for setting in choices if len(choices) > 1 else []:
            self.tried[" ".join(setting)] = self.run(setting, part)["tokens_per_second"]
        self.setting = max(self.tried, key=self.tried.get).split() if self.tried else choices[0]

    def run(self, setting, work):
        environment = dict(s.split("=") for s in setting if "=" in s)
        result = run([*self.command, *(s for s in setting if "=" not in s), *work], **self.environment, **environment)
        if self.name.startswith("Pivotal"):
            result["tokens_per_second"] = result["runs"][-1]
        same = f", {result['greedy_same']:.0%} of greedy rollouts the module's" if "greedy_same" in result else ""
        print(f"  {self.name} {' '.join(setting)}: {result['tokens_per_second']:.0f} tokens/s, "
              f"{result['peak_rss_mb']:.0f} MB{same}", file=sys.stderr, flush=True)
        return result

    def measure(self):
        self.runs.append(self.run(self.setting, self.work))

    def summary(self):
        speeds = [r["tokens_per_second"] for r in self.runs]
        return {"engine": self.name, "setting": " ".join(self.setting), "tokens_per_second": statistics.median(speeds),
                "slowest": min(speeds), "fastest": max(speeds),
                "peak_rss_mb": statistics.median(r["peak_rss_mb"] for r in self.runs),
                "greedy_same": self.runs[0].get("greedy_same"), "runs": speeds, "tried_on_a_part": self.tried}


def compare(a, model, workload):
    print(f"{model}, {workload}", file=sys.stderr, flush=True)
    weights, peers = LARGE.get(model, USUAL)
    weights, peers = a.weights or weights, a.peers or peers
    engines = [Engine(a, name, model, workload) for name in [*(f"Pivotal {w}" for w in weights), *peers]]
    for _ in range(a.repeats):
        for engine in engines:
            engine.measure()
    rows = a.bound_rows if workload == "trunks" else workload
    bound = run([a.python, PEERS / "torch_mm_bound.py", a.cache / model, rows, a.threads],
                OMP_NUM_THREADS=str(a.threads))
    results = [engine.summary() for engine in engines]
    ours, peers = results[0]["tokens_per_second"], results[len(weights):]
    best = max(peers, key=lambda r: r["tokens_per_second"])
    exact = [r for r in peers if r["engine"].endswith(("fp32", "f32"))]
    best_exact = max(exact, key=lambda r: r["tokens_per_second"], default=None)
    return {"model": model, "workload": workload, "engines": results, "bound": bound,
            "best_peer": best["engine"], "ratio_best_peer": ours / best["tokens_per_second"],
            "best_fp32_peer": best_exact and best_exact["engine"],
            "ratio_best_fp32_peer": best_exact and ours / best_exact["tokens_per_second"]}


def machine(a):
    info = pathlib.Path("/proc/cpuinfo").read_text()
    field = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in info.splitlines() if ":" in line}
    versions = subprocess.run(
        [a.python, "-c", f"import importlib.metadata as m; print('\\n'.join(m.version(p) for p in {PACKAGES}))"],
        check=True, capture_output=True, text=True).stdout.split()
    version = subprocess.run([a.pivotal, "--version"], check=True, capture_output=True, text=True).stdout
    version = version.split("\n")[0].removeprefix("pivotal ")
    return {"cpu": field.get("model name", platform.machine()), "cores": os.cpu_count(), "threads": a.threads,
            "isa": [f for f in FLAGS if f in field.get("flags", "").split()],
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": platform.platform(), "python": platform.python_version(),
            "versions": {"pivotal": version} | dict(zip(PACKAGES, versions, strict=True)),
            "load_average_before": round(os.getloadavg()[0], 2),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes")}


def title(a, result):
    if result["workload"] == "trunks":
        return (f"{result['model']}, {trunks_of(a, result['model'])} trunks of {a.trunk_tokens} tokens, "
                f"{a.leaves} leaving points each, {a.rollouts} rollouts each, 1 to {2 * a.new_tokens} new tokens")
    return (f"{result['model']}, {result['workload']} sequences, {a.prompt_tokens} tokens of prompt, "
            f"{a.new_tokens} new tokens")


def digits(speed):
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"


def markdown(a, host, results):
    lines = [f"{host['cpu']}, {host['cores']} cores ({' '.join(host['isa'])}), {host['memory_gb']} GB, "
             f"{host['threads']} threads; {host['system']}; "
             f"{', '.join(f'{k} {v}' for k, v in host['versions'].items())}. "
             f"Load average before: {host['load_average_before']}. {host['date']}. "
             f"Medians of {a.repeats} [slowest, fastest]."]
    for result in results:
        ours, bound = result["engines"][0], result["bound"]
        lines += ["", f"**{title(a, result)}**", "",
                  f"| engine | setting | tokens/s | of torch.mm's | {ours['engine']} / it | peak MB | same |",
                  "|---|---|---|---|---|---|---|"]
        for e in result["engines"]:
            speed = e["tokens_per_second"]
            same = "" if e["greedy_same"] is None else format(e["greedy_same"], ".0%")
            lines.append(f"| {e['engine']} | {e['setting']} | "
                         f"{digits(speed)} [{digits(e['slowest'])}, {digits(e['fastest'])}] | "
                         f"{speed / bound['tokens_per_second']:.0%} | {ours['tokens_per_second'] / speed:.2f} | "
                         f"{e['peak_rss_mb']:,.0f} | {same} |")
        lines += [f"| products alone, torch.mm | {bound['rows']} rows, {bound['gflops']:.0f} GFLOP/s | "
                  f"{digits(bound['tokens_per_second'])} | 100% | "
                  f"{ours['tokens_per_second'] / bound['tokens_per_second']:.2f} | {bound['peak_rss_mb']:,.0f} | |", "",
                  f"{ours['engine']} against the best peer ({result['best_peer']}): "
                  f"{result['ratio_best_peer']:.2f} times"
                  + (f"; against the best in fp32 ({result['best_fp32_peer']}): "
                     f"{result['ratio_best_fp32_peer']:.2f} times."
                     if result["best_fp32_peer"] else ".")]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("pivotal", type=pathlib.Path)
    parser.add_argument("python", type=pathlib.Path)
    parser.add_argument("--models", nargs="+", choices=["tiny", "mid", *LARGE], default=["tiny", "mid"])
    parser.add_argument("--workload", nargs="+", choices=["sequences", "trunks"], default=["sequences", "trunks"])
    parser.add_argument("--sequences", nargs="+", type=int, default=[1, 8, 64, 512],
                        help="numbers of rollouts of one prompt")
    parser.add_argument("--weights", nargs="+",
                        help="types of Pivotal's weights; the first is compared with peers (default: fp32 int8, for "
                             "phi3-mini bf16 int8)")
    parser.add_argument("--peers", nargs="+", choices=list(SETTINGS))
    for name, usual in {"prompt-tokens": 64, "new-tokens": 64, "trunks": 8, "trunk-tokens": 300, "leaves": 32,
                        "rollouts": 16, "bound-rows": 256, "repeats": 3, "threads": os.cpu_count()}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--mid-trunks", type=int, default=1,
                        help="number of trunks for mid, which takes 40 times as long as tiny")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "build/peer-models",
                        help="folder for the random models")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    a = parser.parse_args()
    host = machine(a)
    works = [*(a.sequences if "sequences" in a.workload else []), *(["trunks"] if "trunks" in a.workload else [])]
    results = []
    for model in a.models:
        folder = a.cache / model
        if not (folder / "reference.json").exists():
            run([a.python, PEERS / "make_models.py", model, folder])
        for workload in works:
            results.append(compare(a, model, workload))
            # Writes results after each work, so that an interrupted run keeps what it measured.
            if a.json:
                a.json.write_text(json.dumps({"machine": host, "results": results}, indent=2) + "\n")
            if a.markdown:
                a.markdown.write_text(markdown(a, host, results))
    print(markdown(a, host, results), end="")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
