"""Writes a report page with random data for report_page.py (experiments/report/report.cc fills the page of a run).

usage: report_sample.py OUT.html EXPECTED.json [--problems N] [--ablation] [--beside] [--seed S]
Equal arguments give equal bytes. Prints the size of the page. Some texts are hostile: markup, quotes, line ends,
characters that reverse the direction of writing. --ablation makes a page of comparisons and training curves without
problems, --beside a page of two runs.
"""

import argparse
import base64
import gzip
import json
import math
import pathlib
import random
import re

REPORT = pathlib.Path(__file__).parents[3] / "experiments/report/page"
# The scripts of the page in their order, as CMake joins them.
SCRIPTS = re.search(
    r"set\(report_scripts(.*?)\)", (REPORT.parents[1] / "CMakeLists.txt").read_text(encoding="utf-8"), re.DOTALL
)[1].split()
BLOCK = 16  # problems in a block
GAP = 0.2
WORDS = (
    "the so total is we need 47 times 8 = 376 minus 49 gives 327 . , first each box then has apples left and "
    "therefore 40 * 8 320 7 56 add them to get"
).split()
NO_PAIR = [
    "sides differ by 0.12 on fresh rollouts, 0.2 asked for",
    "not measurably apart (95% one-sided)",
    "an earlier response gives the same pair",
]
HOSTILE = [
    "</script>",
    "<!--",
    "<img src=x onerror=hostile=1>",
    "\"'`${1}",
    "\n\n",
    "\t",
    "\u202e",
    "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f98a",
    "\ufffd",
    "",
    "\x07",
    "&lt;b&gt;",
    "]]>",
    "\\u003c",
    "\u200b",
    "a" * 90,
]


def fill(summary, problems):
    """Returns the page that experiments/report/page/DATA.md describes."""
    page = (REPORT / "page.html").read_text(encoding="utf-8")
    script = "".join((REPORT / name).read_text(encoding="utf-8") for name in SCRIPTS)
    blocks = []
    for start in range(0, len(problems), BLOCK):
        packed = gzip.compress(dumps(problems[start : start + BLOCK]).encode(), mtime=0)
        blocks.append(
            f'<script type="text/plain" class="block" id="block-{start // BLOCK}">'
            f"{base64.b64encode(packed).decode()}</script>"
        )
    data = dumps(summary).replace("<", "\\u003c")
    for marker, text in (
        ("/*@CSS@*/", (REPORT / "page.css").read_text(encoding="utf-8")),
        ("/*@JS@*/", script),
        ("<!--@BLOCKS@-->", "\n".join(blocks)),
        ("<!--@SUMMARY@-->", f'<script type="application/json" id="summary">{data}</script>'),
    ):
        before, after = page.split(marker)
        page = before + text + after
    return page


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def near(p, spread):
    """Returns an interval around p."""
    return round(max(0, p - spread), 4), round(min(1, p + spread), 4)


def make_answers(random):
    """Returns the answers of a problem: the right one, wrong ones, all others, none."""
    texts = [str(random.randint(1, 999)), random.choice(HOSTILE) or "7", "<b>12</b>", None, ""]
    return [{"text": text, "right": i == 0} for i, text in enumerate(texts)]


def make_shares(random, answers):
    """Returns a distribution of answers: [answer, percent, ...], most frequent first."""
    cuts = sorted(random.choices(range(101), k=2))
    percents = sorted((cuts[0], cuts[1] - cuts[0], 100 - cuts[1]), reverse=True)
    chosen = random.sample(range(len(answers)), 3)
    return [part for answer, percent in zip(chosen, percents) if percent for part in (answer, percent)]


def make_group(random, tokens, answers):
    p, rollouts = round(random.random(), 4), random.choice([0, 4, 80])
    low, high = near(p, 0.1)
    group = {
        "tokens": tokens,
        "more": random.choice([0, 3]),
        "probability": round(random.random(), 4),
        "rollouts": rollouts,
        "p": None,
        "answers": [],
    }
    measured = {"p": p, "low": low, "high": high, "answers": make_shares(random, answers)}
    return {**group, **measured} if rollouts else group


def make_forks(random, token, answers):
    """Returns the keys of a pivotal token that tell what may stand in its place."""

    def estimate():
        p = round(random.random(), 4)
        low, high = near(p, 0.1)
        return {"p": p, "low": low, "high": high}

    groups = [make_group(random, [token, random.choice(HOSTILE)], answers)]
    groups += [
        make_group(random, [random.choice(HOSTILE + WORDS), None], answers)
        for _ in range(random.randint(0, 5))
    ]
    return {"q": estimate(), "q_other": random.choice([None, estimate()]), "groups": groups}


def make_response(random, length, answers):
    p = [round(random.uniform(0.25, 0.75), 4)]
    tokens, pivotal, alternatives = [], [], []
    jumps = set(random.sample(range(2, length), random.choice([0, 1, 1, 2, 3])))
    for k in range(1, length + 1):
        tokens.append(random.choice(HOSTILE) if random.random() < 0.02 else " " + random.choice(WORDS))
        step = random.choice([-1, 1]) * random.uniform(GAP, 0.5) if k in jumps else random.gauss(0, 0.012)
        p.append(round(min(1, max(0, p[-1] + step)), 4))
        if abs(p[k] - p[k - 1]) < GAP:
            continue
        rise = p[k] > p[k - 1]
        low, high = near(abs(p[k] - p[k - 1]), 0.1)
        pair = random.random() < 0.6
        other = random.choice(HOSTILE + WORDS)
        pivotal.append(
            {
                "k": k,
                "before": p[k - 1],
                "after": p[k],
                "low": low if rise else -high,
                "high": high if rise else -low,
                "probability": round(random.uniform(0.9, 1), 3),
                "chosen": tokens[-1] if rise else other,
                "rejected": other if rise else tokens[-1],
                "chosen_samples": 64,
                "chosen_successes": random.randint(40, 64),
                "rejected_samples": 64,
                "rejected_successes": random.randint(0, 20 if pair else 50),
                "no_pair": None if pair else NO_PAIR[k % len(NO_PAIR)],
                **make_forks(random, tokens[-1], answers),
            }
        )
        for text in random.sample(HOSTILE + WORDS, random.randint(1, 4)):
            samples = random.randint(1, 40)
            successes = random.randint(0, samples)
            low, high = near(successes / samples, 1 / math.sqrt(samples))
            alternatives.append(
                {
                    "k": k,
                    "token": text,
                    "logprob": round(-random.expovariate(0.5), 4),
                    "samples": samples,
                    "successes": successes,
                    "low": low,
                    "high": high,
                }
            )
    success = random.random() < p[-1]
    p[-1] = float(success)
    spread = [random.uniform(0.02, 0.08) for _ in p[:-1]] + [0]
    limits = [near(value, width) for value, width in zip(p, spread)]
    low, high = [limit[0] for limit in limits], [limit[1] for limit in limits]
    if random.random() < 0.3:  # the published search leaves most positions unmeasured
        for k in range(1, length):
            if random.random() < 0.5 and not any(k in (token["k"], token["k"] - 1) for token in pivotal):
                p[k] = low[k] = high[k] = None
    return {
        "success": success,
        "finish": random.choice(["eos", "eos", "length", "stop"]),
        "tokens": tokens,
        "logprobs": [round(-random.expovariate(4), 4) for _ in tokens],
        "p": p,
        "low": low,
        "high": high,
        "samples": [random.choice([0, 0, 8, 32]) for _ in p],
        "answers": [
            None if k and random.random() < 0.7 else make_shares(random, answers) for k in range(length + 1)
        ],
        "pivotal": pivotal,
        "alternatives": alternatives,
    }


def make_problem(random, number, length):
    question = (
        f"Tom has {number + 2} boxes with {random.randint(2, 99)} coins in each box and {random.choice(['finds', 'loses'])} "
        f"{random.randint(2, 99)} of the coins. How many coins does Tom have now?"
    )
    if number % 7 == 3:
        question += " " + random.choice(HOSTILE)
    samples, successes = 32, random.choice([0, 32, *range(6, 27)])
    searched = 6 <= successes <= 26
    answers = make_answers(random)
    responses = [
        make_response(random, random.randint(length * 4 // 5, length * 6 // 5), answers)
        for _ in range(2 if searched else 0)
    ]
    deltas = [token["after"] - token["before"] for response in responses for token in response["pivotal"]]
    details = {
        "question": question,
        "answer": str(random.randint(1, 999)),
        "answers": answers,
        "responses": responses,
    }
    entry = {
        "question": question[:160],
        "samples": samples,
        "successes": successes,
        "searched": searched,
        "complete": random.random() < 0.95,
        "responses": len(responses),
        "pivotal": len(deltas),
        "largest": round(max(deltas, key=abs, default=0), 4),
        "block": number // BLOCK,
        "index": number % BLOCK,
    }
    identity = f"train-{number + 1:04}" if number != 4 else "odd id/+&=#%\u202e<b>"
    return {"id": identity, **entry}, {"id": identity, **details}


def changes(problems):
    for problem in problems:
        for response in problem["responses"]:
            for before, after in zip(response["p"], response["p"][1:]):
                if before is not None and after is not None:
                    yield after - before


def make_training(random):
    runs = []
    for arm in ("pivotal pairs", "full-length pairs", "both"):
        loss, accuracy = (
            [
                [step, round(0.69 * math.exp(-step / random.uniform(30, 60)) + random.gauss(0, 0.01), 5)]
                for step in range(1, 121)
            ],
            [[step, round(1 - 0.5 * math.exp(-step / random.uniform(15, 40)), 5)] for step in range(1, 121)],
        )
        runs.append(
            {
                "name": arm,
                "series": [
                    {"name": "loss", "points": loss},
                    {"name": "rewards/accuracies", "points": accuracy},
                ],
            }
        )
    return runs


def make_comparisons(random):
    def interval(mean, spread):
        return {"mean": round(mean, 2), "low": round(mean - spread, 2), "high": round(mean + spread * 1.1, 2)}

    arms = ["SFT", "SFT + pivotal DPO", "SFT + full-length DPO", "both, in the order of the report"]
    tables = []
    for title in ("in distribution", "longer problems", "other wording"):
        base = random.uniform(40, 60)
        rows = [
            {"name": arm, "n": 1500, **interval(base + gain, random.uniform(1, 3))}
            for arm, gain in zip(arms, (0, 24, 9, 27))
        ]
        differences = [
            {"name": f"{arm} \u2212 SFT", **interval(gain, random.uniform(2, 4))}
            for arm, gain in zip(arms[1:], (24, -1.5, 27))
        ]
        differences.append({"name": "random pairs \u2212 SFT", **interval(-7, 2.4)})
        tables.append(
            {
                "title": title,
                "unit": "accuracy, %",
                "note": "3 seeds, 500 problems; paired bootstrap over problems; 12 comparisons.",
                "rows": rows,
                "differences": differences,
            }
        )
    return tables


def make_costs(random):
    def point(name, cost):
        mean = random.uniform(50, 80)
        return {"name": f"{name} ({cost})", "cost": cost, "mean": mean, "low": mean - 3, "high": mean + 2}

    curves = [{"name": name, "points": [point(name, cost) for cost in costs]}
              for name, costs in (("pivotal DPO", (50, 100, 200)), ("SFT", (80, 400)))]
    return [{"title": "in distribution", "label": label, "unit": "accuracy, %", "curves": curves}
            for label in ("tokens", "seconds")]


def make_summary(random, entries, problems, title):
    deltas = list(changes(problems))
    edges = [round(-1 + 0.05 * i, 2) for i in range(41)]
    counts = [0] * 40
    for delta in deltas:
        counts[min(39, int((delta + 1) / 0.05))] += 1
    pivotal = sum(entry["pivotal"] for entry in entries)
    calibration = []
    for i in range(10):
        expected, n = 0.05 + 0.1 * i, random.randint(40, 900)
        observed = min(1, max(0, expected + random.gauss(0, 0.03)))
        low, high = near(observed, 1 / math.sqrt(n))
        calibration.append(
            {
                "expected": round(expected, 3),
                "observed": round(observed, 3),
                "low": low,
                "high": high,
                "count": n,
            }
        )
    return {
        "title": title,
        "version": "1.0.0",
        "settings": [
            ["search", "strategy", "anchored"],
            ["search", "gap", GAP],
            ["search", "confidence", 0.95],
            ["search", "seed", 1],
            ["sampling", "temperature", 1],
            ["sampling", "max_new_tokens", 256],
            ["model", "path", "experiments/tiny/model"],
            ["model", "weights_sha256", "d9eda95a85658f833b44af575ca5446a6df7efd06561759be67b2160f8059a84b"],
            ["problems", "oracle", "numeric"],
        ],
        "facts": [
            ["problems", len(entries), f"{sum(entry['searched'] for entry in entries)} searched"],
            ["responses", 2 * sum(entry["searched"] for entry in entries), "half of them right"],
            ["pivotal tokens", pivotal, "0.7% of all tokens"],
            ["expected false", "1.2%", "of the pivotal tokens"],
            [
                "pairs",
                sum(
                    token["no_pair"] is None
                    for problem in problems
                    for response in problem["responses"]
                    for token in response["pivotal"]
                ),
                "60% of the pivotal tokens",
            ],
            ["rollouts", 23679, "32 tokens each"],
            ["generated tokens", 756432, "13,672 prefix tokens"],
            ["time", "223 s", "3,392 a second"],
        ],
        "histogram": {"edges": edges, "counts": counts},
        "pivotal_share": {"tokens": len(deltas), "pivotal": pivotal},
        "calibration": calibration,
        "gap": GAP,
        "problems": entries,
    }


def make_beside(random, entries, problems, length):
    """Adds a second run, which lacks every fifth problem, and returns what the summary tells of it."""
    both = [i for i in range(len(entries)) if i % 5 != 2]
    rates, pivotal, better, worse = [], [0, 0], 0, 0
    for i in set(range(len(entries))) - set(both):
        entries[i]["beside"] = problems[i]["beside"] = None
    for i in both:
        entry, problem = make_problem(random, i, length)
        problems[i]["beside"] = {**problem, "id": f"after-{i}"}
        rate = [one["successes"] / one["samples"] for one in (entries[i], entry)]
        low, high = rate[1] - rate[0] - 0.2, rate[1] - rate[0] + 0.2
        entries[i]["beside"] = {
            **{key: value for key, value in entry.items() if key not in ("question", "block", "index")},
            "limits": [near(p, 0.15) for p in rate],
            "change": [round(rate[1] - rate[0], 4), round(max(-1, low), 4), round(min(1, high), 4)],
        }
        rates.append(rate)
        better, worse = better + (low > 0), worse + (high < 0)
        pivotal = [pivotal[0] + entries[i]["pivotal"], pivotal[1] + entry["pivotal"]]
    mean = [round(sum(rate[side] for rate in rates) / len(rates), 4) for side in (0, 1)]
    change = mean[1] - mean[0]
    return {
        "names": ["before <training>", "after"],
        "gap": GAP,
        "confidence": 0.95,
        "both": len(both),
        "only": [len(entries) - len(both), 3],
        "measured": len(both),
        "mean": mean,
        "change": [round(change, 4), round(change - 0.05, 4), round(change + 0.05, 4)],
        "better": better,
        "worse": worse,
        "pivotal": pivotal,
        "settings": [
            ["model", "folder", "'/models/phi'", "'/models/phi-tuned-on-pairs-of-the-first-run'"],
            ["model", "weights_sha256", f"'{'d9eda95a' * 8}'", f"'{'ab56f49d' * 8}'"],
        ],
    }


def expect_beside(beside, entries, problems):
    both = [i for i, entry in enumerate(entries) if entry["beside"]]
    one = next(i for i in both if entries[i]["searched"] and entries[i]["beside"]["searched"])
    pair = [entries[one], entries[one]["beside"]]
    return {
        "both": beside["both"],
        "names": beside["names"],
        "problem": {
            "id": entries[one]["id"],
            "responses": [entry["responses"] for entry in pair],
            "p": [f"{entry['successes'] / entry['samples']:.2f}" for entry in pair],
        },
    }


def expect(entries, problems):
    """Returns what report_page.py must find on the page."""
    mixed = [entry for entry in entries if 0 < entry["successes"] < entry["samples"]]
    rising = [entry for entry in entries if entry["largest"] > 0]
    filters = [
        {"filters": ["searched"], "rows": sum(entry["searched"] for entry in entries)},
        {"filters": ["pivotal"], "rows": sum(entry["pivotal"] > 0 for entry in entries)},
        {"filters": ["mixed", "rise"], "rows": sum(entry in rising for entry in mixed)},
        {"filters": ["rise", "drop"], "rows": sum(entry["largest"] != 0 for entry in entries)},
        {"search": entries[7]["id"], "rows": 1},
        {"search": "COINS loses", "rows": sum("loses" in entry["question"] for entry in entries)},
        {"search": "no such problem", "rows": 0},
    ]
    chosen = max(range(min(60, len(entries))), key=lambda i: abs(entries[i]["largest"]))
    number, response = next((i, r) for i, r in enumerate(problems[chosen]["responses"]) if r["pivotal"])
    pivotal = {token["k"]: token for token in response["pivotal"]}
    tokens = []
    for k in sorted({1, 5, len(response["tokens"]), *(token["k"] for token in response["pivotal"])}):
        token = pivotal.get(k, {})
        q, other = token.get("q"), token.get("q_other")
        tokens.append(
            {
                "k": k,
                "groups": len(token.get("groups", [])),
                "q": f"{q['p']:.3f}" if q else None,
                "q_other": f"{other['p']:.3f}" if other else None,
                "probability": math.exp(response["logprobs"][k - 1]),
                "before": response["p"][k - 1],
                "after": response["p"][k],
                "alternatives": sum(other["k"] == k for other in response["alternatives"]),
                "no_pair": token.get("no_pair"),
            }
        )
    return {
        "sections": ["run", "problems"],
        "opened": next(entry["id"] for entry in entries if entry["pivotal"] > 0),
        "rows": len(entries),
        "lists": filters,
        "first": {
            "drop": min(entries, key=lambda entry: entry["largest"])["id"],
            "rise": max(entries, key=lambda entry: entry["largest"])["id"],
        },
        "problem": {
            "id": entries[chosen]["id"],
            "response": number + 1,
            "length": len(response["tokens"]),
            "tokens": tokens,
        },
    }


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("page", type=pathlib.Path)
parser.add_argument("expected", type=pathlib.Path)
parser.add_argument("--problems", type=int, default=30)
parser.add_argument("--tokens", type=int, default=200, help="approximate length of a response")
parser.add_argument("--ablation", action="store_true")
parser.add_argument("--beside", action="store_true")
parser.add_argument("--seed", type=int, default=1)
arguments = parser.parse_args()
source = random.Random(arguments.seed)
if arguments.ablation:
    summary = {
        "title": "table9",
        "version": "1.0.0",
        "settings": [["arms", "seeds", "1, 2, 3"]],
        "facts": [["arms", 4, "ways of training"], ["seeds", 3], ["comparisons", 12]],
        "gap": GAP,
        "problems": [],
        "training": make_training(source),
        "comparisons": make_comparisons(source),
        "costs": make_costs(source),
    }
    details = []
    expected = {"sections": ["run", "comparisons", "training"], "rows": 0, "lists": [], "cost_points": 2 * 5}
else:
    made = [make_problem(source, number, arguments.tokens) for number in range(arguments.problems)]
    entries, details = [entry for entry, _ in made], [problem for _, problem in made]
    summary = make_summary(source, entries, details, 'Search of train.jsonl <with> "tiny"')
    expected = {"load_seconds": 20, **expect(entries, details)}
    if arguments.beside:
        summary["beside"] = make_beside(source, entries, details, arguments.tokens)
        expected["beside"] = expect_beside(summary["beside"], entries, details)
        expected["sections"] = ["run", "beside", "problems"]
arguments.page.write_text(fill(summary, details), encoding="utf-8", newline="\n")
arguments.expected.write_text(json.dumps(expected, indent=1), encoding="utf-8")
print(f"{arguments.page}: {arguments.page.stat().st_size / 1e6:.2f} MB, {len(details)} problems")
