# The project's flags, its rooms (one static library a folder), the installed libraries and the tests.
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endif()

# ccache makes a second build quick. It must accept precompiled headers, which it refuses by default.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
endif()
# A faster linker, where one is installed.
if(PROJECT_IS_TOP_LEVEL AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT PIVOTAL_SANITIZE)
  find_program(MOLD_PROGRAM mold)
  find_program(GOLD_PROGRAM ld.gold)
  if(MOLD_PROGRAM AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12.1)
    add_link_options(-fuse-ld=mold)
  elseif(GOLD_PROGRAM)
    add_link_options(-fuse-ld=gold)
  endif()
endif()

# A release is compiled with -O2. Kernels take -O3; what only calls others (commands, jobs, tests) takes -O1, which compiles in
# two thirds of the time.
if(PROJECT_IS_TOP_LEVEL)
  string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
endif()
function(pivotal_optimize level)
  foreach(target ${ARGN})
    target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:${level}>)
  endforeach()
endfunction()

if(BUILD_SHARED_LIBS)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # of the rooms too, whose objects the shared libraries are made of
  set(CMAKE_CXX_VISIBILITY_PRESET default)  # exports.map chooses what the libraries show, whatever a parent project hides
  set(CMAKE_VISIBILITY_INLINES_HIDDEN OFF)
endif()
include(GNUInstallDirs)
set(PIVOTAL_INSTALL_CMAKE ${CMAKE_INSTALL_LIBDIR}/cmake/Pivotal)

# What every target of the project is compiled with. Private headers are included from the root, public ones from include/.
add_library(pivotal_flags INTERFACE)
target_include_directories(pivotal_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_compile_features(pivotal_flags INTERFACE cxx_std_20)
target_compile_options(pivotal_flags INTERFACE -Wall -Wextra -Wpedantic)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CCACHE_PROGRAM AND NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
  target_compile_options(pivotal_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_UNITY_BUILD)
  # GCC takes a file that another includes for a header, whose types should not hold unnamed ones.
  target_compile_options(pivotal_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()
if(PIVOTAL_SANITIZE)
  target_compile_options(pivotal_flags INTERFACE -fsanitize=${PIVOTAL_SANITIZE}
                                                 -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(pivotal_flags INTERFACE -fsanitize=${PIVOTAL_SANITIZE})
endif()

# pivotal_precompiled(NAME HEADERS <a> ... LINK lib ...): headers that targets share through pivotal_use_precompiled(TARGET NAME).
# Such a target is compiled with the definitions of the same libraries, else the compiler refuses the precompiled header.
function(pivotal_precompiled name)
  cmake_parse_arguments(ARG "" "" "HEADERS;LINK" ${ARGN})
  set(source ${PROJECT_BINARY_DIR}/precompiled_${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "// A precompiled header wants a source.\n")
  add_library(pivotal_precompiled_${name} OBJECT ${source})
  target_link_libraries(pivotal_precompiled_${name} PRIVATE pivotal_flags ${ARG_LINK})
  target_precompile_headers(pivotal_precompiled_${name} PRIVATE ${ARG_HEADERS})
  set_property(GLOBAL PROPERTY PIVOTAL_PRECOMPILED_${name} "${ARG_LINK}")
endfunction()
function(pivotal_use_precompiled target name)
  get_property(libraries GLOBAL PROPERTY PIVOTAL_PRECOMPILED_${name})
  target_link_libraries(${target} PRIVATE ${libraries})
  target_precompile_headers(${target} REUSE_FROM pivotal_precompiled_${name})
endfunction()

# pivotal_room(PATH [NO_GLOB] [SOURCES a.cc ...] [EXCEPT b.cc ...] [USES room ...] [PUBLIC lib ...] [PRIVATE lib ...]
#              [PRECOMPILED name]): a folder of the tree as the static library pivotal_<path with _>. Its sources are all
# of the folder's own .cc files but EXCEPT. It may include headers of the rooms that it USES, of its own, and public ones; the
# test Rooms.ArrowsPointOneWay holds it to that.
set_property(GLOBAL PROPERTY PIVOTAL_ROOMS "")
function(pivotal_room path)
  cmake_parse_arguments(ARG "" "PRECOMPILED" "EXCEPT;USES;PUBLIC;PRIVATE" ${ARGN})
  string(REPLACE "/" "_" name ${path})
  set(folder ${PROJECT_SOURCE_DIR}/${path})
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc)
  foreach(source ${ARG_EXCEPT})
    list(REMOVE_ITEM sources ${folder}/${source})
  endforeach()
  add_library(pivotal_${name} STATIC ${sources})
  set(rooms "")
  foreach(room ${ARG_USES})
    string(REPLACE "/" "_" room ${room})
    list(APPEND rooms pivotal_${room})
  endforeach()
  target_link_libraries(pivotal_${name} PUBLIC pivotal_flags ${rooms} ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  if(ARG_PRECOMPILED)
    pivotal_use_precompiled(pivotal_${name} ${ARG_PRECOMPILED})
  endif()
  set_property(GLOBAL APPEND PROPERTY PIVOTAL_ROOMS ${path})
  set_property(GLOBAL PROPERTY PIVOTAL_USES_${name} "${ARG_USES}")
  set_property(GLOBAL PROPERTY PIVOTAL_LINKS_${name} "${ARG_PUBLIC};${ARG_PRIVATE}")
endfunction()

# pivotal_installed(NAME ROOMS room ...): the library Pivotal::NAME of an install, made of the objects of these rooms. What they
# link beside one another is linked with it.
function(pivotal_installed name)
  cmake_parse_arguments(ARG "" "OUTPUT" "ROOMS;OBJECTS" ${ARGN})
  add_library(pivotal_${name}_library ${ARG_OBJECTS})
  set(libraries "")
  foreach(room ${ARG_ROOMS})
    string(REPLACE "/" "_" room ${room})
    target_sources(pivotal_${name}_library PRIVATE $<TARGET_OBJECTS:pivotal_${room}>)
    get_property(links GLOBAL PROPERTY PIVOTAL_LINKS_${room})
    list(APPEND libraries ${links})
  endforeach()
  list(REMOVE_DUPLICATES libraries)
  list(REMOVE_ITEM libraries Boost::headers Eigen3::Eigen nlohmann_json::nlohmann_json)  # headers alone: there is nothing to link
  target_link_libraries(pivotal_${name}_library PRIVATE ${libraries})
  target_include_directories(pivotal_${name}_library PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(pivotal_${name}_library PUBLIC cxx_std_20)
  set_target_properties(pivotal_${name}_library PROPERTIES OUTPUT_NAME ${ARG_OUTPUT} EXPORT_NAME ${name} LINKER_LANGUAGE CXX)
  if(PIVOTAL_SANITIZE)
    target_link_options(pivotal_${name}_library PUBLIC -fsanitize=${PIVOTAL_SANITIZE})
  endif()
  if(BUILD_SHARED_LIBS)
    target_link_options(pivotal_${name}_library PRIVATE -Wl,--no-undefined
                        -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map)
    set_target_properties(pivotal_${name}_library PROPERTIES
      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
      INSTALL_RPATH "\$ORIGIN;${PIVOTAL_TORCH_RPATH}")
  endif()
  add_library(Pivotal::${name} ALIAS pivotal_${name}_library)
endfunction()

# pivotal_tests(PATH [LINK lib ...] [SOURCES extra.cc ...] [EXCEPT a_test.cc ...] [PRECOMPILED name]): the tests of tests/PATH, all
# of its *_test.cc files in one executable, each case known to ctest. pivotal_test(PATH/name_test ...): one file on its own.
function(pivotal_test_executable target)
  cmake_parse_arguments(ARG "" "PRECOMPILED" "SOURCES;LINK" ${ARGN})
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_LINK} nlohmann_json::nlohmann_json GTest::gmock GTest::gtest_main)
  pivotal_optimize(-O1 ${target})
  target_compile_definitions(${target} PRIVATE PIVOTAL_SOURCE_DIR="${PROJECT_SOURCE_DIR}" PIVOTAL_PYTHON="${PIVOTAL_PYTHON}"
    PIVOTAL_BINARY="$<TARGET_FILE:pivotal>" PIVOTAL_WITH_MPI=$<BOOL:${MPI_CXX_FOUND}>)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests
    UNITY_BUILD OFF)  # names of helpers repeat from test to test
  if(ARG_PRECOMPILED)
    pivotal_use_precompiled(${target} ${ARG_PRECOMPILED})
  endif()
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120 PROPERTIES
    TIMEOUT 600
    ENVIRONMENT OMP_NUM_THREADS=1)  # tests run side by side; threads that spin would starve them
endfunction()
function(pivotal_tests path)
  cmake_parse_arguments(ARG "" "PRECOMPILED" "SOURCES;LINK;EXCEPT" ${ARGN})
  string(REPLACE "/" "_" name ${path})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${path}/*_test.cc)
  foreach(source ${ARG_EXCEPT})
    list(REMOVE_ITEM sources ${PROJECT_SOURCE_DIR}/tests/${path}/${source})
  endforeach()
  if(NOT sources)
    message(FATAL_ERROR "tests/${path} holds no *_test.cc")
  endif()
  pivotal_test_executable(tests_${name} SOURCES ${sources} ${ARG_SOURCES} LINK ${ARG_LINK} PRECOMPILED ${ARG_PRECOMPILED})
endfunction()
function(pivotal_test path)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  string(REPLACE "/" "_" name ${path})
  pivotal_test_executable(${name} SOURCES ${PROJECT_SOURCE_DIR}/tests/${path}.cc ${ARG_SOURCES} LINK ${ARG_LINK})
endfunction()
