// Apache-2.0. Compares weights in 4 bits with bitsandbytes, which quantised_parity.py runs: codes
// and numbers, and the loss and gradients of an adapter on such weights. Skipped if PIVOTAL_PYTHON
// lacks bitsandbytes.
#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/weights/safetensors.h"
#include "kernels/philox.h"
#include "model/checkpoint.h"
#include "model/lora.h"
#include "model/tensor_transfer.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class QuantisedParity : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system(PIVOTAL_PYTHON " -c 'import bitsandbytes, peft, transformers' 2>/dev/null") !=
        0)
      GTEST_SKIP() << PIVOTAL_PYTHON << " lacks bitsandbytes, peft or transformers";
  }

  // Runs quantised_parity.py. Returns the last line that it prints.
  std::string Python(const std::string& arguments) {
    const fs::path out = temp_.path() / "output";
    const auto run = testing::RunCommand(
        std::string(PIVOTAL_PYTHON) + " " PIVOTAL_SOURCE_DIR "/tests/model/quantised_parity.py " +
        arguments + " > " + out.string());
    std::ifstream text(out);
    std::string line, last;
    while (std::getline(text, line)) last = line;
    EXPECT_EQ(run.code, 0) << last;
    return last;
  }

  testing::TempDir temp_;
};

at::Tensor NormalMatrix(int64_t rows, int64_t columns, uint64_t seed) {
  kernels::RandomStream random(seed, 1);
  std::vector<float> values;
  for (int64_t i = 0; i < rows * columns; ++i) {
    double sum = -6;
    for (int j = 0; j < 12; ++j) sum += random.Uniform();
    // Rows of different sizes.
    values.push_back(static_cast<float>(0.02 * sum * (1 + static_cast<double>(i / columns % 7))));
  }
  return at::tensor(values, at::TensorOptions(at::kFloat)).view({rows, columns});
}

// Returns the share of elements that differ.
double Differing(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return a.ne(b).to(at::kDouble).mean().item<double>();
}

TEST_F(QuantisedParity, CodesAreThoseOfBitsandbytes) {
  std::map<std::string, at::Tensor> matrices = {{"whole", NormalMatrix(300, 256, 1)},
                                                {"narrow", NormalMatrix(77, 24, 2)},
                                                {"half", NormalMatrix(512, 320, 3)},
                                                {"small", NormalMatrix(3, 7, 4)}};
  matrices["half"] = matrices["half"].to(at::kBFloat16);
  matrices["whole"].narrow(0, 20, 3).zero_();  // blocks of zeros
  const std::string file = (temp_.path() / "matrices").string();
  TensorViews views(matrices);
  data::WriteSafetensors(file, views.get(),
                         [&](const std::string& name) { return views.Read(name); });
  Python("matrices " + file);
  const auto reader = data::SafetensorsReader::OfFile(file + ".nf4");
  const Quantiser quantise(BaseWeights::kNf4, at::kCPU);
  for (const auto& [name, weight] : matrices) {
    const auto theirs = [&, name = name](const char* part) {
      const data::TensorView view = reader.GetAny(name + part);
      return ToTensor(view, at::kCPU, ToScalarType(view.dtype)).flatten();
    };
    const auto matrix = quantise(weight);
    const kernels::Nf4Codes ours = matrix->Nf4();
    const auto bytes = [](const uint8_t* from, int64_t size) {
      std::vector<int64_t> values(from, from + size);
      return at::tensor(values, at::TensorOptions(at::kLong)).to(at::kByte);
    };
    // A number in the middle between two codes may get either. On a CPU bitsandbytes takes a
    // neighbour of the nearest code for a few scales.
    EXPECT_LT(Differing(bytes(ours.codes, (ours.size + 1) / 2), theirs(".codes")), 1e-5) << name;
    if (ours.Blocks() > 1) {  // the code of one scale is multiplied by 0
      EXPECT_LT(Differing(bytes(ours.scales, ours.Blocks()), theirs(".scales")), 4e-3) << name;
    }
    EXPECT_NEAR(ours.offset, theirs(".offset").item<float>(), 1e-6 * ours.offset) << name;
    for (int64_t group = 0; group < ours.Groups(); ++group)
      EXPECT_NEAR(ours.group_scales[group], theirs(".group_scales")[group].item<float>(),
                  1e-6 * ours.offset)
          << name;
    const at::Tensor numbers = matrix->Numbers(weight.scalar_type()).to(at::kFloat).flatten(),
                     difference = (numbers - theirs(".numbers")).abs();
    std::printf("%-7s numbers differ by %.2g of the largest, %.2g of them at all\n", name.c_str(),
                (difference.max() / numbers.abs().max()).item<double>(),
                Differing(numbers, theirs(".numbers")));
    EXPECT_LT((difference.max() / numbers.abs().max()).item<double>(), 2e-3) << name;
  }
}

TEST_F(QuantisedParity, AnAdaptersLossAndGradientsAreThoseOfPeft) {
  struct Case {
    const char* dtype;
    double loss, gradient;  // tolerances
  };
  for (const auto& [dtype, loss_tolerance, gradient_tolerance] :
       {Case{"float32", 1e-4, 1e-4}, Case{"bfloat16", 5e-2, 0.1}}) {
    // transformers rounds weights to `dtype` before they are quantised: the file has them rounded.
    const fs::path base = temp_.path() / (std::string("base-") + dtype);
    fs::create_directory(base);
    SaveCheckpoint(*LoadCheckpoint(testing::kTinyModel, at::kCPU, ParseDType(dtype)).model,
                   testing::kTinyModel, base);
    const Checkpoint checkpoint =
        LoadCheckpoint(base, at::kCPU, ParseDType(dtype), WeightUse::kAny, BaseWeights::kNf4);
    PhiModel& model = *checkpoint.model;
    Json rows = Json::array();
    std::vector<int64_t> flat;
    constexpr int64_t kRows = 2, kLength = 40;
    for (int64_t row = 0; row < kRows; ++row) {
      rows.push_back(Json::array());
      for (int64_t t = 0; t < kLength; ++t) {
        flat.push_back((31 * t * t + 17 * t + 101 * row + 4) % model.config().vocab_size);
        rows.back().push_back(flat.back());
      }
    }
    std::ofstream(temp_.path() / "ids.json") << rows.dump();
    const auto adapter = NewAdapter(model, {.rank = 4, .alpha = 8}, 3);
    for (const auto& [layer, update] : adapter->updates) {
      const auto& [a, b, scale] = update;
      at::Tensor(b).copy_(0.02 * a.t().slice(0, 0, 1).expand_as(b));
    }
    const fs::path folder = temp_.path() / dtype;
    fs::create_directory(folder);
    SaveAdapter(*adapter, base, folder);
    model.set_adapter(adapter);
    for (auto [name, tensor] : model.Trainable()) tensor.requires_grad_(true);
    const at::Tensor ids = at::tensor(flat, at::TensorOptions(at::kLong)).view({kRows, kLength});
    const at::Tensor logits =
        model.Logits(model.Hidden(ids)).narrow(1, 0, kLength - 1).to(at::kFloat);
    const at::Tensor loss =
        -at::log_softmax(logits, -1).gather(2, ids.narrow(1, 1, kLength - 1).unsqueeze(2)).mean();
    torch::autograd::backward({loss});

    const Json theirs = Json::parse(Python("train " + base.string() + " " + folder.string() + " " +
                                           (temp_.path() / "ids.json").string() + " " + dtype));
    const auto reader = data::SafetensorsReader::OfFile(folder / "gradients.safetensors");
    double worst = 0;
    for (const auto& [name, tensor] : model.Trainable()) {
      const at::Tensor want =
          ToTensor(reader.Get("base_model.model." + name), at::kCPU, at::kFloat);
      ASSERT_GT(want.abs().max().item<double>(), 0) << name;
      worst = std::max(worst, ((tensor.grad() - want).norm() / want.norm()).item<double>());
    }
    std::printf("%-8s loss %.6f, theirs %.6f; gradients differ by %.2g of their norm at most\n",
                dtype, loss.item<double>(), theirs.get<double>(), worst);
    EXPECT_NEAR(loss.item<double>(), theirs.get<double>(), loss_tolerance);
    EXPECT_LT(worst, gradient_tolerance);
  }
}

}  // namespace
}  // namespace pivotal::model
