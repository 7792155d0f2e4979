// Apache-2.0.
#include "pts/search.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <utility>

#include "data/error.h"
#include "pts/query_search.h"

namespace pivotal::pts {
namespace {

// "21,300"
std::string WithCommas(int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(at, 1, ',');
  return digits;
}

// One group at work: the queries that share batches.
class Group {
 public:
  Group(std::span<const Query> queries, const SearchOptions& options, const Judge& judge) {
    for (const Query& query : queries) searches_.emplace_back(query, options, judge);
  }

  // Draws one batch for all queries; false if none needs rollouts.
  bool Round(model::Policy& policy, const Progress& progress) {
    std::vector<model::RolloutRequest> requests;
    std::vector<std::size_t> counts;  // of each query
    for (QuerySearch& search : searches_) {
      auto next = search.done() ? std::vector<model::RolloutRequest>{} : search.Next();
      counts.push_back(next.size());
      std::move(next.begin(), next.end(), std::back_inserter(requests));
    }
    if (requests.empty()) return false;
    auto results = policy.Sample(requests, progress);
    CheckResults(requests, results);
    auto first = std::make_move_iterator(results.begin());
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] == 0) continue;
      const auto last = first + static_cast<std::ptrdiff_t>(counts[i]);
      searches_[i].Supply({first, last});
      first = last;
    }
    return true;
  }

  int64_t Done() const {
    return std::ranges::count_if(searches_, [](const QuerySearch& s) { return s.done(); });
  }

  int64_t Pivotal() const {
    int64_t total = 0;
    for (const QuerySearch& search : searches_) total += search.pivotal();
    return total;
  }

  std::vector<data::QueryTrace> Take() {
    std::vector<data::QueryTrace> traces;
    for (QuerySearch& search : searches_) traces.push_back(search.Take());
    return traces;
  }

 private:
  static void CheckResults(std::span<const model::RolloutRequest> requests,
                           std::span<const std::vector<model::Rollout>> results) {
    if (results.size() != requests.size())
      Fail("search: the policy answered {} of {} requests", results.size(), requests.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].size() != static_cast<std::size_t>(requests[i].count))
        Fail("search: the policy returned {} rollouts where {} were asked", results[i].size(),
             requests[i].count);
    }
  }

  std::deque<QuerySearch> searches_;
};

// Tells the user how far the search is and how fast the policy samples.
class Meter {
 public:
  Meter(const model::Policy& policy, Progress& progress, int64_t total)
      : policy_(policy), progress_(progress), total_(total), start_(policy.counters()) {
    progress_.Begin("search", total, "problems");
  }

  void Update(int64_t done, int64_t pivotal) {
    const model::RolloutCounters& now = policy_.counters();
    const double seconds = now.seconds - start_.seconds;
    std::string detail = fmt::format("pivotal {}", WithCommas(pivotal));
    if (seconds > 0) {
      const double tokens = static_cast<double>(now.decoded_tokens - start_.decoded_tokens);
      detail += fmt::format(", {} tok/s", WithCommas(static_cast<int64_t>(tokens / seconds)));
    }
    progress_.Update(done, detail);
  }

  void ThrowIfStopped(int64_t done) const {
    if (progress_.StopRequested())
      throw Interrupted(fmt::format("search stopped after {} of {} problems", done, total_));
  }

 private:
  const model::Policy& policy_;
  Progress& progress_;
  int64_t total_;
  model::RolloutCounters start_;
};

void Count(std::span<const data::QueryTrace> traces, SearchSummary& summary) {
  for (const data::QueryTrace& trace : traces) {
    ++summary.queries;
    summary.searched += trace.searched;
    summary.responses += static_cast<int64_t>(trace.responses.size());
    for (const data::ResponseTrace& response : trace.responses) {
      summary.pivotal += static_cast<int64_t>(response.pivotal.size());
      summary.candidates += std::ranges::count_if(
          response.pivotal, [](const data::PivotalToken& token) { return token.chosen >= 0; });
    }
  }
}

}  // namespace

void SearchOptions::Validate() const {
  if (!(gap > 0 && gap < 1)) Fail("search: gap is {}, must be in (0, 1)", gap);
  if (samples < 1) Fail("search: samples is {}, must be 1 or larger", samples);
  if (confirm < 0) Fail("search: confirm is {}, must be 0 (none) or larger", confirm);
  if (!(min_success >= 0 && min_success <= 1))
    Fail("search: min_success is {}, must be in [0, 1]", min_success);
  if (!(max_success >= min_success && max_success <= 1))
    Fail("search: max_success is {}, must be in [min_success, 1] = [{}, 1]", max_success,
         min_success);
  if (responses < 1) Fail("search: responses is {}, must be 1 or larger", responses);
  if (max_new_tokens < 1) Fail("search: max_new_tokens is {}, must be 1 or larger", max_new_tokens);
  if (group < 1) Fail("search: group is {}, must be 1 or larger", group);
}

SearchSummary Search(std::span<const Query> queries, model::Policy& policy, const Judge& judge,
                     const SearchOptions& options, const TraceSink& sink, Progress& progress) {
  options.Validate();
  Meter meter(policy, progress, static_cast<int64_t>(queries.size()));
  SearchSummary summary;
  while (!queries.empty()) {
    const auto size = std::min(queries.size(), static_cast<std::size_t>(options.group));
    Group group(queries.first(size), options, judge);
    do {
      meter.ThrowIfStopped(summary.queries);
      meter.Update(summary.queries + group.Done(), summary.pivotal + group.Pivotal());
    } while (group.Round(policy, progress));
    auto traces = group.Take();
    Count(traces, summary);
    sink(std::move(traces));
    meter.Update(summary.queries, summary.pivotal);
    queries = queries.subspan(size);
  }
  progress.End();
  return summary;
}

}  // namespace pivotal::pts
