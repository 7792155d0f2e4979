// Apache-2.0.
#include "pts/query_search.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "pts/change_posterior.h"
#include "pts/pair_builder.h"
#include "pts/pair_test.h"
#include "pts/response_trace.h"
#include "pts/success_trie.h"

namespace pivotal::pts {
namespace {

// What rollouts are drawn for. Each purpose has a random stream of its own, so that the rollouts
// that confirm a pair are fresh even for tokens that the search has seen, and those that measure
// p_0 are others than those that decided that the query is searched.
enum class Purpose : uint64_t { kFree = 1, kConfirm = 2, kLeaving = 3, kStrategy = 4, kStart = 5 };

uint64_t StreamOf(const std::string& id, std::span<const TokenId> path, Purpose purpose) {
  uint64_t stream = kernels::MixStream(static_cast<uint64_t>(purpose), id);
  for (TokenId token : path) stream = kernels::MixStream(stream, static_cast<uint64_t>(token));
  return kernels::MixStream(stream, static_cast<uint64_t>(path.size()));
}

// The most rollouts of a prompt that are asked for at once, so that a search with very many looks
// at its budgets in between.
constexpr int32_t kPortion = 4096;

// A search for pairs draws this many rollouts of a prompt at a time.
constexpr int32_t kWave = 8;
// Probabilities that p_0 lies in the band: a search for pairs begins from the higher one, and drops
// the query from the lower one.
constexpr double kInBand = 0.5, kOutOfBand = 0.15;
constexpr double kLeastYield = 0.01;  // part of min_yield to which a large budget lowers it

// Returns the probability that p is below `bound` after `estimate`, for a uniform prior: a Beta
// distribution with whole parameters is a sum of binomial terms.
double ProbabilityBelow(Estimate estimate, double bound) {
  if (bound <= 0) return 0;
  if (bound >= 1) return 1;
  const int32_t n = estimate.samples + 1;
  double sum = 0;
  for (int32_t k = estimate.successes + 1; k <= n; ++k)
    sum += std::exp(std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0) +
                    k * std::log(bound) + (n - k) * std::log1p(-bound));
  return sum;
}

Estimate CountsOf(std::span<const char> outcomes) {
  Estimate estimate;
  for (const char outcome : outcomes) estimate.Add(outcome != 0);
  return estimate;
}

int32_t CountOf(std::span<const TokenId> tokens) { return static_cast<int32_t>(tokens.size()); }

Purpose PurposeOf(RolloutKind kind, int32_t position) {
  if (kind == RolloutKind::kPrefix && position == 0) return Purpose::kStart;
  if (kind == RolloutKind::kLeaving) return Purpose::kLeaving;
  const bool side = kind == RolloutKind::kChosen || kind == RolloutKind::kRejected;
  return side ? Purpose::kConfirm : Purpose::kFree;
}

}  // namespace

QuerySearch::QuerySearch(const Query& query, const SearchOptions& options, CountingJudge& judge)
    : query_(query), options_(options), judge_(judge), min_yield_(options.min_yield) {
  trace_.id = query.id;
  trace_.question = query.question;
  trace_.answer = query.answer;
  trace_.other_answers = query.other_answers;
  trace_.prompt = query.prompt;
}

std::vector<RatedRequest> QuerySearch::Next() {
  planned_.clear();
  if (waiting_) return {};
  if (stage_ == Stage::kResponses && makes_pairs()) {
    PlanSearch();
    Propose();
    PlanTests();
    if (planned_.empty() && Pays())
      stage_ = Stage::kPrompt;
    else if (planned_.empty() && options_.budget_tokens > 0)
      waiting_ = true;
    else if (planned_.empty())
      FinishTests();
  }
  if (stage_ == Stage::kPrompt) PlanPrompt();
  if (stage_ == Stage::kResponses && !makes_pairs()) {
    PlanSearch();
    if (planned_.empty()) stage_ = Stage::kAlternatives;
  }
  if (stage_ == Stage::kAlternatives) {
    PlanAlternatives();
    if (planned_.empty()) FinishAlternatives();
  }
  if (stage_ == Stage::kSides) {
    PlanSides();
    if (planned_.empty()) Finish();
  }
  std::vector<RatedRequest> requests;
  for (const PlannedRollouts& plan : planned_) requests.push_back(RequestFor(plan));
  return requests;
}

void QuerySearch::Supply(std::vector<JudgedRollouts> answers) {
  if (answers.size() != planned_.size())
    Fail("search: {} results for {} requests", answers.size(), planned_.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].rollouts.empty()) continue;
    trace_.prefilled_tokens += CountOf(query_.prompt) + CountOf(PathOf(planned_[i]));
    Record(planned_[i], std::move(answers[i]));
  }
  planned_.clear();
  if (stage_ == Stage::kPrompt) EndPrompt();
  for (Candidate& candidate : candidates_)
    if (candidate.test.open()) ReadTest(candidate);
}

void QuerySearch::CutShort() {
  trace_.complete = waiting_;
  waiting_ = false;
  if (makes_pairs() && strategy_ != nullptr)
    FinishTests();
  else if (stage_ == Stage::kResponses || stage_ == Stage::kAlternatives)
    FinishAlternatives();
  if (stage_ == Stage::kSides) Finish();
  stage_ = Stage::kDone;
}

bool QuerySearch::LowerYield() {
  if (!waiting_ || min_yield_ < kLeastYield * options_.min_yield) return false;
  min_yield_ /= 2;
  waiting_ = false;
  BeginSearch(0);
  return true;
}

int64_t QuerySearch::pivotal() const {
  int64_t total = 0;
  for (const ResponseTrace& response : trace_.responses)
    total += static_cast<int64_t>(response.pivotal.size());
  if (stage_ == Stage::kResponses || stage_ == Stage::kAlternatives)
    total += static_cast<int64_t>(strategy_->Pivotal().size());
  return total;
}

int64_t QuerySearch::pairs() const {
  if (makes_pairs()) {
    // Siblings of one prefix may both propose the same two tokens.
    std::set<std::tuple<int32_t, TokenId, TokenId>> pairs;
    for (const Candidate& candidate : candidates_)
      if (candidate.test.Passes())
        pairs.emplace(trie_[candidate.node].parent, candidate.chosen, candidate.rejected);
    return std::ssize(pairs);
  }
  return pairs_;
}

void QuerySearch::PlanPrompt() {
  wave_pairs_ = pairs();
  wave_generated_ = generated_;
  const int32_t left = options_.samples - trace_.samples;
  planned_.push_back(
      {RolloutKind::kQuery, -1, 0, -1, std::min(left, makes_pairs() ? kWave : kPortion), 1});
}

void QuerySearch::PlanSearch() {
  for (const Strategy::RolloutPlan& plan : strategy_->Next()) {
    const SuccessTrie::Node& node = trie_[plan.node];
    planned_.push_back({plan.leaving ? RolloutKind::kLeaving : RolloutKind::kPrefix, node.response,
                        node.depth, -1, plan.count, plan.yield});
  }
}

// Asks for rollouts that leave at each pivotal token, up to `samples` in all, from which to choose
// the other side of its pair.
void QuerySearch::PlanAlternatives() {
  if (options_.confirm == 0) return;
  std::set<int32_t> parents;
  for (int32_t node : strategy_->Pivotal()) parents.insert(trie_[node].parent);
  for (int32_t parent : parents) {
    const SuccessTrie::Node& node = trie_[parent];
    const int32_t missing = options_.samples - node.left.samples;
    if (missing > 0 && node.leave > 0)
      planned_.push_back({RolloutKind::kLeaving, node.response, node.depth, -1, missing, 1});
  }
}

void QuerySearch::PlanSides() {
  if (options_.confirm == 0) return;
  for (int32_t r = 0; r < static_cast<int32_t>(trace_.responses.size()); ++r) {
    for (const PivotalToken& token : trace_.responses[r].pivotal) {
      if (token.chosen < 0) continue;
      PlanSide(RolloutKind::kChosen, r, token.position - 1, token.chosen, options_.confirm);
      PlanSide(RolloutKind::kRejected, r, token.position - 1, token.rejected, options_.confirm);
    }
  }
}

void QuerySearch::PlanTests() {
  for (Candidate& candidate : candidates_) {
    const SuccessTrie::Node& node = trie_[candidate.node];
    const auto plan = [&](RolloutKind kind, TokenId token) {
      return PlanSide(kind, node.response, node.depth - 1, token, candidate.test.Wanted());
    };
    while (candidate.test.open()) {
      const bool chosen = plan(RolloutKind::kChosen, candidate.chosen);
      const bool rejected = plan(RolloutKind::kRejected, candidate.rejected);
      if (chosen || rejected) break;
      ReadTest(candidate);  // verdicts, or rollouts of another candidate, are all that it wants
    }
  }
}

bool QuerySearch::PlanSide(RolloutKind kind, int32_t response, int32_t position, TokenId token,
                           int32_t count) {
  PlannedRollouts plan{kind, response, position, token, count, 1};
  const auto path = PathOf(plan);
  std::vector<char>& outcomes = sides_[path];
  plan.count -= static_cast<int32_t>(outcomes.size());
  if (plan.count <= 0) return false;
  for (PlannedRollouts& other : planned_) {
    if (other.forced < 0 || PathOf(other) != path) continue;
    other.count = std::max(other.count, plan.count);
    return true;
  }
  if (IsEnd(token, path)) {
    const bool success = IsRight(judge_(query_, path));
    outcomes.assign(static_cast<std::size_t>(options_.confirm), success ? 1 : 0);
    return false;
  }
  planned_.push_back(plan);
  return true;
}

RatedRequest QuerySearch::RequestFor(const PlannedRollouts& plan) const {
  const auto path = PathOf(plan);
  RatedRequest rated;
  rated.yield = plan.yield;
  RolloutRequest& request = rated.request;
  request.prefix = PrefixOf(trace_, plan.response, plan.position);
  if (plan.forced >= 0) request.prefix.push_back(plan.forced);
  request.count = plan.count;
  request.max_new_tokens = options_.max_new_tokens - CountOf(path);
  request.stop = options_.stop;
  request.response_tokens = CountOf(path);
  request.stream = StreamOf(query_.id, path, PurposeOf(plan.kind, plan.position));
  if (plan.kind == RolloutKind::kQuery)
    request.first_rollout = static_cast<uint32_t>(trace_.samples);
  if (plan.forced >= 0) request.first_rollout = static_cast<uint32_t>(sides_.at(path).size());
  if (plan.kind == RolloutKind::kLeaving) {
    const SuccessTrie::Node& node = trie_[trie_.Path(plan.response)[plan.position]];
    request.first_rollout = static_cast<uint32_t>(node.leaving_starts);
    for (int32_t child : node.children) request.excluded.push_back(trie_[child].token);
  }
  return rated;
}

bool QuerySearch::IsRight(Verdict verdict) {
  trace_.failed_verdicts += verdict == Verdict::kFailed;
  return verdict == Verdict::kRight;
}

void QuerySearch::Record(const PlannedRollouts& plan, JudgedRollouts answer) {
  const auto path = PathOf(plan);
  std::vector<TokenId> whole;
  Estimate estimate;
  for (std::size_t i = 0; i < answer.rollouts.size(); ++i) {
    Rollout& rollout = answer.rollouts[i];
    whole = path;
    whole.insert(whole.end(), rollout.tokens.begin(), rollout.tokens.end());
    generated_ += std::ssize(rollout.tokens);
    const bool success = IsRight(answer.verdicts[i]);
    estimate.Add(success);
    if (plan.forced >= 0) sides_[path].push_back(success ? 1 : 0);
    if (rollout.finish == FinishReason::kEos) ends_.insert(rollout.tokens.back());
    if (rollout.finish == FinishReason::kLength && CountOf(whole) < options_.max_new_tokens)
      cut_.insert(whole);
    trace_.rollouts.push_back({plan.kind, plan.response, plan.position, plan.forced,
                               std::move(rollout.tokens), std::move(rollout.logprobs),
                               rollout.finish, success});
    if (stage_ != Stage::kPrompt) AddRollout(trace_.rollouts.back(), trie_);
  }
  if (stage_ == Stage::kPrompt) {
    trace_.samples += estimate.samples;
    trace_.successes += estimate.successes;
  }
}

void QuerySearch::EndPrompt() {
  const Estimate p = {trace_.samples, trace_.successes};
  const bool all = p.samples == options_.samples;
  if (strategy_ != nullptr) {  // these rollouts were drawn for more responses to search
    stage_ = Stage::kResponses;
    ChooseResponses();
    return;
  }
  trace_.searched = p.Mean() >= options_.min_success && p.Mean() <= options_.max_success;
  if (makes_pairs() && !all) {
    const double inside =
        ProbabilityBelow(p, options_.max_success) - ProbabilityBelow(p, options_.min_success);
    if (inside > kOutOfBand && !(trace_.searched && inside >= kInBand)) return;
  } else if (!all) {
    return;
  }
  stage_ = trace_.searched ? Stage::kResponses : Stage::kDone;
  if (trace_.searched) ChooseResponses();
}

// Chooses responses from the rollouts of the prompt, right and wrong in turn, each in the order
// drawn, no token sequence twice. Those that were chosen before stay.
void QuerySearch::ChooseResponses() {
  std::set<std::vector<TokenId>> seen;
  for (const ResponseTrace& response : trace_.responses) seen.insert(response.tokens);
  std::vector<const RolloutTrace*> sides[2];  // right, wrong
  for (const RolloutTrace& rollout : trace_.rollouts)
    if (rollout.kind == RolloutKind::kQuery && seen.insert(rollout.tokens).second)
      sides[rollout.success ? 0 : 1].push_back(&rollout);
  std::size_t taken[2] = {0, 0};
  const auto before = std::ssize(trace_.responses);
  for (int32_t i = 0; std::ssize(trace_.responses) < options_.responses; ++i) {
    int side = i % 2;
    if (taken[side] == sides[side].size()) side = 1 - side;
    if (taken[side] == sides[side].size()) break;
    const RolloutTrace& rollout = *sides[side][taken[side]++];
    ResponseTrace response;
    response.tokens = rollout.tokens;
    response.logprobs = rollout.logprobs;
    response.finish = rollout.finish;
    response.success = rollout.success;
    trace_.responses.push_back(std::move(response));
  }
  if (std::ssize(trace_.responses) > before) BeginSearch(static_cast<int32_t>(before));
}

void QuerySearch::BeginSearch(int32_t explored) {
  trie_ = TrieOf(trace_);
  StrategyOptions options = options_;
  options.min_yield = min_yield_;
  strategy_ = MakeStrategy(trie_, options, StrategyStream(), explored);
}

// Picks the other side of each pair from what is known now. The nodes of tokens that were found
// keep their numbers when more responses are added.
void QuerySearch::Propose() {
  const Strata strata(trie_, options_.gap);
  for (const int32_t node : strategy_->Pivotal()) {
    if (!proposed_.insert(node).second) continue;
    const double before = strategy_->Value(trie_[node].parent), after = strategy_->Value(node);
    const bool raised = after > before;
    const auto other = PickAlternative(AlternativesTo(trie_, strata, node), after, raised);
    if (!other) continue;
    const TokenId token = trie_[node].token;
    const SideGuess own{after}, others{other->estimate.Smoothed()};
    const double gap = options_.gap;
    candidates_.push_back(
        raised ? Candidate{node, token, other->token, {own, others, gap, options_.confirm}}
               : Candidate{node, other->token, token, {others, own, gap, options_.confirm}});
  }
}

void QuerySearch::ReadTest(Candidate& candidate) {
  const SuccessTrie::Node& node = trie_[candidate.node];
  candidate.test.Read(SideOutcomes(node.response, node.depth - 1, candidate.chosen),
                      SideOutcomes(node.response, node.depth - 1, candidate.rejected));
}

// A wave of rollouts pays if the pairs of the last one came at the rate that min_yield asks of
// rollouts: pairs for one response's worth of tokens.
bool QuerySearch::Pays() const {
  if (trace_.samples >= options_.samples || std::ssize(trace_.responses) >= options_.responses)
    return false;
  return static_cast<double>(pairs() - wave_pairs_) * trie_.MeanLength() >=
         min_yield_ * static_cast<double>(generated_ - wave_generated_);
}

// Adds the pivotal tokens to the trace, each to every response through it.
void QuerySearch::FinishAlternatives() {
  const Strata strata(trie_, options_.gap);
  const ChangePosterior posterior(trie_, strata, options_.gap);
  if (!makes_pairs()) {
    const auto pivotal = strategy_->Pivotal();
    proposed_.insert(pivotal.begin(), pivotal.end());
  }
  for (int32_t r = 0; r < trie_.responses(); ++r) {
    ResponseTrace& response = trace_.responses[r];
    for (int32_t node : trie_.Path(r)) {
      if (!proposed_.contains(node)) continue;
      AddPivotal(trie_, strata, options_.confidence, node, strategy_->Value(trie_[node].parent),
                 strategy_->Value(node), response);
      response.pivotal.back().probability = posterior.PivotalProbability(node);
    }
  }
  stage_ = Stage::kSides;
}

// Adds the tokens that were found to the trace, with the pairs that were tested.
void QuerySearch::FinishTests() {
  FinishAlternatives();
  for (ResponseTrace& response : trace_.responses)
    for (PivotalToken& token : response.pivotal) token.chosen = token.rejected = -1;
  for (const Candidate& candidate : candidates_) {
    const auto k = trie_[candidate.node].depth;
    for (int32_t r = 0; r < trie_.responses(); ++r) {
      if (k >= std::ssize(trie_.Path(r)) || trie_.Path(r)[k] != candidate.node) continue;
      auto& pivotal = trace_.responses[r].pivotal;
      PivotalToken& token = *std::ranges::find(pivotal, k, &PivotalToken::position);
      token.chosen = candidate.chosen;
      token.rejected = candidate.rejected;
      token.evidence = candidate.test.evidence().better;
      token.gap_evidence = candidate.test.evidence().reaches_gap;
      token.sequential = true;
    }
  }
  Finish();
}

void QuerySearch::Finish() {
  const Strata strata(trie_, options_.gap);
  for (int32_t r = 0; r < trie_.responses(); ++r) {
    ResponseTrace& response = trace_.responses[r];
    FillCurve(trie_, strata, options_.confidence, r, response);
    for (PivotalToken& token : response.pivotal) {
      if (token.chosen < 0) continue;
      const auto chosen_outcomes = SideOutcomes(r, token.position - 1, token.chosen);
      const auto rejected_outcomes = SideOutcomes(r, token.position - 1, token.rejected);
      const Estimate chosen = CountsOf(chosen_outcomes), rejected = CountsOf(rejected_outcomes);
      token.chosen_samples = chosen.samples;
      token.chosen_successes = chosen.successes;
      token.rejected_samples = rejected.samples;
      token.rejected_successes = rejected.successes;
      if (token.sequential || chosen.samples == 0 || rejected.samples == 0) continue;
      const PairEvidence evidence =
          EvidenceOf(chosen_outcomes, rejected_outcomes, {std::max(token.before, token.after)},
                     {std::min(token.before, token.after)}, options_.gap);
      token.evidence = evidence.better;
      token.gap_evidence = evidence.reaches_gap;
    }
  }
  pairs_ = PairsIn(trace_);
  stage_ = Stage::kDone;
}

// Returns true if nothing can follow `path`, which ends in `forced`, so that its verdict is known.
bool QuerySearch::IsEnd(TokenId forced, const std::vector<TokenId>& path) const {
  if (ends_.contains(forced)) return true;
  return CountOf(path) >= options_.max_new_tokens || cut_.contains(path) ||
         (options_.stop && options_.stop(path));
}

std::vector<TokenId> QuerySearch::PathOf(const PlannedRollouts& plan) const {
  std::vector<TokenId> path;
  if (plan.response >= 0) {
    const auto& tokens = trace_.responses[plan.response].tokens;
    path.assign(tokens.begin(), tokens.begin() + plan.position);
  }
  if (plan.forced >= 0) path.push_back(plan.forced);
  return path;
}

std::span<const char> QuerySearch::SideOutcomes(int32_t response, int32_t position,
                                                TokenId token) const {
  const auto found = sides_.find(PathOf({RolloutKind::kChosen, response, position, token, 0, 0}));
  if (found == sides_.end()) return {};
  return found->second;
}

uint64_t QuerySearch::StrategyStream() const { return StreamOf(query_.id, {}, Purpose::kStrategy); }

}  // namespace pivotal::pts
