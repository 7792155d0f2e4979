// Apache-2.0.
#include "experiments/search/run_pairs.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <set>
#include <span>
#include <string_view>

#include "data/base/error.h"
#include "data/pairs/pair_file.h"
#include "data/traces/trace_store.h"
#include "experiments/search/measured_run.h"
#include "experiments/search/run_config.h"
#include "experiments/settings/loading.h"
#include "pivotal/pairs.h"
#include "pts/judging.h"
#include "pts/oracles/code/command_oracle.h"
#include "pts/pair_builder.h"
#include "pts/verdicts.h"

namespace pivotal::experiments {
namespace {

// Returns about the largest size of a file of judged pairs, whatever the judge says: the size if no
// two of a problem's responses have equal scores.
int64_t MostBytes(const std::vector<QueryTrace>& traces, const Tokenizer& tokenizer,
                  JudgedPairOptions options) {
  options.threads = 1;
  double last = 0;
  const auto differ = [&](const QueryTrace&, std::span<const TokenId>) {
    return last += 2 * options.margin;
  };
  int64_t bytes = 0;
  for (const PreferencePair& pair : BuildJudgedPairs(traces, tokenizer, differ, options))
    bytes += std::ssize(data::ToLine(pair));
  return bytes;
}

std::vector<PreferencePair> Judged(const std::vector<QueryTrace>& traces, const RunConfig& config,
                                   const Tokenizer& tokenizer, const OtherPairs& options,
                                   const ResponsePairOptions& how, PairSummary* summary,
                                   const std::function<void(int64_t)>& begin) {
  if (options.judge.empty()) Fail("judged pairs need a judge, a command that scores responses");
  OracleOptions limits = config.problems.oracle_options;
  limits.timeout = options.judge_timeout;
  const auto scorer = pts::MakeCommandScorer(options.judge, limits);
  const auto text = pts::MakeResponseText(tokenizer, config.sampling.stop);
  const JudgedPairOptions judged = {how, options.judge_responses, options.margin,
                                    limits.ThreadsOrCores()};
  if (begin) begin(MostBytes(traces, tokenizer, judged));
  pts::VerdictTally tally(limits.max_failures);
  const ResponseScore score = [&](const QueryTrace& query, std::span<const TokenId> response) {
    return tally.Ask([&] { return scorer->Score({query.question, query.answer, text(response)}); });
  };
  auto pairs = BuildJudgedPairs(traces, tokenizer, score, judged);
  if (summary != nullptr) summary->scores = tally.counts();
  return pairs;
}

// Returns what a problem must have to give a pair that is not pivotal.
std::string PairNeeds(const std::string& source) {
  if (source == "full") return "a right and a wrong response";
  if (source == "critical") return "a searched wrong response, and a right one";
  if (source == "step")
    return "a searched wrong response with a step that brings p(success) below the threshold, and "
           "a right rollout with the steps before it";
  if (source == "judged") return "two different responses whose scores are the margin apart";
  if (source == "refusal") return "a response other than the refusal";
  return "a searched response";
}

// Counts the problems, and those with pairs by the ids of these: "<query id>/<kind>/<number>".
// `source` gave the pairs, at most `count` of them; 0: all. `needs`: what a pair needs.
void CountProblems(const std::vector<QueryTrace>& traces, const std::vector<PreferencePair>& pairs,
                   const std::string& source, int32_t count, const std::string& needs,
                   PairSummary* summary) {
  if (summary == nullptr) return;
  std::set<std::string_view> with_pairs;
  for (const PreferencePair& pair : pairs) {
    const std::string_view id = pair.id;
    with_pairs.insert(id.substr(0, id.rfind('/', id.rfind('/') - 1)));
  }
  summary->problems = std::ssize(traces);
  summary->with_pairs = std::ssize(with_pairs);
  if (summary->with_pairs == summary->problems || (count > 0 && std::ssize(pairs) >= count)) return;
  const auto skipped = std::ranges::count_if(traces, [&](const QueryTrace& query) {
    return source != "refusal" && !query.searched && !with_pairs.contains(query.id);
  });
  const int64_t without = summary->problems - summary->with_pairs;
  summary->without_pairs =
      fmt::format("{} of {} problems gave no pair", without, summary->problems);
  if (skipped == without) {
    summary->without_pairs += ": not searched, p(success) is outside the band";
  } else {
    if (skipped > 0) summary->without_pairs += fmt::format(" ({} not searched)", skipped);
    summary->without_pairs += "; a pair needs " + needs;
  }
}

std::vector<PreferencePair> Pairs(const std::vector<QueryTrace>& traces, const RunConfig& config,
                                  const OtherPairs& options, PairSummary* summary,
                                  const std::function<void(int64_t)>& begin) {
  const int32_t count = options.count > 0 ? options.count : std::numeric_limits<int32_t>::max();
  const auto controls = pts::kControlNames.Names();
  if (std::ranges::find(controls, options.source) != controls.end()) {
    const RolloutModel model(config.model, config.served, config.sampling, Progress());
    return BuildControlPairs(traces, model.tokenizer(), model.policy(),
                             pts::kControlNames.Parse(options.source), count, options.seed);
  }
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const ResponsePairOptions how = {count, options.seed};
  if (options.source == "full") return BuildFullPairs(traces, *tokenizer, how);
  if (options.source == "critical")
    return BuildCriticalPairs(traces, *tokenizer, config.search.gap, how);
  if (options.source == "step")
    return BuildStepPairs(traces, *tokenizer, config.search.gap, {how, options.threshold});
  if (options.source == "refusal")
    return BuildRefusalPairs(traces, *tokenizer, options.refusal, how);
  return Judged(traces, config, *tokenizer, options, how, summary, begin);
}

}  // namespace

std::vector<PreferencePair> PairsOfRun(const std::filesystem::path& run, const PairOptions& options,
                                       PairSummary* summary) {
  options.Validate();
  const RunConfig config = LoadRunConfig(run);
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const auto traces = data::LoadRun(run);
  auto pairs = BuildPairs(traces, *tokenizer, options);
  if (summary != nullptr) summary->false_share = FalseShareBound(traces, options);
  CountProblems(
      traces, pairs, "pivotal", 0,
      options.max_false_share < 1
          ? "evidence for --max-false-share"
          : fmt::format("two sides that differ by the gap on fresh rollouts, with {:.3g}% "
                        "confidence",
                        100 * options.min_confidence),
      summary);
  return pairs;
}

std::vector<std::string> OtherSources() {
  auto names = pts::kControlNames.Names();
  names.insert(names.end(), {"full", "critical", "step", "judged", "refusal"});
  return names;
}

std::vector<PreferencePair> OtherPairsOfRun(const std::filesystem::path& run,
                                            const OtherPairs& options, PairSummary* summary,
                                            const std::function<void(int64_t)>& begin) {
  const auto sources = OtherSources();
  if (std::ranges::find(sources, options.source) == sources.end())
    Fail("pairs of \"{}\" are unknown: take one of {}", options.source, fmt::join(sources, ", "));
  const RunConfig config = LoadRunConfig(run);
  const bool reads_curve = options.source == "critical" || options.source == "step";
  const auto traces = reads_curve ? LoadMeasuredTraces(config, run) : data::LoadRun(run);
  auto pairs = Pairs(traces, config, options, summary, begin);
  CountProblems(traces, pairs, options.source, options.count, PairNeeds(options.source), summary);
  return pairs;
}

}  // namespace pivotal::experiments
