// Apache-2.0. pivotal train
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <limits>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/error.h"
#include "dpo/ranks.h"
#include "experiments/train_run.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::TrainSettings settings;
  std::string objective = "dpo", loss = "sigmoid", schedule = "cosine", order = "shuffled",
              half_update = "master";
  std::filesystem::path output, resume;
};

void Print(const experiments::TrainResult& result, const experiments::TrainSettings& settings,
           const std::filesystem::path& output) {
  const dpo::StepLog& last = result.last;
  fmt::print("{} steps in {:.1f} s, last loss {:.4f}", last.step, last.seconds, last.loss);
  if (const auto margin = last.metrics.find("rewards/margins"); margin != last.metrics.end())
    fmt::print(", reward margin {:.3f}, reward accuracy {:.2f}", margin->second,
               last.metrics.at("rewards/accuracies"));
  fmt::print("\n{} and log.jsonl in {}\n", settings.WritesAdapter() ? "adapter" : "model", output.string());
  if (result.early)
    fmt::print("ended after {} evaluations without a better one\n", settings.held_out.patience);
  if (result.best.step > 0)
    fmt::print("best {} {:.4g} at step {}, in {}\n", settings.held_out.Metric(), result.best.value,
               result.best.step, experiments::BestFolder(output, result.best.step).string());
}

void Run(Flags& flags) {
  flags.settings.sft = flags.objective == "sft";
  if (!flags.settings.sft)
    flags.settings.loss.method = dpo::ParsePreferenceMethod(flags.objective);
  flags.settings.options.order = dpo::ParseDataOrder(flags.order);
  flags.settings.options.schedule = dpo::ParseSchedule(flags.schedule);
  flags.settings.options.optimizer.half_update = dpo::ParseHalfUpdate(flags.half_update);
  flags.settings.loss.type = dpo::ParseLossType(flags.loss);
  const auto ranks = dpo::JoinRanks();
  if (ranks->rank() != 0) spdlog::set_level(spdlog::level::off);  // what rank 0 says is enough
  ConsoleProgress progress(/*visible=*/ranks->rank() == 0);
  const bool resume = !flags.resume.empty();
  try {
    const auto result = resume ? experiments::ResumeTraining(flags.resume, flags.settings, progress, *ranks)
                               : experiments::RunTraining(flags.settings, flags.output, progress, *ranks);
    if (ranks->rank() == 0) Print(result, flags.settings, resume ? flags.resume : flags.output);
  } catch (const Interrupted&) {
    if (ranks->rank() == 0) throw;  // all ranks stop together, and one says so
  } catch (const std::exception& error) {
    ranks->Abandon(FirstLine(error.what()));
    throw;
  }
}

void AddLossFlags(CLI::App& sub, Flags& flags) {
  dpo::LossOptions& loss = flags.settings.loss;
  const auto above_zero = CLI::Range(std::numeric_limits<double>::min(), 1e9);
  const auto not_negative = CLI::Range(0.0, 1e9);
  sub.add_option("--loss", flags.loss, "dpo: any; cpo: sigmoid, hinge, ipo")
      ->check(CLI::IsMember(dpo::LossTypeNames()))->capture_default_str();
  sub.add_option("--beta", loss.beta, "scale of the log-ratios: the pull to the reference")
      ->check(above_zero)->capture_default_str();
  sub.add_option("--label-smoothing", loss.label_smoothing,
                 "share of pairs expected to be the wrong way round (conservative DPO)")
      ->check(CLI::Range(0.0, 0.499))->capture_default_str();
  sub.add_option("--rpo-alpha", loss.rpo_alpha,
                 "weight of the chosen side's mean negative log-likelihood, added to the loss")
      ->check(not_negative)->capture_default_str();
  sub.add_option("--cpo-alpha", loss.cpo_alpha, "cpo: weight of that of all chosen tokens of a step")
      ->check(not_negative)->capture_default_str();
  sub.add_option("--simpo-gamma", loss.simpo_gamma, "simpo: the margin that is aimed at")
      ->check(not_negative)->capture_default_str();
  sub.add_option("--discopop-tau", loss.discopop_tau, "discopop: temperature of its mixing")
      ->check(above_zero)->capture_default_str();
}

void AddMemoryFlags(CLI::App& sub, Flags& flags) {
  experiments::TrainSettings& settings = flags.settings;
  auto* rank = sub.add_option("--lora-rank", settings.lora.rank,
                              "train an adapter of this rank and no weights (LoRA); 0: all weights")
      ->check(CLI::Range(0, 1 << 20))->capture_default_str();
  rank->excludes(sub.get_option("--adapter"));
  sub.get_option("--adapter")->description("go on with this LoRA adapter; the reference is the model without it");
  sub.add_option("--lora-alpha", settings.lora.alpha, "the adapter counts alpha / rank times")
      ->check(CLI::Range(std::numeric_limits<double>::min(), 1e9))->capture_default_str()->needs(rank);
  sub.add_option("--lora-modules", settings.lora.modules,
                 "linear layers with an adapter, e.g. qkv_proj,o_proj; all of the decoder's if not given")
      ->delimiter(',')->take_all()->needs(rank);
  sub.add_flag("--rslora", settings.lora.rslora, "alpha / sqrt(rank) in place of alpha / rank")
      ->needs(rank);
  sub.add_flag("--merge", settings.merge, "write a whole model with the adapter added to its weights");
  sub.add_option("--freeze", settings.freeze,
                 "modules that are not trained, e.g. embed_tokens,layers.0-15")
      ->delimiter(',')->take_all();
  sub.add_flag("--activation-checkpointing", settings.activation_checkpointing,
               "keep only the input of each layer, and compute it twice: less memory, more time");
  sub.add_flag("--ignore-memory-plan", settings.ignore_memory_plan,
               "begin although the memory that is free should not be enough");
  sub.add_option("--bf16-update", flags.half_update,
                 "of 16-bit weights: master (float32 copies), or stochastic (rounding; bfloat16)")
      ->check(CLI::IsMember(dpo::HalfUpdateNames()))->capture_default_str();
}

void AddHeldOutFlags(CLI::App& sub, experiments::HeldOutSettings& held_out) {
  sub.add_option("--eval-data", held_out.data, "held-out examples, in the form of --data");
  sub.add_option("--eval-problems", held_out.problems.file, "held-out problems, solved at temperature 0");
  sub.add_option("--eval-oracle", held_out.problems.oracle, "who judges their responses, as --oracle of pivotal eval")
      ->capture_default_str();
  AddOracleFlags(sub, held_out.problems.oracle_options);
  sub.add_option("--eval-limit", held_out.problems.options.limit, "problems that are solved; 0: all")
      ->capture_default_str();
  sub.add_option("--eval-max-new-tokens", held_out.max_new_tokens, "of a response")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub.add_option("--eval-steps", held_out.every, "evaluate every N steps; 0: after each epoch")
      ->check(CLI::Range(0, 1 << 30))->capture_default_str();
  sub.add_option("--eval-metric", held_out.metric,
                 "whose best weights are kept in OUTPUT/best-STEP; eval_accuracy, else eval_loss, if not given")
      ->check(CLI::IsMember({"eval_loss", "eval_accuracy", "eval_rewards/accuracies", "eval_rewards/margins"}));
  sub.add_option("--early-stop", held_out.patience, "end after N evaluations without a better one; 0: never")
      ->check(CLI::Range(0, 1 << 20))->capture_default_str();
}

}  // namespace

void AddTrain(CLI::App& app) {
  auto* sub = app.add_subcommand("train", "Train a model on preference pairs (DPO) or completions; with "
                                          "mpirun -n N, on N processes that share each step's examples");
  auto flags = std::make_shared<Flags>();
  auto& settings = flags->settings;
  auto& options = settings.options;
  const auto above_zero = CLI::Range(std::numeric_limits<double>::min(), 1e9);
  AddModelFlags(*sub, settings.model);
  AddSystemFlag(*sub, settings.model);
  sub->add_option("--data", settings.data,
                  "pairs.jsonl for dpo; lines with prompt and completion for sft");
  sub->add_option("--output", flags->output, "model folder to make");
  sub->add_option("--objective", flags->objective,
                  "dpo; cpo, simpo, orpo (no reference model); sft (next token)")
      ->check(CLI::IsMember({"dpo", "cpo", "simpo", "orpo", "sft"}))->capture_default_str();
  AddLossFlags(*sub, *flags);
  AddMemoryFlags(*sub, *flags);
  AddHeldOutFlags(*sub, settings.held_out);
  sub->add_option("--learning-rate", options.optimizer.learning_rate, "peak")
      ->check(above_zero)->capture_default_str();
  sub->add_option("--epochs", options.epochs)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--batch-size", options.batch_size, "examples per forward pass")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--gradient-accumulation", options.gradient_accumulation,
                  "forward passes per optimizer step")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--max-steps", options.max_steps, "stop after N optimizer steps; 0: after --epochs")
      ->check(CLI::Range(0, 1 << 30))->capture_default_str();
  sub->add_option("--lr-schedule", flags->schedule, "of the learning rate after the warm-up")
      ->check(CLI::IsMember(dpo::ScheduleNames()))->capture_default_str();
  sub->add_option("--warmup-ratio", options.warmup_ratio, "share of the steps with a rising rate")
      ->check(CLI::Range(0.0, 0.999))->capture_default_str();
  sub->add_option("--warmup-steps", options.warmup_steps, "in place of the ratio; 0: by the ratio")
      ->check(CLI::Range(0, 1 << 30))->capture_default_str();
  sub->add_option("--min-learning-rate-ratio", options.min_learning_rate_ratio,
                  "share of the peak at which line and cosine end")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  sub->add_option("--weight-decay", options.optimizer.weight_decay, "on matrices")
      ->check(CLI::Range(0.0, 10.0))->capture_default_str();
  sub->add_option("--adam-beta2", options.optimizer.beta2)->check(kOpenUnitInterval)
      ->capture_default_str();
  sub->add_option("--max-grad-norm", options.optimizer.max_grad_norm, "clip to this norm; 0: off")
      ->check(CLI::Range(0.0, 1e9))->capture_default_str();
  sub->add_option("--max-shard-size", settings.max_shard_bytes,
                  "split the weights into files of at most this size, e.g. 500MB")
      ->transform(CLI::AsSizeValue(true))->check(CLI::PositiveNumber)
      ->default_str("5GB");
  sub->add_option("--order", flags->order, "of the data: shuffled, or as in the file")
      ->check(CLI::IsMember(dpo::DataOrderNames()))->capture_default_str();
  sub->add_option("--seed", options.seed, "of the shuffled order, of new adapters and of rounding")
      ->capture_default_str();
  sub->add_flag("!--no-reference-cache", settings.reference_cache,
                "score the pairs under the reference again; else that is kept in DATA.reference.json");
  sub->add_option("--save-steps", settings.save_steps,
                  "write OUTPUT/checkpoint-STEP every N steps; 0: only on Ctrl-C")
      ->check(CLI::Range(0, 1 << 30))->capture_default_str();
  sub->add_option("--keep", settings.keep, "checkpoints that stay, the newest")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->get_option("--model")->required(false);
  const auto others = sub->get_options([](const CLI::Option* option) {
    return !option->check_name("--help");
  });
  auto* resume = sub->add_option("--resume", flags->resume,
                                 "go on with this output folder, under the settings of its train.toml");
  for (CLI::Option* option : others) resume->excludes(option);
  sub->callback([flags, sub] {
    if (flags->resume.empty()) {
      for (const char* name : {"--model", "--data", "--output"})
        if (sub->get_option(name)->empty()) throw CLI::RequiredError(name);
    }
    Run(*flags);
  });
}

}  // namespace pivotal::cli
