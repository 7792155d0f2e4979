# Finds LibTorch and defines the target `Pivotal::libtorch`. In this order: PIVOTAL_TORCH_ROOT, CMAKE_PREFIX_PATH, a torch that
# python3 can import; while Pivotal itself is built also torch==${PIVOTAL_TORCH_VERSION} in a virtual environment inside build/.
# Part of an install too.
#
# The libraries are linked by path rather than through find_package(Torch), which fails without a
# CUDA toolkit although the CPU part of the same wheel works.
set(PIVOTAL_TORCH_VERSION 2.11.0)
pivotal_need(Python3 COMPONENTS Interpreter)

function(pivotal_torch_of_python python out)
  execute_process(
    COMMAND ${python} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE rc)
  if(rc EQUAL 0 AND EXISTS ${root}/lib/libtorch_cpu.so)
    set(${out} ${root} PARENT_SCOPE)
  else()
    set(${out} "" PARENT_SCOPE)
  endif()
endfunction()

function(pivotal_install_torch out)
  set(venv ${PROJECT_SOURCE_DIR}/build/venv)
  if(EXISTS ${venv}/bin/python)
    pivotal_torch_of_python(${venv}/bin/python root)
  endif()
  if(NOT root)
    # CUDA's Python packages are 2 GB: fetched only where they can be of use.
    set(packages --no-deps torch==${PIVOTAL_TORCH_VERSION} nvidia-cuda-runtime nvidia-cuda-cupti)
    set(size "550 MB to fetch, 1.3 GB on disk")
    if(PIVOTAL_CUDA STREQUAL "ON" OR (PIVOTAL_CUDA STREQUAL "AUTO" AND EXISTS /proc/driver/nvidia/version))
      set(packages torch==${PIVOTAL_TORCH_VERSION})
      set(size "with CUDA: some 2 GB to fetch, 3.6 GB and more on disk")
    endif()
    list(JOIN packages " " names)
    message(STATUS "LibTorch: installs ${names} into ${venv} (${size})")
    execute_process(COMMAND ${Python3_EXECUTABLE} -m venv ${venv} RESULT_VARIABLE rc)
    if(rc EQUAL 0)
      execute_process(COMMAND ${venv}/bin/python -m pip install --quiet --disable-pip-version-check ${packages}
                      RESULT_VARIABLE rc)
    endif()
    if(NOT rc EQUAL 0)
      message(FATAL_ERROR "LibTorch: pip could not install torch==${PIVOTAL_TORCH_VERSION}. "
                          "Check the network, or set CMAKE_PREFIX_PATH to an unpacked LibTorch.")
    endif()
    pivotal_torch_of_python(${venv}/bin/python root)
  endif()
  set(${out} ${root} PARENT_SCOPE)
endfunction()

if(NOT PIVOTAL_TORCH_ROOT OR NOT EXISTS ${PIVOTAL_TORCH_ROOT}/lib/libtorch_cpu.so)
  find_path(torch_prefix share/cmake/Torch/TorchConfig.cmake PATHS ${CMAKE_PREFIX_PATH} NO_DEFAULT_PATH NO_CACHE)
  if(torch_prefix)
    set(torch_root ${torch_prefix})
  else()
    pivotal_torch_of_python(${Python3_EXECUTABLE} torch_root)
    if(NOT torch_root AND PROJECT_NAME STREQUAL "Pivotal")
      pivotal_install_torch(torch_root)
    elseif(NOT torch_root)
      list(APPEND pivotal_missing "LibTorch (set PIVOTAL_TORCH_ROOT or CMAKE_PREFIX_PATH to a LibTorch ${PIVOTAL_TORCH_VERSION}, \
or install torch==${PIVOTAL_TORCH_VERSION} for ${Python3_EXECUTABLE})")
      return()
    endif()
  endif()
  set(PIVOTAL_TORCH_ROOT ${torch_root} CACHE PATH "Folder that holds LibTorch's lib and include" FORCE)
endif()
if(NOT Pivotal_FIND_QUIETLY)
  message(STATUS "LibTorch: ${PIVOTAL_TORCH_ROOT}")
endif()

# CUDA is usable if libtorch_cuda.so and everything that it needs can be loaded.
set(PIVOTAL_WITH_CUDA OFF)
if(NOT PIVOTAL_CUDA STREQUAL "OFF")
  execute_process(COMMAND ${Python3_EXECUTABLE} -c "import ctypes; ctypes.CDLL('${PIVOTAL_TORCH_ROOT}/lib/libtorch_cuda.so')"
                  RESULT_VARIABLE rc ERROR_VARIABLE why)
  if(rc EQUAL 0)
    set(PIVOTAL_WITH_CUDA ON)
  elseif(PIVOTAL_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PIVOTAL_CUDA=ON, but libtorch_cuda.so does not load:\n${why}"
                        "Install torch with its dependencies (remove build/venv to have it done here).")
  endif()
endif()
if(NOT Pivotal_FIND_QUIETLY)
  message(STATUS "CUDA: ${PIVOTAL_WITH_CUDA} (PIVOTAL_CUDA=${PIVOTAL_CUDA})")
endif()

# NCCL joins the GPUs of several ranks: the one that LibTorch's wheel brings, or the system's.
set(PIVOTAL_WITH_NCCL OFF)
if(PIVOTAL_WITH_CUDA)
  set(nvidia ${PIVOTAL_TORCH_ROOT}/../nvidia)
  find_path(PIVOTAL_NCCL_INCLUDE nccl.h HINTS ${nvidia}/nccl/include)
  find_library(PIVOTAL_NCCL_LIBRARY NAMES libnccl.so.2 nccl HINTS ${nvidia}/nccl/lib)
  find_path(PIVOTAL_CUDA_INCLUDE cuda_runtime_api.h HINTS ${nvidia}/cu13/include /usr/local/cuda/include)
  if(PIVOTAL_NCCL_INCLUDE AND PIVOTAL_NCCL_LIBRARY AND PIVOTAL_CUDA_INCLUDE)
    set(PIVOTAL_WITH_NCCL ON)
    add_library(Pivotal::nccl INTERFACE IMPORTED GLOBAL)
    target_include_directories(Pivotal::nccl SYSTEM INTERFACE ${PIVOTAL_NCCL_INCLUDE} ${PIVOTAL_CUDA_INCLUDE})
    target_link_libraries(Pivotal::nccl INTERFACE ${PIVOTAL_NCCL_LIBRARY})
  endif()
  message(STATUS "NCCL: ${PIVOTAL_WITH_NCCL}")
endif()

# LibTorch's include folder carries another version of fmt than Debian's library: ours goes first.
get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/first)
file(CREATE_LINK ${fmt_include}/fmt ${PROJECT_BINARY_DIR}/first/fmt SYMBOLIC)

add_library(Pivotal::libtorch INTERFACE IMPORTED GLOBAL)
target_include_directories(Pivotal::libtorch SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/first)
target_include_directories(Pivotal::libtorch SYSTEM INTERFACE ${PIVOTAL_TORCH_ROOT}/include)
file(GLOB torch_gomp ${PIVOTAL_TORCH_ROOT}/lib/libgomp*.so*)
if(NOT torch_gomp)
  set(torch_gomp OpenMP::OpenMP_CXX)
endif()
target_link_libraries(Pivotal::libtorch INTERFACE ${PIVOTAL_TORCH_ROOT}/lib/libtorch_cpu.so
  ${PIVOTAL_TORCH_ROOT}/lib/libc10.so ${torch_gomp})
if(PIVOTAL_WITH_CUDA)
  # Nothing refers to libtorch_cuda by symbol: loading it registers the CUDA operators.
  target_link_libraries(Pivotal::libtorch INTERFACE -Wl,--push-state,--no-as-needed
    ${PIVOTAL_TORCH_ROOT}/lib/libtorch_cuda.so ${PIVOTAL_TORCH_ROOT}/lib/libc10_cuda.so -Wl,--pop-state)
  # The runtime that LibTorch loads is the one that launches kernels of pivotal_model, too.
  find_library(PIVOTAL_CUDART NAMES libcudart.so.13 cudart HINTS ${PIVOTAL_TORCH_ROOT}/../nvidia/cu13/lib /usr/local/cuda/lib64)
  if(PIVOTAL_CUDART)
    target_link_libraries(Pivotal::libtorch INTERFACE ${PIVOTAL_CUDART})
  endif()
endif()

# Where an installed program finds them again.
set(PIVOTAL_TORCH_RPATH ${PIVOTAL_TORCH_ROOT}/lib)
foreach(library ${PIVOTAL_CUDART} ${PIVOTAL_NCCL_LIBRARY})
  if(EXISTS ${library})
    get_filename_component(folder ${library} DIRECTORY)
    get_filename_component(folder ${folder} REALPATH)
    list(APPEND PIVOTAL_TORCH_RPATH ${folder})
  endif()
endforeach()
