// Apache-2.0.
#include "tests/support/thread_ranks.h"

#include <c10/core/GradMode.h>

namespace pivotal::testing {
namespace {

// The tensor that each rank shows to the other ranks during an exchange.
struct Table {
  explicit Table(int count) : shown(static_cast<std::size_t>(count)), turn(count) {}
  std::vector<at::Tensor> shown;
  std::barrier<> turn;
};

class ThreadRanks : public dpo::Ranks {
 public:
  ThreadRanks(Table& table, int rank) : table_(table), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(table_.shown.size()); }

  void Reduce(const at::Tensor& values, int root) override {
    Exchange(values, [&](const std::vector<at::Tensor>& all) {
      if (rank_ != root) return;
      at::Tensor sum = all.front().detach().clone();
      for (std::size_t i = 1; i < all.size(); ++i) sum.add_(all[i]);
      values.copy_(sum);
    });
  }
  void Broadcast(const at::Tensor& values, int root) override {
    Exchange(values, [&](const std::vector<at::Tensor>& all) {
      if (rank_ != root) values.copy_(all[static_cast<std::size_t>(root)]);
    });
  }

 private:
  template <typename F>
  void Exchange(const at::Tensor& values, F f) {
    const c10::NoGradGuard no_grad;
    table_.shown[static_cast<std::size_t>(rank_)] = values;
    table_.turn.arrive_and_wait();
    f(table_.shown);
    table_.turn.arrive_and_wait();
  }
  Table& table_;
  int rank_;
};

}  // namespace

void RunRanks(int count, const std::function<void(dpo::Ranks&)>& work) {
  Table table(count);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < count; ++rank)
    threads.emplace_back([&table, &work, rank] {
      ThreadRanks ranks(table, rank);
      work(ranks);
    });
}

}  // namespace pivotal::testing
