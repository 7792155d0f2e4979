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
  if (settings.objective == TrainObjective::kDpo) {
    if (!(settings.beta > 0)) Fail("--beta must be above 0, got {}", settings.beta);
    if (!(settings.rpo_alpha >= 0)) Fail("--rpo-alpha must be 0 or larger, got {}", settings.rpo_alpha);
    task->pairs = data::LoadPairs(settings.data, {model.tokenizer(), model.prompt_format});
    task->objective = dpo::MakeDpoObjective(model.phi(), task->pairs, settings.beta,
                                            settings.rpo_alpha, settings.options.batch_size, progress);
  } else {
    task->completions = data::LoadPromptCompletions(settings.data, {model.tokenizer(), model.prompt_format});
    task->objective = dpo::MakeSftObjective(model.phi(), task->completions);
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
      {"objective", s.objective == TrainObjective::kDpo ? "dpo" : "sft"},
      {"device", s.model.device},
      {"dtype", s.model.dtype},
      {"beta", s.beta},
      {"rpo_alpha", s.rpo_alpha},
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
      {"warmup_ratio", o.warmup_ratio},
      {"min_learning_rate_ratio", o.min_learning_rate_ratio},
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

TrainObjective ParseTrainObjective(const std::string& name) {
  if (name == "dpo") return TrainObjective::kDpo;
  if (name == "sft") return TrainObjective::kSft;
  Fail("--objective {}: expected dpo or sft", name);
}

dpo::StepLog RunTraining(const TrainSettings& settings, const fs::path& output,
                         Progress& progress) {
  settings.options.Validate();
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
