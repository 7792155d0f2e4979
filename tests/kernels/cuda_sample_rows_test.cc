// Apache-2.0. Tests the kernel's source on the CPU (tests/kernels/cuda_on_cpu.h) and, where there
// is one, on a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cuda/sample_rows.h"
#include "kernels/sample_row.h"
#include "pivotal/error.h"
#include "tests/kernels/cuda_elements.h"

namespace pivotal::kernels::cuda {

// Launch functions of copies of the source, each with one mistake planted (CMakeLists.txt).
void SampleWithoutBarrier(const SampleRowsTask& task, void* stream);
void SampleOutOfBounds(const SampleRowsTask& task, void* stream);
void SampleWithALaneAstray(const SampleRowsTask& task, void* stream);

namespace {

using cuda_on_cpu::Schedule;
using ::testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();
using Ids = std::vector<int32_t>;

struct Drawn {
  Ids tokens;
  std::vector<float> logprobs;
};

// Samples a token from each row; all rows have the same length. `launch` launches the kernel or a
// copy of it.
Drawn Sample(const std::vector<std::vector<float>>& rows, const SamplingParams& params,
             const std::vector<double>& uniforms, const std::vector<Ids>& excluded,
             void (*launch)(const SampleRowsTask&, void*) = LaunchSampleRows) {
  const std::size_t count = rows.size(), vocab = rows[0].size(), stride = vocab + 3;
  std::vector<float> logits;
  for (const auto& row : rows) {
    logits.insert(logits.end(), row.begin(), row.end());
    if (&row != &rows.back()) logits.resize(logits.size() + stride - vocab, NAN);  // read by nobody
  }
  Ids ids, ends = {0};
  for (const Ids& row : excluded) {
    ids.insert(ids.end(), row.begin(), row.end());
    ends.push_back(static_cast<int32_t>(ids.size()));
  }
  DeviceArray<float> logits_in("logits", logits), logprobs("logprobs", count);
  DeviceArray<double> uniforms_in("uniforms", uniforms);
  DeviceArray<int32_t> excluded_in("excluded", ids), ends_in("excluded ends", ends),
      tokens("tokens", count);
  launch({.logits = logits_in.data(),
          .rows = std::ssize(rows),
          .vocab = static_cast<int64_t>(vocab),
          .stride = static_cast<int64_t>(stride),
          .params = params,
          .uniforms = uniforms_in.data(),
          .excluded = excluded.empty() ? nullptr : excluded_in.data(),
          .excluded_ends = ends_in.data(),
          .tokens = tokens.data(),
          .logprobs = logprobs.data()},
         nullptr);
  return {tokens.values(), logprobs.values()};
}

Drawn SampleOne(const std::vector<float>& row, const SamplingParams& params, double uniform,
                const Ids& excluded = {}) {
  return Sample({row}, params, {uniform}, {excluded});
}

Draw SampleOnCpu(std::vector<float> logits, const SamplingParams& params, double uniform,
                 const Ids& excluded) {
  RowSampler sampler;
  sampler.Take(logits, params, excluded);
  return sampler.Sample(uniform);
}

// The policy by the definitions of the filters, in double precision.
struct Policy {
  std::vector<double> weights;
  bool unsure = false;  // a token is so near a cut that rounding decides
};
Policy Reference(const std::vector<float>& logits, const SamplingParams& params) {
  const auto vocab = std::ssize(logits);
  const float max = *std::ranges::max_element(logits);
  Policy policy{std::vector<double>(logits.size())};
  Ids order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (params.temperature == 0) {
    policy.weights[order[0]] = 1;
    return policy;
  }
  const auto weight = [&](int32_t id) {
    return std::exp((double{logits[id]} - max) / params.temperature);
  };
  const auto count = params.top_k > 0 ? std::min<std::ptrdiff_t>(params.top_k, vocab) : vocab;
  double mass = 0, before = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) mass += weight(order[i]);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const double own = weight(order[i]);
    if (params.top_p < 1 && i > 0) {
      policy.unsure = policy.unsure || std::abs(before - params.top_p * mass) < 1e-6 * mass;
      if (before >= params.top_p * mass) break;
    }
    before += own;
    policy.unsure =
        policy.unsure || (params.min_p > 0 && std::abs(own - params.min_p) < 1e-5 * params.min_p);
    policy.weights[order[i]] = own < params.min_p ? 0 : own;
  }
  return policy;
}

struct Tally {
  int rows = 0, unsure = 0, other_token = 0;
};

// Compares samples with the reference and with the sampler for the CPU.
void Check(const std::vector<std::vector<float>>& rows, const SamplingParams& params,
           const std::vector<double>& uniforms, const std::vector<Ids>& excluded, Tally& tally) {
  const Drawn drawn = Sample(rows, params, uniforms, excluded);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    ++tally.rows;
    const Policy policy = Reference(rows[r], params);
    if (policy.unsure) {
      ++tally.unsure;
      continue;
    }
    const auto is_excluded = [&](std::ptrdiff_t id) {
      return !excluded.empty() && std::ranges::count(excluded[r], static_cast<int32_t>(id)) > 0;
    };
    const double sum = std::accumulate(policy.weights.begin(), policy.weights.end(), 0.0);
    double left = 0, upto = 0;
    for (std::size_t i = 0; i < rows[r].size(); ++i) left += is_excluded(i) ? 0 : policy.weights[i];
    const auto logprob = [&](int32_t id) {
      return static_cast<float>(std::log(policy.weights[id] / sum));
    };
    const int32_t token = drawn.tokens[r];
    if (left == 0) {
      ASSERT_EQ(token, -1);
      ASSERT_TRUE(std::isnan(drawn.logprobs[r]));
      continue;
    }
    ASSERT_GE(token, 0) << "row " << r;
    ASSERT_LT(token, std::ssize(rows[r]));
    ASSERT_FALSE(is_excluded(token));
    ASSERT_GT(policy.weights[token], 0) << "row " << r << ", token " << token << " is filtered out";
    ASSERT_NEAR(drawn.logprobs[r], logprob(token), 2e-6 * (1 + std::abs(logprob(token))))
        << "row " << r;
    for (std::ptrdiff_t i = 0; i < token; ++i) upto += is_excluded(i) ? 0 : policy.weights[i];
    const double target = uniforms[r] * left;
    ASSERT_GT(target, upto - 2e-6 * left) << "row " << r << ", token " << token;
    ASSERT_LT(target, upto + policy.weights[token] + 2e-6 * left)
        << "row " << r << ", token " << token;
    const Draw on_cpu =
        SampleOnCpu(rows[r], params, uniforms[r], excluded.empty() ? Ids{} : excluded[r]);
    tally.other_token += on_cpu.token != token;
    if (on_cpu.token == token) {
      ASSERT_NEAR(on_cpu.logprob, drawn.logprobs[r], 3e-6 * (1 + std::abs(on_cpu.logprob)));
    }
  }
}

std::vector<float> RandomLogits(int64_t vocab, RandomStream& random, bool with_ties) {
  std::vector<float> logits(static_cast<std::size_t>(vocab));
  const double spread = 2 + 10 * random.Uniform();
  for (float& x : logits) {
    x = static_cast<float>(spread * (2 * random.Uniform() - 1));
    if (with_ties) x = std::round(2 * x) / 2;
    if (random.Uniform() < 0.02) x = -kInf;
  }
  logits[static_cast<std::size_t>(random.Below(vocab))] = 1;
  return logits;
}

TEST(CudaSampleRows, RandomFiltersMatchTheReference) {
  RandomStream random(7, 1);
  Tally tally;
  for (const int64_t vocab : {1, 2, 7, 31, 97, 512, 513, 1500, 5003})
    for (int round = 0; round < (vocab > 1000 ? 4 : 14); ++round) {
      const auto coin = [&] { return random.Uniform() < 0.5; };
      SamplingParams params{.temperature = coin() ? 1.0 : 0.3 + 1.5 * random.Uniform()};
      if (coin()) params.top_k = static_cast<int>(1 + random.Below(vocab + 3));
      if (coin()) params.top_p = 0.05 + 0.94 * random.Uniform();
      if (coin()) params.min_p = 0.3 * random.Uniform();
      if (random.Uniform() < 0.1) params.temperature = 0;
      std::vector<std::vector<float>> rows;
      std::vector<double> uniforms;
      std::vector<Ids> excluded;
      const bool excludes = coin(), ties = coin();
      for (int r = 0; r < 5; ++r) {
        rows.push_back(RandomLogits(vocab, random, ties));
        uniforms.push_back(r == 0 ? 0 : r == 1 ? std::nextafter(1.0, 0.0) : random.Uniform());
        if (!excludes) continue;
        excluded.emplace_back();
        // Often excludes the most probable token, as a search does where rollouts leave its
        // response.
        if (vocab > 7 && coin())
          excluded.back().push_back(
              static_cast<int32_t>(std::ranges::max_element(rows.back()) - rows.back().begin()));
        if (vocab > 7 && coin())
          excluded.back().push_back(static_cast<int32_t>(random.Below(vocab)));
      }
      // BadRowsGetNoToken tests rows whose tokens are all excluded.
      for (std::size_t r = 0; r < rows.size() && excludes; ++r) try {
          SampleOnCpu(rows[r], params, 0, excluded[r]);
        } catch (const Error&) {
          excluded[r].clear();
        }
      Check(rows, params, uniforms, excluded, tally);
      if (HasFatalFailure())
        FAIL() << "vocabulary " << vocab << ", temperature " << params.temperature << ", top_k "
               << params.top_k << ", top_p " << params.top_p << ", min_p " << params.min_p;
    }
  EXPECT_LT(tally.unsure, tally.rows / 20);
  // Rounding may give another token where the target is near the edge between two.
  EXPECT_LT(tally.other_token, tally.rows / 100);
  RecordProperty("rows", tally.rows);
  RecordProperty("unsure", tally.unsure);
  RecordProperty("other_token", tally.other_token);
}

// The vocabulary of Phi-4, with no filters and with all of them.
TEST(CudaSampleRows, AVocabularyOfAHundredThousand) {
  const cuda_on_cpu::ScopedSchedules schedules({Schedule::kForward, Schedule::kRandom});
  RandomStream random(8, 1);
  Tally tally;
  for (const SamplingParams& params :
       {SamplingParams{},
        SamplingParams{.temperature = 0.8, .top_k = 500, .top_p = 0.9, .min_p = 0.01}}) {
    const std::vector<std::vector<float>> rows = {RandomLogits(100352, random, false),
                                                  RandomLogits(100352, random, true)};
    Check(rows, params, {0.3, 0.97}, {{1, 77777}, {}}, tally);
  }
  EXPECT_EQ(tally.rows, 4);
  EXPECT_LE(tally.unsure, 1);
}

TEST(CudaSampleRows, TemperatureZeroTakesTheFirstMaximum) {
  const Drawn drawn = Sample({{0, 3, 1, 3}}, {.temperature = 0, .min_p = 0.5}, {0.99}, {});
  EXPECT_EQ(drawn.tokens[0], 1);
  EXPECT_EQ(drawn.logprobs[0], 0);
}

TEST(CudaSampleRows, TiesAtTheCutKeepTheLowerIds) {
  const std::vector<float> row = {1, 0, 1, 1, -0.0f, 1};
  for (double u : {0.0, 0.49, 0.51, 0.99}) {
    EXPECT_EQ(SampleOne(row, {.top_k = 2}, u).tokens[0], u < 0.5 ? 0 : 2);
    EXPECT_EQ(SampleOne({1, 1, 1, 1}, {.top_p = 0.5}, u).tokens[0], u < 0.5 ? 0 : 1);
  }
  // 0 and -0 are equal: the first of them is the fifth.
  EXPECT_EQ(
      SampleOne({5, 5, 5, 5, 0.0f, -0.0f}, {.temperature = 100, .top_k = 5}, 0.9999).tokens[0], 4);
  EXPECT_EQ(
      SampleOne({5, 5, 5, 5, -0.0f, 0.0f}, {.temperature = 100, .top_k = 5}, 0.9999).tokens[0], 4);
}

// top-p keeps all tokens that top-k kept, and drops those that top-k dropped at the same logit.
TEST(CudaSampleRows, TwoCutsAtOneTie) {
  for (double top_p : {0.9, std::nextafter(1.0, 0.0)})
    for (double u : {0.0, 0.49, 0.51, 0.99}) {
      const Drawn drawn = Sample({{1, 1, 1, 1, 0}}, {.top_k = 2, .top_p = top_p}, {u}, {});
      EXPECT_EQ(drawn.tokens[0], u < 0.5 ? 0 : 1);
    }
}

// Devices round the weight exp(-1) to other floats nearby. Half a float apart, the largest min_p
// that keeps a token is its weight, a float; it would lie between two if equality did not count.
TEST(CudaSampleRows, MinPKeepsWhatHasJustAsMuch) {
  const double near = std::exp(-1.0f), step = 0x1p-26;  // floats in [0.25, 0.5) are 2^-25 apart
  std::vector<double> kept;
  for (int i = -8; i <= 8; ++i) {
    const double min_p = near + i * step;
    if (SampleOne({1, 0}, {.min_p = min_p}, 0.99).tokens[0] == 1) kept.push_back(min_p);
  }
  ASSERT_FALSE(kept.empty());
  EXPECT_EQ(std::ssize(kept), 1 + std::lround((kept.back() - kept.front()) / step));
  EXPECT_EQ(kept.front(), near - 8 * step);
  EXPECT_LT(kept.back(), near + 8 * step);
  EXPECT_EQ(kept.back(), static_cast<float>(kept.back()));
}

TEST(CudaSampleRows, NeverDrawsImpossibleTokens) {
  std::vector<float> row(1200, -kInf);
  row[700] = 0;
  for (double u : {0.0, 0.5, std::nextafter(1.0, 0.0)})
    for (const SamplingParams& params :
         {SamplingParams{}, SamplingParams{.top_k = 50, .top_p = 0.9, .min_p = 0.1}})
      EXPECT_EQ(SampleOne(row, params, u).tokens[0], 700);
}

// The excluded token has nearly all of the mass; the others keep their proportions.
TEST(CudaSampleRows, ExcludesAnAlmostCertainToken) {
  std::vector<float> row(600, -30);
  row[3] = 10;
  row[500] = -28;
  int count = 0;
  std::vector<std::vector<float>> rows(200, row);
  std::vector<double> uniforms;
  for (int i = 0; i < 200; ++i) uniforms.push_back((i + 0.5) / 200);
  for (int32_t token : Sample(rows, {}, uniforms, std::vector<Ids>(200, Ids{3})).tokens) {
    EXPECT_NE(token, 3);
    count += token == 500;
  }
  const double fraction = std::exp(2.0) / (598 + std::exp(2.0));
  EXPECT_NEAR(count, 200 * fraction, 1.01);
}

TEST(CudaSampleRows, BadRowsGetNoToken) {
  for (const std::vector<float>& row :
       {std::vector<float>{NAN, 0}, std::vector<float>{0, NAN}, std::vector<float>{kInf, 0},
        std::vector<float>{-kInf, -kInf}, std::vector<float>(1000, NAN)}) {
    const Drawn drawn = SampleOne(row, {.top_k = 1}, 0.5);
    EXPECT_EQ(drawn.tokens[0], -1);
    EXPECT_TRUE(std::isnan(drawn.logprobs[0]));
  }
  // All tokens that the policy allows are excluded.
  EXPECT_EQ(SampleOne({1, 2, 3}, {.top_k = 1}, 0.5, {2}).tokens[0], -1);
  EXPECT_EQ(SampleOne({1, 2, 3}, {.temperature = 0}, 0.5, {2}).tokens[0], -1);
  EXPECT_THROW(LaunchSampleRows({.rows = 1, .vocab = kMaxVocab + 1}, nullptr), Error);
}

#ifndef PIVOTAL_CUDA_ON_GPU
// Returns what the launch of a copy with a planted mistake fails with.
std::string Failure(void (*launch)(const SampleRowsTask&, void*)) {
  RandomStream random(9, 1);
  const auto row = RandomLogits(1500, random, false);
  try {
    Sample({row, row}, {.top_k = 20, .top_p = 0.9}, {0.2, 0.7}, {{5}, {6}}, launch);
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    return failure.what();
  }
  return "nothing found";
}

TEST(CudaSampleRows, AMissingBarrierIsFound) {
  EXPECT_THAT(Failure(SampleWithoutBarrier), HasSubstr("kernel SampleOneRow"));
  EXPECT_THAT(Failure(SampleWithoutBarrier),
              HasSubstr(cuda_on_cpu::WatchesAccesses() ? "with no barrier between"
                                                       : "depends on the order"));
}
TEST(CudaSampleRows, AnAccessOutOfBoundsIsFound) {
  EXPECT_THAT(Failure(SampleOutOfBounds), HasSubstr("out of bounds: index 3003 of logits"));
}
TEST(CudaSampleRows, ADivergentVoteIsFound) {
  EXPECT_THAT(Failure(SampleWithALaneAstray), HasSubstr("divergent warp"));
}
#endif

}  // namespace
}  // namespace pivotal::kernels::cuda
