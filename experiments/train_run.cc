// Apache-2.0.
#include "experiments/train_run.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <toml++/toml.h>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/pair_file.h"

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

void SaveSettings(const TrainSettings& s, const fs::path& output) {
  const auto& o = s.options;
  const toml::table root{
      {"pivotal_version", PIVOTAL_VERSION},
      {"model", fs::absolute(s.model.folder).string()},
      {"weights_sha256", model::WeightsFingerprint(s.model.folder)},
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
  settings.options.Validate();
  if (!settings.sft) settings.loss.Validate();
  const LoadedModel model = LoadModel(settings.model);
  const auto task = MakeTask(settings, model, progress);
  data::CreateOutputFolder(output);
  SaveSettings(settings, output);
  std::ofstream log_file(output / "log.jsonl");
  const auto sink = [&](const dpo::StepLog& log) {
    log_file << LogLine(log).dump() << std::endl;  // flushed: a killed run keeps its log
    if (!log_file) Fail("{}: cannot be written; is the disk full?", (output / "log.jsonl").string());
  };
  try {
    const dpo::StepLog last =
        dpo::Train(model.phi(), *task->objective, settings.options, sink, progress);
    model::SaveCheckpoint(model.phi(), settings.model.folder, output, settings.max_shard_bytes);
    return last;
  } catch (const Interrupted& stop) {
    const fs::path partial = output / "interrupted";
    data::CreateOutputFolder(partial);
    model::SaveCheckpoint(model.phi(), settings.model.folder, partial, settings.max_shard_bytes);
    throw Interrupted(fmt::format("{}; the weights so far are in {}", stop.what(), partial.string()));
  }
}

}  // namespace pivotal::experiments
