#!/usr/bin/env python3
"""Turns the comments of a header into Doxygen's.

usage: docs/doxygen_filter.py FILE

The first line, "Apache-2.0. What this file is.", becomes the file's brief text. A comment before a declaration becomes
///, one behind a declaration ///<. Lines of a comment that are indented by three blanks or more keep their layout.
Characters that are markup to Doxygen stand for themselves. In Markdown, links to headers become links to their pages.
"""
import re
import sys


def escaped(text):
    return re.sub(r"([<>@\\&%])", r"\\\1", text).replace("`", "'")


def header(lines):
    """The lines of a header with Doxygen's comments."""
    behind = False  # whether the line before is, or goes on with, a comment behind a declaration
    kept = False  # whether the line before keeps its layout
    for number, line in enumerate(lines):
        match = re.match(r'^(.*?)(?<![:"/])//(?!/)(.*)$', line)
        alone = match and not match[1].strip()
        if kept and not (alone and match[2].startswith("   ")):
            yield "/// </pre>"
            kept = False
        if not match:
            behind = False
            yield line
            continue
        code, text = match.groups()
        if number == 0:
            yield "/// \\file\n/// \\brief " + escaped(text.replace("Apache-2.0.", "").strip())
        elif not alone:
            behind = True
            yield f"{code}///<{escaped(text)}"
        elif behind and len(code) > 8:
            yield f"{code}///<{escaped(text)}"
        elif text.startswith("   "):
            if not kept:
                yield "/// <pre>"
            kept = True
            yield f"{code}///{escaped(text)}"
        else:
            behind = False
            yield f"{code}///{escaped(text)}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    if sys.argv[1].endswith(".h"):
        text = "\n".join(header(text.splitlines()))
    else:
        text = re.sub(r"\[`?([^\]`]*)`?\]\(\.\./include/(pivotal/\w+\.h)\)", r'\\ref \2 "\1"', text)
        text = re.sub(r"\]\((?!http)([^)]*)\.md", r"](../docs/\1.html", text).replace("../docs/../", "../")
    print(text)


if __name__ == "__main__":
    main()
