// Apache-2.0.
#include "experiments/train/memory_plan.h"

#include <map>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "model/checkpoint.h"
#include "model/config_file.h"
#include "model/lora.h"
#include "model/ragged_attention.h"

namespace pivotal::experiments {
namespace {

using model::BytesText;
using model::TrainingFootprint;
using model::TrainingShape;

int64_t ElementOf(const std::string& dtype) { return dtype == "float32" ? 4 : 2; }

// Returns the flags that lead from one to the other.
std::string FlagsBetween(const TrainSettings& from, const TrainSettings& to) {
  std::string flags;
  const auto add = [&](bool differs, const std::string& flag) {
    if (differs) flags += (flags.empty() ? "" : " ") + flag;
  };
  const OptimizerOptions &old_optimizer = from.options.optimizer, &optimizer = to.options.optimizer;
  add(to.options.batch_size != from.options.batch_size,
      fmt::format("--batch-size {} --gradient-accumulation {}", to.options.batch_size,
                  to.options.gradient_accumulation));
  add(to.activation_checkpointing != from.activation_checkpointing, "--activation-checkpointing");
  add(to.shard_weights != from.shard_weights, "--shard-weights");
  add(optimizer.type != old_optimizer.type, "--optimizer adamw8bit");
  add(to.model.dtype != from.model.dtype, "--dtype " + to.model.dtype);
  add(optimizer.half_update != old_optimizer.half_update, "--bf16-update stochastic");
  add(optimizer.fused_backward != old_optimizer.fused_backward, "--fused-backward");
  add(optimizer.clip_by != old_optimizer.clip_by, "--clip-by tensor");
  add(to.lora.rank != from.lora.rank, fmt::format("--lora-rank {}", to.lora.rank));
  add(to.model.base_weights != from.model.base_weights, "--base-weights " + to.model.base_weights);
  return flags;
}

// Makes weights and their updates narrower.
void TakeBfloat16(TrainSettings& settings) {
  if (settings.model.dtype == "float32") settings.model.dtype = "bfloat16";
  if (settings.model.dtype == "bfloat16" && !settings.Adapts())
    settings.options.optimizer.half_update = HalfUpdate::kStochastic;
}

void TakeFusedBackward(TrainSettings& settings) {
  TrainOptions& options = settings.options;
  options.batch_size = options.StepSize();
  options.gradient_accumulation = 1;
  options.optimizer.fused_backward = true;
  if (options.optimizer.clip_by == ClipBy::kGlobal && options.optimizer.max_grad_norm > 0)
    options.optimizer.clip_by = ClipBy::kTensor;
}

// Returns settings with fewer and fewer activations: all but the first recompute layers, and their
// passes become smaller, down to one example.
std::vector<TrainSettings> FewerActivations(TrainSettings settings) {
  std::vector<TrainSettings> list = {settings};
  settings.activation_checkpointing = true;
  list.push_back(settings);
  if (settings.options.optimizer.fused_backward) return list;
  TrainOptions& options = settings.options;
  const int64_t step = options.StepSize();
  for (int64_t size = options.batch_size - 1; size > 0; --size) {
    if (step % size != 0) continue;
    options.batch_size = size;
    options.gradient_accumulation = step / size;
    list.push_back(settings);
  }
  return list;
}

// Returns the changes of `settings` that need less memory, those that cost least first.
std::vector<TrainSettings> Lighter(const TrainSettings& settings, int64_t ranks) {
  std::vector<TrainSettings> states = {settings};
  TrainSettings next = settings;
  if (ranks > 1 && !settings.shard_weights && settings.HindersSharding().empty()) {
    next.shard_weights = true;
    states.push_back(next);
  }
  if (!settings.Adapts()) {
    next.options.optimizer.type = OptimizerType::kAdamW8Bit;
    states.push_back(next);
  }
  TakeBfloat16(next);
  states.push_back(next);
  if (!settings.Adapts() && ranks == 1) {
    TakeFusedBackward(next);
    states.push_back(next);
  }
  std::vector<TrainSettings> list;
  for (const TrainSettings& state : states)
    for (TrainSettings& lighter : FewerActivations(state)) list.push_back(std::move(lighter));
  return list;
}

// Returns the first of `list` that fits.
std::optional<LighterSettings> FirstOf(const std::vector<TrainSettings>& list,
                                       const TrainSettings& settings, const model::PhiModel& model,
                                       const LargestPassOf& largest_pass, int64_t ranks,
                                       const std::function<bool(int64_t)>& fits) {
  std::map<int64_t, dpo::PassSize> passes;  // the largest, by batch size
  for (const TrainSettings& lighter : list) {
    const int64_t batch = lighter.options.batch_size;
    if (!passes.contains(batch)) passes[batch] = largest_pass(lighter.options);
    const TrainingFootprint plan =
        model::TrainingFootprintOf(model.config(), ShapeOf(lighter, model, passes[batch], ranks));
    if (fits(plan.Total())) return LighterSettings{lighter, FlagsBetween(settings, lighter), plan};
  }
  return std::nullopt;
}

}  // namespace

std::string FootprintText(const TrainingFootprint& plan) {
  const std::string reference =
      plan.reference > 0 ? ", the reference that follows " + BytesText(plan.reference) : "";
  return fmt::format(
      "weights {}, AdamW {}, activations {} and gradients {} ({} at one time), working memory "
      "{}{}; "
      "in total {}",
      BytesText(plan.weights), BytesText(plan.optimizer), BytesText(plan.activations),
      BytesText(plan.gradients), BytesText(plan.backward), BytesText(plan.working), reference,
      BytesText(plan.Total()));
}

void RequireWeightsFit(const TrainSettings& settings, int64_t ranks, int64_t free) {
  const model::PhiConfig config = model::LoadPhiConfig(settings.model.folder);
  const int64_t element = ElementOf(settings.model.dtype);
  const auto base = model::ParseBaseWeights(settings.model.base_weights);
  const bool shards = settings.shard_weights && ranks > 1;
  const int64_t weights = model::WeightBytes(config, element, base) / (shards ? ranks : 1);
  if (weights <= free) return;
  const bool could_shard = ranks > 1 && !shards && settings.HindersSharding().empty();
  const bool could_be_nf4 = base == model::BaseWeights::kPlain && settings.Adapts();
  Fail(
      "{}: the weights alone need {} as {}, but {} are free; use {}{}{}a larger machine, or "
      "--ignore-memory-plan",
      settings.model.folder.string(), BytesText(weights), settings.model.dtype, BytesText(free),
      could_shard ? "--shard-weights, or " : "", element == 4 ? "--dtype bfloat16, or " : "",
      could_be_nf4 ? "--base-weights nf4, or " : "");
}

TrainingShape ShapeOf(const TrainSettings& settings, const model::PhiModel& model,
                      const dpo::PassSize& largest_pass, int64_t ranks) {
  const OptimizerOptions& optimizer = settings.options.optimizer;
  TrainingShape shape;
  shape.element = ElementOf(settings.model.dtype);
  shape.base = model::ParseBaseWeights(settings.model.base_weights);
  shape.tokens = largest_pass.tokens;
  shape.targets = largest_pass.targets;
  shape.ranks = ranks;
  shape.shard_weights = settings.shard_weights;
  shape.activation_checkpointing = settings.activation_checkpointing;
  shape.moves_reference = settings.MovesReference();
  shape.trained_element = settings.Adapts() ? 4 : shape.element;
  if (settings.Adapts() && model.adapter() == nullptr) {
    constexpr int64_t kRank = 64;  // of an adapter that is not loaded
    shape.trained = model::FootprintOf(model.config(), shape.element,
                                       settings.lora.rank > 0 ? settings.lora.rank : kRank)
                        .lora_parameters;
  } else {
    for (const auto& [name, tensor] : model.Trainable()) shape.trained += tensor.numel();
  }
  shape.quantised = optimizer.type == OptimizerType::kAdamW8Bit;
  shape.fused_backward = optimizer.fused_backward;
  shape.master = shape.trained_element < 4 && optimizer.half_update == HalfUpdate::kMaster;
  const at::TensorOptions options = at::TensorOptions(model::ParseDevice(settings.model.device))
                                        .dtype(model::ParseDType(settings.model.dtype));
  shape.flash = model::FlashKernel(model.config(), options) != nullptr;
  shape.bfloat16_on_cpu = options.device().is_cpu() && options.dtype() == at::kBFloat16;
  return shape;
}

std::optional<LighterSettings> FirstThatFits(const TrainSettings& settings,
                                             const model::PhiModel& model,
                                             const LargestPassOf& largest_pass, int64_t ranks,
                                             const std::function<bool(int64_t)>& fits) {
  return FirstOf(Lighter(settings, ranks), settings, model, largest_pass, ranks, fits);
}

void RequireTrainingFits(const TrainSettings& settings, const model::PhiModel& model,
                         const LargestPassOf& largest_pass, int64_t ranks, int64_t free) {
  const TrainingFootprint plan = model::TrainingFootprintOf(
      model.config(), ShapeOf(settings, model, largest_pass(settings.options), ranks));
  const int64_t room = free + plan.weights;  // the weights are loaded
  if (plan.Total() <= room) return;
  std::vector<TrainSettings> lighter = Lighter(settings, ranks);
  TrainSettings adapted = settings;
  if (!settings.Adapts()) {
    adapted.options.optimizer = {};
    adapted.lora.rank = 16;
    for (TrainSettings& more : Lighter(adapted, ranks)) lighter.push_back(std::move(more));
  }
  if (model::ParseBaseWeights(settings.model.base_weights) == model::BaseWeights::kPlain) {
    adapted.model.base_weights = "nf4";
    for (TrainSettings& more : Lighter(adapted, ranks)) lighter.push_back(std::move(more));
  }
  const auto first = FirstOf(lighter, settings, model, largest_pass, ranks,
                             [&](int64_t total) { return total <= room; });
  Fail("training does not fit into the {} of free memory: {}; {}; or use --ignore-memory-plan",
       BytesText(room), FootprintText(plan),
       first ? fmt::format("{} needs {}", first->flags, BytesText(first->plan.Total()))
             : "no flag helps; use a larger machine");
}

}  // namespace pivotal::experiments
