// Apache-2.0.
#include "pts/search.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "data/error.h"
#include "pts/judge_pool.h"
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

using Clock = std::chrono::steady_clock;

// What a run may still spend.
class Budget {
 public:
  Budget(const SearchOptions& options, const model::Policy& policy, int64_t spent_tokens)
      : policy_(policy),
        tokens_(options.budget_tokens),
        spent_before_(spent_tokens - policy.counters().decoded_tokens),
        has_end_(options.budget_seconds > 0),
        end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(options.budget_seconds))) {}

  bool limited() const { return tokens_ > 0; }
  int64_t Left() const {  // tokens
    return tokens_ - spent_before_ - policy_.counters().decoded_tokens;
  }
  bool Exhausted() const {
    return (limited() && Left() <= 0) || (has_end_ && Clock::now() >= end_);
  }

 private:
  const model::Policy& policy_;
  int64_t tokens_, spent_before_;
  bool has_end_;
  Clock::time_point end_;
};

// One group at work: the queries that share batches.
class Group {
 public:
  Group(std::span<const Query> queries, const SearchOptions& options, const Judge& judge,
        model::Policy& policy)
      : policy_(policy), pool_(judge, options.judge_threads) {
    for (const Query& query : queries) searches_.emplace_back(query, options, judge);
  }

  // What a batch may cost in generated tokens.
  struct Allowance {
    int64_t expected;  // or so: the group's share
    int64_t most;      // never more: what the run has left
  };

  // Draws one batch for all queries; false if none needs rollouts, or can have any.
  bool Round(std::optional<Allowance> allowance, const Progress& progress) {
    Collect();
    if (allowance) Ration(*allowance);
    std::vector<model::RolloutRequest> requests;
    for (Part& part : parts_)
      if (part.granted) requests.push_back(part.wish.request);
    if (requests.empty()) return false;
    Draw(requests, progress);
    return true;
  }

  // Ends what is not done.
  void CutShort() {
    for (QuerySearch& search : searches_)
      if (!search.done()) search.CutShort();
  }

  int64_t Done() const {
    return std::ranges::count_if(searches_, [](const QuerySearch& s) { return s.done(); });
  }

  int64_t Pivotal() const {
    int64_t total = 0;
    for (const QuerySearch& search : searches_) total += search.pivotal();
    return total;
  }

  double waited_seconds() const { return pool_.waited_seconds(); }

  // Of the queries that were started.
  std::vector<data::QueryTrace> Take() {
    std::vector<data::QueryTrace> traces;
    for (QuerySearch& search : searches_)
      if (search.started()) traces.push_back(search.Take());
    return traces;
  }

 private:
  struct Part {
    QuerySearch* search;
    Wish wish;
    bool granted = true;
    Drawn drawn = {};
  };

  // A wish is asked for once more each round until it is granted: a search keeps its state.
  void Collect() {
    parts_.clear();
    for (QuerySearch& search : searches_) {
      if (search.done()) continue;
      for (Wish& wish : search.Next()) parts_.push_back({&search, std::move(wish)});
    }
  }

  // Expected generated tokens: rollouts have been as long as this so far.
  int64_t CostOf(const model::RolloutRequest& request) const {
    const model::RolloutCounters& counters = policy_.counters();
    const double mean = counters.rollouts > 0 ? static_cast<double>(counters.decoded_tokens) /
                                                    static_cast<double>(counters.rollouts)
                                              : request.max_new_tokens;
    return std::llround(request.count * std::min<double>(mean, request.max_new_tokens));
  }

  // Grants the wishes with the highest yield first. One that could cost more than is left waits until
  // those before it have been drawn and turned out cheaper than they might have; with none before it,
  // its turn goes to the next.
  void Ration(Allowance allowance) {
    std::vector<Part*> order;
    for (Part& part : parts_) order.push_back(&part);
    std::ranges::stable_sort(order, std::greater<>(),
                             [](const Part* part) { return part->wish.yield; });
    bool any = false, waits = false;
    for (Part* part : order) {
      const model::RolloutRequest& request = part->wish.request;
      const int64_t most = int64_t{request.count} * request.max_new_tokens;
      const bool fits = most <= allowance.most;
      part->granted = fits && !waits && allowance.expected > 0;
      waits = waits || (!fits && any);
      if (!part->granted) continue;
      any = true;
      allowance.expected -= CostOf(request);
      allowance.most -= most;
    }
  }

  void Draw(std::span<const model::RolloutRequest> requests, const Progress& progress) {
    std::vector<Part*> granted;
    for (Part& part : parts_) {
      if (!part.granted) continue;
      part.drawn.verdicts.assign(static_cast<std::size_t>(part.wish.request.count), 0);
      granted.push_back(&part);
    }
    const auto start = std::chrono::steady_clock::now();
    auto results = policy_.Sample(
        requests, progress, [&](std::size_t i, int32_t rollout, const model::Rollout& ended) {
          if (i >= granted.size() || rollout >= std::ssize(granted[i]->drawn.verdicts)) return;
          Submit(*granted[i], rollout, ended);
        });
    pool_.Wait();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CheckResults(requests, results);
    for (std::size_t i = 0; i < granted.size(); ++i)
      granted[i]->drawn.rollouts = std::move(results[i]);
    Charge(granted, seconds);
    Supply();
  }

  void Submit(Part& part, int32_t rollout, const model::Rollout& ended) {
    const Query& query = part.search->query();
    const auto& prefix = part.wish.request.prefix;
    std::vector<TokenId> response(prefix.begin() + std::ssize(query.prompt), prefix.end());
    response.insert(response.end(), ended.tokens.begin(), ended.tokens.end());
    pool_.Submit(query, std::move(response), part.drawn.verdicts[static_cast<std::size_t>(rollout)]);
  }

  // A batch's wall time, in proportion to the tokens generated.
  static void Charge(std::span<Part* const> granted, double seconds) {
    const auto tokens = [](const Part& part) {
      double sum = 0;
      for (const model::Rollout& rollout : part.drawn.rollouts)
        sum += static_cast<double>(rollout.tokens.size());
      return sum;
    };
    double total = 0;
    for (const Part* part : granted) total += tokens(*part);
    for (const Part* part : granted) part->search->Charge(seconds * tokens(*part) / total);
  }

  void Supply() {
    for (std::size_t i = 0; i < parts_.size();) {
      QuerySearch& search = *parts_[i].search;
      std::vector<Drawn> drawn;
      for (; i < parts_.size() && parts_[i].search == &search; ++i)
        drawn.push_back(std::move(parts_[i].drawn));
      search.Supply(std::move(drawn));
    }
  }

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

  model::Policy& policy_;
  std::deque<QuerySearch> searches_;
  std::vector<Part> parts_;  // of the round at work
  JudgePool pool_;
};

// Tells the user how far the search is and how fast the policy samples.
class Meter {
 public:
  Meter(const model::Policy& policy, Progress& progress, int64_t total)
      : policy_(policy), progress_(progress), total_(total), start_(policy.counters()) {
    progress_.Begin("search", total, "problems");
  }

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  // `waited`: seconds that verdicts have taken when no rollout was left.
  void Update(int64_t done, int64_t pivotal, double waited) {
    const model::RolloutCounters& now = policy_.counters();
    const double seconds = now.seconds - start_.seconds;
    std::string detail = fmt::format("pivotal {}", WithCommas(pivotal));
    if (seconds > 0) {
      const double tokens = static_cast<double>(now.decoded_tokens - start_.decoded_tokens);
      detail += fmt::format(", {} tok/s", WithCommas(static_cast<int64_t>(tokens / seconds)));
      const model::PassTimes times = now.times - start_.times;
      if (times.total() > 0)
        detail += fmt::format(" (products {:.0f}%, attention {:.0f}%)", 100 * times.products / times.total(),
                              100 * times.attention / times.total());
      if (waited > 0.05 * Seconds()) detail += fmt::format(", oracle {:.0f}%", 100 * waited / Seconds());
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
  Clock::time_point begin_ = Clock::now();
};

}  // namespace

void SearchOptions::Validate() const {
  StrategyOptions::Validate();
  if (confirm < 0) Fail("search: confirm is {}, must be 0 (none) or larger", confirm);
  if (!(min_success >= 0 && min_success <= 1))
    Fail("search: min_success is {}, must be in [0, 1]", min_success);
  if (!(max_success >= min_success && max_success <= 1))
    Fail("search: max_success is {}, must be in [min_success, 1] = [{}, 1]", max_success,
         min_success);
  if (responses < 1) Fail("search: responses is {}, must be 1 or larger", responses);
  if (max_new_tokens < 1) Fail("search: max_new_tokens is {}, must be 1 or larger", max_new_tokens);
  if (group < 1) Fail("search: group is {}, must be 1 or larger", group);
  if (judge_threads < 1 || judge_threads > 1024)
    Fail("search: judge_threads is {}, must be in 1..1024", judge_threads);
  if (budget_tokens < 0)
    Fail("search: budget_tokens is {}, must be 0 (no limit) or larger", budget_tokens);
  if (!(budget_seconds >= 0 && budget_seconds < 1e9))
    Fail("search: budget_seconds is {}, must be 0 (no limit) or larger", budget_seconds);
}

void Count(std::span<const data::QueryTrace> traces, SearchSummary& summary) {
  for (const data::QueryTrace& trace : traces) {
    ++summary.queries;
    summary.searched += trace.searched;
    summary.cut_short += !trace.complete;
    summary.responses += static_cast<int64_t>(trace.responses.size());
    for (const data::ResponseTrace& response : trace.responses) {
      for (const data::PivotalToken& token : response.pivotal) {
        ++summary.pivotal;
        summary.candidates += token.chosen >= 0;
        summary.false_share += (1 - token.probability - summary.false_share) /
                               static_cast<double>(summary.pivotal);
      }
    }
  }
}

SearchSummary Search(std::span<const Query> queries, model::Policy& policy, const Judge& judge,
                     const SearchOptions& options, const TraceSink& sink, Progress& progress,
                     int64_t spent_tokens) {
  options.Validate();
  Meter meter(policy, progress, static_cast<int64_t>(queries.size()));
  Budget budget(options, policy, spent_tokens);
  SearchSummary summary;
  int64_t done = 0;
  while (!queries.empty() && !budget.Exhausted()) {
    const auto size = std::min(queries.size(), static_cast<std::size_t>(options.group));
    Group group(queries.first(size), options, judge, policy);
    // The group's share of the budget, as what must be left behind it.
    const int64_t keep = budget.limited() ? budget.Left() - budget.Left() *
                                                static_cast<int64_t>(size) /
                                                static_cast<int64_t>(queries.size())
                                          : 0;
    bool more = true;
    while (more && !budget.Exhausted()) {
      meter.ThrowIfStopped(done);
      meter.Update(done + group.Done(), summary.pivotal + group.Pivotal(),
                   summary.verdict_seconds + group.waited_seconds());
      std::optional<Group::Allowance> allowance;
      if (budget.limited()) allowance = {budget.Left() - keep, budget.Left()};
      more = group.Round(allowance, progress);
    }
    group.CutShort();
    auto traces = group.Take();
    done += static_cast<int64_t>(traces.size());
    summary.undone += static_cast<int64_t>(size) - std::ssize(traces);
    Count(traces, summary);
    if (!traces.empty()) sink(std::move(traces));
    summary.verdict_seconds += group.waited_seconds();
    meter.Update(done, summary.pivotal, summary.verdict_seconds);
    queries = queries.subspan(size);
  }
  summary.undone += std::ssize(queries);
  summary.seconds = meter.Seconds();
  progress.End();
  return summary;
}

}  // namespace pivotal::pts
