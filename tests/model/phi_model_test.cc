// Apache-2.0. Compares PhiModel with a plain implementation in float64; parity_test.cc compares it
// with transformers.
#include "model/phi_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/base/error.h"
#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

using Vector = std::vector<double>;

// Computes Phi-3 token by token, as loops over doubles.
class Twin {
 public:
  explicit Twin(const PhiModel& model) : model_(model), config_(model.config()) {}

  // Returns the logits [V] after each token.
  std::vector<Vector> Logits(const std::vector<int64_t>& tokens) const {
    std::vector<Vector> x;
    for (int64_t token : tokens) x.push_back(Row(Weight("model.embed_tokens.weight"), token));
    for (int64_t i = 0; i < config_.num_hidden_layers; ++i) Layer(i, x);
    std::vector<Vector> logits;
    for (const Vector& row : x)
      logits.push_back(Times(Weight("lm_head.weight"), Norm(row, Weight("model.norm.weight"))));
    return logits;
  }

 private:
  at::Tensor Weight(const std::string& name) const {
    return model_.parameters().at(name).to(at::kDouble).contiguous();
  }
  static Vector Row(const at::Tensor& matrix, int64_t row) {
    const double* begin = matrix.const_data_ptr<double>() + row * matrix.size(1);
    return {begin, begin + matrix.size(1)};
  }
  static Vector Times(const at::Tensor& matrix, const Vector& x) {
    Vector y;
    for (int64_t i = 0; i < matrix.size(0); ++i) {
      const Vector row = Row(matrix, i);
      double sum = 0;
      for (std::size_t j = 0; j < x.size(); ++j) sum += row[j] * x[j];
      y.push_back(sum);
    }
    return y;
  }
  Vector Norm(const Vector& x, const at::Tensor& weight) const {
    double square = 0;
    for (double v : x) square += v * v;
    const double scale = 1 / std::sqrt(square / static_cast<double>(x.size()) + config_.norm_eps);
    Vector y;
    for (std::size_t i = 0; i < x.size(); ++i)
      y.push_back(x[i] * scale * weight.const_data_ptr<double>()[i]);
    return y;
  }
  // Rotates the head of `x` that starts at `begin`, for position `t`.
  void Rotate(Vector& x, std::size_t begin, std::size_t t) const {
    const auto half = static_cast<std::size_t>(config_.head_dim) / 2;
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(t) *
                           std::pow(config_.rope.theta,
                                    -2.0 * static_cast<double>(i) / static_cast<double>(2 * half));
      const double a = x[begin + i], b = x[begin + half + i];
      x[begin + i] = a * std::cos(angle) - b * std::sin(angle);
      x[begin + half + i] = b * std::cos(angle) + a * std::sin(angle);
    }
  }
  void Layer(int64_t index, std::vector<Vector>& x) const {
    const std::string prefix = fmt::format("model.layers.{}.", index);
    const auto dim = static_cast<std::size_t>(config_.head_dim);
    const auto heads = static_cast<std::size_t>(config_.num_attention_heads);
    const auto kv = static_cast<std::size_t>(config_.num_key_value_heads);
    const auto window =
        config_.sliding_window > 0 ? static_cast<std::size_t>(config_.sliding_window) : x.size();
    std::vector<Vector> qkv;
    for (std::size_t t = 0; t < x.size(); ++t) {
      qkv.push_back(Times(Weight(prefix + "self_attn.qkv_proj.weight"),
                          Norm(x[t], Weight(prefix + "input_layernorm.weight"))));
      for (std::size_t h = 0; h < heads + kv; ++h) Rotate(qkv[t], h * dim, t);
    }
    for (std::size_t t = 0; t < x.size(); ++t) {
      Vector mixed(heads * dim);
      for (std::size_t h = 0; h < heads; ++h) {
        const std::size_t key = (heads + h / (heads / kv)) * dim;
        const std::size_t value = key + kv * dim;
        const std::size_t from = t + 1 > window ? t + 1 - window : 0;
        Vector weight;
        for (std::size_t s = from; s <= t; ++s) {
          double score = 0;
          for (std::size_t d = 0; d < dim; ++d) score += qkv[t][h * dim + d] * qkv[s][key + d];
          weight.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
        }
        double sum = 0;
        for (double w : weight) sum += w;
        for (std::size_t s = from; s <= t; ++s)
          for (std::size_t d = 0; d < dim; ++d)
            mixed[h * dim + d] += weight[s - from] / sum * qkv[s][value + d];
      }
      Add(x[t], Times(Weight(prefix + "self_attn.o_proj.weight"), mixed));
      const Vector both = Times(Weight(prefix + "mlp.gate_up_proj.weight"),
                                Norm(x[t], Weight(prefix + "post_attention_layernorm.weight")));
      Vector inner;
      for (std::size_t i = 0; i < both.size() / 2; ++i)
        inner.push_back(both[i] / (1 + std::exp(-both[i])) * both[both.size() / 2 + i]);
      Add(x[t], Times(Weight(prefix + "mlp.down_proj.weight"), inner));
    }
  }
  static void Add(Vector& x, const Vector& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  const PhiModel& model_;
  const PhiConfig& config_;
};

std::vector<int64_t> SomeTokens(int64_t count, int64_t vocab, int64_t salt = 0) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back((7 * i * i + 3 * i + 5 + salt) % vocab);
  return tokens;
}

at::Tensor AsRow(const std::vector<int64_t>& tokens) {
  return at::tensor(tokens, at::TensorOptions(at::kLong)).unsqueeze(0);
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

void ExpectTwin(const PhiModel& model, double tolerance) {
  const c10::NoGradGuard no_grad;
  const auto tokens = SomeTokens(17, model.config().vocab_size);
  const auto truth = Twin(model).Logits(tokens);
  const at::Tensor logits = model.Logits(model.Hidden(AsRow(tokens)))[0].to(at::kDouble);
  for (std::size_t t = 0; t < tokens.size(); ++t)
    for (std::size_t v = 0; v < truth[t].size(); ++v)
      ASSERT_NEAR(logits[t][v].item<double>(), truth[t][v], tolerance)
          << "token " << t << " logit " << v;
}

TEST(PhiModel, MatchesTwin) { ExpectTwin(*testing::SmallPhi(), 1e-4); }

TEST(PhiModel, MatchesTwinWithSlidingWindow) {
  auto config = testing::SmallConfig();
  config.sliding_window = 5;
  ExpectTwin(*testing::SmallPhi(config), 1e-4);
}

TEST(PhiModel, MatchesTwinWithoutGroups) {
  auto config = testing::SmallConfig();
  config.num_key_value_heads = config.num_attention_heads;
  ExpectTwin(*testing::SmallPhi(config), 1e-4);
}

TEST(PhiModel, PaddingOnTheRightChangesNothing) {
  const c10::NoGradGuard no_grad;
  const auto model = testing::SmallPhi();
  const auto tokens = SomeTokens(9, 61);
  auto padded = tokens;
  padded.insert(padded.end(), 6, 0);
  EXPECT_LT(
      LargestDifference(model->Hidden(AsRow(padded)).narrow(1, 0, 9), model->Hidden(AsRow(tokens))),
      1e-5);
}

TEST(PhiModel, RefusesMissingMisshapenAndSuperfluousWeights) {
  const auto model = testing::SmallPhi();
  const auto message = [&](auto change) {
    ParameterMap parameters = model->parameters();
    change(parameters);
    try {
      PhiModel(model->config(), parameters, "somewhere");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message([](auto& p) {
              p.erase("model.norm.weight");
            }).find("somewhere: tensor \"model.norm.weight\" is missing"),
            std::string::npos);
  EXPECT_NE(message([](auto& p) { p["lm_head.weight"] = p["model.norm.weight"]; }).find("[24]"),
            std::string::npos);
  EXPECT_NE(
      message([](auto& p) { p["extra"] = p["model.norm.weight"]; }).find("\"extra\" has no place"),
      std::string::npos);
}

// The output of layer i, normed, is the final hidden state of a model with only i layers.
TEST(PhiModel, LayerOutputsAreThoseOfShorterModels) {
  const auto whole = testing::SmallPhi();
  const std::vector<TokenId> tokens = {3, 14, 15, 9, 2};
  const auto outputs = whole->LayerOutputs(tokens);
  ASSERT_EQ(std::ssize(outputs), whole->config().num_hidden_layers);
  const std::vector<int64_t> ids(tokens.begin(), tokens.end());
  const at::Tensor row = at::tensor(ids, at::TensorOptions(at::kLong)).unsqueeze(0);
  for (int64_t layers = 1; layers <= std::ssize(outputs); ++layers) {
    PhiConfig config = whole->config();
    config.num_hidden_layers = layers;
    ParameterMap parameters;
    for (const auto& [name, tensor] : whole->parameters()) {
      const auto at = name.find("layers.");
      if (at == std::string::npos || std::stoll(name.substr(at + 7)) < layers)
        parameters.emplace(name, tensor);
    }
    const PhiModel cut(config, parameters, "cut");
    const at::Tensor& x = outputs[static_cast<std::size_t>(layers - 1)];
    EXPECT_EQ(x.size(0), 5);
    const at::Tensor scale = (x * x).mean(-1, true).add(config.norm_eps).rsqrt();
    const at::Tensor normed = x * scale * whole->parameters().at("model.norm.weight");
    EXPECT_LT((normed - cut.Hidden(row)[0]).abs().max().item<double>(), 1e-5) << layers;
  }
}

std::set<std::string> Frozen(std::vector<std::string> modules) {
  return FrozenWeights(*testing::SmallPhi(), modules);
}

TEST(FrozenWeights, AreChosenByModulesAndRangesOfLayers) {
  EXPECT_THAT(Frozen({}), ::testing::IsEmpty());
  EXPECT_THAT(Frozen({"embed_tokens"}), ::testing::ElementsAre("model.embed_tokens.weight"));
  EXPECT_THAT(Frozen({"layers.2.mlp", "lm_head"}),
              ::testing::ElementsAre("lm_head.weight", "model.layers.2.mlp.down_proj.weight",
                                     "model.layers.2.mlp.gate_up_proj.weight"));
  EXPECT_EQ(Frozen({"layers.0-1"}).size(), 2u * 6);
  EXPECT_EQ(Frozen({"layers.0-1"}).count("model.layers.2.mlp.down_proj.weight"), 0u);
}

TEST(FrozenWeights, RefusesWhatChoosesNothingOrAll) {
  for (const char* bad :
       {"layer.0", "layers.0-3", "layers.2-1", "layers.0-1x", "layers.-1", "layers.3"})
    EXPECT_THROW(Frozen({bad}), Error) << bad;
  EXPECT_THROW(Frozen({"embed_tokens", "layers", "norm", "lm_head"}), Error);
}

}  // namespace
}  // namespace pivotal::model
