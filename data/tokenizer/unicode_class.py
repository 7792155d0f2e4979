"""Writes data/tokenizer/unicode_class.inc, the classes of all characters as the tokenizers package
sees them.

usage: python data/tokenizer/unicode_class.py > data/tokenizer/unicode_class.inc
The script needs the package tokenizers.

The file holds "first, class" for each run of characters of one class. Upper and lower case that
alternate (as in U+0100 to U+0137) make runs of one character.
"""
from tokenizers import AddedToken, Regex, Tokenizer, __version__, models
from tokenizers.pre_tokenizers import Split

CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def matching(pattern):
    """Returns the characters that a regular expression of tokenizers (Oniguruma) matches."""
    split = Split(Regex(pattern), "removed", invert=True)
    found = set()
    for i in range(0, len(CHARACTERS), 4096):
        text = "".join(map(chr, CHARACTERS[i:i + 4096]))
        for word, _ in split.pre_tokenize_str(text):
            found.update(map(ord, word))
    return found


def words():
    """Returns the characters beside which an added token with single_word does not match."""
    tokenizer = Tokenizer(models.BPE(vocab={"#": 0}, merges=[]))
    tokenizer.add_tokens([AddedToken("Q", single_word=True, normalized=False)])
    tested = [c for c in CHARACTERS if chr(c) not in "Q#"]
    encoding = tokenizer.encode("".join(chr(c) + "Q#" for c in tested))
    token = tokenizer.token_to_id("Q")
    found = {offset[0] for i, offset in zip(encoding.ids, encoding.offsets) if i == token}
    return {c for i, c in enumerate(tested) if 3 * i + 1 not in found} | {ord("Q")}


word = words()
classes = [0] * 0x110000
for pattern, inside, outside in [(r"\p{Lu}|\p{Lt}", 1, 1), (r"\p{Ll}", 2, 2),
                                 (r"\p{Lm}|\p{Lo}", 3, 3), (r"\p{M}", 4, 4), (r"\p{N}", 5, 6),
                                 (r"\s", 7, 7)]:
    for c in matching(pattern):
        assert classes[c] == 0 and (inside != outside or (c in word) == (inside < 5)), hex(c)
        classes[c] = inside if c in word else outside
for c in word:
    classes[c] = classes[c] or 8
print("// Made by data/tokenizer/unicode_class.py from "
      f"tokenizers {__version__} (Unicode 16): first, class.")
line = ""
for c in range(0x110000):
    if c > 0 and classes[c] == classes[c - 1]:
        continue
    item = f"0x{c:X}, {classes[c]}, "
    if len(line) + len(item) > 101:
        print(line.rstrip())
        line = ""
    line += item
print(line.rstrip())
