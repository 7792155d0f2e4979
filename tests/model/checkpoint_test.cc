// Apache-2.0. Loads and saves copies of the shipped tiny model.
#include "model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/base/error.h"
#include "model/config_file.h"
#include "model/rollout_engine.h"
#include "model/tensor_transfer.h"
#include "tests/support/small_phi.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const fs::path kTiny = fs::path(PIVOTAL_SOURCE_DIR) / "experiments/tiny/model";

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::copy(kTiny, folder_); }
  std::string Message() const {
    try {
      LoadCheckpoint(folder_, at::kCPU, at::kFloat);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  void EditConfig(const std::string& from, const std::string& to) const {
    std::ifstream in(folder_ / "config.json");
    std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    std::ofstream(folder_ / "config.json") << text.replace(at, from.size(), to);
  }
  testing::TempDir temp_;
  fs::path folder_ = temp_.path() / "model";
};

TEST_F(CheckpointTest, RoundTripIsBitEqual) {
  const Checkpoint first = LoadCheckpoint(folder_, at::kCPU, at::kFloat);
  const fs::path copy = temp_.path() / "copy";
  fs::create_directory(copy);
  SaveCheckpoint(*first.model, folder_, copy);
  const Checkpoint second = LoadCheckpoint(copy, at::kCPU, at::kFloat);
  ASSERT_EQ(first.model->parameters().size(), second.model->parameters().size());
  for (const auto& [name, tensor] : first.model->parameters())
    EXPECT_TRUE(tensor.equal(second.model->parameters().at(name))) << name;
  EXPECT_EQ(WeightsFingerprint(folder_), WeightsFingerprint(copy));
  EXPECT_EQ(second.tokenizer->Encode("47*6: 40"), first.tokenizer->Encode("47*6: 40"));
}

TEST_F(CheckpointTest, LoadsInOtherTypes) {
  const Checkpoint half = LoadCheckpoint(folder_, at::kCPU, at::kBFloat16);
  EXPECT_EQ(half.model->options().dtype(), at::kBFloat16);
  const fs::path copy = temp_.path() / "bf16";
  fs::create_directory(copy);
  SaveCheckpoint(*half.model, folder_, copy);
  EXPECT_LT(fs::file_size(copy / "model.safetensors"),
            fs::file_size(folder_ / "model.safetensors") * 6 / 10);
  const Checkpoint again = LoadCheckpoint(copy, at::kCPU, at::kFloat);
  EXPECT_TRUE(again.model->parameters()
                  .at("lm_head.weight")
                  .equal(half.model->parameters().at("lm_head.weight").to(at::kFloat)));
}

// Weights in the mapped file give the same rollouts as copies, to the bit, and their pages can be
// released.
TEST_F(CheckpointTest, MappedWeightsServeRollouts) {
  const fs::path copy = temp_.path() / "bf16";
  fs::create_directory(copy);
  SaveCheckpoint(*LoadCheckpoint(folder_, at::kCPU, at::kBFloat16).model, folder_, copy);
  const RolloutRequest request{{5, 9, 200, 31}, 4, 16, 1, 0};
  for (const fs::path& folder : {folder_, copy}) {
    const Checkpoint own = LoadCheckpoint(folder, at::kCPU, at::kFloat);
    const Checkpoint mapped = LoadCheckpoint(folder, at::kCPU, at::kFloat, WeightUse::kRollouts);
    const at::Tensor head = mapped.model->parameters().at("lm_head.weight");
    EXPECT_EQ(head.scalar_type(), folder == copy ? at::kBFloat16 : at::kFloat);
    const EngineOptions options{.weights = kernels::WeightType::kFloat32};
    RolloutEngine first(*own.model, options), second(*mapped.model, options);
    const auto expected = first.Sample({&request, 1}, Progress()),
               found = second.Sample({&request, 1}, Progress());
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(found[0][i].tokens, expected[0][i].tokens);
      EXPECT_EQ(found[0][i].logprobs, expected[0][i].logprobs);
    }
    ReleaseMapped(head);
    EXPECT_TRUE(head.to(at::kFloat).equal(own.model->parameters().at("lm_head.weight")));
  }
  // A narrower type than the file's needs copies.
  const Checkpoint narrow = LoadCheckpoint(folder_, at::kCPU, at::kBFloat16, WeightUse::kRollouts);
  EXPECT_EQ(narrow.model->options().dtype(), at::kBFloat16);
}

TEST_F(CheckpointTest, NamesWhatIsMissing) {
  fs::remove(folder_ / "model.safetensors");
  EXPECT_THAT(Message(), HasSubstr("model.safetensors"));
  fs::copy_file(kTiny / "model.safetensors", folder_ / "model.safetensors");
  fs::remove(folder_ / "tokenizer.json");
  EXPECT_EQ(Message(), "no error");  // tokenizer.model is enough
  fs::remove(folder_ / "tokenizer.model");
  EXPECT_THAT(Message(), HasSubstr("tokenizer.model"));
  fs::remove(folder_ / "config.json");
  EXPECT_THAT(Message(), HasSubstr("config.json"));
}

TEST_F(CheckpointTest, NoticesTruncatedWeights) {
  const fs::path file = folder_ / "model.safetensors";
  for (const auto size :
       {fs::file_size(file) - 1, fs::file_size(file) / 2, std::uintmax_t{9}, std::uintmax_t{0}}) {
    fs::resize_file(file, size);
    EXPECT_THAT(Message(), HasSubstr("model.safetensors")) << size;
  }
}

TEST_F(CheckpointTest, NoticesWeightsThatDoNotFitTheConfig) {
  EditConfig("\"intermediate_size\": 256", "\"intermediate_size\": 264");
  EXPECT_THAT(Message(), HasSubstr("config.json implies [528, 128]"));
}

TEST_F(CheckpointTest, NoticesATokenizerThatDoesNotFit) {
  EditConfig("\"vocab_size\": 768", "\"vocab_size\": 700");
  EXPECT_THAT(Message(),
              HasSubstr("the tokenizer has 768 ids, but config.json has vocab_size 700"));
}

// A folder like that of Phi-3, whose config.json names only <|endoftext|>.
TEST(StopTokens, EndOfATurnIsOneUnlessGenerationConfigSaysOtherwise) {
  const testing::TempDir folder;
  PhiConfig config = testing::SmallConfig();
  config.eos_token_ids = {5};
  SavePhiConfig(config, folder.path());
  SaveWeights(*testing::SmallPhi(), folder.path());
  folder.Write("tokenizer.json", testing::kByteLevelJson);         // <|end|> is 24
  folder.Write("tokenizer_config.json", R"({"eos_token": "o"})");  // 3
  const auto ends = [&] {
    return LoadCheckpoint(folder.path(), at::kCPU, at::kFloat).model->config().eos_token_ids;
  };
  EXPECT_THAT(ends(), ElementsAre(5, 3, 24));
  folder.Write("generation_config.json", R"({"temperature": 0.7})");
  EXPECT_THAT(ends(), ElementsAre(5, 3, 24));
  folder.Write("generation_config.json", R"({"eos_token_id": 7})");
  EXPECT_THAT(ends(), ElementsAre(7));
}

TEST(RandomModel, IsAFunctionOfTheSeed) {
  const auto a = testing::SmallPhi(), b = testing::SmallPhi();
  const auto c = testing::SmallPhi(testing::SmallConfig(), 2);
  const char* name = "model.layers.1.mlp.down_proj.weight";
  EXPECT_TRUE(a->parameters().at(name).equal(b->parameters().at(name)));
  EXPECT_FALSE(a->parameters().at(name).equal(c->parameters().at(name)));
  EXPECT_NEAR(a->parameters().at(name).std().item<double>(), 0.3, 0.03);
}

TEST(Parse, DevicesAndTypes) {
  EXPECT_TRUE(ParseDevice("cpu").is_cpu());
  EXPECT_THROW(ParseDevice("gpu"), Error);
  EXPECT_THROW(ParseDevice("mps"), Error);
  EXPECT_EQ(ParseDType("bfloat16"), at::kBFloat16);
  EXPECT_THROW(ParseDType("int8"), Error);
}

}  // namespace
}  // namespace pivotal::model
