// Apache-2.0. Tests the worlds that searches are measured on: their tables, their truth against
// rollouts, and that each family has what it is for.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/support/step_world.h"
#include "tests/support/table_world.h"

namespace pivotal::testing {
namespace {

constexpr uint64_t kWorlds = 30;

template <typename Options>
Options OptionsOf(uint64_t seed) {
  Options options;
  options.length = 40 + 12 * static_cast<int32_t>(seed % 31);
  options.forks = 0.05 + 0.05 * static_cast<double>(seed % 6);
  options.seed = seed;
  return options;
}

std::vector<Rollout> Responses(const TableWorld& world, int32_t count) {
  WorldPolicy policy(world, 7);
  const RolloutRequest request{{world.start()}, count, 1000, 1, 0, {}};
  return policy.Sample({&request, 1}, Progress())[0];
}

// Calls visit(probability, before, after) for every token of some responses.
template <typename Visit>
void EachToken(const TableWorld& world, int32_t responses, Visit&& visit) {
  for (const Rollout& response : Responses(world, responses)) {
    TokenId last = world.start();
    for (std::size_t k = 0; k < response.tokens.size(); ++k) {
      visit(std::exp(double{response.logprobs[k]}), last, response.tokens[k]);
      last = response.tokens[k];
    }
  }
}

double Jump(const TableWorld& world, TokenId before, TokenId after) {
  return std::abs(world.Success(after) - world.Success(before));
}

// Checks rows and lengths of a world, and p of its prompt against rollouts.
void CheckWorld(const TableWorld& world, int32_t length) {
  EachToken(world, 20, [&](double, TokenId before, TokenId) {
    const auto row = world.Moves(before);
    double sum = 0;
    for (const Move& move : row) {
      EXPECT_GT(move.token, before);
      EXPECT_GT(move.probability, 0);
      sum += move.probability;
    }
    EXPECT_NEAR(sum, 1, 1e-9);
    EXPECT_TRUE(std::ranges::is_sorted(row, {}, &Move::token));
  });
  constexpr int32_t kRollouts = 500;
  int32_t right = 0;
  for (const Rollout& response : Responses(world, kRollouts)) {
    EXPECT_EQ(std::ssize(response.tokens), length);
    right += world.Success(response.tokens.back()) == 1;
  }
  EXPECT_NEAR(right / double{kRollouts}, world.Success(world.start()),
              4.5 * 0.5 / std::sqrt(double{kRollouts}));
}

bool InBand(const TableWorld& world) {
  const double p = world.Success(world.start());
  return p >= 0.25 && p <= 0.75;
}

TEST(WorldOfSteps, ByHand) {
  // One step from state 0: stays (two words) or goes to state 1, from which all end wrong.
  const std::vector<StateStep> steps = {{{{{0, 0, 0.5}, {0, 1, 0.2}, {1, 0, 0.3}}, {{1, 0, 1.0}}}}};
  const TableWorld world = WorldOfSteps(steps, 0, std::vector<double>{0.9, 0});
  EXPECT_NEAR(world.Success(world.start()), 0.7 * 0.9, 1e-12);
  ASSERT_EQ(world.Moves(world.start()).size(), 3u);
  EXPECT_NEAR(world.Success(world.Moves(0)[0].token), 0.9, 1e-12);
  EXPECT_NEAR(world.Success(world.Moves(0)[1].token), 0.9, 1e-12);
  EXPECT_EQ(world.Success(world.Moves(0)[2].token), 0);
}

TEST(RareWorld, RareTokensMatterInBothDirections) {
  int32_t in_band = 0, worlds_up = 0, worlds_down = 0;
  for (uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const auto options = OptionsOf<RareWorldOptions>(seed);
    const TableWorld world = RareWorld(options);
    CheckWorld(world, options.length);
    in_band += InBand(world);
    bool up = false, down = false;
    EachToken(world, 20, [&](double, TokenId before, TokenId) {
      for (const Move& move : world.Moves(before)) {
        if (move.probability < options.least || move.probability > options.most) continue;
        const double d = world.Success(move.token) - world.Success(before);
        up = up || d > 0.2;
        down = down || d < -0.4;
      }
    });
    worlds_up += up;
    worlds_down += down;
  }
  EXPECT_GE(in_band, 0.6 * kWorlds);
  EXPECT_GE(worlds_up, 0.6 * kWorlds);
  EXPECT_GE(worlds_down, 0.9 * kWorlds);
}

TEST(StrategyWorld, ItsFirstChoiceAndItsSlipsMatter) {
  int32_t in_band = 0, choices = 0;
  double slips = 0, recoveries = 0;
  for (uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const auto options = OptionsOf<StrategyWorldOptions>(seed);
    const TableWorld world = StrategyWorld(options);
    CheckWorld(world, options.length);
    in_band += InBand(world);
    double most = 0;
    for (const Rollout& response : Responses(world, 20)) {
      TokenId last = world.start();
      for (int32_t k = 0; k < options.length; ++k) {
        const double d = world.Success(response.tokens[k]) - world.Success(last);
        if (10 * k < options.length) most = std::max(most, std::abs(d));
        if (10 * k >= options.length) slips += d < -0.3;
        if (10 * k >= options.length) recoveries += d > 0.3;
        last = response.tokens[k];
      }
    }
    choices += most > 0.15;
  }
  EXPECT_GE(in_band, 0.5 * kWorlds);
  EXPECT_GE(choices, 0.7 * kWorlds);
  EXPECT_GE(slips / (20 * kWorlds), 0.2) << "a response";
  EXPECT_GE(recoveries / (20 * kWorlds), 0.03) << "a response";
}

TEST(AlternativesWorld, ForksHaveManyAlternativesOfWhichFewMatter) {
  int32_t in_band = 0;
  double forks = 0, alternatives = 0, matter = 0, strong = 0;
  for (uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const auto options = OptionsOf<AlternativesWorldOptions>(seed);
    const TableWorld world = AlternativesWorld(options);
    CheckWorld(world, options.length);
    in_band += InBand(world);
    EachToken(world, 10, [&](double, TokenId before, TokenId token) {
      const auto row = world.Moves(before);
      strong += Jump(world, before, token) >= 0.25;
      if (row.size() < 5) return;
      EXPECT_LE(std::ssize(row), options.most);
      forks += 1;
      alternatives += static_cast<double>(row.size());
      for (const Move& move : row) matter += Jump(world, before, move.token) >= 0.2;
    });
  }
  EXPECT_GE(in_band, 0.4 * kWorlds);
  EXPECT_GE(alternatives / forks, 25);
  EXPECT_LE(matter / forks, 2);
  EXPECT_GE(strong / (10 * kWorlds), 0.3) << "a response";
}

TEST(NearWorld, ManyTokensMissTheGapByLittle) {
  int32_t in_band = 0;
  double near = 0, above = 0;
  for (uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const auto options = OptionsOf<NearWorldOptions>(seed);
    const TableWorld world = NearWorld(options);
    CheckWorld(world, options.length);
    in_band += InBand(world);
    EachToken(world, 20, [&](double, TokenId before, TokenId token) {
      const double d = Jump(world, before, token);
      near += d >= options.least - 1e-9 && d < options.most;
      above += d >= 0.2;
    });
  }
  EXPECT_GE(in_band, 0.6 * kWorlds);
  EXPECT_GE(near / (20 * kWorlds), 3) << "a response";
  EXPECT_GE(above / (20 * kWorlds), 0.3) << "a response";
  EXPECT_LE(above, 0.5 * near);
}

TEST(CoinWorld, SucceedsAsOftenAsAsked) {
  for (const double success : {0.03, 0.2, 0.97}) {
    CoinWorldOptions options;
    options.success = success;
    options.length = 50;
    for (options.seed = 1; options.seed <= 3; ++options.seed) {
      const TableWorld world = CoinWorld(options);
      CheckWorld(world, options.length);
      EXPECT_NEAR(world.Success(world.start()), success, 1e-9);
    }
  }
}

}  // namespace
}  // namespace pivotal::testing
