// Apache-2.0.
#include "experiments/train/train_settings.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "experiments/evaluate/model_card.h"
#include "experiments/settings/dataset_settings.h"
#include "experiments/settings/settings_file.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWriter = "pivotal train";
constexpr const char* kLog = "log";  // the section of what is logged where

// A setting that is a text in the file, and the functions between its values and their texts.
template <typename T, typename Name, typename Parse>
struct Choice {
  T& value;
  Name name;
  Parse parse;
};
template <typename T, typename Name, typename Parse>
Choice(T&, Name, Parse) -> Choice<T, Name, Parse>;

// Calls f(section, key, value) for every setting; `value` of an enum and of losses is a
// Choice. One visitor serves writing and reading.
template <typename Settings, typename F>
void ForEachSetting(Settings& s, F&& f) {
  auto& o = s.options;
  f("model", "folder", s.model.folder);
  ForEachModelSetting(s.model, f);
  f("data", "file", s.data);
  f("data", "reference_cache", s.reference_cache);
  f("data", "order", Choice{o.order, dpo::DataOrderName, dpo::ParseDataOrder});
  f("loss", "sft", s.sft);
  f("loss", "method", Choice{s.loss.method, dpo::PreferenceMethodName, dpo::ParsePreferenceMethod});
  f("loss", "type", Choice{s.loss.losses, dpo::LossesText, dpo::ParseLosses});
  f("loss", "beta", s.loss.beta);
  f("loss", "label_smoothing", s.loss.label_smoothing);
  f("loss", "rpo_alpha", s.loss.rpo_alpha);
  f("loss", "cpo_alpha", s.loss.cpo_alpha);
  f("loss", "simpo_gamma", s.loss.simpo_gamma);
  f("loss", "discopop_tau", s.loss.discopop_tau);
  f("loss", "f_divergence", Choice{s.loss.divergence, dpo::FDivergenceName, dpo::ParseFDivergence});
  f("loss", "f_alpha", s.loss.f_alpha);
  f("loss", "wpo", s.loss.wpo);
  f("loss", "ld_alpha", s.loss.ld_alpha);
  f("loss", "reference_sync_steps", s.loss.reference_sync_steps);
  f("loss", "reference_mixup", s.loss.reference_mixup);
  f("loss", "desirable_weight", s.loss.desirable_weight);
  f("loss", "undesirable_weight", s.loss.undesirable_weight);
  f("loss", "clip_ratio", s.loss.clip_ratio);
  f("loss", "kl_weight", s.loss.kl_weight);
  f("weights", "lora_rank", s.lora.rank);
  f("weights", "lora_alpha", s.lora.alpha);
  f("weights", "lora_modules", s.lora.modules);
  f("weights", "rslora", s.lora.rslora);
  f("weights", "base_weights", s.model.base_weights);
  f("weights", "merge", s.merge);
  f("weights", "freeze", s.freeze);
  f("weights", "activation_checkpointing", s.activation_checkpointing);
  f("weights", "shard_weights", s.shard_weights);
  f("weights", "ignore_memory_plan", s.ignore_memory_plan);
  f("weights", "half_update",
    Choice{o.optimizer.half_update, dpo::HalfUpdateName, dpo::ParseHalfUpdate});
  f("weights", "optimizer",
    Choice{o.optimizer.type, dpo::OptimizerTypeName, dpo::ParseOptimizerType});
  f("weights", "fused_backward", o.optimizer.fused_backward);
  f("weights", "max_shard_bytes", s.max_shard_bytes);
  f("steps", "epochs", o.epochs);
  f("steps", "batch_size", o.batch_size);
  f("steps", "gradient_accumulation", o.gradient_accumulation);
  f("steps", "max_steps", o.max_steps);
  f("steps", "seed", o.seed);
  f("steps", "learning_rate", o.optimizer.learning_rate);
  f("steps", "lr_schedule", Choice{o.schedule, dpo::ScheduleName, dpo::ParseSchedule});
  f("steps", "warmup_ratio", o.warmup_ratio);
  f("steps", "warmup_steps", o.warmup_steps);
  f("steps", "min_learning_rate_ratio", o.min_learning_rate_ratio);
  f("steps", "adam_beta1", o.optimizer.beta1);
  f("steps", "adam_beta2", o.optimizer.beta2);
  f("steps", "adam_epsilon", o.optimizer.epsilon);
  f("steps", "weight_decay", o.optimizer.weight_decay);
  f("steps", "max_grad_norm", o.optimizer.max_grad_norm);
  f("steps", "clip_by", Choice{o.optimizer.clip_by, dpo::ClipByName, dpo::ParseClipBy});
  f("held_out", "data", s.held_out.data);
  f("held_out", "problems", s.held_out.problems.file);
  f("held_out", "dataset", s.held_out.problems.options.dataset);
  ForEachOracleSetting("held_out", s.held_out.problems, f);
  f("held_out", "limit", s.held_out.problems.options.limit);
  f("held_out", "max_new_tokens", s.held_out.max_new_tokens);
  f("held_out", "every", s.held_out.every);
  f("held_out", "metric", s.held_out.metric);
  f("held_out", "patience", s.held_out.patience);
  f("checkpoints", "save_steps", s.save_steps);
  f("checkpoints", "keep", s.keep);
  f(kLog, "tensorboard", s.tensorboard);
  f(kLog, "command", s.command);
}

// Returns the settings but those of the section `without`.
SettingsFile FileOf(const TrainSettings& settings, std::string_view without = "") {
  SettingsFile file(kWriter);
  ForEachSetting(settings, [&](const char* section, const char* key, const auto& value) {
    if (section == without) return;
    if constexpr (requires { value.name; }) {
      file.Set(section, key, std::string(value.name(value.value)));
    } else {
      file.Set(section, key, value);
    }
  });
  return file;
}

// Replaces the settings that `file` has. Returns section and key of all settings.
std::set<std::pair<std::string, std::string>> Read(const SettingsFile& file,
                                                   TrainSettings& settings) {
  UseDataset(file, "held_out", settings.held_out.problems);
  std::set<std::pair<std::string, std::string>> known;
  ForEachSetting(settings, [&](const char* section, const char* key, auto&& value) {
    known.emplace(section, key);
    if (!file.Contains(section, key)) return;
    if constexpr (requires { value.parse; }) {
      const auto name = file.Get<std::string>(section, key);
      try {
        value.value = value.parse(name);
      } catch (const Error& error) {
        file.FailAt(section, key, error.what());
      }
    } else {
      file.Get(section, key, value);
    }
  });
  return known;
}

fs::path Absolute(const fs::path& path) { return path.empty() ? path : data::Absolute(path); }

}  // namespace

}  // namespace pivotal::experiments

namespace pivotal {

std::string HeldOutSettings::Metric() const {
  if (!metric.empty()) return metric;
  return problems.file.empty() ? "eval_loss" : "eval_accuracy";
}

void HeldOutSettings::Validate() const {
  if (every < 0) Fail("eval steps must be 0 (after each epoch) or larger, got {}", every);
  if (patience < 0) Fail("early stop must be 0 (never) or larger, got {}", patience);
  if (max_new_tokens < 1) Fail("eval max new tokens must be at least 1, got {}", max_new_tokens);
  if (!any() && (every > 0 || patience > 0 || !metric.empty()))
    Fail("--eval-steps, --eval-metric and --early-stop need --eval-data or --eval-problems");
  constexpr std::string_view kMetrics[] = {"", "eval_loss", "eval_accuracy",
                                           "eval_rewards/accuracies", "eval_rewards/margins"};
  if (std::ranges::find(kMetrics, metric) == std::end(kMetrics))
    Fail("--eval-metric {}: expected one of {}", metric,
         fmt::join(std::begin(kMetrics) + 1, std::end(kMetrics), ", "));
}

std::string TrainSettings::HindersSharding() const {
  if (merge) return "--merge";
  if (MovesReference()) return "--reference-sync-steps";
  if (!held_out.problems.file.empty()) return "--eval-problems";
  if (model::ParseBaseWeights(model.base_weights) != model::BaseWeights::kPlain)
    return "--base-weights " + model.base_weights;
  return "";
}

void TrainSettings::Validate() const {
  options.Validate();
  if (!sft) loss.Validate();
  experiments::SettingsText(*this);  // throws for a value that train.toml has no name for
  if (const std::string option = sft ? dpo::FirstChosenOption(loss) : ""; !option.empty())
    Fail("{} would have no effect on sft; leave it out", option);
  if (lora.rank != 0) lora.Validate();
  held_out.Validate();
  if (save_steps < 0) Fail("save steps must be 0 (off) or larger, got {}", save_steps);
  if (keep < 1) Fail("keep must be at least 1, got {}", keep);
  if (max_shard_bytes < 1) Fail("max shard bytes must be at least 1, got {}", max_shard_bytes);
  if (options.optimizer.half_update == HalfUpdate::kStochastic && model.dtype != "bfloat16")
    Fail("--bf16-update stochastic needs --dtype bfloat16, not {}", model.dtype);
  if (!model.adapter.empty() && lora.rank > 0)
    Fail("--adapter continues an adapter, which has a rank; leave --lora-rank out");
  if (MovesReference() && model.base_weights != "auto")
    Fail("--reference-sync-steps has not been tried with --base-weights {}; leave one of them out",
         model.base_weights);
  if (merge && !Adapts()) Fail("--merge needs --lora-rank or --adapter");
  if (model::ParseBaseWeights(model.base_weights) != model::BaseWeights::kPlain) {
    if (!Adapts())
      Fail("--base-weights {} needs --lora-rank or --adapter: such weights are not trained",
           model.base_weights);
    if (merge)
      Fail(
          "--merge needs whole weights, which --base-weights {} does not keep; leave it out, and "
          "merge with pivotal merge-adapter afterwards",
          model.base_weights);
  }
  if (const std::string hinders = HindersSharding(); shard_weights && !hinders.empty())
    Fail("--shard-weights: {} needs all weights in each process; leave one of them out", hinders);
  if (Adapts() && !freeze.empty())
    Fail("--freeze needs full fine-tuning: with an adapter, all weights are frozen");
}

}  // namespace pivotal

namespace pivotal::experiments {

TrainInputs InputsOf(const TrainSettings& settings) {
  const std::string& adapter = settings.model.adapter;
  TrainInputs inputs{
      model::WeightsFingerprint(settings.model.folder), data::Sha256OfFile(settings.data),
      adapter.empty() ? "" : model::AdapterFingerprint(adapter), InputFiles(settings.model)};
  const HeldOutSettings& held_out = settings.held_out;
  if (!held_out.data.empty()) inputs.files.Add("eval_data", held_out.data);
  inputs.files.Add("eval_problems", held_out.problems);
  return inputs;
}

void ApplySettings(const SettingsFile& file, TrainSettings& settings) {
  file.RequireKnown(Read(file, settings));
}

std::string SettingsText(const TrainSettings& settings) {
  TrainSettings s = settings;
  s.model.folder.clear();
  s.data.clear();
  return FileOf(s, kLog).Text();
}

std::string OracleName(const std::string& oracle) {
  constexpr std::string_view kCommand = "command:";
  if (!oracle.starts_with(kCommand)) return oracle;
  const std::string program = oracle.substr(kCommand.size(), oracle.find(' ') - kCommand.size());
  return std::string(kCommand) + fs::path(program).filename().string();
}

std::string CardSettings(const TrainSettings& settings) {
  TrainSettings s = settings;
  s.model.folder = ModelName(s.model.folder);
  if (!s.model.adapter.empty()) s.model.adapter = ModelName(s.model.adapter);
  for (fs::path* path : {&s.data, &s.held_out.data, &s.held_out.problems.file})
    if (!path->empty()) *path = DataName(*path);
  s.held_out.problems.oracle = OracleName(s.held_out.problems.oracle);
  return FileOf(s, kLog).Text();
}

void SaveTrainSettings(const TrainSettings& settings, const TrainInputs& inputs, int ranks,
                       const fs::path& run) {
  TrainSettings s = settings;  // absolute paths are valid from any working directory
  for (fs::path* path :
       {&s.model.folder, &s.data, &s.held_out.data, &s.held_out.problems.file, &s.tensorboard})
    *path = Absolute(*path);
  s.model.adapter = Absolute(s.model.adapter).string();
  SettingsFile file = FileOf(s);
  file.Set("model", "weights_sha256", inputs.weights_sha256);
  file.Set("model", "adapter_sha256", inputs.adapter_sha256);
  file.Set("data", "sha256", inputs.data_sha256);
  file.Set("steps", "ranks", ranks);
  inputs.files.Save(file);
  file.Save(run / "train.toml");
}

namespace {

// Throws Error for what is neither one of `settings` nor what train.toml holds beside them.
void RequireKnown(const SettingsFile& file, std::set<std::pair<std::string, std::string>> settings,
                  const InputFiles& files) {
  settings.merge(files.Keys());
  settings.insert({{"", "pivotal_version"},
                   {"model", "weights_sha256"},
                   {"model", "adapter_sha256"},
                   {"data", "sha256"},
                   {"steps", "ranks"}});
  file.RequireKnown(settings);
}

}  // namespace

TrainSettings LoadTrainSettings(const fs::path& run, TrainInputs& inputs) {
  const SettingsFile file(run / "train.toml", kWriter);
  file.Get("model", "weights_sha256", inputs.weights_sha256);
  file.Get("model", "adapter_sha256", inputs.adapter_sha256);
  file.Get("data", "sha256", inputs.data_sha256);
  inputs.files = InputFiles(file);
  TrainSettings s;
  auto known = Read(file, s);
  file.WarnOfMissing(known);
  RequireKnown(file, known, inputs.files);
  ValidateFile(run / "train.toml", [&] { s.Validate(); });
  return s;
}

bool ApplyTrainSettings(const fs::path& path, TrainSettings& settings) {
  const SettingsFile file(path, kWriter);
  RequireKnown(file, Read(file, settings), InputFiles(file));
  ValidateFile(path, [&] {
    settings.held_out.problems.oracle_options.Validate();
    settings.options.Validate();
  });
  return file.Contains("held_out", "oracle") || file.Contains("held_out", "dataset");
}

}  // namespace pivotal::experiments
