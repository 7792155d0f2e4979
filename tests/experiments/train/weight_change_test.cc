// Apache-2.0. Tests by how much training is said to have moved the weights.
#include "experiments/train/weight_change.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/norm.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/checkpoint.h"
#include "model/lora.h"
#include "model/weight_files.h"
#include "tests/support/small_phi.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

// Saves the weights as they are, and once more with the names of a Llama, whose matrices of
// queries, keys and values are apart.
TEST(WeightChange, IsThatOfAllWeightsWhateverTheirNamesInTheFile) {
  const testing::TempDir folder;
  const auto phi = testing::SmallPhi();
  model::ParameterMap parts;
  for (const auto& [name, tensor] : phi->parameters()) {
    int64_t row = 0;
    for (const model::WeightPart& part : model::PartsOf(name, phi->config())) {
      parts[part.name] = tensor.narrow(0, row, part.rows).clone();
      row += part.rows;
    }
    if (row == 0) parts[name] = tensor.clone();
  }
  EXPECT_GT(parts.size(), phi->parameters().size());
  ModelSettings whole, llama;
  whole.folder = folder.path() / "whole";
  llama.folder = folder.path() / "llama";
  for (const auto& settings : {whole, llama}) std::filesystem::create_directory(settings.folder);
  model::SaveTensors(phi->parameters(), whole.folder);
  model::SaveTensors(parts, llama.folder);

  double change = 0, before = 0;
  {
    const c10::NoGradGuard no_grad;
    for (const auto& [name, tensor] : phi->parameters()) {
      before += std::pow(at::norm(tensor.to(at::kDouble)).item<double>(), 2);
      tensor.add_(0.01);
      change += 1e-4 * static_cast<double>(tensor.numel());
    }
  }
  const auto fetch = [&](const std::string& name) { return phi->parameters().at(name); };
  EXPECT_NEAR(WeightChange(*phi, whole, fetch), std::sqrt(change / before), 1e-6);
  EXPECT_DOUBLE_EQ(WeightChange(*phi, llama, fetch), WeightChange(*phi, whole, fetch));
}

TEST(WeightChange, OfAnAdapterOnWeightsInFourBitsComparesWithTheirNumbers) {
  const auto quantised = testing::Quantised(*testing::SmallPhi(), model::BaseWeights::kNf4);
  const auto plain = testing::WithNumbersOf(*quantised);
  const auto adapter = model::NewAdapter(*plain, {.rank = 2}, 1);
  for (const auto& [layer, update] : adapter->updates) at::Tensor(update.b).fill_(0.1);
  quantised->set_adapter(adapter);
  plain->set_adapter(adapter);
  const auto fetch = [&](const std::string& name) { return plain->parameters().at(name); };
  EXPECT_GT(WeightChange(*quantised, {}, fetch), 0);
  EXPECT_DOUBLE_EQ(WeightChange(*quantised, {}, fetch), WeightChange(*plain, {}, fetch));
}

}  // namespace
}  // namespace pivotal::experiments
