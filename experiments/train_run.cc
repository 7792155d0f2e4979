// Apache-2.0.
#include "experiments/train_run.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <toml++/toml.h>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/pair_file.h"
#include "model/freeze.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

// The examples and the loss over them; examples must stay where they are.
struct Task {
  std::vector<data::PreferencePair> pairs;
  std::vector<data::PromptCompletion> completions;
  std::unique_ptr<dpo::Objective> objective;
};

std::unique_ptr<Task> MakeTask(const TrainSettings& settings, const LoadedModel& model,
                               Progress& progress) {
  auto task = std::make_unique<Task>();
  if (settings.sft) {
    task->completions = data::LoadPromptCompletions(settings.data, {model.tokenizer(), model.prompt_format});
    task->objective = dpo::MakeSftObjective(model.phi(), task->completions);
  } else {
    task->pairs = data::LoadPairs(settings.data, {model.tokenizer(), model.prompt_format});
    at::Tensor reference;
    if (settings.loss.UsesReference())
      reference = dpo::ReferenceLogProbs(model.phi(), task->pairs, settings.options.batch_size, progress);
    task->objective = dpo::MakePreferenceObjective(model.phi(), task->pairs, settings.loss, reference);
  }
  return task;
}

// What training is to change, before any work is done: an adapter, or some weights. Null: no adapter.
std::shared_ptr<const model::Adapter> Prepare(const TrainSettings& s, model::PhiModel& model) {
  if (s.options.optimizer.half_update == dpo::HalfUpdate::kStochastic && s.model.dtype != "bfloat16")
    Fail("--bf16-update stochastic needs --dtype bfloat16, not {}", s.model.dtype);
  model.set_activation_checkpointing(s.activation_checkpointing);
  const bool go_on = !s.model.adapter.empty();
  if (go_on && s.lora.rank > 0) Fail("--adapter goes on with an adapter; it has its own rank");
  const bool adapts = go_on || s.lora.rank > 0;
  if (s.merge && !adapts) Fail("--merge needs --lora-rank or --adapter");
  if (adapts && !s.freeze.empty()) Fail("--freeze is for full fine-tuning: an adapter freezes all weights");
  if (go_on) return model::LoadAdapter(s.model.adapter, model);
  if (adapts) return model::NewAdapter(model, s.lora, s.options.seed);
  model.set_frozen(model::FrozenWeights(model, s.freeze));
  return nullptr;
}

void SaveTrained(const TrainSettings& s, model::PhiModel& model, const fs::path& folder) {
  if (s.merge) model::MergeAdapter(model);
  if (model.adapter() != nullptr) return SaveAdapter(*model.adapter(), s.model.folder, folder);
  model::SaveCheckpoint(model, s.model.folder, folder, s.max_shard_bytes);
}

toml::array Array(const std::vector<std::string>& values) {
  toml::array array;
  for (const std::string& value : values) array.push_back(value);
  return array;
}

void SaveSettings(const TrainSettings& s, const fs::path& output) {
  const auto& o = s.options;
  const toml::table root{
      {"pivotal_version", PIVOTAL_VERSION},
      {"model", fs::absolute(s.model.folder).string()},
      {"adapter", s.model.adapter},
      {"weights_sha256", ModelFingerprint(s.model)},
      {"data", fs::absolute(s.data).string()},
      {"data_sha256", data::Sha256OfFile(s.data)},
      {"objective", s.sft ? "sft" : dpo::PreferenceMethodName(s.loss.method)},
      {"loss", dpo::LossTypeName(s.loss.type)},
      {"device", s.model.device},
      {"dtype", s.model.dtype},
      {"beta", s.loss.beta},
      {"label_smoothing", s.loss.label_smoothing},
      {"rpo_alpha", s.loss.rpo_alpha},
      {"cpo_alpha", s.loss.cpo_alpha},
      {"simpo_gamma", s.loss.simpo_gamma},
      {"discopop_tau", s.loss.discopop_tau},
      {"lora_rank", s.lora.rank},
      {"lora_alpha", s.lora.alpha},
      {"lora_modules", Array(s.lora.modules)},
      {"rslora", s.lora.rslora},
      {"merge", s.merge},
      {"freeze", Array(s.freeze)},
      {"activation_checkpointing", s.activation_checkpointing},
      {"half_update", o.optimizer.half_update == dpo::HalfUpdate::kMaster ? "master" : "stochastic"},
      {"learning_rate", o.optimizer.learning_rate},
      {"adam_beta1", o.optimizer.beta1},
      {"adam_beta2", o.optimizer.beta2},
      {"adam_epsilon", o.optimizer.epsilon},
      {"weight_decay", o.optimizer.weight_decay},
      {"max_grad_norm", o.optimizer.max_grad_norm},
      {"epochs", o.epochs},
      {"batch_size", o.batch_size},
      {"gradient_accumulation", o.gradient_accumulation},
      {"max_steps", o.max_steps},
      {"lr_schedule", dpo::ScheduleName(o.schedule)},
      {"warmup_ratio", o.warmup_ratio},
      {"min_learning_rate_ratio", o.min_learning_rate_ratio},
      {"order", o.order == dpo::DataOrder::kFile ? "file" : "shuffled"},
      {"seed", static_cast<int64_t>(o.seed)}};
  std::ostringstream text;
  text << root << "\n";
  data::FileSink file(output / "train.toml");
  file.Write(text.str());
  file.Commit();
}

nlohmann::ordered_json LogLine(const dpo::StepLog& log) {
  nlohmann::ordered_json line = {{"step", log.step},
                                 {"epoch", log.epoch},
                                 {"loss", log.loss},
                                 {"learning_rate", log.learning_rate},
                                 {"grad_norm", log.grad_norm},
                                 {"seconds", log.seconds},
                                 {"tokens", log.tokens}};
  for (const auto& [name, value] : log.metrics) line[name] = value;
  return line;
}

}  // namespace

dpo::StepLog RunTraining(const TrainSettings& settings, const fs::path& output,
                         Progress& progress) {
  dpo::TrainOptions options = settings.options;
  options.optimizer.rounding_seed = options.seed;
  options.Validate();
  if (!settings.sft) settings.loss.Validate();
  ModelSettings base = settings.model;
  base.adapter.clear();
  const LoadedModel model = LoadModel(base);
  model::PhiModel& phi = *model.checkpoint.model;
  const auto adapter = Prepare(settings, phi);
  const auto task = MakeTask(settings, model, progress);
  if (adapter != nullptr) phi.set_adapter(adapter);  // not before: the model alone is the reference
  data::CreateOutputFolder(output);
  SaveSettings(settings, output);
  std::ofstream log_file(output / "log.jsonl");
  const auto sink = [&](const dpo::StepLog& log) {
    log_file << LogLine(log).dump() << std::endl;  // flushed: a killed run keeps its log
    if (!log_file) Fail("{}: cannot be written; is the disk full?", (output / "log.jsonl").string());
  };
  try {
    const dpo::StepLog last =
        dpo::Train(phi, *task->objective, options, sink, progress);
    SaveTrained(settings, phi, output);
    return last;
  } catch (const Interrupted& stop) {
    const fs::path partial = output / "interrupted";
    data::CreateOutputFolder(partial);
    SaveTrained(settings, phi, partial);
    throw Interrupted(fmt::format("{}; the weights so far are in {}", stop.what(), partial.string()));
  }
}

}  // namespace pivotal::experiments
