"""Turns the comments of a header into Doxygen's: python doxygen_filter.py FILE

The first line's "Apache-2.0. What this file is." becomes the file's brief text; // before a declaration becomes ///, // behind
one ///<. Markup characters in them stand for themselves. Markdown goes through as it is.
"""
import re
import sys

path = sys.argv[1]
lines = open(path, encoding="utf-8").read().splitlines()
if path.endswith(".h"):
    for i, line in enumerate(lines):
        match = re.match(r'^(.*?)(?<![:"/])//(?!/)(.*)$', line)
        if not match:
            continue
        code, text = match.groups()
        text = re.sub(r"([<>@\\#&%])", r"\\\1", text.replace("Apache-2.0.", "").replace("`", "'"))
        if i == 0:
            lines[i] = "/// \\file\n/// \\brief" + text
        elif code.strip():
            lines[i] = f"{code}///<{text}"
            # What goes on under it, in its column, belongs to it.
        else:
            previous = re.match(r"^.*\S.*///<", lines[i - 1]) or re.match(r"^\s+///<", lines[i - 1])
            mark = "///<" if previous and len(code) > 8 else "///"
            lines[i] = f"{code}{mark}{text}"
print("\n".join(lines))
