// Apache-2.0.
#include "pts/answer_groups.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace pivotal::pts {
namespace {

constexpr std::size_t kMostItems = 12;  // that are partitioned exactly: 3^12 steps
constexpr double kFewRollouts = 4;      // tokens with fewer are kRareTokens

void AddCounts(AnswerCounts& to, std::span<const double> counts) {
  for (std::size_t a = 0; a < counts.size(); ++a) to[a] += counts[a];
}

double LogOfSum(double a, double b) {
  if (a < b) std::swap(a, b);
  return a + std::log1p(std::exp(b - a));
}

// Items that are kept together, and the weight of sets of them as one group.
class Grouping {
 public:
  explicit Grouping(std::span<const AnswerCounts> items) : prior_(AnswerGuess(Answers(items))) {
    for (double& parameter : prior_) parameter *= 2;
    for (std::size_t i = 0; i < items.size(); ++i) blocks_.push_back({{i}, items[i]});
    while (blocks_.size() > kMostItems) MergeMostAlike();
  }

  std::size_t size() const { return blocks_.size(); }
  const std::vector<std::size_t>& ItemsOf(std::size_t block) const { return blocks_[block].items; }

  // Returns the logarithm of the marginal likelihood of a set of blocks as one group, times the
  // prior's factor (size - 1)! of the group.
  double LogWeight(std::size_t set) const {
    Block joined{{}, AnswerCounts(prior_.size())};
    for (std::size_t b = 0; b < blocks_.size(); ++b)
      if ((set >> b & 1) != 0) joined = Joined(joined, blocks_[b]);
    return LogWeight(joined);
  }

 private:
  struct Block {
    std::vector<std::size_t> items;
    AnswerCounts counts;
  };

  static int32_t Answers(std::span<const AnswerCounts> items) {
    return static_cast<int32_t>(items[0].size());
  }
  static Block Joined(const Block& a, const Block& b) {
    Block joined = a;
    joined.items.insert(joined.items.end(), b.items.begin(), b.items.end());
    AddCounts(joined.counts, b.counts);
    return joined;
  }
  double LogWeight(const Block& block) const {
    return std::lgamma(static_cast<double>(block.items.size())) + LogMarginal(prior_, block.counts);
  }
  void MergeMostAlike() {
    std::size_t first = 0, second = 1;
    double best = -1e300;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      for (std::size_t j = i + 1; j < blocks_.size(); ++j) {
        const double gain = LogWeight(Joined(blocks_[i], blocks_[j])) - LogWeight(blocks_[i]) -
                            LogWeight(blocks_[j]);
        if (gain <= best) continue;
        best = gain;
        first = i, second = j;
      }
    }
    blocks_[first] = Joined(blocks_[first], blocks_[second]);
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(second));
  }

  std::vector<double> prior_;
  std::vector<Block> blocks_;
};

// All partitions of the blocks. For a set of blocks, a bit for each, the group of its first block
// is a subset that holds it; the other blocks are partitioned in turn.
class Partitions {
 public:
  explicit Partitions(const Grouping& grouping)
      : weight_(std::size_t{1} << grouping.size()),
        sum_(weight_.size(), 0.0),
        best_(weight_.size(), 0.0),
        group_(weight_.size(), 0) {
    for (std::size_t set = 1; set < weight_.size(); ++set) {
      weight_[set] = grouping.LogWeight(set);
      sum_[set] = best_[set] = -1e300;
      EachFirstGroup(set, [&](std::size_t group) {
        sum_[set] = LogOfSum(sum_[set], weight_[group] + sum_[set ^ group]);
        const double value = weight_[group] + best_[set ^ group];
        if (value > best_[set]) {
          best_[set] = value;
          group_[set] = group;
        }
      });
    }
  }

  // Returns the groups of the most probable partition.
  std::vector<std::size_t> Best() const {
    std::vector<std::size_t> groups;
    for (std::size_t set = weight_.size() - 1; set != 0; set ^= group_[set])
      groups.push_back(group_[set]);
    return groups;
  }

  // Returns the posterior probability that `block` is in the group of block 0.
  double WithFirst(std::size_t block) const {
    const std::size_t all = weight_.size() - 1;
    double probability = 0;
    EachFirstGroup(all, [&](std::size_t group) {
      if ((group >> block & 1) != 0)
        probability += std::exp(weight_[group] + sum_[all ^ group] - sum_[all]);
    });
    return std::min(1.0, probability);
  }

 private:
  // Calls visit(group) for every subset of `set` that holds its first block.
  template <typename Visit>
  static void EachFirstGroup(std::size_t set, Visit&& visit) {
    const std::size_t first = set & (~set + 1), rest = set ^ first;
    for (std::size_t more = rest;; more = (more - 1) & rest) {
      visit(first | more);
      if (more == 0) return;
    }
  }

  std::vector<double> weight_;      // of a set as one group
  std::vector<double> sum_, best_;  // over all partitions of a set, and of the best one
  std::vector<std::size_t> group_;  // of the first block in the best partition of a set
};

// Returns the tokens that may stand at a node's place, its own first, the others by probability.
std::vector<GroupedToken> TokensAt(const QueryTrace& trace, const AnswerTable& table,
                                   const AnswerStrata& strata, int32_t node) {
  const SuccessTrie& trie = strata.trie();
  const int32_t parent = trie[node].parent;
  std::map<TokenId, GroupedToken> tokens;
  for (const auto& [token, branch] : trie[parent].branches)
    tokens[token] = {token, std::exp(double{branch.logprob}), strata.Branch(parent, token)};
  for (const int32_t child : trie[parent].children)
    tokens[trie[child].token] = {trie[child].token, trie[child].probability,
                                 strata.Value(child).AsCounts()};
  for (std::size_t i = 0; i < trace.rollouts.size(); ++i) {
    const RolloutTrace& rollout = trace.rollouts[i];
    if (rollout.forced < 0 || rollout.response < 0) continue;
    const auto path = trie.Path(rollout.response);
    const auto found = tokens.find(rollout.forced);
    if (path[static_cast<std::size_t>(rollout.position)] != parent || found == tokens.end())
      continue;
    found->second.counts[static_cast<std::size_t>(table.of_rollout[i])] += 1;
  }
  const TokenId own = trie[node].token;
  std::vector<GroupedToken> ordered;
  GroupedToken rare{kRareTokens, trie[parent].leave,
                    AnswerCounts(static_cast<std::size_t>(strata.answers()), 0.0)};
  for (auto& [id, token] : tokens) {
    const bool is_branch = trie.Child(parent, id) < 0;
    if (is_branch && SumOf(token.counts) < kFewRollouts) {
      AddCounts(rare.counts, token.counts);
      continue;
    }
    if (is_branch) rare.probability = std::max(0.0, rare.probability - token.probability);
    ordered.push_back(std::move(token));
  }
  if (SumOf(rare.counts) > 0) ordered.push_back(std::move(rare));
  std::ranges::stable_sort(ordered, [own](const GroupedToken& a, const GroupedToken& b) {
    if ((a.token == own) != (b.token == own)) return a.token == own;
    return a.probability > b.probability;
  });
  return ordered;
}

// Returns the distribution of the answers where a token follows that is not in the first group,
// that of the node's own token; sets `probability` to that of such a token.
AnswerEstimate WithoutGroup(const AnswerStrata& strata, int32_t node,
                            std::span<const AnswerGroup> groups, double& probability) {
  const SuccessTrie& trie = strata.trie();
  const SuccessTrie::Node& parent = trie[trie[node].parent];
  const auto holds = [](const AnswerGroup& group, TokenId token) {
    return std::ranges::find(group.tokens, token, &GroupedToken::token) != group.tokens.end();
  };
  const auto is_inside = [&](TokenId token) {
    const bool is_grouped =
        std::ranges::any_of(groups, [&](const AnswerGroup& group) { return holds(group, token); });
    return holds(groups[0], is_grouped ? token : kRareTokens);
  };
  const auto answers = static_cast<std::size_t>(strata.answers());
  AnswerEstimate::Term rest{parent.leave, AnswerCounts(answers, 0.0),
                            AnswerGuess(strata.answers())};
  for (const GroupedToken& token : groups[0].tokens)
    if (trie.Child(trie[node].parent, token.token) < 0) rest.weight -= token.probability;
  for (const auto& [token, branch] : parent.branches)
    if (!is_inside(token)) AddCounts(rest.counts, strata.Branch(trie[node].parent, token));
  // What no rollout has taken is not known: it counts like what they have taken.
  constexpr double kRounding = 1e-6;
  if (rest.weight < kRounding || SumOf(rest.counts) == 0) rest.weight = 0;
  AnswerEstimate sum;
  sum.constant.assign(answers, 0.0);
  probability = rest.weight;
  if (rest.weight > 0) sum.terms.push_back(std::move(rest));
  for (const int32_t child : parent.children) {
    if (is_inside(trie[child].token)) continue;
    const double weight = trie[child].probability;
    AnswerEstimate value = strata.Value(child);
    probability += weight;
    for (std::size_t a = 0; a < answers; ++a) sum.constant[a] += weight * value.constant[a];
    for (AnswerEstimate::Term& term : value.terms) {
      term.weight *= weight;
      sum.terms.push_back(std::move(term));
    }
  }
  if (probability == 0) return sum;
  for (double& constant : sum.constant) constant /= probability;
  for (AnswerEstimate::Term& term : sum.terms) term.weight /= probability;
  return sum;
}

}  // namespace

std::vector<int32_t> GroupByAnswer(std::span<const AnswerCounts> items,
                                   std::vector<double>* with_first) {
  if (with_first != nullptr) with_first->assign(items.size(), 1.0);
  if (items.empty()) return {};
  const Grouping grouping(items);
  const Partitions partitions(grouping);
  std::vector<int32_t> group_of(items.size(), -1);
  const auto groups = partitions.Best();
  for (std::size_t b = 0; b < grouping.size(); ++b) {
    const auto group =
        std::ranges::find_if(groups, [=](std::size_t set) { return (set >> b & 1) != 0; });
    for (const std::size_t item : grouping.ItemsOf(b)) {
      group_of[item] = static_cast<int32_t>(group - groups.begin());
      if (with_first != nullptr && b > 0) (*with_first)[item] = partitions.WithFirst(b);
    }
  }
  return group_of;
}

Interval AnswerGroup::Bounds(double z) const {
  return WilsonInterval({static_cast<int32_t>(std::lround(SumOf(counts))),
                         static_cast<int32_t>(std::lround(counts[0]))},
                        z);
}

double AnswerForks::ParaphraseProbability() const {
  double probability = 0;
  for (const GroupedToken& token : groups[0].tokens)
    if (token.token != own) probability += token.probability;
  return probability;
}

AnswerForks GroupAlternatives(const QueryTrace& trace, const AnswerTable& table,
                              const AnswerStrata& strata, int32_t node) {
  std::vector<GroupedToken> tokens = TokensAt(trace, table, strata, node);
  std::vector<AnswerCounts> items;
  for (const GroupedToken& token : tokens) items.push_back(token.counts);
  std::vector<double> same;
  const std::vector<int32_t> group_of = GroupByAnswer(items, &same);
  AnswerForks forks;
  forks.own = strata.trie()[node].token;
  forks.groups.resize(static_cast<std::size_t>(*std::ranges::max_element(group_of)) + 1);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    AnswerGroup& group = forks.groups[static_cast<std::size_t>(group_of[i])];
    tokens[i].same = same[i];
    group.probability += tokens[i].probability;
    group.counts.resize(items[i].size(), 0.0);
    AddCounts(group.counts, items[i]);
    group.tokens.push_back(std::move(tokens[i]));
  }
  for (AnswerGroup& group : forks.groups)
    std::ranges::stable_sort(group.tokens, std::greater<>(), &GroupedToken::probability);
  std::ranges::stable_sort(forks.groups.begin() + 1, forks.groups.end(), std::greater<>(),
                           &AnswerGroup::probability);
  // A token of probability 1 has no others.
  if (strata.trie()[node].probability < 1) forks.without = strata.WithoutToken(node);
  forks.other = WithoutGroup(strata, node, forks.groups, forks.other_probability);
  return forks;
}

}  // namespace pivotal::pts
