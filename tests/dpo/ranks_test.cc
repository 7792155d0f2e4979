// Apache-2.0. Training on several ranks against one rank alone.
#include "dpo/ranks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <cmath>
#include <optional>
#include <set>
#include <string>

#include "data/base/error.h"
#include "dpo/sharded_weights.h"
#include "dpo/trainer.h"
#include "model/lora.h"
#include "tests/support/small_phi.h"
#include "tests/support/thread_ranks.h"

namespace pivotal::dpo {
namespace {

// Returns twelve pairs; prompts come in four groups with a common prefix. The last four pairs have
// sides of several tokens, so that gradients go through chunks of the vocabulary.
std::vector<PreferencePair> Pairs() {
  std::vector<PreferencePair> pairs;
  for (TokenId i = 0; i < 12; ++i) {
    auto& pair = pairs.emplace_back();
    pair.id = "pair-" + std::to_string(i);
    pair.prompt_ids = {1, 10 + i / 3, 20};
    if (i % 3 == 2) pair.prompt_ids.push_back(21 + i);
    pair.chosen_ids = {30 + i};
    pair.rejected_ids = {45};
    if (i > 7) pair.chosen_ids.push_back(46), pair.rejected_ids.push_back(47);
  }
  return pairs;
}

// What is trained, and how. Weights are float64, so that a gradient that is lost or counted twice
// shows.
struct Case {
  std::string name;
  bool tied = false, checkpointing = false, lora = false, follows = false, sharded = false;
  int64_t gradient_accumulation = 1;
  std::vector<std::string> freeze;
};

struct Outcome {
  std::vector<StepLog> logs;
  std::map<std::string, double> measured;
  model::ParameterMap weights;
};

std::unique_ptr<model::PhiModel> Model(const Case& c) {
  model::PhiConfig config = testing::SmallConfig();
  config.tie_word_embeddings = c.tied;
  auto model = testing::InDouble(*testing::SmallPhi(config));
  model->set_activation_checkpointing(c.checkpointing);
  if (c.lora) model->set_adapter(model::NewAdapter(*model, {.rank = 2}, 1));
  if (!c.freeze.empty()) model->set_frozen(model::FrozenWeights(*model, c.freeze));
  return model;
}

// Expects that a rank has memory for the weights that it owns, and no others.
void ExpectOwnWeights(const model::PhiModel& model, const Ranks& ranks) {
  const auto own = OwnWeights(model.parameters(), ranks.rank(), ranks.size());
  int64_t elements = 0, all = 0;
  for (const auto& [name, weight] : model.parameters()) {
    EXPECT_EQ(model::HasMemory(weight), own.contains(name)) << name;
    all += weight.numel();
    elements += own.contains(name) ? weight.numel() : 0;
  }
  EXPECT_LE(elements, all * 0.55);
}

// Gives all weights to all ranks again.
void GatherAll(const OwnedTensors& weights, const model::PhiModel& model, Ranks& ranks) {
  for (const auto& [name, weight] : model.parameters()) {
    if (!model::HasMemory(weight)) model::GiveMemoryTo(weight);
    ranks.Broadcast(weight.detach(), weights.owners.at(name));
  }
}

Outcome TrainOn(const Case& c, Ranks& ranks) {
  const auto pairs = Pairs();
  const auto model = Model(c);
  std::optional<ShardedWeights> shards;
  if (c.sharded) shards.emplace(*model, ranks);
  Progress quiet;
  LossOptions loss;
  loss.rpo_alpha = 0.2;
  const at::Tensor reference = ReferenceLogProbs(*model, pairs, 4, quiet, ranks);
  TrainOptions options;
  options.optimizer.learning_rate = 1e-2;
  options.optimizer.weight_decay = 0.01;
  options.batch_size = 5;  // the last step of an epoch has 2 examples, fewer than three ranks
  options.gradient_accumulation = c.gradient_accumulation;
  options.epochs = 3;
  Outcome outcome;
  std::optional<FollowingReference> following;
  if (c.follows) following.emplace(*model, 0.6, 2).Begin();
  const auto objective = c.follows ? MakePreferenceObjective(*model, pairs, loss, *following)
                                   : MakePreferenceObjective(*model, pairs, loss, reference);
  for (Trainer trainer(*model, *objective, options, ranks, c.follows ? &*following : nullptr);
       !trainer.done();) {
    outcome.logs.push_back(trainer.Step());
    if (c.sharded && ranks.size() > 1) ExpectOwnWeights(*model, ranks);
  }
  outcome.measured = Measure(*model, *objective, 4, quiet, ranks);
  if (shards) {
    const OwnedTensors weights = shards->Weights();
    shards.reset();
    GatherAll(weights, *model, ranks);
  }
  for (const auto& [name, tensor] : model->Trainable())
    outcome.weights[name] = tensor.detach().clone();
  return outcome;
}

class RankCases : public ::testing::TestWithParam<Case> {};

TEST_P(RankCases, EndWhereOneRankAloneEnds) {
  const Outcome alone = TrainOn(GetParam(), Alone());
  const double tolerance = 1e-9;
  for (int count : {2, 3, 4}) {
    std::vector<Outcome> outcomes(count);
    testing::RunRanks(count,
                      [&](Ranks& ranks) { outcomes[ranks.rank()] = TrainOn(GetParam(), ranks); });
    ASSERT_EQ(outcomes[0].logs.size(), alone.logs.size());
    for (std::size_t i = 0; i < alone.logs.size(); ++i) {
      const StepLog &got = outcomes[0].logs[i], &want = alone.logs[i];
      EXPECT_NEAR(got.loss, want.loss, tolerance);
      EXPECT_NEAR(got.grad_norm, want.grad_norm, 1e-6 * want.grad_norm) << "a float32";
      EXPECT_EQ(got.tokens, want.tokens);
      ASSERT_EQ(got.metrics.size(), want.metrics.size());
      const bool signs = std::abs(want.metrics.at("rewards/margins")) >
                         tolerance;  // false: the signs of margins are those of rounding errors
      for (const auto& [name, value] : want.metrics) {
        if (!signs && name == "rewards/accuracies") continue;
        EXPECT_NEAR(got.metrics.at(name), value, tolerance) << name;
      }
    }
    for (const auto& [name, value] : alone.measured)
      EXPECT_NEAR(outcomes[0].measured.at(name), value, tolerance) << name;
    for (const auto& [name, weight] : alone.weights) {
      for (const Outcome& outcome : outcomes) {
        EXPECT_TRUE(outcome.weights.at(name).equal(outcomes[0].weights.at(name))) << name;
        EXPECT_LE((outcome.weights.at(name) - weight).abs().max().item<double>(), tolerance)
            << name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, RankCases,
    ::testing::Values(Case{.name = "Full"}, Case{.name = "Tied", .tied = true},
                      Case{.name = "Checkpointing", .tied = true, .checkpointing = true},
                      Case{.name = "Accumulation", .tied = true, .gradient_accumulation = 2},
                      Case{.name = "Lora", .checkpointing = true, .lora = true},
                      Case{.name = "Follows", .follows = true, .gradient_accumulation = 2},
                      Case{.name = "Sharded", .sharded = true},
                      Case{.name = "ShardedAndTied", .tied = true, .sharded = true},
                      Case{.name = "ShardedWithCheckpointing",
                           .checkpointing = true,
                           .sharded = true,
                           .gradient_accumulation = 2},
                      Case{.name = "ShardedLora", .lora = true, .sharded = true},
                      Case{.name = "ShardedAndFrozen",
                           .sharded = true,
                           .freeze = {"embed_tokens", "layers.0", "layers.1.mlp"}}),
    [](const auto& info) { return info.param.name; });

// Returns the weights after two steps with known gradients; calls `between` after the first.
template <typename F>
model::ParameterMap TwoSteps(Ranks& ranks, F between) {
  const auto model = testing::SmallPhi();
  AdamW optimizer(*model, {.learning_rate = 1e-2}, ranks);
  for (int t = 1; t <= 2; ++t) {
    for (const auto& [name, tensor] : model->parameters())
      at::Tensor(tensor).mutable_grad() = tensor.detach() * (t / 4.0 / ranks.size());
    optimizer.Step(1);
    if (t == 1) between(optimizer);
  }
  return model->parameters();
}

TEST(SeveralRanks, EachKeepsAPartOfTheStateAndRank0FetchesAll) {
  std::map<std::string, at::Tensor> whole;
  const auto want = TwoSteps(Alone(), [&](AdamW& optimizer) {
    for (const auto& [name, tensor] : optimizer.State().tensors) whole[name] = tensor.clone();
  });
  int64_t elements = 0;
  for (const auto& [name, tensor] : whole) elements += tensor.numel();
  testing::RunRanks(4, [&](Ranks& ranks) {
    const auto got = TwoSteps(ranks, [&](AdamW& optimizer) {
      const auto state = optimizer.State();
      EXPECT_EQ(state.tensors.size(), whole.size());
      OnRank0(state, at::kCPU, ranks, [&](const model::FetchTensor& fetch) {
        EXPECT_EQ(ranks.rank(), 0);
        for (const auto& [name, tensor] : whole) EXPECT_TRUE(tensor.equal(fetch(name))) << name;
      });
      int64_t kept = 0;
      for (const auto& [name, tensor] : state.tensors) {
        EXPECT_EQ(tensor.sizes(), whole.at(name).sizes()) << name;
        EXPECT_EQ(tensor.is_meta(), state.owners.at(name) != ranks.rank()) << name;
        if (tensor.is_meta()) continue;
        kept += tensor.numel();
        tensor.add_(1);  // changes the state itself; Restore() must overwrite that
      }
      EXPECT_LT(kept, elements * 0.4);
      optimizer.Restore(whole, 1);
    });
    for (const auto& [name, weight] : want) EXPECT_TRUE(got.at(name).equal(weight)) << name;
  });
}

// What fails on rank 0 does not keep the others waiting.
TEST(SeveralRanks, LetRank0FailWhileItFetches) {
  testing::RunRanks(3, [&](Ranks& ranks) {
    OwnedTensors tensors{{{"a", Shape(at::ones({2, 3}))}}, {{"a", 1}}};
    if (ranks.rank() == 1) tensors.tensors["a"] = at::ones({2, 3});
    const auto fail = [](const model::FetchTensor& fetch) {
      EXPECT_EQ(fetch("a").sum().item<double>(), 6);
      throw Error("the disk is full");
    };
    if (ranks.rank() == 0) {
      EXPECT_THROW(OnRank0(tensors, at::kCPU, ranks, fail), Error);
    } else {
      OnRank0(tensors, at::kCPU, ranks, fail);
    }
    EXPECT_EQ(ranks.Sum(1.0), 3);
  });
}

// Returns 16-bit weights after five steps. The ranks' gradients add up to 0.5 without rounding.
model::ParameterMap HalfWeights(HalfUpdate update, Ranks& ranks) {
  model::ParameterMap rounded;
  const auto small = testing::SmallPhi();
  for (const auto& [name, tensor] : small->parameters()) rounded[name] = tensor.to(at::kBFloat16);
  const model::PhiModel model(small->config(), rounded, "test");
  AdamW optimizer(model, {.learning_rate = 1e-3, .half_update = update}, ranks);
  for (int t = 0; t < 5; ++t) {
    for (auto& [name, tensor] : rounded)
      tensor.mutable_grad() = at::full_like(tensor.detach(), 0.5 / ranks.size());
    optimizer.Step(1);
  }
  return rounded;
}

TEST(SeveralRanks, Round16BitWeightsAsOneRankDoes) {
  for (const HalfUpdate update : {HalfUpdate::kMaster, HalfUpdate::kStochastic}) {
    const auto want = HalfWeights(update, Alone());
    std::vector<model::ParameterMap> got(4);
    testing::RunRanks(4, [&](Ranks& ranks) { got[ranks.rank()] = HalfWeights(update, ranks); });
    for (const auto& weights : got)
      for (const auto& [name, weight] : want) EXPECT_TRUE(weights.at(name).equal(weight)) << name;
  }
}

// An objective of 6 examples with loss 0. The gradient of example 5 is not finite.
class Cliff : public Objective {
 public:
  explicit Cliff(const model::PhiModel& model) : weight_(model.Trainable().at("lm_head.weight")) {}
  int64_t size() const override { return 6; }
  int64_t Length(int64_t) const override { return 1; }
  PassSize SizeOf(std::span<const int64_t> examples) const override {
    return {std::ssize(examples), 0};
  }
  std::string Name(int64_t i) const override { return "example " + std::to_string(i); }
  std::vector<std::vector<int64_t>> Groups() const override { return {{0, 1, 2, 3, 4, 5}}; }
  LossTerms Compute(std::span<const int64_t> examples, std::span<const int64_t>,
                    const at::Tensor&) const override {
    return {examples.back() == 5 ? (weight_.sum() * 0).sqrt() : weight_.sum() * 0, {}};
  }

 private:
  at::Tensor weight_;
};

TEST(SeveralRanks, StopTogetherAtAGradientThatIsNotFinite) {
  std::vector<std::string> errors(3);
  testing::RunRanks(3, [&](Ranks& ranks) {
    const auto model = testing::SmallPhi();
    try {
      const Cliff cliff(*model);
      Trainer(*model, cliff, {}, ranks).Step();
    } catch (const Error& error) {
      errors[ranks.rank()] = error.what();
    }
  });
  EXPECT_THAT(errors, ::testing::Each(errors[0]));
  EXPECT_THAT(errors[0], ::testing::HasSubstr("step 1: the gradient norm is"));
  EXPECT_THAT(errors[0], ::testing::HasSubstr("example 5"));
}

// Requests a stop at once.
class Stopping : public Progress {
 public:
  bool StopRequested() const override { return true; }
};

TEST(SeveralRanks, StopTogetherWhenOneIsAsked) {
  std::atomic<int> stopped = 0;
  testing::RunRanks(3, [&](Ranks& ranks) {
    const auto pairs = Pairs();
    const auto model = testing::SmallPhi();
    Progress quiet;
    Stopping stopping;
    try {
      ReferenceLogProbs(*model, pairs, 4, ranks.rank() == 1 ? stopping : quiet, ranks);
    } catch (const Interrupted&) {
      ++stopped;
    }
  });
  EXPECT_EQ(stopped, 3);
}

// Each rank can then do something about it together with the others.
TEST(SeveralRanks, FailTogetherWhereOneFails) {
  std::atomic<int> failed = 0;
  testing::RunRanks(3, [&](Ranks& ranks) {
    EXPECT_EQ(ranks.FirstText(""), "");
    EXPECT_EQ(ranks.FirstText(ranks.rank() > 0 ? std::string(ranks.rank(), 'x') : ""), "x");
    try {
      ranks.Together([&] {
        if (ranks.rank() == 1) throw Error("the disk is wet");
        if (ranks.rank() == 2) throw Interrupted("stopped");
      });
    } catch (const Error& error) {
      failed += std::string(error.what()) == "the disk is wet";
    }
  });
  EXPECT_EQ(failed, 3);
}

TEST(LaunchedRank, IsReadFromTheEnvironment) {
  for (const char* name :
       {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"})
    ::unsetenv(name);
  EXPECT_EQ(ReadLaunchedRank().size, 1);
  ::setenv("SLURM_NTASKS", "8", 1);  // set by a batch script
  EXPECT_EQ(ReadLaunchedRank().size, 1);
  EXPECT_EQ(JoinRanks()->size(), 1);
  ::setenv("OMPI_COMM_WORLD_SIZE", "4", 1);
  EXPECT_EQ(ReadLaunchedRank().size, 4);
  ::setenv("OMPI_COMM_WORLD_RANK", "3", 1);
  ::setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1", 1);
  ::setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
  const LaunchedRank rank = ReadLaunchedRank();
  EXPECT_EQ(rank.rank, 3);
  EXPECT_EQ(rank.size, 4);
  EXPECT_EQ(rank.local_rank, 1);
  EXPECT_EQ(rank.local_size, 2);
  for (const char* name : {"SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK",
                           "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"})
    ::unsetenv(name);
  EXPECT_EQ(ReadLaunchedRank().size, 1);
}

// Two steps of a job, and a job that went back into the queue, are launches of their own.
TEST(LaunchedRank, KnowsItsLaunch) {
  for (const char* name : {"OMPI_MCA_orte_precondition_transports", "PMIX_NAMESPACE"})
    ::unsetenv(name);
  ::setenv("SLURM_STEP_NUM_TASKS", "2", 1);
  ::setenv("SLURM_JOB_ID", "7", 1);
  std::set<std::string> launches;
  for (const char* step : {"0", "1"}) {
    ::setenv("SLURM_STEP_ID", step, 1);
    ::setenv("SLURM_PROCID", "0", 1);
    const std::string first = ReadLaunchedRank().launch;
    ::setenv("SLURM_PROCID", "1", 1);
    EXPECT_EQ(ReadLaunchedRank().launch, first) << "all ranks of a launch have one name";
    launches.insert(first);
  }
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  launches.insert(ReadLaunchedRank().launch);
  ::setenv("OMPI_MCA_orte_precondition_transports", "a1-b2", 1);
  launches.insert(ReadLaunchedRank().launch);
  EXPECT_EQ(launches.size(), 4u);
  EXPECT_FALSE(launches.contains(""));
  for (const char* name : {"SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID",
                           "SLURM_RESTART_COUNT", "OMPI_MCA_orte_precondition_transports"})
    ::unsetenv(name);
}

TEST(RankDevice, EachRankOfAMachineHasItsGpu) {
  EXPECT_EQ(OwnGpu(1, 2, 2), 1);
  EXPECT_EQ(OwnGpu(1, 2, 8), 1);
  EXPECT_EQ(OwnGpu(0, 1, 1), 0);
}

TEST(RankDevice, MoreRanksThanGpusAreRefused) {
  EXPECT_THAT([] { OwnGpu(1, 2, 1); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr(
                  "2 ranks on a machine with 1 GPUs: start one rank per GPU (mpirun -n 1)")));
}

TEST(RankDevice, KeepsADeviceThatIsNamed) {
  for (const char* name : {"cpu", "cuda:1"}) EXPECT_EQ(RankDevice(name, 1, 2), name);
  for (const char* name : {"auto", "cuda"}) EXPECT_EQ(RankDevice(name, 0, 1), name);
}

}  // namespace
}  // namespace pivotal::dpo
