// Apache-2.0. Tests how config.json is read, refused and written.
#include "model/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/base/error.h"
#include "model/weights.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ConfigFileTest : public ::testing::Test {
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

// The relevant keys of microsoft/Phi-3-mini-4k-instruct.
constexpr const char* kPhi3Mini = R"({"architectures": ["Phi3ForCausalLM"], "bos_token_id": 1,
  "eos_token_id": 32000, "pad_token_id": 32000, "hidden_act": "silu", "hidden_size": 3072,
  "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 4096,
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
  "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000.0, "sliding_window": 2047,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32064,
  "attention_bias": false})";

TEST_F(ConfigFileTest, ReadsPhi3Mini) {
  const PhiConfig config = Load(kPhi3Mini);
  EXPECT_EQ(config.sliding_window, 2047);
  EXPECT_EQ(config.head_dim, 96);
  EXPECT_EQ(NumParameters(config), 3821079552);  // as the model card's safetensors index says
  EXPECT_THAT(config.eos_token_ids, ElementsAre(32000));
}

TEST_F(ConfigFileTest, GenerationConfigHasTheLastWordOnStopTokens) {
  std::ofstream(folder_.path() / "generation_config.json")
      << R"({"eos_token_id": [32000, 32001, 32007]})";
  EXPECT_THAT(Load(kPhi3Mini).eos_token_ids, ElementsAre(32000, 32001, 32007));
}

TEST_F(ConfigFileTest, ReadsTransformers5) {
  const PhiConfig config = Load(R"({"architectures": ["Phi3ForCausalLM"], "hidden_size": 64,
    "num_attention_heads": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0,
    "partial_rotary_factor": 1.0}, "dtype": "float32"})");
  EXPECT_EQ(config.rope.theta, 500.0);
  EXPECT_EQ(config.num_key_value_heads, 4);
}

TEST_F(ConfigFileTest, RoundTrips) {
  PhiConfig config = Load(kPhi3Mini);
  config.eos_token_ids = {5, 6};
  SavePhiConfig(config, folder_.path());
  const PhiConfig again = LoadPhiConfig(folder_.path());
  EXPECT_EQ(NumParameters(again), NumParameters(config));
  EXPECT_EQ(again.sliding_window, 2047);
  EXPECT_THAT(again.eos_token_ids, ElementsAre(5, 6));
}

// Published configs have as many parameters as the model's page on Hugging Face says.
TEST_F(ConfigFileTest, ReadsTheFamily) {
  const auto count = [&](const std::string& json) { return NumParameters(Load(json)); };
  EXPECT_EQ(
      count(
          R"({"architectures": ["PhiForCausalLM"], "hidden_size": 2560, "intermediate_size": 10240,
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": null, "vocab_size": 51200,
    "hidden_act": "gelu_new", "partial_rotary_factor": 0.4, "max_position_embeddings": 2048,
    "rope_theta": 10000.0, "rope_scaling": null, "qk_layernorm": false, "eos_token_id": 50256})"),
      2779683840);
  EXPECT_EQ(
      count(
          R"({"architectures": ["Phi3ForCausalLM"], "hidden_size": 5120, "intermediate_size": 17920,
    "num_attention_heads": 40, "num_hidden_layers": 40, "num_key_value_heads": 10, "vocab_size": 32064,
    "hidden_act": "silu", "sliding_window": 2047})"),
      13960238080);
  EXPECT_EQ(
      count(
          R"({"architectures": ["Phi3ForCausalLM"], "hidden_size": 5120, "intermediate_size": 17920,
    "num_attention_heads": 40, "num_hidden_layers": 40, "num_key_value_heads": 10, "vocab_size": 100352,
    "hidden_act": "silu", "rope_theta": 250000, "sliding_window": null})"),
      14659507200);
  EXPECT_EQ(count(R"({"architectures": ["Phi3SmallForCausalLM"], "hidden_size": 4096,
    "ff_intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "vocab_size": 100352, "hidden_act": "gegelu"})"),
            7392272384);
}

std::string LongRope(const std::string& head, const std::string& more = "") {
  std::string factors;
  for (int i = 0; i < 48; ++i) factors += (i > 0 ? ", 1." : "1.") + std::to_string(i);
  return R"({"architectures": [")" + head +
         R"("], "max_position_embeddings": 131072, "rope_scaling":
    {"type": "longrope", "short_factor": [)" +
         factors + R"(], "long_factor": [)" + factors + "]" + more + "}}";
}

TEST_F(ConfigFileTest, ReadsLongRope) {
  const PhiConfig config = Load(LongRope("Phi3ForCausalLM"));
  EXPECT_EQ(config.rope.original_length, 4096);
  EXPECT_NEAR(config.rope.long_scale, 1.1902380714238083, 1e-12);  // as Phi-3-small-128k states it
  EXPECT_EQ(config.rope.short_scale, config.rope.long_scale);
  EXPECT_FALSE(config.rope.IsLong(4096));
  EXPECT_TRUE(config.rope.IsLong(4097));
  EXPECT_EQ(Load(LongRope("Phi3ForCausalLM", R"(, "attention_factor": 1.5)")).rope.short_scale,
            1.5);
  EXPECT_THAT(Message(LongRope("PhimoeForCausalLM")), HasSubstr("short_mscale"));
  EXPECT_THAT(Message(LongRope("PhiForCausalLM")), HasSubstr("longrope"));
}

TEST_F(ConfigFileTest, TextModelOfPhi3VisionIsSavedAsPhi3) {
  Load(R"({"architectures": ["Phi3VForCausalLM"], "model_type": "phi3_v", "img_processor": {},
           "torch_dtype": "bfloat16", "vocab_size": 99})");
  testing::TempDir to;
  CopyPhiConfig(LoadPhiConfig(folder_.path()), folder_.path(), "float32", to.path());
  const PhiConfig config = LoadPhiConfig(to.path());
  EXPECT_EQ(config.architecture, Architecture::kPhi3);
  EXPECT_EQ(config.vocab_size, 99);
}

// The config of a published Phi-4 whose weights have a Llama's names.
constexpr const char* kLlamaPhi4 = R"({"architectures": ["LlamaForCausalLM"],
  "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 100257, "eos_token_id": 100265,
  "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120, "initializer_range": 0.02,
  "intermediate_size": 17920, "max_position_embeddings": 16384, "mlp_bias": false,
  "model_type": "llama", "num_attention_heads": 40, "num_hidden_layers": 40,
  "num_key_value_heads": 10, "original_max_position_embeddings": 16384, "pad_token_id": 100351,
  "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 250000,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true,
  "vocab_size": 100352})";

TEST_F(ConfigFileTest, ReadsAPhi4NamedLlama) {
  const PhiConfig config = Load(kLlamaPhi4);
  EXPECT_EQ(config.architecture, Architecture::kLlama);
  EXPECT_EQ(NumParameters(config), 14659507200);  // as Phi-4's page on Hugging Face says
  EXPECT_EQ(config.rope.theta, 250000);
  testing::TempDir to;
  CopyPhiConfig(config, folder_.path(), "float32", to.path());
  const PhiConfig saved = LoadPhiConfig(to.path());
  EXPECT_EQ(saved.architecture, Architecture::kPhi3);
  EXPECT_EQ(NumParameters(saved), 14659507200);
}

// transformers' LlamaConfig() and Phi3Config() have other defaults; a copy spells them out.
TEST_F(ConfigFileTest, ALlamaKeepsItsDefaultsAsPhi3) {
  const PhiConfig llama = Load(R"({"model_type": "llama", "sliding_window": 7})");
  EXPECT_EQ(NumParameters(llama), 6738415616);  // Llama-2-7B
  EXPECT_EQ(llama.norm_eps, 1e-6);
  EXPECT_EQ(llama.sliding_window, 0);  // a Llama has none
  testing::TempDir to;
  CopyPhiConfig(llama, folder_.path(), "float32", to.path());
  const PhiConfig phi = LoadPhiConfig(to.path());
  EXPECT_EQ(phi.architecture, Architecture::kPhi3);
  EXPECT_EQ(NumParameters(phi), NumParameters(llama));
  EXPECT_EQ(phi.norm_eps, 1e-6);
  EXPECT_EQ(phi.max_position_embeddings, 2048);
  EXPECT_EQ(phi.sliding_window, 0);
  EXPECT_THAT(phi.eos_token_ids, ElementsAre(2));
}

TEST_F(ConfigFileTest, RefusesWhatALlamaHasBeyondAPhi3) {
  const std::string head = R"({"architectures": ["LlamaForCausalLM"], )";
  EXPECT_THAT(Message(head + R"("mlp_bias": true})"), HasSubstr("\"mlp_bias\": true"));
  EXPECT_THAT(Message(head + R"("attention_bias": true})"), HasSubstr("\"attention_bias\": true"));
  EXPECT_THAT(Message(head + R"("hidden_act": "gelu"})"), HasSubstr("hidden_act"));
  EXPECT_THAT(Message(head + R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0}})"),
              HasSubstr("rope_scaling of type \"llama3\" is not supported for LlamaForCausalLM"));
  EXPECT_THAT(Message(head + R"("rope_scaling": {"type": "linear", "factor": 2.0}})"),
              HasSubstr("\"linear\""));
}

TEST_F(ConfigFileTest, TakesTheModelTypeWithoutArchitectures) {
  EXPECT_EQ(Load(R"({"model_type": "phi"})").architecture, Architecture::kPhi);
  EXPECT_EQ(Load(R"({"model_type": "phi3"})").architecture, Architecture::kPhi3);
  EXPECT_EQ(Load(R"({"architectures": null, "model_type": "phi3small"})").architecture,
            Architecture::kPhi3Small);
  EXPECT_EQ(Load(R"({"architectures": [], "model_type": "phi3_v"})").architecture,
            Architecture::kPhi3V);
  EXPECT_EQ(Load(R"({"model_type": "phimoe"})").architecture, Architecture::kPhimoe);
  EXPECT_THAT(Message(R"({"model_type": "mistral"})"),
              HasSubstr("architecture (none named) of type mistral is not supported"));
  EXPECT_THAT(
      Message(R"({"architectures": ["Phi3ForSequenceClassification"], "model_type": "phi3"})"),
      HasSubstr("Phi3ForSequenceClassification is not supported"));
}

// Huge sizes are refused before they overflow or fill the memory.
TEST_F(ConfigFileTest, RefusesHugeSizes) {
  const std::string head = R"({"architectures": ["Phi3ForCausalLM"], )";
  EXPECT_THAT(Message(head + R"("vocab_size": 9223372036854775807})"),
              HasSubstr("vocab_size is 9223372036854775807"));
  EXPECT_THAT(Message(head + R"("hidden_size": 18446744073709551616})"), HasSubstr("hidden_size"));
  EXPECT_THAT(Message(head + R"("hidden_size": 9223372036854775808})"), HasSubstr("hidden_size"));
  EXPECT_THAT(Message(head + R"("hidden_size": 64.5})"),
              HasSubstr("\"hidden_size\" has the wrong type: 64.5"));
  EXPECT_THAT(Message(head + R"("hidden_size": true})"),
              HasSubstr("\"hidden_size\" has the wrong type: true"));
  EXPECT_THAT(Message(head + R"("eos_token_id": [1, 2.5]})"),
              HasSubstr("\"eos_token_id\" has the wrong type"));
  EXPECT_THAT(Message(head + R"("num_hidden_layers": 16777216})"),
              HasSubstr("num_hidden_layers is 16777216"));
  EXPECT_THAT(Message(head + R"("hidden_size": 16777216, "intermediate_size": 16777216})"),
              HasSubstr("more than 1e+13; correct the file"));
  EXPECT_THAT(Message(head + R"("num_attention_heads": 16777216, "head_dim": 16777216})"),
              HasSubstr("1e+13"));
  EXPECT_THAT(Message(R"({"architectures": ["PhimoeForCausalLM"], "num_local_experts": 2000})"),
              HasSubstr("num_local_experts is 2000"));
  EXPECT_THAT(
      Message(head +
              R"("rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1],
                                "attention_factor": -1}})"),
      HasSubstr("scale attention by"));
}

TEST_F(ConfigFileTest, RefusesWhatItCannotRun) {
  const std::string head = R"({"architectures": ["Phi3ForCausalLM"], )";
  const std::string small = R"({"architectures": ["Phi3SmallForCausalLM"], )";
  EXPECT_THAT(Message(R"({"architectures": ["MistralForCausalLM"]})"),
              HasSubstr("MistralForCausalLM is not supported"));
  EXPECT_THAT(Message("{}"), HasSubstr("(none named)"));
  EXPECT_THAT(Message(head + R"("rope_scaling": {"type": "longrope"}})"),
              HasSubstr("short_factor has 0 numbers"));
  EXPECT_THAT(Message(head + R"("rope_scaling": {"type": "llama3"}})"), HasSubstr("llama3"));
  EXPECT_THAT(Message(head + R"("rope_scaling": 3})"), HasSubstr("rope_scaling"));
  EXPECT_THAT(Message(head + R"("partial_rotary_factor": 1.5})"),
              HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(Message(head + R"("partial_rotary_factor": 0.01})"),
              HasSubstr("dimensions would rotate"));
  EXPECT_THAT(Message(head + R"("attention_bias": true})"), HasSubstr("attention_bias"));
  EXPECT_THAT(Message(head + R"("hidden_act": "gelu"})"), HasSubstr("hidden_act"));
  EXPECT_THAT(Message(head + R"("quantization_config": {"bits": 4}})"),
              HasSubstr("quantization_config"));
  EXPECT_THAT(Message(head + R"("hidden_size": "big"})"),
              HasSubstr("\"hidden_size\" has the wrong type"));
  EXPECT_THAT(Message(head + R"("hidden_size": 100, "num_attention_heads": 3})"),
              HasSubstr("does not split"));
  EXPECT_THAT(Message(head + R"("num_attention_heads": 0})"), HasSubstr("does not split"));
  EXPECT_THAT(Message(head + R"("num_hidden_layers": -1})"), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(Message(head + R"("num_key_value_heads": 5})"), HasSubstr("not a multiple"));
  EXPECT_THAT(Message(small + R"("blocksparse_vert_stride": 0})"),
              HasSubstr("blocksparse_vert_stride"));
  EXPECT_THAT(Message(small + R"("dummy_token_indices": [100352]})"),
              HasSubstr("dummy_token_indices"));
  EXPECT_THAT(Message(small + R"("rope_position_scale": 2.0})"), HasSubstr("rope_position_scale"));
  EXPECT_THAT(Message(R"({"architectures": ["PhimoeForCausalLM"], "num_local_experts": 1})"),
              HasSubstr("num_local_experts"));
  EXPECT_THAT(Message("not json"), HasSubstr("config.json"));
  EXPECT_THAT(Message(head + R"("hidden_size": 32, "hidden_size": 64})"),
              HasSubstr("\"hidden_size\" stands twice"));
  EXPECT_THROW(LoadPhiConfig(folder_.path() / "nowhere"), Error);
  EXPECT_THROW(LoadPhiConfig(folder_.path() / std::string(300, 'x')), Error);  // too long a name
}

}  // namespace
}  // namespace pivotal::model
