// Apache-2.0.
#include "experiments/train/disk_plan.h"

#include <algorithm>
#include <string>

#include "data/base/disk_room.h"
#include "data/base/error.h"
#include "experiments/train/memory_plan.h"
#include "experiments/train/train_output.h"
#include "model/checkpoint.h"
#include "model/memory.h"

namespace pivotal::experiments {

namespace fs = std::filesystem;
using model::BytesText;

DiskPlan DiskPlanOf(const TrainSettings& settings, const model::PhiModel& model, int64_t steps,
                    const fs::path& output) {
  const auto shape = ShapeOf(settings, model, dpo::PassSize());
  const int64_t whole = model::SavedBytes(model, settings.model.folder);
  constexpr int64_t kSmallFiles = 1 << 20;  // headers of weight files, config.json, the log
  DiskPlan plan;
  plan.best = settings.Adapts() ? shape.trained * shape.trained_element : whole;
  plan.result = (settings.merge ? whole : plan.best) + kSmallFiles;
  const auto footprint = model::TrainingFootprintOf(model.config(), shape);
  plan.checkpoint = plan.best + footprint.optimizer + footprint.reference;
  if (settings.save_steps > 0) {
    const int64_t there = CountCheckpoints(output);
    const int64_t more = std::max<int64_t>(0, steps - 1) / settings.save_steps;
    plan.checkpoints = std::max<int64_t>(0, std::min(settings.keep + 1, there + more) - there);
  }
  if (settings.held_out.any() && steps > 0) plan.bests = 1;
  return plan;
}

void RequireDiskFits(const DiskPlan& plan, const fs::path& output) {
  if (output.empty()) return;  // CreateOutputFolder refuses it
  const auto free = data::FreeBytesFor(output);
  if (!free || plan.Total() <= *free) return;
  std::string parts = "the result " + BytesText(plan.result);
  if (plan.checkpoints > 0)
    parts += fmt::format(
        ", {} of {}",
        plan.checkpoints == 1 ? "a checkpoint" : fmt::format("{} checkpoints", plan.checkpoints),
        BytesText(plan.checkpoint));
  if (plan.bests > 0) parts += ", the best weights " + BytesText(plan.best);
  Fail("{}: training writes {} ({}), but the disk has {} free; make room, or take another disk{}",
       output.string(), BytesText(plan.Total()), parts, BytesText(*free),
       plan.checkpoints > 1 ? ", a lower --keep, or --save-steps 0" : "");
}

}  // namespace pivotal::experiments
