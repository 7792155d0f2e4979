// Apache-2.0.
#include "pts/pair_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <tuple>

#include "data/error.h"
#include "pts/linear_estimate.h"

namespace pivotal::pts {
namespace {

// Tokens of the response before the pair, chosen, rejected.
using PairKey = std::tuple<std::vector<TokenId>, TokenId, TokenId>;

PairKey KeyOf(const data::ResponseTrace& response, const data::PivotalToken& token) {
  const auto begin = response.tokens.begin();
  return {{begin, begin + token.position - 1}, token.chosen, token.rejected};
}

// Chosen minus rejected success rate on fresh rollouts.
double FreshDifference(const data::PivotalToken& token) {
  return Estimate{token.chosen_samples, token.chosen_successes}.Mean() -
         Estimate{token.rejected_samples, token.rejected_successes}.Mean();
}

// The lower end of a one-sided interval of chosen minus rejected is above 0 (Newcombe, Statistics in
// Medicine 1998, method 10).
bool IsApart(const data::PivotalToken& token, double confidence) {
  if (confidence == 0) return true;
  LinearEstimate difference;
  difference.terms = {{1, {token.chosen_samples, token.chosen_successes}},
                      {-1, {token.rejected_samples, token.rejected_successes}}};
  return difference.Bounds(NormalQuantile(confidence)).low > 0;
}

double Delta(const data::PivotalToken& token) { return std::abs(token.after - token.before); }

}  // namespace

void PairOptions::Validate() const {
  if (!(gap > 0 && gap < 1)) Fail("pairs: gap is {}, must be in (0, 1)", gap);
  if (!(min_delta >= 0 && min_delta < 1))
    Fail("pairs: min_delta is {}, must be in [0, 1)", min_delta);
  if (!(min_confidence >= 0 && min_confidence < 1))
    Fail("pairs: min_confidence is {}, must be in [0, 1)", min_confidence);
  if (max_pairs_per_response < 0)
    Fail("pairs: max_pairs_per_response is {}, must be 0 (no limit) or larger",
         max_pairs_per_response);
}

NoPair WhyNoPair(const data::PivotalToken& token, const PairOptions& options) {
  if (token.chosen < 0 || token.rejected < 0) return NoPair::kNoOther;
  if (token.chosen_samples <= 0 || token.rejected_samples <= 0) return NoPair::kNotMeasured;
  if (!ReachesGap(Delta(token), options.min_delta)) return NoPair::kSmallDelta;
  if (!ReachesGap(FreshDifference(token), options.gap)) return NoPair::kSmallGap;
  return IsApart(token, options.min_confidence) ? NoPair::kNone : NoPair::kNotApart;
}

std::vector<std::vector<NoPair>> WhyNoPairs(const data::QueryTrace& query, const PairOptions& options) {
  std::vector<std::vector<NoPair>> reasons;
  std::set<PairKey> taken;
  for (const data::ResponseTrace& response : query.responses) {
    std::vector<NoPair>& of_response = reasons.emplace_back();
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < response.pivotal.size(); ++i) {
      of_response.push_back(WhyNoPair(response.pivotal[i], options));
      if (of_response[i] == NoPair::kNone) order.push_back(i);
    }
    std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t i) { return FreshDifference(response.pivotal[i]); });
    int32_t pairs = 0;
    for (std::size_t i : order) {
      PairKey key = KeyOf(response, response.pivotal[i]);
      if (taken.contains(key)) {
        of_response[i] = NoPair::kRepeated;
      } else if (options.max_pairs_per_response > 0 && pairs == options.max_pairs_per_response) {
        of_response[i] = NoPair::kOverLimit;
      } else {
        taken.insert(std::move(key));
        ++pairs;
      }
    }
  }
  return reasons;
}

std::string TextOf(NoPair reason, const data::PivotalToken& token, const PairOptions& options) {
  switch (reason) {
    case NoPair::kNone: break;
    case NoPair::kNoOther: return "rollouts met no other token";
    case NoPair::kNotMeasured: return "sides not measured on fresh rollouts";
    case NoPair::kSmallDelta: return fmt::format("p changes by {:.3g}, {:g} asked for", Delta(token), options.min_delta);
    case NoPair::kSmallGap:
      return fmt::format("sides differ by {:.3g} on fresh rollouts, {:g} asked for", FreshDifference(token), options.gap);
    case NoPair::kNotApart: return fmt::format("not measurably apart ({:g}% one-sided)", 100 * options.min_confidence);
    case NoPair::kRepeated: return "an earlier response gives the same pair";
    case NoPair::kOverLimit: return fmt::format("its response gives {} of larger difference", options.max_pairs_per_response);
  }
  return "";
}

}  // namespace pivotal::pts
