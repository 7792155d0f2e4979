// Apache-2.0. Weights that the ranks divide among them (ZeRO-3, arXiv 1910.02054).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dpo/courier.h"
#include "dpo/gradient_exchange.h"
#include "dpo/owned_tensors.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"
#include "model/weight_gate.h"

namespace pivotal::dpo {

// Divides a model's weights among the ranks: each weight is in the memory of one rank, its owner
// (PlanShards). Before a layer's forward or backward pass, owners send its weights to all ranks,
// which free them after it; those of the next layer travel beside the computation. The final norm
// and the output matrix come with the last layer.
//
// All ranks make their passes at the same time (ForEachPass), in each of which a model goes through
// its layers once.
class ShardedWeights final : public model::WeightGate {
 public:
  // `model` must have memory for the weights that OwnWeights() names, and may have none for others;
  // frees these. Becomes the gate of the model, until the end of its life.
  ShardedWeights(model::PhiModel& model, Ranks& ranks);
  ~ShardedWeights() override;
  ShardedWeights(const ShardedWeights&) = delete;
  ShardedWeights& operator=(const ShardedWeights&) = delete;

  // Returns all weights by name, with their owners.
  OwnedTensors Weights() const;
  // Returns the weights among `trainable` in buckets of one layer and owner each.
  std::vector<Bucket> BucketsOf(const model::ParameterMap& trainable) const;
  Courier& courier() { return courier_; }

  // What an optimizer does in a pass that has a backward pass, on all ranks in this order.
  struct BackwardPass {
    std::function<void()> begin;
    std::function<void(int layer)> layer_done;  // all gradients of layers from here up are complete
    std::function<void()> end;                  // all gradients are; gives no transfers any more
  };
  void set_backward_pass(BackwardPass backward) { backward_pass_ = std::move(backward); }

  // See dpo::ForEachPass.
  void ForEachPass(int64_t passes, bool backward, const std::function<void(int64_t)>& pass);

  void Open(int64_t layer) override;
  void Close(int64_t layer) override;
  void OpenBackward(int64_t layer) override;
  void CloseBackward(int64_t layer) override;

 private:
  // Weights that are gathered together.
  struct Group {
    std::vector<at::Tensor> tensors;
    std::vector<int> owners;
    int64_t transfer = 0;  // number of the transfer that gathers them; 0: they are not gathered
  };
  void Gather(Group& group);
  void Await(const Group& group);
  void Release(Group& group);
  void BeginPass(bool backward);
  void EndPass();
  // Takes part in a pass of other ranks.
  void IdlePass();
  int64_t layers() const { return std::ssize(layers_); }

  model::PhiModel& model_;
  Ranks& ranks_;
  std::vector<Bucket> plan_;
  std::vector<Group> layers_;
  Group embedding_, head_;  // weights before and after the layers
  bool tied_;               // whether the embedding is the output matrix
  BackwardPass backward_pass_;
  bool backward_ = false;  // whether this pass has a backward pass
  int64_t opened_ = 0;     // layers that the forward pass has reached
  Courier courier_;
};

// Returns the names of the weights that rank `rank` of `ranks` owns, of weights with these shapes.
std::set<std::string> OwnWeights(const model::ParameterMap& shapes, int rank, int ranks);

// Calls pass(0), pass(1), ..., pass(passes - 1), each of which computes one forward pass of `model`
// and then, if `backward`, its backward pass. If the model's weights are sharded, all ranks must
// call this, with any number of passes. A rank whose pass throws Interrupted before its forward
// pass makes no more of its own, takes part in those of others, and then throws it. What else a
// pass throws ends all ranks (Ranks::Abandon), because they are in the middle of a transfer.
void ForEachPass(const model::PhiModel& model, int64_t passes, bool backward,
                 const std::function<void(int64_t)>& pass);

// Returns what shards the model's weights; null if each rank has them.
ShardedWeights* ShardsOf(const model::PhiModel& model);

}  // namespace pivotal::dpo
