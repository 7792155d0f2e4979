// Apache-2.0.
#include "pts/strategy.h"

#include <array>
#include <utility>

#include "data/error.h"
#include "pts/anchored_search.h"
#include "pts/prefix_search.h"

namespace pivotal::pts {
namespace {

constexpr std::array<std::pair<std::string_view, StrategyKind>, 5> kNames = {{
    {"anchored", StrategyKind::kAnchored},
    {"subdivide", StrategyKind::kSubdivide},
    {"subdivide-length", StrategyKind::kSubdivideLength},
    {"exhaustive", StrategyKind::kExhaustive},
    {"none", StrategyKind::kNone},
}};

}  // namespace

std::vector<std::string> StrategyNames() {
  std::vector<std::string> names;
  for (const auto& [name, kind] : kNames) names.emplace_back(name);
  return names;
}

StrategyKind ParseStrategy(std::string_view name) {
  for (const auto& [known, kind] : kNames)
    if (known == name) return kind;
  Fail("strategy \"{}\" is unknown: take one of {}", name, fmt::join(StrategyNames(), ", "));
}

std::string StrategyName(StrategyKind kind) {
  for (const auto& [name, known] : kNames)
    if (known == kind) return std::string(name);
  Fail("strategy {} is unknown", static_cast<int>(kind));
}

void StrategyOptions::Validate() const {
  if (!(gap > 0 && gap < 1)) Fail("search: gap is {}, must be in (0, 1)", gap);
  if (samples < 1) Fail("search: samples is {}, must be 1 or larger", samples);
  if (!(tolerance > 0 && tolerance < gap))
    Fail("search: tolerance is {}, must be in (0, gap) = (0, {})", tolerance, gap);
  if (!(confidence >= 0.5 && confidence < 1))
    Fail("search: confidence is {}, must be in [0.5, 1)", confidence);
  if (!(min_yield > 0)) Fail("search: min_yield is {}, must be larger than 0", min_yield);
  if (max_rollouts < 1) Fail("search: max_rollouts is {}, must be 1 or larger", max_rollouts);
}

std::unique_ptr<Strategy> MakeStrategy(const SuccessTrie& trie, const StrategyOptions& options,
                                       uint64_t stream) {
  options.Validate();
  switch (options.kind) {
    case StrategyKind::kAnchored:
      return std::make_unique<AnchoredSearch>(trie, options, stream);
    case StrategyKind::kSubdivide:
    case StrategyKind::kSubdivideLength:
      return std::make_unique<SubdivideSearch>(trie, options,
                                               options.kind == StrategyKind::kSubdivideLength);
    case StrategyKind::kExhaustive:
      return std::make_unique<ExhaustiveSearch>(trie, options);
    case StrategyKind::kNone:
      return std::make_unique<NoSearch>(trie, options.samples);
  }
  Fail("strategy {} is unknown", static_cast<int>(options.kind));
}

}  // namespace pivotal::pts
