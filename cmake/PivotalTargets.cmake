# One target per folder, flags on one INTERFACE target, tests one line each.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

# Static libraries, or with BUILD_SHARED_LIBS=ON shared ones that show what is in namespace pivotal and nothing else.
set(CMAKE_POSITION_INDEPENDENT_CODE ${BUILD_SHARED_LIBS})
include(GNUInstallDirs)
set(PIVOTAL_INSTALL_INCLUDE ${CMAKE_INSTALL_INCLUDEDIR}/pivotal)
set(PIVOTAL_INSTALL_CMAKE ${CMAKE_INSTALL_LIBDIR}/cmake/Pivotal)

add_library(pivotal_flags INTERFACE)
target_include_directories(pivotal_flags INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>
                                                   $<INSTALL_INTERFACE:${PIVOTAL_INSTALL_INCLUDE}>)
target_compile_features(pivotal_flags INTERFACE cxx_std_20)
target_compile_options(pivotal_flags INTERFACE $<BUILD_INTERFACE:-Wall> $<BUILD_INTERFACE:-Wextra>
                                               $<BUILD_INTERFACE:-Wpedantic>)
if(PIVOTAL_SANITIZE)
  target_compile_options(pivotal_flags INTERFACE -fsanitize=${PIVOTAL_SANITIZE}
                                                 -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(pivotal_flags INTERFACE -fsanitize=${PIVOTAL_SANITIZE})
endif()

# pivotal_library(NAME [EXPORT Search|Torch] SOURCES a.cc ... [PUBLIC lib ...] [PRIVATE lib ...]): the library, and its place in
# an install as Pivotal::NAME. What is of Search needs no LibTorch (cmake/Install.cmake).
function(pivotal_library name)
  cmake_parse_arguments(ARG "" "EXPORT" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(pivotal_${name} ${ARG_SOURCES})
  target_link_libraries(pivotal_${name} PUBLIC pivotal_flags ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  if(BUILD_SHARED_LIBS)
    target_link_options(pivotal_${name} PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/exports.map)
    set_target_properties(pivotal_${name} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                          INSTALL_RPATH "\$ORIGIN;${PIVOTAL_TORCH_RPATH}")
  endif()
  if(ARG_EXPORT)
    pivotal_export(${name} ${ARG_EXPORT})
  endif()
endfunction()

# Puts the target pivotal_NAME into an install, as Pivotal::NAME.
function(pivotal_export name set)
  set_target_properties(pivotal_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS pivotal_${name} EXPORT Pivotal${set}Targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()
pivotal_export(flags Search)

# pivotal_test(folder/name_test LINK lib ...): builds tests/<folder>/<name>_test.cc, registers each case.
function(pivotal_test path)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  string(REPLACE "/" "_" target ${path})
  add_executable(${target} ${CMAKE_SOURCE_DIR}/tests/${path}.cc ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE PIVOTAL_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                               PIVOTAL_BINARY="$<TARGET_FILE:pivotal>")
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST PROPERTIES
    TIMEOUT 600
    ENVIRONMENT OMP_NUM_THREADS=1)  # tests run side by side; threads that spin would starve them
endfunction()
