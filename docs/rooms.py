#!/usr/bin/env python3
"""Draws the rooms and the arrows between them, as the CMake files declare them.

usage: docs/rooms.py build/release/rooms.txt docs/rooms.svg            draw (needs graphviz's dot)
       docs/rooms.py --check build/release/rooms.txt docs/rooms.svg    say whether the drawing is of these rooms

Configuring a build writes rooms.txt, "room: rooms that it uses" a line. Arrows that follow from other arrows are left out.
"""
import re
import subprocess
import sys

FOLDERS = ["kernels", "data", "model", "pts", "dpo", "experiments", "cli"]
STYLE = """<style>
  .card { fill: #ffffff; stroke: #d0d7de }
  .node > path, .node > polygon { fill: #eef2f6; stroke: #8c959f }
  .torch > path, .torch > polygon { fill: #ffe8d9; stroke: #d9480f }
  .cluster > path, .cluster > polygon { fill: none; stroke: #d0d7de; stroke-dasharray: 4 3 }
  .edge path { stroke: #57606a } .edge polygon { fill: #57606a; stroke: #57606a }
  text { fill: #1f2328; font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161b22; stroke: #30363d }
    .node > path, .node > polygon { fill: #21262d; stroke: #6e7681 }
    .torch > path, .torch > polygon { fill: #4a2a17; stroke: #ff9b73 }
    .cluster > path, .cluster > polygon { stroke: #484f58 }
    .edge path { stroke: #8b949e } .edge polygon { fill: #8b949e; stroke: #8b949e }
    text { fill: #e6edf3 }
  }
</style>"""


def read(path):
    """A dictionary: room -> the rooms that it names."""
    with open(path, encoding="utf-8") as file:
        pairs = (line.split(":") for line in file if ":" in line)
        rooms = {room.strip(): uses.split() for room, uses in pairs}
    # The program is no room; it may use all of them but the generator of the tiny world, which is a program too.
    rooms.setdefault("cli", [room for room in rooms if room != "experiments/tiny"])
    return rooms


def reached(rooms, start):
    """All rooms that `start` uses, by way of others too."""
    seen, ahead = set(), list(rooms[start])
    while ahead:
        room = ahead.pop()
        if room not in seen:
            seen.add(room)
            ahead += rooms[room]
    return seen


def graph(rooms):
    """The drawing in dot's language: a box a folder, without arrows that follow from others."""
    uses = {room: reached(rooms, room) for room in rooms}
    lines = ['digraph { rankdir=TB; nodesep=0.16; ranksep=0.42; node [shape=box style="rounded,filled" fontsize=13 '
             'margin="0.1,0.05" height=0.3 fontname="DejaVu Sans"]; edge [arrowsize=0.6 penwidth=1];']
    for folder in FOLDERS:
        inside = [room for room in rooms if room.split("/")[0] == folder]
        if len(inside) > 1:
            lines.append(f'subgraph "cluster_{folder}" {{ style=rounded; margin=8; label=""')
        for room in inside:
            kind = "torch" if room == "model" or "model" in uses[room] else "plain"
            lines.append(f'"{room}" [class="{kind}"];')
        lines.append("}" if len(inside) > 1 else "")
    for room in rooms:
        for used in rooms[room]:
            if not any(used in uses[other] for other in rooms[room]):
                lines.append(f'"{room}" -> "{used}";')
    return "\n".join([*lines, "}"])


def stamp(rooms):
    """What is drawn, as a comment of the drawing."""
    return "<!-- rooms\n" + "".join(f"{room}: {' '.join(sorted(uses))}\n" for room, uses in sorted(rooms.items())) + "-->"


def drawing(rooms):
    svg = subprocess.run(["dot", "-Tsvg"], input=graph(rooms), capture_output=True, text=True, check=True).stdout
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<!--.*?-->\n|<title>.*?</title>\n", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (fill|stroke|font-family|stroke-dasharray)="[^"]*"', "", svg)
    svg = re.sub(r"<polygon points", '<polygon class="card" points', svg, count=1)
    svg = svg.replace('<path d="M', '<path fill="none" d="M')
    head, rest = svg.split(">", 1)
    return f"{head}>\n{stamp(rooms)}\n{STYLE}{rest}"


def main():
    words = [word for word in sys.argv[1:] if word != "--check"]
    if len(words) != 2:
        sys.exit(__doc__)
    rooms = read(words[0])
    if "--check" not in sys.argv:
        with open(words[1], "w", encoding="utf-8") as file:
            file.write(drawing(rooms))
        return
    with open(words[1], encoding="utf-8") as file:
        if stamp(rooms) not in file.read():
            sys.exit(f"{words[1]} shows other rooms than {words[0]}; draw it again: docs/rooms.py {' '.join(words)}")


if __name__ == "__main__":
    main()
