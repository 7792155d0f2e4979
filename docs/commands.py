#!/usr/bin/env python3
"""Writes the help of every command as one page.

usage: docs/commands.py PIVOTAL > docs/commands.md
"""
import re
import subprocess
import sys

HEAD = """# Commands

This page holds the help text of every command, as `pivotal COMMAND --help-all` prints it; `--help` shows
the usual options alone. The guides say when to use which: [searching](search.md), [judges](oracles.md),
[pairs and training](training.md), [models](models.md), [recipes](recipes.md). `docs/commands.py build/release/bin/pivotal > docs/commands.md` makes it.
"""


def text(command):
    said = subprocess.run([*command, "--help-all"], capture_output=True, text=True, check=True).stdout.strip()
    return re.sub(r"\s+\[default\s+/\S+\]", "", said)  # defaults that are paths of this build


def subcommands(page):
    if "COMMAND [OPTIONS]" not in page:
        return []
    return re.findall(r"^  ([a-z][a-z-]*)(?: |$)", page.partition("\nOptions:\n")[0], re.MULTILINE)


def sections(program, words, page):
    """Sections of the subcommands that `page`, the help of `words`, names."""
    for name in subcommands(page):
        command = [*words, name]
        own = text([program, *command])
        summary, _, rest = own.partition("\n\n")
        rest = rest.partition("\n\n\n====")[0]  # the commands of a command follow as sections
        yield f"## pivotal {' '.join(command)}\n{summary}\n```\n{rest.strip()}\n```\n"
        yield from sections(program, command, own)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    print("\n".join([HEAD, *sections(program, [], text([program]))]), end="")


if __name__ == "__main__":
    main()
