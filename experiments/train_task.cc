// Apache-2.0.
#include "experiments/train_task.h"

namespace pivotal::experiments {

std::unique_ptr<const TrainTask> MakeTrainTask(const TrainSettings& settings,
                                               const std::filesystem::path& file,
                                               const LoadedModel& model, Progress& progress) {
  const data::TextCoding coding{model.tokenizer(), model.prompt_format};
  auto task = std::make_unique<TrainTask>();
  if (settings.sft) {
    task->completions = data::LoadPromptCompletions(file, coding);
    task->objective = dpo::MakeSftObjective(model.phi(), task->completions);
    return task;
  }
  task->pairs = data::LoadPairs(file, coding);
  at::Tensor reference;
  if (settings.loss.UsesReference())
    reference = dpo::ReferenceLogProbs(model.phi(), task->pairs, settings.options.batch_size, progress);
  task->objective = dpo::MakePreferenceObjective(model.phi(), task->pairs, settings.loss, reference);
  return task;
}

}  // namespace pivotal::experiments
