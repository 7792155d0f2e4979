"""usage: kernel_loads_test.py PROJECT"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop())
SCRIPT = ROOT / "bench/kernel_loads.py"
NONE = 7


def instruction(text, barrier=NONE, waits=0):
    """Returns an instruction as cuobjdump prints it: it sets `barrier`, and waits for those whose bits are in `waits`."""
    control = barrier << 5 | NONE << 8 | waits << 11
    return (f"        /*0010*/                   {text} ;    /* 0x000000000a047981 */\n"
            f"                                                /* 0x{control << 41:016x} */\n")


def load(size, barrier):
    return instruction(f"@P0 LDG.E{size} R8, desc[UR6][R2.64]", barrier)


def rows_of(*instructions, arch="sm_90"):
    """Returns the numbers that the program prints of a kernel."""
    sass = f"arch = {arch}\n\t\tFunction : _Z6KernelILi3EEvv\n" + "".join(instructions)
    with tempfile.TemporaryDirectory() as name:
        cuobjdump = pathlib.Path(name) / "cuobjdump"
        cuobjdump.write_text(f"#!/bin/sh\ncat <<'E'\n{sass}E\n")
        os.chmod(cuobjdump, 0o755)
        out = subprocess.run([sys.executable, SCRIPT, cuobjdump, "kernels.o"], check=True, capture_output=True, text=True)
    return [line.split() for line in out.stdout.splitlines()[1:]]


class KernelLoads(unittest.TestCase):
    def test_loads_before_a_wait_share_it(self):
        rows = rows_of(load(".128", 0), load(".128", 1), instruction("FADD R0, R8, R9", waits=0b01),
                       instruction("FADD R0, R8, R9", waits=0b10), load(".U16", 0), instruction("FADD R0, R8, R9", waits=1))
        self.assertEqual(rows, [["2", "1", "2", "32", "32", "Kernel<3>()"]])

    def test_each_use_before_the_next_load_is_a_wait(self):
        rows = rows_of(*[part for _ in range(3) for part in (load(".128", 0), instruction("PRMT R0, R8, R9", waits=1))])
        self.assertEqual(rows, [["3", "0", "3", "16", "16", "Kernel<3>()"]])

    def test_other_architectures_are_left_out(self):
        self.assertEqual(rows_of(load("", 0), arch="sm_80"), [])


unittest.main()
