// Apache-2.0.
#include "experiments/train_settings.h"

#include "data/error.h"
#include "data/file_sink.h"
#include "dpo/require.h"
#include "experiments/settings_file.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWriter = "pivotal train";

// A choice and its text in the file.
template <typename T>
struct Choice {
  T& value;
  std::string_view (*name)(std::remove_const_t<T>);
  std::remove_const_t<T> (*parse)(const std::string&);
};

// Visits every setting once, for writing and for reading: f(section, key, value or Choice).
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
  f("loss", "type", Choice{s.loss.type, dpo::LossTypeName, dpo::ParseLossType});
  f("loss", "beta", s.loss.beta);
  f("loss", "label_smoothing", s.loss.label_smoothing);
  f("loss", "rpo_alpha", s.loss.rpo_alpha);
  f("loss", "cpo_alpha", s.loss.cpo_alpha);
  f("loss", "simpo_gamma", s.loss.simpo_gamma);
  f("loss", "discopop_tau", s.loss.discopop_tau);
  f("weights", "lora_rank", s.lora.rank);
  f("weights", "lora_alpha", s.lora.alpha);
  f("weights", "lora_modules", s.lora.modules);
  f("weights", "rslora", s.lora.rslora);
  f("weights", "merge", s.merge);
  f("weights", "freeze", s.freeze);
  f("weights", "activation_checkpointing", s.activation_checkpointing);
  f("weights", "ignore_memory_plan", s.ignore_memory_plan);
  f("weights", "half_update", Choice{o.optimizer.half_update, dpo::HalfUpdateName, dpo::ParseHalfUpdate});
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
  f("held_out", "data", s.held_out.data);
  f("held_out", "problems", s.held_out.problems.file);
  f("held_out", "oracle", s.held_out.problems.oracle);
  f("held_out", "oracle_timeout", s.held_out.problems.oracle_options.timeout);
  f("held_out", "oracle_memory", s.held_out.problems.oracle_options.memory);
  f("held_out", "allow_unsandboxed", s.held_out.problems.oracle_options.allow_unsandboxed);
  f("held_out", "limit", s.held_out.problems.options.limit);
  f("held_out", "max_new_tokens", s.held_out.max_new_tokens);
  f("held_out", "every", s.held_out.every);
  f("held_out", "metric", s.held_out.metric);
  f("held_out", "patience", s.held_out.patience);
  f("checkpoints", "save_steps", s.save_steps);
  f("checkpoints", "keep", s.keep);
}

SettingsFile FileOf(const TrainSettings& settings) {
  SettingsFile file(kWriter);
  ForEachSetting(settings, [&](const char* section, const char* key, const auto& value) {
    if constexpr (requires { value.name; }) {
      file.Set(section, key, std::string(value.name(value.value)));
    } else {
      file.Set(section, key, value);
    }
  });
  return file;
}

fs::path Absolute(const fs::path& path) { return path.empty() ? path : fs::absolute(path); }

}  // namespace

std::string HeldOutSettings::Metric() const {
  if (!metric.empty()) return metric;
  return problems.file.empty() ? "eval_loss" : "eval_accuracy";
}

void HeldOutSettings::Validate() const {
  dpo::Require(every >= 0, "eval steps", "0 (after each epoch) or larger", static_cast<double>(every));
  dpo::Require(patience >= 0, "early stop", "0 (never) or larger", static_cast<double>(patience));
  dpo::Require(max_new_tokens >= 1, "eval max new tokens", "at least 1", max_new_tokens);
  if (!any() && (every > 0 || patience > 0 || !metric.empty()))
    Fail("--eval-steps, --eval-metric and --early-stop need --eval-data or --eval-problems");
}

void TrainSettings::Validate() const {
  options.Validate();
  if (!sft) loss.Validate();
  held_out.Validate();
  dpo::Require(save_steps >= 0, "save steps", "0 (off) or larger", static_cast<double>(save_steps));
  dpo::Require(keep >= 1, "keep", "at least 1", static_cast<double>(keep));
  if (options.optimizer.half_update == dpo::HalfUpdate::kStochastic && model.dtype != "bfloat16")
    Fail("--bf16-update stochastic needs --dtype bfloat16, not {}", model.dtype);
  if (!model.adapter.empty() && lora.rank > 0)
    Fail("--adapter goes on with an adapter; it has its own rank");
  if (merge && !Adapts()) Fail("--merge needs --lora-rank or --adapter");
  if (Adapts() && !freeze.empty())
    Fail("--freeze is for full fine-tuning: an adapter freezes all weights");
}

TrainInputs InputsOf(const TrainSettings& settings) {
  const std::string& adapter = settings.model.adapter;
  return {model::WeightsFingerprint(settings.model.folder), data::Sha256OfFile(settings.data),
          adapter.empty() ? "" : model::AdapterFingerprint(adapter)};
}

void ApplySettings(const SettingsFile& file, TrainSettings& settings) {
  std::set<std::pair<std::string, std::string>> known;
  ForEachSetting(settings, [&](const char* section, const char* key, auto&& value) {
    known.emplace(section, key);
    if (!file.Contains(section, key)) return;
    if constexpr (requires { value.parse; }) {
      value.value = value.parse(file.Get<std::string>(section, key));
    } else {
      file.Get(section, key, value);
    }
  });
  file.RequireKnown(known);
}

std::string SettingsText(const TrainSettings& settings) {
  TrainSettings s = settings;
  s.model.folder.clear();
  s.data.clear();
  return FileOf(s).Text();
}

void SaveTrainSettings(const TrainSettings& settings, const TrainInputs& inputs, int ranks,
                       const fs::path& run) {
  TrainSettings s = settings;  // with paths that hold wherever it is read
  for (fs::path* path : {&s.model.folder, &s.data, &s.held_out.data, &s.held_out.problems.file})
    *path = Absolute(*path);
  s.model.adapter = Absolute(s.model.adapter).string();
  SettingsFile file = FileOf(s);
  file.Set("model", "weights_sha256", inputs.weights_sha256);
  file.Set("model", "adapter_sha256", inputs.adapter_sha256);
  file.Set("data", "sha256", inputs.data_sha256);
  file.Set("steps", "ranks", ranks);
  file.Save(run / "train.toml");
}

TrainSettings LoadTrainSettings(const fs::path& run, TrainInputs& inputs) {
  const SettingsFile file(run / "train.toml", kWriter);
  file.Get("model", "weights_sha256", inputs.weights_sha256);
  file.Get("model", "adapter_sha256", inputs.adapter_sha256);
  file.Get("data", "sha256", inputs.data_sha256);
  TrainSettings s;
  ForEachSetting(s, [&](const char* section, const char* key, auto&& value) {
    if constexpr (requires { value.parse; }) {
      value.value = value.parse(file.Get<std::string>(section, key));
    } else {
      file.Get(section, key, value);
    }
  });
  return s;
}

}  // namespace pivotal::experiments
