#!/usr/bin/env python3
"""Draws one searched response: its tokens, p(success) along them, pivotal tokens, and the other sides of their pairs.

usage: docs/picture.py RUN PROBLEM RESPONSE > response.svg

RUN is a folder of `pivotal search`, in which `pivotal curve RUN` has written curve-token.jsonl. PROBLEM is the id of a
problem, RESPONSE the number of its response, from 0.
"""
import html
import json
import pathlib
import sys

WIDTH = 880
LEFT, RIGHT, TOP = 56, 16, 100  # of the plot
PLOT = 150  # height of the plot
CHARACTER, PADDING = 8.0, 3.5  # width of a character of a token, and room on each side of the token
ROW = 26  # height of a token
GAP = 0.2  # least jump of a pivotal token

STYLE = """<style>
  text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; fill: #1f2328 }
  .token { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13px; text-anchor: middle }
  .small { font-size: 12px; fill: #57606a } .end { text-anchor: end } .bold { font-weight: 600 }
  .card { fill: #ffffff; stroke: #d0d7de } .grid { stroke: #d8dee4 } .box { fill: #f0f3f6 }
  .curve { fill: none; stroke: #0b5cad; stroke-width: 2.2; stroke-linejoin: round } .dot { fill: #0b5cad }
  .up { fill: #9be3b4 } .down { fill: #ffb99a } .branch { fill: none; stroke: #d9480f; stroke-width: 2; stroke-dasharray: 4 3 }
  .other { fill: #d9480f } .othertext { fill: #b93a08 } .box.pivotal { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9da7b3 } .card { fill: #161b22; stroke: #30363d } .grid { stroke: #30363d }
    .box { fill: #262c36 } .curve { stroke: #6cb6ff } .dot { fill: #6cb6ff } .up { fill: #1f6f3d } .down { fill: #8a3a14 }
    .branch { stroke: #ff9b73 } .other { fill: #ff9b73 } .othertext { fill: #ff9b73 } .box.pivotal { stroke: #e6edf3 }
  }
</style>"""


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def text(x, y, words, kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{html.escape(words)}</text>'


def shown(token):
    """A token's text as the picture has it: blanks can be seen."""
    return (token or "end").replace(" ", "\u2423").replace("\n", "\u21b5")


class Picture:
    def __init__(self, tokens, pairs):
        self.tokens, self.pairs = tokens, pairs
        widths = [max(1.6, len(shown(token["text"]))) * CHARACTER + 2 * PADDING for token in tokens]
        stretch = min(1.5, (WIDTH - LEFT - RIGHT) / sum(widths))
        self.widths = [width * stretch for width in widths]
        self.edges = [LEFT]
        for width in self.widths:
            self.edges.append(self.edges[-1] + width)
        self.out = []

    def y(self, p):
        return TOP + (1 - p) * PLOT

    def axis(self):
        for p in (0, 0.5, 1):
            self.out.append(f'<path class="grid" d="M{LEFT} {self.y(p):.1f}H{self.edges[-1]:.1f}"/>')
            self.out.append(text(LEFT - 8, self.y(p) + 4, f"{p:.0%}", "small end"))

    def curve(self):
        """p before each token at its left edge, after the last one at the right edge of all."""
        points = [(edge, token["before"]) for edge, token in zip(self.edges, self.tokens)]
        points.append((self.edges[-1], self.tokens[-1]["after"]))
        self.out.append('<path class="curve" d="M' + "L".join(f"{x:.1f} {self.y(p):.1f}" for x, p in points) + '"/>')
        for x, p in points:
            self.out.append(f'<circle class="dot" cx="{x:.1f}" cy="{self.y(p):.1f}" r="2.6"/>')

    def row(self):
        """The tokens in boxes, and the other side of a pair below its token."""
        top = TOP + PLOT + 20
        for position, token in enumerate(self.tokens, 1):
            x, width = self.edges[position - 1], self.widths[position - 1]
            pivotal = abs(token["change"]) >= GAP
            kind = f" {'up' if token['change'] > 0 else 'down'} pivotal" if pivotal else ""
            self.out.append(f'<rect class="box{kind}" x="{x + 1:.1f}" y="{top}" width="{width - 2:.1f}" height="{ROW}" rx="4"/>')
            self.out.append(text(x + width / 2, top + 17.5, shown(token["text"]), "token bold" if pivotal else "token"))
            if position in self.pairs:
                self.other(position, x, width, top + ROW + 18)

    def other(self, position, x, width, top):
        """The token of a pair that the response does not have: its box, and where p goes with it."""
        token, pair = self.tokens[position - 1], self.pairs[position]
        raised = token["change"] > 0
        name = "rejected" if raised else "chosen"
        estimate = pair[f"{name}_successes"] / pair[f"{name}_samples"]
        right, before, after, other = x + width, self.y(token["before"]), self.y(token["after"]), self.y(estimate)
        words = f"{estimate:.0%} with \u201c{shown(pair[name])}\u201d instead"
        self.out.append(f'<path class="branch" d="M{x:.1f} {before:.1f}L{right:.1f} {other:.1f}"/>')
        self.out.append(f'<circle class="other" cx="{right:.1f}" cy="{other:.1f}" r="3.4"/>')
        self.out.append(text(right + 8, other - 7, words, "othertext bold") if raised else
                        text(right - 8, other - 9, words, "othertext bold end"))
        self.out.append(text(x - 7, before - 9, f"{token['before']:.0%}", "bold end"))
        self.out.append(text(right - 2, after - 9 if raised else after + 17, f"{token['after']:.0%}", "bold"))
        self.out.append(f'<rect class="box {"down" if raised else "up"}" x="{x + 1:.1f}" y="{top}" '
                        f'width="{width - 2:.1f}" height="{ROW}" rx="4"/>')
        self.out.append(text(x + width / 2, top + 17.5, shown(pair[name]), "token bold"))
        if position == max(self.pairs):
            self.out.append(text(right + 12, top + 17.5, "the other token of each pair: DPO trains for green over orange",
                                 "small"))

    def legend(self, y):
        x = LEFT
        for kind, words in (("up", "pivotal, raises p(success)"), ("down", "pivotal, lowers p(success)"),
                            ("", f"changes it by less than {GAP:.0%}")):
            self.out.append(f'<rect class="box {kind}" x="{x}" y="{y - 11}" width="15" height="15" rx="3"/>')
            self.out.append(text(x + 21, y + 1, words, "small"))
            x += 45 + 6.6 * len(words)

    def draw(self, question, verdict):
        height = TOP + PLOT + 20 + ROW + 18 + ROW + 40
        self.out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
                    'role="img">', f"<title>{html.escape(question)}</title>", STYLE,
                    f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
                    text(16, 28, question, "bold"),
                    text(16, 50, f"A {verdict} response, token by token. The curve is p(success): the share of completions from "
                                 "there that end right.", "small")]
        self.axis()
        self.curve()
        self.row()
        self.legend(height - 16)
        return "\n".join([*self.out, "</svg>"])


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    run, problem, response = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    tokens = [unit for unit in lines(run / "curve-token.jsonl") if (unit["id"], unit["response"]) == (problem, response)]
    if not tokens:
        sys.exit(f"picture.py: {run}/curve-token.jsonl has no response {response} of {problem}")
    pairs = {}
    for pair in lines(run / "pairs.jsonl"):
        query, number, position = pair["id"].rsplit("/", 2)
        if (query, int(number)) == (problem, response):
            pairs[int(position)] = pair
    question = next(iter(pairs.values()))["prompt"].split("\n")[0].removeprefix("Question: ") if pairs else problem
    print(Picture(tokens, pairs).draw(question, "right" if tokens[0]["success"] else "wrong"))


if __name__ == "__main__":
    main()
