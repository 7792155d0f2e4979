// Apache-2.0. Exchanges adapters with PEFT, which lora_parity.py runs: both sides compute the same
// logits. Skipped if PIVOTAL_PYTHON lacks peft.
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/checkpoint.h"
#include "model/lora.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kRows = 2, kLength = 24;

class LoraParity : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system(PIVOTAL_PYTHON " -c 'import torch, transformers, peft' 2>/dev/null") != 0)
      GTEST_SKIP() << PIVOTAL_PYTHON << " lacks torch, transformers or peft";
    checkpoint_ = LoadCheckpoint(testing::kTinyModel, at::kCPU, at::kFloat);
    Json rows = Json::array();
    for (int64_t row = 0; row < kRows; ++row) {
      rows.push_back({1});
      for (int64_t t = 1; t < kLength; ++t)
        rows.back().push_back((31 * t * t + 17 * t + 101 * row + 4) % model().config().vocab_size);
    }
    std::ofstream(temp_.path() / "ids.json") << rows.dump();
    std::vector<int64_t> flat;
    for (const Json& row : rows)
      for (const Json& id : row) flat.push_back(id.get<int64_t>());
    ids_ = at::tensor(flat, at::TensorOptions(at::kLong)).view({kRows, kLength});
  }

  PhiModel& model() { return *checkpoint_.model; }

  // Runs lora_parity.py on the shipped model. Returns the last line that it prints.
  std::string Python(const std::string& command, const fs::path& place) {
    const fs::path out = temp_.path() / "output";
    const auto run = testing::RunCommand(
        std::string(PIVOTAL_PYTHON) + " " PIVOTAL_SOURCE_DIR "/tests/model/lora_parity.py " +
        command + " " + testing::kTinyModel + " " + place.string() + " " +
        (temp_.path() / "ids.json").string() + " > " + out.string());
    std::ifstream text(out);
    std::string line, last;  // progress bars come before
    while (std::getline(text, line)) last = line;
    EXPECT_EQ(run.code, 0) << last;
    return last;
  }

  double LogitDifference(const Json& theirs) {
    const c10::NoGradGuard no_grad;
    const at::Tensor ours = model().Logits(model().Hidden(ids_)).flatten();
    const auto values = theirs.get<std::vector<double>>();
    EXPECT_EQ(static_cast<int64_t>(values.size()), ours.numel());
    return (ours - at::tensor(values).to(at::kFloat)).abs().max().item<double>();
  }

  testing::TempDir temp_;
  Checkpoint checkpoint_;
  at::Tensor ids_;
};

TEST_F(LoraParity, PeftsAdaptersWorkHere) {
  Python("make", temp_.path() / "peft");
  for (const char* name : {"all", "some", "converted"}) {
    const fs::path folder = temp_.path() / "peft" / name;
    const Json theirs = Json::parse(std::ifstream(folder / "logits.json"));
    ASSERT_GT(LogitDifference(theirs), 0.1) << "the adapter does nothing";
    model().set_adapter(LoadAdapter(folder, model()));
    const double worst = LogitDifference(theirs);
    std::printf("%-9s largest logit difference %.2g\n", name, worst);
    EXPECT_LT(worst, 1e-4);
    model().set_adapter(nullptr);
  }
}

TEST_F(LoraParity, AdaptersOnQueriesKeysAndValuesWorkHere) {
  Python("llama", temp_.path());
  const Json theirs = Json::parse(std::ifstream(temp_.path() / "adapter/logits.json"));
  checkpoint_ = LoadCheckpoint(temp_.path() / "model", at::kCPU, at::kFloat);
  ASSERT_GT(LogitDifference(theirs), 0.1) << "the adapter does nothing";
  model().set_adapter(LoadAdapter(temp_.path() / "adapter", model()));
  const double worst = LogitDifference(theirs);
  std::printf("largest logit difference %.2g\n", worst);
  EXPECT_LT(worst, 1e-4);
}

TEST_F(LoraParity, OurAdaptersWorkThere) {
  const LoraOptions options{
      .rank = 6, .alpha = 5, .rslora = true, .modules = {"o_proj", "gate_up_proj"}};
  const auto adapter = NewAdapter(model(), options, 3);
  for (const auto& [layer, update] : adapter->updates)
    at::Tensor(update.b).copy_(update.a.t().slice(0, 0, 1).expand_as(update.b));
  SaveAdapter(*adapter, testing::kTinyModel, temp_.path());
  model().set_adapter(adapter);
  const double worst = LogitDifference(Json::parse(Python("score", temp_.path())));
  std::printf("largest logit difference %.2g\n", worst);
  EXPECT_LT(worst, 1e-4);
  const Json trained = Json::parse(Python("train", temp_.path()));
  EXPECT_EQ(trained.size(), 2 * adapter->updates.size());
  model().set_adapter(nullptr);
  EXPECT_GT(LogitDifference(Json::parse(Python("score", temp_.path()))), 0.01);
}

}  // namespace
}  // namespace pivotal::model
