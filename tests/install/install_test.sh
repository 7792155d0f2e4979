#!/bin/sh
# An install works without the tree that it came from: the program finds the tiny model, and the example outside the
# tree builds against the libraries and finds its pivotal tokens.
#   install_test.sh BUILD_FOLDER SOURCE_FOLDER
set -eu
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/pivotal" > "$work/log" || { cat "$work/log"; exit 1; }
cd "$work"
pivotal/bin/pivotal --version
pivotal/bin/pivotal eval --model pivotal/share/pivotal/tiny/model --problems pivotal/share/pivotal/tiny/problems/heldout.jsonl \
  --limit 2 --samples 1 --max-new-tokens 64 > eval 2>&1 || { cat eval; exit 1; }
pivotal/bin/pivotal demo --help | grep -q "$work/pivotal/share/pivotal/tiny" || { echo "the demo's model is elsewhere"; exit 1; }
cp -r "$source/examples/own_policy" example
cmake -S example -B example/build -DCMAKE_PREFIX_PATH="$work/pivotal" -DCMAKE_BUILD_TYPE=Release > log 2>&1 || { cat log; exit 1; }
cmake --build example/build >> log 2>&1 || { cat log; exit 1; }
example/build/own_policy > found
cat found
grep -Eq '^token 3 at [0-9]+: p\(success\) 0\.[45][0-9] -> 0\.(8|9)' found  # takes care: 0.5 to 0.9
