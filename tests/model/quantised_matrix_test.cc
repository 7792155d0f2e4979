// Apache-2.0. Tests models whose linear layers are in 4 or 8 bits: their numbers, their gradients,
// how they are loaded, and rollouts. quantised_parity_test.cc compares them with bitsandbytes.
#include "model/quantised_matrix.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "data/base/file_sink.h"
#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"
#include "model/checkpoint.h"
#include "model/config_file.h"
#include "model/lora.h"
#include "model/memory.h"
#include "model/rollout_engine.h"
#include "tests/kernels/nf4_truth.h"
#include "tests/support/error_text.h"
#include "tests/support/full_forward.h"
#include "tests/support/small_phi.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

using ::testing::HasSubstr;
constexpr BaseWeights kBoth[] = {BaseWeights::kNf4, BaseWeights::kInt8};

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  kernels::RandomStream random(seed, 4);
  const at::Tensor tensor = at::empty(shape, at::TensorOptions(at::kFloat));
  for (int64_t i = 0; i < tensor.numel(); ++i)
    tensor.data_ptr<float>()[i] = static_cast<float>(2 * random.Uniform() - 1);
  return tensor;
}

at::Tensor Logits(const PhiModel& model) {
  const at::Tensor tokens = at::tensor({1, 5, 9, 4, 33, 60, 2, 17}, at::kLong).view({1, 8});
  return model.Logits(model.Hidden(tokens));
}

// Wide enough for blocks of 64 within rows, except for the matrix behind attention.
PhiConfig Wide(PhiConfig config) {
  config.hidden_size = 64;
  config.intermediate_size = 128;
  config.initializer_range = 0.15;
  return config;
}
std::vector<testing::PhiVariant> WidePhis() {
  auto variants = testing::PhiVariants();
  for (auto& variant : variants) variant.config = Wide(variant.config);
  return variants;
}

TEST(QuantisedMatrix, HoldsNf4) {
  const at::Tensor weight = Random({70, 72}, 1);
  const auto matrix = Quantiser(BaseWeights::kNf4, at::kCPU)(weight);
  const kernels::OwnNf4 truth(kernels::Kernels(), weight.const_data_ptr(),
                              kernels::ElementType::kFloat32, weight.numel());
  const auto want = truth.Numbers();
  const at::Tensor got = matrix->Numbers(at::kFloat).flatten();
  for (int64_t i = 0; i < got.numel(); ++i) ASSERT_NEAR(got[i].item<float>(), want[i], 1e-6) << i;
  EXPECT_TRUE(matrix->Numbers(at::kBFloat16).flatten().equal(got.to(at::kBFloat16)));
  EXPECT_TRUE(matrix->Numbers(at::kHalf).flatten().equal(got.to(at::kHalf)));
  EXPECT_EQ(matrix->bytes(), 70 * 36 + 79 + 4);  // codes, scales, the scale of a group
  EXPECT_EQ(MatrixBytes(BaseWeights::kNf4, 5120, 17920, 2),
            5120 * 17920 / 2 + 5120 * 17920 / 64 + 5120 * 17920 / 64 / 256 * 4);
}

TEST(QuantisedMatrix, HoldsInt8) {
  at::Tensor weight = Random({300, 24}, 1);
  weight[7].zero_();
  const auto matrix = Quantiser(BaseWeights::kInt8, at::kCPU)(weight);
  const at::Tensor got = matrix->Numbers(at::kFloat);
  const at::Tensor scale = weight.abs().amax(1, true) / 127;
  EXPECT_TRUE((got - weight).abs().le(scale * 0.5001).all().item<bool>());
  const at::Tensor steps = got.narrow(0, 0, 7) / scale.narrow(0, 0, 7);
  EXPECT_LT((steps - steps.round()).abs().max().item<float>(), 1e-4f);
  EXPECT_TRUE(got[7].eq(0).all().item<bool>());
  EXPECT_TRUE(matrix->Numbers(at::kBFloat16).equal(got.to(at::kBFloat16)));
  EXPECT_EQ(matrix->bytes(), 300 * 24 + 300 * 4);
}

TEST(QuantisedMatrix, ManyThreadsChangeNoBit) {
  const at::Tensor weight = Random({1024, 256}, 3);  // enough blocks for several threads
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    const auto matrix = Quantiser(BaseWeights::kNf4, at::kCPU)(weight);
    return matrix->Numbers(at::kFloat);
  };
  const at::Tensor alone = run(1);
  EXPECT_TRUE(run(3).equal(alone));
  at::set_num_threads(1);
}

TEST(QuantisedMatrix, NumbersThatSomebodyHoldsStay) {
  const Quantiser quantise(BaseWeights::kNf4, at::kCPU);
  const auto one = quantise(Random({40, 64}, 1)), other = quantise(Random({30, 64}, 2));
  at::Tensor held = one->Numbers(at::kFloat);
  const at::Tensor copy = held.clone();
  {
    const c10::InferenceMode inference;
    EXPECT_FALSE(other->Numbers(at::kFloat).is_alias_of(held));
  }
  EXPECT_TRUE(held.equal(copy));
  const void* const memory = held.const_data_ptr();
  held.reset();
  EXPECT_EQ(other->Numbers(at::kBFloat16).const_data_ptr(), memory);
}

TEST(QuantisedMatrix, ProductsAndGradientsAreThoseOfItsNumbers) {
  for (const BaseWeights base : kBoth)
    for (const auto type : {at::kFloat, at::kBFloat16})
      for (const bool has_bias : {false, true}) {
        const auto matrix = Quantiser(base, at::kCPU)(Random({40, 64}, 1).to(type));
        const at::Tensor bias = has_bias ? Random({40}, 2).to(type) : at::Tensor();
        const at::Tensor x = Random({3, 5, 64}, 3).to(type).requires_grad_(true);
        const at::Tensor same = x.detach().clone().requires_grad_(true);
        const at::Tensor y = MultiplyQuantised(matrix, x, bias);
        const at::Tensor numbers = matrix->Numbers(type);
        const at::Tensor want =
            has_bias ? at::linear(same, numbers, bias) : at::linear(same, numbers);
        EXPECT_TRUE(y.equal(want));
        EXPECT_TRUE(y.requires_grad());
        const at::Tensor gradient = Random({3, 5, 40}, 4).to(type);
        torch::autograd::backward({y}, {gradient});
        torch::autograd::backward({want}, {gradient});
        EXPECT_EQ(x.grad().scalar_type(), type);
        EXPECT_TRUE(x.grad().allclose(same.grad(), type == at::kFloat ? 1e-5 : 1e-2, 1e-6));
        EXPECT_FALSE(MultiplyQuantised(matrix, x.detach(), bias).requires_grad());
        const c10::NoGradGuard no_grad;
        EXPECT_TRUE(MultiplyQuantised(matrix, x, bias).equal(want));
      }
}

class QuantisedPhi : public ::testing::TestWithParam<testing::PhiVariant> {};

TEST_P(QuantisedPhi, ComputesWithItsNumbers) {
  const c10::NoGradGuard no_grad;
  const auto model = testing::SmallPhi(GetParam().config);
  for (const BaseWeights base : kBoth) {
    const auto quantised = testing::Quantised(*model, base);
    const auto plain = testing::WithNumbersOf(*quantised);
    EXPECT_TRUE(Logits(*quantised).equal(Logits(*plain)));
    EXPECT_FALSE(Logits(*quantised).allclose(Logits(*model), 1e-4, 1e-4));
    EXPECT_EQ(quantised->WeightBytes(), WeightBytes(model->config(), 4, base));
    EXPECT_LT(quantised->WeightBytes(), model->WeightBytes());
    EXPECT_EQ(quantised->base_weights(), base);
  }
}

TEST_P(QuantisedPhi, AdaptersGetTheirGradients) {
  const auto model = testing::SmallPhi(GetParam().config);
  const auto quantised = testing::Quantised(*model, BaseWeights::kNf4);
  const auto plain = testing::WithNumbersOf(*quantised);
  std::vector<std::map<std::string, at::Tensor>> gradients;
  for (PhiModel* phi : {quantised.get(), plain.get()}) {
    for (const bool recompute : {false, true}) {
      phi->set_adapter(NewAdapter(*phi, {.rank = 3, .alpha = 5}, 2));
      phi->set_activation_checkpointing(recompute);
      for (auto [name, tensor] : phi->Trainable()) {
        if (name.find("lora_B") != std::string::npos) tensor.fill_(0.03);
        tensor.requires_grad_(true);
      }
      torch::autograd::backward({Logits(*phi).pow(2).sum()});
      std::map<std::string, at::Tensor> of;
      for (const auto& [name, tensor] : phi->Trainable()) of[name] = tensor.grad();
      gradients.push_back(of);
    }
  }
  for (const auto& [name, want] : gradients.back()) {
    if (!want.defined()) continue;  // of an expert that no token chose
    const double size = want.abs().max().item<double>();
    for (const auto& of : gradients)
      EXPECT_LT((of.at(name) - want).abs().max().item<double>(), 1e-4 * size + 1e-6) << name;
  }
}

TEST_P(QuantisedPhi, RolloutsOnACpuReadItsNumbers) {
  const auto model = testing::SmallPhi(GetParam().config);
  std::vector<RolloutRequest> requests;
  for (int32_t i = 0; i < 3; ++i)
    requests.push_back(
        {{3, 1, static_cast<TokenId>(8 + i)}, 2 + 7 * i, 6, static_cast<uint64_t>(i), 0});
  for (const bool adapted : {false, true}) {
    const auto quantised = testing::Quantised(*model, BaseWeights::kNf4);
    if (adapted) {
      quantised->set_adapter(NewAdapter(*quantised, {.rank = 3, .alpha = 5}, 2));
      model->set_adapter(quantised->adapter());
      for (const auto& [layer, update] : quantised->adapter()->updates)
        at::Tensor(update.b).fill_(0.03);
    }
    const EngineOptions options{.batch = 5, .weights = kernels::WeightType::kNf4};
    const auto results = RolloutEngine(*quantised, options).Sample(requests, Progress());
    testing::ExpectLogProbsOfFullForward(*quantised, requests, results);
    // Weights that are quantised for the engine give the same rollouts to the bit; the adapter
    // stays beside them.
    const auto others = RolloutEngine(*model, options).Sample(requests, Progress());
    for (std::size_t i = 0; i < results.size(); ++i)
      for (std::size_t j = 0; j < results[i].size(); ++j)
        EXPECT_EQ(results[i][j].logprobs, others[i][j].logprobs);
    // Other types hold the numbers with the adapter merged into them.
    const auto merged = RolloutEngine(*quantised, {.weights = kernels::WeightType::kFloat32})
                            .Sample(requests, Progress());
    testing::ExpectLogProbsOfFullForward(*quantised, requests, merged);
  }
}

INSTANTIATE_TEST_SUITE_P(Phi, QuantisedPhi, ::testing::ValuesIn(WidePhis()),
                         [](const auto& info) { return info.param.name; });

TEST(QuantisedRollouts, DoNotDependOnThreadsAndRows) {
  const auto model = testing::SmallPhi(Wide(testing::SmallConfig()));
  model->set_adapter(NewAdapter(*model, {.rank = 3, .alpha = 5}, 2));
  for (const auto& [layer, update] : model->adapter()->updates) at::Tensor(update.b).fill_(0.03);
  const RolloutRequest request{{3, 1, 8}, 30, 9, 1, 0};
  const auto run = [&](int threads, int32_t batch) {
    at::set_num_threads(threads);
    const auto results =
        RolloutEngine(*model, {.batch = batch, .weights = kernels::WeightType::kNf4})
            .Sample({&request, 1}, Progress());
    at::set_num_threads(1);
    std::vector<std::vector<float>> logprobs;
    for (const Rollout& rollout : results[0]) logprobs.push_back(rollout.logprobs);
    return logprobs;
  };
  const auto want = run(1, 30);
  EXPECT_EQ(run(1, 3), want);
  EXPECT_EQ(run(3, 30), want);
  EXPECT_EQ(run(3, 2), want);
}

// A folder with a small model.
class QuantisedFiles : public ::testing::Test {
 protected:
  void Save(const PhiConfig& config, at::ScalarType type = at::kFloat) {
    SavePhiConfig(config, folder_.path());
    folder_.Write("tokenizer.json", testing::kByteLevelJson);
    SaveTensors(testing::InType(*testing::SmallPhi(config), type)->parameters(), folder_.path());
  }
  Checkpoint Load(at::ScalarType type, BaseWeights base) const {
    return LoadCheckpoint(folder_.path(), at::kCPU, type, WeightUse::kAny, base);
  }
  testing::TempDir folder_;
};

TEST_F(QuantisedFiles, AreQuantisedAsTheyAreRead) {
  for (const auto stored : {at::kFloat, at::kBFloat16, at::kHalf})
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      PhiConfig config = Wide(testing::SmallConfig());
      config.num_attention_heads = 4;
      config.head_dim = 16;
      Save(config, stored);
      const auto plain = Load(at::kFloat, BaseWeights::kPlain);
      for (const BaseWeights base : kBoth) {
        const auto loaded = Load(type, base);
        const auto want = testing::Quantised(*plain.model, base);
        ASSERT_EQ(loaded.model->quantised().size(), 12u);
        EXPECT_EQ(loaded.model->parameters().size(), want->parameters().size());
        EXPECT_EQ(loaded.model->options().dtype(), type);
        for (const auto& [name, matrix] : loaded.model->quantised())
          EXPECT_TRUE(
              matrix->Numbers(at::kFloat).equal(want->quantised().at(name)->Numbers(at::kFloat)))
              << name;
        EXPECT_EQ(Logits(*loaded.model).scalar_type(), type);
      }
    }
}

TEST(QuantisedLayers, AreAllButTheRouterOfExperts) {
  for (const auto& variant : testing::PhiVariants())
    for (const LinearShape& layer : LinearLayers(variant.config))
      EXPECT_EQ(layer.CanBeQuantised(), !layer.name.ends_with(".block_sparse_moe.gate"))
          << layer.name;
}

TEST_F(QuantisedFiles, AreNotWrittenOrMerged) {
  Save(testing::SmallConfig());
  const auto loaded = Load(at::kFloat, BaseWeights::kNf4);
  EXPECT_THAT(testing::ErrorText([&] { SaveWeights(*loaded.model, folder_.path()); }),
              HasSubstr("weights in 4 or 8 bits are not written"));
  loaded.model->set_adapter(NewAdapter(*loaded.model, {.rank = 2}, 1));
  EXPECT_THAT(testing::ErrorText([&] { MergeAdapter(*loaded.model); }),
              HasSubstr("an adapter is not merged into weights in 4 or 8 bits"));
}

TEST_F(QuantisedFiles, RefuseWhatFloat16DoesNotHold) {
  Save(testing::SmallConfig());
  auto tensors = LoadTensors(folder_.path());
  at::Tensor& large = tensors.at("model.layers.1.mlp.down_proj.weight");
  large = large.clone();
  large[3][2] = 70000;
  SaveTensors(tensors, folder_.path());
  EXPECT_THAT(testing::ErrorText([&] { Load(at::kHalf, BaseWeights::kNf4); }),
              HasSubstr("\"model.layers.1.mlp.down_proj.weight\" holds numbers beyond the range"));
}

TEST(BaseWeightsNames, AreRead) {
  for (const std::string& name : BaseWeightsNames())
    EXPECT_EQ(BaseWeightsName(ParseBaseWeights(name)), name);
  EXPECT_THAT(testing::ErrorText([&] { ParseBaseWeights("fp4"); }),
              HasSubstr("type of base weights \"fp4\" is unknown: take one of auto, nf4, int8"));
}

}  // namespace
}  // namespace pivotal::model
