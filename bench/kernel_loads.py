"""Prints how many loads of each kernel are on their way together, from its machine code. Needs no GPU.

usage: kernel_loads.py CUOBJDUMP OBJECT [--arch sm_90] [--kernel WORD]
CUOBJDUMP is CUDA's program of that name; OBJECT is a file that nvcc made. A thread goes on after a load until an
instruction waits for it, some 700 cycles where the data is in memory. Loads that are issued before that instruction share
the time. Bits of each instruction name what it waits for. Instructions are read in the order of the file, as if no
branch were taken: that holds within the body of a loop, whose turns are not counted.
Columns: loads of 16 bytes, other loads of global memory; rounds: waits for a load that was issued after the wait before;
the most bytes on their way when a thread waits for a load of 16 bytes, and the fewest.
"""
import argparse
import re
import subprocess
import sys

WIDTHS = {"128": 16, "64": 8, "U8": 1, "S8": 1, "U16": 2, "S16": 2}
NO_BARRIER = 7
INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;\s+/\* 0x([0-9a-f]{16}) \*/")
SECOND_HALF = re.compile(r"\s+/\* 0x([0-9a-f]{16}) \*/")


class Study:
    """Follows the instructions of one kernel."""

    def __init__(self):
        self.pending = {}  # by barrier: the place and the bytes of each load
        self.place, self.last_wait, self.rounds, self.wide, self.narrow, self.on_way = 0, 0, 0, 0, 0, []

    def add(self, text, control):
        self.place += 1
        barrier, waits = control >> 5 & 7, control >> 11 & 63
        on_way = sum(size for loads in self.pending.values() for _, size in loads)
        ended = [load for b in range(6) if waits >> b & 1 for load in self.pending.pop(b, [])]
        if ended and max(place for place, _ in ended) > self.last_wait:
            self.rounds += 1
            self.last_wait = self.place
            if any(size == 16 for _, size in ended):
                self.on_way.append(on_way)
        name = re.sub(r"^@!?U?P\d+ ", "", text).split(" ")[0]
        if not name.startswith("LDG.") or barrier == NO_BARRIER:
            return
        size = next((size for word, size in WIDTHS.items() if word in name.split(".")), 4)
        self.wide += size == 16
        self.narrow += size < 16
        self.pending.setdefault(barrier, []).append((self.place, size))

    def row(self):
        on_way = self.on_way or [""]
        return self.wide, self.narrow, self.rounds, max(on_way), min(on_way)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("cuobjdump")
    parser.add_argument("object")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--kernel", default="")
    args = parser.parse_args()
    sass = subprocess.run([args.cuobjdump, "--dump-sass", args.object], check=True, capture_output=True, text=True).stdout
    arch, study, text, kernels = "", None, "", {}
    for line in sass.splitlines():
        if found := re.match(r"arch = (\S+)", line.strip()):
            arch, study = found[1], None
        elif found := re.match(r"\s+Function : (\S+)", line):
            study = kernels.setdefault(found[1], Study()) if arch == args.arch else None
        elif found := INSTRUCTION.match(line):
            text = found[1]
        elif study and text and (found := SECOND_HALF.match(line)):
            study.add(text, int(found[1], 16) >> 41)
            text = ""
    names = subprocess.run(["c++filt"], input="\n".join(kernels), check=True, capture_output=True, text=True).stdout
    print("16 B  other  rounds  most  fewest  kernel")
    for name, study in sorted(zip(names.splitlines(), kernels.values())):
        name = re.sub(r"^void |pivotal::kernels::(cuda::)?|\(anonymous namespace\)::|\([A-Z][^<]*$", "", name)
        if args.kernel in name:
            print("{:4}  {:5}  {:6}  {:>4}  {:>6}  {}".format(*study.row(), name))


if __name__ == "__main__":
    sys.exit(main())
