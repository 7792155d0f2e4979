// Apache-2.0. pivotal train
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "cli/patient_threads.h"
#include "data/base/error.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "dpo/loss.h"
#include "dpo/optimizer.h"
#include "dpo/ranks.h"
#include "dpo/schedule.h"
#include "dpo/trainer.h"
#include "experiments/evaluate/model_card.h"
#include "experiments/train/train_output.h"
#include "experiments/train/train_run.h"
#include "experiments/train/train_settings.h"
#include "model/memory.h"
#include "model/quantised_matrix.h"
#include "pivotal/training.h"

namespace pivotal::cli {
namespace {

using nlohmann::ordered_json;

struct TrainFlags {
  TrainSettings settings;
  std::string objective = "dpo", loss = "sigmoid", divergence = "reverse_kl", schedule = "cosine",
              order = "shuffled", half_update = "master", optimizer = "adamw", clip_by = "global";
  std::filesystem::path output, resume, config;
  bool json = false;
  std::optional<double> max_oracle_failures;  // with --resume, if it is given
};

// Sets what flags name; what none names stays as --config, or the default, has it.
void ParseNames(const CLI::App& sub, TrainFlags& flags) {
  TrainSettings& settings = flags.settings;
  const auto set = [&](const char* name, auto& setting, const auto& parse, const std::string& of) {
    if (IsGiven(sub, name)) setting = parse(of);
  };
  if (IsGiven(sub, "--objective")) {
    settings.sft = flags.objective == "sft";
    if (!settings.sft) settings.loss.method = dpo::ParsePreferenceMethod(flags.objective);
  }
  auto& optimizer = settings.options.optimizer;
  set("--loss", settings.loss.losses, dpo::ParseLosses, flags.loss);
  set("--f-divergence", settings.loss.divergence, dpo::ParseFDivergence, flags.divergence);
  set("--order", settings.options.order, dpo::ParseDataOrder, flags.order);
  set("--lr-schedule", settings.options.schedule, dpo::ParseSchedule, flags.schedule);
  set("--bf16-update", optimizer.half_update, dpo::ParseHalfUpdate, flags.half_update);
  set("--optimizer", optimizer.type, dpo::ParseOptimizerType, flags.optimizer);
  set("--clip-by", optimizer.clip_by, dpo::ParseClipBy, flags.clip_by);
}

std::string ResultJson(const TrainResult& result, const TrainSettings& settings,
                       const std::filesystem::path& output) {
  const StepLog& last = result.last;
  ordered_json object = {{"output", output.string()},
                         {"adapter", settings.WritesAdapter()},
                         {"steps", last.step},
                         {"seconds", last.seconds},
                         {"tokens", last.tokens},
                         {"examples", last.examples},
                         {"loss", last.loss},
                         {"metrics", last.metrics},
                         {"weight_change", nullptr},
                         {"peak_bytes", result.peak_bytes},
                         {"planned_bytes", result.planned_bytes},
                         {"ended_early", result.early}};
  if (result.weight_change) object["weight_change"] = *result.weight_change;
  if (result.best.step > 0)
    object["best"] = {{"metric", settings.held_out.Metric()},
                      {"value", result.best.value},
                      {"step", result.best.step},
                      {"folder", experiments::BestFolder(output, result.best.step).string()}};
  return data::JsonLine(object);
}

void Print(const TrainResult& result, const TrainSettings& settings,
           const std::filesystem::path& output) {
  const StepLog& last = result.last;
  fmt::print("{} steps in {:.1f} s, last loss {:.4f}", last.step, last.seconds, last.loss);
  if (const auto margin = last.metrics.find("rewards/margins"); margin != last.metrics.end())
    fmt::print(", reward margin {:.3f}", margin->second);
  if (const auto right = last.metrics.find("rewards/accuracies"); right != last.metrics.end())
    fmt::print(", reward accuracy {:.2f}", right->second);
  fmt::print("\n{} and log.jsonl in {}\n", settings.WritesAdapter() ? "adapter" : "model",
             output.string());
  if (result.weight_change && *result.weight_change > 0)
    fmt::print("the trained weights have moved by {:.3g}% of their norm\n",
               100 * *result.weight_change);
  else if (result.weight_change)
    spdlog::warn("the weights have not moved: the result is the model that training began with");
  fmt::print("peak memory {}, planned {}\n", model::BytesText(result.peak_bytes),
             model::BytesText(result.planned_bytes));
  if (result.early)
    fmt::print("ended after {} evaluations without a better one\n", settings.held_out.patience);
  if (result.best.step > 0)
    fmt::print("best {} {:.4g} at step {}, in {}\n", settings.held_out.Metric(), result.best.value,
               result.best.step, experiments::BestFolder(output, result.best.step).string());
}

// Returns a word of a command line as a shell reads it.
std::string ShellWord(const std::string& text) {
  static constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:=+@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string word = text;
  data::ReplaceAll(word, "'", "'\\''");
  return "'" + word + "'";
}

// Returns the options that were given, for readers elsewhere: of folders and files, and of the
// program of an oracle, it has the names alone.
std::string CommandText(const CLI::App& sub) {
  std::string text = "pivotal train";
  for (const CLI::Option* option : sub.get_options()) {
    const std::string name = option->get_name();
    if (option->empty() || option->get_group() == group::kGeneral || name == "--json") continue;
    text += " " + name;
    if (option->get_items_expected_max() == 0) continue;  // a flag
    std::string value = option->get_delimiter() == '\0'
                            ? option->results().back()
                            : fmt::format("{}", fmt::join(option->results(), ","));
    if (name == "--model" || name == "--adapter") value = experiments::ModelName(value);
    if (name == "--data" || name == "--eval-data" || name == "--eval-problems")
      value = experiments::DataName(value);
    if (name == "--output" || name == "--tensorboard" || name == "--config")
      value = experiments::BareName(value);
    if (name == "--eval-oracle") value = experiments::OracleName(value);
    text += " " + ShellWord(value);
  }
  return text;
}

void RunTrain(TrainFlags& flags) {
  const auto ranks = dpo::JoinRanks();
  if (ranks->size() > 1)
    flags.settings.command = fmt::format("mpirun -n {} {}", ranks->size(), flags.settings.command);
  const bool first = ranks->rank() == 0;  // the only rank that prints
  if (!first) spdlog::set_level(spdlog::level::off);
  ConsoleProgress progress(/*visible=*/first);
  const bool resume = !flags.resume.empty();
  try {
    const auto result =
        resume ? experiments::ResumeTraining(flags.resume, flags.settings, progress, *ranks,
                                             flags.max_oracle_failures)
               : experiments::RunTraining(flags.settings, flags.output, progress, *ranks);
    const auto& output = resume ? flags.resume : flags.output;
    if (first && flags.json)
      PrintResult(ResultJson(result, flags.settings, output));
    else if (first)
      Print(result, flags.settings, output);
  } catch (const Interrupted&) {
    if (first) throw;  // all ranks stop together, and one says so
  } catch (const std::exception& error) {
    ranks->Abandon(FirstLine(error.what()));
    throw;
  }
}

// Returns a check that accepts what dpo::ParseLosses reads.
CLI::Validator Losses() {
  return CLI::Validator(
      [](std::string& text) {
        try {
          dpo::ParseLosses(text);
        } catch (const Error& error) {
          return std::string(error.what());
        }
        return std::string();
      },
      fmt::format("NAME[:WEIGHT],... of {}", fmt::join(dpo::LossTypeNames(), ", ")));
}

void AddLossFlags(CLI::App& sub, TrainFlags& flags) {
  LossOptions& loss = flags.settings.loss;
  Under(sub, group::kLoss);
  sub.add_option(
         "--loss", flags.loss,
         "loss function, or a sum of several with weights, e.g. "
         "sigmoid:0.8,bco_pair:0.2,sft:1; cpo takes sigmoid, hinge and ipo only, kto its own "
         "(sigmoid) and apo_zero_unpaired; aot and "
         "aot_unpaired sort the pairs of a forward pass, so that --batch-size and the "
         "number of processes change them")
      ->check(Losses())
      ->capture_default_str();
  sub.add_option("--beta", loss.beta,
                 "scale of the log-ratios; a larger one holds the model closer to the reference")
      ->check(Interval("(0, inf)"))
      ->capture_default_str();
  sub.add_option("--label-smoothing", loss.label_smoothing,
                 "fraction of pairs that are expected to be the wrong way round (conservative DPO)")
      ->check(Interval("[0, 0.5)"))
      ->capture_default_str();
  sub.add_option("--rpo-alpha", loss.rpo_alpha,
                 "weight of the chosen side's mean negative log-likelihood, added to the loss")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
  sub.add_option("--cpo-alpha", loss.cpo_alpha,
                 "weight that cpo gives to the mean negative log-likelihood of a step's chosen "
                 "tokens")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
  sub.add_option("--simpo-gamma", loss.simpo_gamma, "margin that simpo aims at")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
  sub.add_option("--discopop-tau", loss.discopop_tau,
                 "temperature at which discopop mixes its two losses")
      ->check(Interval("(0, inf)"))
      ->capture_default_str();
  auto* divergence =
      sub.add_option(
             "--f-divergence", flags.divergence,
             "divergence that holds the model to the reference (f-DPO), for sigmoid, hinge, "
             "ipo, robust, exo_pair, discopop and sigmoid_norm")
          ->check(OneOf(dpo::FDivergenceNames()))
          ->capture_default_str();
  sub.add_option("--f-alpha", loss.f_alpha, "alpha of alpha_divergence; 1 is reverse_kl")
      ->check(CLI::Number)
      ->capture_default_str()
      ->needs(divergence);
  sub.add_flag("--wpo", loss.wpo,
               "multiply the loss of a pair by the model's own probability of both sides, a "
               "geometric mean over tokens that has no gradient (WPO)");
  sub.add_option("--ld-alpha", loss.ld_alpha,
                 "weight of the tokens of a side beyond the length of the other side (LD-DPO)")
      ->check(Interval("[0, 1]"))
      ->capture_default_str();
  auto* sync =
      sub.add_option("--reference-sync-steps", loss.reference_sync_steps,
                     "mix the model into the reference after every N steps (TR-DPO), which "
                     "takes memory for a second copy of what is trained; 0: the reference "
                     "stays as it is")
          ->check(Whole(0, 1 << 30))
          ->capture_default_str();
  sub.add_option("--reference-mixup", loss.reference_mixup,
                 "share of the model in that mix; the rest is the reference before")
      ->check(Interval("(0, 1]"))
      ->capture_default_str()
      ->needs(sync);
  sub.add_option("--desirable-weight", loss.desirable_weight,
                 "factor of the losses of good completions in kto")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
  sub.add_option("--undesirable-weight", loss.undesirable_weight,
                 "factor of the losses of bad completions in kto")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
  sub.add_option("--clip-ratio", loss.clip_ratio,
                 "how far the ratio of a token's probabilities, of the model to the one that "
                 "sampled the token, may be from 1 and still count in ppo")
      ->check(Interval("(0, 1)"))
      ->capture_default_str();
  sub.add_option("--kl-weight", loss.kl_weight,
                 "factor of the estimated KL divergence from the reference in ppo; 0: no reference")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
}

void AddWeightFlags(CLI::App& sub, TrainFlags& flags) {
  TrainSettings& settings = flags.settings;
  Under(sub, group::kWeights);
  auto* rank = sub.add_option("--lora-rank", settings.lora.rank,
                              "train a LoRA adapter of this rank and leave the weights as they "
                              "are; 0: train the weights")
                   ->check(Whole(0, 1 << 20))
                   ->capture_default_str();
  rank->excludes(sub.get_option("--adapter"));
  sub.get_option("--adapter")
      ->description(
          "folder of a LoRA adapter (PEFT) to train further; the reference is the model without "
          "it");
  sub.add_option("--lora-alpha", settings.lora.alpha,
                 "scale of the adapter: its update is multiplied by alpha / rank")
      ->check(Interval("(0, inf)"))
      ->capture_default_str()
      ->needs(rank);
  sub.add_option("--lora-modules", settings.lora.modules,
                 "linear layers that get an adapter, e.g. qkv_proj,o_proj (default: all linear "
                 "layers of the decoder)")
      ->delimiter(',')
      ->take_all()
      ->needs(rank);
  sub.add_flag("--rslora", settings.lora.rslora,
               "multiply the adapter's update by alpha / sqrt(rank) in place of alpha / rank")
      ->needs(rank);
  sub.add_option(
         "--base-weights", settings.model.base_weights,
         "how the decoder's linear layers are stored beside an adapter: auto, in --dtype; nf4, "
         "in 4 bits (QLoRA); int8, in 8 bits")
      ->check(OneOf(model::BaseWeightsNames()))
      ->capture_default_str();
  sub.add_flag("--merge", settings.merge,
               "write a whole model with the adapter added to its weights");
  sub.add_option("--freeze", settings.freeze,
                 "modules whose weights are not trained, e.g. embed_tokens,layers.0-15")
      ->delimiter(',')
      ->take_all();
  sub.add_flag("--activation-checkpointing", settings.activation_checkpointing,
               "keep only the input of each layer and compute the layer twice: takes less memory "
               "and more time");
  sub.add_flag("--shard-weights", settings.shard_weights,
               "divide the weights, too, among the processes that mpirun or srun starts (ZeRO-3): "
               "each keeps a part, and gets a layer's from the others while it computes it");
  auto* fit = sub.add_flag(
      "--fit", settings.fit,
      "if the memory should not be enough, choose what saves some, and say what was chosen: "
      "--activation-checkpointing, a lower --batch-size with more --gradient-accumulation, "
      "--shard-weights where there are several processes, --optimizer adamw8bit, --dtype bfloat16 "
      "with --bf16-update stochastic, --fused-backward");
  sub.add_flag("--ignore-memory-plan", settings.ignore_memory_plan,
               "train even if the free memory should not be enough")
      ->excludes(fit);
  sub.add_option(
         "--optimizer", flags.optimizer,
         "AdamW with moments in float32 (adamw) or in 8 bits with a scale for each block of "
         "256 (adamw8bit): 2 bytes a weight in place of 8")
      ->check(OneOf(dpo::OptimizerTypeNames()))
      ->capture_default_str();
  sub.add_flag(
      "--fused-backward", settings.options.optimizer.fused_backward,
      "update each layer during the backward pass and free its gradients, so that those of "
      "one layer exist at a time; needs --clip-by tensor or previous, no "
      "--gradient-accumulation, and one process");
  sub.add_option("--bf16-update", flags.half_update,
                 "how 16-bit weights are updated: master keeps float32 copies; stochastic rounds "
                 "at random (bfloat16 only)")
      ->check(OneOf(dpo::HalfUpdateNames()))
      ->capture_default_str();
}

void AddHeldOutFlags(CLI::App& sub, HeldOutSettings& held_out) {
  Under(sub, group::kHeldOut);
  sub.add_option("--eval-data", held_out.data,
                 "held-out examples to measure the loss on, in the form of --data")
      ->type_name("FILE");
  sub.add_option(
         "--eval-problems", held_out.problems.file,
         "held-out problems to measure the accuracy on, at temperature 0: a file or a name, "
         "as --problems of pivotal eval")
      ->type_name("FILE");
  sub.add_option("--eval-dataset", held_out.problems.options.dataset,
                 "the well-known data set that --eval-problems holds, as --dataset of pivotal eval")
      ->needs("--eval-problems")
      ->check(OneOf(DatasetNames()));
  sub.add_option("--eval-oracle", held_out.problems.oracle,
                 "how responses to --eval-problems are judged; pivotal eval --help lists the names")
      ->capture_default_str();
  AddOracleFlags(sub, held_out.problems.oracle_options);
  Under(sub, group::kHeldOut);
  sub.add_option("--eval-limit", held_out.problems.options.limit,
                 "use only the first N of --eval-problems; 0: all")
      ->capture_default_str();
  sub.add_option("--eval-max-new-tokens", held_out.max_new_tokens,
                 "longest response to a held-out problem, in tokens")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub.add_option("--eval-steps", held_out.every, "evaluate every N steps; 0: after each epoch")
      ->check(Whole(0, 1 << 30))
      ->capture_default_str();
  sub.add_option("--eval-metric", held_out.metric,
                 "metric that decides which evaluation is best; its weights are kept in "
                 "OUTPUT/best-STEP (default: eval_accuracy if it is measured, else eval_loss)")
      ->check(
          OneOf({"eval_loss", "eval_accuracy", "eval_rewards/accuracies", "eval_rewards/margins"}));
  sub.add_option("--early-stop", held_out.patience,
                 "end after N evaluations without a better one; 0: never")
      ->check(Whole(0, 1 << 20))
      ->capture_default_str();
}

void AddStepFlags(CLI::App& sub, TrainFlags& flags) {
  TrainOptions& options = flags.settings.options;
  Under(sub, group::kSteps);
  sub.add_option("--learning-rate", options.optimizer.learning_rate, "peak of the learning rate")
      ->check(Interval("(0, inf)"))
      ->capture_default_str();
  sub.add_option("--epochs", options.epochs, "number of passes through the data")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub.add_option("--batch-size", options.batch_size, "number of examples in a forward pass")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub.add_option("--gradient-accumulation", options.gradient_accumulation,
                 "number of forward passes in an optimizer step")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub.add_option("--max-steps", options.max_steps,
                 "end after N optimizer steps; 0: after all epochs")
      ->check(Whole(0, 1 << 30))
      ->capture_default_str();
  sub.add_option("--lr-schedule", flags.schedule, "shape of the learning rate after the warm-up")
      ->check(OneOf(dpo::ScheduleNames()))
      ->capture_default_str();
  sub.add_option("--warmup-ratio", options.warmup_ratio,
                 "fraction of the steps in which the learning rate rises to its peak: the first of "
                 "n steps has 1/n of it")
      ->check(Interval("[0, 1)"))
      ->capture_default_str();
  sub.add_option("--warmup-steps", options.warmup_steps,
                 "number of steps in which the learning rate rises; 0: by --warmup-ratio")
      ->check(Whole(0, 1 << 30))
      ->capture_default_str();
  sub.add_option("--min-learning-rate-ratio", options.min_learning_rate_ratio,
                 "fraction of the peak at which a linear or cosine schedule ends")
      ->check(Interval("[0, 1]"))
      ->capture_default_str();
  sub.add_option("--weight-decay", options.optimizer.weight_decay,
                 "weight decay of matrices; norms have none")
      ->check(Interval("[0, 10]"))
      ->capture_default_str();
  sub.add_option("--adam-beta2", options.optimizer.beta2,
                 "decay of AdamW's average of squared gradients")
      ->check(Interval("(0, 1)"))
      ->capture_default_str();
  sub.add_option("--max-grad-norm", options.optimizer.max_grad_norm,
                 "largest norm of gradients, to which they are clipped; 0: no clipping")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
  sub.add_option("--clip-by", flags.clip_by,
                 "which norm is clipped: global, that of all gradients together; tensor, that of "
                 "each weight's gradient by itself; previous, all gradients by the factor that the "
                 "norm of the step before asks for (the first step: tensor)")
      ->check(OneOf(dpo::ClipByNames()))
      ->capture_default_str();
  sub.add_option("--order", flags.order, "order of the data: shuffled, or as in the file")
      ->check(OneOf(dpo::DataOrderNames()))
      ->capture_default_str();
  sub.add_option("--seed", options.seed,
                 "seed of the shuffled order, of new adapters and of random rounding")
      ->capture_default_str();
  sub.add_flag("!--no-reference-cache", flags.settings.reference_cache,
               "score the pairs under the reference again; by default the scores are kept in "
               "DATA.reference.json");
  Under(sub, group::kOutput);
  AddShardSizeFlag(sub, flags.settings.max_shard_bytes);
  sub.add_option("--save-steps", flags.settings.save_steps,
                 "write OUTPUT/checkpoint-STEP every N steps; 0: only on Ctrl-C")
      ->check(Whole(0, 1 << 30))
      ->capture_default_str();
  sub.add_option("--keep", flags.settings.keep, "number of newest checkpoints that are kept")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub.add_option("--tensorboard", flags.settings.tensorboard,
                 "folder, one for each run, for event files: TensorBoard shows the numbers of "
                 "log.jsonl under the names that TRL gives them there")
      ->type_name("FOLDER");
}

}  // namespace

void AddTrain(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "train",
      "Train a model on preference pairs (DPO) or completions; under mpirun -n N, N processes "
      "divide the examples of each step");
  auto flags = std::make_shared<TrainFlags>();
  AddModelFlags(*sub, flags->settings.model);
  AddSystemFlag(*sub, flags->settings.model);
  Under(*sub, group::kData);
  sub->add_option("--data", flags->settings.data,
                  "pair file to train on; for --objective sft a file of JSON lines with prompt and "
                  "completion; for kto lines with prompt, completion and label (true: good), or a "
                  "pair file, each side of which is an example; for ppo lines with prompt, "
                  "completion and advantages, as pivotal export --format advantages writes them")
      ->type_name("FILE");
  Under(*sub, group::kOutput);
  sub->add_option("--output", flags->output, "model folder to make")->type_name("FOLDER");
  Under(*sub, group::kLoss);
  sub->add_option("--objective", flags->objective,
                  "what is trained: dpo on pairs; cpo, simpo or orpo on pairs without a reference "
                  "model; kto on completions that are good or bad; ppo, a policy gradient on "
                  "completions with an advantage for each token; sft, next-token prediction of "
                  "completions")
      ->check(OneOf({"dpo", "cpo", "simpo", "orpo", "kto", "ppo", "sft"}))
      ->capture_default_str();
  AddLossFlags(*sub, *flags);
  AddWeightFlags(*sub, *flags);
  AddHeldOutFlags(*sub, flags->settings.held_out);
  AddStepFlags(*sub, *flags);
  sub->get_option("--model")->required(false);
  sub->add_option("--resume", flags->resume,
                  "continue this output folder under the settings of its train.toml; only "
                  "--max-oracle-failures can be changed")
      ->type_name("FOLDER");
  AddConfigFlag(*sub, flags->config, "train.toml");
  AddJsonFlag(*sub, flags->json);
  SetHelp(*sub,
          {"--model FOLDER --data PAIRS --output FOLDER [OPTIONS]\n"
           "       pivotal train --resume FOLDER",
           {"--model", "--data", "--output", "--resume", "--loss", "--beta", "--lora-rank", "--fit",
            "--learning-rate", "--epochs", "--batch-size", "--eval-data", "--eval-problems"},
           {{"train all weights on the pairs of a run",
             "train --model phi-4-mini --data run/pairs.jsonl --output tuned"},
            {"train an adapter, in what memory there is, and keep the best by held-out accuracy",
             "train --model phi-4 --data run/pairs.jsonl --lora-rank 16 --fit --eval-problems "
             "heldout.jsonl --eval-steps 50 --output tuned"}},
           "docs/training.md"});
  auto* failures = sub->get_option("--max-oracle-failures");
  sub->callback([flags, sub, failures] {
    if (!flags->resume.empty()) RefuseBesideResume(*sub, {"--max-oracle-failures"});
    if (!failures->empty())
      flags->max_oracle_failures = flags->settings.held_out.problems.oracle_options.max_failures;
    if (flags->resume.empty()) {
      bool knows_oracle = false;
      if (!flags->config.empty()) {
        knows_oracle = experiments::ApplyTrainSettings(flags->config, flags->settings);
        ApplyFlagsAgain(*sub);
        FindModels(flags->settings.model, /*is_served=*/false);
      }
      ParseNames(*sub, *flags);
      const std::pair<const char*, const std::filesystem::path&> needed[] = {
          {"--model", flags->settings.model.folder},
          {"--data", flags->settings.data},
          {"--output", flags->output}};
      for (const auto& [name, path] : needed)
        if (path.empty()) throw CLI::RequiredError(name);
      flags->settings.command = CommandText(*sub);
      auto& held_out = flags->settings.held_out;
      UseDataset(*sub, held_out.problems, "test", knows_oracle);
      for (const auto& file : {held_out.problems.file, held_out.data})
        if (!file.empty() && !data::Exists(file))
          Fail("{}: there is no such file; --eval-problems and --eval-data need files",
               file.string());
    }
    UsePatientThreads();
    RunTrain(*flags);
  });
}

}  // namespace pivotal::cli
