// Apache-2.0. The same folder under transformers: logits within 1e-4, the same greedy tokens.
// Skipped where the Python that CMake was given (PIVOTAL_PYTHON) lacks transformers or torch;
// `make test-parity` installs them.
#include <c10/core/GradMode.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "dpo/trainer.h"
#include "model/checkpoint.h"
#include "model/rollout_engine.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kSource = PIVOTAL_SOURCE_DIR;
const fs::path kTiny = kSource / "experiments/tiny/model";

int Python(const std::string& arguments) {
  return std::system((std::string(PIVOTAL_PYTHON) + " " + arguments).c_str());
}

class Parity : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Python("-c 'import torch, transformers' 2>/dev/null") != 0)
      GTEST_SKIP() << PIVOTAL_PYTHON << " lacks torch or transformers; run make test-parity";
  }

  // Compares `folder` here and there on `rows` rows of `length` ids.
  void Compare(const fs::path& folder, int64_t rows, int64_t length) {
    const Checkpoint checkpoint = LoadCheckpoint(folder, at::kCPU, at::kFloat);
    const int64_t vocab = checkpoint.model->config().vocab_size;
    std::vector<int64_t> flat;
    Json ids = Json::array();
    for (int64_t row = 0; row < rows; ++row) {
      Json line = Json::array();
      for (int64_t t = 0; t < length; ++t) {
        flat.push_back(t == 0 ? 1 : (31 * t * t + 17 * t + 101 * row + 4) % vocab);
        line.push_back(flat.back());
      }
      ids.push_back(line);
    }
    std::ofstream(temp_.path() / "ids.json") << ids.dump();
    const std::string out = (temp_.path() / "out.json").string();
    ASSERT_EQ(Python((kSource / "tests/model/transformers_logits.py").string() + " " + folder.string() +
                     " " + (temp_.path() / "ids.json").string() + " " + out), 0);
    const Json theirs = Json::parse(std::ifstream(out));
    ExpectLogits(*checkpoint.model, at::tensor(flat, at::TensorOptions(at::kLong)).view({rows, length}),
                 theirs["logits"]);
    ExpectGreedy(*checkpoint.model, {flat.begin(), flat.begin() + length}, theirs["greedy"]);
  }

  testing::TempDir temp_;

 private:
  static void ExpectLogits(const PhiModel& model, const at::Tensor& tokens, const Json& theirs) {
    const c10::NoGradGuard no_grad;
    const at::Tensor logits = model.Logits(model.Hidden(tokens)).contiguous();
    ASSERT_EQ(static_cast<int64_t>(theirs.size()), logits.numel());
    double worst = 0;
    for (int64_t i = 0; i < logits.numel(); ++i)
      worst = std::max(worst, std::abs(logits.const_data_ptr<float>()[i] - theirs[i].get<double>()));
    RecordProperty("largest_logit_difference", std::to_string(worst));
    std::printf("largest logit difference %.3g over %lld logits\n", worst,
                static_cast<long long>(logits.numel()));
    EXPECT_LT(worst, 1e-4);
  }
  static void ExpectGreedy(const PhiModel& model, std::vector<int64_t> prompt, const Json& theirs) {
    RolloutEngine engine(model, {.sampling = {.temperature = 0}});
    const RolloutRequest request{{prompt.begin(), prompt.end()}, 1, 40, 0, 0};
    EXPECT_EQ(engine.Sample({&request, 1}, Progress())[0][0].tokens, theirs.get<std::vector<TokenId>>());
  }
};

TEST_F(Parity, ShippedTinyModel) { Compare(kTiny, 3, 50); }

TEST_F(Parity, RandomModelWithSlidingWindow) {
  PhiConfig config = LoadPhiConfig(kTiny);
  config.num_hidden_layers = 2;
  config.num_key_value_heads = 1;
  config.sliding_window = 9;
  config.rope_theta = 777;
  const fs::path folder = temp_.path() / "model";
  fs::create_directory(folder);
  SaveCheckpoint(*RandomModel(config, 3), kTiny, folder);
  Compare(folder, 2, 33);
}

TEST_F(Parity, CheckpointAfterDpo) {
  const Checkpoint checkpoint = LoadCheckpoint(kTiny, at::kCPU, at::kFloat);
  std::vector<data::PreferencePair> pairs(1);
  pairs[0].prompt_ids = checkpoint.tokenizer->Encode("Question: 3 boxes of 14 pens\nAnswer: 14*3");
  pairs[0].chosen_ids = {checkpoint.tokenizer->Encode("4:").back()};
  pairs[0].rejected_ids = {checkpoint.tokenizer->Encode("4=").back()};
  Progress quiet;
  dpo::TrainOptions options;
  options.optimizer.learning_rate = 1e-4;
  options.epochs = 3;
  const auto objective = dpo::MakeDpoObjective(*checkpoint.model, pairs, 0.1, 0.2, 1, quiet);
  dpo::Train(*checkpoint.model, *objective, options, [](const dpo::StepLog&) {}, quiet);
  const fs::path folder = temp_.path() / "trained";
  fs::create_directory(folder);
  SaveCheckpoint(*checkpoint.model, kTiny, folder);
  Compare(folder, 2, 40);
}

}  // namespace
}  // namespace pivotal::model
