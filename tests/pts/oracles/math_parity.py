# Apache-2.0. What math-verify (Hugging Face) says of the pairs in math_same.txt and math_different.txt: a line
# "1", "0" or "-" (it could not read a side) for each pair of the file named by the first argument.
import logging
import sys

try:
    from math_verify import parse, verify
except ImportError:
    sys.exit(77)
logging.disable(logging.CRITICAL)

for line in open(sys.argv[1], encoding="utf-8"):
    if line.startswith("#") or " ~ " not in line:
        continue
    reference, response = line.rstrip("\n").split(" ~ ", 1)
    try:
        sides = [parse(f"${side}$") for side in (reference, response)]
        print(int(verify(*sides)) if all(sides) else "-")
    except Exception:  # its own bugs are no verdict
        print("-")
