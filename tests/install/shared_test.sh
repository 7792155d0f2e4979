#!/bin/sh
# Shared libraries without LibTorch: they build, show namespace pivotal and nothing else, and the example runs on an install of them.
#   shared_test.sh SOURCE_FOLDER
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{
  cmake -S "$source" -B build -G Ninja -DPIVOTAL_SEARCH_ONLY=ON -DBUILD_SHARED_LIBS=ON -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O1
  cmake --build build -j 2
  cmake --install build --prefix "$work/pivotal"
  cp -r "$source/examples/own_policy" example
  cmake -S example -B example/build -DCMAKE_PREFIX_PATH="$work/pivotal" -DCMAKE_BUILD_TYPE=Release
  cmake --build example/build
} > log 2>&1 || { tail -50 log; exit 1; }
libraries=$(ls pivotal/lib*/*.so pivotal/lib/*/*.so 2> /dev/null | sort -u)
echo "$libraries" | grep -q libpivotal_pts.so || { echo "no libpivotal_pts.so"; exit 1; }
for library in $libraries; do
  nm -DC --defined-only "$library" | sed 's/^[0-9a-f]* . //' > symbols
  grep -q pivotal:: symbols || { echo "$library shows nothing of Pivotal"; exit 1; }
  if grep -v pivotal:: symbols; then echo "$library shows these too"; exit 1; fi
done
ldd example/build/own_policy | grep -q "$work/pivotal.*libpivotal_pts.so" || { ldd example/build/own_policy; exit 1; }
if ldd example/build/own_policy | grep libtorch; then echo "the example needs LibTorch"; exit 1; fi
example/build/own_policy > found
grep -Eq '^token 3 at [0-9]+: p\(success\) 0\.[45][0-9] -> 0\.(8|9)' found || { cat found; exit 1; }
