"""Pivotal, a program for pivotal token search and DPO. `pivotal` and `python -m pivotal_pts` start it.

This package holds the program; LibTorch is that of the package torch. The program finds torch beside this package by its
own search path, and elsewhere by LD_LIBRARY_PATH, which is set here.
"""
import importlib.util
import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_LIBRARY = os.path.join("lib", "libtorch_cpu.so")


def _torch_elsewhere():
    """The folders of a torch that this Python has elsewhere; ends the program where there is none."""
    spec = importlib.util.find_spec("torch")
    for folder in spec.submodule_search_locations or [] if spec else []:
        if os.path.exists(os.path.join(folder, _LIBRARY)):
            return [os.path.join(folder, "lib")]
    sys.exit(f"pivotal: {sys.executable} has no torch: {sys.executable} -m pip install torch==@TORCH_VERSION@")


def main():
    program = os.path.join(_FOLDER, "bin", "pivotal")
    if not os.path.exists(os.path.join(_FOLDER, os.pardir, "torch", _LIBRARY)):
        paths = _torch_elsewhere() + [os.environ.get("LD_LIBRARY_PATH", "")]
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
    # This Python reads and writes Parquet, if the extra [parquet] is installed.
    os.environ.setdefault("PIVOTAL_PYTHON", sys.executable)
    os.execv(program, ["pivotal", *sys.argv[1:]])


if __name__ == "__main__":
    main()
