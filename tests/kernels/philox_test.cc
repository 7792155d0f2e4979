// Apache-2.0.
#include "kernels/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace pivotal::kernels {
namespace {

using Block = std::array<uint32_t, 4>;

// Known answers of the Random123 library (kat_vectors, "philox4x32 10").
TEST(Philox, MatchesKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformIsUniform) {
  constexpr int kDraws = 100000, kBins = 20;
  std::vector<int> counts(kBins);
  for (uint32_t i = 0; i < kDraws; ++i) {
    const double u = Uniform(7, 42, i / 50, i % 50);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++counts[static_cast<std::size_t>(u * kBins)];
  }
  double chi2 = 0;
  for (int count : counts) chi2 += std::pow(count - kDraws / kBins, 2) / (kDraws / kBins);
  EXPECT_LT(chi2, 43.8);  // 99.9% quantile at 19 degrees of freedom
}

TEST(Philox, EveryPartOfTheKeyMatters) {
  const std::set<double> draws = {Uniform(1, 2, 3, 4),         Uniform(2, 2, 3, 4),
                                  Uniform(1, 3, 3, 4),         Uniform(1, 2, 4, 4),
                                  Uniform(1, 2, 3, 5),         Uniform(1ull << 40, 2, 3, 4),
                                  Uniform(1, 2ull << 40, 3, 4)};
  EXPECT_EQ(draws.size(), 7u);
  EXPECT_NE(MixStream(0, "ab"), MixStream(0, "ba"));
  EXPECT_NE(MixStream(MixStream(0, "a"), "b"), MixStream(0, "ab"));
}

// Each of the ten subsets of three of five is as likely as the others; their order stays.
TEST(Philox, LeaveRandomLeavesEachSubsetAsOften) {
  constexpr int kDraws = 20000;
  std::map<std::vector<char>, int> counts;
  RandomStream random(3, 1);
  for (int i = 0; i < kDraws; ++i) {
    std::vector<char> items = {'a', 'b', 'c', 'd', 'e'};
    LeaveRandom(items, 3, random);
    ASSERT_TRUE(std::is_sorted(items.begin(), items.end()));
    ++counts[items];
  }
  ASSERT_EQ(counts.size(), 10u);
  double chi2 = 0;
  for (const auto& [items, count] : counts)
    chi2 += std::pow(count - kDraws / 10, 2) / (kDraws / 10);
  EXPECT_LT(chi2, 27.9);  // 99.9% quantile at 9 degrees of freedom
  std::vector<int> few = {2, 1};
  LeaveRandom(few, 3, random);
  EXPECT_EQ(few, (std::vector<int>{2, 1}));
}

// Results of stored runs depend on these numbers, which must not change.
TEST(Philox, FirstNumbersArePinned) {
  RandomStream random(1, MixStream(0, "pinned"));
  const double first = random.Uniform();
  EXPECT_EQ(first, Uniform(1, MixStream(0, "pinned"), 0, 0));
  EXPECT_NEAR(Uniform(0, 0, 0, 0), 0x6627e8d5 / 4294967296.0, 1e-9);
  for (int i = 0; i < 1000; ++i) {
    const int64_t below = random.Below(7);
    ASSERT_GE(below, 0);
    ASSERT_LT(below, 7);
  }
}

}  // namespace
}  // namespace pivotal::kernels
