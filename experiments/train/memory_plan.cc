// Apache-2.0.
#include "experiments/train/memory_plan.h"

#include <utility>
#include <vector>

#include "data/base/error.h"
#include "model/config_file.h"

namespace pivotal::experiments {
namespace {

using model::BytesText;
using model::TrainingFootprint;
using model::TrainingShape;

// Returns ways to need less memory: flags, each set with one flag more than the one before, and the
// shape of training with them.
std::vector<std::pair<std::string, TrainingShape>> Savings(TrainingShape shape, int64_t longest,
                                                           const model::PhiConfig& config) {
  std::vector<std::pair<std::string, TrainingShape>> savings;
  std::string flags;
  const auto add = [&](const char* flag) {
    flags += (flags.empty() ? "" : " ") + std::string(flag);
    savings.emplace_back(flags, shape);
  };
  if (shape.tokens > longest) {
    shape.tokens = longest;
    add("--batch-size 1 (with --gradient-accumulation)");
  }
  if (!shape.activation_checkpointing) {
    shape.activation_checkpointing = true;
    add("--activation-checkpointing");
  }
  if (shape.element == 4) {
    if (shape.trained_element == shape.element) shape.trained_element = 2;
    shape.element = 2;
    shape.master = false;
    add("--dtype bfloat16 --bf16-update stochastic");
  } else if (shape.master) {
    shape.master = false;
    add("--bf16-update stochastic");
  }
  const int64_t adapter = model::FootprintOf(config, shape.element, 16).lora_parameters;
  if (shape.trained > adapter) {
    shape.trained = adapter;
    shape.trained_element = 4;
    add("--lora-rank 16");
  }
  return savings;
}

}  // namespace

std::string FootprintText(const TrainingFootprint& plan) {
  return fmt::format(
      "weights {}, gradients {}, AdamW {}, activations {}, working memory {}; in total {}",
      BytesText(plan.weights), BytesText(plan.gradients), BytesText(plan.optimizer),
      BytesText(plan.activations), BytesText(plan.working), BytesText(plan.Total()));
}

void RequireWeightsFit(const TrainSettings& settings, int64_t free) {
  const model::PhiConfig config = model::LoadPhiConfig(settings.model.folder);
  const int64_t element = settings.model.dtype == "float32" ? 4 : 2;
  const int64_t weights = model::FootprintOf(config, element, 1).weights;
  if (weights <= free) return;
  Fail(
      "{}: the weights alone need {} as {}, but {} are free; use {}a larger machine, or "
      "--ignore-memory-plan",
      settings.model.folder.string(), BytesText(weights), settings.model.dtype, BytesText(free),
      element == 4 ? "--dtype bfloat16, or " : "");
}

TrainingShape ShapeOf(const TrainSettings& settings, const model::PhiModel& model, int64_t tokens,
                      int64_t ranks) {
  TrainingShape shape;
  shape.element = static_cast<int64_t>(model.options().dtype().itemsize());
  shape.tokens = tokens;
  shape.ranks = ranks;
  shape.activation_checkpointing = settings.activation_checkpointing;
  for (const auto& [name, tensor] : model.Trainable()) {
    shape.trained += tensor.numel();
    shape.trained_element = static_cast<int64_t>(tensor.element_size());
  }
  shape.master =
      shape.trained_element < 4 && settings.options.optimizer.half_update == HalfUpdate::kMaster;
  return shape;
}

void RequireTrainingFits(const model::PhiConfig& config, const TrainingShape& shape,
                         int64_t longest, int64_t free) {
  const TrainingFootprint plan = model::TrainingFootprintOf(config, shape);
  const int64_t room = free + plan.weights;  // the weights are loaded
  if (plan.Total() <= room) return;
  std::string advice = "no flag helps; use a larger machine";
  for (const auto& [flags, less] : Savings(shape, longest, config)) {
    const int64_t total = model::TrainingFootprintOf(config, less).Total();
    if (total > room) continue;
    advice = fmt::format("{} needs {}", flags, BytesText(total));
    break;
  }
  Fail("training does not fit into the {} of free memory: {}; {}; or use --ignore-memory-plan",
       BytesText(room), FootprintText(plan), advice);
}

}  // namespace pivotal::experiments
