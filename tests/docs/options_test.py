#!/usr/bin/env python3
"""Every command of the documentation is one that `pivotal` has, with options that it has.

usage: options_test.py SOURCE_FOLDER

Looks at the blocks ```sh of all Markdown pages, at the commands of `pivotal` and `$P`. What a command has is read from
docs/commands.md, which another test compares with the program.
"""
import pathlib
import re
import subprocess
import sys

BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PROGRAM = r"(?:^|[|;&(]|\s)(?:\S*/)?(?:pivotal|\$P)"
COMMAND = re.compile(PROGRAM + r" ([a-z][a-z-]*)(?![\w/.-])((?: [^|;&)\n]*)?)", re.MULTILINE)
OPTION = re.compile(r"(?<=\s)(--[a-z][a-z0-9-]*)")


def commands_of(page):
    """The options of each command: {"search": {"--model", ...}, "bench rollouts": ...}."""
    commands = {}
    for section in re.split(r"^#+ (?=pivotal )", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        name = section.splitlines()[0].removeprefix("pivotal ")
        commands[name] = set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z0-9-]*)", section, re.MULTILINE))
    return commands


def faults_of(name, text, commands):
    for block in BLOCK.finditer(text):
        code = re.sub(r"(?<!\S)#.*", "", re.sub(r" \\\n *", " ", block[1]))
        code = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "QUOTED", code)
        for match in COMMAND.finditer(code):
            command = match[1]
            first = match[2].split()[:1]
            if first and f"{command} {first[0]}" in commands:
                command = f"{command} {first[0]}"
            if command not in commands:
                yield f"{name}: pivotal {command} is no command: {match[0].strip()}"
                continue
            for option in OPTION.findall(match[2]):
                if option not in commands[command]:
                    yield f"{name}: pivotal {command} has no {option}: {match[0].strip()}"


def main():
    source = pathlib.Path(sys.argv[1])
    commands = commands_of(source / "docs/commands.md")
    listed = subprocess.run(["git", "-C", source, "ls-files", "*.md"], capture_output=True, text=True, check=False)
    pages = [source / line for line in listed.stdout.splitlines()] or sorted(source.glob("docs/*.md"))
    faults, seen = [], 0
    for page in pages:
        text = page.read_text("utf-8")
        seen += len(BLOCK.findall(text))
        faults += faults_of(page.relative_to(source), text, commands)
    planted = "```sh\npivotal search --problems p.jsonl \\\n  --no-such-option\npivotal serch --help\n```\n"
    if len(list(faults_of("planted", planted, commands))) != 2:
        faults.append("options_test.py does not notice a planted option and a planted command")
    print("\n".join(faults) or f"{seen} blocks of {len(pages)} pages have commands and options that there are")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
