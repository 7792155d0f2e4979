// Apache-2.0. Training a Phi model on preference pairs (DPO and its relatives) or on completions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pivotal/error.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/progress.h"

namespace pivotal {

// What the policy is compared with: kDpo a reference model; kCpo (arXiv 2401.08417), kSimpo
// (2405.14734) and kOrpo (2403.07691) nothing. kKto (2402.01306) compares completions that are good
// or bad by themselves with a reference model. kPpo is a policy gradient: it raises or lowers each
// token of a completion by the token's advantage, with the clipped ratio of PPO (1707.06347) to the
// policy that sampled the tokens, and a KL term to a reference model (GRPO, 2402.03300).
enum class PreferenceMethod { kDpo, kCpo, kSimpo, kOrpo, kKto, kPpo };

// The function of the log-ratios c = log pi(chosen)/ref(chosen) and r = log
// pi(rejected)/ref(rejected) that is minimised. s = beta * (c - r), e = label_smoothing (the
// expected share of pairs that are the wrong way round). Names are TRL's.
enum class LossType {
  kSigmoid,  // -(1-e) log sigmoid(s) - e log sigmoid(-s)   DPO, 2305.18290; conservative for e > 0
  kHinge,    // max(0, 1 - s)                               SLiC, 2305.10425
  kIpo,      // (c/|chosen| - r/|rejected| - 1/(2 beta))^2  IPO, 2310.12036, a mean over tokens
  kRobust,   // (-(1-e) log sigmoid(s) + e log sigmoid(-s)) / (1-2e)          2403.00409
  kExoPair,  // KL(sigmoid(s) || 1-e)                       2402.00856, e > 0
  kNcaPair,  // -log sigmoid(beta c) - (log sigmoid(-beta c) + log sigmoid(-beta r)) / 2, 2402.05369
  kBcoPair,  // -log sigmoid(beta c) - log sigmoid(-beta r) 2404.04656
  kSppoHard,     // (c - 1/(2 beta))^2 + (r + 1/(2 beta))^2     2405.00675
  kApoZero,      // 1 - sigmoid(beta c) + sigmoid(beta r)       2408.06266
  kApoDown,      // sigmoid(beta c) + 1 - sigmoid(s)
  kDiscopop,     // -log sigmoid(s) and exp(-s), mixed by sigmoid(s/tau)          2406.08414
  kSigmoidNorm,  // sigmoid loss of beta (c/|chosen| - r/|rejected|)              2411.15124
  // The sigmoid loss of differences between sorted numbers of one forward pass, 2406.05882. Such a
  // loss depends on which pairs a pass holds: on the batch size and the number of processes.
  kAot,          // of sorted log pi(chosen)/pi(rejected) and sorted log ref(chosen)/ref(rejected)
  kAotUnpaired,  // of sorted c and sorted r
  kSft,          // -log pi(chosen), a mean over all chosen tokens of a step
  kApoZeroUnpaired,  // for kKto: 1 - sigmoid(beta c) of a good one, sigmoid(beta c) of a bad one
};

// One loss of a weighted sum.
struct WeightedLoss {
  LossType type = LossType::kSigmoid;
  double weight = 1;  // above 0
  bool operator==(const WeightedLoss&) const = default;
};

// The f-divergence that holds the policy to the reference (f-DPO, arXiv 2309.16240). Losses of s
// then read f'(pi/ref) in place of the log-ratios: s = beta * (f'(exp c) - f'(exp r)).
enum class FDivergence {
  kReverseKl,  // f'(u) = log u
  kForwardKl,  // f'(u) = 1 - 1/u
  kJs,         // f'(u) = log(2u / (1 + u))
  kAlpha,      // f'(u) = (u^(alpha-1) - 1) / (alpha - 1)
};

struct LossOptions {
  PreferenceMethod method = PreferenceMethod::kDpo;
  // The loss is the sum of these. kDpo takes any but kApoZeroUnpaired; kCpo takes one of kSigmoid,
  // kHinge, kIpo; kKto kSigmoid, which stands for its own loss, or kApoZeroUnpaired; other methods
  // have a loss of their own and keep kSigmoid.
  std::vector<WeightedLoss> losses = {{}};
  double beta = 0.1;             // scale of the log-ratios; above 0
  double label_smoothing = 0.0;  // in [0, 0.5); of all `losses` that have an e
  double rpo_alpha = 0.0;        // weight of -log pi(chosen) / |chosen|, added to any loss
  double cpo_alpha = 1.0;      // kCpo: weight of the mean -log pi over all chosen tokens of a step
  double simpo_gamma = 0.5;    // kSimpo: target margin
  double discopop_tau = 0.05;  // kDiscopop: temperature of the mixture
  // Other divergences than kReverseKl need losses of s: kSigmoid, kHinge, kIpo, kRobust, kExoPair,
  // kDiscopop, kSigmoidNorm, and kSft beside them.
  FDivergence divergence = FDivergence::kReverseKl;
  double f_alpha = 0.5;  // of FDivergence::kAlpha; 1 is kReverseKl
  // WPO (arXiv 2406.11827): multiplies the loss of a pair by the policy's own probability of both
  // sides, which has no gradient: exp of the means over tokens of log(pi(token) / sum_v pi(v)^2).
  // Needs kDpo; losses that are not one a pair (kAot, kAotUnpaired, kSft) have no such weight.
  bool wpo = false;
  // LD-DPO (arXiv 2409.06411), for kDpo: weight of the log-probabilities of a side's tokens that
  // lie beyond the length of the other side; in [0, 1].
  double ld_alpha = 1;
  // TR-DPO (arXiv 2404.09656): after every so many steps the reference becomes mixup * policy + (1
  // - mixup) * reference, weight by weight. 0: the reference stays as it is.
  int64_t reference_sync_steps = 0;
  double reference_mixup = 0.6;  // in (0, 1]
  // kKto: factors of the losses of good and of bad completions, 0 or more.
  double desirable_weight = 1, undesirable_weight = 1;
  // kPpo: the ratio of a token's probabilities, policy to the policy that sampled it, counts
  // between 1 - clip_ratio and 1 + clip_ratio; in (0, 1). `kl_weight` is the factor of the estimate
  // of KL(pi || ref) at a token, exp(log ref - log pi) - (log ref - log pi) - 1; 0 or more.
  double clip_ratio = 0.2, kl_weight = 0.04;

  // Throws Error that names the field and its range.
  void Validate() const;
  // Returns whether `losses` has this one.
  bool Has(LossType type) const;
  bool UsesReference() const {
    return method == PreferenceMethod::kDpo || method == PreferenceMethod::kKto ||
           (method == PreferenceMethod::kPpo && kl_weight > 0);
  }
  // Returns whether the loss compares with an estimate of KL(pi || ref), which needs completions of
  // other prompts.
  bool UsesKl() const;
  // Returns whether the reference changes during training, so that its log-probabilities cannot be
  // computed before.
  bool MovesReference() const { return reference_sync_steps > 0; }
  // Returns true for methods that compare means over tokens; TRL logs means as log-probabilities
  // there.
  bool AveragesTokens() const;
  // Returns true if the loss reads nothing but the difference of the two sides' log-probabilities,
  // given sides of equal length.
  bool ReadsDifferenceOnly() const;
};

// How an update reaches 16-bit weights. Most updates are smaller than the spacing of such numbers.
enum class HalfUpdate {
  kMaster,      // trains float32 copies of the weights and rounds them after each step
  kStochastic,  // trains bfloat16 weights alone, rounded up or down at random
};

// How the optimizer keeps its moments.
enum class OptimizerType {
  kAdamW,      // in float32
  kAdamW8Bit,  // in 8 bits with a scale a block of 256 (arXiv 2110.02861); those of vectors and of
               // matrices with fewer than 4096 elements in float32
};

// What `max_grad_norm` clips.
enum class ClipBy {
  kGlobal,    // the norm of all gradients together
  kTensor,    // the norm of each weight's gradient
  kPrevious,  // all gradients by one factor, from their norm in the step before; by kTensor in the
              // first step
};

// AdamW (arXiv 1711.05101).
struct OptimizerOptions {
  OptimizerType type = OptimizerType::kAdamW;
  double learning_rate = 1e-5;  // the peak of the schedule
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.0;   // applied to matrices, never to norms
  double max_grad_norm = 1.0;  // the largest norm, to which gradients are clipped; 0: no clipping
  ClipBy clip_by = ClipBy::kGlobal;
  // Updates each layer during the backward pass, once its gradients are complete, and frees them.
  // A step is one forward pass, on one process; gradients cannot be clipped by kGlobal.
  bool fused_backward = false;
  HalfUpdate half_update = HalfUpdate::kMaster;
  uint64_t rounding_seed = 1;  // for kStochastic
};

enum class ScheduleType { kLinear, kCosine, kConstant };

// The order of examples: groups that share tokens in random order, or as the file has them.
enum class DataOrder { kShuffled, kFile };

struct TrainOptions {
  OptimizerOptions optimizer;
  int64_t epochs = 1;
  int64_t batch_size = 32;            // examples per forward pass
  int64_t gradient_accumulation = 1;  // forward passes per optimizer step
  int64_t max_steps = 0;              // 0: as many as the epochs hold
  ScheduleType schedule = ScheduleType::kCosine;
  double warmup_ratio = 0.1;           // share of the steps in which the learning rate rises: the
                                       // first of n steps has 1/n of the peak, the n-th the peak
  int64_t warmup_steps = 0;            // takes the place of the ratio; 0: by the ratio
  double min_learning_rate_ratio = 0;  // share of the peak at which line and cosine end
  DataOrder order = DataOrder::kShuffled;
  uint64_t seed = 1;  // of the shuffled order
  // Returns the examples of one optimizer step.
  int64_t StepSize() const { return batch_size * gradient_accumulation; }
  // Throws Error that names the field and its range.
  void Validate() const;
};

// A low-rank adapter (LoRA, arXiv 2106.09685).
struct LoraOptions {
  int64_t rank = 0;     // 0: no adapter
  double alpha = 16;    // the update is scaled by alpha / rank
  bool rslora = false;  // scales by alpha / sqrt(rank) instead (arXiv 2312.03732)
  // Ends of the names of linear layers, as PEFT's target_modules ("qkv_proj", "self_attn.o_proj").
  // Empty: all linear layers of the decoder.
  std::vector<std::string> modules = {};

  // Throws Error that names the field and its range.
  void Validate() const;
  double Scale() const;
};

// What is measured on held-out data during training.
struct HeldOutSettings {
  std::filesystem::path data;    // examples of the same kind as the training data; "": none
  ProblemSettings problems;      // problems solved at temperature 0; no file: none
  int32_t max_new_tokens = 256;  // of a response to these problems
  int64_t every = 0;             // steps between evaluations; 0: after each epoch
  // Metric that decides which evaluation is best: "eval_loss", "eval_accuracy",
  // "eval_rewards/accuracies" or "eval_rewards/margins"; "": eval_accuracy if it is measured, else
  // eval_loss.
  std::string metric;
  int64_t patience = 0;  // ends after so many evaluations without a better one; 0: never

  bool any() const { return !data.empty() || !problems.file.empty(); }
  // Returns `metric`, or the metric that stands for "".
  std::string Metric() const;
  // Throws Error that names the field and its range.
  void Validate() const;
};

// Every setting of a training run.
struct TrainSettings {
  ModelSettings model;
  // Pair file; for `sft` lines with prompt and completion, for kKto with a label too, or pairs, for
  // kPpo with advantages.
  std::filesystem::path data;
  bool sft = false;  // next-token loss on completions in place of a preference loss
  LossOptions loss;
  TrainOptions options;
  LoraOptions lora;    // rank 0: trains all weights, or the adapter of `model`
  bool merge = false;  // writes the model with the adapter added to its weights
  std::vector<std::string>
      freeze;  // modules that are not trained, e.g. "embed_tokens", "layers.0-15"
  bool activation_checkpointing = false;  // keeps each layer's input only and computes it twice
  // Divides the model's weights among the processes, beside the optimizer's state (ZeRO-3).
  bool shard_weights = false;
  bool ignore_memory_plan = false;  // begins although the memory should not be enough
  // Replaces batch size and gradient accumulation (by others with the same product),
  // activation_checkpointing, shard_weights, type, half_update, fused_backward and clip_by of the
  // optimizer and the model's dtype by the first that fit into the free memory, if those given do
  // not.
  bool fit = false;
  bool reference_cache = true;  // keeps the reference's log-probabilities beside the pairs
  HeldOutSettings held_out;
  int64_t save_steps = 0;  // steps between checkpoints; 0: a checkpoint on a stop request only
  int64_t keep = 2;        // number of newest checkpoints that stay
  int64_t max_shard_bytes = 5'000'000'000;  // size at which weight files are split
  std::string command;                      // command line that the model card shows; "": none
  std::filesystem::path tensorboard;  // folder of TensorBoard's event files; "": none are written

  // Returns true if an adapter is trained, not the weights.
  bool Adapts() const { return lora.rank > 0 || !model.adapter.empty(); }
  // Returns true if an example is a pair.
  bool TrainsPairs() const {
    return !sft && loss.method != PreferenceMethod::kKto && !UsesAdvantages();
  }
  // Returns true if an example is a completion with advantages.
  bool UsesAdvantages() const { return !sft && loss.method == PreferenceMethod::kPpo; }
  // Returns true if a second copy of what is trained follows it as the reference.
  bool MovesReference() const { return !sft && loss.MovesReference(); }
  // Returns the setting that shard_weights cannot be combined with, as a flag; "" if there is none.
  std::string HindersSharding() const;
  // Returns true if an adapter is all that is written.
  bool WritesAdapter() const { return Adapts() && !merge; }
  // Throws Error that names the field and its range.
  void Validate() const;
};

// One optimizer step. `metrics` are means over the step's examples, under TRL's names.
struct StepLog {
  int64_t step = 0, total_steps = 0;  // step counts from 1
  double epoch = 0;
  double loss = 0, learning_rate = 0, grad_norm = 0;
  double seconds = 0;                // wall time in steps since the start
  int64_t tokens = 0, examples = 0;  // put through the model since the start
  std::map<std::string, double> metrics;
};

// The best evaluation so far.
struct BestEvaluation {
  int64_t step = 0;       // 0: there was none
  double value = 0;       // of the metric
  int64_t since = 0;      // evaluations after it
  int64_t evaluated = 0;  // the last step that was evaluated
};

struct TrainResult {
  StepLog last;         // the last step
  BestEvaluation best;  // step 0 without held-out data
  bool early = false;   // ended by HeldOutSettings::patience
  // Bytes of memory on this rank: the largest number held in steps, and what was expected.
  int64_t peak_bytes = 0, planned_bytes = 0;
  // How far the trained weights are from those that training began with: the norm of their change,
  // divided by their norm before. Nothing where the model's folder cannot be read again.
  std::optional<double> weight_change;
};

// Trains and writes the folder `output`: the Hugging Face folder of the trained model, or the
// trained adapter alone (PEFT's files; its reference is the model without it), README.md (a model
// card), train.toml with every setting, log.jsonl with a line a step and a line an evaluation,
// best-<step> with the weights of the best evaluation, and checkpoint-<step>. Throws Error before
// anything is written if a setting, the data or the model is bad, the folder is not empty or the
// disk has no room. On a stop request it writes a checkpoint and throws Interrupted. If a file
// cannot be written, or an evaluation fails (its oracle too often, for example), it tries to write
// a checkpoint, too; the Error names the newest one. Notes and warnings go to spdlog's default
// logger, which writes to standard output unless the program sets another.
TrainResult Train(const TrainSettings& settings, const std::filesystem::path& output,
                  Progress& progress);

// Goes on with a run from its newest whole checkpoint (from its start if it has none), under the
// settings of its train.toml. On a CPU it ends as if it had never stopped, to the bit. Throws Error
// if the run is finished, its data or first weights have changed, or no checkpoint is whole.
TrainResult ResumeTraining(const std::filesystem::path& output, Progress& progress);

}  // namespace pivotal
