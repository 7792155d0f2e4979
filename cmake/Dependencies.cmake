# Everything here comes from Debian's packages; scripts/setup installs them.
set(pivotal_how REQUIRED)
include(Need)
include(SearchDependencies)
# Headers alone, which an install does not need.
pivotal_need(nlohmann_json)
pivotal_need(Boost 1.74)  # Boost.Multiprecision, Boost.CRC, Boost.Beast
pivotal_need(Eigen3)
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
