// Apache-2.0.
#include "pts/verdicts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <string_view>

namespace pivotal {
namespace {

// The names of one failure and of several, by NoVerdictCause.
constexpr std::array<std::array<std::string_view, 2>, kNoVerdictCauses> kCauses = {{
    {"time-out", "time-outs"},
    {"crash", "crashes"},
    {"answer that cannot be read", "answers that cannot be read"},
    {"limit reached", "limits reached"},
    {"program not started", "programs not started"},
}};

}  // namespace

int64_t VerdictCounts::Failed() const {
  return std::accumulate(failed.begin(), failed.end(), int64_t{0});
}

std::string VerdictCounts::Text() const {
  if (Failed() == 0) return "";
  std::string text = fmt::format("{} of {} verdicts failed", Failed(), verdicts);
  std::string_view before = ": ";
  for (std::size_t i = 0; i < failed.size(); ++i) {
    if (failed[i] == 0) continue;
    text += fmt::format("{}{} {}", before, failed[i], kCauses[i][failed[i] == 1 ? 0 : 1]);
    before = ", ";
  }
  return text;
}

}  // namespace pivotal

namespace pivotal::pts {
namespace {

// The share of failures is taken of at least so many verdicts, so that a few failures at the start
// do not end the work.
constexpr int64_t kEnough = 250;

}  // namespace

void VerdictTally::Note(const NoVerdict* failure) {
  const std::lock_guard lock(mutex_);
  ++counts_.verdicts;
  if (failure == nullptr) return;
  ++counts_.failed.at(static_cast<std::size_t>(failure->cause()));
  const double share = static_cast<double>(counts_.Failed()) /
                       static_cast<double>(std::max(counts_.verdicts, kEnough));
  if (share > limit_)
    throw TooManyFailures(fmt::format("{}, more than --max-oracle-failures {} allows; the last: {}",
                                      counts_.Text(), limit_, failure->what()));
}

VerdictCounts VerdictTally::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

Verdict CountingJudge::operator()(const Query& query, std::span<const TokenId> response) {
  const auto right = tally_.Ask([&] { return judge_(query, response); });
  if (!right) return Verdict::kFailed;
  return *right ? Verdict::kRight : Verdict::kWrong;
}

}  // namespace pivotal::pts
