// Apache-2.0. Tests which tensors of a file become which weights, and which are refused.
#include "model/weight_files.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>

#include "data/base/file_sink.h"
#include "model/checkpoint.h"
#include "model/config_file.h"
#include "model/rollout_engine.h"
#include "tests/support/error_text.h"
#include "tests/support/small_phi.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

PhiConfig Tied() {
  PhiConfig config = testing::SmallConfig();
  config.tie_word_embeddings = true;
  return config;
}

// A folder with a small Phi-3, whose tensors a test changes.
class WeightFiles : public ::testing::Test {
 protected:
  void Save(
      const PhiConfig& config,
      const std::function<void(ParameterMap&)>& change = [](ParameterMap&) {}) {
    SavePhiConfig(config, folder_.path());
    folder_.Write("tokenizer.json", testing::kByteLevelJson);
    ParameterMap tensors = testing::SmallPhi(config)->parameters();
    change(tensors);
    SaveTensors(tensors, folder_.path());
  }
  // Adds a tensor of eight bytes of any type to the file.
  void AddRaw(const std::string& name, const std::string& type, int count) {
    const fs::path file = folder_.path() / "model.safetensors";
    std::string text = data::ReadFile(file);
    uint64_t header = 0;
    std::memcpy(&header, text.data(), 8);
    std::string json = text.substr(8, header), data = text.substr(8 + header);
    json.resize(json.find_last_of('}'));
    json += fmt::format(R"(,"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}}}})", name,
                        type, count, data.size(), data.size() + 8);
    header = json.size();
    std::ofstream(file, std::ios::binary)
        << std::string(reinterpret_cast<const char*>(&header), 8) << json << data << "12345678";
  }
  Checkpoint Load(at::ScalarType dtype = at::kFloat, WeightUse use = WeightUse::kAny) const {
    return LoadCheckpoint(folder_.path(), at::kCPU, dtype, use);
  }
  std::string Message(at::ScalarType dtype = at::kFloat) const {
    return testing::ErrorText([&] { Load(dtype); });
  }
  testing::TempDir folder_;
};

at::Tensor Logits(const PhiModel& model) {
  const c10::NoGradGuard no_grad;
  const at::Tensor tokens = at::tensor({1, 5, 9, 4, 33, 60, 2, 17}, at::kLong).view({1, 8});
  return model.Logits(model.Hidden(tokens));
}

void SplitRows(ParameterMap& tensors, const std::string& whole,
               const std::vector<std::pair<std::string, int64_t>>& parts) {
  const at::Tensor tensor = tensors.extract(whole).mapped();
  int64_t row = 0;
  for (const auto& [name, rows] : parts) {
    tensors[name] = tensor.narrow(0, row, rows).clone();
    row += rows;
  }
  ASSERT_EQ(row, tensor.size(0));
}

// Names a small Phi-3's weights and config as a Llama's.
class LlamaNames : public WeightFiles {
 protected:
  void SaveLlama(const PhiConfig& config = testing::SmallConfig()) {
    const int64_t q = config.num_attention_heads * config.head_dim,
                  kv = config.num_key_value_heads * config.head_dim;
    Save(config, [&](ParameterMap& tensors) {
      for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
        const std::string attention = fmt::format("model.layers.{}.self_attn.", i),
                          mlp = fmt::format("model.layers.{}.mlp.", i);
        SplitRows(tensors, attention + "qkv_proj.weight",
                  {{attention + "q_proj.weight", q},
                   {attention + "k_proj.weight", kv},
                   {attention + "v_proj.weight", kv}});
        SplitRows(tensors, mlp + "gate_up_proj.weight",
                  {{mlp + "gate_proj.weight", config.intermediate_size},
                   {mlp + "up_proj.weight", config.intermediate_size}});
      }
    });
    std::string text = data::ReadFile(folder_.path() / "config.json");
    for (const auto& [from, to] :
         {std::pair{"Phi3ForCausalLM", "LlamaForCausalLM"}, std::pair{"\"phi3\"", "\"llama\""}})
      text.replace(text.find(from), std::string(from).size(), to);
    folder_.Write("config.json", text);
  }
};

TEST_F(LlamaNames, AreAPhi3ToTheBit) {
  const auto phi = testing::SmallPhi();
  SaveLlama();
  const RolloutRequest request{{5, 9, 20, 31}, 4, 16, 1, 0};
  const EngineOptions options{.weights = kernels::WeightType::kFloat32};
  const auto expected = RolloutEngine(*phi, options).Sample({&request, 1}, Progress());
  for (const WeightUse use : {WeightUse::kAny, WeightUse::kRollouts}) {
    const Checkpoint llama = Load(at::kFloat, use);
    EXPECT_EQ(llama.model->config().architecture, Architecture::kLlama);
    ASSERT_EQ(llama.model->parameters().size(), phi->parameters().size());
    for (const auto& [name, tensor] : phi->parameters())
      EXPECT_TRUE(tensor.equal(llama.model->parameters().at(name))) << name;
    EXPECT_TRUE(Logits(*llama.model).equal(Logits(*phi)));
    const auto found = RolloutEngine(*llama.model, options).Sample({&request, 1}, Progress());
    for (std::size_t i = 0; i < found[0].size(); ++i) {
      EXPECT_EQ(found[0][i].tokens, expected[0][i].tokens);
      EXPECT_EQ(found[0][i].logprobs, expected[0][i].logprobs);
    }
  }
}

TEST_F(LlamaNames, AreSavedAsPhi3) {
  SaveLlama();
  const testing::TempDir saved;
  SaveCheckpoint(*Load().model, folder_.path(), saved.path());
  const Checkpoint phi = LoadCheckpoint(saved.path(), at::kCPU, at::kFloat);
  EXPECT_EQ(phi.model->config().architecture, Architecture::kPhi3);
  EXPECT_TRUE(Logits(*phi.model).equal(Logits(*testing::SmallPhi())));
}

TEST_F(LlamaNames, MustFitTheConfig) {
  SaveLlama();
  std::string text = data::ReadFile(folder_.path() / "config.json");
  // Six query heads and two key heads become four and four, which together have as many rows.
  for (const auto& [from, to] :
       {std::pair{"\"num_attention_heads\": 6", "\"num_attention_heads\": 4"},
        std::pair{"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4"},
        std::pair{"{\n", "{\n  \"head_dim\": 4,\n"}}) {
    ASSERT_NE(text.find(from), std::string::npos) << text;
    text.replace(text.find(from), std::string(from).size(), to);
  }
  folder_.Write("config.json", text);
  EXPECT_THAT(Message(), HasSubstr("self_attn.q_proj.weight\" has shape [24, 24], config.json "
                                   "implies [16, 24]"));
}

TEST_F(LlamaNames, MissingOnesAreNamed) {
  Save(testing::SmallConfig());
  std::string text = data::ReadFile(folder_.path() / "config.json");
  text.replace(text.find("Phi3ForCausalLM"), 15, "LlamaForCausalLM");
  folder_.Write("config.json", text);
  EXPECT_THAT(Message(),
              HasSubstr("tensor \"model.layers.0.mlp.gate_up_proj.weight\" has no place"));
}

TEST_F(WeightFiles, NanIsNamed) {
  Save(testing::SmallConfig(), [](ParameterMap& tensors) {
    tensors.at("model.layers.1.mlp.down_proj.weight")[3][2] = NAN;
  });
  EXPECT_THAT(Message(),
              HasSubstr("model.safetensors: tensor \"model.layers.1.mlp.down_proj.weight\" "
                        "holds NaN or infinity, first at element 122 of 960"));
  EXPECT_THAT(testing::ErrorText([&] { Load(at::kFloat, WeightUse::kRollouts); }),
              HasSubstr("holds NaN"));
}

TEST_F(WeightFiles, NumbersBeyondFloat16AreNamed) {
  Save(testing::SmallConfig(), [](ParameterMap& tensors) {
    tensors.at("model.layers.1.mlp.down_proj.weight")[3][2] = 70000;
  });
  EXPECT_EQ(Message(), "(no Error)");
  EXPECT_EQ(Message(at::kBFloat16), "(no Error)");
  EXPECT_THAT(Message(at::kHalf), AllOf(HasSubstr("\"model.layers.1.mlp.down_proj.weight\" holds "
                                                  "numbers beyond the range of float16"),
                                        HasSubstr("--dtype bfloat16")));
}

TEST_F(WeightFiles, TensorsWithoutUseAreNamed) {
  Save(testing::SmallConfig());
  for (const char* type : {"I64", "U8", "F8_E4M3", "BOOL"}) {
    AddRaw(std::string("extra.") + type, type, std::string(type) == "I64" ? 1 : 8);
    EXPECT_EQ(Message(), "(no Error)") << type;
  }
  AddRaw("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 2);
  EXPECT_EQ(Message(), "(no Error)");
  AddRaw("model.layers.3.input_layernorm.weight", "F32", 2);
  EXPECT_THAT(Message(),
              HasSubstr("model.safetensors: tensor \"model.layers.3.input_layernorm."
                        "weight\" has no place in the model that config.json describes"));
}

// transformers keeps a head that the file has, whatever the config says, and warns.
TEST_F(WeightFiles, ATiedModelMayHaveItsOwnHead) {
  PhiConfig untied = Tied();
  untied.tie_word_embeddings = false;
  const auto truth = testing::SmallPhi(untied);
  Save(Tied(), [&](ParameterMap& tensors) {
    tensors["lm_head.weight"] = truth->parameters().at("lm_head.weight");
  });
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  const Checkpoint own = Load();
  EXPECT_THAT(::testing::internal::GetCapturedStderr() + ::testing::internal::GetCapturedStdout(),
              HasSubstr("config.json says tie_word_embeddings, but the weights have an "
                        "lm_head.weight of their own"));
  EXPECT_TRUE(Logits(*own.model).equal(Logits(*truth)));
  const testing::TempDir saved;
  SaveCheckpoint(*own.model, folder_.path(), saved.path());
  EXPECT_THAT(data::ReadFile(saved.path() / "config.json"),
              HasSubstr("\"tie_word_embeddings\": false"));
  EXPECT_TRUE(
      Logits(*LoadCheckpoint(saved.path(), at::kCPU, at::kFloat).model).equal(Logits(*truth)));
}

TEST_F(WeightFiles, ATiedModelMayRepeatItsEmbedding) {
  Save(Tied(), [](ParameterMap& tensors) {
    tensors["lm_head.weight"] = tensors.at("model.embed_tokens.weight").clone();
  });
  const Checkpoint tied = Load();
  EXPECT_TRUE(tied.model->config().tie_word_embeddings);
  EXPECT_TRUE(Logits(*tied.model).equal(Logits(*testing::SmallPhi(Tied()))));
  const testing::TempDir saved;
  SaveCheckpoint(*tied.model, folder_.path(), saved.path());
  EXPECT_THAT(data::ReadFile(saved.path() / "config.json"),
              HasSubstr("\"tie_word_embeddings\": true"));
}

}  // namespace
}  // namespace pivotal::model
