#!/bin/sh
# An install works without the tree that it came from: the program finds the tiny model, only public headers are there, and the
# examples build against the static libraries by find_package and run.
#   install_test.sh BUILD_FOLDER SOURCE_FOLDER
set -eu
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
cmake --install "$build" --prefix "$work/pivotal" > "$work/log" || { cat "$work/log"; exit 1; }
cd "$work"
pivotal/bin/pivotal --version
tiny=$work/pivotal/share/pivotal/tiny
pivotal/bin/pivotal eval --model "$tiny/model" --problems "$tiny/problems/heldout.jsonl" \
  --limit 2 --samples 1 --max-new-tokens 64 > eval 2>&1 || { cat eval; exit 1; }
for world in tiny small; do
  pivotal/bin/pivotal demo --world $world --problems 4 --heldout 2 --output demo-$world > said 2>&1 || { cat said; exit 1; }
  grep -q "^$work/pivotal/share/pivotal/$world/model" said || { cat said; echo "the demo's model is elsewhere"; exit 1; }
done
for script in bash-completion/completions/pivotal zsh/vendor-completions/_pivotal fish/vendor_completions.d/pivotal.fish; do
  grep -q anchored "pivotal/share/$script" || { echo "share/$script completes nothing"; exit 1; }
done
(cd "$source/include/pivotal" && ls) > public
(cd pivotal/include && find . -type f | sed 's|^./pivotal/||' | sort) | diff - public || { echo "other headers are installed"; exit 1; }

cp -r "$source/examples" examples
cmake -S examples -B build -DCMAKE_PREFIX_PATH="$work/pivotal" -DCMAKE_BUILD_TYPE=Debug > log 2>&1 || { cat log; exit 1; }
cmake --build build -j 2 >> log 2>&1 || { cat log; exit 1; }
build/own_policy > found
cat found
grep -Eq '^token 3 at [0-9]+: p\(success\) 0\.[45][0-9] -> 0\.(8|9)' found  # takes care: 0.5 to 0.9
build/own_judge "$tiny/model" "$tiny/problems/train.jsonl" pairs.jsonl > judged || { cat judged; exit 1; }
cat judged
grep -Eq '^[1-9][0-9]* pivotal tokens, [1-9][0-9]* pairs$' judged
build/train "$tiny/model" pairs.jsonl trained > steps || { cat steps; exit 1; }
tail -1 steps
pivotal/bin/pivotal eval --model trained --problems "$tiny/problems/heldout.jsonl" --limit 2 --samples 1 --max-new-tokens 64 > eval 2>&1 ||
  { cat eval; exit 1; }
# Without the search's component the config asks for no LibTorch. What is not there is not found, and configuring goes on.
mkdir search && cat > search/CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.25)
project(SearchAlone LANGUAGES CXX)
find_package(Pivotal 0.1 REQUIRED COMPONENTS search)
if(TARGET Pivotal::libtorch OR TARGET Pivotal::pivotal)
  message(FATAL_ERROR "LibTorch was asked for")
endif()
find_package(Pivotal 99 QUIET)
if(Pivotal_FOUND)
  message(FATAL_ERROR "version 99 was found")
endif()
set(CMAKE_DISABLE_FIND_PACKAGE_spdlog ON)
find_package(Pivotal QUIET)
if(Pivotal_FOUND OR NOT Pivotal_NOT_FOUND_MESSAGE MATCHES "missing here: spdlog")
  message(FATAL_ERROR "found without spdlog: \${Pivotal_NOT_FOUND_MESSAGE}")
endif()
find_package(Pivotal REQUIRED COMPONENTS search OPTIONAL_COMPONENTS pivotal)
if(Pivotal_pivotal_FOUND)
  message(FATAL_ERROR "the models were found without spdlog")
endif()
END
cmake -S search -B search/build -DCMAKE_PREFIX_PATH="$work/pivotal" > log 2>&1 || { cat log; exit 1; }
# Several folders of a project may look for it, each as often as they like.
mkdir twice twice/a twice/b
echo 'find_package(Pivotal REQUIRED)' | tee twice/a/CMakeLists.txt > twice/b/CMakeLists.txt
cat > twice/CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.25)
project(Twice LANGUAGES CXX)
add_subdirectory(a)
add_subdirectory(b)
find_package(Pivotal REQUIRED)
find_package(Pivotal REQUIRED COMPONENTS pivotal)
END
cmake -S twice -B twice/build -DCMAKE_PREFIX_PATH="$work/pivotal" > log 2>&1 || { cat log; exit 1; }
