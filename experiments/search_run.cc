// Apache-2.0.
#include "experiments/search_run.h"

#include <algorithm>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/trace_store.h"

namespace pivotal::experiments {
namespace {

// What a search needs, loaded and checked before the run folder is touched.
struct Prepared {
  LoadedModel model;
  std::unique_ptr<const pts::Oracle> oracle;
  std::vector<pts::Query> queries;
  pts::SearchOptions options;
};

// Before anything is written: a run must not fail at its hundredth problem.
void CheckLengths(const std::vector<pts::Query>& queries, const pts::SearchOptions& options,
                  const model::PhiConfig& config) {
  for (const pts::Query& query : queries) {
    const auto total = static_cast<int64_t>(query.prompt.size()) + options.max_new_tokens;
    if (total > config.max_position_embeddings)
      Fail("problem {}: a prompt of {} tokens plus --max-new-tokens {} is longer than the model's {} "
           "positions", query.id, query.prompt.size(), options.max_new_tokens,
           config.max_position_embeddings);
  }
}

Prepared Prepare(const RunConfig& config) {
  pts::SearchOptions options = config.search;
  options.kind = pts::ParseStrategy(config.strategy);
  options.max_new_tokens = config.sampling.max_new_tokens;
  options.Validate();
  EngineOptionsOf(config.sampling);
  auto oracle = pts::MakeOracle(config.problems.oracle, config.problems.oracle_options);
  const auto problems = data::LoadProblems(config.problems.file, config.problems.options);
  CheckAnswers(*oracle, problems, config.problems);
  LoadedModel model = LoadModel(config.model);
  auto queries = MakeQueries(problems, model);
  CheckLengths(queries, options, model.phi().config());
  return {std::move(model), std::move(oracle), std::move(queries), options};
}

SearchResult SearchInto(const RunConfig& config, const Prepared& prepared,
                        const std::filesystem::path& run, Progress& progress) {
  data::TraceStore store(run);
  const auto finished = store.FinishedIds();
  std::vector<pts::Query> queries;
  std::copy_if(prepared.queries.begin(), prepared.queries.end(), std::back_inserter(queries),
               [&](const pts::Query& query) { return !finished.contains(query.id); });
  model::RolloutEngine engine(prepared.model.phi(), EngineOptionsOf(config.sampling));
  SearchResult result;
  result.resumed = static_cast<int64_t>(finished.size());
  result.summary = pts::Search(
      queries, engine, MakeJudge(prepared.model.tokenizer(), *prepared.oracle), prepared.options,
      [&](std::vector<data::QueryTrace> group) { store.Append(group); }, progress);
  store.Consolidate();
  result.counters = engine.counters();
  return result;
}

}  // namespace

SearchResult RunSearch(const RunConfig& config, const std::filesystem::path& run,
                       Progress& progress) {
  const Prepared prepared = Prepare(config);
  data::CreateOutputFolder(run);
  SaveRunConfig(config, model::WeightsFingerprint(config.model.folder), run);
  return SearchInto(config, prepared, run, progress);
}

SearchResult ResumeSearch(const std::filesystem::path& run, Progress& progress) {
  std::string weights;
  const RunConfig config = LoadRunConfig(run, &weights);
  if (model::WeightsFingerprint(config.model.folder) != weights)
    Fail("{}: the weights have changed since {} was started; start a new run",
         config.model.folder.string(), run.string());
  return SearchInto(config, Prepare(config), run, progress);
}

std::vector<data::PreferencePair> PairsOfRun(const std::filesystem::path& run,
                                             const pts::PairOptions& options) {
  options.Validate();
  const RunConfig config = LoadRunConfig(run);
  const auto tokenizer = data::LoadTokenizer(config.model.folder);
  return pts::BuildPairs(data::TraceStore(run).ReadAll(), *tokenizer, options);
}

std::vector<data::PreferencePair> RandomPairsOfRun(const std::filesystem::path& run, int32_t count,
                                                   uint64_t seed) {
  const RunConfig config = LoadRunConfig(run);
  const auto traces = data::TraceStore(run).ReadAll();
  const LoadedModel model = LoadModel(config.model);
  model::RolloutEngine engine(model.phi(), EngineOptionsOf(config.sampling));
  return pts::BuildRandomPairs(traces, model.tokenizer(), engine, count, seed);
}

}  // namespace pivotal::experiments
