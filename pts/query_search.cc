// Apache-2.0.
#include "pts/query_search.h"

#include <algorithm>
#include <utility>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "pts/jump_model.h"
#include "pts/response_trace.h"
#include "pts/success_trie.h"

namespace pivotal::pts {
namespace {

// What rollouts are drawn for. Each purpose has a random stream of its own, so that the rollouts
// that confirm a pair are fresh even for tokens that the search has seen.
enum class Purpose : uint64_t { kFree = 1, kConfirm = 2, kLeaving = 3, kStrategy = 4 };

uint64_t StreamOf(const std::string& id, std::span<const TokenId> path, Purpose purpose) {
  uint64_t stream = kernels::MixStream(static_cast<uint64_t>(purpose), id);
  for (TokenId token : path) stream = kernels::MixStream(stream, static_cast<uint64_t>(token));
  return kernels::MixStream(stream, static_cast<uint64_t>(path.size()));
}

// The most rollouts of a prompt that are asked for at once, so that a search with very many looks
// at its budgets in between.
constexpr int32_t kPortion = 4096;

int32_t CountOf(std::span<const TokenId> tokens) { return static_cast<int32_t>(tokens.size()); }

Purpose PurposeOf(RolloutKind kind) {
  if (kind == RolloutKind::kLeaving) return Purpose::kLeaving;
  const bool side = kind == RolloutKind::kChosen || kind == RolloutKind::kRejected;
  return side ? Purpose::kConfirm : Purpose::kFree;
}

}  // namespace

QuerySearch::QuerySearch(const Query& query, const SearchOptions& options, CountingJudge& judge)
    : query_(query), options_(options), judge_(judge) {
  trace_.id = query.id;
  trace_.question = query.question;
  trace_.answer = query.answer;
  trace_.prompt = query.prompt;
}

std::vector<RatedRequest> QuerySearch::Next() {
  planned_.clear();
  if (stage_ == Stage::kPrompt)
    planned_.push_back(
        {RolloutKind::kQuery, -1, 0, -1, std::min(options_.samples - trace_.samples, kPortion), 1});
  if (stage_ == Stage::kResponses) {
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
  if (stage_ == Stage::kPrompt && trace_.samples == options_.samples) ChooseResponses();
}

void QuerySearch::CutShort() {
  trace_.complete = false;
  if (stage_ == Stage::kResponses || stage_ == Stage::kAlternatives) FinishAlternatives();
  if (stage_ == Stage::kSides) Finish();
  stage_ = Stage::kDone;
}

int64_t QuerySearch::pivotal() const {
  int64_t total = 0;
  for (const ResponseTrace& response : trace_.responses)
    total += static_cast<int64_t>(response.pivotal.size());
  if (stage_ == Stage::kResponses || stage_ == Stage::kAlternatives)
    total += static_cast<int64_t>(strategy_->Pivotal().size());
  return total;
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
      PlanSide(RolloutKind::kChosen, r, token.position - 1, token.chosen);
      PlanSide(RolloutKind::kRejected, r, token.position - 1, token.rejected);
    }
  }
}

void QuerySearch::PlanSide(RolloutKind kind, int32_t response, int32_t position, TokenId token) {
  const PlannedRollouts plan{kind, response, position, token, options_.confirm, 1};
  const auto path = PathOf(plan);
  if (sides_.contains(path)) return;
  for (const PlannedRollouts& other : planned_)
    if (PathOf(other) == path) return;
  if (IsEnd(token, path)) {
    const bool success = IsRight(judge_(query_, path));
    sides_[path] = {options_.confirm, success ? options_.confirm : 0};
  } else {
    planned_.push_back(plan);
  }
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
  request.stream = StreamOf(query_.id, path, PurposeOf(plan.kind));
  if (plan.kind == RolloutKind::kQuery)
    request.first_rollout = static_cast<uint32_t>(trace_.samples);
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
    const bool success = IsRight(answer.verdicts[i]);
    estimate.Add(success);
    if (rollout.finish == FinishReason::kEos) ends_.insert(rollout.tokens.back());
    if (rollout.finish == FinishReason::kLength && CountOf(whole) < options_.max_new_tokens)
      cut_.insert(whole);
    trace_.rollouts.push_back({plan.kind, plan.response, plan.position, plan.forced,
                               std::move(rollout.tokens), std::move(rollout.logprobs),
                               rollout.finish, success});
    if (stage_ != Stage::kPrompt) AddRollout(trace_.rollouts.back(), false, trie_);
  }
  if (plan.forced >= 0) sides_[path] = estimate;
  if (stage_ == Stage::kPrompt) {
    trace_.samples += estimate.samples;
    trace_.successes += estimate.successes;
  }
}

// Chooses responses from the rollouts of the prompt, right and wrong in turn, each in the order
// drawn, no token sequence twice.
void QuerySearch::ChooseResponses() {
  const double p = Estimate{trace_.samples, trace_.successes}.Mean();
  trace_.searched = p >= options_.min_success && p <= options_.max_success;
  stage_ = trace_.searched ? Stage::kResponses : Stage::kDone;
  if (!trace_.searched) return;

  std::set<std::vector<TokenId>> seen;
  std::vector<const RolloutTrace*> sides[2];  // right, wrong
  for (const RolloutTrace& rollout : trace_.rollouts)
    if (seen.insert(rollout.tokens).second) sides[rollout.success ? 0 : 1].push_back(&rollout);
  std::size_t taken[2] = {0, 0};
  for (int32_t i = 0; i < options_.responses; ++i) {
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
  trie_ = TrieOf(trace_);
  strategy_ = MakeStrategy(trie_, options_, StrategyStream());
}

// Adds the pivotal tokens to the trace, each to every response through it.
void QuerySearch::FinishAlternatives() {
  const Strata strata(trie_, options_.gap);
  const JumpModel model(trie_, strata, options_.gap, StrategyStream());
  const auto pivotal = strategy_->Pivotal();
  const std::set<int32_t> found(pivotal.begin(), pivotal.end());
  for (int32_t r = 0; r < trie_.responses(); ++r) {
    ResponseTrace& response = trace_.responses[r];
    for (int32_t node : trie_.Path(r)) {
      if (!found.contains(node)) continue;
      AddPivotal(trie_, strata, options_.confidence, node, strategy_->Value(trie_[node].parent),
                 strategy_->Value(node), response);
      response.pivotal.back().probability = model.PivotalProbability(node);
    }
  }
  stage_ = Stage::kSides;
}

void QuerySearch::Finish() {
  const Strata strata(trie_, options_.gap);
  for (int32_t r = 0; r < trie_.responses(); ++r) {
    ResponseTrace& response = trace_.responses[r];
    FillCurve(trie_, strata, options_.confidence, r, response);
    for (PivotalToken& token : response.pivotal) {
      if (token.chosen < 0) continue;
      const Estimate chosen = SideEstimate(r, token.position - 1, token.chosen);
      const Estimate rejected = SideEstimate(r, token.position - 1, token.rejected);
      token.chosen_samples = chosen.samples;
      token.chosen_successes = chosen.successes;
      token.rejected_samples = rejected.samples;
      token.rejected_successes = rejected.successes;
    }
  }
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

Estimate QuerySearch::SideEstimate(int32_t response, int32_t position, TokenId token) const {
  const auto found = sides_.find(PathOf({RolloutKind::kChosen, response, position, token, 0, 0}));
  return found == sides_.end() ? Estimate{} : found->second;
}

uint64_t QuerySearch::StrategyStream() const { return StreamOf(query_.id, {}, Purpose::kStrategy); }

}  // namespace pivotal::pts
