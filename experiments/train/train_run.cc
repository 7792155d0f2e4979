// Apache-2.0.
#include "experiments/train/train_run.h"

#include <spdlog/spdlog.h>

#include <optional>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/run_lock.h"
#include "experiments/settings/loading.h"
#include "experiments/train/memory_plan.h"
#include "experiments/train/train_data.h"
#include "model/memory.h"
#include "model/phi_model.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

// Returns how many bytes of free memory this rank may use. The ranks of a machine divide its host
// memory among them; each has a GPU of its own.
int64_t FreeMemory(c10::Device device, const dpo::Ranks& ranks) {
  return model::FreeMemory(device) / (device.is_cpu() ? ranks.local_size() : 1);
}

// Loads the model without the adapter of the settings, onto the device of this rank.
LoadedModel LoadBase(const TrainSettings& settings, const dpo::Ranks& ranks) {
  ModelSettings base = settings.model;
  base.adapter.clear();
  base.device = dpo::RankDevice(base.device, ranks.local_rank(), ranks.local_size());
  if (!settings.ignore_memory_plan)
    RequireWeightsFit(settings, FreeMemory(model::ParseDevice(base.device), ranks));
  return LoadModel(base);
}

// Holds the model, the data and the objective of a run. Loads and checks them before the output
// folder is created.
class Job {
 public:
  Job(const TrainSettings& settings, LoadedModel base, const TrainInputs& inputs,
      Progress& progress, dpo::Ranks& ranks)
      : settings_(settings), model_(std::move(base)) {
    phi().set_activation_checkpointing(settings.activation_checkpointing);
    const auto adapter = MakeAdapter();
    if (adapter == nullptr) phi().set_frozen(model::FrozenWeights(phi(), settings.freeze));
    task_ = MakeTrainTask(settings, settings.data, model_, inputs.weights_sha256, progress, ranks);
    if (settings.held_out.any())
      held_out_.emplace(settings, model_, inputs.weights_sha256, progress, ranks);
    if (adapter != nullptr)
      phi().set_adapter(adapter);  // the model without adapter scored the reference above
    CheckMemory(ranks);
  }

  const TrainSettings& settings() const { return settings_; }
  model::PhiModel& phi() const { return *model_.checkpoint.model; }
  const dpo::Objective& objective() const { return *task_->objective; }
  const HeldOut* held_out() const { return held_out_ ? &*held_out_ : nullptr; }

  // Writes the adapter if one is trained, else the weights.
  void Save(const fs::path& folder) const {
    if (phi().adapter() != nullptr)
      return SaveAdapter(*phi().adapter(), settings_.model.folder, folder);
    model::SaveCheckpoint(phi(), settings_.model.folder, folder, settings_.max_shard_bytes);
  }
  void Load(const fs::path& folder) const {
    if (phi().adapter() != nullptr) return phi().set_adapter(model::LoadAdapter(folder, phi()));
    model::LoadWeights(folder, phi());
  }
  // Writes the result of the run: merges the adapter first if the settings say so.
  void SaveResult(const fs::path& folder) const {
    if (settings_.merge) model::MergeAdapter(phi());
    Save(folder);
  }

 private:
  void CheckMemory(dpo::Ranks& ranks) const {
    const auto shape =
        ShapeOf(settings_, phi(), dpo::LargestPass(objective(), settings_.options), ranks.size());
    int64_t longest = 0;
    for (int64_t i = 1; i < objective().size(); ++i)
      if (objective().Length(i) > objective().Length(longest)) longest = i;
    const int64_t longest_tokens =
        objective().size() > 0 ? objective().PackedLength({&longest, 1}) : 0;
    const int64_t free = FreeMemory(phi().options().device(), ranks);
    spdlog::info("memory: {}; {} are free beside the weights",
                 FootprintText(model::TrainingFootprintOf(phi().config(), shape)),
                 model::BytesText(free));
    if (!settings_.ignore_memory_plan)
      RequireTrainingFits(phi().config(), shape, longest_tokens, free);
  }
  std::shared_ptr<const model::Adapter> MakeAdapter() const {
    if (!settings_.model.adapter.empty()) return model::LoadAdapter(settings_.model.adapter, phi());
    if (settings_.lora.rank > 0)
      return model::NewAdapter(phi(), settings_.lora, settings_.options.seed);
    return nullptr;
  }

  const TrainSettings& settings_;
  LoadedModel model_;
  std::unique_ptr<const TrainTask> task_;
  std::optional<HeldOut> held_out_;
};

TrainOptions OptionsOf(const TrainSettings& settings) {
  TrainOptions options = settings.options;
  options.optimizer.rounding_seed = options.seed;
  return options;
}

// Runs the loop of a training run: optimizer steps, evaluations, checkpoints, and the result.
class Run {
 public:
  // Continues from `start`; the model already has its weights. `lock` is the lock of the output
  // folder on rank 0, which alone writes files, and null on other ranks.
  Run(const Job& job, const TrainCheckpoint& start, const fs::path& output,
      const data::RunLock* lock, Progress& progress, dpo::Ranks& ranks)
      : job_(job),
        settings_(job.settings()),
        output_(output),
        lock_(lock),
        progress_(progress),
        ranks_(ranks),
        trainer_(job.phi(), job.objective(), OptionsOf(settings_), ranks),
        best_(start.best),
        saved_(start.state.step) {
    if (lock_ != nullptr) log_.emplace(output / "log.jsonl", start.state.step);
    if (start.state.step > 0) trainer_.Restore(start.state);
    if (ranks.Any(best_.step > 0 && !fs::exists(BestFolder(output, best_.step))))
      best_.step = 0;  // a later evaluation replaced that folder; the run will repeat it
  }

  TrainResult Finish() {
    ShowSteps();
    while (true) {
      const int64_t step = trainer_.log().step;
      const bool stop = ranks_.Any(progress_.StopRequested());
      if (!stop && EvaluationDue()) Evaluate();
      if (trainer_.done() || EndsEarly()) break;
      if (stop || (settings_.save_steps > 0 && step % settings_.save_steps == 0)) SaveCheckpoint();
      if (stop) Interrupt(fmt::format("stopped after step {} of {}", step, trainer_.total_steps()));
      model::WithMemoryFor("training",
                           "take a lower --batch-size, --activation-checkpointing, --lora-rank or "
                           "a narrower --dtype",
                           [&] { trainer_.Step(); });
      if (log_) log_->Add(trainer_.log());
      progress_.Update(trainer_.log().step, Detail());
    }
    EndSteps();
    Write([&] { job_.SaveResult(output_); });
    return {trainer_.log(), best_, !trainer_.done()};
  }

 private:
  // Runs f() on rank 0 only. Throws Error if the folder's lock is no longer held.
  template <typename F>
  void Write(F f) {
    if (lock_ == nullptr) return;
    lock_->Check();
    f();
  }

  void ShowSteps() {
    progress_.Begin("train", trainer_.total_steps(), "steps", trainer_.log().step);
    shows_steps_ = true;
  }
  void EndSteps() {
    if (shows_steps_) progress_.End();
    shows_steps_ = false;
  }

  bool EvaluationDue() const {
    const int64_t step = trainer_.log().step;
    if (job_.held_out() == nullptr || step == 0 || best_.evaluated == step) return false;
    const int64_t every = settings_.held_out.every;
    return trainer_.done() || step % (every > 0 ? every : trainer_.steps_per_epoch()) == 0;
  }

  void Evaluate() {
    const int64_t step = trainer_.log().step;
    EndSteps();
    std::map<std::string, double> measured;
    try {
      measured = job_.held_out()->Measure(progress_);
    } catch (const Interrupted& stop) {
      SaveCheckpoint();
      Interrupt(stop.what());
    }
    if (log_) log_->Add(step, measured);
    const std::string metric = settings_.held_out.Metric();
    const double value = ranks_.Sum(lock_ != nullptr ? measured.at(metric) : 0.0);
    if (best_.step == 0 || IsBetter(metric, value, best_.value)) {
      Write([&] {
        SaveBest(
            step, [this](const fs::path& folder) { job_.Save(folder); }, output_);
      });
      best_ = {step, value, 0, step};
    } else {
      ++best_.since;
      best_.evaluated = step;
    }
    evaluation_ = fmt::format(", {} {:.4g} (best {:.4g})", metric, value, best_.value);
    if (!trainer_.done()) ShowSteps();
  }

  bool EndsEarly() const {
    return settings_.held_out.patience > 0 && best_.since >= settings_.held_out.patience;
  }

  void SaveCheckpoint() {
    if (trainer_.log().step == saved_) return;
    const dpo::TrainState state = trainer_.State();
    Write([&] {
      SaveTrainCheckpoint(
          state, best_, [this](const fs::path& folder) { job_.Save(folder); }, output_,
          settings_.keep);
    });
    saved_ = trainer_.log().step;
  }

  [[noreturn]] void Interrupt(const std::string& why) const {
    throw Interrupted(
        fmt::format("{}; pivotal train --resume {} continues from there", why, output_.string()));
  }

  std::string Detail() const {
    const StepLog& log = trainer_.log();
    std::string text = fmt::format("loss {:.4f}", log.loss);
    if (const auto it = log.metrics.find("rewards/margins"); it != log.metrics.end())
      text += fmt::format(", margin {:.3f}", it->second);
    return text +
           fmt::format(", {:.1f} {}/s", static_cast<double>(log.examples) / log.seconds,
                       settings_.sft ? "examples" : "pairs") +
           evaluation_;
  }

  const Job& job_;
  const TrainSettings& settings_;
  fs::path output_;
  const data::RunLock* lock_;
  Progress& progress_;
  dpo::Ranks& ranks_;
  dpo::Trainer trainer_;
  std::optional<TrainLog> log_;  // on rank 0 only
  BestEvaluation best_;
  int64_t saved_;             // step of the latest checkpoint
  std::string evaluation_;    // text about the latest evaluation
  bool shows_steps_ = false;  // whether progress_ is in the phase "train"
};

// Throws Error if model, adapter or data have changed since the run was started.
void RequireUnchanged(const TrainSettings& settings, const TrainInputs& now,
                      const TrainInputs& then, const fs::path& output) {
  now.files.RequireUnchanged(then.files, output);
  const auto require = [&](const fs::path& path, const char* what, const std::string& a,
                           const std::string& b) {
    if (a != b)
      Fail("{}: {} changed since the run {} began; put the former state back, or start a new run",
           path.string(), what, output.string());
  };
  require(settings.data, "has", now.data_sha256, then.data_sha256);
  require(settings.model.adapter, "has", now.adapter_sha256, then.adapter_sha256);
  require(settings.model.folder, "the weights have", now.weights_sha256, then.weights_sha256);
}

// Throws Error on all ranks if they have read different files. Each rank reads its own files, which
// need not be on a shared disk.
void RequireSame(const TrainInputs& inputs, int64_t step, dpo::Ranks& ranks) {
  if (!ranks.Same(fmt::format("{} {} {} {} {}", inputs.weights_sha256, inputs.adapter_sha256,
                              inputs.data_sha256, inputs.files.Text(), step)))
    Fail(
        "ranks have different files: model, adapter, data and checkpoints must be the same on "
        "every machine; copy them again, or put them on a shared disk");
}

}  // namespace

bool HoldsResult(const fs::path& output) {
  for (const char* name :
       {"model.safetensors", "model.safetensors.index.json", "adapter_config.json"})
    if (fs::exists(output / name)) return true;
  return false;
}

TrainResult RunTraining(const TrainSettings& settings, const fs::path& output, Progress& progress,
                        dpo::Ranks& ranks) {
  settings.Validate();
  LoadedModel base = LoadBase(settings, ranks);
  const TrainInputs inputs = InputsOf(settings);
  RequireSame(inputs, 0, ranks);
  const Job job(settings, std::move(base), inputs, progress, ranks);
  std::optional<data::RunLock> lock;
  if (ranks.rank() == 0) {
    data::CreateOutputFolder(output);
    lock.emplace(output);
    data::RequireAbsent(output / "train.toml");  // another process may have been quicker
    SaveTrainSettings(settings, inputs, ranks.size(), output);
  }
  return Run(job, {}, output, lock ? &*lock : nullptr, progress, ranks).Finish();
}

TrainResult ResumeTraining(const fs::path& output, TrainSettings& settings, Progress& progress,
                           dpo::Ranks& ranks) {
  TrainInputs inputs;
  settings = LoadTrainSettings(output, inputs);
  std::optional<data::RunLock> lock;
  if (ranks.rank() == 0) lock.emplace(output);
  if (HoldsResult(output))
    Fail("{}: the run is finished; start a new one for more steps", output.string());
  RequireUnchanged(settings, InputsOf(settings), inputs, output);
  const auto found = FindTrainCheckpoint(output).value_or(TrainCheckpoint{});
  RequireSame(inputs, found.state.step, ranks);
  const Job job(settings, LoadBase(settings, ranks), inputs, progress, ranks);
  if (found.state.step > 0) job.Load(found.folder);
  return Run(job, found, output, lock ? &*lock : nullptr, progress, ranks).Finish();
}

}  // namespace pivotal::experiments

namespace pivotal {

TrainResult Train(const TrainSettings& settings, const std::filesystem::path& output,
                  Progress& progress) {
  return experiments::RunTraining(settings, output, progress);
}

TrainResult ResumeTraining(const std::filesystem::path& output, Progress& progress) {
  TrainSettings settings;
  return experiments::ResumeTraining(output, settings, progress);
}

}  // namespace pivotal
