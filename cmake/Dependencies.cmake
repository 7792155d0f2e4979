# Everything here comes from Debian's packages; scripts/setup installs them.
include(SearchDependencies)
if(PIVOTAL_FUZZ OR PIVOTAL_SEARCH_ONLY)
  return()  # what is without LibTorch needs no more, and clang finds no OpenMP
endif()
include(TorchDependencies)
find_package(CLI11 REQUIRED)
if(PIVOTAL_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(PIVOTAL_BENCH)
  find_package(benchmark REQUIRED)
endif()

# The Python for parity tests: `make test-parity` makes the virtual environment.
set(PIVOTAL_PYTHON python3 CACHE STRING "Python with torch and transformers, for parity tests")
