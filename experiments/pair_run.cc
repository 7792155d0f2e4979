// Apache-2.0.
#include "experiments/pair_run.h"

#include <algorithm>
#include <fmt/ranges.h>
#include <limits>

#include "data/error.h"
#include "data/trace_store.h"
#include "experiments/run_config.h"
#include "pts/oracles/command_oracle.h"
#include "pts/response_pairs.h"

namespace pivotal::experiments {
namespace {

std::vector<data::PreferencePair> Judged(const std::vector<data::QueryTrace>& traces, const RunConfig& config,
                                         const data::Tokenizer& tokenizer, const OtherPairs& options,
                                         const pts::ResponsePairOptions& how) {
  if (options.judge.empty()) Fail("judged pairs need a judge, a command that scores responses");
  pts::OracleOptions limits = config.problems.oracle_options;
  limits.timeout = options.judge_timeout;
  const auto scorer = pts::MakeCommandScorer(options.judge, limits);
  const auto text = MakeResponseText(tokenizer, config.sampling.stop);
  return pts::BuildJudgedPairs(
      traces, tokenizer,
      [&](const data::QueryTrace& query, std::span<const TokenId> response) {
        return scorer->Score({query.question, query.answer, text(response)});
      },
      {how, options.judge_responses, options.margin, limits.ThreadsOrCores()});
}

}  // namespace

std::vector<data::PreferencePair> PairsOfRun(const std::filesystem::path& run,
                                             const pts::PairOptions& options) {
  options.Validate();
  const RunConfig config = LoadRunConfig(run);
  const auto tokenizer = data::LoadTokenizer(config.model.folder);
  return pts::BuildPairs(data::TraceStore(run).ReadAll(), *tokenizer, options);
}

std::vector<std::string> OtherSources() {
  auto names = pts::ControlNames();
  names.insert(names.end(), {"full", "judged", "refusal"});
  return names;
}

std::vector<data::PreferencePair> OtherPairsOfRun(const std::filesystem::path& run, const OtherPairs& options) {
  const auto sources = OtherSources();
  if (std::ranges::find(sources, options.source) == sources.end())
    Fail("pairs of \"{}\" are unknown: take one of {}", options.source, fmt::join(sources, ", "));
  const RunConfig config = LoadRunConfig(run);
  const auto traces = data::TraceStore(run).ReadAll();
  const int32_t count = options.count > 0 ? options.count : std::numeric_limits<int32_t>::max();
  const auto controls = pts::ControlNames();
  if (std::ranges::find(controls, options.source) != controls.end()) {
    const LoadedModel model = LoadModel(config.model, model::WeightUse::kRollouts);
    model::RolloutEngine engine(model.phi(), EngineOptionsOf(config.sampling, model));
    return pts::BuildControlPairs(traces, model.tokenizer(), engine, pts::ParseControl(options.source), count,
                                  options.seed);
  }
  const auto tokenizer = data::LoadTokenizer(config.model.folder);
  const pts::ResponsePairOptions how = {count, options.seed};
  if (options.source == "full") return pts::BuildFullPairs(traces, *tokenizer, how);
  if (options.source == "refusal") return pts::BuildRefusalPairs(traces, *tokenizer, options.refusal, how);
  return Judged(traces, config, *tokenizer, options, how);
}

}  // namespace pivotal::experiments
