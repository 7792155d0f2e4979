// Apache-2.0.
#include "experiments/search/run_config.h"

#include <set>
#include <utility>

#include "data/base/error.h"
#include "data/base/folders.h"
#include "data/base/hub_cache.h"
#include "data/base/names.h"
#include "data/tokenizer/response_text.h"
#include "experiments/settings/dataset_settings.h"
#include "experiments/settings/loading.h"
#include "pts/strategy.h"

namespace pivotal::experiments {
namespace {

// Visits every setting once: f(section, key, value). Those of servers are there if `config` has
// addresses.
template <typename Config, typename F>
void ForEachSetting(Config& config, F&& f) {
  ForEachModelSetting(config.model, f);
  if (!config.served.urls.empty()) {
    f("served", "model", config.served.model);
    f("served", "server", config.served.server);
    f("served", "concurrency", config.served.concurrency);
    f("served", "timeout", config.served.timeout);
    f("served", "give_up", config.served.give_up);
  }
  f("problems", "dataset", config.problems.options.dataset);
  f("problems", "id_key", config.problems.options.id_key);
  f("problems", "question_key", config.problems.options.question_key);
  f("problems", "answer_key", config.problems.options.answer_key);
  f("problems", "limit", config.problems.options.limit);
  f("problems", "shard", config.problems.options.shard);
  ForEachOracleSetting("problems", config.problems, f);
  f("sampling", "temperature", config.sampling.params.temperature);
  f("sampling", "top_k", config.sampling.params.top_k);
  f("sampling", "top_p", config.sampling.params.top_p);
  f("sampling", "min_p", config.sampling.params.min_p);
  f("sampling", "max_new_tokens", config.sampling.max_new_tokens);
  f("sampling", "batch", config.sampling.batch);
  f("sampling", "kv_memory", config.sampling.kv_memory);
  f("sampling", "stop", config.sampling.stop);
  f("sampling", "weights", config.sampling.weights);
  f("sampling", "seed", config.sampling.seed);
  f("search", "strategy", config.strategy);
  f("search", "gap", config.search.gap);
  f("search", "samples", config.search.samples);
  f("search", "tolerance", config.search.tolerance);
  f("search", "confidence", config.search.confidence);
  f("search", "min_yield", config.search.min_yield);
  f("search", "max_rollouts", config.search.max_rollouts);
  f("search", "confirm", config.search.confirm);
  f("search", "min_success", config.search.min_success);
  f("search", "max_success", config.search.max_success);
  f("search", "responses", config.search.responses);
  f("search", "group", config.search.group);
  f("search", "judge_threads", config.search.judge_threads);
  f("search", "budget_tokens", config.search.budget_tokens);
  f("search", "budget_seconds", config.search.budget_seconds);
  f("search", "pairs", config.search.pairs);
}

constexpr const char* kWriter = "pivotal search";
constexpr const char* kKeptProblems = "problems";  // in the run folder; see keep_problems
constexpr const char* kGoal = "for";  // key of recipes; run.toml has what it stands for

using SettingNames = std::set<std::pair<std::string, std::string>>;

// Reads the settings that the file has into `config`. Returns section and key of all that there can
// be.
SettingNames Read(const SettingsFile& file, RunConfig& config) {
  UseDataset(file, "problems", config.problems);
  SettingNames settings;
  ForEachSetting(config, [&](const char* section, const char* key, auto& value) {
    settings.emplace(section, key);
    if (file.Contains(section, key)) file.Get(section, key, value);
  });
  return settings;
}

// Reads where model and problems are, which every run.toml says, and the servers if there are any.
void ReadPlaces(const SettingsFile& file, const std::filesystem::path& run, RunConfig& config) {
  file.Get("model", "folder", config.model.folder);
  file.Get("problems", "file", config.problems.file);
  if (config.problems.file == kKeptProblems) config.problems.file = run / kKeptProblems;
  if (file.Contains("served", "policy")) file.Get("served", "policy", config.served.urls);
}

constexpr auto kLogprobNames = data::MakeNameTable<ServedLogprobs>(
    "kind of log-probabilities", {{ServedLogprobs::kRaw, "raw"},
                                  {ServedLogprobs::kTempered, "tempered"},
                                  {ServedLogprobs::kPolicy, "policy"}});

// What was found out about servers when the run began.
void SaveFacts(const ServedFacts& facts, SettingsFile& file) {
  file.Set("served", "version", facts.version);
  file.Set("served", "logprobs", std::string(kLogprobNames.Name(facts.logprobs)));
  file.Set("served", "seeds_honoured", facts.seeds);
}

void ReadFacts(const SettingsFile& file, ServedFacts& facts) {
  if (!file.Contains("served", "logprobs")) return;
  file.Get("served", "version", facts.version);
  file.Get("served", "seeds_honoured", facts.seeds);
  facts.logprobs = kLogprobNames.Parse(file.Get<std::string>("served", "logprobs"));
  file.Get("served", "model", facts.model);
  file.Get("served", "server", facts.server);
}

// Reads what run.toml holds beside settings, except for the fingerprint of the weights. Returns
// section and key of all that.
SettingNames ReadBesides(const SettingsFile& file, RunStart& start) {
  start.files = InputFiles(file);
  if (file.Contains("launch", "id")) file.Get("launch", "id", start.launch);
  ReadFacts(file, start.served);
  SettingNames names = start.files.Keys();
  for (const char* key : {"policy", "version", "logprobs", "seeds_honoured"})
    names.emplace("served", key);
  names.insert({{"", "pivotal_version"}, {"model", "weights_sha256"}, {"launch", "id"}});
  return names;
}

}  // namespace

std::string RunConfig::ModelName() const {
  if (!served.urls.empty()) return served.model;
  const std::string id = data::HubNameOf(data::HubKind::kModel, model.folder).id;
  return id.empty() ? model.folder.string() : id;
}

std::filesystem::path KeptProblems(const std::filesystem::path& run) { return run / kKeptProblems; }

InputFiles InputFilesOf(const RunConfig& config) {
  InputFiles files(config.model);
  files.Add("problems", config.problems);
  return files;
}

void RequireMeasured(const RunConfig& config, const std::filesystem::path& run) {
  if (config.strategy == "none")
    Fail("{}: --strategy none has measured p(success) of no response; search with another one",
         run.string());
}

void SaveRunConfig(const RunConfig& config, const RunStart& start,
                   const std::filesystem::path& run) {
  SettingsFile file(kWriter);
  file.Set("model", "folder", data::Absolute(config.model.folder));
  file.Set("model", "weights_sha256", start.weights_sha256);
  file.Set("problems", "file",
           config.keep_problems ? std::filesystem::path(kKeptProblems)
                                : data::Absolute(config.problems.file));
  if (!config.served.urls.empty()) {
    file.Set("served", "policy", config.served.urls);
    SaveFacts(start.served, file);
  }
  ForEachSetting(config, [&](const char* section, const char* key, const auto& value) {
    file.Set(section, key, value);
  });
  start.files.Save(file);
  if (!start.launch.empty()) file.Set("launch", "id", start.launch);
  file.Save(run / "run.toml");
}

RunConfig LoadRunConfig(const std::filesystem::path& run) {
  const SettingsFile file(run / "run.toml", kWriter);
  RunConfig config;
  ReadPlaces(file, run, config);
  Read(file, config);
  return config;
}

RunConfig LoadRunConfig(const std::filesystem::path& run, RunStart& start) {
  const SettingsFile file(run / "run.toml", kWriter);
  RunConfig config;
  ReadPlaces(file, run, config);
  auto settings = Read(file, config);
  file.Get("model", "weights_sha256", start.weights_sha256);
  file.WarnOfMissing(settings);
  settings.merge(ReadBesides(file, start));
  settings.insert({{"model", "folder"}, {"problems", "file"}});
  file.RequireKnown(settings);
  ValidateFile(run / "run.toml", [&] { SearchOptionsOf(config); });
  return config;
}

void SetGoal(std::string_view goal, RunConfig& config) {
  const bool pairs = goal == kGoals[0];
  if (!pairs && goal != kGoals[1])
    Fail("search: the goal is \"{}\", must be {} or {}", goal, kGoals[0], kGoals[1]);
  const SearchOptions chosen = pairs ? SearchOptions::ForPairs() : SearchOptions();
  config.strategy = pts::kStrategyNames.Name(chosen.kind);
  config.search.samples = chosen.samples;
  config.search.responses = chosen.responses;
  config.search.min_yield = chosen.min_yield;
}

namespace {

// Reads settings, and throws Error for one that is neither known nor among `others`.
void ReadInto(const SettingsFile& file, const SettingNames& others, RunConfig& config) {
  if (file.Contains("search", kGoal)) {
    std::string goal;
    file.Get("search", kGoal, goal);
    ValidateFile(file.WhereOf("search", kGoal), [&] { SetGoal(goal, config); });
  }
  if (file.Contains("model", "folder")) file.Get("model", "folder", config.model.folder);
  if (file.Contains("problems", "file")) file.Get("problems", "file", config.problems.file);
  if (file.Contains("served", "policy")) file.Get("served", "policy", config.served.urls);
  auto known = Read(file, config);
  known.insert(
      {{"model", "folder"}, {"problems", "file"}, {"served", "policy"}, {"search", kGoal}});
  known.insert(others.begin(), others.end());
  for (const char* key : {"model", "server", "concurrency", "timeout", "give_up"})
    known.emplace("served", key);  // they mean nothing without addresses
  file.RequireKnown(known);
}

}  // namespace

void ApplySettings(const SettingsFile& file, RunConfig& config) { ReadInto(file, {}, config); }

SearchOptions SearchOptionsOf(const RunConfig& config) {
  SearchOptions options = config.search;
  options.kind = pts::kStrategyNames.Parse(config.strategy);
  options.max_new_tokens = config.sampling.max_new_tokens;
  options.max_oracle_failures = config.problems.oracle_options.max_failures;
  options.Validate();
  EngineOptionsOf(config.sampling);
  data::RequireStopStrings(config.sampling.stop);
  config.problems.oracle_options.Validate();
  return options;
}

bool ApplyRunSettings(const std::filesystem::path& path, RunConfig& config) {
  const SettingsFile file(path, kWriter);
  RunStart start;
  ReadInto(file, ReadBesides(file, start), config);
  // The run's own copy of its problems has no path of its own.
  if (config.problems.file == kKeptProblems && path.has_parent_path() &&
      data::Exists(path.parent_path() / kKeptProblems))
    config.problems.file = path.parent_path() / kKeptProblems;
  ValidateFile(path, [&] { SearchOptionsOf(config); });
  return file.Contains("problems", "oracle") || !config.problems.options.dataset.empty();
}

std::string SettingsText(const RunConfig& config) {
  SettingsFile file(kWriter);
  ForEachSetting(config, [&](const char* section, const char* key, const auto& value) {
    file.Set(section, key, value);
  });
  return file.Text();
}

}  // namespace pivotal::experiments
