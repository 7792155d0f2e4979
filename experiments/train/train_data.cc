// Apache-2.0.
#include "experiments/train/train_data.h"

#include <ATen/ops/empty.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "dpo/batch.h"
#include "dpo/policy_gradient.h"
#include "dpo/unpaired.h"
#include "experiments/evaluate/accuracy.h"
#include "pts/verdicts.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
// Log-probabilities of each example: of its completions, or of its tokens.
using Scores = std::vector<std::vector<double>>;
// How many log-probabilities each example has.
using Widths = std::vector<int64_t>;

int64_t Sum(const Widths& widths) {
  return std::accumulate(widths.begin(), widths.end(), int64_t{0});
}

// Returns a checksum of everything in the pairs that their log-probabilities depend on.
std::string ExamplesSum(std::span<const PreferencePair> pairs) {
  std::string text;
  for (const auto& pair : pairs) {
    text += Json{pair.prompt_ids, pair.chosen_ids, pair.rejected_ids, pair.chosen_weights,
                 pair.rejected_weights}
                .dump();
  }
  return data::Sha256OfText(text);
}
std::string ExamplesSum(const dpo::UnpairedData& data) {
  std::string text;
  for (const auto& example : data.examples)
    text += Json{example.prompt_ids, example.completion_ids, example.completion_weights}.dump();
  return data::Sha256OfText(text + Json(data.mismatched).dump());
}

std::string ExamplesSum(std::span<const AdvantageExample> examples) {
  std::string text;
  for (const auto& example : examples)
    text += Json{example.prompt_ids, example.completion_ids}.dump();
  return data::Sha256OfText(text);
}

// Returns what the log-probabilities depend on; a cache is valid only for an equal key.
Json CacheKey(const std::string& examples_sum, const LoadedModel& loaded,
              const std::string& weights_sha256) {
  const model::PhiModel& model = loaded.phi();
  std::string type = c10::toString(c10::typeMetaToScalarType(model.options().dtype()));
  if (model.base_weights() != model::BaseWeights::kPlain)
    type += " " + std::string(BaseWeightsName(model.base_weights()));
  return {{"weights_sha256", weights_sha256},
          {"config_sha256", data::Sha256OfFile(loaded.checkpoint.folder / "config.json")},
          {"dtype", type},
          {"pairs_sha256", examples_sum}};
}

// Reads the log-probabilities of examples, one after another; widths[i] is how many example i has.
// Returns an undefined tensor if there is no valid cache for `key`.
at::Tensor ReadCache(const fs::path& path, const Json& key, const Widths& widths) {
  if (!data::Exists(path)) return {};
  try {
    const Json cache = Json::parse(data::ReadFile(path));
    for (const auto& [name, value] : key.items()) {
      if (cache.contains(name) && cache[name] == value) continue;
      spdlog::info("{}: belongs to other {}; the reference scores the examples again",
                   path.string(),
                   name == "pairs_sha256"    ? "examples"
                   : name == "config_sha256" ? "settings of the model (config.json)"
                                             : "weights");
      return {};
    }
    const auto scores = cache.at("logps").get<Scores>();
    if (scores.size() != widths.size())
      Fail("it has {} examples instead of {}", scores.size(), widths.size());
    at::Tensor logps = at::empty({Sum(widths)}, at::TensorOptions(at::kDouble));
    auto* to = logps.mutable_data_ptr<double>();
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (std::ssize(scores[i]) != widths[i])
        Fail("it has {} numbers of an example instead of {}", scores[i].size(), widths[i]);
      to = std::ranges::copy(scores[i], to).out;
    }
    return logps;
  } catch (const std::exception& error) {
    spdlog::warn("{}: damaged; the reference scores the examples again: {}", path.string(),
                 error.what());
    return {};
  }
}

void WriteCache(const fs::path& path, Json cache, const at::Tensor& logps, const Widths& widths) {
  Scores scores;
  const auto* from = logps.const_data_ptr<double>();
  for (const int64_t width : widths) {
    scores.emplace_back(from, from + width);
    from += width;
  }
  cache["logps"] = scores;
  try {
    data::WriteFile(path, cache.dump() + "\n");
  } catch (const Error& error) {
    spdlog::warn("the log-probabilities of the reference are not kept: {}", error.what());
  }
}

// Returns dpo::ReferenceLogProbs of the examples of `file`, one number after another, from its
// cache if that is valid. `examples`: pairs, dpo::UnpairedData, or examples with advantages.
template <typename Examples>
at::Tensor Reference(const TrainSettings& settings, const fs::path& file, const Examples& examples,
                     const Widths& widths, const LoadedModel& model,
                     const std::string& weights_sha256, Progress& progress, dpo::Ranks& ranks) {
  const auto score = [&] {
    return dpo::ReferenceLogProbs(model.phi(), examples, settings.options.batch_size, progress,
                                  ranks)
        .flatten();
  };
  if (!settings.reference_cache) return score();
  const fs::path path = file.string() + ".reference.json";
  const bool uses_files = ranks.rank() == 0;
  Json key = CacheKey(ExamplesSum(examples), model, weights_sha256);
  at::Tensor logps = uses_files ? ReadCache(path, key, widths) : at::Tensor();
  if (ranks.Any(logps.defined())) {
    if (!uses_files) logps = at::empty({Sum(widths)}, at::TensorOptions(at::kDouble));
    ranks.Broadcast(logps, 0);
    return logps;
  }
  logps = score().contiguous();
  if (uses_files) WriteCache(path, std::move(key), logps, widths);
  return logps;
}

constexpr auto LengthOfCompletion = [](const auto& example) {
  return std::ssize(example.prompt_ids) + std::ssize(example.completion_ids) - 1;
};

// Throws Error if an example of `file` has more tokens than the model has positions, or if there
// are no examples. `length_of` counts the tokens of one that the model reads.
template <typename Example, typename F>
void RequireExamplesFit(const fs::path& file, const std::vector<Example>& examples,
                        const LoadedModel& model, F length_of) {
  if (examples.empty()) Fail("{}: has no examples", file.string());
  for (std::size_t i = 0; i < examples.size(); ++i)
    dpo::RequireFits(model.phi(), length_of(examples[i]),
                     fmt::format("{}: example {}", file.string(), i + 1));
}

// Log-probabilities of all tokens of examples with advantages.
struct ScoresOfTokens {
  at::Tensor old;        // under the policy that sampled them
  at::Tensor reference;  // under the reference; undefined if the loss reads none
};

// Reads the examples of `file` and makes their objective. If the loss has a reference that does not
// follow, `reference(examples, widths)` returns its log-probabilities, one after another, or an
// undefined tensor; `of_tokens(examples)` returns ScoresOfTokens.
template <typename F, typename G>
std::unique_ptr<const TrainTask> Read(const TrainSettings& settings, const fs::path& file,
                                      const LoadedModel& model, F reference, G of_tokens,
                                      const dpo::FollowingReference* following) {
  // Returns the reference's log-probabilities of `count` examples with `width` each, [count,
  // width].
  const auto table = [&](const auto& examples, int64_t count, int64_t width) {
    const at::Tensor scores = reference(examples, Widths(static_cast<std::size_t>(count), width));
    return scores.defined() ? scores.view({count, width}) : scores;
  };
  const data::TextCoding coding{model.tokenizer(), model.prompt_format};
  auto task = std::make_unique<TrainTask>();
  if (settings.sft) {
    task->completions = data::LoadPromptCompletions(file, coding);
    RequireExamplesFit(file, task->completions, model, LengthOfCompletion);
    task->objective = dpo::MakeSftObjective(model.phi(), task->completions);
    return task;
  }
  const LossOptions& loss = settings.loss;
  if (loss.method == PreferenceMethod::kKto) {
    task->unpaired = data::LoadUnpaired(file, coding);
    RequireExamplesFit(file, task->unpaired, model, LengthOfCompletion);
    if (loss.UsesKl() && task->unpaired.size() < 2)
      Fail("{}: kto needs two examples at least: one is compared with the other's completion",
           file.string());
    auto data = dpo::MismatchCompletions(task->unpaired, loss, settings.options.StepSize());
    const int64_t sides = data.mismatched.empty() ? 1 : 2;
    if (following != nullptr) {
      task->objective = dpo::MakeUnpairedObjective(model.phi(), std::move(data), loss, *following);
    } else {
      const at::Tensor scores = table(data, std::ssize(task->unpaired), sides);
      task->objective = dpo::MakeUnpairedObjective(model.phi(), std::move(data), loss, scores);
    }
    return task;
  }
  if (loss.method == PreferenceMethod::kPpo) {
    task->advantages = data::LoadAdvantages(file, coding);
    RequireExamplesFit(file, task->advantages, model, LengthOfCompletion);
    const ScoresOfTokens scores = of_tokens(std::span<const AdvantageExample>(task->advantages));
    task->objective =
        dpo::MakePolicyObjective(model.phi(), task->advantages, loss, scores.old, scores.reference);
    return task;
  }
  task->pairs = data::LoadPairs(file, coding);
  RequireExamplesFit(file, task->pairs, model, [](const PreferencePair& pair) {
    return std::ssize(pair.prompt_ids) +
           std::max(std::ssize(pair.chosen_ids), std::ssize(pair.rejected_ids)) - 1;
  });
  if (loss.ld_alpha < 1) dpo::DiscountTails(task->pairs, loss.ld_alpha);
  if (following != nullptr) {
    task->objective = dpo::MakePreferenceObjective(model.phi(), task->pairs, loss, *following);
    return task;
  }
  at::Tensor scores;
  if (loss.UsesReference())
    scores = table(std::span<const PreferencePair>(task->pairs), std::ssize(task->pairs), 2);
  task->objective = dpo::MakePreferenceObjective(model.phi(), task->pairs, loss, scores);
  return task;
}

}  // namespace

std::unique_ptr<const TrainTask> ReadExamples(const TrainSettings& settings, const fs::path& file,
                                              const LoadedModel& model) {
  return Read(
      settings, file, model, [](const auto&, const Widths&) { return at::Tensor(); },
      [](std::span<const AdvantageExample>) { return ScoresOfTokens(); }, nullptr);
}

std::unique_ptr<const TrainTask> MakeTrainTask(const TrainSettings& settings, const fs::path& file,
                                               const LoadedModel& model,
                                               const ComparedModels& compared, Progress& progress,
                                               dpo::Ranks& ranks) {
  const auto reference = [&](const auto& examples, const Widths& widths) {
    return Reference(settings, file, examples, widths, model, compared.weights_sha256, progress,
                     ranks);
  };
  const auto of_tokens = [&](std::span<const AdvantageExample> examples) {
    Widths widths;
    bool sampled = true;  // the data tell the log-probabilities under the policy that sampled
    for (const AdvantageExample& example : examples) {
      widths.push_back(std::ssize(example.completion_ids));
      sampled = sampled && !example.old_logprobs.empty();
    }
    ScoresOfTokens scores;
    if (settings.loss.UsesReference() || (!sampled && compared.adapter == nullptr))
      scores.reference = reference(examples, widths);
    at::Tensor first = scores.reference;
    if (!sampled && compared.adapter != nullptr) {
      model::PhiModel& phi = *model.checkpoint.model;
      phi.set_adapter(compared.adapter);
      first = dpo::ReferenceLogProbs(phi, examples, settings.options.batch_size, progress, ranks);
      phi.set_adapter(nullptr);
    }
    scores.old = dpo::OldLogProbs(examples, first);
    return scores;
  };
  return Read(settings, file, model, reference, of_tokens, compared.following);
}

HeldOut::HeldOut(const TrainSettings& settings, const LoadedModel& model,
                 const ComparedModels& compared, Progress& progress, dpo::Ranks& ranks)
    : settings_(settings), model_(model), ranks_(ranks) {
  const HeldOutSettings& held_out = settings.held_out;
  if (!held_out.data.empty()) {
    task_ = MakeTrainTask(settings, held_out.data, model, compared, progress, ranks);
    if (task_->objective->size() == 0) Fail("{}: has no examples", held_out.data.string());
  }
  if (!held_out.problems.file.empty()) {
    auto [all, oracle] = LoadJudgedProblems(held_out.problems);
    oracle_ = std::move(oracle);
    if (all.empty()) Fail("{}: has no problems", held_out.problems.file.string());
    max_new_tokens_ = FitNewTokens(MakeQueries(all, model), held_out.max_new_tokens,
                                   model.phi().config().max_position_embeddings);
    problem_count_ = std::ssize(all);
    for (int64_t i = ranks.rank(); i < problem_count_; i += ranks.size())
      problems_.push_back(all[i]);
  }
  const std::string metric = held_out.Metric();
  if (metric == "eval_accuracy" ? problem_count_ == 0 : task_ == nullptr)
    Fail("--eval-metric {} needs {}", metric,
         metric == "eval_accuracy" ? "--eval-problems" : "--eval-data");
  if ((settings.sft || settings.UsesAdvantages()) && metric.starts_with("eval_rewards"))
    Fail("--eval-metric {} is for preference losses, not for {}", metric,
         settings.sft ? "sft" : "ppo");
  if (!settings.sft && settings.loss.method == PreferenceMethod::kKto) RequireKtoMetric(metric);
}

void HeldOut::RequireKtoMetric(const std::string& metric) const {
  if (metric == "eval_rewards/accuracies")
    Fail("--eval-metric {} is for pairs, not for kto", metric);
  if (metric != "eval_rewards/margins") return;
  const auto desirable = std::ranges::count(task_->unpaired, true, &UnpairedExample::desirable);
  if (desirable == 0 || desirable == std::ssize(task_->unpaired))
    Fail("{}: --eval-metric {} needs examples with the label true and with the label false",
         settings_.held_out.data.string(), metric);
}

std::map<std::string, double> HeldOut::Measure(Progress& progress) const {
  std::map<std::string, double> measured;
  if (task_ != nullptr) {
    for (const auto& [name, value] : dpo::Measure(model_.phi(), *task_->objective,
                                                  settings_.options.batch_size, progress, ranks_))
      measured["eval_" + name] = value;
  }
  if (problem_count_ > 0) {
    SamplingSettings sampling;
    sampling.max_new_tokens = max_new_tokens_;
    int64_t solved = 0;
    ranks_.Together([&] {  // fails on all ranks, so that all write the checkpoint together
      const double failures = settings_.held_out.problems.oracle_options.max_failures;
      Accuracy accuracy;
      try {
        accuracy = Evaluate(RolloutModel(model_, sampling), problems_, *oracle_, sampling,
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
