// Apache-2.0.
#include "bench/world_families.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "data/base/error.h"
#include "kernels/philox.h"

namespace pivotal::bench {
namespace {

using testing::TableWorld;

// Returns random options of world `number`: its length and its fraction of forks.
template <typename Options>
Options WorldOptions(const WorldChoice& choice, int32_t number) {
  kernels::RandomStream random(choice.seed, kernels::MixStream(0, static_cast<uint64_t>(number)));
  Options options;
  options.length = static_cast<int32_t>(40 * std::pow(choice.longest / 40.0, random.Uniform()));
  options.forks = 0.05 + 0.25 * random.Uniform();
  if constexpr (requires { options.switches; }) options.switches = 4 + 6 * random.Uniform();
  if constexpr (requires { options.success; }) options.success = number % 2 == 0 ? 0.03 : 0.97;
  options.seed = kernels::MixStream(choice.seed, static_cast<uint64_t>(number));
  return options;
}

template <typename Options, TableWorld (*make)(const Options&)>
TableWorld MakeWorld(const WorldChoice& choice, int32_t number) {
  return make(WorldOptions<Options>(choice, number));
}

constexpr WorldFamily kFamilies[] = {
    {"lane", MakeWorld<testing::LaneWorldOptions, testing::LaneWorld>},
    {"drift", MakeWorld<testing::DriftWorldOptions, testing::DriftWorld>},
    {"rare", MakeWorld<testing::RareWorldOptions, testing::RareWorld>},
    {"strategy", MakeWorld<testing::StrategyWorldOptions, testing::StrategyWorld>},
    {"alternatives", MakeWorld<testing::AlternativesWorldOptions, testing::AlternativesWorld>},
    {"near", MakeWorld<testing::NearWorldOptions, testing::NearWorld>},
    {"coin", MakeWorld<testing::CoinWorldOptions, testing::CoinWorld>, true},
};

}  // namespace

std::span<const WorldFamily> WorldFamilies() { return kFamilies; }

const WorldFamily& FamilyNamed(std::string_view name) {
  std::string names;
  for (const WorldFamily& family : kFamilies) {
    if (name == family.name) return family;
    names += (names.empty() ? "" : ", ") + std::string(family.name);
  }
  Fail("search_vs_truth: \"{}\" is none of {}, tiny", name, names);
}

}  // namespace pivotal::bench
