// Apache-2.0.
#include "dpo/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "data/base/error.h"
#include "model/checkpoint.h"
#include "model/lora.h"
#include "tests/support/small_phi.h"
#include "tests/support/temp_dir.h"

namespace pivotal::dpo {
namespace {

// Computes AdamW as in arXiv 1711.05101, algorithm 2, for one element in float64.
struct Element {
  double value, m = 0, v = 0;
  void Step(double g, int t, double lr, const OptimizerOptions& o, double decay) {
    value -= lr * decay * value;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    value -= lr * (m / (1 - std::pow(o.beta1, t))) /
             (std::sqrt(v / (1 - std::pow(o.beta2, t))) + o.epsilon);
  }
};

// Sets the gradient of every weight to `scale` times the weight plus 0.5; returns its norm.
double SetGradients(const model::PhiModel& model, double scale) {
  double square = 0;
  for (const auto& [name, tensor] : model.parameters()) {
    at::Tensor handle = tensor;
    handle.mutable_grad() = tensor.detach() * scale + 0.5;
    square += handle.grad().pow(2).sum().item<double>();
  }
  return std::sqrt(square);
}

TEST(AdamW, MatchesTheAlgorithm) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  OptimizerOptions options;
  options.learning_rate = 1e-2;
  options.weight_decay = 0.1;
  options.max_grad_norm = 3.0;
  AdamW optimizer(*model, options);
  const at::Tensor matrix = model->parameters().at("lm_head.weight").detach().flatten();
  const at::Tensor norm = model->parameters().at("model.norm.weight").detach();
  Element a{matrix[7].item<double>()}, b{norm[3].item<double>()};
  for (int t = 1; t <= 5; ++t) {
    const double ga = matrix[7].item<double>() * t + 0.5, gb = norm[3].item<double>() * t + 0.5;
    const double length = SetGradients(*model, t);
    ASSERT_GT(length, 3.0);
    EXPECT_NEAR(optimizer.Step(0.5), length, 1e-3 * length);
    a.Step(ga * 3.0 / length, t, 0.5e-2, options, 0.1);
    b.Step(gb * 3.0 / length, t, 0.5e-2, options, 0.0);  // norms are not decayed
    EXPECT_NEAR(matrix[7].item<double>(), a.value, 1e-6);
    EXPECT_NEAR(norm[3].item<double>(), b.value, 1e-6);
  }
}

TEST(AdamW, LeavesWeightsAloneWhenTheGradientIsNotFinite) {
  const auto model = testing::SmallPhi();
  AdamW optimizer(*model, {.learning_rate = 1});
  SetGradients(*model, 1);
  at::Tensor norm = model->parameters().at("model.norm.weight");
  norm.mutable_grad()[0] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor before = norm.detach().clone();
  EXPECT_FALSE(std::isfinite(optimizer.Step(1)));
  EXPECT_TRUE(norm.detach().equal(before));
  EXPECT_FALSE(norm.grad().defined());
}

// Returns a model some of whose matrices are large enough for moments in 8 bits.
std::unique_ptr<model::PhiModel> WidePhi() {
  model::PhiConfig config = testing::SmallConfig();
  config.vocab_size = 300;
  config.intermediate_size = 100;
  return testing::SmallPhi(config);
}

// Returns copies of a model's weights and of the optimizer's state.
std::map<std::string, at::Tensor> Everything(const model::PhiModel& model, const AdamW& optimizer) {
  std::map<std::string, at::Tensor> all = optimizer.State().tensors;
  for (const auto& [name, tensor] : model.parameters()) all[name] = tensor.detach();
  for (auto& [name, tensor] : all) tensor = tensor.clone();
  return all;
}

void ExpectEqual(const std::map<std::string, at::Tensor>& got,
                 const std::map<std::string, at::Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) EXPECT_TRUE(got.at(name).equal(tensor)) << name;
}

// A step with a loss that is not finite changes nothing: what follows it is what follows without
// it.
void ExpectAStepCanFail(at::ScalarType type, HalfUpdate update,
                        OptimizerType optimizer_type = OptimizerType::kAdamW) {
  const auto model = testing::InType(*WidePhi(), type);
  const auto other = testing::InType(*model, type);
  const OptimizerOptions options{
      .type = optimizer_type, .learning_rate = 1e-2, .weight_decay = 0.1, .half_update = update};
  AdamW optimizer(*model, options), never_failed(*other, options);
  for (int t = 0; t < 2; ++t) {
    SetGradients(*model, t);
    SetGradients(*other, t);
    EXPECT_EQ(optimizer.Step(1), never_failed.Step(1));
    const auto before = Everything(*model, optimizer);
    SetGradients(*model, 5);
    // Two passes, each with its loss and a metric. A metric may be anything.
    const double infinity = std::numeric_limits<double>::infinity();
    at::Tensor values = at::tensor({0.5, infinity, infinity, 2.0}).to(at::kDouble).view({2, 2});
    const at::Tensor given = values.clone();
    EXPECT_FALSE(std::isfinite(optimizer.Step(1, values)));
    EXPECT_TRUE(values.equal(given));
    ExpectEqual(Everything(*model, optimizer), before);
    SetGradients(*model, 7);
    SetGradients(*other, 7);
    values = given.slice(0, 0, 1);  // its loss is finite
    EXPECT_EQ(optimizer.Step(1, values), never_failed.Step(1));
    EXPECT_TRUE(values.equal(given.slice(0, 0, 1)));
    ExpectEqual(Everything(*model, optimizer), Everything(*other, never_failed));
  }
}

TEST(AdamW, LeavesWeightsAndStateAloneWhenALossIsNotFinite) {
  ExpectAStepCanFail(at::kFloat, HalfUpdate::kMaster);
  ExpectAStepCanFail(at::kDouble, HalfUpdate::kMaster);
  ExpectAStepCanFail(at::kBFloat16, HalfUpdate::kMaster);
  ExpectAStepCanFail(at::kBFloat16, HalfUpdate::kStochastic);
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16})
    ExpectAStepCanFail(type, HalfUpdate::kMaster, OptimizerType::kAdamW8Bit);
  ExpectAStepCanFail(at::kBFloat16, HalfUpdate::kStochastic, OptimizerType::kAdamW8Bit);
}

TEST(AdamW8Bit, KeepsLargeMatricesIn8Bits) {
  const auto model = WidePhi();
  const AdamW optimizer(*model, {.type = OptimizerType::kAdamW8Bit});
  const auto state = optimizer.State().tensors;
  int64_t large = 0;
  for (const auto& [name, parameter] : model->parameters()) {
    const bool quantised = parameter.dim() == 2 && parameter.numel() >= 4096;
    large += quantised ? 1 : 0;
    for (const char* moment : {"first_", "second_"}) {
      const at::Tensor& kept = state.at(moment + ("moment." + name));
      EXPECT_EQ(kept.scalar_type(), quantised ? at::kByte : at::kFloat) << name;
      EXPECT_EQ(kept.sizes(), parameter.sizes()) << name;
      const auto scale = state.find(moment + ("scale." + name));
      ASSERT_EQ(scale != state.end(), quantised) << name;
      if (quantised) {
        EXPECT_EQ(scale->second.numel(), (parameter.numel() + 255) / 256) << name;
      }
    }
  }
  EXPECT_EQ(large, 5);  // embedding, output matrix, and one of each layer
}

// The first step does not read the moments; later ones differ by what 8 bits round away.
TEST(AdamW8Bit, StaysNearAdamWIn32Bits) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto model = testing::InType(*WidePhi(), type), other = testing::InType(*model, type);
    OptimizerOptions options{.learning_rate = 1e-3, .weight_decay = 0.1, .max_grad_norm = 1};
    AdamW wide(*other, options);
    options.type = OptimizerType::kAdamW8Bit;
    AdamW narrow(*model, options);
    const auto trained = [&](const model::PhiModel& phi, const AdamW& optimizer) {
      return type == at::kFloat ? phi.parameters().at("lm_head.weight").detach()
                                : optimizer.State().tensors.at("master.lm_head.weight");
    };
    const at::Tensor weight = trained(*model, narrow), want = trained(*other, wide);
    const at::Tensor begin = want.clone();
    for (int t = 1; t <= 10; ++t) {
      // What the gradient is made of must not depend on the weights, which go apart.
      for (const auto& phi : {model.get(), other.get()})
        for (const auto& [name, tensor] : phi->parameters())
          at::Tensor(tensor).mutable_grad() =
              (at::arange(tensor.numel()) * t).sin().view(tensor.sizes()).to(type);
      EXPECT_EQ(narrow.Step(1), wide.Step(1));
      const double apart = (weight - want).norm().item<double>();
      const double moved = (want - begin).norm().item<double>();
      EXPECT_LT(apart, (t == 1 ? 1e-4 : 0.02) * moved) << "step " << t;
    }
  }
}

TEST(AdamW8Bit, GoesOnFromASavedStateToTheBit) {
  for (const auto update : {HalfUpdate::kMaster, HalfUpdate::kStochastic}) {
    const auto model = testing::InType(*WidePhi(), at::kBFloat16);
    const OptimizerOptions options{
        .type = OptimizerType::kAdamW8Bit, .learning_rate = 1e-2, .half_update = update};
    AdamW optimizer(*model, options);
    for (int t = 0; t < 3; ++t) {
      SetGradients(*model, t);
      optimizer.Step(1);
    }
    const testing::TempDir folder;
    model::SaveTensors(optimizer.State().tensors, folder.path());
    std::unique_ptr<model::PhiModel> other;
    {
      const c10::NoGradGuard no_grad;
      other = testing::InType(*model, at::kBFloat16);
    }
    AdamW restored(*other, options);
    restored.Restore(model::LoadTensors(folder.path()), 3);
    for (int t = 3; t < 5; ++t) {
      SetGradients(*model, t);
      SetGradients(*other, t);
      EXPECT_EQ(optimizer.Step(1), restored.Step(1));
    }
    ExpectEqual(Everything(*other, restored), Everything(*model, optimizer));
    AdamW wide(*other, {.half_update = update});
    EXPECT_THROW(wide.Restore(model::LoadTensors(folder.path()), 3), Error);
  }
}

TEST(AdamW8Bit, RefusesFloat64) {
  EXPECT_THROW(AdamW(*testing::InDouble(*WidePhi()), {.type = OptimizerType::kAdamW8Bit}), Error);
}

// The first moment after Adam's first step is a tenth of the clipped gradient.
TEST(AdamW, ClipsEachTensorOrByThePreviousNorm) {
  const auto model = WidePhi(), other = WidePhi();
  const auto clipped = [&](const AdamW& optimizer, const std::string& name) {
    return optimizer.State().tensors.at("first_moment." + name).norm().item<double>() * 10;
  };
  {
    AdamW optimizer(*model, {.max_grad_norm = 3, .clip_by = ClipBy::kTensor});
    const double all = SetGradients(*model, 1);
    EXPECT_NEAR(optimizer.Step(0), all, 1e-3 * all);
    for (const auto& [name, tensor] : model->parameters()) {
      const double norm = (tensor.detach() + 0.5).norm().item<double>();
      EXPECT_NEAR(clipped(optimizer, name), std::min(norm, 3.0), 1e-4) << name;
    }
  }
  AdamW optimizer(*model, {.beta1 = 0, .max_grad_norm = 3, .clip_by = ClipBy::kPrevious});
  const double first = SetGradients(*model, 1);
  optimizer.Step(0);  // clips each tensor
  const std::string name = "lm_head.weight";
  EXPECT_NEAR(clipped(optimizer, name), 30, 1e-3);
  SetGradients(*model, 20);
  const double norm = model->parameters().at(name).grad().norm().item<double>();
  optimizer.Step(0);
  EXPECT_NEAR(clipped(optimizer, name), 10 * norm * 3 / first, 1e-3 * norm);
  EXPECT_GT(norm * 3 / first, 3) << "more than the largest norm: the step before was smaller";
  // A saved state has the norm.
  AdamW restored(*other, {.beta1 = 0, .max_grad_norm = 3, .clip_by = ClipBy::kPrevious});
  restored.Restore(optimizer.State().tensors, 2);
  SetGradients(*model, 2);
  SetGradients(*other, 2);
  EXPECT_EQ(optimizer.Step(1), restored.Step(1));
  ExpectEqual(Everything(*other, restored), Everything(*model, optimizer));
}

TEST(AdamW, RunsAreAsLongAsTheLimitAllows) {
  const auto runs = [](std::vector<int64_t> elements) { return Runs(elements, 10); };
  using Lengths = std::vector<std::size_t>;
  EXPECT_EQ(runs({}), Lengths());
  EXPECT_EQ(runs({4, 6, 1}), (Lengths{2, 1}));
  EXPECT_EQ(runs({11, 3, 20, 20, 3, 7, 1}), (Lengths{1, 1, 1, 1, 2, 1}));
  EXPECT_EQ(runs({0, 0, 0}), (Lengths{3}));
}

TEST(AdamW, StopsAskingForGradientsWhenItEnds) {
  const auto model = testing::SmallPhi();
  { AdamW optimizer(*model, {}); }
  for (const auto& [name, tensor] : model->parameters())
    EXPECT_FALSE(tensor.requires_grad()) << name;
}

// Returns a model whose weights are of `type` and all 1. Above 1, the spacing of bfloat16 is 2^-7
// and that of float16 is 2^-10.
std::unique_ptr<model::PhiModel> Ones(at::ScalarType type) {
  model::ParameterMap parameters;
  const auto small = testing::SmallPhi();
  for (const auto& [name, tensor] : small->parameters())
    parameters[name] = at::ones_like(tensor).to(type);
  return std::make_unique<model::PhiModel>(testing::SmallConfig(), std::move(parameters), "test");
}

// Returns the mean of a matrix after 100 steps of -1e-4, each far smaller than the spacing.
double MeanAfterSmallSteps(at::ScalarType type, HalfUpdate update) {
  const auto model = Ones(type);
  AdamW optimizer(*model, {.learning_rate = 1e-4, .max_grad_norm = 0, .half_update = update});
  for (int t = 0; t < 100; ++t) {
    SetGradients(*model, 0);  // 0.5 everywhere: Adam moves by the learning rate
    optimizer.Step(1);
  }
  return model->parameters().at("lm_head.weight").to(at::kDouble).mean().item<double>();
}

TEST(AdamW, MasterCopiesGatherStepsBelowTheSpacingOf16BitWeights) {
  EXPECT_NEAR(MeanAfterSmallSteps(at::kFloat, HalfUpdate::kMaster), 0.99, 1e-5);
  EXPECT_EQ(at::Tensor(at::ones({}).to(at::kBFloat16) - 1e-4).item<double>(), 1.0)
      << "one step alone is lost";
  // The result is rounded to the nearest value below 1, where the spacing is 2^-8 and 2^-11.
  EXPECT_NEAR(MeanAfterSmallSteps(at::kBFloat16, HalfUpdate::kMaster), 0.99, 0.5 / 256);
  EXPECT_NEAR(MeanAfterSmallSteps(at::kHalf, HalfUpdate::kMaster), 0.99, 0.5 / 2048);
}

TEST(AdamW, StochasticRoundingFollowsOnAverage) {
  // 1464 elements, each with a standard deviation below the spacing 2^-8.
  EXPECT_NEAR(MeanAfterSmallSteps(at::kBFloat16, HalfUpdate::kStochastic), 0.99,
              4.0 / 256 / std::sqrt(1464.0));
  EXPECT_EQ(MeanAfterSmallSteps(at::kBFloat16, HalfUpdate::kStochastic),
            MeanAfterSmallSteps(at::kBFloat16, HalfUpdate::kStochastic));
  EXPECT_THROW(AdamW(*Ones(at::kHalf), {.half_update = HalfUpdate::kStochastic}), Error);
}

TEST(AdamW, TrainsTheAdapterOrWhatIsNotFrozen) {
  const auto model = testing::SmallPhi();
  model->set_frozen({"model.embed_tokens.weight"});
  {
    AdamW optimizer(*model, {});
    EXPECT_FALSE(model->parameters().at("model.embed_tokens.weight").requires_grad());
    EXPECT_TRUE(model->parameters().at("lm_head.weight").requires_grad());
  }
  model->set_adapter(model::NewAdapter(*model, {.rank = 2}, 1));
  AdamW optimizer(*model, {});
  for (const auto& [name, tensor] : model->parameters())
    EXPECT_FALSE(tensor.requires_grad()) << name;
  for (const auto& [name, tensor] : model->Trainable()) EXPECT_TRUE(tensor.requires_grad()) << name;
}

constexpr int64_t kSamples = 100'000;

// Rounds the number that is `fraction` of the way from `low` to the next bfloat16.
void ExpectUnbiased(double low, double spacing, double fraction) {
  const double value = low + fraction * spacing;
  const at::Tensor rounded =
      StochasticRound(at::full({kSamples}, value, at::TensorOptions(at::kFloat)), 3)
          .to(at::kDouble);
  const at::Tensor up = rounded.eq(low + spacing);
  EXPECT_TRUE(up.logical_or(rounded.eq(low)).all().item<bool>()) << value;
  // Four standard deviations of a binomial frequency.
  EXPECT_NEAR(up.to(at::kDouble).mean().item<double>(), fraction,
              4 * std::sqrt(fraction * (1 - fraction) / kSamples))
      << value;
}

TEST(StochasticRound, IsRightOnAverageBetweenTheNeighbours) {
  ExpectUnbiased(1.0, 1.0 / 128, 0.1);
  ExpectUnbiased(1.0, 1.0 / 128, 0.75);
  ExpectUnbiased(-1.0, -1.0 / 128, 0.25);
  ExpectUnbiased(0.0078125, 0.0078125 / 128, 0.5);
}

TEST(StochasticRound, LeavesWhatBFloat16HoldsAndIsAFunctionOfItsSeed) {
  const at::Tensor exact = at::full({1000}, 1.0078125, at::TensorOptions(at::kFloat));
  EXPECT_TRUE(StochasticRound(exact, 1).to(at::kFloat).equal(exact));
  const at::Tensor between = exact + 0.003;
  EXPECT_TRUE(StochasticRound(between, 1).equal(StochasticRound(between, 1)));
  EXPECT_FALSE(StochasticRound(between, 1).equal(StochasticRound(between, 2)));
  EXPECT_THROW(StochasticRound(exact.to(at::kDouble), 1), Error);
}

}  // namespace
}  // namespace pivotal::dpo
