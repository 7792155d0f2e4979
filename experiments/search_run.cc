// Apache-2.0.
#include "experiments/search_run.h"

#include <algorithm>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/run_lock.h"
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

Prepared Prepare(const RunConfig& config) {
  pts::SearchOptions options = config.search;
  options.kind = pts::ParseStrategy(config.strategy);
  options.max_new_tokens = config.sampling.max_new_tokens;
  options.Validate();
  EngineOptionsOf(config.sampling);
  auto oracle = pts::MakeOracle(config.problems.oracle, config.problems.oracle_options);
  const auto problems = data::LoadProblems(config.problems.file, config.problems.options);
  CheckAnswers(*oracle, problems, config.problems);
  LoadedModel model = LoadModel(config.model, model::WeightUse::kRollouts);
  options.stop = MakeStopRule(model.tokenizer(), config.sampling.stop);
  auto queries = MakeQueries(problems, model);
  CheckLengths(queries, options.max_new_tokens, model.phi().config());
  return {std::move(model), std::move(oracle), std::move(queries), options};
}

// Runs `write`, which changes the run folder; its failures say how to go on.
template <typename Write>
void WriteInto(const std::filesystem::path& run, const data::RunLock& lock, Write&& write) {
  try {
    lock.Check();
    write();
  } catch (const Error& error) {
    Fail("{}; once this is put right, pivotal search --resume {} goes on from what is stored",
         error.what(), run.string());
  }
}

SearchResult SearchInto(const RunConfig& config, const Prepared& prepared,
                        const std::filesystem::path& run, const data::RunLock& lock,
                        Progress& progress) {
  data::TraceStore store(run);
  const auto finished = store.FinishedIds();
  std::vector<pts::Query> queries;
  std::copy_if(prepared.queries.begin(), prepared.queries.end(), std::back_inserter(queries),
               [&](const pts::Query& query) { return !finished.contains(query.id); });
  model::RolloutEngine engine(prepared.model.phi(), EngineOptionsOf(config.sampling, prepared.model));
  SearchResult result;
  result.resumed = static_cast<int64_t>(finished.size());
  result.summary = pts::Search(
      queries, engine, MakeJudge(prepared.model.tokenizer(), *prepared.oracle, config.sampling.stop), prepared.options,
      [&](std::vector<data::QueryTrace> group) { WriteInto(run, lock, [&] { store.Append(group); }); },
      progress, prepared.options.budget_tokens > 0 ? GeneratedTokens(store) : 0);
  WriteInto(run, lock, [&] {
    store.Consolidate();
    const auto stored = std::ssize(store.FinishedIds());
    if (const auto want = result.resumed + result.summary.queries; stored < want)
      Fail("{}: holds {} of {} finished problems: files in it were removed", run.string(), stored, want);
  });
  result.counters = engine.counters();
  return result;
}

}  // namespace

int64_t GeneratedTokens(const data::TraceStore& store) {
  int64_t tokens = 0;
  for (const data::QueryTrace& query : store.ReadAll())
    for (const data::RolloutTrace& rollout : query.rollouts) tokens += std::ssize(rollout.tokens);
  return tokens;
}

SearchResult RunSearch(const RunConfig& config, const std::filesystem::path& run,
                       Progress& progress) {
  const Prepared prepared = Prepare(config);
  const std::string weights = ModelFingerprint(config.model);
  data::CreateOutputFolder(run);
  const data::RunLock lock(run);
  data::RequireAbsent(run / "run.toml");  // of a process that was quicker
  SaveRunConfig(config, weights, run);
  return SearchInto(config, prepared, run, lock, progress);
}

SearchResult ResumeSearch(const std::filesystem::path& run, const ResumeOptions& options,
                          Progress& progress) {
  std::string weights;
  RunConfig config = LoadRunConfig(run, &weights);
  const data::RunLock lock(run);
  config.search.budget_tokens = options.budget_tokens.value_or(config.search.budget_tokens);
  config.search.budget_seconds = options.budget_seconds.value_or(config.search.budget_seconds);
  if (ModelFingerprint(config.model) != weights)
    Fail("{}: the weights have changed since {} was started; start a new run",
         config.model.folder.string(), run.string());
  return SearchInto(config, Prepare(config), run, lock, progress);
}

}  // namespace pivotal::experiments
