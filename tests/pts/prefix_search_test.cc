// Apache-2.0.
#include "pts/prefix_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "tests/support/markov_policy.h"

namespace pivotal::pts {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MarkovChain;
using testing::MarkovPolicy;
using testing::RandomChain;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(SplitByLogProb, TakesTheCumulativeMidpoint) {
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-1, -1, -1, -1}, 0, 4), 2);
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-9, -1, -1, -1}, 0, 4), 1);
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-1, -1, -1, -9}, 0, 4), 3);
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-1, -4, -4, -1}, 0, 4), 2);
  // a segment within the response
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-100, -1, -1, -6, -2}, 1, 5), 3);
}

TEST(SplitByLogProb, TheEarlierOnTies) {
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-1, -1, -1}, 0, 3), 1);
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-1, 0, 0, -1}, 0, 4), 1);
}

TEST(SplitByLogProb, CertainTokensSplitInTheMiddle) {
  EXPECT_EQ(SplitByLogProb(std::vector<float>(9, 0.0f), 0, 9), 4);
  EXPECT_EQ(SplitByLogProb(std::vector<float>(9, -0.0f), 2, 8), 5);
}

TEST(SplitByLogProb, ImpossibleTokensTakeTheCutNextToThem) {
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-1, -1, -1, -kInf}, 0, 4), 3);
  EXPECT_EQ(SplitByLogProb(std::vector<float>{-kInf, -1, -1, -1}, 0, 4), 1);
  EXPECT_EQ(SplitByLogProb(std::vector<float>(4, -kInf), 0, 4), 2);
  const int32_t split = SplitByLogProb(std::vector<float>{kNan, -1, kNan}, 0, 3);
  EXPECT_TRUE(split == 1 || split == 2);
}

TEST(SplitByLogProb, RefusesWhatCannotBeSplit) {
  const std::vector<float> logprobs(3, -1.0f);
  EXPECT_THROW(SplitByLogProb(logprobs, 1, 2), Error);
  EXPECT_THROW(SplitByLogProb(logprobs, 0, 4), Error);
  EXPECT_THROW(SplitByLogProb(logprobs, -1, 2), Error);
}

TEST(Subdivision, LeavesASegmentBelowTheGapAlone) {
  const Subdivision subdivision(std::vector<float>(8, -1.0f), 0.9, 1.0, 0.2);
  EXPECT_THAT(subdivision.Pending(), IsEmpty());
  EXPECT_THAT(subdivision.Pivotal(), IsEmpty());
}

TEST(Subdivision, ResponseOfOneToken) {
  const std::vector<float> one(1, -1.0f);
  EXPECT_THAT(Subdivision(one, 0.5, 0.0, 0.2).Pivotal(), ElementsAre(1));
  EXPECT_THAT(Subdivision(one, 0.1, 0.0, 0.2).Pivotal(), IsEmpty());
  EXPECT_THAT(Subdivision(one, 0.5, 0.0, 0.2).Pending(), IsEmpty());
}

TEST(Subdivision, AsksInRounds) {
  Subdivision subdivision(std::vector<float>(8, -1.0f), 0.5, 1.0, 0.2);
  EXPECT_THAT(subdivision.Pending(), ElementsAre(4));
  subdivision.Supply(4, 0.0);  // both halves change by at least the gap
  EXPECT_THAT(subdivision.Pending(), ElementsAre(2, 6));
  subdivision.Supply(6, 0.0);
  EXPECT_THAT(subdivision.Pending(), ElementsAre(2, 7));
  subdivision.Supply(2, 0.5);
  EXPECT_THAT(subdivision.Pending(), ElementsAre(3, 7));
  subdivision.Supply(3, 0.5);
  subdivision.Supply(7, 0.0);
  EXPECT_THAT(subdivision.Pending(), IsEmpty());
  EXPECT_THAT(subdivision.Pivotal(), ElementsAre(4, 8));
}

TEST(Subdivision, MissesJumpsThatCancel) {  // a limit of the published algorithm
  Subdivision subdivision(std::vector<float>(4, -1.0f), 0.9, 1.0, 0.2);
  EXPECT_THAT(subdivision.Pending(), IsEmpty());  // although p might be 0 within the response
}

TEST(Subdivision, ChecksItsInput) {
  const std::vector<float> logprobs(4, -1.0f);
  EXPECT_THROW(Subdivision({}, 0.5, 1, 0.2), Error);
  EXPECT_THROW(Subdivision(logprobs, 1.5, 1, 0.2), Error);
  EXPECT_THROW(Subdivision(logprobs, NAN, 1, 0.2), Error);
  EXPECT_THROW(Subdivision(logprobs, 0.5, 0.5, 0.2), Error);
  EXPECT_THROW(Subdivision(logprobs, 0.5, 1, 0), Error);
  EXPECT_THROW(Subdivision(logprobs, 0.5, 1, 1), Error);
  Subdivision subdivision(logprobs, 0.5, 1, 0.2);
  EXPECT_THROW(subdivision.Supply(1, 0.5), Error);  // 2 is pending
  EXPECT_THROW(subdivision.Supply(2, -0.1), Error);
}

// The published algorithm a second time, as Figure 4 of the report has it: Subdivide returns
// segments, and the caller filters them.
class PublishedSearch {
 public:
  PublishedSearch(std::vector<double> p, std::vector<float> logprobs, double gap)
      : p_(std::move(p)), logprobs_(std::move(logprobs)), gap_(gap) {}

  std::vector<int32_t> Run() {
    std::vector<int32_t> pivotal;
    for (const auto& [begin, end] : Subdivide(0, static_cast<int32_t>(logprobs_.size())))
      if (end - begin == 1 && std::abs(p_[end] - p_[begin]) >= gap_) pivotal.push_back(end);
    return pivotal;
  }

 private:
  std::vector<std::pair<int32_t, int32_t>> Subdivide(int32_t begin, int32_t end) {
    if (end - begin <= 1 || std::abs(p_[end] - p_[begin]) < gap_) return {{begin, end}};
    const int32_t cut = Midpoint(begin, end);
    auto segments = Subdivide(begin, cut);
    for (const auto& segment : Subdivide(cut, end)) segments.push_back(segment);
    return segments;
  }
  int32_t Midpoint(int32_t begin, int32_t end) const {
    const auto sum = [&](int32_t from, int32_t to) {
      double total = 0;
      for (int32_t i = from; i < to; ++i) total += logprobs_[i];
      return total;
    };
    int32_t best = begin + 1;
    for (int32_t k = begin + 1; k < end; ++k) {
      const double half = sum(begin, end) / 2;
      if (std::abs(sum(begin, k) - half) < std::abs(sum(begin, best) - half)) best = k;
    }
    return best;
  }

  std::vector<double> p_;
  std::vector<float> logprobs_;
  double gap_;
};

// Returns the exact p_0..p_n of a response.
std::vector<double> Truth(const MarkovChain& chain, const std::vector<TokenId>& response,
                          int32_t max_new_tokens, TokenId prompt) {
  const auto n = static_cast<int32_t>(response.size());
  std::vector<double> p;
  for (int32_t k = 0; k < n; ++k)
    p.push_back(chain.Success(max_new_tokens - k)[k == 0 ? prompt : response[k - 1]]);
  p.push_back(chain.IsRight(prompt, response) ? 1.0 : 0.0);
  return p;
}

TEST(Subdivision, EqualsThePublishedAlgorithmOnRandomChains) {
  constexpr int32_t kMaxNewTokens = 40;
  std::size_t reported = 0, responses = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    MarkovPolicy policy(RandomChain(6 + static_cast<int32_t>(seed % 7), seed), seed);
    const RolloutRequest request{{0}, 10, kMaxNewTokens, seed, 0};
    const auto results = policy.Sample({&request, 1}, Progress());
    for (const auto& rollout : results[0]) {
      const auto p = Truth(policy.chain(), rollout.tokens, kMaxNewTokens, 0);
      for (double gap : {0.05, 0.1, 0.2, 0.4}) {
        Subdivision subdivision(rollout.logprobs, p.front(), p.back(), gap);
        for (auto pending = subdivision.Pending(); !pending.empty();
             pending = subdivision.Pending())
          for (int32_t k : pending) subdivision.Supply(k, p[k]);
        EXPECT_EQ(subdivision.Pivotal(), PublishedSearch(p, rollout.logprobs, gap).Run())
            << "seed " << seed << " gap " << gap;
        for (int32_t k : subdivision.Pivotal()) EXPECT_GE(std::abs(p[k] - p[k - 1]), gap);
        reported += subdivision.Pivotal().size();
      }
      ++responses;
    }
  }
  EXPECT_GT(reported, 2 * responses);  // the test has something to compare
}

}  // namespace
}  // namespace pivotal::pts
