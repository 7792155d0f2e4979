// Apache-2.0. Updates during the backward pass must be those that come after it.
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "data/base/error.h"
#include "dpo/optimizer.h"
#include "dpo/trainer.h"
#include "model/lora.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

struct FusedCase {
  std::string name;
  at::ScalarType type = at::kFloat;
  bool tied = false, checkpointing = false, lora = false;
  OptimizerOptions optimizer = {};
};

void PrintTo(const FusedCase& c, std::ostream* out) { *out << c.name; }

std::vector<FusedCase> FusedCases() {
  std::vector<FusedCase> cases = {
      {"Plain"},
      {.name = "Tied", .tied = true},
      {.name = "Checkpointing", .checkpointing = true},
      {.name = "TiedCheckpointing", .tied = true, .checkpointing = true},
      {.name = "Lora", .lora = true},
      {.name = "Bfloat16", .type = at::kBFloat16},
      {.name = "Stochastic", .type = at::kBFloat16},
      {.name = "EightBit"},
      {.name = "EightBitStochastic", .type = at::kBFloat16}};
  for (FusedCase& c : cases) {
    if (c.name.starts_with("EightBit")) c.optimizer.type = OptimizerType::kAdamW8Bit;
    c.optimizer.clip_by = c.tied || c.type == at::kBFloat16 ? ClipBy::kPrevious : ClipBy::kTensor;
    if (c.name.ends_with("Stochastic")) c.optimizer.half_update = HalfUpdate::kStochastic;
  }
  return cases;
}

std::vector<PromptCompletion> ManyExamples() {
  std::vector<PromptCompletion> examples;
  for (TokenId i = 0; i < 24; ++i)
    examples.push_back({{1, 10 + i}, {30 + i, 40, static_cast<TokenId>(50 - i), 2}});
  return examples;
}

// Returns a model whose vocabulary is so large that the output matrix gets its gradient in pieces.
std::unique_ptr<model::PhiModel> FusedModel(const FusedCase& c) {
  model::PhiConfig config = testing::SmallConfig();
  config.vocab_size = 100'000;
  config.hidden_size = 8;
  config.intermediate_size = 520;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.tie_word_embeddings = c.tied;
  auto model = testing::InType(*testing::SmallPhi(config), c.type);
  model->set_activation_checkpointing(c.checkpointing);
  if (c.lora) model->set_adapter(model::NewAdapter(*model, {.rank = 2}, 1));
  return model;
}

class FusedBackward : public ::testing::TestWithParam<FusedCase> {};

TEST_P(FusedBackward, MakesTheSameStepsToTheBit) {
  const auto train = [&](bool fused) {
    const auto model = FusedModel(GetParam());
    const auto examples = ManyExamples();
    const auto objective = MakeSftObjective(*model, examples);
    TrainOptions options;
    options.batch_size = 40;
    options.epochs = 2;
    options.optimizer = GetParam().optimizer;
    options.optimizer.learning_rate = 1e-2;
    options.optimizer.max_grad_norm = 0.01;
    options.optimizer.fused_backward = fused;
    Trainer trainer(*model, *objective, options);
    std::vector<double> norms;
    while (!trainer.done()) norms.push_back(trainer.Step().grad_norm);
    auto state = trainer.State().optimizer.tensors;
    for (const auto& [name, tensor] : model->Trainable()) state[name] = tensor.detach();
    return std::pair(norms, state);
  };
  const auto [norms, state] = train(true);
  const auto [want_norms, want] = train(false);
  EXPECT_EQ(norms, want_norms);
  ASSERT_EQ(state.size(), want.size());
  for (const auto& [name, tensor] : want) EXPECT_TRUE(state.at(name).equal(tensor)) << name;
}

INSTANTIATE_TEST_SUITE_P(All, FusedBackward, ::testing::ValuesIn(FusedCases()),
                         [](const auto& info) { return info.param.name; });

OptimizerOptions Fused() {
  OptimizerOptions options;
  options.learning_rate = 1e-2;
  options.clip_by = ClipBy::kTensor;
  options.fused_backward = true;
  return options;
}

// Returns the loss of a step on all examples.
at::Tensor LossOf(const Objective& objective) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < objective.size(); ++i) all.push_back(i);
  return objective.Compute(all, all).loss;
}

TEST(FusedBackward, FreesTheGradientsOfALayerBeforeThoseOfTheNextButOneExist) {
  const auto model = testing::SmallPhi();
  const auto examples = ManyExamples();
  const auto objective = MakeSftObjective(*model, examples);
  AdamW optimizer(*model, Fused());
  std::size_t most = 0;
  for (const auto& [name, tensor] : model->parameters())
    tensor.register_hook([&](const at::Tensor&) {
      std::size_t gradients = 0;
      for (const auto& [other, parameter] : model->parameters())
        gradients += parameter.grad().defined() ? 1 : 0;
      most = std::max(most, gradients);
    });
  const at::Tensor loss = LossOf(*objective);
  optimizer.BeginBackward(1, loss);
  loss.backward();
  EXPECT_GT(most, 0U);
  EXPECT_LE(most, 7U) << "a layer has six tensors; all three have 18";
  EXPECT_TRUE(std::isfinite(optimizer.Step(1)));
}

TEST(FusedBackward, ALossThatIsNotFiniteChangesNothing) {
  const auto model = testing::SmallPhi();
  const auto examples = ManyExamples();
  const auto objective = MakeSftObjective(*model, examples);
  AdamW optimizer(*model, Fused());
  std::map<std::string, at::Tensor> before;
  for (const auto& [name, tensor] : model->parameters()) before[name] = tensor.detach().clone();
  const at::Tensor loss = LossOf(*objective) + std::numeric_limits<double>::infinity();
  optimizer.BeginBackward(1, loss);
  loss.backward();
  at::Tensor values = loss.detach().to(at::kDouble).view({1, 1});
  EXPECT_FALSE(std::isfinite(optimizer.Step(1, values)));
  for (const auto& [name, tensor] : model->parameters())
    EXPECT_TRUE(tensor.detach().equal(before.at(name))) << name;
}

TEST(FusedBackward, StopsAtAGradientThatIsNotFinite) {
  const auto model = testing::SmallPhi();
  const auto examples = ManyExamples();
  const auto objective = MakeSftObjective(*model, examples);
  AdamW optimizer(*model, Fused());
  const std::string bad = "model.layers.1.mlp.down_proj.weight";
  std::map<std::string, at::Tensor> before;
  for (const auto& [name, tensor] : model->parameters()) before[name] = tensor.detach().clone();
  const at::Tensor weight = model->parameters().at(bad);
  weight.register_hook([](const at::Tensor& gradient) {
    return gradient * std::numeric_limits<double>::infinity();
  });
  const at::Tensor loss = LossOf(*objective);
  optimizer.BeginBackward(1, loss);
  loss.backward();
  EXPECT_FALSE(std::isfinite(optimizer.Step(1)));
  for (const auto& [name, tensor] : model->parameters()) {
    const bool earlier =
        name.find("layers.2") != std::string::npos || name.find("layers") == std::string::npos;
    if (name == "model.embed_tokens.weight" || !earlier)
      EXPECT_TRUE(tensor.detach().equal(before.at(name))) << name;
    else
      EXPECT_FALSE(tensor.detach().equal(before.at(name))) << name;
  }
}

TEST(FusedBackward, RefusesWhatItCannotDo) {
  const auto message = [](const TrainOptions& options) -> std::string {
    try {
      options.Validate();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  TrainOptions options;
  options.optimizer = Fused();
  EXPECT_EQ(message(options), "");
  options.gradient_accumulation = 2;
  EXPECT_THAT(message(options), ::testing::HasSubstr("--gradient-accumulation 1"));
  options.gradient_accumulation = 1;
  options.optimizer.clip_by = ClipBy::kGlobal;
  EXPECT_THAT(message(options), ::testing::HasSubstr("--clip-by tensor or previous"));
  options.optimizer.max_grad_norm = 0;
  EXPECT_EQ(message(options), "");
}

}  // namespace
}  // namespace pivotal::dpo
