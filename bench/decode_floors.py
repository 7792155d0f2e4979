#!/usr/bin/env python3
"""Prints the floors of a decode step: the bytes that it has to read and write, the operations that it has to compute, and how
long these take at least on a GPU of a given bandwidth and arithmetic. A measured time can be put beside them.

usage: decode_floors.py MODEL --rows N [N ...] [--shared TOKENS] [--sharing N] [--own TOKENS] [--element BYTES]
                        [--card NAME=TB/s,TFLOP/s ...] [--launches N] [--launch-us US] [--measured MS ...]
MODEL is a folder with config.json or one of phi-3-mini, phi-3-medium, phi-4. N rows are computed at once. Each attends
to --shared tokens of a prefix, which --sharing rows have in common (0: all rows), and to --own tokens of its own.
--launches is the number of kernels a layer, --launch-us the time from one to the next in a CUDA graph.

No implementation is faster: weights, keys, values and logits are moved once, and products are computed once. Hidden
states do not count: they fit in caches. The floor of a part is the larger one of its memory's and its arithmetic's; the
floor of a step is their sum.
"""
import argparse
import json
import pathlib

CARDS = {"H100 SXM": (3.35, 989.0), "H200": (4.8, 989.0)}  # TB/s, dense TFLOP/s in 16 bits, by NVIDIA's data sheets
SHAPES = {
    "phi-3-mini": dict(hidden_size=3072, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32,
                       intermediate_size=8192, vocab_size=32064, model_type="phi3"),
    "phi-3-medium": dict(hidden_size=5120, num_hidden_layers=40, num_attention_heads=40, num_key_value_heads=10,
                         intermediate_size=17920, vocab_size=32064, model_type="phi3"),
    "phi-4": dict(hidden_size=5120, num_hidden_layers=40, num_attention_heads=40, num_key_value_heads=10,
                  intermediate_size=17920, vocab_size=100352, model_type="phi3"),
}


class Shape:
    """The numbers of a model, by its config.json."""

    def __init__(self, config):
        self.layers = config["num_hidden_layers"]
        self.hidden = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_dim = config.get("head_dim") or self.hidden // self.heads
        self.vocab = config["vocab_size"]
        self.window = config.get("sliding_window") or 0
        self.experts = config.get("num_local_experts") or 0
        inner = config.get("intermediate_size") or 4 * self.hidden
        # Phi-1 and Phi-2 have no gate; the other models compute it with the MLP's first matrix.
        gated = config.get("model_type") != "phi"
        self.qkv = self.hidden * (self.heads + 2 * self.kv_heads) * self.head_dim
        self.output = self.heads * self.head_dim * self.hidden
        self.mlp = (3 if gated else 2) * self.hidden * inner
        self.head = self.hidden * self.vocab

    def matrices(self):
        """Numbers in all matrices that tokens are multiplied by, all experts included."""
        mlp = self.mlp * self.experts + self.hidden * self.experts if self.experts else self.mlp
        return self.layers * (self.qkv + self.output + mlp) + self.head


def load_shape(name):
    return Shape(SHAPES[name] if name in SHAPES else json.loads((pathlib.Path(name) / "config.json").read_text()))


def floors(shape, rows, shared=0, sharing=0, own=0, element=2):
    """The parts of a step as {name: (bytes, operations)}. A multiplication and an addition are two operations."""
    s = shape
    groups = -(-rows // sharing) if sharing else 1
    if s.window:  # a row attends to its last tokens
        own = min(own, s.window)
        shared = min(shared, s.window - own)
    if s.experts:  # a token goes through two of them
        mlp, mlp_work = min(s.experts, 2 * rows) * s.mlp + s.hidden * s.experts, 2 * s.mlp + s.hidden * s.experts
    else:
        mlp = mlp_work = s.mlp
    token = 2 * s.kv_heads * s.head_dim * element * s.layers  # keys and values
    return {
        "weights of layers": (element * s.layers * (s.qkv + s.output + mlp), 2 * rows * s.layers * (s.qkv + s.output + mlp_work)),
        "head and logits": (element * s.head + 2 * 4 * rows * s.vocab, 2 * rows * s.head),
        "shared keys and values": (groups * shared * token, 4 * rows * shared * s.heads * s.head_dim * s.layers),
        "own keys and values": (rows * own * token + rows * token, 4 * rows * own * s.heads * s.head_dim * s.layers),
    }


def seconds(part, card):
    bytes_, operations = part
    return max(bytes_ / (card[0] * 1e12), operations / (card[1] * 1e12))


def card_of(text):
    name, _, numbers = text.partition("=")
    if name in CARDS and not numbers:
        return name, CARDS[name]
    bandwidth, _, arithmetic = numbers.partition(",")
    try:
        return name, (float(bandwidth), float(arithmetic))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no NAME=TB/s,TFLOP/s") from None


def table(shape, rows, cards, *, launches=0, launch_us=0.0, measured=None, **work):
    parts = floors(shape, rows, **work)
    lines = [f"{rows} rows", "", "| | GB | GFLOP | FLOP a byte |" + "".join(f" {name}, ms |" for name, _ in cards),
             "|---|---|---|---|" + "---|" * len(cards)]
    for name, part in [*parts.items(), ("all", tuple(map(sum, zip(*parts.values()))))]:
        times = [sum(seconds(p, card) for p in parts.values()) if name == "all" else seconds(part, card) for _, card in cards]
        intensity = part[1] / part[0] if part[0] else 0
        lines.append(f"| {name} | {part[0] / 1e9:.3f} | {part[1] / 1e9:,.1f} | {intensity:.1f} |" +
                     "".join(f" {1e3 * t:.3f} |" for t in times))
    totals = [sum(seconds(p, card) for p in parts.values()) for _, card in cards]
    lines.append("| tokens a second at most | | | |" + "".join(f" {rows / t:,.0f} |" for t in totals))
    if launches:
        count = launches * shape.layers
        lines.append(f"| {count} launches | | | |" + f" {1e-3 * launch_us * count:.3f} |" * len(cards))
    if measured is not None:
        lines.append("| measured | | | |" + "".join(f" {measured:.3f}, {100 * 1e3 * t / measured:.0f}% of it the floor |" for t in totals))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, nargs="+", required=True)
    parser.add_argument("--shared", type=int, default=64)
    parser.add_argument("--sharing", type=int, default=0)
    parser.add_argument("--own", type=int, default=32)
    parser.add_argument("--element", type=int, default=2)
    parser.add_argument("--card", type=card_of, nargs="+", default=list(CARDS.items()))
    parser.add_argument("--launches", type=int, default=0)
    parser.add_argument("--launch-us", type=float, default=1.5)
    parser.add_argument("--measured", type=float, nargs="+", help="milliseconds of a step, one for each of --rows")
    a = parser.parse_args()
    if a.measured and len(a.measured) != len(a.rows):
        parser.error("--measured needs one time for each of --rows")
    shape = load_shape(a.model)
    for i, rows in enumerate(a.rows):
        print(table(shape, rows, a.card, launches=a.launches, launch_us=a.launch_us,
                    measured=a.measured[i] if a.measured else None, shared=a.shared, sharing=a.sharing, own=a.own,
                    element=a.element) + "\n")


if __name__ == "__main__":
    main()
