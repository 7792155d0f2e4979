// Apache-2.0.
#include "model/phi_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/error.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PhiConfigTest : public ::testing::Test {
 protected:
  PhiConfig Load(const std::string& json) {
    std::ofstream(folder_.path() / "config.json") << json;
    return LoadPhiConfig(folder_.path());
  }
  std::string Message(const std::string& json) {
    try {
      Load(json);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  testing::TempDir folder_;
};

// microsoft/Phi-3-mini-4k-instruct, the keys that matter.
constexpr const char* kPhi3Mini = R"({"architectures": ["Phi3ForCausalLM"], "bos_token_id": 1,
  "eos_token_id": 32000, "pad_token_id": 32000, "hidden_act": "silu", "hidden_size": 3072,
  "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 4096,
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
  "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000.0, "sliding_window": 2047,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32064,
  "attention_bias": false})";

TEST_F(PhiConfigTest, ReadsPhi3Mini) {
  const PhiConfig config = Load(kPhi3Mini);
  EXPECT_EQ(config.sliding_window, 2047);
  EXPECT_EQ(config.head_dim(), 96);
  EXPECT_EQ(config.num_parameters(), 3821079552);  // as the model card's safetensors index says
  EXPECT_THAT(config.eos_token_ids, ElementsAre(32000));
}

TEST_F(PhiConfigTest, GenerationConfigHasTheLastWordOnStopTokens) {
  std::ofstream(folder_.path() / "generation_config.json") << R"({"eos_token_id": [32000, 32001, 32007]})";
  EXPECT_THAT(Load(kPhi3Mini).eos_token_ids, ElementsAre(32000, 32001, 32007));
}

TEST_F(PhiConfigTest, ReadsTransformers5) {
  const PhiConfig config = Load(R"({"architectures": ["Phi3ForCausalLM"], "hidden_size": 64,
    "num_attention_heads": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0,
    "partial_rotary_factor": 1.0}, "dtype": "float32"})");
  EXPECT_EQ(config.rope_theta, 500.0);
  EXPECT_EQ(config.num_key_value_heads, 4);
}

TEST_F(PhiConfigTest, RoundTrips) {
  PhiConfig config = Load(kPhi3Mini);
  config.eos_token_ids = {5, 6};
  SavePhiConfig(config, folder_.path());
  const PhiConfig again = LoadPhiConfig(folder_.path());
  EXPECT_EQ(again.num_parameters(), config.num_parameters());
  EXPECT_EQ(again.sliding_window, 2047);
  EXPECT_THAT(again.eos_token_ids, ElementsAre(5, 6));
}

TEST_F(PhiConfigTest, RefusesWhatItCannotRun) {
  const std::string head = R"({"architectures": ["Phi3ForCausalLM"], )";
  EXPECT_THAT(Message(R"({"architectures": ["LlamaForCausalLM"]})"), HasSubstr("LlamaForCausalLM is not supported"));
  EXPECT_THAT(Message("{}"), HasSubstr("(none named)"));
  EXPECT_THAT(Message(head + R"("rope_scaling": {"type": "longrope"}})"), HasSubstr("longrope"));
  EXPECT_THAT(Message(head + R"("partial_rotary_factor": 0.5})"), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(Message(head + R"("attention_bias": true})"), HasSubstr("attention_bias"));
  EXPECT_THAT(Message(head + R"("hidden_act": "gelu"})"), HasSubstr("hidden_act"));
  EXPECT_THAT(Message(head + R"("hidden_size": "big"})"), HasSubstr("\"hidden_size\" has the wrong type"));
  EXPECT_THAT(Message(head + R"("hidden_size": 100, "num_attention_heads": 3})"), HasSubstr("does not split"));
  EXPECT_THAT(Message(head + R"("num_hidden_layers": -1})"), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(Message(head + R"("num_key_value_heads": 5})"), HasSubstr("not a multiple"));
  EXPECT_THAT(Message("not json"), HasSubstr("config.json: not a JSON object"));
  EXPECT_THROW(LoadPhiConfig(folder_.path() / "nowhere"), Error);
}

}  // namespace
}  // namespace pivotal::model
