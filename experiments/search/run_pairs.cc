// Apache-2.0.
#include "experiments/search/run_pairs.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <span>

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
                                   const ResponsePairOptions& how, VerdictCounts* scores,
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
  if (scores != nullptr) *scores = tally.counts();
  return pairs;
}

}  // namespace

std::vector<PreferencePair> PairsOfRun(const std::filesystem::path& run, const PairOptions& options,
                                       std::optional<double>* false_share) {
  options.Validate();
  const RunConfig config = LoadRunConfig(run);
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const auto traces = data::LoadRun(run);
  if (false_share != nullptr) *false_share = FalseShareBound(traces, options);
  return BuildPairs(traces, *tokenizer, options);
}

std::vector<std::string> OtherSources() {
  auto names = pts::kControlNames.Names();
  names.insert(names.end(), {"full", "critical", "step", "judged", "refusal"});
  return names;
}

std::vector<PreferencePair> OtherPairsOfRun(const std::filesystem::path& run,
                                            const OtherPairs& options, VerdictCounts* scores,
                                            const std::function<void(int64_t)>& begin) {
  const auto sources = OtherSources();
  if (std::ranges::find(sources, options.source) == sources.end())
    Fail("pairs of \"{}\" are unknown: take one of {}", options.source, fmt::join(sources, ", "));
  const RunConfig config = LoadRunConfig(run);
  const bool reads_curve = options.source == "critical" || options.source == "step";
  const auto traces = reads_curve ? LoadMeasuredTraces(config, run) : data::LoadRun(run);
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
  return Judged(traces, config, *tokenizer, options, how, scores, begin);
}

}  // namespace pivotal::experiments
