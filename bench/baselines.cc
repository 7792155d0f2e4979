// Apache-2.0.
#include "bench/baselines.h"

#include <algorithm>
#include <cmath>

#include "kernels/philox.h"
#include "pts/response_trace.h"

namespace pivotal::bench {
namespace {

using pts::Estimate;

constexpr int32_t kSentence = 15;  // tokens of a sentence
constexpr int32_t kBatch = 10;     // rollouts that are drawn between two looks

// The ends of a response's sentences, and what is known of p there.
class Anchors {
 public:
  Anchors(const QueryTrace& trace, int32_t response, RolloutSource& source, int32_t most)
      : response_(response), source_(source), most_(most) {
    const auto n = static_cast<int32_t>(trace.responses[response].tokens.size());
    for (int32_t at = 0; at < n; at += kSentence) ends_.push_back(at);
    ends_.push_back(n);
    counts_.assign(ends_.size(), kBatch);
  }

  int32_t sentences() const { return static_cast<int32_t>(ends_.size()) - 1; }
  int32_t end(int32_t i) const { return ends_[i]; }
  double P(int32_t i) const { return Look(i).Mean(); }

  // Draws until it is known whether p at two ends, i < j, differs by the gap. Returns the verdict.
  bool Differ(int32_t i, int32_t j) {
    while (true) {
      const pts::Interval bounds = Change(i, j).Bounds(pts::NormalQuantile(0.975));
      if (bounds.low >= kGap || bounds.high <= -kGap) return true;
      if (bounds.low > -kGap && bounds.high < kGap) return false;
      bool more = false;
      for (const int32_t end : {i, j}) {
        if (!Known(end) && counts_[end] < most_) {
          counts_[end] = std::min(most_, counts_[end] + kBatch);
          more = true;
        }
      }
      if (!more) return std::abs(Change(i, j).Mean()) >= kGap;
    }
  }

 private:
  bool Known(int32_t i) const { return i == 0 || i + 1 == std::ssize(ends_); }
  Estimate Look(int32_t i) const { return source_.Free(response_, ends_[i], counts_[i]); }
  pts::LinearEstimate Change(int32_t i, int32_t j) const {
    pts::LinearEstimate change;
    change.terms.push_back({-1, Look(i)});
    if (j + 1 == std::ssize(ends_))
      change.constant = Look(j).Mean();  // the verdict
    else
      change.terms.push_back({1, Look(j)});
    return change;
  }

  int32_t response_;
  RolloutSource& source_;
  int32_t most_;
  std::vector<int32_t> ends_, counts_;
};

// Counts of the tokens that rollouts took, by verdict: how often they were there, and how often one
// came after another.
struct VerdictCounts {
  std::map<TokenId, double> at;
  std::map<std::pair<TokenId, TokenId>, double> next;
};

}  // namespace

RolloutSource::RolloutSource(const QueryTrace& trace, Policy& policy, const Judge& judge,
                             int32_t max_new_tokens)
    : trace_(trace), policy_(policy), judge_(judge), max_new_tokens_(max_new_tokens) {
  query_.id = trace.id;
  query_.question = trace.question;
  query_.answer = trace.answer;
  query_.other_answers = trace.other_answers;
  query_.prompt = trace.prompt;
  for (const RolloutTrace& rollout : trace.rollouts)
    if (rollout.finish == FinishReason::kEos) ends_.insert(rollout.tokens.back());
}

std::vector<TokenId> RolloutSource::Path(int32_t response, int32_t tokens) const {
  const auto& all = trace_.responses[response].tokens;
  return {all.begin(), all.begin() + tokens};
}

const RolloutSource::Drawn& RolloutSource::Draw(Purpose purpose, const std::vector<TokenId>& path,
                                                int32_t count,
                                                const std::vector<TokenId>& excluded) {
  Drawn& drawn = drawn_[{purpose, path}];
  if (drawn.all.samples >= count) return drawn;
  RolloutRequest request;
  request.prefix = trace_.prompt;
  request.prefix.insert(request.prefix.end(), path.begin(), path.end());
  request.count = count - drawn.all.samples;
  request.first_rollout = static_cast<uint32_t>(drawn.all.samples);
  request.max_new_tokens = max_new_tokens_ - static_cast<int32_t>(path.size());
  request.response_tokens = static_cast<int32_t>(path.size());
  request.excluded = excluded;
  request.stream = kernels::MixStream(static_cast<uint64_t>(purpose), "baseline");
  for (const TokenId token : path)
    request.stream = kernels::MixStream(request.stream, static_cast<uint64_t>(token));
  const auto rollouts = policy_.Sample({&request, 1}, Progress());
  for (const Rollout& rollout : rollouts[0]) {
    auto whole = path;
    whole.insert(whole.end(), rollout.tokens.begin(), rollout.tokens.end());
    const bool success = judge_(query_, whole);
    drawn.all.Add(success);
    auto& branch = drawn.first[rollout.tokens.front()];
    branch.logprob = rollout.logprobs.front();
    branch.estimate.Add(success);
    if (rollout.finish == FinishReason::kEos) ends_.insert(rollout.tokens.back());
  }
  return drawn;
}

Estimate RolloutSource::Free(int32_t response, int32_t position, int32_t count) {
  const ResponseTrace& of = trace_.responses[response];
  if (position == 0) return {trace_.samples, trace_.successes};
  if (position == std::ssize(of.tokens)) return {1, of.success ? 1 : 0};
  return Draw(Purpose::kFree, Path(response, position), count, {}).all;
}

std::map<TokenId, pts::SuccessTrie::Branch> RolloutSource::Aside(int32_t response, int32_t position,
                                                                 int32_t count) {
  constexpr double kSure = 1e-6;  // least probability of other tokens
  const ResponseTrace& of = trace_.responses[response];
  if (-std::expm1(double{of.logprobs[position - 1]}) < kSure) return {};
  return Draw(Purpose::kAside, Path(response, position - 1), count, {of.tokens[position - 1]})
      .first;
}

Estimate RolloutSource::Fresh(int32_t response, int32_t position, TokenId token, int32_t count) {
  auto path = Path(response, position - 1);
  path.push_back(token);
  if (ends_.contains(token)) return {count, judge_(query_, path) ? count : 0};
  return Draw(Purpose::kFresh, path, count, {}).all;
}

std::vector<Report> FirstError(const QueryTrace& trace, int32_t response, RolloutSource& source,
                               int32_t rollouts) {
  const ResponseTrace& of = trace.responses[response];
  if (of.success || trace.successes == 0) return {};
  int32_t right = 0, wrong = static_cast<int32_t>(of.tokens.size());
  while (wrong - right > 1) {
    const int32_t middle = (right + wrong) / 2;
    (source.Free(response, middle, rollouts).successes > 0 ? right : wrong) = middle;
  }
  return {{wrong, 0.0, false, {}}};
}

std::vector<Report> AdaptiveAnchors(const QueryTrace& trace, int32_t response,
                                    RolloutSource& source, int32_t most, int32_t stride) {
  const ResponseTrace& of = trace.responses[response];
  Anchors anchors(trace, response, source, most);
  std::vector<Report> reports;
  for (int32_t i = 0; i < anchors.sentences(); i += stride) {
    const int32_t j = std::min(i + stride, anchors.sentences());
    if (j - i > 1 && !anchors.Differ(i, j)) continue;
    for (int32_t s = i; s < j; ++s) {
      if (!anchors.Differ(s, s + 1)) continue;
      const int32_t begin = anchors.end(s), end = anchors.end(s + 1);
      const auto least = std::min_element(of.logprobs.begin() + begin, of.logprobs.begin() + end);
      reports.push_back({static_cast<int32_t>(least - of.logprobs.begin()) + 1,
                         anchors.P(s + 1),
                         anchors.P(s + 1) > anchors.P(s),
                         {begin + 1, end}});
    }
  }
  return reports;
}

std::vector<Report> ContrastiveScores(const QueryTrace& trace, int32_t response, double least) {
  VerdictCounts counts[2];  // wrong, right
  const auto is_response = [&](const RolloutTrace& rollout) {
    return std::ranges::any_of(trace.responses, [&](const ResponseTrace& other) {
      return other.tokens == rollout.tokens;
    });
  };
  for (const RolloutTrace& rollout : trace.rollouts) {
    if (is_response(rollout)) continue;
    TokenId last = trace.prompt.back();
    for (const TokenId token : rollout.tokens) {
      counts[rollout.success].at[last] += 1;
      counts[rollout.success].next[{last, token}] += 1;
      last = token;
    }
  }
  const ResponseTrace& of = trace.responses[response];
  std::vector<Report> reports;
  TokenId last = trace.prompt.back();
  for (std::size_t k = 0; k < of.tokens.size(); ++k) {
    double logs[2];
    for (const int side : {0, 1}) {
      const auto at = counts[side].at.find(last);
      const auto next = counts[side].next.find({last, of.tokens[k]});
      logs[side] = std::log(std::exp(double{of.logprobs[k]}) +
                            (next == counts[side].next.end() ? 0.0 : next->second)) -
                   std::log(1 + (at == counts[side].at.end() ? 0.0 : at->second));
    }
    const double score = logs[1] - logs[0];
    if (std::abs(score) >= least)
      reports.push_back({static_cast<int32_t>(k) + 1, score > 0 ? 1.0 : 0.0, score > 0, {}});
    last = of.tokens[k];
  }
  return reports;
}

void AddSides(const std::vector<Report>& reports, int32_t response, int32_t aside, int32_t confirm,
              RolloutSource& source, QueryTrace& trace) {
  ResponseTrace& of = trace.responses[response];
  for (const Report& report : reports) {
    PivotalToken token;
    token.position = report.position;
    token.after = report.after;
    std::vector<pts::Alternative> alternatives;
    for (const auto& [id, branch] : source.Aside(response, report.position, aside))
      alternatives.push_back({id, branch.logprob, branch.estimate});
    if (const auto other = pts::PickAlternative(alternatives, report.after, report.raised)) {
      const TokenId own = of.tokens[report.position - 1];
      token.chosen = report.raised ? own : other->token;
      token.rejected = report.raised ? other->token : own;
      const Estimate chosen = source.Fresh(response, report.position, token.chosen, confirm);
      const Estimate rejected = source.Fresh(response, report.position, token.rejected, confirm);
      token.chosen_samples = chosen.samples;
      token.chosen_successes = chosen.successes;
      token.rejected_samples = rejected.samples;
      token.rejected_successes = rejected.successes;
    }
    of.pivotal.push_back(token);
  }
}

}  // namespace pivotal::bench
