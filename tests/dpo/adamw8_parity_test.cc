// Apache-2.0. Compares AdamW with moments in 8 bits with bitsandbytes' optimizer, AdamW8bit, which
// adamw8_parity.py runs on the CPU: 20 steps from the same weights with the same gradients. Skipped
// if PIVOTAL_PYTHON lacks bitsandbytes.
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/weights/safetensors.h"
#include "dpo/optimizer.h"
#include "kernels/philox.h"
#include "model/tensor_transfer.h"
#include "tests/support/run_command.h"
#include "tests/support/small_phi.h"
#include "tests/support/temp_dir.h"

namespace pivotal::dpo {
namespace {

namespace fs = std::filesystem;
using Tensors = std::map<std::string, at::Tensor>;

constexpr int kParitySteps = 20;
constexpr double kParityRate = 1e-3;  // as in adamw8_parity.py, like the weight decay

// Returns what a gradient of a shape may look like in a step: a direction that stays and noise.
// Rows differ in size by powers of ten, and in a matrix every ninth row has no gradient, like the
// embeddings of tokens that do not occur.
at::Tensor SomeGradient(const at::Tensor& like, uint64_t tensor, int step) {
  kernels::RandomStream direction(tensor, 0), noise(tensor, static_cast<uint64_t>(step));
  const auto normal = [](kernels::RandomStream& random) {
    double sum = -6;
    for (int j = 0; j < 12; ++j) sum += random.Uniform();
    return sum;
  };
  const int64_t columns = like.size(-1);
  std::vector<float> values;
  for (int64_t i = 0; i < like.numel(); ++i) {
    const int64_t row = i / columns;
    const double size =
        like.dim() == 1 ? 1e-3
                        : (row % 9 == 4 ? 0 : std::pow(10.0, -2.0 - static_cast<double>(row % 4)));
    const double kept = normal(direction), fresh = normal(noise);
    values.push_back(static_cast<float>(size * (kept + fresh)));
  }
  return at::tensor(values, at::TensorOptions(at::kFloat)).view(like.sizes());
}

// Returns the tensors of a file.
Tensors Read(const fs::path& path) {
  const auto reader = data::SafetensorsReader::OfFile(path);
  Tensors tensors;
  for (const std::string& name : reader.Names()) {
    const data::TensorView view = reader.GetAny(name);
    tensors[name] = model::ToTensor(view, at::kCPU, model::ToScalarType(view.dtype)).clone();
  }
  return tensors;
}

// Runs adamw8_parity.py on `file` and returns what it writes.
Tensors TheirSteps(const fs::path& file) {
  const fs::path out = file.string() + ".out";
  const auto run =
      testing::RunCommand(fmt::format("{} {}/tests/dpo/adamw8_parity.py {} {}", PIVOTAL_PYTHON,
                                      PIVOTAL_SOURCE_DIR, file.string(), out.string()));
  EXPECT_EQ(run.code, 0) << run.output;
  return Read(out);
}

// How far two sets of weights are from each other.
struct Apart {
  double norm = 0;     // norm of the difference over the norm of the movement since the start
  double largest = 0;  // largest difference of a weight, in learning rates
};

TEST(AdamW8BitParity, StepsAreThoseOfBitsandbytes) {
  if (std::system(PIVOTAL_PYTHON " -c 'import bitsandbytes, safetensors' 2>/dev/null") != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks bitsandbytes or safetensors";
  model::PhiConfig config = testing::SmallConfig();
  config.vocab_size = 301;  // its last block of moments is not whole
  config.intermediate_size = 100;
  const auto phi = testing::SmallPhi(config);

  Tensors all;
  for (const auto& [name, tensor] : phi->parameters()) {
    all["start." + name] = tensor.detach().clone();
    for (int step = 1; step <= kParitySteps; ++step)
      all[fmt::format("gradient.{}.{}", step, name)] = SomeGradient(tensor, all.size(), step);
  }
  const testing::TempDir temp;
  const fs::path file = temp.path() / "steps";
  data::WriteSafetensors(file, model::TensorViews(all).get());
  const Tensors theirs = TheirSteps(file);

  AdamW optimizer(*phi, {.type = OptimizerType::kAdamW8Bit,
                         .learning_rate = kParityRate,
                         .weight_decay = 0.1,
                         .max_grad_norm = 0});
  // Returns how far weights are from those of bitsandbytes in one way (see adamw8_parity.py).
  const auto apart = [&](const char* way, int step, const auto& weight) {
    double difference = 0, movement = 0;
    Apart result;
    for (const auto& [name, tensor] : phi->parameters()) {
      const at::Tensor& want = theirs.at(fmt::format("{}.{}.{}", way, step, name));
      const at::Tensor off = weight(name) - want;
      difference += off.pow(2).sum().template item<double>();
      movement += (want - all.at("start." + name)).pow(2).sum().template item<double>();
      result.largest =
          std::max(result.largest, off.abs().max().template item<double>() / kParityRate);
    }
    result.norm = std::sqrt(difference / movement);
    return result;
  };
  const auto ours = [&](const std::string& name) { return phi->parameters().at(name).detach(); };
  for (int step = 1; step <= kParitySteps; ++step) {
    for (const auto& [name, tensor] : phi->parameters())
      at::Tensor(tensor).mutable_grad() = all.at(fmt::format("gradient.{}.{}", step, name)).clone();
    optimizer.Step(1);
    const auto from = [&](const char* way) { return apart(way, step, ours); };
    const auto exact_from = [&](const char* way) {
      return apart(way, step, [&](const std::string& name) {
        return theirs.at(fmt::format("float32.{}.{}", step, name));
      });
    };
    if (step == 1 || step % 5 == 0)
      fmt::print(
          "step {:2}: from bitsandbytes' {:.2g}, with the nearest codes {:.2g}, and those of "
          "second "
          "moments above 0 {:.2g} of the movement ({:.2g} learning rates at most); from AdamW in "
          "float32 {:.2g}, bitsandbytes {:.2g} and {:.2g}\n",
          step, from("theirs").norm, from("nearest").norm, from("positive").norm,
          from("positive").largest, from("float32").norm, exact_from("theirs").norm,
          exact_from("nearest").norm);
    EXPECT_LT(from("positive").norm, 1e-4) << "step " << step;
    EXPECT_LT(from("positive").largest, 0.05) << "step " << step;
    EXPECT_LE(from("float32").norm, 1.01 * exact_from("nearest").norm + 1e-4) << "step " << step;
    EXPECT_LE(from("float32").norm, 1.01 * exact_from("theirs").norm + 1e-4) << "step " << step;
  }
  const auto state = optimizer.State().tensors;
  int64_t codes = 0, differing = 0;
  for (const std::string moment : {"first", "second"}) {
    for (const auto& [name, tensor] : phi->parameters()) {
      const auto kept = theirs.find(fmt::format("positive.{}.{}", moment, name));
      const at::Tensor& own = state.at(moment + "_moment." + name);
      ASSERT_EQ(own.scalar_type() == at::kByte, kept != theirs.end()) << name;
      if (kept == theirs.end()) continue;
      codes += own.numel();
      differing += own.ne(kept->second).sum().item<int64_t>();
    }
  }
  fmt::print("{} of {} codes differ\n", differing, codes);
  EXPECT_GT(codes, 2 * 5 * 4096) << "the embedding, the output matrix, and one of each layer";
  EXPECT_LT(differing, 1e-3 * static_cast<double>(codes));
}

}  // namespace
}  // namespace pivotal::dpo
