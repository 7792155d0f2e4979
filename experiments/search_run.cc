// Apache-2.0.
#include "experiments/search_run.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/run_lock.h"
#include "data/trace_store.h"
#include "data/work_share.h"

namespace pivotal::experiments {
namespace {

// What a search needs, loaded and checked before the run folder is touched.
struct Prepared {
  LoadedModel model;
  std::unique_ptr<const pts::Oracle> oracle;
  std::vector<pts::Query> queries;
  pts::SearchOptions options;
};

// `device`: in place of the settings' where it is not empty.
Prepared Prepare(const RunConfig& config, const std::string& device) {
  pts::SearchOptions options = config.search;
  options.kind = pts::ParseStrategy(config.strategy);
  options.max_new_tokens = config.sampling.max_new_tokens;
  options.Validate();
  EngineOptionsOf(config.sampling);
  auto oracle = pts::MakeOracle(config.problems.oracle, config.problems.oracle_options);
  const auto problems = data::LoadProblems(config.problems.file, config.problems.options);
  CheckAnswers(*oracle, problems, config.problems);
  ModelSettings settings = config.model;
  if (!device.empty()) settings.device = device;
  LoadedModel model = LoadModel(settings, model::WeightUse::kRollouts);
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

std::vector<std::string> IdsOf(const std::vector<pts::Query>& queries) {
  std::vector<std::string> ids;
  for (const pts::Query& query : queries) ids.push_back(query.id);
  return ids;
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
    store.Consolidate(IdsOf(prepared.queries));
    const auto stored = std::ssize(store.FinishedIds());
    if (const auto want = result.resumed + result.summary.queries; stored < want)
      Fail("{}: holds {} of {} finished problems: files in it were removed", run.string(), stored, want);
  });
  result.counters = engine.counters();
  return result;
}

// Shows the progress of all workers: what was finished when this one last took problems, and its own since.
class TeamProgress : public Progress {
 public:
  TeamProgress(Progress& shown, int64_t total) : shown_(shown) { shown_.Begin("search", total, "problems"); }
  void Begin(std::string_view, int64_t, std::string_view, int64_t) override {}
  void Update(int64_t done, std::string_view detail) override { shown_.Update(finished + done, detail); }
  bool StopRequested() const override { return shown_.StopRequested(); }
  void Close() { shown_.End(); }

  int64_t finished = 0;

 private:
  Progress& shown_;
};

// Takes problems until all are done, by this worker or another; the last one joins the shards.
SearchResult ShareInto(const RunConfig& config, const Prepared& prepared, const std::filesystem::path& run,
                       const data::RunLock& lock, Progress& progress) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kLook = std::chrono::milliseconds(300);  // at what others do, when nothing is free
  // Then what others have in hand is done again, in case they hang: twice what this worker's slowest group took, at least
  // half a minute. Equal searches find equal things, and each problem is stored once.
  Clock::duration patience = std::chrono::seconds(30);
  if (prepared.options.budget_tokens > 0 || prepared.options.budget_seconds > 0)
    Fail("budgets are of one process: leave them out of a shared run, or give each --shard of the problems its own");
  const auto start = Clock::now();
  data::TraceStore store(run);
  const auto& queries = prepared.queries;
  const auto stored = store.FinishedIds();
  SearchResult result;
  result.resumed = std::ranges::count_if(queries, [&](const pts::Query& query) { return stored.contains(query.id); });
  data::WorkShare share(run / "work", std::ssize(queries), [&](int64_t i) { return stored.contains(queries[i].id); });
  model::RolloutEngine engine(prepared.model.phi(), EngineOptionsOf(config.sampling, prepared.model));
  const auto judge = MakeJudge(prepared.model.tokenizer(), *prepared.oracle, config.sampling.stop);
  TeamProgress shown(progress, share.items());
  Clock::time_point idle_since = Clock::now();
  while (share.finished() < share.items()) {
    const bool late = Clock::now() - idle_since > patience;
    const auto items = share.Take(prepared.options.group, late);
    shown.finished = share.finished();
    const auto began = Clock::now();
    if (items.empty()) {
      if (progress.StopRequested()) throw Interrupted("search stopped while others were at work on the last problems");
      shown.Update(0, "the last ones are in other hands");
      std::this_thread::sleep_for(kLook);
      continue;
    }
    std::vector<pts::Query> own;
    for (const int64_t i : items) own.push_back(queries[static_cast<std::size_t>(i)]);
    std::vector<data::QueryTrace> traces;
    result.summary.verdict_seconds += pts::Search(own, engine, judge, prepared.options,
                                                  [&](std::vector<data::QueryTrace> group) {
                                                    std::move(group.begin(), group.end(), std::back_inserter(traces));
                                                  },
                                                  shown).verdict_seconds;
    share.Finish(items, [&] { WriteInto(run, lock, [&] { store.Append(traces); }); });
    if (late) continue;  // the others hang still
    idle_since = Clock::now();
    patience = std::max(patience, 2 * (idle_since - began));
  }
  share.Leave([&] { WriteInto(run, lock, [&] { store.Consolidate(IdsOf(queries)); }); });
  shown.Close();
  pts::Count(store.ReadAll(), result.summary);
  result.summary.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  result.lost_workers = share.lost_workers();
  result.counters = engine.counters();
  return result;
}

// The lock of a run that another process makes: waits for both.
std::unique_ptr<data::RunLock> AwaitRun(const std::filesystem::path& run, int seconds, const Progress& progress) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (;;) {
    const bool late = std::chrono::steady_clock::now() >= end;
    if (progress.StopRequested()) throw Interrupted("search stopped before there was a run");
    if (std::filesystem::exists(run / "run.toml")) {
      try {
        return std::make_unique<data::RunLock>(run, data::RunLock::Kind::kShared);
      } catch (const Error&) {
        if (late) throw;  // the one that makes it holds it alone for a moment
      }
    } else if (late) {
      Fail("{}: no run came up within {} seconds; was the first rank started?", run.string(), seconds);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace

int64_t GeneratedTokens(const data::TraceStore& store) {
  int64_t tokens = 0;
  for (const data::QueryTrace& query : store.ReadAll())
    for (const data::RolloutTrace& rollout : query.rollouts) tokens += std::ssize(rollout.tokens);
  return tokens;
}

SearchResult RunSearch(const RunConfig& config, const std::filesystem::path& run,
                       Progress& progress, const SearchTeam& team) {
  const Prepared prepared = Prepare(config, team.device);
  const std::string weights = ModelFingerprint(config.model);
  if (team.shared && !team.first) {
    const auto lock = AwaitRun(run, team.wait, progress);
    std::string found;
    const RunConfig other = LoadRunConfig(run, &found);
    if (found != weights || SettingsText(other) != SettingsText(config))
      Fail("{}: is a run with another model or other settings", run.string());
    return ShareInto(config, prepared, run, *lock, progress);
  }
  data::CreateOutputFolder(run);
  {
    const data::RunLock lock(run);
    data::RequireAbsent(run / "run.toml");  // of a process that was quicker
    SaveRunConfig(config, weights, run);
    if (!team.shared) return SearchInto(config, prepared, run, lock, progress);
  }
  const data::RunLock lock(run, data::RunLock::Kind::kShared);
  return ShareInto(config, prepared, run, lock, progress);
}

SearchResult ResumeSearch(const std::filesystem::path& run, const ResumeOptions& options,
                          Progress& progress, const SearchTeam& team) {
  std::string weights;
  RunConfig config = LoadRunConfig(run, &weights);
  const data::RunLock lock(run, team.shared ? data::RunLock::Kind::kShared : data::RunLock::Kind::kAlone);
  config.search.budget_tokens = options.budget_tokens.value_or(config.search.budget_tokens);
  config.search.budget_seconds = options.budget_seconds.value_or(config.search.budget_seconds);
  if (ModelFingerprint(config.model) != weights)
    Fail("{}: the weights have changed since {} was started; start a new run",
         config.model.folder.string(), run.string());
  const Prepared prepared = Prepare(config, team.device);
  return team.shared ? ShareInto(config, prepared, run, lock, progress)
                     : SearchInto(config, prepared, run, lock, progress);
}

}  // namespace pivotal::experiments
