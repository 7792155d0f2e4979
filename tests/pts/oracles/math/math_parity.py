"""Judges the pairs of math_same.txt or math_different.txt with Hugging Face's math-verify.

usage: math_parity.py FILE
Prints a line for each pair: "1" (equal), "0" (different) or "-" (math-verify could not read a side). The exit code is 77
if math-verify is not installed.
"""
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
    except Exception:  # a bug of math-verify is not a verdict
        print("-")
