// Apache-2.0.
#include "dpo/sharded_weights.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "data/base/error.h"
#include "model/memory.h"

namespace pivotal::dpo {

ShardedWeights::ShardedWeights(model::PhiModel& model, Ranks& ranks)
    : model_(model),
      ranks_(ranks),
      plan_(PlanShards(model.parameters(), ranks.size())),
      layers_(static_cast<std::size_t>(model.config().num_hidden_layers)),
      tied_(model.config().tie_word_embeddings) {
  for (const Bucket& bucket : plan_) {
    const int layer = bucket.lowest_layer;
    Group& group = layer == kEmbeddingLayer ? embedding_
                   : layer == kHeadLayer    ? head_
                                            : layers_.at(static_cast<std::size_t>(layer));
    for (const std::string& name : bucket.names) {
      group.tensors.push_back(model.parameters().at(name));
      group.owners.push_back(bucket.owner);
    }
  }
  for (Group& group : layers_) Release(group);
  Release(embedding_);
  Release(head_);
  model_.set_gate(this);
}

ShardedWeights::~ShardedWeights() { model_.set_gate(nullptr); }

OwnedTensors ShardedWeights::Weights() const {
  OwnedTensors weights;
  for (const Bucket& bucket : plan_) {
    for (const std::string& name : bucket.names) {
      const at::Tensor& weight = model_.parameters().at(name);
      weights.tensors[name] = bucket.owner == ranks_.rank() ? weight : Shape(weight);
      weights.owners[name] = bucket.owner;
    }
  }
  return weights;
}

std::vector<Bucket> ShardedWeights::BucketsOf(const model::ParameterMap& trainable) const {
  std::vector<Bucket> buckets;
  for (const Bucket& whole : plan_) {
    Bucket bucket = whole;
    std::erase_if(bucket.names, [&](const std::string& name) { return !trainable.contains(name); });
    bucket.elements = 0;
    for (const std::string& name : bucket.names) bucket.elements += trainable.at(name).numel();
    if (!bucket.names.empty()) buckets.push_back(std::move(bucket));
  }
  return buckets;
}

void ShardedWeights::Gather(Group& group) {
  if (group.transfer != 0) return;
  for (std::size_t i = 0; i < group.tensors.size(); ++i)
    if (group.owners[i] != ranks_.rank()) model::GiveMemoryTo(group.tensors[i]);
  group.transfer = courier_.Add([this, &group] {
    // Autograd must not take what is received for a change of the weights.
    for (std::size_t i = 0; i < group.tensors.size(); ++i)
      ranks_.BeginBroadcast(group.tensors[i].variable_data(), group.owners[i]);
  });
}

void ShardedWeights::Await(const Group& group) {
  courier_.Wait(group.transfer);
  ranks_.Wait();
}

void ShardedWeights::Release(Group& group) {
  for (std::size_t i = 0; i < group.tensors.size(); ++i)
    if (group.owners[i] != ranks_.rank()) model::FreeMemoryOf(group.tensors[i]);
  group.transfer = 0;
}

void ShardedWeights::Open(int64_t layer) {
  if (layer != opened_++)
    Fail("sharded weights: a forward pass came to layer {} in place of {}", layer, opened_ - 1);
  if (layer == 0 && !tied_) Release(embedding_);  // its backward pass does not read it
  Gather(layers_[static_cast<std::size_t>(layer)]);
  Gather(layer + 1 < layers() ? layers_[static_cast<std::size_t>(layer) + 1] : head_);
  Await(layers_[static_cast<std::size_t>(layer)]);
}

void ShardedWeights::Close(int64_t layer) {
  const bool last = layer + 1 == layers();
  if (last) Await(head_);
  // The backward pass begins with the last layer.
  if (!last || !backward_) Release(layers_[static_cast<std::size_t>(layer)]);
}

void ShardedWeights::OpenBackward(int64_t layer) {
  if (layer + 1 == layers()) {
    Release(head_);
    if (tied_) Release(embedding_);
  }
  Gather(layers_[static_cast<std::size_t>(layer)]);
  if (layer > 0) Gather(layers_[static_cast<std::size_t>(layer) - 1]);
  Await(layers_[static_cast<std::size_t>(layer)]);
}

void ShardedWeights::CloseBackward(int64_t layer) {
  if (backward_pass_.layer_done) backward_pass_.layer_done(static_cast<int>(layer));
  Release(layers_[static_cast<std::size_t>(layer)]);
}

void ShardedWeights::BeginPass(bool backward) {
  backward_ = backward;
  opened_ = 0;
  if (backward && backward_pass_.begin) backward_pass_.begin();
  Gather(embedding_);
  Await(embedding_);
}

void ShardedWeights::EndPass() {
  if (backward_ && backward_pass_.end) backward_pass_.end();
  courier_.Finish();
  Release(embedding_);
  Release(head_);
}

void ShardedWeights::IdlePass() {
  for (int64_t layer = 0; layer < layers(); ++layer) {
    Open(layer);
    Close(layer);
  }
  if (!backward_) return;
  for (int64_t layer = layers() - 1; layer >= 0; --layer) {
    OpenBackward(layer);
    CloseBackward(layer);
  }
}

void ShardedWeights::ForEachPass(int64_t passes, bool backward,
                                 const std::function<void(int64_t)>& pass) {
  std::exception_ptr stopped;
  for (int64_t i = 0; ranks_.Any(i < passes && !stopped); ++i) {
    try {
      BeginPass(backward);
      try {
        if (i < passes && !stopped)
          pass(i);
        else
          IdlePass();
      } catch (const Interrupted&) {
        if (opened_ > 0) throw;
        stopped = std::current_exception();
        IdlePass();
      }
      EndPass();
    } catch (const std::exception& error) {
      const std::string why = error.what();  // LibTorch adds lines with its own calls
      ranks_.Abandon(model::IsOutOfMemory(error)
                         ? "memory ran out in a pass; take a lower --batch-size, "
                           "--activation-checkpointing or more processes"
                         : why.substr(0, why.find('\n')));
      throw;
    }
  }
  if (stopped) std::rethrow_exception(stopped);
}

std::set<std::string> OwnWeights(const model::ParameterMap& shapes, int rank, int ranks) {
  std::set<std::string> names;
  for (const Bucket& bucket : PlanShards(shapes, ranks))
    if (bucket.owner == rank) names.insert(bucket.names.begin(), bucket.names.end());
  return names;
}

void ForEachPass(const model::PhiModel& model, int64_t passes, bool backward,
                 const std::function<void(int64_t)>& pass) {
  if (ShardedWeights* shards = ShardsOf(model)) return shards->ForEachPass(passes, backward, pass);
  for (int64_t i = 0; i < passes; ++i) pass(i);
}

ShardedWeights* ShardsOf(const model::PhiModel& model) {
  return dynamic_cast<ShardedWeights*>(model.gate());
}

}  // namespace pivotal::dpo
