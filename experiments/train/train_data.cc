// Apache-2.0.
#include "experiments/train/train_data.h"

#include <ATen/ops/empty.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "experiments/evaluate/accuracy.h"
#include "pts/verdicts.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
// Log-probabilities of the chosen and the rejected side of each pair.
using Sides = std::vector<std::array<double, 2>>;

// Returns a checksum of everything in the pairs that their log-probabilities depend on.
std::string PairsSum(std::span<const PreferencePair> pairs) {
  std::string text;
  for (const auto& pair : pairs) {
    text += Json{pair.prompt_ids, pair.chosen_ids, pair.rejected_ids, pair.chosen_weights,
                 pair.rejected_weights}
                .dump();
  }
  return data::Sha256OfText(text);
}

// Returns what the log-probabilities depend on; a cache is valid only for an equal key.
Json CacheKey(std::span<const PreferencePair> pairs, const LoadedModel& loaded,
              const std::string& weights_sha256) {
  const model::PhiModel& model = loaded.phi();
  return {{"weights_sha256", weights_sha256},
          {"config_sha256", data::Sha256OfFile(loaded.checkpoint.folder / "config.json")},
          {"dtype", c10::toString(c10::typeMetaToScalarType(model.options().dtype()))},
          {"pairs_sha256", PairsSum(pairs)}};
}

// Reads the log-probabilities of `count` pairs, [count, 2]. Returns an undefined tensor if there is
// no valid cache for `key`.
at::Tensor ReadCache(const fs::path& path, const Json& key, int64_t count) {
  if (!data::Exists(path)) return {};
  try {
    const Json cache = Json::parse(data::ReadFile(path));
    for (const auto& [name, value] : key.items()) {
      if (cache.contains(name) && cache[name] == value) continue;
      spdlog::info("{}: belongs to other {}; the reference scores the pairs again", path.string(),
                   name == "pairs_sha256"    ? "pairs"
                   : name == "config_sha256" ? "settings of the model (config.json)"
                                             : "weights");
      return {};
    }
    const auto sides = cache.at("logps").get<Sides>();
    if (std::ssize(sides) != count) Fail("it has {} pairs instead of {}", sides.size(), count);
    at::Tensor logps = at::empty({count, 2}, at::TensorOptions(at::kDouble));
    std::memcpy(logps.mutable_data_ptr(), sides.data(), sides.size() * sizeof(sides[0]));
    return logps;
  } catch (const std::exception& error) {
    spdlog::warn("{}: damaged; the reference scores the pairs again: {}", path.string(),
                 error.what());
    return {};
  }
}

void WriteCache(const fs::path& path, Json cache, const at::Tensor& logps) {
  Sides sides(logps.size(0));
  std::memcpy(sides.data(), logps.const_data_ptr(), sides.size() * sizeof(sides[0]));
  cache["logps"] = sides;
  try {
    data::WriteFile(path, cache.dump() + "\n");
  } catch (const Error& error) {
    spdlog::warn("the log-probabilities of the reference are not kept: {}", error.what());
  }
}

// Returns dpo::ReferenceLogProbs of the pairs of `file`, from its cache if that is valid.
at::Tensor CachedReference(const fs::path& file, std::span<const PreferencePair> pairs,
                           const LoadedModel& model, const std::string& weights_sha256,
                           int64_t batch, Progress& progress, dpo::Ranks& ranks) {
  const fs::path path = file.string() + ".reference.json";
  const auto count = std::ssize(pairs);
  const bool uses_files = ranks.rank() == 0;
  Json key = CacheKey(pairs, model, weights_sha256);
  at::Tensor logps = uses_files ? ReadCache(path, key, count) : at::Tensor();
  if (ranks.Any(logps.defined())) {
    if (!uses_files) logps = at::empty({count, 2}, at::TensorOptions(at::kDouble));
    ranks.Broadcast(logps, 0);
    return logps;
  }
  logps = dpo::ReferenceLogProbs(model.phi(), pairs, batch, progress, ranks).contiguous();
  if (uses_files) WriteCache(path, std::move(key), logps);
  return logps;
}

// Reads the examples of `file` and makes their objective. `reference` is called for pairs whose
// loss has a reference.
std::unique_ptr<const TrainTask> Read(const TrainSettings& settings, const fs::path& file,
                                      const LoadedModel& model,
                                      const std::function<at::Tensor(const TrainTask&)>& reference,
                                      const dpo::FollowingReference* following = nullptr) {
  const data::TextCoding coding{model.tokenizer(), model.prompt_format};
  auto task = std::make_unique<TrainTask>();
  if (settings.sft) {
    task->completions = data::LoadPromptCompletions(file, coding);
    task->objective = dpo::MakeSftObjective(model.phi(), task->completions);
    return task;
  }
  task->pairs = data::LoadPairs(file, coding);
  if (following != nullptr) {
    task->objective =
        dpo::MakePreferenceObjective(model.phi(), task->pairs, settings.loss, *following);
    return task;
  }
  task->objective =
      dpo::MakePreferenceObjective(model.phi(), task->pairs, settings.loss,
                                   settings.loss.UsesReference() ? reference(*task) : at::Tensor());
  return task;
}

}  // namespace

std::unique_ptr<const TrainTask> ReadExamples(const TrainSettings& settings, const fs::path& file,
                                              const LoadedModel& model) {
  return Read(settings, file, model, [](const TrainTask&) { return at::Tensor(); });
}

std::unique_ptr<const TrainTask> MakeTrainTask(const TrainSettings& settings, const fs::path& file,
                                               const LoadedModel& model,
                                               const std::string& weights_sha256,
                                               const dpo::FollowingReference* following,
                                               Progress& progress, dpo::Ranks& ranks) {
  const auto reference = [&](const TrainTask& task) {
    const int64_t batch = settings.options.batch_size;
    return settings.reference_cache
               ? CachedReference(file, task.pairs, model, weights_sha256, batch, progress, ranks)
               : dpo::ReferenceLogProbs(model.phi(), task.pairs, batch, progress, ranks);
  };
  return Read(settings, file, model, reference, following);
}

HeldOut::HeldOut(const TrainSettings& settings, const LoadedModel& model,
                 const std::string& weights_sha256, const dpo::FollowingReference* following,
                 Progress& progress, dpo::Ranks& ranks)
    : settings_(settings), model_(model), ranks_(ranks) {
  const HeldOutSettings& held_out = settings.held_out;
  if (!held_out.data.empty()) {
    task_ =
        MakeTrainTask(settings, held_out.data, model, weights_sha256, following, progress, ranks);
    if (task_->objective->size() == 0) Fail("{}: has no examples", held_out.data.string());
  }
  if (!held_out.problems.file.empty()) {
    oracle_ = MakeOracle(held_out.problems.oracle, held_out.problems.oracle_options);
    const auto all = LoadProblems(held_out.problems.file, held_out.problems.options);
    if (all.empty()) Fail("{}: has no problems", held_out.problems.file.string());
    CheckAnswers(*oracle_, all, held_out.problems);
    CheckLengths(MakeQueries(all, model), held_out.max_new_tokens, model.phi().config());
    problem_count_ = std::ssize(all);
    for (int64_t i = ranks.rank(); i < problem_count_; i += ranks.size())
      problems_.push_back(all[i]);
  }
  const std::string metric = held_out.Metric();
  if (metric == "eval_accuracy" ? problem_count_ == 0 : task_ == nullptr)
    Fail("--eval-metric {} needs {}", metric,
         metric == "eval_accuracy" ? "--eval-problems" : "--eval-data");
  if (settings.sft && metric.starts_with("eval_rewards"))
    Fail("--eval-metric {} is for preference losses, not for sft", metric);
}

std::map<std::string, double> HeldOut::Measure(Progress& progress) const {
  std::map<std::string, double> measured;
  if (task_ != nullptr) {
    for (const auto& [name, value] :
         dpo::Measure(*task_->objective, settings_.options.batch_size, progress, ranks_))
      measured["eval_" + name] = value;
  }
  if (problem_count_ > 0) {
    SamplingSettings sampling;
    sampling.max_new_tokens = settings_.held_out.max_new_tokens;
    int64_t solved = 0;
    ranks_.Together([&] {  // fails on all ranks, so that all write the checkpoint together
      const double failures = settings_.held_out.problems.oracle_options.max_failures;
      Accuracy accuracy;
      try {
        accuracy = Evaluate(model_, problems_, *oracle_, sampling,
                            {.samples = 0, .max_oracle_failures = failures}, progress);
      } catch (const pts::TooManyFailures& error) {
        Fail("{}; put the oracle right, or give --resume a larger --max-oracle-failures",
             error.what());
      }
      if (accuracy.verdicts.Failed() > 0)
        spdlog::warn("held-out problems: {}; these responses count as wrong",
                     accuracy.verdicts.Text());
      solved = std::ranges::count(accuracy.problems, true, &ProblemScore::greedy);
    });
    measured["eval_accuracy"] =
        ranks_.Sum(static_cast<double>(solved)) / static_cast<double>(problem_count_);
  }
  return measured;
}

bool IsBetter(const std::string& metric, double value, double other) {
  return metric.ends_with("loss") ? value < other : value > other;
}

}  // namespace pivotal::experiments
