// Apache-2.0. Preference pairs: what a search hands to training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pivotal/policy.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"

namespace pivotal {

// Successes among rollouts that continue one side of a pair.
struct SideEstimate {
  int32_t samples = 0;
  int32_t successes = 0;
  double low = 0, high = 1;  // 95% interval of the success probability
};

// prompt + chosen against prompt + rejected. Both sides of a pivotal pair are single tokens.
struct PreferencePair {
  std::string id;                        // "<query id>/<response>/<position>"
  std::string prompt, chosen, rejected;  // text for people and for TRL; "" for messages
  std::vector<TokenId> prompt_ids, chosen_ids, rejected_ids;  // token ids, which training uses
  // Weights of each token's log-probability in the loss, 0 or more (cDPO, arXiv 2411.19943). Empty:
  // all weights are 1.
  std::vector<float> chosen_weights, rejected_weights;
  double weight =
      1;  // of the pair's loss, 0 or more; the loss stays a mean over the number of pairs
  SideEstimate chosen_estimate, rejected_estimate;  // fresh rollouts after the side's token
  double delta = 0;  // p_k - p_(k-1) of the response's token as the search measured it; 0: unknown
  double delta_low = -1, delta_high = 1;  // its interval, valid however often the search looked
  std::string source = "pivotal";         // or the kind of control pair: "random", "full", ...
};

// prompt -> completion, which is good or bad by itself (KTO, arXiv 2402.01306).
struct UnpairedExample {
  std::string id;
  std::vector<TokenId> prompt_ids, completion_ids;
  std::vector<float> completion_weights;  // as PreferencePair::chosen_weights
  bool desirable = true;
  double weight = 1;  // of the example's loss, as PreferencePair::weight
};

// prompt -> completion whose tokens have advantages, for a policy gradient
// (PreferenceMethod::kPpo).
struct AdvantageExample {
  std::string id;
  std::vector<TokenId> prompt_ids, completion_ids;
  std::vector<float> advantages;  // one for each token of the completion
  // Log-probabilities (natural log) of the tokens under the policy that sampled them. Empty: that
  // is the policy with which training begins.
  std::vector<float> old_logprobs;
  double weight = 1;  // of the example's loss, 0 or more
};

// prompt -> completion, for next-token training. The loss covers the completion only.
struct PromptCompletion {
  std::vector<TokenId> prompt_ids, completion_ids;
  std::string id = {};  // "" if it has none
};

struct PairOptions {
  double gap = 0.2;      // least p(chosen) - p(rejected) on fresh rollouts; in (0, 1)
  double min_delta = 0;  // least |delta| of the response's token; in [0, 1)
  // One-sided confidence that chosen is better than rejected on fresh rollouts; in [0, 1). 0 asks
  // for none.
  double min_confidence = 0.95;
  // Largest expected share of pairs whose chosen side is not better; in (0, 1]. 1 asks for nothing.
  // Of what BuildPairs would return, it then keeps as many pairs as the evidence of all candidate
  // pairs allows, those with most evidence (e-BH: Wang and Ramdas, JRSS B 2022). That holds however
  // the candidates depend on each other.
  double max_false_share = 1;
  int32_t max_pairs_per_response = 0;  // keeps the largest differences; 0: no limit
  // Throws Error that names the field and its range.
  void Validate() const;
};

// Returns a pair for each pivotal token whose sides differ measurably by `gap` on fresh rollouts.
// The response's token is chosen if it raised p(success) and rejected if it lowered it. Pairs of a
// query with the same (prompt_ids, chosen, rejected) are returned once. The order ascends by query,
// response and position.
std::vector<PreferencePair> BuildPairs(std::span<const QueryTrace> queries,
                                       const Tokenizer& tokenizer, const PairOptions& options);

// Returns a bound on the expected share, among the pairs that BuildPairs returns, of those whose
// chosen side is not better: candidates / (pairs * least evidence of a pair), by which e-BH would
// keep them all; 1 at most. Returns nothing if a pair has no evidence, or there is no pair.
std::optional<double> FalseShareBound(std::span<const QueryTrace> queries,
                                      const PairOptions& options);

// Positions that control pairs take in place of pivotal tokens.
enum class ControlKind {
  kRandom,         // drawn uniformly
  kEntropy,        // where the policy's next token is least certain
  kLowProbability  // where the policy gave the response's token the least probability
};

// Returns at most `count` control pairs at positions of searched responses; fewer if the traces
// hold fewer tokens. The response's token is chosen if the response is right and rejected if it is
// wrong; the other side is the policy's most probable other token. Pairs have no estimates;
// `source` is "random", "entropy" or "low-probability". `seed` matters for kRandom.
std::vector<PreferencePair> BuildControlPairs(std::span<const QueryTrace> queries,
                                              const Tokenizer& tokenizer, Policy& policy,
                                              ControlKind kind, int32_t count, uint64_t seed);

// Pairs of whole responses are made of the rollouts that a search drew from the prompts. They are
// spread over the queries: each query gives its first pair before any gives a second. No text
// stands twice on one side of a query's pairs.
struct ResponsePairOptions {
  int32_t count = 0;  // number of pairs at most; 0: as many as there are
  uint64_t seed = 1;  // of the shuffle of rollouts
};

// Returns pairs of a right and a wrong response to a searched query. `source` is "full".
std::vector<PreferencePair> BuildFullPairs(std::span<const QueryTrace> queries,
                                           const Tokenizer& tokenizer,
                                           const ResponsePairOptions& options);

// Returns the worth of a response, higher is better; nothing for a response without a score.
// Several threads call it at once.
using ResponseScore = std::function<std::optional<double>(const QueryTrace& query,
                                                          std::span<const TokenId> response)>;

struct JudgedPairOptions : ResponsePairOptions {
  int32_t responses = 8;  // different rollouts of a query that are scored
  double margin = 1;      // least difference of the two scores of a pair, above 0
  int32_t threads = 1;    // threads that ask for scores
};

// Returns pairs of a better and a worse response by a judge's score (judge-guided DPO of the Phi-4
// report). The best response of a query stands against the worst, the second best against the
// second worst, and so on while their scores are `margin` apart. `source` is "judged".
std::vector<PreferencePair> BuildJudgedPairs(std::span<const QueryTrace> queries,
                                             const Tokenizer& tokenizer, const ResponseScore& score,
                                             const JudgedPairOptions& options);

// Returns one pair a query against made-up answers (Phi-4 report). Where some rollouts were right,
// a right one is chosen over `refusal` ("I don't know."); where none was, `refusal` is chosen over
// a wrong one. The two kinds alternate as far as both exist; queries come in an order shuffled by
// the seed. A query whose wrong rollouts are all the refusal itself gives none. `source` is
// "refusal". Throws Error for a refusal without tokens.
std::vector<PreferencePair> BuildRefusalPairs(std::span<const QueryTrace> queries,
                                              const Tokenizer& tokenizer,
                                              const std::string& refusal,
                                              const ResponsePairOptions& options);

struct StepPairOptions : ResponsePairOptions {
  // The first step that brings p(success) below this is the wrong one; in (0, 1]. One right
  // completion in eight, as in Math-Shepherd (arXiv 2312.08935).
  double threshold = 0.125;
};

// Returns pairs of steps (Step-DPO, arXiv 2406.18629): of each searched wrong response the steps
// before the first wrong one belong to the prompt, that step is rejected, and chosen is a step that
// a right rollout took there, the one with the largest share of right rollouts. Steps are sentences
// or lines. Wrong steps are found by the curve of the search, where OmegaPRM (arXiv 2406.06592)
// draws rollouts for a binary search: p(success) is at least the threshold before the step, and
// below it after the step, by the posterior means of the changes at its tokens. Their prior is
// learned from all tokens of `queries`, so that noise makes few steps wrong; `gap` is that of the
// search. `delta` is the sum of these means, and `source` is "step". Responses without such a step,
// or where no right rollout has the prefix, give none; those with one prefix and wrong step give
// one. The seed has no effect. Throws Error for responses whose p(success) is not known at every
// token.
std::vector<PreferencePair> BuildStepPairs(std::span<const QueryTrace> queries,
                                           const Tokenizer& tokenizer, double gap,
                                           const StepPairOptions& options);

// Returns pairs of a right and a wrong response to one problem whose rejected tokens have weights,
// as in cDPO (arXiv 2411.19943): the share of p(success) that a token destroys. It goes by the
// posterior mean of the change at the token, as above. Each searched wrong response is rejected
// in a pair, against the searched right responses in turn, or else a right rollout; further
// searched right responses are chosen against wrong ones in turn. Queries without a searched wrong
// response, or without any right one, give none. `source` is "critical". The seed has no effect.
// Throws Error for responses whose p(success) is not known at every token.
std::vector<PreferencePair> BuildCriticalPairs(std::span<const QueryTrace> queries,
                                               const Tokenizer& tokenizer, double gap,
                                               const ResponsePairOptions& options);

// Returns the searched responses; the advantage of a token is the change of p(success) at it, p_k -
// p_(k-1), for every token: where the search pooled tokens, they share what it measured (VinePPO,
// arXiv 2410.01679). A search takes right and wrong responses in turn, not as the policy samples
// them, so a response has the weight (share of its verdict among the rollouts from the prompt) /
// (share of its verdict among the searched responses); 1 if all of these have one verdict. Throws
// Error for responses whose p(success) is not known at every token.
std::vector<AdvantageExample> BuildCurveAdvantages(std::span<const QueryTrace> queries);

// Returns the rollouts from the prompts; the advantage of all tokens of one is its verdict (1 for
// right, else 0) less the share of right ones among them (GRPO, arXiv 2402.03300, without the
// division by the standard deviation). Queries whose rollouts have one verdict give none.
std::vector<AdvantageExample> BuildOutcomeAdvantages(std::span<const QueryTrace> queries);

struct RightCompletionOptions {
  bool continuations = false;  // also rollouts that continue a response from within
  int32_t per_query = 0;       // completions of a query at most, drawn at random; 0: all
  uint64_t seed = 1;           // of the draw
};

// Returns what went right, for next-token training (rejection sampling fine-tuning, arXiv
// 2308.01825): the right rollouts from the prompts, and right responses that are none of these. It
// leaves out what the limit of new tokens cut (FinishReason::kLength).
// With `continuations` it also returns right rollouts from prefixes of responses; what stands
// before such a rollout belongs to its prompt. Of completions that end in the same whole response
// the longest is taken. The order ascends by query, then by where completions begin. `id` is
// "<query id>/right/<number>". Throws Error if `per_query` is below 0.
std::vector<PromptCompletion> BuildRightCompletions(std::span<const QueryTrace> queries,
                                                    const RightCompletionOptions& options);

// Writes pairs as JSON lines that TRL and Hugging Face datasets read: prompt, chosen and rejected,
// then their ids and the estimates (data/FORMATS.md). Writes under a temporary name first. Throws
// Error if the disk is full.
void SavePairs(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs);

// Writes completions with advantages as JSON lines (data/FORMATS.md). Throws Error if the disk is
// full.
void SaveAdvantages(const std::filesystem::path& path,
                    const std::vector<AdvantageExample>& examples);

// Writes completions as JSON lines that TRL's SFTTrainer reads: prompt and completion, then their
// ids (data/FORMATS.md). Throws Error if the disk is full.
void SaveCompletions(const std::filesystem::path& path,
                     const std::vector<PromptCompletion>& examples, const Tokenizer& tokenizer);

// Writes pairs without ids and estimates, for programs that refuse columns they don't know.
void SavePairTexts(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs);

}  // namespace pivotal
