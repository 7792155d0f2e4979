// Apache-2.0.
#include "experiments/search/search_run.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/run_lock.h"
#include "data/base/worker_status.h"
#include "data/traces/trace_store.h"
#include "data/traces/work_queue.h"
#include "experiments/settings/loading.h"
#include "experiments/settings/settings_file.h"
#include "pivotal/oracle.h"
#include "pivotal/problem.h"
#include "pts/judge_pool.h"
#include "pts/pair_builder.h"
#include "pts/query_search.h"
#include "pts/strategy.h"
#include "pts/verdicts.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWorkFolder = "work";  // of a shared run

// The inputs of a search and what computes it, loaded, started and checked before the run folder is
// touched.
struct Prepared {
  RolloutModel model;
  std::unique_ptr<const Oracle> oracle;
  std::vector<Query> queries;
  SearchOptions options;
};

// Returns how many tokens a response may have. All shards of a file have the same limit.
int32_t NewTokensOf(const RunConfig& config, const RolloutModel& model,
                    const std::vector<Query>& queries) {
  const int32_t asked = config.sampling.max_new_tokens;
  ProblemSetOptions all = config.problems.options;
  if (all.shard.empty()) return FitNewTokens(queries, asked, model.max_positions());
  all.shard.clear();
  return FitNewTokens(MakeQueries(LoadProblems(config.problems.file, all), model), asked,
                      model.max_positions());
}

// A `device` that is not empty takes the place of the setting.
Prepared Prepare(const RunConfig& config, const std::string& device, const Progress& progress) {
  SearchOptions options = SearchOptionsOf(config);
  auto [problems, oracle] = LoadJudgedProblems(config.problems);
  ModelSettings settings = config.model;
  if (!device.empty()) settings.device = device;
  RolloutModel model(settings, config.served, config.sampling, progress);
  options.stop = MakeStopRule(model.tokenizer(), config.sampling.stop);
  auto queries = MakeQueries(problems, model);
  options.max_new_tokens = NewTokensOf(config, model, queries);
  spdlog::debug("search: {} problems of {}, oracle {}, strategy {}, up to {} new tokens",
                queries.size(), config.problems.file.string(), config.problems.oracle,
                config.strategy, options.max_new_tokens);
  pts::RequireJudgeThreads(options.judge_threads);  // beside the threads that the engine has now
  return {std::move(model), std::move(oracle), std::move(queries), options};
}

// Returns what a run of `config` begins with.
RunStart StartOf(const RunConfig& config, const RolloutModel& model, const std::string& launch) {
  RunStart start = {"", {}, InputFilesOf(config), launch};
  if (model.served() != nullptr)
    start.served = *model.served();
  else
    start.weights_sha256 = ModelFingerprint(config.model);
  return start;
}

// Puts what servers said into the settings, so that the run goes on with the same model.
void FillServed(const RolloutModel& model, RunConfig& config) {
  if (model.served() == nullptr) return;
  config.served.model = model.served()->model;
  config.served.server = model.served()->server;
}

// Throws Error if the servers are not those with which the run began.
void RequireServed(const RolloutModel& model, const RunStart& began, const fs::path& run) {
  if (model.served() == nullptr) return;
  const ServedFacts &now = *model.served(), &then = began.served;
  if (now.logprobs != then.logprobs)
    Fail(
        "{}: the servers return other log-probabilities than when the run began; start them as "
        "before, or start a new run",
        run.string());
  if (now.version != then.version)
    spdlog::warn("{}: began with {} {}, which is {} now", run.string(), then.server, then.version,
                 now.version);
}

// Calls `write`, which changes the run folder. Adds to the text of an Error how to go on.
template <typename Write>
void WriteInto(const fs::path& run, const data::RunLock& lock, Write&& write) {
  try {
    lock.Check();
    write();
  } catch (const Error& error) {
    Fail("{}; once this is put right, pivotal search --resume {} goes on from what is stored",
         error.what(), run.string());
  }
}

// Calls `search`. Adds to the text of an Error about an oracle that fails too often how to go on.
template <typename Search>
auto Judged(const fs::path& run, Search&& search) {
  try {
    return search();
  } catch (const pts::TooManyFailures& error) {
    Fail(
        "{}; put the oracle right (or raise --max-oracle-failures), then pivotal search "
        "--resume {} goes on and asks it again where it has failed",
        error.what(), run.string());
  }
}

std::vector<std::string> IdsOf(const std::vector<Query>& queries) {
  std::vector<std::string> ids;
  for (const Query& query : queries) ids.push_back(query.id);
  return ids;
}

// Throws Error if the run holds fewer than `want` finished problems.
void RequireStored(const data::TraceStore& store, int64_t want, const fs::path& run) {
  if (const auto stored = std::ssize(store.FinishedIds()); stored < want)
    Fail("{}: holds {} of {} finished problems: files in it were removed", run.string(), stored,
         want);
}

int64_t TokensOf(const QueryTrace& query) {
  int64_t tokens = 0;
  for (const RolloutTrace& rollout : query.rollouts) tokens += std::ssize(rollout.tokens);
  return tokens;
}

// Returns what the run holds of that which `options` limit; nothing if they limit nothing.
RunSoFar SoFar(const fs::path& run, const SearchOptions& options) {
  RunSoFar before;
  if (options.budget_tokens == 0 && options.pairs == 0) return before;
  for (const QueryTrace& query : data::TraceStore(run).ReadAll()) {
    before.tokens += TokensOf(query);
    before.pairs += pts::PairsIn(query);
  }
  return before;
}

// Tells those who watch the run how large it is and where it ends.
void TellSize(int64_t problems, const SearchOptions& options, const RunSoFar& before,
              Progress& progress) {
  const std::array numbers = {
      ProgressNumber{"problems", static_cast<double>(problems)},
      ProgressNumber{"budget_tokens", static_cast<double>(options.budget_tokens)},
      ProgressNumber{"budget_seconds", options.budget_seconds},
      ProgressNumber{"pairs_wanted", static_cast<double>(options.pairs)},
      ProgressNumber{"tokens_before", static_cast<double>(before.tokens)},
  };
  progress.Tell("", numbers);
}

SearchResult SearchInto(const RunConfig& config, const Prepared& prepared, const fs::path& run,
                        const data::RunLock& lock, Progress& shown) {
  data::RemoveStatus(run);  // of processes that were killed
  data::RecordedProgress progress(shown, run, "run.toml");
  data::TraceStore store(run);
  const auto finished = store.JudgedIds();  // problems with failed verdicts are searched again
  std::vector<Query> queries;
  std::copy_if(prepared.queries.begin(), prepared.queries.end(), std::back_inserter(queries),
               [&](const Query& query) { return !finished.contains(query.id); });
  Policy& policy = prepared.model.policy();
  SearchResult result;
  result.resumed = static_cast<int64_t>(finished.size());
  const RunSoFar before = SoFar(run, prepared.options);
  TellSize(std::ssize(prepared.queries), prepared.options, before, progress);
  result.summary = Judged(run, [&] {
    return Search(
        queries, policy,
        MakeJudge(prepared.model.tokenizer(), *prepared.oracle, config.sampling.stop),
        prepared.options,
        [&](std::vector<QueryTrace> group) { WriteInto(run, lock, [&] { store.Append(group); }); },
        progress, before);
  });
  WriteInto(run, lock, [&] {
    store.Consolidate(IdsOf(prepared.queries));
    data::RemoveAll(run / kWorkFolder);  // of processes that shared the run and are dead
    RequireStored(store, result.resumed + result.summary.queries, run);
  });
  result.counters = policy.counters();
  return result;
}

// Shows the progress of all processes: the problems that were finished when this process last took
// some, plus its own since then.
class TeamProgress : public Progress {
 public:
  TeamProgress(Progress& shown, int64_t total) : shown_(shown) {
    shown_.Begin("search", total, "problems");
  }
  void Begin(std::string_view, int64_t, std::string_view, int64_t) override {}
  void Update(int64_t done, std::string_view detail) override {
    shown_.Update(finished + done, detail);
  }
  // Adds up what the calls of Search() tell; what is about the group in hand stays as it is.
  void Tell(std::string_view part, std::span<const ProgressNumber> numbers) override {
    std::vector<ProgressNumber> sums(numbers.begin(), numbers.end());
    for (ProgressNumber& number : sums) {
      if (number.name.starts_with("group_")) continue;
      const std::string name(number.name);
      call_[name] = number.value;
      number.value += earlier_[name];
    }
    shown_.Tell(part, sums);
  }
  // Call it after each call of Search().
  void EndCall() {
    for (const auto& [name, value] : call_) earlier_[name] += value;
    call_.clear();
  }
  bool StopRequested() const override { return shown_.StopRequested(); }
  void Close() { shown_.End(); }

  int64_t finished = 0;

 private:
  Progress& shown_;
  std::unordered_map<std::string, double> call_, earlier_;  // numbers of this call and of others
};

// Searches problems until this process and the others have done all. The last one joins the shards.
// `again` also searches the problems anew that are stored with failed verdicts.
SearchResult ShareInto(const RunConfig& config, const Prepared& prepared, const fs::path& run,
                       const data::RunLock& lock, Progress& console, bool again, int64_t rank) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kPoll = std::chrono::milliseconds(300);  // while other processes hold all problems
  // An idle process waits this long, then repeats problems of other processes, which may hang. It
  // grows to twice the time of this process's slowest group. Repetition is safe: equal searches
  // find equal things, and each problem is stored once.
  Clock::duration patience = std::chrono::seconds(30);
  const SearchOptions& limits = prepared.options;
  if (limits.budget_tokens > 0 || limits.budget_seconds > 0 || limits.pairs > 0)
    Fail(
        "a shared run has no budget and no number of pairs: leave it out, or search each --shard "
        "of the problems with a limit of its own");
  const auto start = Clock::now();
  const auto& queries = prepared.queries;
  data::RecordedProgress progress(console, run, "run.toml", rank);
  TellSize(std::ssize(queries), limits, {}, progress);
  SearchResult result;
  // Read once the queue is locked, so that nobody stores problems afterwards that it then misses.
  std::optional<std::unordered_set<std::string>> stored;
  const auto is_stored = [&](int64_t i) {
    if (!stored) {
      const data::TraceStore before(run);
      stored = again ? before.JudgedIds() : before.FinishedIds();
    }
    return stored->contains(queries[static_cast<std::size_t>(i)].id);
  };
  data::WorkQueue share(run / kWorkFolder, std::ssize(queries), is_stored,
                        [&](int64_t i) { return again && !is_stored(i); });
  for (int64_t i = 0; i < std::ssize(queries); ++i) result.resumed += is_stored(i);
  data::TraceStore store(run, share.worker());
  Policy& policy = prepared.model.policy();
  // Verdicts are counted over all calls of Search(), which are short.
  pts::VerdictTally tally(prepared.options.max_oracle_failures);
  SearchOptions options = prepared.options;
  options.max_oracle_failures = 1;
  const Judge judge =
      [&, ask = MakeJudge(prepared.model.tokenizer(), *prepared.oracle, config.sampling.stop)](
          const Query& query, std::span<const TokenId> response) {
        return tally.Count([&] { return ask(query, response); });
      };
  TeamProgress shown(progress, share.items());
  Clock::time_point idle_since = Clock::now();
  while (share.finished() < share.items()) {
    const bool late = Clock::now() - idle_since > patience;
    const auto items = share.Take(prepared.options.group, late);
    shown.finished = share.finished();
    const auto began = Clock::now();
    if (items.empty()) {
      if (progress.StopRequested())
        throw Interrupted("search stopped while other processes searched the last problems");
      shown.Update(0, "other processes search the last ones");
      shown.Tell("waits for other processes, which search the last problems", {});
      std::this_thread::sleep_for(kPoll);
      continue;
    }
    std::vector<Query> own;
    for (const int64_t i : items) own.push_back(queries[static_cast<std::size_t>(i)]);
    std::vector<QueryTrace> traces;
    const auto collect = [&](std::vector<QueryTrace> group) {
      std::move(group.begin(), group.end(), std::back_inserter(traces));
    };
    result.summary.verdict_seconds += Judged(run, [&] {
                                        return Search(own, policy, judge, options, collect, shown);
                                      }).verdict_seconds;
    shown.EndCall();
    share.Finish(items, [&] { WriteInto(run, lock, [&] { store.Append(traces); }); });
    if (late) continue;  // other processes still hang
    idle_since = Clock::now();
    patience = std::max(patience, 2 * (idle_since - began));
  }
  const bool last = share.Leave([&] {
    WriteInto(run, lock, [&] { store.Consolidate(IdsOf(queries)); });
    data::RemoveStatus(run);  // also of processes that were killed
  });
  progress.Close();
  result.left_to_others = !last && data::Exists(run / kWorkFolder);
  WriteInto(run, lock, [&] { RequireStored(store, std::ssize(queries), run); });
  shown.Close();
  pts::AddCounts(store.ReadAll(), result.summary);
  result.summary.verdicts = tally.counts();
  result.summary.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  result.lost_workers = share.lost_workers();
  result.counters = policy.counters();
  return result;
}

// Throws Error if the processes of another launch have made the run: those of this one would mix
// with it, although their first process refuses the folder.
void RequireOwn(const fs::path& run, const SearchTeam& team) {
  if (team.launch.empty()) return;
  RunStart found;
  LoadRunConfig(run, found);
  if (found.launch != team.launch)
    Fail(
        "{}: exists and is not empty; choose another --output, or go on with it by pivotal search "
        "--resume {}",
        run.string(), run.string());
}

// Waits for the run that the first process of the team makes, and returns a lock on it.
std::unique_ptr<data::RunLock> AwaitRun(const fs::path& run, const SearchTeam& team,
                                        const Progress& progress) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(team.wait);
  for (;;) {
    const bool late = std::chrono::steady_clock::now() >= end;
    if (progress.StopRequested())
      throw Interrupted("search stopped before the first process had made the run");
    if (data::Exists(run / "run.toml")) {
      RequireOwn(run, team);
      try {
        return std::make_unique<data::RunLock>(run, data::RunLock::Kind::kShared);
      } catch (const Error&) {
        if (late) throw;  // the process that makes the run briefly holds it alone
      }
    } else if (late) {
      Fail("{}: the first process did not make the run within {} seconds; was it started?",
           run.string(), team.wait);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

// Returns the settings by "section.key" that merged runs must share: all but the shard, paths, the
// device and settings of speed.
std::unordered_map<std::string, std::string> CommonSettings(const fs::path& run) {
  static const std::set<std::string> kMayDiffer = {
      "problems.shard",       "problems.file",         "model.folder",
      "model.device",         "sampling.batch",        "sampling.kv_memory",
      "search.group",         "search.judge_threads",  "problems.max_oracle_failures",
      "search.budget_tokens", "search.budget_seconds", "search.pairs",
      "served.policy",        "served.concurrency",    "served.timeout",
      "served.give_up",       "served.version",        "launch.id"};
  std::unordered_map<std::string, std::string> settings;
  for (const auto& [section, key, value] : SettingsFile(run / "run.toml", "pivotal search").All()) {
    const std::string name = section.empty() ? key : section + "." + key;
    if (!kMayDiffer.contains(name)) settings[name] = value;
  }
  return settings;
}

void CheckSame(const fs::path& first, const fs::path& other) {
  const auto a = CommonSettings(first), b = CommonSettings(other);
  for (const auto& [name, value] : a) {
    const auto found = b.find(name);
    // Runs of older versions have no fingerprints of files.
    if (found == b.end() && name.starts_with("files.")) continue;
    const std::string other_value = found == b.end() ? "nothing" : found->second;
    if (other_value != value)
      Fail("{}: {} is {}, but {} in {}: only runs with the same model and settings can be merged",
           other.string(), name, other_value, value, first.string());
  }
}

}  // namespace

SearchResult RunSearch(const RunConfig& asked, const fs::path& run, Progress& progress,
                       const SearchTeam& team) {
  const Prepared prepared = Prepare(asked, team.device, progress);
  RunConfig config = asked;
  if (prepared.model.batch() != 0) config.sampling.batch = prepared.model.batch();
  config.sampling.max_new_tokens = prepared.options.max_new_tokens;
  FillServed(prepared.model, config);
  const RunStart start = StartOf(config, prepared.model, team.launch);
  if (team.shared && !team.first) {
    const auto lock = AwaitRun(run, team, progress);
    RunStart found;
    const RunConfig other = LoadRunConfig(run, found);
    start.files.RequireUnchanged(found.files, run);
    RequireServed(prepared.model, found, run);
    // Each process has chosen for its own device; the folder keeps the first one's choice.
    if (asked.sampling.batch == 0) config.sampling.batch = other.sampling.batch;
    if (found.weights_sha256 != start.weights_sha256 || SettingsText(other) != SettingsText(config))
      Fail("{}: this run has another model or other settings", run.string());
    return ShareInto(config, prepared, run, *lock, progress, /*again=*/false, team.rank);
  }
  data::CreateOutputFolder(run);
  {
    const data::RunLock lock(run);
    data::RequireAbsent(run / "run.toml");  // another process may have been quicker
    if (config.keep_problems) {
      const fs::path kept = KeptProblems(run);
      data::CopyFile(config.problems.file, kept);
      config.problems.file = kept;
    }
    SaveRunConfig(config, start, run);
    if (!team.shared) return SearchInto(config, prepared, run, lock, progress);
  }
  const data::RunLock lock(run, data::RunLock::Kind::kShared);
  return ShareInto(config, prepared, run, lock, progress, /*again=*/false, team.rank);
}

SearchResult ResumeSearch(const fs::path& run, const ResumeOptions& options, Progress& progress,
                          const SearchTeam& team) {
  RunStart start;
  RunConfig config = LoadRunConfig(run, start);
  const data::RunLock lock(
      run, team.shared ? data::RunLock::Kind::kShared : data::RunLock::Kind::kAlone);
  config.search.budget_tokens = options.budget_tokens.value_or(config.search.budget_tokens);
  config.search.pairs = options.pairs.value_or(config.search.pairs);
  config.search.budget_seconds = options.budget_seconds.value_or(config.search.budget_seconds);
  double& failures = config.problems.oracle_options.max_failures;
  failures = options.max_oracle_failures.value_or(failures);
  if (!options.served_urls.empty()) {
    if (config.served.urls.empty())
      Fail("{}: this run has weights of its own, no servers", run.string());
    config.served.urls = options.served_urls;
  }
  config.served.concurrency = options.concurrency.value_or(config.served.concurrency);
  InputFilesOf(config).RequireUnchanged(start.files, run);
  if (config.served.urls.empty() && ModelFingerprint(config.model) != start.weights_sha256)
    Fail(
        "{}: the weights have changed since the run {} began; put the former ones back, or start "
        "a new run",
        config.model.folder.string(), run.string());
  const Prepared prepared = Prepare(config, team.device, progress);
  RequireServed(prepared.model, start, run);
  return team.shared ? ShareInto(config, prepared, run, lock, progress, /*again=*/true, team.rank)
                     : SearchInto(config, prepared, run, lock, progress);
}

int64_t GeneratedTokens(const fs::path& run) {
  int64_t tokens = 0;
  for (const QueryTrace& query : data::TraceStore(run).ReadAll()) tokens += TokensOf(query);
  return tokens;
}

MergedRuns MergeRuns(const std::vector<fs::path>& runs, const fs::path& output) {
  if (runs.size() < 2) Fail("merge: name two runs or more");
  for (const fs::path& run : runs) CheckSame(runs.front(), run);
  RunStart start;
  RunConfig config = LoadRunConfig(runs.front(), start);
  config.problems.options.shard.clear();
  config.search.budget_tokens = 0;
  config.search.pairs = 0;
  config.search.budget_seconds = 0;
  std::vector<std::string> ids;
  std::unordered_map<std::string, fs::path> run_of;  // by id; empty: in no run so far
  for (const Problem& problem : LoadProblems(config.problems.file, config.problems.options)) {
    ids.push_back(problem.id);
    run_of[problem.id];
  }
  std::vector<QueryTrace> all;
  for (const fs::path& run : runs) {
    const data::RunLock lock(run);  // keeps other processes from writing
    for (QueryTrace& query : data::LoadRun(run)) {
      const auto known = run_of.find(query.id);
      if (known == run_of.end())
        Fail("{}: problem {} is not in {}", run.string(), query.id, config.problems.file.string());
      if (!known->second.empty())
        Fail("{}: problem {} is in {} too; shards of one file have no problem in common",
             run.string(), query.id, known->second.string());
      known->second = run;
      all.push_back(std::move(query));
    }
  }
  data::OutputFolder folder(output);
  const data::RunLock lock(output);
  start.launch.clear();
  SaveRunConfig(config, start, output);
  data::TraceStore store(output);
  store.Append(all);
  store.Consolidate(ids);
  folder.Keep();
  return {std::ssize(all), std::ssize(ids) - std::ssize(all)};
}

}  // namespace pivotal::experiments
