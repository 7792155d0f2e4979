#!/usr/bin/env python3
"""Runs every command of docs/tutorial.md in a new home folder, and compares what they print with what the page shows.
What docs/numbers.md quotes of it is compared, too.

usage: tutorial_test.py SOURCE_FOLDER PIVOTAL [--home FOLDER] [--page FILE] [--print]

A block ```sh holds commands; one shell runs all of them, in order, and stops at the first that fails. A block ```text
behind it is what they print to standard output; without one they must print nothing. There a line "..." stands for any
lines, and times, speeds and sizes may differ. "<!-- numbers within 5% -->" before such a block allows its numbers to
differ by that: LibTorch rounds by CPU, so a trained model differs a little from CPU to CPU. "<!-- not run -->" before
commands leaves them out. --home makes that folder and keeps it. --print prints what each block printed, to write the
page anew.
"""
import argparse
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# What depends on the machine and its load.
MEASURED = re.compile(r"(?<=^time ).*|\d[\d.,:]*(?= s\b|/s\b| tokens/s)|\d[\d.]*(?= GiB| MiB; open)")
NUMBER = re.compile(r"\d[\d,]*\.?\d*")


@dataclasses.dataclass
class Step:
    commands: str
    line: int
    shown: str = ""
    tolerance: float = 0


def steps_of(page):
    steps = []
    for match in BLOCK.finditer(page):
        kind, mark, text = match["kind"], match["mark"] or "", match["text"]
        if kind == "sh" and mark != "not run":
            steps.append(Step(text, page.count("\n", 0, match.start("text")) + 1))
        elif kind == "text":
            steps[-1].shown = text
            within = re.fullmatch(r"numbers within (\d+)%", mark)
            steps[-1].tolerance = int(within[1]) / 100 if within else 0
    return steps


def run(steps, source, pivotal, home):
    """Runs the steps. Returns what each printed, and the error output of the first that failed, or None."""
    script = ["set -eu"]
    for i, step in enumerate(steps):
        script.append(f"{{\n{step.commands}\n}} > '{home}/.out-{i}' 2> '{home}/.err-{i}'\ntouch '{home}/.done-{i}'")
    environment = {
        "HOME": str(home),
        "PATH": f"{pathlib.Path(pivotal).resolve().parent}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "",
    }
    handed = ("ASAN_", "UBSAN_", "LD_", "PIVOTAL_ISA")
    kept = {name: value for name, value in os.environ.items() if name.startswith(handed)}
    subprocess.run(["bash"], input="\n".join(script), text=True, cwd=source, env=kept | environment, check=False)
    printed = []
    for i in range(len(steps)):
        if not (home / f".done-{i}").exists():
            return printed, (home / f".err-{i}").read_text("utf-8")
        printed.append((home / f".out-{i}").read_text("utf-8"))
    return printed, None


def same_line(shown, line, tolerance):
    shown, line = (MEASURED.sub("#", " ".join(text.split())) for text in (shown, line))
    if not tolerance:
        return shown == line
    if NUMBER.sub("#", shown) != NUMBER.sub("#", line):
        return False
    pairs = zip(*([float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (shown, line)))
    return all(abs(a - b) <= tolerance * max(a, b) for a, b in pairs)


def same(shown, lines, tolerance):
    """Whether `lines` are what the lines `shown` say, where "..." stands for any lines."""
    if not shown:
        return not lines
    if shown[0].strip() == "...":
        return any(same(shown[1:], lines[i:], tolerance) for i in range(len(lines) + 1))
    return bool(lines) and same_line(shown[0], lines[0], tolerance) and same(shown[1:], lines[1:], tolerance)


def misquoted(page, printed):
    """The lines in blocks ```text of another page that no step printed."""
    known = {MEASURED.sub("#", " ".join(line.split())) for text in printed for line in text.splitlines()}
    for match in BLOCK.finditer(page):
        if match["kind"] == "text":
            yield from (line for line in match["text"].splitlines()
                        if line.strip() and MEASURED.sub("#", " ".join(line.split())) not in known)


def unnoticed(step, lines):
    """The digits of what a step shows whose change the comparison would not notice, though it should."""
    shown = step.shown.splitlines()
    for i, text in enumerate(shown):
        still = {k for match in MEASURED.finditer(" ".join(text.split())) for k in range(*match.span())}
        text = " ".join(text.split())
        for k, character in enumerate(text):
            if character.isdigit() and k not in still:
                planted = text[:k] + str((int(character) + 1) % 10) + text[k + 1 :]
                if same([*shown[:i], planted, *shown[i + 1 :]], lines, 0):
                    yield planted


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("pivotal")
    parser.add_argument("--home", type=pathlib.Path)
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--print", action="store_true")
    arguments = parser.parse_args()
    path = arguments.page or arguments.source / "docs/tutorial.md"
    steps = steps_of(path.read_text("utf-8"))
    if len(steps) < 10:
        sys.exit(f"{path}: only {len(steps)} blocks of commands were found")

    with tempfile.TemporaryDirectory() as folder:
        home = (arguments.home or pathlib.Path(folder)).resolve()
        home.mkdir(exist_ok=home == pathlib.Path(folder))
        printed, error = run(steps, arguments.source, arguments.pivotal, home)
    faults = []
    for step, text in zip(steps, printed):
        lines = text.splitlines()
        if arguments.print:
            print(f"{path}:{step.line}\n{text}")
        if not same(step.shown.splitlines(), lines, step.tolerance):
            faults.append(f"{path}:{step.line}: the page shows\n{step.shown}\nbut these commands printed\n{text}")
        elif not step.tolerance:
            for line in unnoticed(step, lines):
                faults.append(f"{path}:{step.line}: the test does not notice the planted line: {line}")
    if error is not None:
        failed = steps[len(printed)]
        faults.append(f"{path}:{failed.line}: these commands failed:\n{failed.commands}\n{error}")
    else:
        quoting = arguments.source / "docs/numbers.md"
        for line in misquoted(quoting.read_text("utf-8"), printed):
            faults.append(f"{quoting}: no command of the tutorial printed: {line}")
    print("\n".join(faults) or f"{len(steps)} blocks of commands print what the page shows")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
