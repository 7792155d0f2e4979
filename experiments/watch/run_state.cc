// Apache-2.0.
#include "experiments/watch/run_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.h"
#include "data/base/folders.h"
#include "data/base/names.h"
#include "experiments/search/run_config.h"
#include "experiments/settings/settings_file.h"
#include "experiments/train/train_run.h"
#include "pivotal/problem.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::size_t kCurvePoints = 400;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

constexpr auto kConditionNames =
    data::MakeNameTable<RunCondition>("condition", {{RunCondition::kEmpty, "empty"},
                                                    {RunCondition::kWorking, "working"},
                                                    {RunCondition::kSilent, "silent"},
                                                    {RunCondition::kStopped, "stopped"},
                                                    {RunCondition::kFinished, "finished"}});
constexpr auto kLifeNames =
    data::MakeNameTable<data::WorkerLife>("worker", {{data::WorkerLife::kWorks, "works"},
                                                     {data::WorkerLife::kSilent, "silent"},
                                                     {data::WorkerLife::kGone, "gone"}});

// Returns the sum or the largest of a number of the workers that are not gone.
double Sum(const std::vector<WorkerState>& workers, const std::string& name) {
  double sum = 0;
  for (const WorkerState& worker : workers)
    if (worker.life != data::WorkerLife::kGone) sum += worker.Number(name);
  return sum;
}
double Most(const std::vector<WorkerState>& workers, const std::string& name) {
  double most = 0;
  for (const WorkerState& worker : workers)
    if (worker.life != data::WorkerLife::kGone) most = std::max(most, worker.Number(name));
  return most;
}
int64_t Whole(double value) { return std::isfinite(value) ? std::llround(value) : 0; }

bool Any(const std::vector<WorkerState>& workers, data::WorkerLife life) {
  return std::ranges::find(workers, life, &WorkerState::life) != workers.end();
}

void FindWorkers(RunState& state) {
  auto found = data::ReadWorkers(state.run);
  state.faults = std::move(found.faults);
  state.workers.clear();
  for (data::WorkerStatus& status : found.workers) {
    const double age = std::max(0.0, state.time - status.written);
    const auto life = data::LifeOf(status, state.time);
    state.workers.push_back({std::move(status), life, age});
  }
}

// Sets the condition by what is known of the workers and whether the run has come to its end.
void Judge(RunState& state, bool ended, const std::string& resume, const std::string& finished) {
  const std::string go_on = fmt::format("{} {} goes on", resume, state.run.string());
  if (Any(state.workers, data::WorkerLife::kWorks)) {
    state.condition = RunCondition::kWorking;
    const auto gone =
        std::ranges::count(state.workers, data::WorkerLife::kGone, &WorkerState::life);
    if (gone > 0)
      state.message =
          fmt::format("{}; the others go on",
                      gone == 1 ? "1 worker is gone" : fmt::format("{} workers are gone", gone));
  } else if (ended) {
    state.condition = RunCondition::kFinished;
    state.message = finished;
  } else if (Any(state.workers, data::WorkerLife::kSilent)) {
    state.condition = RunCondition::kSilent;
    double age = std::numeric_limits<double>::infinity();
    for (const WorkerState& worker : state.workers) age = std::min(age, worker.age);
    state.message = fmt::format("no sign of life for {:.0f} minutes; if the processes are gone, {}",
                                age / 60, go_on);
  } else {
    state.condition = RunCondition::kStopped;
    state.message = "stopped; " + go_on;
  }
}

// Replaces the time that is left, and what ends it, if this end comes sooner.
void MayEnd(double left, double rate, const char* by, SearchState& search) {
  if (!(rate > 0)) return;
  const double seconds = std::max(0.0, left / rate);
  if (search.seconds_left && *search.seconds_left <= seconds) return;
  search.seconds_left = seconds;
  search.ends_by = by;
}

template <typename T>
T SettingOf(const SettingsFile& file, const char* section, const char* key, T otherwise) {
  if (file.Contains(section, key)) file.Get(section, key, otherwise);
  return otherwise;
}

// A number that JSON can hold: null for one that is not finite.
ordered_json Json(double value) { return std::isfinite(value) ? ordered_json(value) : nullptr; }
template <typename T>
ordered_json Json(const std::optional<T>& value) {
  return value ? ordered_json(*value) : nullptr;
}

ordered_json JsonOf(const SearchState& s) {
  auto curve = ordered_json::array();
  for (const PairPoint& point : s.curve)
    curve.push_back(
        {point.tokens, point.pairs, point.cost > 0 ? ordered_json(point.cost) : nullptr});
  const auto cost = [](double value) { return value > 0 ? ordered_json(value) : nullptr; };
  return {{"model", s.model},
          {"strategy", s.strategy},
          {"min_success", s.min_success},
          {"max_success", s.max_success},
          {"problems", Json(s.problems)},
          {"stored", s.stored},
          {"searched", s.searched},
          {"skipped", s.skipped},
          {"cut_short", s.cut_short},
          {"failed_verdicts", s.failed_verdicts},
          {"responses", s.responses},
          {"pivotal", s.pivotal},
          {"pairs", s.pairs},
          {"rollouts", s.rollouts},
          {"tokens", s.tokens},
          {"pair_cost", cost(s.pair_cost)},
          {"next_pair_cost", cost(s.next_pair_cost)},
          {"in_hand",
           {{"problems", s.group_problems},
            {"done", s.group_done},
            {"pivotal", s.group_pivotal},
            {"pairs", s.group_pairs},
            {"tokens", s.group_tokens}}},
          {"budget_tokens", s.budget_tokens},
          {"budget_seconds", s.budget_seconds},
          {"pairs_wanted", s.pairs_wanted},
          {"problems_per_second", s.problems_per_second},
          {"tokens_per_second", s.tokens_per_second},
          {"seconds_left", Json(s.seconds_left)},
          {"ends_by", s.ends_by},
          {"curve", std::move(curve)}};
}

ordered_json JsonOf(const TrainingState& t) {
  auto series = ordered_json::array();
  for (const auto& [name, points] : t.series)
    series.push_back({{"name", name}, {"points", points}});
  return {{"objective", t.objective},
          {"metric", t.metric},
          {"step", t.step},
          {"steps", t.steps > 0 ? ordered_json(t.steps) : nullptr},
          {"loss", Json(t.loss)},
          {"margin", Json(t.margin)},
          {"accuracy", Json(t.accuracy)},
          {"grad_norm", Json(t.grad_norm)},
          {"learning_rate", Json(t.learning_rate)},
          {"steps_per_second", t.steps_per_second},
          {"examples_per_second", t.examples_per_second},
          {"tokens_per_second", t.tokens_per_second},
          {"held_out", Json(t.held_out)},
          {"best", Json(t.best)},
          {"best_step", t.best_step},
          {"memory", t.memory},
          {"planned_memory", t.planned_memory},
          {"seconds_left", Json(t.seconds_left)},
          {"series", std::move(series)}};
}

ordered_json JsonOf(const WorkerState& worker) {
  const data::WorkerStatus& status = worker.status;
  auto numbers = ordered_json::object();
  for (const auto& [name, value] : status.numbers) numbers[name] = Json(value);
  return {{"host", status.process.host},
          {"pid", status.process.pid},
          {"rank", status.rank},
          {"life", kLifeNames.Name(worker.life)},
          {"age", worker.age},
          {"began", status.began},
          {"phase", status.phase},
          {"part", status.part},
          {"done", status.done},
          {"total", status.total},
          {"unit", status.unit},
          {"detail", status.detail},
          {"numbers", std::move(numbers)}};
}

}  // namespace

RunFollower::RunFollower(fs::path run)
    : run_(std::move(run)), stored_(run_), log_(run_ / "log.jsonl") {
  if (!data::Exists(run_))
    Fail(
        "{}: there is no such folder; a search makes its --output once model and problems are "
        "loaded, a training once the reference is scored",
        run_.string());
  if (!data::IsFolder(run_))
    Fail("{}: this is a file; name the folder of a search or a training", run_.string());
  // What is there before run.toml and train.toml.
  const std::set<std::string> early = {"lock", "run.toml.tmp", "train.toml.tmp",
                                       data::kStatusFolder};
  if (data::Exists(run_ / "run.toml") || data::Exists(run_ / "train.toml")) return;
  for (const fs::path& path : data::PathsIn(run_))
    if (!early.contains(path.filename().string()) && !data::Exists(run_ / "run.toml") &&
        !data::Exists(run_ / "train.toml"))
      Fail(
          "{}: neither run.toml nor train.toml is there, so it is not the folder of a search or a "
          "training; name one (of a demo: its folder run or model)",
          run_.string());
}

RunState RunFollower::Look() {
  RunState state;
  state.run = run_;
  state.time = data::UnixTime();
  if (!data::Exists(run_)) Fail("{}: the folder has been removed", run_.string());
  FindWorkers(state);
  // A process that ends well removes its file before it is gone.
  if (Any(state.workers, data::WorkerLife::kGone)) FindWorkers(state);
  if (data::Exists(run_ / "run.toml")) {
    LookAtSearch(state);
  } else if (data::Exists(run_ / "train.toml")) {
    LookAtTraining(state);
  } else {
    state.message = "nothing here yet: waits for a search or a training to begin in this folder";
  }
  return state;
}

std::optional<int64_t> RunFollower::CountProblems() {
  if (!counted_) {
    counted_.emplace();
    try {
      const RunConfig config = LoadRunConfig(run_);
      *counted_ = std::ssize(LoadProblems(config.problems.file, config.problems.options));
    } catch (const Error&) {  // moved, or changed since: the workers may still know
    }
  }
  return *counted_;
}

void RunFollower::LookAtSearch(RunState& state) {
  const RunConfig config = LoadRunConfig(run_);
  stored_.Update();
  SearchState& s = state.search.emplace();
  state.faults.insert(state.faults.end(), stored_.faults().begin(), stored_.faults().end());
  s.model = config.ModelName();
  s.strategy = config.strategy;
  s.min_success = config.search.min_success;
  s.max_success = config.search.max_success;
  for (const StoredProblem& problem : stored_.problems()) {
    ++s.stored;
    ++(problem.searched ? s.searched : s.skipped);
    s.cut_short += !problem.complete;
    s.failed_verdicts += problem.failed_verdicts;
    s.responses += problem.responses;
    s.pivotal += problem.pivotal;
    s.pairs += problem.pairs;
    s.rollouts += problem.rollouts;
    s.tokens += problem.tokens;
  }
  s.pair_cost = PairCost(stored_.problems());
  s.next_pair_cost = NextPairCost(stored_.problems());
  s.curve = PairCurve(stored_.problems(), kCurvePoints);
  const auto& workers = state.workers;
  const auto sum = [&](const char* name) { return Whole(Sum(workers, name)); };
  s.group_problems = sum("group_problems");
  s.group_done = sum("group_done");
  s.group_pivotal = sum("group_pivotal");
  s.group_pairs = sum("group_pairs");
  s.group_tokens = sum("group_tokens");
  const bool working = Any(workers, data::WorkerLife::kWorks);
  const auto limit = [&](const char* name, auto setting) {
    using T = decltype(setting);
    return working ? static_cast<T>(Most(workers, name)) : setting;  // --resume may change it
  };
  s.budget_tokens = limit("budget_tokens", config.search.budget_tokens);
  s.budget_seconds = limit("budget_seconds", config.search.budget_seconds);
  s.pairs_wanted = limit("pairs_wanted", config.search.pairs);
  if (const double told = Most(workers, "problems"); told > 0)
    s.problems = Whole(told);
  else
    s.problems = CountProblems();
  // Rates since each worker began. A group is stored as a whole, so its part counts too.
  double pairs_per_second = 0, elapsed = 0;
  for (const WorkerState& worker : workers) {
    const double seconds = worker.status.written - worker.status.began;
    if (worker.life == data::WorkerLife::kGone || !(seconds > 0)) continue;
    elapsed = std::max(elapsed, seconds);
    s.problems_per_second += (worker.Number("stored") + worker.Number("group_done")) / seconds;
    if (const double searching = worker.Number("seconds"); searching > 0)
      s.tokens_per_second += worker.Number("tokens") / searching;
    pairs_per_second += (worker.Number("pairs") + worker.Number("group_pairs")) / seconds;
  }
  if (working) {
    const auto left = [](int64_t all, int64_t some) { return static_cast<double>(all - some); };
    if (s.problems)
      MayEnd(left(*s.problems, s.stored + s.group_done), s.problems_per_second, "problems", s);
    if (s.budget_tokens > 0)
      MayEnd(left(s.budget_tokens, s.tokens + s.group_tokens), s.tokens_per_second, "tokens", s);
    if (s.pairs_wanted > 0)
      MayEnd(left(s.pairs_wanted, s.pairs + s.group_pairs), pairs_per_second, "pairs", s);
    if (s.budget_seconds > 0) MayEnd(s.budget_seconds - elapsed, 1, "time", s);
  }
  // A process that was killed leaves its status behind: what it did there is not finished.
  const bool ended = stored_.joined() && workers.empty();
  std::string finished = "finished";
  if (s.problems && *s.problems > s.stored)
    finished = fmt::format(
        "finished; {} problems are left undone: pivotal search --resume {} with a larger budget or "
        "number of pairs goes on with them",
        *s.problems - s.stored, run_.string());
  Judge(state, ended, "pivotal search --resume", finished);
}

void RunFollower::LookAtTraining(RunState& state) {
  const SettingsFile settings(run_ / "train.toml", "pivotal train");
  log_.Update();
  TrainingState& t = state.training.emplace();
  if (log_.bad_lines() > 0)
    state.faults.push_back(fmt::format("{}: {} lines cannot be read", (run_ / "log.jsonl").string(),
                                       log_.bad_lines()));
  t.objective = SettingOf(settings, "loss", "sft", false)
                    ? "sft"
                    : SettingOf<std::string>(settings, "loss", "method", "");
  t.metric = SettingOf<std::string>(settings, "held_out", "metric", "");
  if (t.metric.empty())
    t.metric = log_.series().contains("eval_accuracy") ? "eval_accuracy" : "eval_loss";
  t.step = log_.last_step();
  t.loss = log_.Last("loss", kNone);
  t.margin = log_.Last("rewards/margins", kNone);
  t.accuracy = log_.Last("rewards/accuracies", kNone);
  t.grad_norm = log_.Last("grad_norm", kNone);
  t.learning_rate = log_.Last("learning_rate", kNone);
  t.held_out = log_.Last(t.metric, kNone);
  t.best = kNone;
  if (const auto found = log_.series().find(t.metric); found != log_.series().end()) {
    const bool low = t.metric.find("loss") != std::string::npos;
    for (const auto& [step, value] : found->second) {
      if (!std::isnan(t.best) && !(low ? value < t.best : value > t.best)) continue;
      t.best = value;
      t.best_step = step;
    }
  }
  for (const auto& [name, points] : log_.series())
    t.series.emplace_back(name, Thinned(points, kCurvePoints));
  // Without a worker the number of steps follows from the part of the data that is done.
  for (const WorkerState& worker : state.workers)
    if (worker.status.phase == "train") t.steps = std::max(t.steps, worker.status.total);
  const double epoch = log_.Last("epoch", 0);
  if (t.steps == 0 && epoch > 0) {
    const auto epochs = SettingOf<int64_t>(settings, "steps", "epochs", 1);
    t.steps = Whole(static_cast<double>(t.step) / epoch) * epochs;
    const auto most = SettingOf<int64_t>(settings, "steps", "max_steps", 0);
    if (most > 0) t.steps = std::min(t.steps, most);
  }
  const double seconds = log_.Last("seconds", 0);
  if (seconds > 0) {
    t.steps_per_second = static_cast<double>(t.step) / seconds;
    t.tokens_per_second = log_.Last("tokens", 0) / seconds;
  }
  for (const WorkerState& worker : state.workers)
    if (const double time = worker.Number("seconds"); time > 0)
      t.examples_per_second = std::max(t.examples_per_second, worker.Number("examples") / time);
  t.memory = Whole(Most(state.workers, "memory"));
  t.planned_memory = Whole(Most(state.workers, "planned_memory"));
  if (Any(state.workers, data::WorkerLife::kWorks) && t.steps > 0 && t.steps_per_second > 0)
    t.seconds_left = static_cast<double>(t.steps - t.step) / t.steps_per_second;
  Judge(state, HoldsResult(run_) && state.workers.empty(), "pivotal train --resume", "finished");
}

ordered_json StateJson(const RunState& state) {
  ordered_json json = {{"run", data::Absolute(state.run).string()},
                       {"kind", state.search     ? ordered_json("search")
                                : state.training ? ordered_json("training")
                                                 : nullptr},
                       {"time", state.time},
                       {"condition", kConditionNames.Name(state.condition)},
                       {"message", state.message},
                       {"faults", state.faults}};
  if (state.search) json["search"] = JsonOf(*state.search);
  if (state.training) json["training"] = JsonOf(*state.training);
  auto workers = ordered_json::array();
  for (const WorkerState& worker : state.workers) workers.push_back(JsonOf(worker));
  json["workers"] = std::move(workers);
  return json;
}

}  // namespace pivotal::experiments
