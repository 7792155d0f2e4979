// Apache-2.0.
#include "experiments/train/train_run.h"

#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include "data/base/disk_room.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/run_lock.h"
#include "data/base/worker_status.h"
#include "dpo/owned_tensors.h"
#include "dpo/sharded_weights.h"
#include "experiments/settings/loading.h"
#include "experiments/train/disk_plan.h"
#include "experiments/train/memory_plan.h"
#include "experiments/train/train_card.h"
#include "experiments/train/train_data.h"
#include "experiments/train/weight_change.h"
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

// Throws Error if the settings need one process and there are several.
void RequireRanks(const TrainSettings& settings, const dpo::Ranks& ranks) {
  if (settings.options.optimizer.fused_backward && ranks.size() > 1)
    Fail("--fused-backward needs one process, but there are {}; leave it out", ranks.size());
}

// Returns whether the weights are divided among the ranks.
bool Shards(const TrainSettings& settings, const dpo::Ranks& ranks) {
  return settings.shard_weights && ranks.size() > 1;
}

// Returns the settings of the model without an adapter, on the device of this rank.
ModelSettings BaseOf(const TrainSettings& settings, const dpo::Ranks& ranks) {
  ModelSettings base = settings.model;
  base.adapter.clear();
  base.device = dpo::RankDevice(base.device, ranks.local_rank(), ranks.local_size());
  return base;
}

// Returns `settings` if training with them fits into memory, else the first lighter ones that do,
// and says which. Throws Error if none does. All ranks choose the same.
TrainSettings Fitted(const TrainSettings& settings, dpo::Ranks& ranks) {
  const ModelSettings base = BaseOf(settings, ranks);
  const LoadedModel outline = LoadOutline(base);
  model::PhiModel& phi = *outline.checkpoint.model;
  phi.set_frozen(model::FrozenWeights(phi, settings.freeze));
  const auto task = ReadExamples(settings, settings.data, outline);
  const int64_t room = FreeMemory(model::ParseDevice(base.device), ranks);
  const auto found = FirstThatFits(
      settings, phi,
      [&](const TrainOptions& options) {
        return dpo::LargestPass(*task->objective, options, ranks.size());
      },
      ranks.size(), [&](int64_t total) { return !ranks.Any(total > room); });
  if (!found)
    Fail("--fit: no way to train fits into the {} of free memory; {}, or use a larger machine",
         model::BytesText(room),
         settings.Adapts() ? "take a lower --lora-rank" : "train an adapter: --lora-rank 16");
  spdlog::info("--fit: {}; {} of {} free",
               found->flags.empty() ? "the settings fit as they are" : "chosen " + found->flags,
               model::BytesText(found->plan.Total()), model::BytesText(room));
  return found->settings;
}

// Loads the model without the adapter of the settings, onto the device of this rank; only the own
// weights if they are divided among the ranks.
LoadedModel LoadBase(const TrainSettings& settings, const dpo::Ranks& ranks) {
  const ModelSettings base = BaseOf(settings, ranks);
  if (!settings.ignore_memory_plan)
    RequireWeightsFit(settings, ranks.size(), FreeMemory(model::ParseDevice(base.device), ranks));
  if (!Shards(settings, ranks)) return LoadModel(base);
  return LoadModel(base, [&](const model::ParameterMap& shapes) {
    return dpo::OwnWeights(shapes, ranks.rank(), ranks.size());
  });
}

// Holds the model, the data and the objective of a run. Loads and checks them before the output
// folder is created.
class Job {
 public:
  Job(const TrainSettings& settings, LoadedModel base, const TrainInputs& inputs,
      Progress& progress, dpo::Ranks& ranks)
      : settings_(settings), model_(std::move(base)) {
    if (Shards(settings, ranks)) shards_.emplace(phi(), ranks);
    phi().set_activation_checkpointing(settings.activation_checkpointing);
    const auto adapter = MakeAdapter();
    if (adapter == nullptr) phi().set_frozen(model::FrozenWeights(phi(), settings.freeze));
    const LossOptions& loss = settings.loss;
    if (settings.MovesReference())
      reference_ = std::make_unique<dpo::FollowingReference>(phi(), loss.reference_mixup,
                                                             loss.reference_sync_steps);
    const ComparedModels compared = {inputs.weights_sha256, reference_.get(),
                                     settings.model.adapter.empty() ? nullptr : adapter};
    task_ = MakeTrainTask(settings, settings.data, model_, compared, progress, ranks);
    if (settings.held_out.any()) held_out_.emplace(settings, model_, compared, progress, ranks);
    if (adapter != nullptr)
      phi().set_adapter(adapter);  // the model without adapter scored the reference above
    WarnOfImbalance();
    CheckMemory(ranks);
    if (reference_ != nullptr) reference_->Begin();
  }

  const TrainSettings& settings() const { return settings_; }
  model::PhiModel& phi() const { return *model_.checkpoint.model; }
  const dpo::Objective& objective() const { return *task_->objective; }
  int64_t planned_bytes() const { return planned_bytes_; }
  // Returns the reference that follows the model; null if the reference stays as it is.
  dpo::FollowingReference* reference() const { return reference_.get(); }
  const HeldOut* held_out() const { return held_out_ ? &*held_out_ : nullptr; }

  // Returns the weights that Save() writes, and the base of an adapter, by their owners.
  dpo::OwnedTensors Weights() const {
    return shards_ ? shards_->Weights() : dpo::OwnedTensors{phi().parameters(), {}};
  }
  // Writes the adapter if one is trained, else the weights, which `fetch` returns.
  void Save(const fs::path& folder, const model::FetchTensor& fetch) const {
    if (phi().adapter() != nullptr)
      return SaveAdapter(*phi().adapter(), settings_.model.folder, folder);
    model::SaveCheckpoint(phi(), settings_.model.folder, folder, settings_.max_shard_bytes, fetch);
  }
  void Load(const fs::path& folder) const {
    if (phi().adapter() != nullptr) return phi().set_adapter(model::LoadAdapter(folder, phi()));
    model::LoadWeights(folder, phi());
  }
  // Writes the result of the run: merges the adapter first if the settings say so. If that fails,
  // the model has its adapter again, so that a checkpoint can keep it.
  void SaveResult(const fs::path& folder, const model::FetchTensor& fetch) const {
    const auto adapter = phi().adapter();
    if (settings_.merge) model::MergeAdapter(phi());
    try {
      Save(folder, fetch);
    } catch (...) {
      if (adapter != nullptr) phi().set_adapter(adapter);
      throw;
    }
  }

 private:
  // Warns where the losses of good and of bad examples have other weights than KTO's paper advises
  // (arXiv 2402.01306, eq. 8), as TRL does.
  void WarnOfImbalance() const {
    const auto& examples = task_->unpaired;
    if (examples.empty()) return;
    const auto desirable = std::ranges::count(examples, true, &UnpairedExample::desirable);
    const auto undesirable = std::ssize(examples) - desirable;
    if (desirable == 0 || undesirable == 0)
      return spdlog::warn("{}: all examples have the label {}", settings_.data.string(),
                          desirable > 0);
    const double balance = settings_.loss.desirable_weight * static_cast<double>(desirable) /
                           (settings_.loss.undesirable_weight * static_cast<double>(undesirable));
    if (balance > 0.99 && balance < 4.0 / 3 + 0.01) return;
    const double least = settings_.loss.desirable_weight / balance;
    spdlog::warn(
        "{} desirable and {} undesirable examples: KTO's paper advises a --desirable-weight from "
        "{:.3g} to {:.3g} beside this --undesirable-weight",
        desirable, undesirable, least, least * 4 / 3);
  }
  void CheckMemory(dpo::Ranks& ranks) {
    const LargestPassOf largest_pass = [&](const TrainOptions& options) {
      return dpo::LargestPass(objective(), options, ranks.size());
    };
    const auto shape = ShapeOf(settings_, phi(), largest_pass(settings_.options), ranks.size());
    const int64_t free = FreeMemory(phi().options().device(), ranks);
    const auto plan = model::TrainingFootprintOf(phi().config(), shape);
    planned_bytes_ = plan.Total();
    spdlog::info("memory: {}; {} are free beside the weights", FootprintText(plan),
                 model::BytesText(free));
    if (!settings_.ignore_memory_plan)
      RequireTrainingFits(settings_, phi(), largest_pass, ranks.size(), free);
  }
  // Throws Error if an adapter of this rank, with its gradients and moments, is larger than the
  // memory. It is made before the memory plan, which counts all else.
  void RequireAdapterFits() const {
    const int64_t rank = settings_.lora.rank;
    const int64_t numbers = model::FootprintOf(phi().config(), 4, 1).lora_parameters;
    const int64_t free = model::FreeMemory(phi().options().device());
    constexpr int64_t kBytes = 16;  // of a parameter, its gradient and two moments in float32
    if (settings_.ignore_memory_plan || rank <= free / kBytes / numbers) return;
    Fail("--lora-rank {}: the adapter needs more than the {} of free memory; take a lower rank",
         rank, model::BytesText(free));
  }
  std::shared_ptr<const model::Adapter> MakeAdapter() const {
    if (!settings_.model.adapter.empty()) return model::LoadAdapter(settings_.model.adapter, phi());
    if (settings_.lora.rank > 0) {
      RequireAdapterFits();
      return model::NewAdapter(phi(), settings_.lora, settings_.options.seed);
    }
    return nullptr;
  }

  const TrainSettings& settings_;
  LoadedModel model_;
  std::optional<dpo::ShardedWeights> shards_;
  std::unique_ptr<dpo::FollowingReference> reference_;
  std::unique_ptr<const TrainTask> task_;
  std::optional<HeldOut> held_out_;
  int64_t planned_bytes_ = 0;
};

TrainOptions OptionsOf(const TrainSettings& settings) {
  TrainOptions options = settings.options;
  options.optimizer.rounding_seed = options.seed;
  return options;
}

DiskPlan PlanDisk(const Job& job, int64_t step, const fs::path& output) {
  const int64_t steps = dpo::TotalSteps(job.objective(), job.settings().options) - step;
  return DiskPlanOf(job.settings(), job.phi(), steps, output);
}

// Runs the loop of a training run: optimizer steps, evaluations, checkpoints, and the result.
//
// A file that cannot be written, or an evaluation that fails, does not lose what is trained: rank 0
// keeps the reason in trouble_, and EndIfInTrouble() ends the run on all ranks, with a checkpoint
// if one can be written.
class Run {
 public:
  // Continues from `start`; the model already has its weights. `lock` is the lock of the output
  // folder on rank 0, which alone writes files, and null on other ranks. Keeps room on the disk for
  // the result.
  Run(const Job& job, const TrainCheckpoint& start, const fs::path& output,
      const data::RunLock* lock, Progress& progress, dpo::Ranks& ranks)
      : job_(job),
        settings_(job.settings()),
        output_(output),
        lock_(lock),
        progress_(progress, output, "train.toml", ranks.rank()),
        ranks_(ranks),
        trainer_(job.phi(), job.objective(), OptionsOf(settings_), ranks, job.reference()),
        best_(start.best),
        saved_(start.state.step) {
    if (lock_ != nullptr) {
      log_.emplace(output / "log.jsonl", start.state.step, settings_.tensorboard);
      room_ = data::DiskRoom(output, PlanDisk(job, start.state.step, output).result);
      WarnOfWarmUp();
    }
    if (start.state.step > 0) trainer_.Restore(start.state);
    if (ranks.Any(best_.step > 0 && !data::Exists(BestFolder(output, best_.step))))
      best_.step = 0;  // a later evaluation replaced that folder; the run will repeat it
  }

  TrainResult Finish() {
    const c10::Device device = job_.phi().options().device();
    model::ResetPeakMemory(device);
    ShowSteps();
    while (true) {
      const int64_t step = trainer_.log().step;
      const bool stop = ranks_.Any(progress_.StopRequested());
      if (!stop && EvaluationDue()) Evaluate();
      EndIfInTrouble();
      if (trainer_.done() || EndsEarly()) break;
      if (stop || (settings_.save_steps > 0 && step % settings_.save_steps == 0)) {
        SaveCheckpoint();
        EndIfInTrouble();
      }
      if (stop) Interrupt(fmt::format("stopped after step {} of {}", step, trainer_.total_steps()));
      model::WithMemoryFor("training",
                           "take a lower --batch-size, --activation-checkpointing, --lora-rank or "
                           "a narrower --dtype",
                           [&] { trainer_.Step(); });
      if (log_) Write([&] { log_->Add(trainer_.log()); });
      progress_.Update(trainer_.log().step, Detail());
      TellStep(device);
    }
    EndSteps();
    const int64_t peak = model::PeakMemory(device);
    // An adapter is merged below; weights are compared once they are safe.
    std::optional<double> change = settings_.Adapts() ? Change() : std::nullopt;
    room_.Release();
    if (log_) log_->Finish();
    WriteCard();
    WriteTensors(job_.Weights(),
                 [&](const model::FetchTensor& fetch) { job_.SaveResult(output_, fetch); });
    EndIfInTrouble();
    if (!settings_.Adapts()) change = Change();
    progress_.Close();
    if (lock_ != nullptr) data::RemoveStatus(output_);  // of processes that were killed
    return {trainer_.log(), best_, !trainer_.done(), peak, job_.planned_bytes(), change};
  }

 private:
  // Runs f() on rank 0 only, if the folder's lock is still held. Keeps the reason in trouble_ if
  // something fails.
  template <typename F>
  void Write(F f) {
    if (lock_ == nullptr || !trouble_.empty()) return;
    try {
      lock_->Check();
      f();
    } catch (const std::exception& error) {
      trouble_ = error.what();
    }
  }

  // Does the same with a function that fetches tensors from other ranks, on all of which this must
  // be called.
  template <typename F>
  void WriteTensors(const dpo::OwnedTensors& tensors, F f) {
    dpo::OnRank0(tensors, job_.phi().options().device(), ranks_,
                 [&](const model::FetchTensor& fetch) { Write([&] { f(fetch); }); });
  }

  // Ends the run on all ranks if rank 0 knows a reason: tries to write a checkpoint, for
  // which it frees the room of the result, and throws Error that says what is kept.
  void EndIfInTrouble() {
    if (!ranks_.Any(!trouble_.empty())) return;
    EndSteps();
    const std::string why = std::exchange(trouble_, "");
    room_.Release();
    if (log_) log_->Finish();
    SaveCheckpoint();
    if (lock_ == nullptr) throw Interrupted("rank 0 ended the run");
    const std::string newest = NewestCheckpoint(output_);
    const std::string resume = fmt::format("pivotal train --resume {}", output_.string());
    if (trouble_.empty() && saved_ > 0)
      Fail("{}; by now all {} steps are in {}: once this is put right, {} goes on from there", why,
           saved_, (output_ / newest).string(), resume);
    Fail("{}; {}: once this is put right, {} {}", why,
         newest.empty() ? "no checkpoint could be written"
                        : (output_ / newest).string() + " is kept",
         resume, newest.empty() ? "begins again" : "goes on from there");
  }

  // Writes the model card, before the weights: a folder with them is finished. It is no reason to
  // lose them.
  void WriteCard() const {
    if (lock_ == nullptr) return;
    try {
      lock_->Check();
      const TrainFacts facts = {job_.objective().size(), trainer_.log().step,
                                trainer_.total_steps(), trainer_.schedule().warmup, best_};
      data::WriteFile(output_ / "README.md", TrainCard(settings_, facts, output_));
    } catch (const std::exception& error) {
      spdlog::warn("the model card is not written: {}", error.what());
    }
  }

  // All ranks must call it; only rank 0 gets a result.
  std::optional<double> Change() const {
    std::optional<double> change;
    dpo::OnRank0(job_.Weights(), job_.phi().options().device(), ranks_,
                 [&](const model::FetchTensor& fetch) {
                   try {
                     change = WeightChange(job_.phi(), settings_.model, fetch);
                   } catch (const std::exception&) {  // the folder is not there any more
                   }
                 });
    return change;
  }

  void WarnOfWarmUp() const {
    const int64_t warmup = trainer_.schedule().warmup, steps = trainer_.total_steps();
    if (warmup < steps || warmup <= 1) return;
    spdlog::warn(
        "the learning rate never leaves its warm-up: it rises for {} steps, and training has {}. "
        "The last step has {:.3g}% of --learning-rate; lower --warmup-steps or --warmup-ratio",
        warmup, steps, 100 * trainer_.schedule().Factor(steps - 1));
  }

  void ShowSteps() {
    progress_.Begin("train", trainer_.total_steps(), "steps", trainer_.log().step);
    shows_steps_ = true;
  }
  void EndSteps() {
    if (shows_steps_) progress_.End();
    shows_steps_ = false;
  }

  // Tells those who watch the run what it takes, once a second.
  void TellStep(c10::Device device) {
    const auto now = std::chrono::steady_clock::now();
    if (now - told_ < std::chrono::seconds(1)) return;
    told_ = now;
    const StepLog& log = trainer_.log();
    const std::array numbers = {
        ProgressNumber{"examples", static_cast<double>(log.examples)},
        ProgressNumber{"tokens", static_cast<double>(log.tokens)},
        ProgressNumber{"seconds", log.seconds},
        ProgressNumber{"memory", static_cast<double>(model::PeakMemory(device))},
        ProgressNumber{"planned_memory", static_cast<double>(job_.planned_bytes())}};
    progress_.Tell("", numbers);
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
      EndIfInTrouble();
      Interrupt(stop.what());
    } catch (const std::exception& error) {  // on all ranks
      const std::string why = error.what();  // LibTorch adds lines with its own calls
      Write([&] {
        Fail("the evaluation after step {} failed: {}", step, why.substr(0, why.find('\n')));
      });
      EndIfInTrouble();
    }
    const std::string metric = settings_.held_out.Metric();
    const double value = ranks_.Sum(lock_ != nullptr ? measured.at(metric) : 0.0);
    BestEvaluation best = best_;
    if (best_.step == 0 || IsBetter(metric, value, best_.value)) {
      WriteTensors(job_.Weights(), [&](const model::FetchTensor& fetch) {
        SaveBest(
            step, [&](const fs::path& folder) { job_.Save(folder, fetch); }, output_);
      });
      best = {step, value, 0, step};
    } else {
      ++best.since;
      best.evaluated = step;
    }
    if (log_) Write([&] { log_->Add(step, measured); });
    if (trouble_.empty()) best_ = best;  // else a resumed run repeats this evaluation
    evaluation_ = fmt::format(", {} {:.4g} (best {:.4g})", metric, value, best_.value);
    if (!trainer_.done()) ShowSteps();
  }

  bool EndsEarly() const {
    return settings_.held_out.patience > 0 && best_.since >= settings_.held_out.patience;
  }

  void SaveCheckpoint() {
    if (!ranks_.Any(trainer_.log().step != saved_)) return;
    const dpo::TrainState state = trainer_.State();
    dpo::OwnedTensors tensors = job_.Weights();
    tensors.tensors.insert(state.optimizer.tensors.begin(), state.optimizer.tensors.end());
    tensors.owners.insert(state.optimizer.owners.begin(), state.optimizer.owners.end());
    WriteTensors(tensors, [&](const model::FetchTensor& fetch) {
      SaveTrainCheckpoint(
          state, best_, [&](const fs::path& folder) { job_.Save(folder, fetch); }, fetch, output_,
          settings_.keep);
    });
    if (trouble_.empty()) saved_ = trainer_.log().step;
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
                       settings_.TrainsPairs() ? "pairs" : "examples") +
           evaluation_;
  }

  const Job& job_;
  const TrainSettings& settings_;
  fs::path output_;
  const data::RunLock* lock_;
  data::RecordedProgress progress_;  // on other ranks it records where they see the folder
  dpo::Ranks& ranks_;
  dpo::Trainer trainer_;
  std::optional<TrainLog> log_;  // on rank 0 only
  BestEvaluation best_;
  int64_t saved_;             // step of the latest checkpoint
  data::DiskRoom room_;       // for the result
  std::string trouble_;       // on rank 0: why the run must end; "": nothing failed
  std::string evaluation_;    // text about the latest evaluation
  bool shows_steps_ = false;  // whether progress_ is in the phase "train"
  std::chrono::steady_clock::time_point told_ = {};
};

// While it lives, LibTorch has one thread on the CPU for a model that is so small that threads take
// longer to wait for each other than to compute (bench/README.md, "Threads on a busy machine").
// OMP_NUM_THREADS, if it is set, decides instead.
class ThreadsForModel {
 public:
  explicit ThreadsForModel(const LoadedModel& model) {
    constexpr int64_t kSmall = 192;
    if (model.phi().config().hidden_size < kSmall && std::getenv("OMP_NUM_THREADS") == nullptr)
      at::set_num_threads(1);
  }
  ~ThreadsForModel() { at::set_num_threads(before_); }
  ThreadsForModel(const ThreadsForModel&) = delete;
  ThreadsForModel& operator=(const ThreadsForModel&) = delete;

 private:
  int before_ = at::get_num_threads();
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

// Throws Error on all ranks if they have different settings. Files may have other names on other
// machines.
void RequireSameSettings(TrainSettings settings, dpo::Ranks& ranks) {
  settings.model.folder.clear();
  settings.model.adapter.clear();
  settings.model.device.clear();
  settings.data.clear();
  settings.held_out.data.clear();
  settings.held_out.problems.file.clear();
  settings.tensorboard.clear();
  settings.command.clear();
  if (!ranks.Same(SettingsText(settings)))
    Fail("ranks have different settings: give the same flags to all processes");
}

}  // namespace

bool HoldsResult(const fs::path& output) {
  for (const char* name :
       {"model.safetensors", "model.safetensors.index.json", "adapter_config.json"})
    if (data::Exists(output / name)) return true;
  return false;
}

TrainResult RunTraining(const TrainSettings& given, const fs::path& output, Progress& progress,
                        dpo::Ranks& ranks) {
  given.Validate();
  // One that is there is only checked, before any work.
  if (ranks.rank() == 0 && data::Exists(output)) data::CreateOutputFolder(output);
  RequireSameSettings(given, ranks);
  RequireRanks(given, ranks);
  const TrainSettings settings = given.fit ? Fitted(given, ranks) : given;
  LoadedModel base = LoadBase(settings, ranks);
  const ThreadsForModel threads(base);
  const TrainInputs inputs = InputsOf(settings);
  RequireSame(inputs, 0, ranks);
  const Job job(settings, std::move(base), inputs, progress, ranks);
  std::optional<data::RunLock> lock;
  if (ranks.rank() == 0) {
    RequireDiskFits(PlanDisk(job, 0, output), output);
    data::CreateOutputFolder(output);
    lock.emplace(output);
    data::RequireAbsent(output / "train.toml");  // another process may have been quicker
    SaveTrainSettings(settings, inputs, ranks.size(), output);
  }
  return Run(job, {}, output, lock ? &*lock : nullptr, progress, ranks).Finish();
}

TrainResult ResumeTraining(const fs::path& output, TrainSettings& settings, Progress& progress,
                           dpo::Ranks& ranks, std::optional<double> max_oracle_failures) {
  TrainInputs inputs;
  settings = LoadTrainSettings(output, inputs);
  double& failures = settings.held_out.problems.oracle_options.max_failures;
  failures = max_oracle_failures.value_or(failures);
  RequireSameSettings(settings, ranks);
  RequireRanks(settings, ranks);
  std::optional<data::RunLock> lock;
  if (ranks.rank() == 0) {
    lock.emplace(output);
    data::RemoveStatus(output);  // of processes that were killed
  }
  if (HoldsResult(output))
    Fail("{}: the run is finished; start a new one for more steps", output.string());
  RequireUnchanged(settings, InputsOf(settings), inputs, output);
  auto found = FindTrainCheckpoint(output).value_or(TrainCheckpoint{});
  RequireSame(inputs, found.state.step, ranks);
  LoadedModel base = LoadBase(settings, ranks);
  const ThreadsForModel threads(base);
  const Job job(settings, std::move(base), inputs, progress, ranks);
  if (ranks.rank() == 0) RequireDiskFits(PlanDisk(job, found.state.step, output), output);
  if (found.state.step > 0) job.Load(found.folder);
  Run run(job, found, output, lock ? &*lock : nullptr, progress, ranks);
  found.state = {};  // closes its files: a later checkpoint removes them
  return run.Finish();
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
