// Apache-2.0. Tests the posterior of changes against changes that are known.
#include "pts/change_posterior.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "kernels/philox.h"
#include "pivotal/search.h"
#include "pts/strategy.h"
#include "tests/support/table_world.h"

namespace pivotal::pts {
namespace {

// Returns a normal random number (Box and Muller).
double Normal(kernels::RandomStream& random) {
  const double radius = std::sqrt(-2 * std::log1p(-random.Uniform()));
  return radius * std::cos(2 * 3.14159265358979 * random.Uniform());
}

// Changes whose prior is one that the mixture can learn: of those with a posterior near x, a share
// of x reaches the gap.
TEST(ChangePrior, SaysHowManyReachTheGap) {
  for (const double zeros : {0.2, 0.6, 0.9}) {
    kernels::RandomStream random(3, static_cast<uint64_t>(100 * zeros));
    std::vector<double> truth;
    std::vector<MeasuredChange> changes;
    for (int i = 0; i < 4000; ++i) {
      truth.push_back(random.Uniform() < zeros ? 0 : 0.25 * Normal(random));
      const double deviation = 0.02 + 0.1 * random.Uniform();
      changes.push_back({truth[i] + deviation * Normal(random), deviation * deviation});
    }
    const ChangePrior prior(changes);
    std::array<double, 5> expected{}, reached{}, spread{};
    for (std::size_t i = 0; i < truth.size(); ++i) {
      const double p = prior.Reaches(changes[i], 0.2);
      ASSERT_GE(p, 0);
      ASSERT_LE(p, 1);
      const auto bin = std::min<std::size_t>(4, static_cast<std::size_t>(5 * p));
      expected[bin] += p;
      reached[bin] += std::abs(truth[i]) >= 0.2;
      spread[bin] += p * (1 - p);
    }
    for (std::size_t bin = 0; bin < 5; ++bin)
      EXPECT_NEAR(expected[bin], reached[bin], 3 * std::sqrt(spread[bin]) + 0.02 * expected[bin])
          << zeros << " bin " << bin;
  }
}

TEST(ChangePrior, KnowsCertainChanges) {
  const ChangePrior none({});
  EXPECT_NEAR(none.Reaches({0.3, 1e-9}, 0.2), 1, 1e-6);
  EXPECT_NEAR(none.Reaches({-0.3, 1e-9}, 0.2), 1, 1e-6);
  EXPECT_NEAR(none.Reaches({0.1, 1e-9}, 0.2), 0, 1e-6);
  EXPECT_LT(none.Reaches({0, 0.3}, 0.2), 0.2) << "what is not known is mostly small";
}

// Counts over 60 worlds: the share of reported tokens below the gap is near what the search expects
// it to be, where few tokens matter and where many matter a little. Under the prior that guides the
// search it was half of it.
TEST(ChangePosterior, ExpectsAsManyFalseTokensAsThereAre) {
  for (const bool drift : {false, true}) {
    double below = 0, expected = 0, spread = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
      testing::LaneWorldOptions lane;
      testing::DriftWorldOptions steps;
      lane.seed = steps.seed = seed;
      lane.length = steps.length = 60 + 10 * static_cast<int32_t>(seed % 8);
      lane.forks = steps.forks = 0.05 + 0.05 * static_cast<double>(seed % 6);
      const testing::TableWorld world =
          drift ? testing::DriftWorld(steps) : testing::LaneWorld(lane);
      testing::WorldPolicy policy(world, 5);
      const Query query{"q", "", "", {world.start()}};
      SearchOptions options;
      options.max_new_tokens = 1000;
      options.confirm = 0;
      const auto p = [&](TokenId token) { return world.Success(token); };
      const auto sink = [&](std::vector<QueryTrace> group) {
        for (const ResponseTrace& response : group[0].responses)
          for (const PivotalToken& token : response.pivotal) {
            const TokenId before =
                token.position == 1 ? world.start() : response.tokens[token.position - 2];
            const double delta = p(response.tokens[token.position - 1]) - p(before);
            below += std::abs(delta) < options.gap;
            expected += 1 - token.probability;
            spread += token.probability * (1 - token.probability);
          }
      };
      const auto judge = [&](const Query&, std::span<const TokenId> response) {
        return p(response.back()) == 1;
      };
      Progress progress;
      Search({&query, 1}, policy, judge, options, sink, progress);
    }
    EXPECT_NEAR(below, expected, 3 * std::sqrt(spread)) << (drift ? "drift" : "lane");
    EXPECT_GT(expected, 1) << (drift ? "drift" : "lane");
  }
}

}  // namespace
}  // namespace pivotal::pts
