// Apache-2.0. Tests what adapters compute, their gradients, and their files; lora_parity_test.cc
// compares them with PEFT.
#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "data/base/error.h"
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
  EXPECT_THAT(message([&] { LoadAdapter(temp.path(), *testing::SmallPhi(shallow)); }),
              HasSubstr("24 tensors, of which 16"));
  std::ofstream(temp.path() / "adapter_config.json")
      << R"({"peft_type": "LORA", "r": 2, "lora_alpha": 2, "use_dora": true})";
  EXPECT_THAT(message([&] { LoadAdapter(temp.path(), *model); }), HasSubstr("use_dora is true"));
}

}  // namespace
}  // namespace pivotal::model
