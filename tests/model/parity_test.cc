// Apache-2.0. Compares logits (within 1e-4) and greedy tokens with those of transformers, which
// tests/model/phi_family.py runs. Skipped if PIVOTAL_PYTHON lacks transformers or torch;
// `make test-parity` installs them.
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/weights/safetensors.h"
#include "dpo/trainer.h"
#include "model/checkpoint.h"
#include "model/rollout_engine.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Rows = std::vector<std::vector<int64_t>>;

const fs::path kSource = PIVOTAL_SOURCE_DIR;
const fs::path kTiny = kSource / "experiments/tiny/model";

at::Tensor AsTensor(const Rows& rows) {
  std::vector<int64_t> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return at::tensor(flat, at::TensorOptions(at::kLong))
      .view({static_cast<int64_t>(rows.size()), -1});
}

// Returns the largest difference between our logits and `theirs`, in which null stands for -inf.
double LogitDifference(const PhiModel& model, const Rows& ids, const Json& theirs) {
  const c10::NoGradGuard no_grad;
  const at::Tensor logits = model.Logits(model.Hidden(AsTensor(ids))).contiguous();
  EXPECT_EQ(static_cast<int64_t>(theirs.size()), logits.numel());
  double worst = 0;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    const float ours = logits.const_data_ptr<float>()[i];
    if (theirs[i].is_null())
      EXPECT_EQ(ours, -INFINITY) << i;
    else
      worst = std::max(worst, std::abs(ours - theirs[i].get<double>()));
  }
  return worst;
}

std::vector<TokenId> Greedy(const PhiModel& model, const std::vector<int64_t>& prompt,
                            int32_t count) {
  RolloutEngine engine(model, {.sampling = {.temperature = 0}, .batch = 3});
  const RolloutRequest request{{prompt.begin(), prompt.end()}, 1, count, 0, 0};
  return engine.Sample({&request, 1}, Progress())[0][0].tokens;
}

class Parity : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system(PIVOTAL_PYTHON " -c 'import torch, transformers' 2>/dev/null") != 0)
      GTEST_SKIP() << PIVOTAL_PYTHON << " lacks torch or transformers; run make test-parity";
  }
  // Runs phi_family.py. Returns the file that holds its output.
  fs::path Python(const std::string& arguments) const {
    const fs::path out = temp_.path() / "output";
    const std::string command = std::string(PIVOTAL_PYTHON) + " " +
                                (kSource / "tests/model/phi_family.py").string() + " " + arguments +
                                " > " + out.string() + " 2> " + out.string() + ".err";
    if (std::system(command.c_str()) != 0) {
      std::ifstream error(out.string() + ".err");
      ADD_FAILURE() << command << "\n" << std::string(std::istreambuf_iterator<char>(error), {});
    }
    return out;
  }
  testing::TempDir temp_;
};

void ExpectSameTensors(const fs::path& a, const fs::path& b, bool vision) {
  const data::SafetensorsReader first(a), second(b);
  std::size_t compared = 0;
  for (const std::string& name : second.Names()) {
    const auto x = first.Get(name), y = second.Get(name);
    ASSERT_TRUE(x.dtype == y.dtype && std::ranges::equal(x.bytes, y.bytes)) << name;
    ++compared;
  }
  EXPECT_EQ(compared + (vision ? 1 : 0), first.Names().size());
}

TEST_F(Parity, EveryPhi) {
  const std::string family = (temp_.path() / "family").string();
  fs::create_directory(family);
  Python("make " + family + " " + kTiny.string());
  int variants = 0;
  for (const auto& entry : fs::directory_iterator(family)) {
    const std::string name = entry.path().filename().string();
    SCOPED_TRACE(name);
    const Json truth = Json::parse(std::ifstream(entry.path() / "truth.json"));
    const Checkpoint checkpoint = LoadCheckpoint(entry.path(), at::kCPU, at::kFloat);
    double worst = 0;
    for (std::size_t i = 0; i < truth["ids"].size(); ++i)
      worst = std::max(worst, LogitDifference(*checkpoint.model, truth["ids"][i].get<Rows>(),
                                              truth["logits"][i]));
    EXPECT_LT(worst, 1e-4);
    auto prompt = truth["ids"][0][0].get<std::vector<int64_t>>();
    prompt.resize(20);
    const auto theirs = truth["greedy"].get<std::vector<TokenId>>();
    EXPECT_EQ(theirs.size(), 200u) << "an early end hides the rest";
    EXPECT_EQ(Greedy(*checkpoint.model, prompt, 200), theirs);
    std::printf("%-24s largest logit difference %.2g, %zu greedy tokens\n", name.c_str(), worst,
                theirs.size());

    const Json config = Json::parse(std::ifstream(entry.path() / "config.json"));
    const std::string stored = config.value("torch_dtype", config.value("dtype", "float32"));
    const Checkpoint as_stored = LoadCheckpoint(entry.path(), at::kCPU, ParseDType(stored));
    fs::create_directory(entry.path() / "saved");
    SaveCheckpoint(*as_stored.model, entry.path(), entry.path() / "saved", 60'000);
    EXPECT_TRUE(fs::exists(entry.path() / "saved/model.safetensors.index.json"));
    if (name != "phi-4-named-llama")  // which is saved with a Phi-3's names
      ExpectSameTensors(entry.path(), entry.path() / "saved", name == "phi-3-vision");
    ++variants;
  }
  EXPECT_EQ(variants, 17);
  Python("check " + family);
}

class FolderParity : public Parity {
 protected:
  // Compares a folder on `rows` rows of `length` ids: logits, greedy tokens and scores.
  void Compare(const fs::path& folder, int64_t rows, int64_t length) {
    const Checkpoint checkpoint = LoadCheckpoint(folder, at::kCPU, at::kFloat);
    const int64_t vocab = checkpoint.model->config().vocab_size;
    Rows ids(static_cast<std::size_t>(rows), {1});
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t t = 1; t < length; ++t)
        ids[row].push_back((31 * t * t + 17 * t + 101 * row + 4) % vocab);
    std::ofstream(temp_.path() / "ids.json") << Json(ids).dump();
    const fs::path out =
        Python("score " + folder.string() + " " + (temp_.path() / "ids.json").string());
    const Json theirs = Json::parse(std::ifstream(out));
    const double worst = LogitDifference(*checkpoint.model, ids, theirs["logits"]);
    std::printf("largest logit difference %.2g\n", worst);
    EXPECT_LT(worst, 1e-4);
    EXPECT_EQ(Greedy(*checkpoint.model, ids[0], 200), theirs["greedy"].get<std::vector<TokenId>>());
    CompareScores(folder, ids, theirs["logits"], vocab);
  }

  // Compares `pivotal score` with the log-softmax of `logits`.
  void CompareScores(const fs::path& folder, const Rows& ids, const Json& logits, int64_t vocab) {
    const fs::path in = temp_.path() / "score.jsonl", out = temp_.path() / "scored.jsonl";
    std::ofstream lines(in);
    for (std::size_t row = 0; row < ids.size(); ++row) {
      const auto cut = ids[row].begin() + static_cast<std::ptrdiff_t>(3 + row);
      lines << Json{{"id", row},
                    {"prompt_ids", Rows::value_type(ids[row].begin(), cut)},
                    {"completion_ids", Rows::value_type(cut, ids[row].end())}}
                   .dump()
            << "\n";
    }
    lines.close();
    const auto run = testing::Pivotal("score --batch-tokens 100 --model " + folder.string() +
                                      " --input " + in.string() + " --output " + out.string());
    ASSERT_EQ(run.code, 0) << run.output;
    std::ifstream scored(out);
    std::string text;
    double worst = 0;
    for (std::size_t row = 0; row < ids.size(); ++row) {
      ASSERT_TRUE(std::getline(scored, text));
      const Json line = Json::parse(text);
      EXPECT_EQ(line["id"], row);
      ASSERT_EQ(line["logprobs"].size(), ids[row].size() - 3 - row);
      for (std::size_t i = 0; i < line["logprobs"].size(); ++i) {
        const std::size_t t = 3 + row + i;
        const std::size_t base = (row * ids[row].size() + t - 1) * static_cast<std::size_t>(vocab);
        double sum = 0;
        for (int64_t v = 0; v < vocab; ++v) sum += std::exp(logits[base + v].get<double>());
        const double truth = logits[base + ids[row][t]].get<double>() - std::log(sum);
        worst = std::max(worst, std::abs(truth - line["logprobs"][i].get<double>()));
      }
    }
    std::printf("largest difference of a log-probability %.2g\n", worst);
    EXPECT_LT(worst, 1e-5);
  }
};

TEST_F(FolderParity, ShippedTinyModel) { Compare(kTiny, 3, 50); }

TEST_F(FolderParity, CheckpointAfterDpo) {
  const Checkpoint checkpoint = LoadCheckpoint(kTiny, at::kCPU, at::kFloat);
  std::vector<PreferencePair> pairs(1);
  pairs[0].prompt_ids = checkpoint.tokenizer->Encode("Question: 3 boxes of 14 pens\nAnswer: 14*3");
  pairs[0].chosen_ids = {checkpoint.tokenizer->Encode("4:").back()};
  pairs[0].rejected_ids = {checkpoint.tokenizer->Encode("4=").back()};
  Progress quiet;
  TrainOptions options;
  options.optimizer.learning_rate = 1e-4;
  options.epochs = 3;
  LossOptions loss;
  loss.rpo_alpha = 0.2;
  const auto objective = dpo::MakePreferenceObjective(
      *checkpoint.model, pairs, loss, dpo::ReferenceLogProbs(*checkpoint.model, pairs, 1, quiet));
  dpo::Trainer trainer(*checkpoint.model, *objective, options);
  while (!trainer.done()) trainer.Step();
  const fs::path folder = temp_.path() / "trained";
  fs::create_directory(folder);
  SaveCheckpoint(*checkpoint.model, kTiny, folder);
  Compare(folder, 2, 40);
}

}  // namespace
}  // namespace pivotal::model
