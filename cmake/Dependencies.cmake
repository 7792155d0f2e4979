# Everything here comes from Debian's packages; scripts/setup installs them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
find_package(Boost 1.74 REQUIRED)  # headers of Boost.Multiprecision alone
if(PIVOTAL_FUZZ)
  return()  # data/ and pts/oracles/ need no more, and clang finds no OpenMP
endif()
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(spdlog REQUIRED)
find_package(Eigen3 REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
if(PIVOTAL_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(PIVOTAL_BENCH)
  find_package(benchmark REQUIRED)
endif()

# The Python for parity tests: `make test-parity` makes the virtual environment.
set(PIVOTAL_PYTHON python3 CACHE STRING "Python with torch and transformers, for parity tests")
