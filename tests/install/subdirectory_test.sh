#!/bin/sh
# The sources as part of another project, by add_subdirectory: shared libraries without LibTorch. They show the public interface and
# nothing else; the example runs in that build, and on an install of it.
# A parent's variable named like one of Pivotal's does no harm, nor does what it hides. Static libraries are position independent
# where the parent asks for it.
#   subdirectory_test.sh SOURCE_FOLDER
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
build_and_install() {
  cmake -S "$source/examples" -B build -G Ninja -DPIVOTAL_SOURCE="$source" -DPIVOTAL_SEARCH_ONLY=ON -DPIVOTAL_INSTALL=ON \
    -DBUILD_SHARED_LIBS=ON -Dlibraries=of_the_parent -DCMAKE_CXX_VISIBILITY_PRESET=hidden \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1 \
    -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=4 &&
    cmake --build build -j 2 && cmake --install build --prefix "$work/pivotal" &&
    cmake -S "$source/examples" -B installed -DCMAKE_PREFIX_PATH="$work/pivotal" && cmake --build installed
}
build_and_install > log 2>&1 || { tail -50 log; exit 1; }
library=$(ls pivotal/lib/libpivotal_search.so pivotal/lib/*/libpivotal_search.so 2> /dev/null | head -1)
[ -n "$library" ] || { echo "no libpivotal_search.so"; exit 1; }
nm -DC --defined-only "$library" | sed 's/^[0-9a-f]* . //' > symbols
grep -q 'pivotal::Search(' symbols || { echo "$library shows no Search()"; exit 1; }
if grep -vE '(^| )pivotal::[A-Z]' symbols; then echo "$library shows these too"; exit 1; fi
ldd installed/own_policy | grep -q "$work/pivotal.*libpivotal_search.so" || { ldd installed/own_policy; exit 1; }
if ldd installed/own_policy | grep libtorch; then echo "the example needs LibTorch"; exit 1; fi
for program in build/own_policy installed/own_policy; do
  $program > found
  grep -Eq '^token 3 at [0-9]+: p\(success\) 0\.[45][0-9] -> 0\.(8|9)' found || { cat found; exit 1; }
done
cat found
cmake -S "$source/examples" -B independent -G Ninja -DPIVOTAL_SOURCE="$source" -DPIVOTAL_SEARCH_ONLY=ON \
  -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON > log 2>&1 || { cat log; exit 1; }
if grep '"command".*-c .*/pts/search.cc' independent/compile_commands.json | grep -v -e '-fPIC'; then echo "no -fPIC"; exit 1; fi
