// Apache-2.0.
#include "pts/query_search.h"

#include <utility>

#include "data/error.h"
#include "kernels/philox.h"
#include "pts/candidate.h"

namespace pivotal::pts {
namespace {

using data::RolloutKind;

// Confirmation has streams of its own, even for tokens that the search saw: fresh rollouts.
uint64_t StreamOf(const std::string& id, std::span<const TokenId> path, bool confirm) {
  uint64_t stream = kernels::MixStream(uint64_t{confirm ? 2u : 1u}, id);
  for (TokenId token : path) stream = kernels::MixStream(stream, static_cast<uint64_t>(token));
  return kernels::MixStream(stream, static_cast<uint64_t>(path.size()));
}

int32_t CountOf(std::span<const TokenId> tokens) { return static_cast<int32_t>(tokens.size()); }

}  // namespace

QuerySearch::QuerySearch(const Query& query, const SearchOptions& options, const Judge& judge)
    : query_(query), options_(options), judge_(judge) {
  if (query.prompt.empty()) Fail("search: the prompt of problem \"{}\" has no tokens", query.id);
  trace_.id = query.id;
  trace_.question = query.question;
  trace_.answer = query.answer;
  trace_.prompt = query.prompt;
}

std::vector<model::RolloutRequest> QuerySearch::Next() {
  asked_.clear();
  asked_paths_.clear();
  if (stage_ == Stage::kPrompt) Ask({});
  if (stage_ == Stage::kPrefixes) {
    AskPrefixes();
    if (asked_.empty()) FinishSubdivision();
  }
  if (stage_ == Stage::kSides) {
    AskSides();
    if (asked_.empty()) FinishSides();
  }
  std::vector<model::RolloutRequest> requests;
  for (const Node& node : asked_) {
    const auto path = PathOf(node);
    model::RolloutRequest request;
    request.prefix = query_.prompt;
    request.prefix.insert(request.prefix.end(), path.begin(), path.end());
    request.count = node.forced >= 0 ? options_.confirm : options_.samples;
    request.max_new_tokens = options_.max_new_tokens - CountOf(path);
    request.stream = StreamOf(query_.id, path, node.forced >= 0);
    requests.push_back(std::move(request));
  }
  return requests;
}

void QuerySearch::Supply(std::vector<std::vector<model::Rollout>> results) {
  if (results.size() != asked_.size())
    Fail("search: {} results for {} requests", results.size(), asked_.size());
  for (std::size_t i = 0; i < results.size(); ++i) Record(asked_[i], std::move(results[i]));
  asked_.clear();
  if (stage_ == Stage::kPrompt) ChooseResponses();
}

// Everything that the memo knows is supplied at once; what is left waits for the policy.
void QuerySearch::AskPrefixes() {
  for (int32_t r = 0; r < static_cast<int32_t>(subdivisions_.size()); ++r) {
    const std::span<const TokenId> tokens(trace_.responses[r].tokens);
    std::vector<int32_t> unknown;
    bool supplied = true;
    while (supplied) {
      supplied = false;
      unknown.clear();
      for (int32_t k : subdivisions_[r].Pending()) {
        if (const Estimate* known = prefixes_.Find(tokens.first(k))) {
          subdivisions_[r].Supply(k, known->Mean());
          supplied = true;
        } else {
          unknown.push_back(k);
        }
      }
    }
    for (int32_t k : unknown) Ask({RolloutKind::kPrefix, r, k});
  }
}

void QuerySearch::AskSides() {
  if (options_.confirm == 0) return;
  for (int32_t r = 0; r < static_cast<int32_t>(trace_.responses.size()); ++r) {
    for (const data::PivotalToken& token : trace_.responses[r].pivotal) {
      if (token.chosen < 0) continue;
      AskSide({RolloutKind::kChosen, r, token.position - 1, token.chosen});
      AskSide({RolloutKind::kRejected, r, token.position - 1, token.rejected});
    }
  }
}

void QuerySearch::AskSide(Node node) {
  const auto path = PathOf(node);
  if (sides_.Find(path)) return;
  if (IsEnd(node, path)) {
    const bool success = judge_(query_, path);
    sides_.Insert(path, {options_.confirm, success ? options_.confirm : 0});
  } else {
    Ask(node);
  }
}

void QuerySearch::Ask(const Node& node) {
  if (asked_paths_.insert(PathOf(node)).second) asked_.push_back(node);
}

void QuerySearch::Record(const Node& node, std::vector<model::Rollout> rollouts) {
  const auto path = PathOf(node);
  std::vector<TokenId> whole;
  Estimate estimate;
  for (model::Rollout& rollout : rollouts) {
    if (rollout.tokens.empty() || rollout.logprobs.size() != rollout.tokens.size())
      Fail("search: the policy returned a rollout of {} tokens with {} log-probabilities",
           rollout.tokens.size(), rollout.logprobs.size());
    whole = path;
    whole.insert(whole.end(), rollout.tokens.begin(), rollout.tokens.end());
    const bool success = judge_(query_, whole);
    ++estimate.samples;
    estimate.successes += success;
    if (rollout.finish == data::FinishReason::kEos) ends_.insert(rollout.tokens.back());
    if (rollout.finish == data::FinishReason::kLength && CountOf(whole) < options_.max_new_tokens)
      cut_.insert(whole);
    trace_.rollouts.push_back({node.kind, node.response, node.position, node.forced,
                               std::move(rollout.tokens), std::move(rollout.logprobs),
                               rollout.finish, success});
  }
  (node.forced >= 0 ? sides_ : prefixes_).Insert(path, estimate);
}

// Right and wrong in turn, each in the order drawn, no token sequence twice.
void QuerySearch::ChooseResponses() {
  const Estimate prompt = *prefixes_.Find({});
  trace_.samples = prompt.samples;
  trace_.successes = prompt.successes;
  trace_.searched = prompt.Mean() >= options_.min_success && prompt.Mean() <= options_.max_success;
  stage_ = trace_.searched ? Stage::kPrefixes : Stage::kDone;
  if (!trace_.searched) return;

  std::set<std::vector<TokenId>> seen;
  std::vector<const data::RolloutTrace*> sides[2];  // right, wrong
  for (const data::RolloutTrace& rollout : trace_.rollouts)
    if (seen.insert(rollout.tokens).second) sides[rollout.success ? 0 : 1].push_back(&rollout);
  std::size_t taken[2] = {0, 0};
  for (int32_t i = 0; i < options_.responses; ++i) {
    int side = i % 2;
    if (taken[side] == sides[side].size()) side = 1 - side;
    if (taken[side] == sides[side].size()) break;
    AddResponse(*sides[side][taken[side]++]);
  }
}

void QuerySearch::AddResponse(const data::RolloutTrace& rollout) {
  const double p_query = prefixes_.Find({})->Mean();
  subdivisions_.emplace_back(rollout.logprobs, p_query, rollout.success ? 1.0 : 0.0, options_.gap);
  data::ResponseTrace response;
  response.tokens = rollout.tokens;
  response.logprobs = rollout.logprobs;
  response.finish = rollout.finish;
  response.success = rollout.success;
  trace_.responses.push_back(std::move(response));
}

void QuerySearch::FinishSubdivision() {
  for (int32_t r = 0; r < static_cast<int32_t>(subdivisions_.size()); ++r) {
    const Subdivision& subdivision = subdivisions_[r];
    data::ResponseTrace& response = trace_.responses[r];
    const auto n = static_cast<int32_t>(response.tokens.size());
    for (int32_t k = 0; k < n; ++k) {
      if (!subdivision.At(k)) continue;
      const Estimate known = *prefixes_.Find(std::span(response.tokens).first(k));
      response.estimates.push_back({k, known.samples, known.successes, known.Mean()});
    }
    response.estimates.push_back({n, 0, 0, response.success ? 1.0 : 0.0});
    for (int32_t k : subdivision.Pivotal()) {
      data::PivotalToken token;
      token.position = k;
      token.before = *subdivision.At(k - 1);
      token.after = *subdivision.At(k);
      const bool accepted = token.after > token.before;
      if (const auto other = PickOther(AlternativesAt(trace_, r, k), accepted)) {
        token.chosen = accepted ? response.tokens[k - 1] : other->token;
        token.rejected = accepted ? other->token : response.tokens[k - 1];
      }
      response.pivotal.push_back(token);
      ++pivotal_;
    }
  }
  stage_ = Stage::kSides;
}

void QuerySearch::FinishSides() {
  for (int32_t r = 0; r < static_cast<int32_t>(trace_.responses.size()); ++r) {
    for (data::PivotalToken& token : trace_.responses[r].pivotal) {
      if (token.chosen < 0) continue;
      const Estimate chosen = SideEstimate(r, token.position, token.chosen);
      const Estimate rejected = SideEstimate(r, token.position, token.rejected);
      token.chosen_samples = chosen.samples;
      token.chosen_successes = chosen.successes;
      token.rejected_samples = rejected.samples;
      token.rejected_successes = rejected.successes;
    }
  }
  stage_ = Stage::kDone;
}

// True if nothing can follow the node's forced token, so that its verdict is known.
bool QuerySearch::IsEnd(const Node& node, const std::vector<TokenId>& path) const {
  if (ends_.contains(node.forced)) return true;
  return CountOf(path) >= options_.max_new_tokens || cut_.contains(path);
}

std::vector<TokenId> QuerySearch::PathOf(const Node& node) const {
  std::vector<TokenId> path;
  if (node.response >= 0) {
    const auto& tokens = trace_.responses[node.response].tokens;
    path.assign(tokens.begin(), tokens.begin() + node.position);
  }
  if (node.forced >= 0) path.push_back(node.forced);
  return path;
}

Estimate QuerySearch::SideEstimate(int32_t response, int32_t position, TokenId token) const {
  const Estimate* known =
      sides_.Find(PathOf({RolloutKind::kChosen, response, position - 1, token}));
  return known ? *known : Estimate{};
}

}  // namespace pivotal::pts
