# What the libraries on LibTorch need beside it. Part of an install too.
pivotal_need(tomlplusplus)
pivotal_need(spdlog)
pivotal_need_module(YAML_CPP yaml-cpp)
pivotal_need(OpenMP COMPONENTS CXX)
set(MPI_CXX_SKIP_MPICXX ON)  # MPI's functions in C; those in C++ are gone from the standard
if(PIVOTAL_MPI STREQUAL "ON")
  pivotal_need(MPI COMPONENTS CXX)
elseif(PIVOTAL_MPI STREQUAL "AUTO")
  find_package(MPI COMPONENTS CXX)
endif()
if(NOT Pivotal_FIND_QUIETLY)
  message(STATUS "MPI: ${MPI_CXX_FOUND} (PIVOTAL_MPI=${PIVOTAL_MPI})")
endif()
