# What the libraries on LibTorch need beside it. Part of an install too.
find_package(tomlplusplus REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
set(MPI_CXX_SKIP_MPICXX ON)  # MPI's functions in C; those in C++ are gone from the standard
if(PIVOTAL_MPI STREQUAL "ON")
  find_package(MPI REQUIRED COMPONENTS CXX)
elseif(PIVOTAL_MPI STREQUAL "AUTO")
  find_package(MPI COMPONENTS CXX)
endif()
message(STATUS "MPI: ${MPI_CXX_FOUND} (PIVOTAL_MPI=${PIVOTAL_MPI})")
