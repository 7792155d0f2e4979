// Apache-2.0.
#include "experiments/train_task.h"

#include "experiments/reference_cache.h"

namespace pivotal::experiments {

std::unique_ptr<const TrainTask> MakeTrainTask(const TrainSettings& settings,
                                               const std::filesystem::path& file,
                                               const LoadedModel& model,
                                               const std::string& weights_sha256,
                                               Progress& progress, dpo::Ranks& ranks) {
  const data::TextCoding coding{model.tokenizer(), model.prompt_format};
  auto task = std::make_unique<TrainTask>();
  if (settings.sft) {
    task->completions = data::LoadPromptCompletions(file, coding);
    task->objective = dpo::MakeSftObjective(model.phi(), task->completions);
    return task;
  }
  task->pairs = data::LoadPairs(file, coding);
  at::Tensor reference;
  const int64_t batch = settings.options.batch_size;
  if (settings.loss.UsesReference())
    reference = settings.reference_cache
                    ? CachedReference(file, task->pairs, model.phi(), weights_sha256, batch, progress,
                                      ranks)
                    : dpo::ReferenceLogProbs(model.phi(), task->pairs, batch, progress, ranks);
  task->objective = dpo::MakePreferenceObjective(model.phi(), task->pairs, settings.loss, reference);
  return task;
}

}  // namespace pivotal::experiments
