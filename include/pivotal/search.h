// Apache-2.0. Pivotal token search over a set of queries (Phi-4 Technical Report, arXiv 2412.08905,
// section 4.3).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pivotal/oracle.h"
#include "pivotal/policy.h"
#include "pivotal/progress.h"
#include "pivotal/trace.h"

namespace pivotal {

// How the responses of one query are searched.
enum class StrategyKind {
  kAnchored,         // works backwards from the verdict; rollouts go where they tell most
  kSubdivide,        // published: splits at the midpoint of the cumulative log-probability
  kSubdivideLength,  // splits in the middle of the tokens, as codelion/pts does
  kExhaustive,       // estimates p_k of every token
  kPairs,            // for training: tests the pairs of likely tokens at once, until it knows
  kNone,             // draws the rollouts from the prompt and nothing else
};

struct StrategyOptions {
  StrategyKind kind = StrategyKind::kAnchored;
  double gap = 0.2;  // a token is pivotal if |p_k - p_(k-1)| >= gap; in (0, 1)
  // Rollouts for each estimate of p_k. kAnchored draws them from the prompt alone. kPairs draws up
  // to this many from a prompt, eight at a time: more while it is in doubt about the band or the
  // problem pays.
  int32_t samples = 32;
  // kAnchored alone:
  double tolerance =
      0.05;  // a token whose |delta| is this near to the gap may be decided either way
  double confidence =
      0.95;  // one-sided confidence of |delta| >= gap - tolerance for reported tokens
  int32_t max_rollouts = 1024;  // limit for each response
  // kAnchored and kPairs stop when generating one response's worth of tokens would decide fewer
  // tokens than this. kPairs also stops there with a problem that gave fewer pairs for its last
  // tokens.
  double min_yield = 0.0015;
  // Throws Error that names the field and its range.
  void Validate() const;
};

struct SearchOptions : StrategyOptions {
  // Fresh rollouts for each side of a candidate pair; 0: none. kPairs draws up to this many.
  int32_t confirm = 32;
  double min_success = 0.2;  // queries with p_0 outside [min_success, max_success] are not searched
  double max_success = 0.8;
  int32_t responses = 2;         // responses searched per query: right and wrong in turn, as drawn
  int32_t max_new_tokens = 256;  // of a whole response: a rollout from P_k may add this minus k
  StopRule stop = {};            // ends a response beside the end of sequence
  int32_t group = 64;            // queries that share batches and are stored together
  int32_t judge_threads = 2;     // threads that ask the judge while rollouts decode
  // Largest share of verdicts that may fail (NoVerdict), as OracleOptions::max_failures.
  double max_oracle_failures = 0.02;
  int64_t budget_tokens = 0;  // limit of generated tokens for the whole run; 0: none
  double budget_seconds = 0;  // limit of wall time for the call; 0: none
  int64_t pairs = 0;          // pairs after which the run ends; 0: no limit
  // Returns the options of a search whose pairs are to train a model: kPairs, as many confirmed
  // pairs for each generated token as it can find. The defaults above are those of a search whose
  // findings are looked at.
  static SearchOptions ForPairs();
  // Throws Error that names the field and its range.
  void Validate() const;
};

// One problem as the policy sees it.
struct Query {
  std::string id;  // unique; it keys the random draws
  std::string question, answer;
  std::vector<TokenId> prompt;                  // not empty
  std::vector<std::string> other_answers = {};  // see Problem
};

// Returns true if the response (token ids, EOS included) solves the query. Throws NoVerdict if it
// cannot tell; the response then does not count as right. Any other exception ends the search.
// Several threads call it at once.
using Judge = std::function<bool(const Query& query, std::span<const TokenId> response)>;

// Returns a judge that decodes a response, cuts it at the first of the texts `stop`, and asks
// `oracle`, for each right answer until one is given (JudgeAny). <think> and </think> stay readable
// if they are control tokens. Tokenizer and oracle must outlive the judge.
Judge MakeJudge(const Tokenizer& tokenizer, const Oracle& oracle,
                const std::vector<std::string>& stop = {});

// Receives each finished group of queries, in order.
using TraceSink = std::function<void(std::vector<QueryTrace> group)>;

struct SearchSummary {
  int64_t queries = 0;          // queries that were finished
  int64_t searched = 0;         // queries with p_0 in the band
  int64_t responses = 0;        // responses that were searched
  int64_t pivotal = 0;          // pivotal tokens that were found
  int64_t candidates = 0;       // pivotal tokens with a candidate pair
  int64_t pairs = 0;            // pairs that fresh rollouts confirmed (BuildPairs, its defaults)
  int64_t cut_short = 0;        // queries that a budget ended early
  int64_t undone = 0;           // queries that a budget left untouched
  int64_t failed_verdicts = 0;  // failed verdicts on responses to these queries
  VerdictCounts verdicts;       // of this call, those on dropped batches included
  double false_share = 0;       // expected share of false findings: the mean of 1 - probability
  double seconds = 0;           // wall time of the call
  double verdict_seconds = 0;   // part of `seconds` spent waiting for verdicts after all rollouts
};

// What earlier calls have spent and found for the same run.
struct RunSoFar {
  int64_t tokens = 0;  // generated tokens
  int64_t pairs = 0;   // confirmed pairs
};

// Searches `queries`, a group at a time: draws `samples` rollouts from every prompt; takes
// responses from the rollouts of queries in the band and searches them all in shared batches;
// picks, for each pivotal token, the other side of a pair among the tokens that rollouts sampled in
// its place; then draws `confirm` fresh rollouts for both sides. A side after which nothing can
// follow (end of sequence, max_new_tokens, `stop`) is judged once instead: its successes are 0 or
// `confirm`.
//
// Random draws are keyed by (query id, prefix, purpose): grouping, order and interruptions change
// nothing. On a stop request the current group is dropped and Interrupted is thrown; groups already
// given to `sink` are complete.
//
// With a budget, each group may use a share of what remains in proportion to its queries; if a
// batch costs more, the rollouts with the highest yield go first. kPairs takes what it needs at
// min_yield, and lowers that while a share is left. budget_tokens is never exceeded:
// rollouts are drawn only if there is room for them at full length, so the last few tokens may stay
// unused. When budget_seconds are over, the batch that is drawn then is dropped. Queries that a
// budget ends early are stored with what is known and marked; queries that were never reached are
// not stored. The same holds for a run that ends because it has `pairs` pairs. `before` counts
// against both: an interrupted run has already stored that much.
//
// A response whose verdict failed does not count as right; its query is marked
// (QueryTrace::failed_verdicts), so that it can be searched again.
//
// Throws Error, before anything is drawn, for bad options, an empty prompt, an id that two queries
// have, an empty judge or sink. Throws Error for a policy that breaks its contract, or more failed
// verdicts than max_oracle_failures allows; the current group is then dropped.
SearchSummary Search(std::span<const Query> queries, Policy& policy, const Judge& judge,
                     const SearchOptions& options, const TraceSink& sink, Progress& progress,
                     const RunSoFar& before = {});

}  // namespace pivotal
