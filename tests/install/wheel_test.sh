#!/bin/sh
# A wheel installs into a fresh virtual environment and works there, with LibTorch beside it, with LibTorch elsewhere, and says
# what is missing without. Fetches nothing: torch is that of the build. `make wheel` runs it.
#   wheel_test.sh WHEEL TORCH_FOLDER
set -eu
wheel=$(realpath "$1") torch=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "wheel_test: $1"; [ ! -f out ] || cat out; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-index --no-deps "$wheel"
packages=$(venv/bin/python -c 'import pivotal_pts, os; print(os.path.dirname(os.path.dirname(pivotal_pts.__file__)))')
# Runs the program as somebody who has nothing else.
pivotal() { env -i PATH=/usr/bin:/bin HOME="$work" OMP_NUM_THREADS=1 venv/bin/pivotal "$@"; }

pivotal --version > out 2>&1 && fail "it runs without torch"
grep -q 'has no torch: .*pip install torch==' out || fail "without torch it does not say what to do"

dirname "$torch" > "$packages/elsewhere.pth"
pivotal --version > out 2>&1 || fail "torch elsewhere is not found"
rm "$packages/elsewhere.pth"

ln -s "$torch" "$packages/torch"
[ ! -d "$torch/../nvidia" ] || ln -s "$torch/../nvidia" "$packages/nvidia"
pivotal --version > out 2>&1 || fail "torch beside it is not found"
grep -q 'MPI 0' out || fail "it was built with MPI"
env -i PATH=/usr/bin:/bin venv/bin/python -m pivotal_pts --version > out 2>&1 || fail "python -m pivotal_pts does not run"
program=$packages/pivotal_pts/bin/pivotal
ldd "$program" > out
if grep 'not found' out; then fail "libraries are missing"; fi
if grep -E 'libmpi' out; then fail "it needs MPI"; fi
for library in curl hdf5 tcmalloc spdlog fmt sentencepiece pcre2 crypto zstd seccomp tomlplusplus yaml-cpp; do
  grep -q "=> $packages/.*pivotal_pts.libs/lib$library" out || fail "lib$library does not come with the wheel"
done
tiny=$packages/pivotal_pts/share/pivotal/tiny
pivotal demo --problems 4 --heldout 2 --output demo > out 2>&1 || fail "it shows no demo"
grep -q "^$tiny/model" out || fail "the demo's model is elsewhere"
pivotal search --model "$tiny/model" --problems "$tiny/problems/train.jsonl" --limit 4 --max-new-tokens 64 --output run > out 2>&1 ||
  fail "it does not search"
pivotal pairs run --min-confidence 0 > out 2>&1 || fail "it makes no pairs"
pivotal train --device cpu --model "$tiny/model" --data run/pairs.jsonl --max-steps 2 --output tuned > out 2>&1 || fail "it does not train"
pivotal eval --model tuned --problems "$tiny/problems/heldout.jsonl" --limit 2 --samples 1 --max-new-tokens 64 > out 2>&1 ||
  fail "it does not evaluate"
# Without pyarrow in this environment, the remedy names this environment.
printf PAR1 > rows.parquet
pivotal eval --model tuned --problems rows.parquet > out 2>&1 && fail "it reads what is no Parquet"
grep -q "$work/venv/bin/python.* -m pip install pyarrow==" out || fail "it does not look for pyarrow beside it"
echo "the wheel works"
