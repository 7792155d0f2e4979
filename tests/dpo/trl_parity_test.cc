// Apache-2.0. Compares training with TRL: the losses of 20 steps must agree within 1e-4 (relative),
// the weights after them within 1e-5. tests/dpo/trl_parity.py runs TRL and has the table of cases.
// The test is skipped if the Python of CMake (PIVOTAL_PYTHON) has no trl; `make test-parity`
// installs it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/weights/safetensors.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::dpo {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::vector<float> Floats(const data::TensorView& tensor) {
  EXPECT_EQ(tensor.dtype, data::DType::kF32);
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), values.size() * sizeof(float));
  return values;
}

// Returns the largest absolute difference of a weight.
double WeightDifference(const fs::path& ours, const fs::path& theirs) {
  const data::SafetensorsReader first(ours), second(theirs);
  EXPECT_EQ(first.Names(), second.Names());
  double worst = 0;
  for (const std::string& name : second.Names()) {
    const std::vector<float> a = Floats(first.Get(name)), b = Floats(second.Get(name));
    EXPECT_EQ(a.size(), b.size()) << name;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return worst;
}

std::vector<Json> Lines(const fs::path& path) {
  std::ifstream file(path);
  std::vector<Json> lines;
  for (std::string text; std::getline(file, text);) lines.push_back(Json::parse(text));
  return lines;
}

class TrlParity : public ::testing::TestWithParam<const char*> {
 protected:
  // Runs a case with Pivotal and compares the result with that of TRL.
  void Compare(const std::string& name, const Json& test) {
    const fs::path theirs = temp_.path() / name, ours = theirs / "pivotal";
    const auto run = testing::Pivotal("train --model " + (temp_.path() / "model").string() +
                                      " --data " + test["data"].get<std::string>() + " --output " +
                                      ours.string() + " " + test["flags"].get<std::string>());
    ASSERT_EQ(run.code, 0) << run.output;
    const std::vector<Json> log = Lines(ours / "log.jsonl");
    const Json truth = Json::parse(std::ifstream(theirs / "log.json"));
    ASSERT_EQ(log.size(), truth.size());
    double worst = 0;
    for (std::size_t step = 0; step < log.size(); ++step) {
      for (const auto& [key, value] : truth[step].items()) {
        // Without a reference, TRL logs other metrics.
        EXPECT_TRUE(log[step].contains(key) ||
                    !(name.starts_with("kto") || name.starts_with("ppo")))
            << key;
        if (!log[step].contains(key)) continue;
        const double want = value.get<double>(),
                     error = std::abs(log[step][key].get<double>() - want);
        if (key == "loss")
          worst = std::max(worst, error / std::abs(want));
        else
          EXPECT_LE(error, 1e-4 * std::max(1.0, std::abs(want))) << key << ", step " << step + 1;
      }
    }
    EXPECT_LE(worst, 1e-4);
    const double weights = WeightDifference(ours, theirs);
    EXPECT_LE(weights, 1e-5);
    std::printf("%-20s largest difference of a loss %.1e, of a weight %.1e\n", name.c_str(), worst,
                weights);
  }

  testing::TempDir temp_;
};

TEST_P(TrlParity, LossesAndWeights) {
  if (std::system(PIVOTAL_PYTHON " -c 'import trl' 2>/dev/null") != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks trl; run make test-parity";
  const auto python = testing::RunCommand(
      std::string(PIVOTAL_PYTHON) + " " PIVOTAL_SOURCE_DIR "/tests/dpo/trl_parity.py " +
      temp_.path().string() + " " + testing::kTinyModel + " " + GetParam());
  ASSERT_EQ(python.code, 0) << python.output;
  for (const Json& test : Json::parse(std::ifstream(temp_.path() / "cases.json"))) {
    SCOPED_TRACE(test["name"]);
    Compare(test["name"], test);
  }
}

INSTANTIATE_TEST_SUITE_P(Data, TrlParity, ::testing::Values("single", "full", "text", "advantages"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace pivotal::dpo
