"""A server of a small known model that answers as vLLM, SGLang, llama.cpp or another OpenAI server does, and fails when told.

usage: fault_server.py KIND [--port N] [--logprobs raw|tempered|policy] [--no-ids] [--key KEY] [--faults NAME,NAME]
                       [--rate R] [--die-after N] [--delay S] [--ignore-bias] [--ignore-seeds] [--model NAME] [--tls PEM]

The model has 259 tokens. Given the last two tokens a and b of the sequence, token t has the logit logit(a, b, t) below, which the
tests compute too. 258 ends a sequence. A GET of /stats tells what was asked; a line on standard output says the address.
Faults, each by its share R of completions: drop (the connection closes), cut (half an answer), garbage (no JSON), 500, 429,
repeat (the completions of the answer stand in it twice), lie_length, lie_logprob, lie_token, lie_prompt, delay (S seconds).
"""
import argparse
import functools
import itertools
import json
import math
import os
import random
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VOCABULARY, END, LONGEST = 259, 258, 512


def logit(a, b, t):
    """The truth: a smooth function of the last two tokens, with the end of a sequence at about one token in twenty."""
    return (1.7 if t == END else 0.0) + 3 * math.sin(0.37 * a + 0.91 * b + 1.3 * t)


def log_softmax(values):
    top = max(values)
    norm = top + math.log(sum(math.exp(v - top) for v in values if v > -math.inf))
    return [v - norm for v in values]


def distributions(prompt, params):
    """Log-probabilities of the model; with bias and temperature; after top-k, top-p and min-p as well."""
    a, b = ([0] + prompt)[-2:]
    return distributions_after(a, b, params["temperature"], params["top_k"], params["top_p"], params["min_p"],
                               tuple(sorted(params["bias"].items())))


@functools.lru_cache(maxsize=4096)
def distributions_after(a, b, temperature, top_k, top_p, min_p, bias):
    logits = [logit(a, b, t) for t in range(VOCABULARY)]
    raw = log_softmax(logits)
    for token, more in bias:
        logits[token] += more
    tempered = log_softmax([v / (temperature or 1) for v in logits])
    order = sorted(range(VOCABULARY), key=lambda t: -tempered[t])
    kept = order[:top_k] if top_k > 0 else order
    norm = sum(math.exp(tempered[t]) for t in kept)
    mass, cut = 0, []
    for t in kept:
        if mass >= top_p * norm:
            break
        mass += math.exp(tempered[t])
        cut.append(t)
    least = min_p * math.exp(tempered[cut[0]])
    cut = set(t for t in cut if math.exp(tempered[t]) >= least)
    policy = log_softmax([tempered[t] if t in cut else -math.inf for t in range(VOCABULARY)])
    return raw, tempered, policy, list(itertools.accumulate(math.exp(p) for p in policy))


def complete(prompt, params, seed, mode):
    """Returns tokens, their log-probabilities, the whole distribution of the first place, and the reason of the end."""
    source = random.Random(seed)
    sequence, tokens, rates, first = list(prompt), [], [], None
    while True:
        raw, tempered, policy, sums = distributions(sequence, params)
        if params["temperature"] == 0:
            token = max(range(VOCABULARY), key=lambda t: tempered[t])
        else:
            token = source.choices(range(VOCABULARY), cum_weights=sums)[0]
        shown = {"raw": raw, "tempered": tempered, "policy": policy}[mode]
        first = first or shown
        tokens.append(token)
        rates.append(shown[token])
        sequence.append(token)
        text = "".join(chr(t) for t in tokens if t < 256)
        if token == END:
            return tokens, rates, first, "eos"
        stop = next((s for s in params["stop"] if s in text), None)
        if stop is not None:
            return tokens, rates, first, stop
        if len(tokens) >= params["max_tokens"]:
            return tokens, rates, first, "length"


def best(distribution, count):
    return sorted(((p, t) for t, p in enumerate(distribution)), reverse=True)[:count]


class Answers:
    """The four interfaces. Each reads a body and returns the answer of its completions."""

    def __init__(self, args):
        self.args = args

    def seed(self, body, key):
        return body.get(key, 0) if not self.args.ignore_seeds else random.randrange(2 ** 60)

    def params(self, body, length, bias):
        top_k = body.get("top_k", 0)
        return {"temperature": body.get("temperature", 1), "top_k": max(0, top_k), "top_p": body.get("top_p", 1),
                "min_p": body.get("min_p", 0), "max_tokens": length, "stop": body.get("stop") or [],
                "bias": {} if self.args.ignore_bias else {int(t): float(v) for t, v in bias}}

    def openai(self, body):
        prompt, seed = body["prompt"], self.seed(body, "seed")
        params = self.params(body, body["max_tokens"], body.get("logit_bias", {}).items())
        choices = []
        for i in range(body.get("n", 1)):
            tokens, rates, first, end = complete(prompt, params, seed + i, self.args.logprobs)
            choice = {"index": i, "finish_reason": "length" if end == "length" else "stop",
                      "stop_reason": None if end in ("eos", "length") else end}
            if not self.args.no_ids and body.get("return_token_ids"):
                choice.update(token_ids=tokens, prompt_token_ids=prompt)
            if "logprobs" in body:
                top = {f"token_id:{t}": max(p, -9999.0) for p, t in best(first, body["logprobs"])}
                choice["logprobs"] = {"token_logprobs": rates, "top_logprobs": [top]}
            if "prompt_logprobs" in body:
                places = [None]
                for k in range(1, len(prompt)):
                    raw = distributions(prompt[:k], dict(params, bias={}))[0]
                    shown = best(raw, body["prompt_logprobs"]) + [(raw[prompt[k]], prompt[k])]
                    places.append({str(t): {"logprob": p} for p, t in shown})
                choice["prompt_logprobs"] = places
            choices.append(choice)
        return {"choices": choices, "usage": {"prompt_tokens": len(prompt), "prompt_tokens_details": {"cached_tokens": 1}}}

    def sglang(self, body):
        prompt, given = body["input_ids"], body["sampling_params"]
        params = self.params(given, given["max_new_tokens"], given.get("logit_bias", {}).items())
        tokens, rates, first, end = complete(prompt, params, self.seed(given, "sampling_seed"), self.args.logprobs)
        reason = {"type": "length", "length": len(tokens)} if end == "length" else \
            {"type": "stop", "matched": END if end == "eos" else end}
        meta = {"finish_reason": reason, "prompt_tokens": len(prompt), "cached_tokens": 1}
        if body.get("return_logprob"):
            meta["output_token_logprobs"] = [[p, t, None] for p, t in zip(rates, tokens)]
            meta["output_top_logprobs"] = [[[p, t, None] for p, t in best(first, body.get("top_logprobs_num", 0))]]
            if "logprob_start_len" in body:
                start = body["logprob_start_len"]
                raws = [None] + [distributions(prompt[:k], dict(params, bias={}))[0] for k in range(1, len(prompt))]
                meta["input_token_logprobs"] = [[raws[k][prompt[k]] if k > start else None, prompt[k], None]
                                                for k in range(start, len(prompt))]
                meta["input_top_logprobs"] = [[[p, t, None] for p, t in best(raws[k], 2)] if k > start else None
                                              for k in range(start, len(prompt))]
        return {"output_ids": tokens, "meta_info": meta}

    def llama(self, body):
        prompt = body["prompt"]
        params = self.params(body, body["n_predict"], body.get("logit_bias", []))
        mode = "policy" if body.get("post_sampling_probs") else "raw"
        tokens, rates, first, end = complete(prompt, params, self.seed(body, "seed"), mode)
        answer = {"tokens": tokens, "tokens_evaluated": len(prompt), "tokens_predicted": len(tokens),
                  "truncated": False, "timings": {"cache_n": 1},
                  "stop_type": {"eos": "eos", "length": "limit"}.get(end, "word")}
        if "n_probs" in body:
            entry = (lambda p, t: {"id": t, "prob": math.exp(p)}) if mode == "policy" else \
                (lambda p, t: {"id": t, "logprob": p})
            top = [entry(p, t) for p, t in best(first, body["n_probs"]) if p > -math.inf]
            # As there: tokens that end within a character have no entry, nor have as many last tokens as a stop text has.
            shown = [(p, t) for p, t in zip(rates, tokens) if not 240 <= t < 256]
            if end not in ("eos", "length"):
                shown = shown[:max(0, len(shown) - len(end))]
            answer["completion_probabilities"] = [
                dict(entry(p, t), **{"top_probs" if mode == "policy" else "top_logprobs": top}) for p, t in shown]
            if not shown:
                del answer["completion_probabilities"]
        return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def send(self, status, text, headers=(), shown=None):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data if shown is None else data[:shown])

    def allowed(self):
        if self.server.args.key is None or self.headers.get("Authorization") == "Bearer " + self.server.args.key:
            return True
        self.send(401, json.dumps({"error": {"message": "no such key"}}))
        return False

    def do_GET(self):
        args = self.server.args
        pages = {"/stats": self.server.stats}
        if args.kind in ("vllm", "openai", "sglang"):
            owner = {"vllm": "vllm", "sglang": "sglang", "openai": "somebody"}[args.kind]
            pages["/v1/models"] = {"data": [{"id": args.model, "owned_by": owner, "max_model_len": LONGEST}]}
        if args.kind == "vllm":
            pages["/version"] = {"version": "0.32.0"}
        if args.kind == "sglang":
            pages["/get_server_info"] = {"version": "0.5"}
        if args.kind == "llama.cpp":
            pages["/v1/models"] = {"data": [{"id": args.model, "owned_by": "llamacpp"}]}
            pages["/props"] = {"build_info": "b7", "default_generation_settings": {"n_ctx": LONGEST}}
        if not self.allowed():
            return
        page = pages.get(self.path)
        self.send(200 if page is not None else 404, json.dumps(page if page is not None else {"error": "no such page"}))

    def do_POST(self):
        args = self.server.args
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        answers = Answers(args)
        paths = {"vllm": ("/v1/completions", answers.openai), "openai": ("/v1/completions", answers.openai),
                 "sglang": ("/generate", answers.sglang), "llama.cpp": ("/completion", answers.llama)}
        path, answer = paths[args.kind]
        if self.path != path:
            return self.send(404, json.dumps({"error": {"message": "no such path"}}))
        if body.get("model", args.model) != args.model:
            return self.send(404, json.dumps({"error": {"message": f"The model {body['model']} does not exist"}}))
        with self.server.lock:
            self.server.stats["completions"] += 1
            number = self.server.stats["completions"]
            fault = None
            # The first requests are those with which a policy finds out what the server is.
            if args.faults and number > 10 and self.server.random.random() < args.rate:
                fault = self.server.random.choice(args.faults.split(","))
                self.server.stats["faults"] += 1
        if args.die_after and number > args.die_after:
            os._exit(0)
        if args.delay and fault is None and not args.faults:
            time.sleep(args.delay)
        self.fail(fault, answer(body), args)

    def fail(self, fault, answer, args):
        text = json.dumps(answer)
        if fault == "drop":
            self.close_connection = True
            return self.connection.close()
        if fault == "cut":
            self.send(200, text, shown=len(text) // 2)
            self.close_connection = True
            return self.connection.close()
        if fault == "garbage":
            return self.send(200, text[: len(text) // 2])
        if fault == "500":
            return self.send(500, json.dumps({"error": {"message": "something broke"}}))
        if fault == "429":
            return self.send(429, json.dumps({"error": {"message": "slower"}}), [("Retry-After", "0")])
        if fault == "delay":
            time.sleep(args.delay)
        if fault == "repeat":
            for key in ("choices", "output_ids", "tokens"):
                if key in answer:
                    answer[key] = answer[key] * 2
        if fault in ("lie_length", "lie_token", "lie_logprob", "lie_prompt"):
            lie(answer, fault)
        self.send(200, json.dumps(answer) if fault in ("repeat", "lie_length", "lie_token", "lie_logprob", "lie_prompt") else text)


def lie(answer, fault):
    """Changes an answer to one that cannot be right."""
    if "choices" in answer:
        holder, tokens = answer["choices"][0], "token_ids"
        rates = holder.get("logprobs", {}).get("token_logprobs")
    elif "meta_info" in answer:
        holder, tokens, rates = answer, "output_ids", answer["meta_info"].get("output_token_logprobs")
    else:
        holder, tokens, rates = answer, "tokens", answer.get("completion_probabilities")
    if fault == "lie_length" and tokens in holder:
        holder[tokens] = holder[tokens][:-1]
    elif fault == "lie_token" and tokens in holder:
        holder[tokens] = [1000000] + holder[tokens][1:]
    elif fault == "lie_logprob" and rates:
        if isinstance(rates[0], dict):
            rates[0].update(logprob=0.5, prob=1.5)
        elif isinstance(rates[0], list):
            rates[0][0] = 0.5
        else:
            rates[0] = 0.5
    else:
        for part in (answer.get("usage", {}), answer.get("meta_info", {})):
            if "prompt_tokens" in part:
                part["prompt_tokens"] += 1
        if "tokens_evaluated" in answer:
            answer["tokens_evaluated"] += 1


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):  # clients that are killed are no news
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["vllm", "sglang", "llama.cpp", "openai"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--logprobs", default="raw")
    parser.add_argument("--model", default="known")
    for name in ("--no-ids", "--ignore-bias", "--ignore-seeds"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--key")
    parser.add_argument("--tls")
    parser.add_argument("--faults", default="")
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--die-after", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0)
    args = parser.parse_args()
    server = Server(("127.0.0.1", args.port), Handler)
    server.args, server.lock, server.random = args, threading.Lock(), random.Random(1)
    server.stats = {"completions": 0, "faults": 0}
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"{'https' if args.tls else 'http'}://127.0.0.1:{server.server_address[1]}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # until the test closes it


main()
