// Apache-2.0.
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/philox.h"
#include "tests/support/step_world.h"
#include "tests/support/table_world.h"

namespace pivotal::testing {
namespace {

constexpr int32_t kWords = 3;  // number of words of the same meaning

class Builder {
 public:
  explicit Builder(const LaneWorldOptions& options)
      : options_(options), random_(options.seed, kernels::MixStream(0, "lane world")) {}

  TokenId Id(int32_t step, int32_t lane, int32_t word) const {
    return 1 + (step * options_.lanes + lane) * kWords + word;
  }
  TokenId Answer(int32_t lane) const { return Id(options_.length - 1, lane, 0); }
  TokenId End(bool right) const { return Id(options_.length - 1, 0, 0) + (right ? 0 : 1); }

  enum class Kind { kPlain, kSwitch, kWords };
  Kind RandomKind() {
    if (random_.Uniform() >= options_.forks) return Kind::kPlain;
    const double switches = options_.switches / (options_.forks * options_.length);
    return random_.Uniform() < switches ? Kind::kSwitch : Kind::kWords;
  }

  // Returns the tokens that may follow a token of `lane` at `step`.
  std::vector<Move> Row(Kind kind, int32_t step, int32_t lane) {
    std::vector<Move> row;
    if (kind == Kind::kWords) {
      const auto weights = RandomWeights(random_, kWords, 1.0);
      for (int32_t word = 0; word < kWords; ++word)
        row.push_back({Id(step, lane, word), weights[word]});
      return row;
    }
    const double others = kind == Kind::kSwitch ? 0.15 + 0.55 * random_.Uniform()
                                                : std::pow(10.0, -1.3 - 2.7 * random_.Uniform());
    const auto weights = RandomWeights(random_, options_.lanes - 1, others);
    int32_t at = 0;
    for (int32_t to = 0; to < options_.lanes; ++to)
      row.push_back({Id(step, to, 0), to == lane ? 1 - others : weights[at++]});
    return row;
  }

  int32_t RandomLane() { return static_cast<int32_t>(random_.Below(options_.lanes)); }

 private:
  const LaneWorldOptions& options_;
  kernels::RandomStream random_;
};

}  // namespace

TableWorld LaneWorld(const LaneWorldOptions& options) {
  Builder builder(options);
  const bool answers = options.answer >= 0;
  std::vector<std::vector<Move>> moves(
      (answers ? builder.Answer(options.lanes - 1) : builder.End(false)) + 1);
  moves[0] = builder.Row(Builder::Kind::kSwitch, 0, builder.RandomLane());
  for (int32_t step = 1; step < options.length - 1; ++step) {
    const auto kind = builder.RandomKind();
    for (int32_t lane = 0; lane < options.lanes; ++lane) {
      const auto row = builder.Row(kind, step, lane);
      for (int32_t word = 0; word < kWords; ++word) moves[builder.Id(step - 1, lane, word)] = row;
    }
  }
  for (int32_t lane = 0; lane < options.lanes; ++lane)
    for (int32_t word = 0; word < kWords; ++word)
      moves[builder.Id(options.length - 2, lane, word)] = {
          {answers ? builder.Answer(lane) : builder.End(lane % 2 == 0), 1.0}};
  return {std::move(moves), answers ? builder.Answer(options.answer) : builder.End(true)};
}

TokenId AnswerOfLane(const LaneWorldOptions& options, int32_t lane) {
  return Builder(options).Answer(lane);
}

}  // namespace pivotal::testing
