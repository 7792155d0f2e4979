"""Checks that each file includes headers of the rooms that its room uses, and of no others, and that no call of
std::filesystem can throw: what the user sees is an Error, not a filesystem_error.

usage: rooms_test.py SOURCE_FOLDER ROOMS_FILE   (ROOMS_FILE: a line a room, "room: rooms that it uses", written by CMake)
"""
import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])
uses = {}
for line in open(sys.argv[2], encoding="utf-8"):
    room, _, others = line.partition(":")
    uses[room] = set(others.split())


def room_of(path):
    """The innermost room whose folder holds `path`."""
    for folder in pathlib.PurePosixPath(path).parents:
        if str(folder) in uses:
            return str(folder)
    return None


# Calls of std::filesystem that throw unless their last argument is an error_code, and those of directory_entry, of which each
# reads the disk. A loop "for (entry : directory_iterator(...))" throws when it goes on, whatever the iterator was given.
THROWS = re.compile(
    r"(?:fs|filesystem)::(absolute|canonical|copy|copy_file|create_director(?:y|ies)|current_path|"
    r"(?:recursive_)?directory_iterator(?: \w+)?|equivalent|exists|file_size|hard_link_count|is_(?:directory|empty|regular_file|"
    r"symlink)|last_write_time|permissions|proximate|read_symlink|relative|remove|remove_all|rename|resize_file|space|status|"
    r"symlink_status|temp_directory_path|weakly_canonical)\((?!\)|status\))"
    r"|: *(?:fs|filesystem)::(?:recursive_)?directory_iterator|\.(?:is_regular_file|is_directory|exists|file_size)\(\)")


def call_at(text, match):
    """The call that `match` begins, to its closing bracket."""
    depth, end = 0, match.end() - 1
    while True:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
        if depth == 0:
            return text[match.start() : end]


faults = []
for room, others in uses.items():  # an arrow may not lead back
    reached, stack = set(), list(others)
    while stack:
        other = stack.pop()
        if other not in uses:
            faults.append(f"{room} uses {other}, which is no room")
        elif other not in reached:
            reached.add(other)
            stack.extend(uses[other])
    if room in reached:
        faults.append(f"{room} uses itself by way of other rooms")

files = [p for top in {r.split("/")[0] for r in uses} for p in sorted((source / top).rglob("*")) if p.suffix in (".h", ".cc", ".cu")]
for path in files:
    name = path.relative_to(source).as_posix()
    room = room_of(name)
    if room is None:
        faults.append(f"{name} is in no room")
        continue
    text = path.read_text(encoding="utf-8")
    for match in THROWS.finditer(text):
        if not match[1] or not re.search(r"[(,]\s*(error|ignored|gone)\)$", call_at(text, match)):
            number = text.count("\n", 0, match.start()) + 1
            faults.append(f"{name}:{number}: {match[0]} can throw filesystem_error; give it an error_code, or call data/base/folders.h")
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#include [<"]([^>"]+)[>"]', line)
        if not match:
            continue
        other = room_of(match[1])
        if other and other != room and other not in uses[room]:
            faults.append(f"{name}:{number}: {room} does not use {other} ({match[1]})")

public = source / "include/pivotal"
for path in sorted(public.glob("*.h")):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r'#include (["<])([^">]+)', line)
        if match and not match[2].startswith("pivotal/") and (match[1] == '"' or "/" in match[2]):
            faults.append(f"include/pivotal/{path.name}:{number}: a public header includes the standard library and public headers alone")

print("\n".join(faults) or f"{len(files)} files in {len(uses)} rooms follow the arrows and throw no filesystem_error")
sys.exit(bool(faults))
