"""Encodes texts with Python's tokenizers or tiktoken, for tokenizer_parity_test.cc.

usage: tokenizer_parity.py FOLDER DATA SEED CHARACTERS OUT.jsonl
FOLDER holds tokenizer.json (for tokenizers) or cl100k_base.tiktoken (for tiktoken). DATA is the
folder of the shared data. The texts are those of DATA, then random ones with CHARACTERS characters
in all. Each line of OUT is {"text", "ids", "decoded"}; a line without "text" tests decoding alone.
"""
import json
import os
import random
import sys

folder, data, seed, characters, out_file = sys.argv[1:]
rng = random.Random(int(seed))
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def load():
    if os.path.exists(folder + "/tokenizer.json"):
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
        tokenizer.no_truncation()
        added = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        return (lambda t: tokenizer.encode(t, add_special_tokens=False).ids,
                lambda ids: tokenizer.decode(ids, skip_special_tokens=True),
                tokenizer.get_vocab_size(), added)
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe
    from tiktoken_ext.openai_public import cl100k_base
    import tiktoken_ext.openai_public as public
    ranks = load_tiktoken_bpe(folder + "/cl100k_base.tiktoken")
    public.load_tiktoken_bpe = lambda *_, **__: ranks
    config = json.load(open(folder + "/tokenizer_config.json"))
    special = {t["content"]: int(i) for i, t in config["added_tokens_decoder"].items()}
    encoding = tiktoken.Encoding("phi", pat_str=cl100k_base()["pat_str"], mergeable_ranks=ranks,
                                 special_tokens=special)
    silent = set(special.values())
    return (lambda t: encoding.encode(t, allowed_special="all"),
            lambda ids: encoding.decode([i for i in ids if i not in silent]),
            max(silent) + 1, list(special))


encode, decode, vocab, added = load()


def shared_texts():
    for name in ("gsm8k/test.jsonl", "math/math-250.jsonl", "humaneval/HumanEval.jsonl"):
        for line in open(os.path.join(data, name), encoding="utf-8"):
            for value in json.loads(line).values():
                if isinstance(value, str):
                    yield value


WORDS = ["don't", "I'LL", "we\u2019re", "it'\u017f", "he'S", "'ll", "'Re", "l'eau", "x'", "''",
         "\ufb06", "camelCase", "ABCdef", "snake_case", "HTTPServer2", "\u01c5a", "\u00aaA",
         "123456", "\u0663\u0664", "\u00bd\u00b2", "3.14", "#include <a.h>", "/* */", "a/b//c",
         "!!\n\n", "?\r\n", "....", "--->", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
         "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "e\u0301", "\u0301\u0302", "\u65e5\u672c\u8a9e",
         "\ud55c\uad6d\uc5b4", "\u0e44\u0e17\u0e22", "\u0928\u092e\u0938\u094d\u0924\u0947",
         "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05dc\u05d5\u05dd", "\u180e", "\u200b", "\u00ad",
         "\ufeff", "\u2581", "\u2581\u2581a", "\u0120", "\u010a", "<0x0A>", "<unk>", "<s>", "\0",
         "\x01", "\x7f", "\x1b[0m", "\U0010ffff"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t", " \n", "\n ", "        ", " " * 33,
          "\u00a0", "\u3000", "\u2003\u2003", "\u2028", "\u0085", "\x0b", "\x0c", " \u00a0 ",
          "\n\t  \n  ", ""]


def random_text():
    kind = rng.randrange(8)
    n = rng.choice([1, 2, 3, 8, 30, 200])
    if kind == 0:  # characters of all planes
        return "".join(chr(rng.choice(ALL)) for _ in range(n))
    if kind == 1:  # characters of one block, which form words
        start = rng.choice([
            0, 0x80, 0x100, 0x180, 0x370, 0x400, 0x590, 0x900, 0xE00, 0x1100, 0x1C80, 0x2000, 0x2150,
            0x2C00, 0x3000, 0x4E00, 0xA640, 0xA720, 0xAB30, 0xAC00, 0xFB00, 0xFE00, 0x10400, 0x10D50,
            0x16EA0, 0x1D400, 0x1E900, 0x1F100, 0x1F600, 0x2EBF0, 0x31350])
        return "".join(chr(start + rng.randrange(128)) for _ in range(n))
    if kind == 2:  # ASCII and controls
        return "".join(chr(rng.randrange(128)) for _ in range(n))
    if kind == 3:  # blanks
        return "".join(rng.choice(SPACES) + (rng.choice(WORDS) if rng.random() < .3 else "")
                       for _ in range(n))
    if kind == 4:  # added tokens
        parts = rng.choices(added, k=3) + WORDS + SPACES
        return "".join(rng.choice(parts) for _ in range(n))
    if kind == 5:
        return "".join(rng.choice("aAeE'sStTrRvVlLmMdD\u017f \n1.") for _ in range(n))
    if kind == 6:  # code
        return "\n".join(rng.choice([" ", "\t"]) * rng.randrange(40) +
                         rng.choice(["if (x) {", "}", "return None", "", "# " + rng.choice(WORDS)])
                         for _ in range(min(n, 30)))
    return "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(n))


def fixed_texts():
    yield from ["", " ", "a", "\n"]
    yield from added
    yield from (" " + t + " x" for t in added)
    every = [chr(c) for c in ALL]
    for before, after in (("", ""), ("'", "a "), (" ", "s"), ("'l", ""), ("a", "1")):
        for i in range(0, len(ALL), 1 << 14):
            if before and i > 1 << 17:
                break
            yield "".join(before + c + after for c in every[i:i + (1 << 14)])
    for unit in ("a", "ab", "\u00e9", " ", "\n", "1", "!", "\u2581", "A", "\u65e5", "\U0001f600",
                 "\u0301"):
        yield unit * 100000
    yield "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(100000))


with open(out_file, "w", encoding="utf-8") as out:
    def write(**line):
        out.write(json.dumps(line, ensure_ascii=False) + "\n")

    def write_text(text):
        ids = encode(text)
        write(text=text, ids=ids, decoded=decode(ids))
        return len(text)

    for text in shared_texts():
        write_text(text)
    for text in fixed_texts():
        write_text(text)
    written = 0
    while written < int(characters):
        written += write_text(random_text())
    for _ in range(20000):
        ids = [rng.choice([rng.randrange(vocab), rng.randrange(min(vocab, 400))])
               for _ in range(rng.randrange(1, 12))]
        write(ids=ids, decoded=decode(ids))
