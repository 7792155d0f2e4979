# Headers that take seconds to read and that many files include are compiled once. -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds
# without them; every file includes what it uses all the same.
set(standard <algorithm> <array> <cmath> <cstdint> <filesystem> <functional> <map> <memory> <optional> <set> <span> <string>
             <string_view> <unordered_map> <utility> <variant> <vector>)
set(text ${standard} <fmt/format.h> <fmt/ranges.h> <nlohmann/json.hpp>)
pivotal_precompiled(text HEADERS ${text} LINK fmt::fmt nlohmann_json::nlohmann_json)
pivotal_precompiled(numbers HEADERS ${text} <boost/multiprecision/cpp_int.hpp>
                    LINK fmt::fmt nlohmann_json::nlohmann_json Boost::headers)
if(PIVOTAL_SEARCH_ONLY OR PIVOTAL_FUZZ)
  return()
endif()
set(tensors ${text} <chrono> <fstream> <ATen/core/Tensor.h> <ATen/core/grad_mode.h> <ATen/Context.h> <ATen/Parallel.h>
            <ATen/TensorOperators.h> <ATen/ops/arange.h> <ATen/ops/cat.h> <ATen/ops/empty.h> <ATen/ops/stack.h>
            <ATen/ops/zeros.h> <spdlog/spdlog.h>)
set(tensor_libraries fmt::fmt nlohmann_json::nlohmann_json Pivotal::libtorch spdlog::spdlog)
pivotal_precompiled(tensors HEADERS ${tensors} LINK ${tensor_libraries})
pivotal_precompiled(commands HEADERS ${text} <CLI/CLI.hpp> <spdlog/spdlog.h> LINK ${tensor_libraries} CLI11::CLI11)
if(PIVOTAL_TESTS)
  pivotal_precompiled(text_tests HEADERS ${text} <gtest/gtest.h> <gmock/gmock.h>
                      LINK fmt::fmt nlohmann_json::nlohmann_json GTest::gmock)
  pivotal_precompiled(tensor_tests HEADERS ${tensors} <gtest/gtest.h> <gmock/gmock.h> LINK ${tensor_libraries} GTest::gmock)
endif()
