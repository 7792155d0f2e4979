// Apache-2.0.
#include "pts/jump_model.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace pivotal::pts {
namespace {

constexpr int kLevels = 25;  // of p and q: 0, 1/24, .., 1
constexpr double kSame = 0.70, kNear = 0.20;  // prior of q = p and of q near p; else q is anything
constexpr double kReach = 0.2;                // how far "near" goes

double LevelAt(int i) { return static_cast<double>(i) / (kLevels - 1); }

using Row = std::array<double, kLevels>;

// Prior of q (column) given p after the step (row).
const std::array<Row, kLevels>& Prior() {
  static const auto prior = [] {
    std::array<Row, kLevels> table;
    for (int p = 0; p < kLevels; ++p) {
      Row near{};
      double sum = 0;
      for (int q = 0; q < kLevels; ++q)
        sum += near[q] = std::max(0.0, 1 - std::abs(LevelAt(q) - LevelAt(p)) / kReach);
      for (int q = 0; q < kLevels; ++q)
        table[p][q] = kNear * near[q] / sum + (1 - kSame - kNear) / kLevels + (p == q ? kSame : 0);
    }
    return table;
  }();
  return prior;
}

// Likelihood of the observations for each q, up to a factor.
Row Likelihood(const JumpStep& step) {
  Row log{};
  for (int q = 0; q < kLevels; ++q) {
    const double p = std::clamp(LevelAt(q), 0.004, 0.996);
    log[q] = step.successes * std::log(p) + step.failures * std::log1p(-p);
  }
  const double top = *std::ranges::max_element(log);
  for (double& value : log) value = std::exp(value - top);
  return log;
}

// Ways in which a step leads to one level of p before it.
struct Way {
  float cumulative;
  uint8_t after, aside;
};

}  // namespace

std::vector<JumpCurve> SampleJumpCurves(std::span<const JumpStep> steps, bool verdict,
                                        int32_t count, kernels::RandomStream& random) {
  const auto& prior = Prior();
  std::vector<std::array<std::vector<Way>, kLevels>> ways(steps.size());
  Row weight{};  // of p after the step, given what was observed from there on
  weight[verdict ? kLevels - 1 : 0] = 1;
  for (std::size_t i = steps.size(); i-- > 0;) {
    const Row likelihood = Likelihood(steps[i]);
    Row before{};
    for (int p = 0; p < kLevels; ++p) {
      if (weight[p] < 1e-12) continue;
      for (int q = 0; q < kLevels; ++q) {
        const double mass = weight[p] * prior[p][q] * likelihood[q];
        if (mass < 1e-15) continue;
        const double at = p + steps[i].leave * (q - p);
        const int low = std::min(static_cast<int>(at), kLevels - 2);
        const double high_share = at - low;
        for (int side = 0; side < 2; ++side) {
          const double part = mass * (side == 1 ? high_share : 1 - high_share);
          if (part <= 1e-15) continue;
          before[low + side] += part;
          ways[i][low + side].push_back({static_cast<float>(before[low + side]),
                                         static_cast<uint8_t>(p), static_cast<uint8_t>(q)});
        }
      }
    }
    double sum = 0;
    for (double value : before) sum += value;
    for (int p = 0; p < kLevels; ++p) weight[p] = before[p] / sum;
  }
  std::vector<JumpCurve> curves(count);
  for (JumpCurve& curve : curves) {
    double target = random.Uniform();
    int level = 0;
    for (int p = 0; p < kLevels; ++p) {
      if (weight[p] == 0) continue;
      level = p;
      if ((target -= weight[p]) < 0) break;
    }
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto& from = ways[i][level];
      const auto goal = static_cast<float>(random.Uniform()) * from.back().cumulative;
      auto way = std::ranges::upper_bound(from, goal, {}, &Way::cumulative);
      if (way == from.end()) --way;
      curve.aside.push_back(static_cast<float>(LevelAt(way->aside)));
      curve.after.push_back(static_cast<float>(LevelAt(way->after)));
      level = way->after;
    }
  }
  return curves;
}

}  // namespace pivotal::pts
