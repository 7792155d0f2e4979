// Apache-2.0.
#include "pivotal/search.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <deque>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "data/base/error.h"
#include "pts/judge_pool.h"
#include "pts/pair_builder.h"
#include "pts/query_search.h"

namespace pivotal::pts {
namespace {

// Writes a number with commas, as "21,300".
std::string WithCommas(int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(at, 1, ',');
  return digits;
}

using Clock = std::chrono::steady_clock;

// A log-probability above 0 by this much is a rounding error of a policy.
constexpr float kLogProbRounding = 1e-3f;

// Returns value * part / whole rounded down, also where the product does not fit. `value` is 0 or
// more, `part` at most `whole`.
int64_t PartOf(int64_t value, int64_t part, int64_t whole) {
  return value / whole * part + value % whole * part / whole;
}

// What a policy has drawn for a search.
struct Drawn {
  int64_t rollouts = 0, tokens = 0;
};

// Tells how much a run may still spend.
class Budget {
 public:
  Budget(const SearchOptions& options, const Drawn& drawn, int64_t spent_tokens)
      : drawn_(drawn),
        tokens_(options.budget_tokens - spent_tokens),
        limited_(options.budget_tokens > 0),
        has_end_(options.budget_seconds > 0),
        end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(options.budget_seconds))) {}

  bool limited() const { return limited_; }
  int64_t Left() const { return tokens_ - drawn_.tokens; }  // tokens that are still allowed
  bool OutOfTime() const { return has_end_ && Clock::now() >= end_; }
  bool Exhausted() const { return (limited() && Left() <= 0) || OutOfTime(); }

 private:
  const Drawn& drawn_;
  int64_t tokens_;
  bool limited_, has_end_;
  Clock::time_point end_;
};

// Stops a batch when the time is over, as if somebody had asked for it. Calls `beat` while it goes
// on.
class TimedProgress : public Progress {
 public:
  TimedProgress(const Progress& progress, const Budget& budget, std::function<void()> beat)
      : progress_(progress), budget_(budget), beat_(std::move(beat)) {}
  bool StopRequested() const override {
    beat_();
    return progress_.StopRequested() || budget_.OutOfTime();
  }

 private:
  const Progress& progress_;
  const Budget& budget_;
  std::function<void()> beat_;
};

// A group of queries that share batches.
class Group {
 public:
  // Adds what it draws to `drawn`.
  Group(std::span<const Query> queries, const SearchOptions& options, CountingJudge& judge,
        Policy& policy, Drawn& drawn)
      : policy_(policy), drawn_(drawn), pool_(judge, options.judge_threads) {
    for (const Query& query : queries) searches_.emplace_back(query, options, judge);
  }

  // Generated tokens that a batch may cost.
  struct Allowance {
    int64_t expected;  // target: the rest of the group's part of the budget
    int64_t most;      // limit: the rest of the run's budget
  };

  // Draws one batch for all queries. Returns false if none needs rollouts, or none can be afforded.
  // Throws Interrupted, and drops the batch, once `progress` asks to stop.
  bool Round(std::optional<Allowance> allowance, const Progress& progress) {
    Collect();
    if (allowance) Ration(*allowance);
    std::vector<RolloutRequest> requests;
    for (PendingRequest& pending : pending_)
      if (pending.granted) requests.push_back(pending.rated.request);
    if (requests.empty()) return false;
    Sample(requests, progress);
    return true;
  }

  // Lets the searches that wait go on at a lower yield. Returns false if none does.
  bool LowerYield() {
    bool any = false;
    for (QuerySearch& search : searches_) any = search.LowerYield() || any;
    return any;
  }

  // Ends the queries that are not done.
  void CutShort() {
    for (QuerySearch& search : searches_)
      if (!search.done()) search.CutShort();
  }

  int64_t Done() const {
    return std::ranges::count_if(searches_,
                                 [](const QuerySearch& s) { return s.done() || s.waiting(); });
  }

  int64_t Pivotal() const {
    int64_t total = 0;
    for (const QuerySearch& search : searches_) total += search.pivotal();
    return total;
  }

  int64_t Pairs() const {
    int64_t total = 0;
    for (const QuerySearch& search : searches_) total += search.pairs();
    return total;
  }

  double waited_seconds() const { return pool_.waited_seconds(); }

  // Moves out the traces of the queries that were started.
  std::vector<QueryTrace> Take() {
    std::vector<QueryTrace> traces;
    for (QuerySearch& search : searches_)
      if (search.started()) traces.push_back(search.Take());
    return traces;
  }

 private:
  struct PendingRequest {
    QuerySearch* search;
    RatedRequest rated;
    bool granted = true;
    JudgedRollouts answer = {};
    std::vector<char> submitted = {};  // 1 for a rollout that the judge has been asked about
  };

  // Collects the requests of all queries. A request that is not granted comes again in the next
  // round, because a search keeps its state.
  void Collect() {
    pending_.clear();
    for (QuerySearch& search : searches_) {
      if (search.done()) continue;
      for (RatedRequest& rated : search.Next()) pending_.push_back({&search, std::move(rated)});
    }
  }

  // Returns the expected generated tokens of a request, by the mean length of the rollouts so far.
  int64_t CostOf(const RolloutRequest& request) const {
    const double mean = drawn_.rollouts > 0 ? static_cast<double>(drawn_.tokens) /
                                                  static_cast<double>(drawn_.rollouts)
                                            : request.max_new_tokens;
    return std::llround(request.count * std::min<double>(mean, request.max_new_tokens));
  }

  // Grants the requests with the highest yield first. A request that might exceed the budget waits
  // until those granted before it have been drawn, as they may turn out cheaper than their limit.
  // If none was granted before it, the next request is tried.
  void Ration(Allowance allowance) {
    std::vector<PendingRequest*> order;
    for (PendingRequest& pending : pending_) order.push_back(&pending);
    std::ranges::stable_sort(order, std::greater<>(),
                             [](const PendingRequest* pending) { return pending->rated.yield; });
    bool any = false, waits = false;
    for (PendingRequest* pending : order) {
      const RolloutRequest& request = pending->rated.request;
      const int64_t most = int64_t{request.count} * request.max_new_tokens;
      const bool fits = most <= allowance.most;
      pending->granted = fits && !waits && allowance.expected > 0;
      waits = waits || (!fits && any);
      if (!pending->granted) continue;
      any = true;
      allowance.expected -= CostOf(request);
      allowance.most -= most;
    }
  }

  void Sample(std::span<const RolloutRequest> requests, const Progress& progress) {
    std::vector<PendingRequest*> granted;
    for (PendingRequest& pending : pending_) {
      if (!pending.granted) continue;
      pending.answer.verdicts.assign(static_cast<std::size_t>(pending.rated.request.count),
                                     Verdict::kWrong);
      pending.submitted.assign(pending.answer.verdicts.size(), 0);
      granted.push_back(&pending);
    }
    const auto start = std::chrono::steady_clock::now();
    auto results = policy_.Sample(
        requests, progress, [&](std::size_t i, int32_t rollout, const Rollout& ended) {
          if (i >= granted.size() || rollout < 0 || rollout >= std::ssize(granted[i]->submitted))
            return;
          Submit(*granted[i], static_cast<std::size_t>(rollout), ended);
        });
    CheckResults(requests, results);
    for (std::size_t i = 0; i < granted.size(); ++i)  // those that the policy did not report
      for (std::size_t r = 0; r < results[i].size(); ++r) Submit(*granted[i], r, results[i][r]);
    pool_.Wait(progress);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (const auto& rollouts : results) Count(rollouts);
    for (std::size_t i = 0; i < granted.size(); ++i)
      granted[i]->answer.rollouts = std::move(results[i]);
    ChargeTime(granted, seconds);
    Supply();
  }

  void Count(std::span<const Rollout> rollouts) {
    drawn_.rollouts += std::ssize(rollouts);
    for (const Rollout& rollout : rollouts) drawn_.tokens += std::ssize(rollout.tokens);
  }

  // Asks the judge about a rollout, once.
  void Submit(PendingRequest& pending, std::size_t rollout, const Rollout& ended) {
    if (std::exchange(pending.submitted[rollout], 1) == 1) return;
    const Query& query = pending.search->query();
    const auto& prefix = pending.rated.request.prefix;
    std::vector<TokenId> response(prefix.begin() + std::ssize(query.prompt), prefix.end());
    response.insert(response.end(), ended.tokens.begin(), ended.tokens.end());
    pool_.Submit(query, std::move(response), pending.answer.verdicts[rollout]);
  }

  // Charges the wall time of a batch to its queries in proportion to the tokens generated.
  static void ChargeTime(std::span<PendingRequest* const> granted, double seconds) {
    const auto tokens = [](const PendingRequest& pending) {
      double sum = 0;
      for (const Rollout& rollout : pending.answer.rollouts)
        sum += static_cast<double>(rollout.tokens.size());
      return sum;
    };
    double total = 0;
    for (const PendingRequest* pending : granted) total += tokens(*pending);
    for (const PendingRequest* pending : granted)
      pending->search->AddSeconds(seconds * tokens(*pending) / total);
  }

  void Supply() {
    for (std::size_t i = 0; i < pending_.size();) {
      QuerySearch& search = *pending_[i].search;
      std::vector<JudgedRollouts> answers;
      for (; i < pending_.size() && pending_[i].search == &search; ++i)
        answers.push_back(std::move(pending_[i].answer));
      search.Supply(std::move(answers));
    }
  }

  static void CheckResults(std::span<const RolloutRequest> requests,
                           std::span<const std::vector<Rollout>> results) {
    if (results.size() != requests.size())
      Fail("search: the policy answered {} of {} requests", results.size(), requests.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].size() != static_cast<std::size_t>(requests[i].count))
        Fail("search: the policy returned {} rollouts where {} were asked", results[i].size(),
             requests[i].count);
      for (const Rollout& rollout : results[i]) CheckRollout(rollout, requests[i].max_new_tokens);
    }
  }

  static void CheckRollout(const Rollout& rollout, int32_t most) {
    if (std::ssize(rollout.tokens) > most)
      Fail("search: the policy returned a rollout of {} tokens where {} were the limit",
           rollout.tokens.size(), most);
    if (rollout.tokens.empty() || rollout.logprobs.size() != rollout.tokens.size())
      Fail("search: the policy returned a rollout of {} tokens with {} log-probabilities",
           rollout.tokens.size(), rollout.logprobs.size());
    if (rollout.finish == FinishReason::kCancelled)
      Fail("search: the policy returned a cancelled rollout");
    for (const TokenId token : rollout.tokens)
      if (token < 0) Fail("search: the policy returned token {}", token);
    for (const float logprob : rollout.logprobs)
      if (!(logprob <= kLogProbRounding))
        Fail("search: the policy returned log-probability {}, must be 0 or below", logprob);
  }

  Policy& policy_;
  Drawn& drawn_;
  std::deque<QuerySearch> searches_;
  std::vector<PendingRequest> pending_;  // requests of the current round
  JudgePool pool_;
};

// Reports to the user how far the search is and how fast the policy samples.
class Meter {
 public:
  Meter(const Policy& policy, Progress& progress, int64_t total)
      : policy_(policy), progress_(progress), total_(total), start_(policy.counters()) {
    progress_.Begin("search", total, "problems");
  }

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  // Tells that a group begins, when `done` problems with so many pairs are stored.
  void BeginGroup(std::span<const Query> group, int64_t done, int64_t pairs, const Drawn& drawn) {
    part_ = group.empty() ? "between groups"
            : group.size() == 1
                ? fmt::format("problem {}", group.front().id)
                : fmt::format("problems {} to {}", group.front().id, group.back().id);
    group_ = {.queries = std::ssize(group), .tokens_before = drawn.tokens};
    stored_ = done;
    stored_pairs_ = pairs;
  }
  // Keeps what the group has come to, for Tell().
  void NoteGroup(int64_t done, int64_t pivotal, int64_t pairs) {
    group_.done = done;
    group_.pivotal = pivotal;
    group_.pairs = pairs;
  }

  // True twice a second: in the middle of a batch, nobody wants to hear more often.
  bool IsDue() const { return Clock::now() - told_ >= std::chrono::milliseconds(500); }
  // Tells how far the group and the call are.
  void Tell(const Drawn& drawn, int64_t failed_verdicts) {
    told_ = Clock::now();
    const RolloutCounters now = policy_.counters();  // with the batch that is drawn
    const int64_t tokens = std::max(drawn.tokens, now.decoded_tokens - start_.decoded_tokens);
    const auto number = [](auto value) { return static_cast<double>(value); };
    const std::array numbers = {
        ProgressNumber{"rollouts",
                       number(std::max(drawn.rollouts, now.rollouts - start_.rollouts))},
        ProgressNumber{"tokens", number(tokens)},
        ProgressNumber{"seconds", Seconds()},
        ProgressNumber{"failed_verdicts", number(failed_verdicts)},
        ProgressNumber{"stored", number(stored_)},
        ProgressNumber{"pairs", number(stored_pairs_)},
        ProgressNumber{"group_problems", number(group_.queries)},
        ProgressNumber{"group_done", number(group_.done)},
        ProgressNumber{"group_pivotal", number(group_.pivotal)},
        ProgressNumber{"group_pairs", number(group_.pairs)},
        ProgressNumber{"group_tokens", number(tokens - group_.tokens_before)}};
    progress_.Tell(part_, numbers);
  }

  // `tokens`: generated so far. `waited`: seconds spent waiting for verdicts after all rollouts of
  // a batch had ended.
  void Update(int64_t done, int64_t pivotal, int64_t pairs, int64_t tokens, double waited) {
    const RolloutCounters& now = policy_.counters();
    const double seconds = now.seconds - start_.seconds;
    std::string detail =
        fmt::format("pivotal {}, pairs {}", WithCommas(pivotal), WithCommas(pairs));
    if (const int64_t cost = PairCost(pairs, tokens); cost > 0)
      detail += fmt::format(" (the next for {} tokens)", WithCommas(cost));
    if (seconds > 0) {
      const double tokens = static_cast<double>(now.decoded_tokens - start_.decoded_tokens);
      detail += fmt::format(", {} tok/s", WithCommas(static_cast<int64_t>(tokens / seconds)));
      const PassTimes times = now.times - start_.times;
      if (times.total() > 0)
        detail += fmt::format(" (products {:.0f}%, attention {:.0f}%)",
                              100 * times.products / times.total(),
                              100 * times.attention / times.total());
      if (now.requests > 0) {
        const int64_t sent = now.prefilled_tokens + now.reused_tokens;
        detail += fmt::format(", {} requests, {} tokens sent", WithCommas(now.requests),
                              WithCommas(sent));
        if (now.reused_tokens > 0)
          detail +=
              fmt::format(" ({:.0f}% cached)", 100.0 * static_cast<double>(now.reused_tokens) /
                                                   static_cast<double>(sent));
        if (now.failed_requests > 0)
          detail += fmt::format(", {} sent again", WithCommas(now.failed_requests));
      }
      if (waited > 0.05 * Seconds())
        detail += fmt::format(", oracle {:.0f}%", 100 * waited / Seconds());
    }
    progress_.Update(done, detail);
  }

  void ThrowIfStopped(int64_t done) const {
    if (progress_.StopRequested())
      throw Interrupted(fmt::format("search stopped after {} of {} problems", done, total_));
  }

 private:
  // Returns what the last pairs cost each; 0 as long as there are few.
  int64_t PairCost(int64_t pairs, int64_t tokens) {
    constexpr int64_t kFew = 5, kLast = 20;
    if (marks_.empty() || marks_.back().pairs != pairs) marks_.push_back({pairs, tokens});
    while (marks_.size() > 2 && pairs - marks_[1].pairs >= kLast) marks_.pop_front();
    const int64_t found = pairs - marks_.front().pairs;
    return found < kFew ? 0 : (tokens - marks_.front().tokens) / found;
  }

  struct Mark {
    int64_t pairs, tokens;
  };
  struct GroupCounts {
    int64_t queries = 0, tokens_before = 0, done = 0, pivotal = 0, pairs = 0;
  };
  std::deque<Mark> marks_;  // when the numbers of pairs were reached, for the last ones
  const Policy& policy_;
  Progress& progress_;
  int64_t total_;
  RolloutCounters start_;
  Clock::time_point begin_ = Clock::now();
  std::string part_;  // the problems in hand
  GroupCounts group_;
  int64_t stored_ = 0, stored_pairs_ = 0;  // problems of this call, and their pairs
  Clock::time_point told_ = {};
};

}  // namespace

void AddCounts(std::span<const QueryTrace> traces, SearchSummary& summary) {
  for (const QueryTrace& trace : traces) {
    ++summary.queries;
    summary.pairs += PairsIn(trace);
    summary.searched += trace.searched;
    summary.cut_short += !trace.complete;
    summary.failed_verdicts += trace.failed_verdicts;
    summary.responses += static_cast<int64_t>(trace.responses.size());
    for (const ResponseTrace& response : trace.responses) {
      for (const PivotalToken& token : response.pivotal) {
        ++summary.pivotal;
        summary.candidates += token.chosen >= 0;
        summary.false_share +=
            (1 - token.probability - summary.false_share) / static_cast<double>(summary.pivotal);
      }
    }
  }
}

}  // namespace pivotal::pts

namespace pivotal {
using namespace pts;

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
  if (!(max_oracle_failures >= 0 && max_oracle_failures <= 1))
    Fail("search: max_oracle_failures is {}, must be in [0, 1]", max_oracle_failures);
  if (budget_tokens < 0)
    Fail("search: budget_tokens is {}, must be 0 (no limit) or larger", budget_tokens);
  if (pairs < 0) Fail("search: pairs is {}, must be 0 (no limit) or larger", pairs);
  if (kind == StrategyKind::kPairs && confirm == 0)
    Fail("search: confirm is 0, must be 1 or larger for the strategy pairs, which tests pairs");
  if (!(budget_seconds >= 0 && budget_seconds < 1e9))
    Fail("search: budget_seconds is {}, must be 0 (no limit) or larger", budget_seconds);
}

SearchOptions SearchOptions::ForPairs() {
  SearchOptions options;
  options.kind = StrategyKind::kPairs;
  options.responses = options.samples = 32;
  options.min_yield = 0.06;
  return options;
}

SearchSummary Search(std::span<const Query> queries, Policy& policy, const Judge& judge,
                     const SearchOptions& options, const TraceSink& sink, Progress& progress,
                     const RunSoFar& before) {
  options.Validate();
  if (!judge) Fail("search: the judge is an empty function");
  if (!sink) Fail("search: the sink of traces is an empty function");
  std::unordered_set<std::string_view> ids;
  for (const Query& query : queries) {
    if (query.prompt.empty()) Fail("search: the prompt of problem \"{}\" has no tokens", query.id);
    if (!ids.insert(query.id).second)
      Fail("search: two problems have the id \"{}\"; give each one of its own", query.id);
  }
  Meter meter(policy, progress, static_cast<int64_t>(queries.size()));
  CountingJudge counting(judge, options.max_oracle_failures);
  Drawn drawn;
  const Budget budget(options, drawn, before.tokens);
  SearchSummary summary;
  int64_t done = 0;
  const auto enough = [&](int64_t running) {
    return options.pairs > 0 && before.pairs + summary.pairs + running >= options.pairs;
  };
  while (!queries.empty() && !budget.Exhausted() && !enough(0)) {
    const auto size = std::min(queries.size(), static_cast<std::size_t>(options.group));
    Group group(queries.first(size), options, counting, policy, drawn);
    // Tokens to keep for later groups: the rest of the budget less this group's part, which is in
    // proportion to its queries.
    const int64_t keep = budget.limited()
                             ? budget.Left() - PartOf(budget.Left(), static_cast<int64_t>(size),
                                                      static_cast<int64_t>(queries.size()))
                             : 0;
    // A search for pairs spends what it needs at min_yield, at which all its tokens are worth the
    // same whichever group spends them. Below that it spends what is left of the group's part.
    bool more = true, free = options.kind == StrategyKind::kPairs;
    meter.BeginGroup(queries.first(size), done, summary.pairs, drawn);
    const auto tell = [&] { meter.Tell(drawn, counting.counts().Failed()); };
    const auto beat = [&] {
      if (meter.IsDue()) tell();
    };
    while (more && !budget.Exhausted() && !enough(group.Pairs())) {
      meter.ThrowIfStopped(done);
      meter.Update(done + group.Done(), summary.pivotal + group.Pivotal(),
                   summary.pairs + group.Pairs(), drawn.tokens,
                   summary.verdict_seconds + group.waited_seconds());
      meter.NoteGroup(group.Done(), group.Pivotal(), group.Pairs());
      tell();
      std::optional<Group::Allowance> allowance;
      if (budget.limited()) allowance = {budget.Left() - (free ? 0 : keep), budget.Left()};
      try {
        more = group.Round(allowance, TimedProgress(progress, budget, beat));
        if (!more && budget.Left() > keep && group.LowerYield()) {
          more = true;
          free = false;
        }
      } catch (const Interrupted&) {
        if (!budget.OutOfTime() || progress.StopRequested()) throw;
      }
    }
    group.CutShort();
    auto traces = group.Take();
    done += static_cast<int64_t>(traces.size());
    summary.undone += static_cast<int64_t>(size) - std::ssize(traces);
    AddCounts(traces, summary);
    if (!traces.empty()) sink(std::move(traces));
    summary.verdict_seconds += group.waited_seconds();
    meter.Update(done, summary.pivotal, summary.pairs, drawn.tokens, summary.verdict_seconds);
    meter.BeginGroup({}, done, summary.pairs, drawn);
    tell();
    queries = queries.subspan(size);
  }
  summary.undone += std::ssize(queries);
  summary.verdicts = counting.counts();
  summary.seconds = meter.Seconds();
  progress.End();
  return summary;
}

}  // namespace pivotal
