// Apache-2.0. Tests what adapters compute, their gradients, and their files; lora_parity_test.cc
// compares them with PEFT.
#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>

#include "data/base/error.h"
#include "data/weights/safetensors.h"
#include "tests/support/error_text.h"
#include "tests/support/small_phi.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const at::Tensor& Tokens() {
  static const at::Tensor tokens =
      at::tensor({1, 5, 9, 4, 33, 60, 2, 17, 8, 3, 21, 40}, at::TensorOptions(at::kLong))
          .view({2, 6});
  return tokens;
}

at::Tensor Logits(const PhiModel& model) { return model.Logits(model.Hidden(Tokens())); }

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// Makes an adapter with nonzero B, as after training.
std::shared_ptr<const Adapter> Grown(const PhiModel& model, LoraOptions options,
                                     uint64_t seed = 7) {
  const auto adapter = NewAdapter(model, options, seed);
  const c10::NoGradGuard no_grad;
  for (const auto& [layer, update] : adapter->updates) {
    at::Tensor b = update.b;
    for (int64_t i = 0; i < b.size(0); ++i)
      for (int64_t j = 0; j < b.size(1); ++j)
        b[i][j] = 0.02 * static_cast<double>((5 * i + 3 * j) % 7 - 3);
  }
  return adapter;
}

TEST(Lora, ANewAdapterChangesNothingAndATrainedOneDoes) {
  const c10::NoGradGuard no_grad;
  const auto model = testing::SmallPhi();
  const at::Tensor before = Logits(*model);
  model->set_adapter(NewAdapter(*model, {.rank = 4}, 1));
  EXPECT_EQ(model->Trainable().size(), 2u * 3 * 4);
  EXPECT_TRUE(Logits(*model).equal(before));
  model->set_adapter(Grown(*model, {.rank = 4}));
  EXPECT_GT(LargestDifference(Logits(*model), before), 0.1);
  model->set_adapter(nullptr);
  EXPECT_TRUE(Logits(*model).equal(before));
  EXPECT_EQ(model->Trainable().size(), model->parameters().size());
}

TEST(Lora, StartsAsPeftDoes) {
  const auto model = testing::SmallPhi();
  const auto adapter = NewAdapter(*model, {.rank = 64, .alpha = 32, .rslora = true}, 1);
  EXPECT_DOUBLE_EQ(adapter->options.Scale(), 4.0);
  const LowRank& update = adapter->updates.at("model.layers.1.mlp.down_proj");  // 40 inputs
  const double bound = 1 / std::sqrt(40.0);
  EXPECT_EQ(update.a.sizes(), at::IntArrayRef({64, 40}));
  EXPECT_LE(update.a.abs().max().item<double>(), bound);
  EXPECT_GT(update.a.abs().max().item<double>(), 0.99 * bound);
  // 2560 uniform draws: the mean's standard deviation is bound / sqrt(3 * 2560).
  EXPECT_LT(std::abs(update.a.mean().item<double>()), 4 * bound / std::sqrt(3.0 * 2560));
  EXPECT_EQ(update.b.abs().max().item<double>(), 0);
  const auto again = NewAdapter(*model, adapter->options, 1),
             other = NewAdapter(*model, adapter->options, 2);
  EXPECT_TRUE(again->updates.at("model.layers.1.mlp.down_proj").a.equal(update.a));
  EXPECT_FALSE(other->updates.at("model.layers.1.mlp.down_proj").a.equal(update.a));
}

TEST(Lora, GradientsAreThoseOfFiniteDifferences) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  model->set_adapter(Grown(*model, {.rank = 3, .alpha = 5}));
  const auto loss = [&] { return Logits(*model).sin().sum(); };
  for (auto& [name, tensor] : model->Trainable()) at::Tensor(tensor).requires_grad_(true);
  loss().backward();
  for (const char* layer : {"model.layers.0.self_attn.qkv_proj", "model.layers.1.self_attn.o_proj",
                            "model.layers.2.mlp.gate_up_proj", "model.layers.0.mlp.down_proj"}) {
    for (const char* matrix : {".lora_A.weight", ".lora_B.weight"}) {
      const at::Tensor parameter = model->Trainable().at(std::string(layer) + matrix);
      const at::Tensor gradient = parameter.grad().flatten();
      const at::Tensor values = parameter.detach().flatten();
      const c10::NoGradGuard no_grad;
      for (int64_t i : {int64_t{1}, values.numel() / 2}) {
        constexpr double kStep = 1e-5;
        const double at = values[i].item<double>();
        values[i] = at + kStep;
        const double above = loss().item<double>();
        values[i] = at - kStep;
        const double below = loss().item<double>();
        values[i] = at;
        EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * kStep), 1e-5)
            << layer << matrix;
      }
    }
  }
  for (const auto& [name, weight] : model->parameters())
    EXPECT_FALSE(weight.grad().defined()) << name;
}

TEST(Lora, MergedWeightsDoWhatTheAdapterDid) {
  const c10::NoGradGuard no_grad;
  const auto model = testing::InDouble(*testing::SmallPhi());
  const at::Tensor before = Logits(*model);
  model->set_adapter(Grown(*model, {.rank = 4, .modules = {"qkv_proj", "mlp.down_proj"}}));
  const at::Tensor adapted = Logits(*model);
  EXPECT_GT(LargestDifference(adapted, before), 0.1);
  MergeAdapter(*model);
  EXPECT_EQ(model->adapter(), nullptr);
  EXPECT_LT(LargestDifference(Logits(*model), adapted), 1e-12);
}

TEST(Lora, ExpertsTakeAdapters) {
  const c10::NoGradGuard no_grad;
  PhiConfig config = testing::SmallConfig();
  config.architecture = Architecture::kPhimoe;
  config.mlp = PhiConfig::Mlp::kExperts;
  config.qkv = PhiConfig::Qkv::kSeparate;
  config.norm = PhiConfig::Norm::kLayer;
  config.num_experts = 3;
  const auto model = testing::InDouble(*testing::SmallPhi(config));
  const at::Tensor before = Logits(*model);
  model->set_adapter(Grown(*model, {.rank = 2, .modules = {"w2"}}));
  const at::Tensor adapted = Logits(*model);
  EXPECT_GT(LargestDifference(adapted, before), 1e-3);
  MergeAdapter(*model);
  EXPECT_LT(LargestDifference(Logits(*model), adapted), 1e-12);
}

TEST(Lora, FilesBringTheAdapterBack) {
  const c10::NoGradGuard no_grad;
  const testing::TempDir temp;
  const auto model = testing::SmallPhi();
  model->set_adapter(Grown(*model, {.rank = 5, .alpha = 3, .rslora = true, .modules = {"o_proj"}}));
  const at::Tensor adapted = Logits(*model);
  SaveAdapter(*model->adapter(), "base", temp.path());
  const auto read = LoadAdapter(temp.path(), *model);
  EXPECT_EQ(read->options.rank, 5);
  EXPECT_THAT(read->options.modules, ::testing::ElementsAre("o_proj"));
  model->set_adapter(read);
  EXPECT_TRUE(Logits(*model).equal(adapted));
}

TEST(Lora, BFloat16WeightsKeepAFloat32Adapter) {
  const c10::NoGradGuard no_grad;
  ParameterMap parameters;
  const auto small = testing::SmallPhi();
  for (const auto& [name, tensor] : small->parameters())
    parameters[name] = tensor.to(at::kBFloat16);
  PhiModel model(testing::SmallConfig(), parameters, "test");
  model.set_adapter(Grown(model, {.rank = 4}));
  EXPECT_EQ(model.Trainable().begin()->second.scalar_type(), at::kFloat);
  EXPECT_EQ(Logits(model).scalar_type(), at::kBFloat16);
}

TEST(Lora, RefusesWhatDoesNotFit) {
  const testing::TempDir temp;
  const auto model = testing::SmallPhi();
  const auto message = [&](auto action) {
    try {
      action();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message([&] { NewAdapter(*model, {.rank = 2, .modules = {"q_proj"}}, 1); }),
              HasSubstr("\"q_proj\" is no linear layer of this model; it has down_proj"));
  EXPECT_THAT(message([&] { NewAdapter(*model, {.rank = -1}, 1); }), HasSubstr("rank"));
  SaveAdapter(*NewAdapter(*model, {.rank = 2}, 1), "base", temp.path());
  PhiConfig wide = testing::SmallConfig();
  wide.intermediate_size = 48;
  EXPECT_THAT(message([&] { LoadAdapter(temp.path(), *testing::SmallPhi(wide)); }),
              HasSubstr("has shape [80, 2]; [96, 2] fits"));
  PhiConfig shallow = testing::SmallConfig();
  shallow.num_hidden_layers = 2;
  EXPECT_THAT(
      message([&] { LoadAdapter(temp.path(), *testing::SmallPhi(shallow)); }),
      AllOf(HasSubstr("tensor \"base_model.model.model.layers.2.mlp.down_proj.lora_A.weight\" "
                      "is no low-rank update"),
            HasSubstr("its layers are down_proj, gate_up_proj, o_proj, qkv_proj"),
            HasSubstr("e.g. \"base_model.model.model.layers.0.self_attn.qkv_proj.lora_A."
                      "weight\"")));
}

// Every field of LoraConfig in PEFT 0.21.2, with a value that a file may have.
TEST(Lora, ReadsOrRefusesEveryKeyOfPeft) {
  const testing::TempDir temp;
  const auto model = testing::SmallPhi();
  SaveAdapter(*Grown(*model, {.rank = 2}), "base", temp.path());
  const auto load = [&](const std::string& key, const std::string& value) {
    temp.Write("adapter_config.json",
               R"({"peft_type": "LORA", "r": 2, "lora_alpha": 2, ")" + key + "\": " + value + "}");
    return testing::ErrorText([&] { LoadAdapter(temp.path(), *model); });
  };
  using Cases = std::vector<std::pair<std::string, std::string>>;
  for (const auto& [key, value] :
       Cases{{"task_type", R"("CAUSAL_LM")"},
             {"auto_mapping", R"({"base_model_class": "Phi3ForCausalLM", "unsloth_fixed": true})"},
             {"peft_version", R"("0.21.2")"},
             {"base_model_name_or_path", R"("microsoft/phi-4")"},
             {"revision", R"("main")"},
             {"inference_mode", "true"},
             {"target_modules", R"(["qkv_proj"])"},
             {"target_modules", R"("all-linear")"},
             {"exclude_modules", R"(["lm_head"])"},
             {"lora_dropout", "0.1"},
             {"fan_in_fan_out", "false"},
             {"bias", R"("none")"},
             {"use_rslora", "true"},
             {"modules_to_save", "null"},
             {"modules_to_save", "[]"},
             {"init_lora_weights", "true"},
             {"init_lora_weights", "false"},
             {"init_lora_weights", R"("gaussian")"},
             {"init_lora_weights", R"("eva")"},
             {"init_lora_weights", R"("orthogonal")"},
             {"init_lora_weights", R"("mica")"},
             {"layers_to_transform", "[0, 1]"},
             {"layers_pattern", R"("layers")"},
             {"rank_pattern", "{}"},
             {"alpha_pattern", "{}"},
             {"megatron_config", "null"},
             {"megatron_core", R"("megatron.core")"},
             {"trainable_token_indices", "null"},
             {"loftq_config", "{}"},
             {"eva_config", R"({"rho": 2.0})"},
             {"corda_config", R"({"corda_method": "ipm"})"},
             {"lora_ga_config", R"({"direction": "ArB2r"})"},
             {"velora_config", R"({"num_groups": 8})"},
             {"qalora_group_size", "16"},
             {"runtime_config", R"({"ephemeral_gpu_offload": false})"},
             {"ensure_weight_tying", "true"}})
    EXPECT_EQ(load(key, value), "(no Error)") << key << ": " << value;
  for (const auto& [key, value] : Cases{{"use_dora", "true"},
                                        {"fan_in_fan_out", "true"},
                                        {"bias", R"("lora_only")"},
                                        {"modules_to_save", R"(["lm_head"])"},
                                        {"rank_pattern", R"({"o_proj": 4})"},
                                        {"alpha_pattern", R"({"o_proj": 4})"},
                                        {"megatron_config", R"({"hidden_size": 24})"},
                                        {"trainable_token_indices", "[0, 1]"},
                                        {"alora_invocation_tokens", "[529, 29989]"},
                                        {"use_qalora", "true"},
                                        {"monteclora_config", R"({"num_samples": 8})"},
                                        {"layer_replication", "[[0, 2], [1, 3]]"},
                                        {"lora_bias", "true"},
                                        {"target_parameters", R"(["experts.gate_up_proj"])"},
                                        {"use_bdlora", R"({"nblocks": 2})"},
                                        {"arrow_config", R"({"top_k": 3})"},
                                        {"kasa_config", R"({"beta": 1e-4})"}})
    EXPECT_THAT(load(key, value), AllOf(HasSubstr("adapter_config.json: " + key + " is "),
                                        HasSubstr("which Pivotal does not compute; merge")))
        << key << ": " << value;
  EXPECT_THAT(load("use_something_new", "true"),
              HasSubstr("use_something_new is true, which Pivotal does not know; merge"));
  for (const char* changed :
       {"pissa", "pissa_niter_16", "olora", "OLoRA", "corda", "loftq", "lora_ga", "something_new"})
    EXPECT_THAT(load("init_lora_weights", "\"" + std::string(changed) + "\""),
                AllOf(HasSubstr("init_lora_weights is \"" + std::string(changed) + "\""),
                      HasSubstr("path_initial_model_for_weight_conversion")));
  EXPECT_THAT(load("use_rslora", R"("yes")"), HasSubstr("use_rslora must be true or false"));
}

TEST(Lora, TheBaseMayHaveAPathThatIsNoUtf8) {
  const testing::TempDir temp;
  const auto model = testing::SmallPhi();
  SaveAdapter(*Grown(*model, {.rank = 2}), "caf\xE9", temp.path());
  EXPECT_NO_THROW(LoadAdapter(temp.path(), *model));
}

// Writes an adapter's tensors under other names.
void Rename(const fs::path& folder, const std::function<std::string(std::string)>& rename) {
  const data::SafetensorsReader reader(
      data::SafetensorsReader::OfFile(folder / "adapter_model.safetensors"));
  std::map<std::string, data::TensorView> tensors;
  for (const std::string& name : reader.Names()) tensors[rename(name)] = reader.Get(name);
  data::WriteSafetensors(folder / "adapter_model.safetensors", tensors);
}

TEST(Lora, KeysMayHaveTheNameOfPeftsDefaultAdapter) {
  const testing::TempDir temp;
  const auto model = testing::SmallPhi();
  const auto adapter = Grown(*model, {.rank = 2});
  SaveAdapter(*adapter, "base", temp.path());
  Rename(temp.path(), [](std::string name) {
    return name.replace(name.rfind(".weight"), 7, ".default.weight");
  });
  const auto read = LoadAdapter(temp.path(), *model);
  ASSERT_EQ(read->updates.size(), adapter->updates.size());
  for (const auto& [layer, update] : adapter->updates)
    EXPECT_TRUE(read->updates.at(layer).b.equal(update.b)) << layer;
}

// Adapters on queries, keys and values one by one, as on a Llama, become one on the merged layer.
TEST(Lora, TakesUpdatesOfMergedLayersOneByOne) {
  const c10::NoGradGuard no_grad;
  const testing::TempDir temp;
  const auto model = testing::SmallPhi();
  std::map<std::string, data::TensorView> views;
  std::deque<std::vector<float>> values;
  std::map<std::string, at::Tensor> deltas;  // of a projection: its whole update
  const auto add = [&](const std::string& layer, int64_t out, int64_t in) {
    at::Tensor matrices[2];
    for (const bool is_b : {false, true}) {
      const std::vector<int64_t> shape =
          is_b ? std::vector{out, int64_t{2}} : std::vector{int64_t{2}, in};
      auto& data = values.emplace_back();
      for (int64_t i = 0; i < shape[0] * shape[1]; ++i)
        data.push_back(0.02f * static_cast<float>((7 * i + std::ssize(values)) % 11 - 5));
      views["base_model.model.model.layers." + layer +
            (is_b ? ".lora_B.weight" : ".lora_A.weight")] = {data::DType::kF32, shape,
                                                             std::as_bytes(std::span(data))};
      matrices[is_b ? 1 : 0] = at::tensor(data).view(shape).to(at::kDouble);
    }
    deltas[layer] = matrices[1].mm(matrices[0]);
  };
  add("0.self_attn.q_proj", 24, 24);
  add("0.self_attn.v_proj", 8, 24);  // none for the keys
  add("1.mlp.gate_proj", 40, 24);
  add("1.mlp.up_proj", 40, 24);
  add("2.self_attn.o_proj", 24, 24);
  data::WriteSafetensors(temp.path() / "adapter_model.safetensors", views);
  for (const std::string rslora : {"false", "true"}) {
    temp.Write("adapter_config.json",
               R"({"peft_type": "LORA", "r": 2, "lora_alpha": 6, "use_rslora": )" + rslora + "}");
    const double scale = rslora == "true" ? 6 / std::sqrt(2.0) : 3;
    const auto adapter = LoadAdapter(temp.path(), *model);
    EXPECT_EQ(adapter->options.rank, 6);
    EXPECT_NEAR(adapter->options.Scale(), scale, 1e-12);
    EXPECT_THAT(adapter->options.modules,
                ::testing::ElementsAre("gate_up_proj", "o_proj", "qkv_proj"));
    const auto delta = [&](const std::string& layer) {
      const LowRank& update = adapter->updates.at("model.layers." + layer);
      return update.scale * update.b.mm(update.a);
    };
    const at::Tensor qkv = delta("0.self_attn.qkv_proj");  // 24 rows of queries, 8, 8
    EXPECT_LT(LargestDifference(qkv.narrow(0, 0, 24), scale * deltas["0.self_attn.q_proj"]), 1e-6);
    EXPECT_EQ(qkv.narrow(0, 24, 8).abs().max().item<double>(), 0);
    EXPECT_LT(LargestDifference(qkv.narrow(0, 32, 8), scale * deltas["0.self_attn.v_proj"]), 1e-6);
    const at::Tensor up = delta("1.mlp.gate_up_proj");
    EXPECT_LT(LargestDifference(up.narrow(0, 0, 40), scale * deltas["1.mlp.gate_proj"]), 1e-6);
    EXPECT_LT(LargestDifference(up.narrow(0, 40, 40), scale * deltas["1.mlp.up_proj"]), 1e-6);
    EXPECT_LT(LargestDifference(delta("2.self_attn.o_proj"), scale * deltas["2.self_attn.o_proj"]),
              1e-6);
    const testing::TempDir again;
    SaveAdapter(*adapter, "base", again.path());
    const auto read = LoadAdapter(again.path(), *model);
    for (const auto& [layer, update] : adapter->updates)
      EXPECT_LT(LargestDifference(
                    read->updates.at(layer).b.mm(read->updates.at(layer).a) * read->options.Scale(),
                    update.b.mm(update.a) * scale),
                1e-6)
          << layer;
  }
}

TEST(Lora, RefusesValuesThatAreNotFinite) {
  const testing::TempDir temp;
  const auto model = testing::SmallPhi();
  const auto adapter = Grown(*model, {.rank = 2});
  at::Tensor b = adapter->updates.at("model.layers.1.self_attn.o_proj").b;
  b[1][1] = NAN;
  SaveAdapter(*adapter, "base", temp.path());
  EXPECT_THAT(
      testing::ErrorText([&] { LoadAdapter(temp.path(), *model); }),
      HasSubstr("adapter_model.safetensors: tensor "
                "\"base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight\" holds NaN or "
                "infinity, first at element 3 of 48"));
}

}  // namespace
}  // namespace pivotal::model
