// Apache-2.0. llama.cpp takes what training writes: its own converters read the folder, and its
// greedy tokens and the ids of texts are Pivotal's, also those of `pivotal generate`.
// tests/model/gguf_parity.py runs it; the test is skipped where that finds no llama.cpp, which
// `make test-parity` installs. Models with real tokenizers are random ones of small width; they are
// skipped where ../shared/data is absent.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/lora.h"
#include "model/rollout_engine.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<TokenId>;

constexpr int32_t kNewTokens = 64;
const std::string kScript = PIVOTAL_SOURCE_DIR "/tests/model/gguf_parity.py ";

class GgufParity : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto missing = testing::Python(kScript + "check");
    if (missing.code != 0 || !missing.output.empty())
      GTEST_SKIP() << PIVOTAL_PYTHON << " " << missing.output << "; run make test-parity";
  }

  // Makes a random model of this shape with a real tokenizer. Returns its folder, or "" where the
  // tokenizer is absent.
  std::string Make(const std::string& shape, const std::string& tokenizer) const {
    const std::string real = PIVOTAL_SOURCE_DIR "/../shared/data/tokenizers/" + tokenizer;
    if (!fs::exists(real + "/tokenizer.json")) return "";
    const auto made = testing::Python(kScript + "make " + shape + " " + real + " " + Path("model"));
    EXPECT_EQ(made.code, 0) << made.output;
    return Path("model");
  }

  void Train(const std::string& model, const std::string& more) const {
    temp_.Write("pairs.jsonl",
                "{\"prompt\": \"Question: 3 boxes of 14 pens\\nAnswer: \", \"chosen\": \"14*3\", "
                "\"rejected\": \"14+3\"}\n");
    const auto done = testing::Pivotal(
        "train --device cpu --learning-rate 1e-2 --epochs 3 --model " + model + " --data " +
        Path("pairs.jsonl") + " --output " + Path("out") + " " + more);
    ASSERT_EQ(done.code, 0) << done.output;
  }

  // Compares llama.cpp with Pivotal on a folder, with an adapter if one is given.
  void Compare(const std::string& folder, const std::string& adapter = "") const {
    const Checkpoint checkpoint = LoadCheckpoint(folder, at::kCPU, at::kFloat);
    if (!adapter.empty()) {
      checkpoint.model->set_adapter(LoadAdapter(adapter, *checkpoint.model));
      MergeAdapter(*checkpoint.model);
    }
    std::vector<Ids> prompts;
    for (const std::string& text : kTexts)
      prompts.push_back(checkpoint.tokenizer->EncodeWithSpecial(text));
    std::ofstream(temp_.path() / "request")
        << Json{{"prompts", prompts}, {"texts", kTexts}, {"new_tokens", kNewTokens}};
    const auto run =
        testing::Python(kScript + "run " + folder + " " + Path("request") + " " + adapter);
    ASSERT_EQ(run.code, 0) << run.output;
    const Json theirs = Json::parse(std::ifstream(temp_.path() / "request.out"));
    EXPECT_EQ(theirs["ids"].get<std::vector<Ids>>(), prompts);
    std::size_t tokens = 0;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      SCOPED_TRACE(kTexts[i]);
      RolloutEngine engine(*checkpoint.model, {.sampling = {.temperature = 0}, .batch = 1});
      const RolloutRequest request{prompts[i], 1, kNewTokens, 0, 0};
      const Ids ours = engine.Sample({&request, 1}, Progress())[0][0].tokens;
      EXPECT_EQ(theirs["tokens"][i].get<Ids>(), ours);
      tokens += ours.size();
    }
    std::printf("%zu greedy tokens after %zu prompts\n", tokens, prompts.size());
  }

  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }

  testing::TempDir temp_;
  const std::vector<std::string> kTexts = {"Question: 3 boxes of 14 pens\nAnswer:",
                                           "It's 1234567.89, isn't it?\n\n  def f(x):\n\treturn x",
                                           "na\u00EFve \u4F60\u597D \U0001F680 caf\u00E9"};
};

TEST_F(GgufParity, TheShippedModel) {
  Train(testing::kTinyModel, "");
  Compare(Path("out"));
  const auto generated =
      testing::Pivotal("generate --temperature 0 --max-new-tokens 64 --model " + Path("out") +
                       " '3 boxes of 14 pens'");  // becomes the first prompt
  const Json theirs = Json::parse(std::ifstream(temp_.path() / "request.out"));
  EXPECT_EQ(generated.output, theirs["continued"][0].get<std::string>() + "\n");
}

TEST_F(GgufParity, AnAdapter) {
  Train(testing::kTinyModel, "--lora-rank 4");
  Compare(testing::kTinyModel, Path("out"));
}

TEST_F(GgufParity, Phi4InBfloat16) {
  const std::string model = Make("phi-4", "phi-4");
  if (model.empty()) GTEST_SKIP() << "no ../shared/data/tokenizers";
  Train(model, "--dtype bfloat16 --max-shard-size 4MB");
  Compare(Path("out"));
}

TEST_F(GgufParity, Phi4MiniWithAnAdapterMerged) {
  const std::string model = Make("phi-4-mini", "phi-4");
  if (model.empty()) GTEST_SKIP() << "no ../shared/data/tokenizers";
  Train(model, "--lora-rank 4 --merge");
  Compare(Path("out"));
}

TEST_F(GgufParity, Phi2) {
  const std::string model = Make("phi-2", "phi-2");
  if (model.empty()) GTEST_SKIP() << "no ../shared/data/tokenizers";
  Train(model, "");
  Compare(Path("out"));
}

}  // namespace
}  // namespace pivotal::model
