// Apache-2.0.
#include "experiments/watch/stored_problems.h"

#include <algorithm>
#include <unordered_map>

#include "pivotal/error.h"
#include "pivotal/trace.h"
#include "pts/pair_builder.h"

namespace pivotal::experiments {
namespace {

constexpr int64_t kFewPairs = 5, kLastPairs = 20;  // as the search itself shows its costs

StoredProblem CountsOf(const QueryTrace& query) {
  StoredProblem counts{.id = query.id,
                       .searched = query.searched,
                       .complete = query.complete,
                       .failed_verdicts = query.failed_verdicts,
                       .responses = std::ssize(query.responses)};
  counts.pairs = pts::PairsIn(query);
  for (const ResponseTrace& response : query.responses)
    counts.pivotal += std::ssize(response.pivotal);
  counts.rollouts = std::ssize(query.rollouts);
  for (const RolloutTrace& rollout : query.rollouts) counts.tokens += std::ssize(rollout.tokens);
  return counts;
}

// Returns what the last pairs before `end` cost each, by sums of tokens and pairs up to each
// problem; 0 if they are few.
double CostBefore(const std::vector<PairPoint>& sums, std::size_t end) {
  std::size_t begin = end;
  const auto pairs_before = [&](std::size_t i) { return i == 0 ? 0 : sums[i - 1].pairs; };
  const auto tokens_before = [&](std::size_t i) { return i == 0 ? 0 : sums[i - 1].tokens; };
  const int64_t pairs = pairs_before(end);
  while (begin > 0 && pairs - pairs_before(begin) < kLastPairs) --begin;
  const int64_t found = pairs - pairs_before(begin);
  if (found < kFewPairs) return 0;
  return static_cast<double>(tokens_before(end) - tokens_before(begin)) /
         static_cast<double>(found);
}

std::vector<PairPoint> SumsOf(const std::vector<StoredProblem>& problems) {
  std::vector<PairPoint> sums;
  sums.reserve(problems.size());
  PairPoint sum;
  for (const StoredProblem& problem : problems) {
    sum.tokens += problem.tokens;
    sum.pairs += problem.pairs;
    sums.push_back(sum);
  }
  return sums;
}

}  // namespace

void StoredProblems::Update() {
  while (!Read()) continue;
}

bool StoredProblems::Read() {
  std::vector<Known> now;
  bool changed = false;
  const auto listed = data::TraceFiles(run_);
  joined_ = !listed.empty() && listed.front().inode != 0 && listed.size() == 1;
  for (const data::TraceFile& file : listed) {
    if (file.inode == 0) continue;
    const auto known = std::ranges::find(files_, file, &Known::file);
    if (known != files_.end()) {
      now.push_back(*known);
      continue;
    }
    changed = true;
    Known& read = now.emplace_back(Known{.file = file, .problems = {}, .fault = {}});
    try {
      for (const QueryTrace& query : LoadTraces(file.path))
        read.problems.push_back(CountsOf(query));
    } catch (const Error& error) {
      const auto again = data::TraceFiles(run_);
      if (std::ranges::find(again, file) == again.end()) return false;
      read.fault = error.what();
    }
  }
  changed = changed || now.size() != files_.size();
  files_ = std::move(now);
  if (changed) Join();
  return true;
}

void StoredProblems::Join() {
  problems_.clear();
  faults_.clear();
  std::unordered_map<std::string, std::size_t> rows;
  for (const Known& file : files_) {
    if (!file.fault.empty()) faults_.push_back(file.fault);
    for (const StoredProblem& problem : file.problems) {
      const auto [row, is_new] = rows.emplace(problem.id, problems_.size());
      if (is_new) {
        problems_.push_back(problem);
      } else if (problem.failed_verdicts < problems_[row->second].failed_verdicts) {
        problems_[row->second] = problem;
      }
    }
  }
}

double PairCost(const std::vector<StoredProblem>& problems) {
  const auto sums = SumsOf(problems);
  if (sums.empty() || sums.back().pairs == 0) return 0;
  return static_cast<double>(sums.back().tokens) / static_cast<double>(sums.back().pairs);
}

double NextPairCost(const std::vector<StoredProblem>& problems) {
  return CostBefore(SumsOf(problems), problems.size());
}

std::vector<PairPoint> PairCurve(const std::vector<StoredProblem>& problems, std::size_t most) {
  const auto sums = SumsOf(problems);
  std::vector<PairPoint> curve;
  const std::size_t count = std::min(most, sums.size());
  for (std::size_t i = 1; i <= count; ++i) {
    const std::size_t end = sums.size() * i / count;
    PairPoint point = sums[end - 1];
    point.cost = CostBefore(sums, end);
    curve.push_back(point);
  }
  return curve;
}

}  // namespace pivotal::experiments
