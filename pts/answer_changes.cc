// Apache-2.0.
#include "pts/answer_changes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "kernels/philox.h"
#include "pts/jump_model.h"

namespace pivotal::pts {
namespace {

constexpr int32_t kParticles = 2000;
constexpr double kNearRollouts = 12;  // a q near p is drawn as after so many rollouts from p
constexpr double kFloor = 0.004;      // least probability of an answer that a rollout has stated

// Draws from the gamma distribution of this shape (Marsaglia and Tsang, ACM TOMS 2000).
double DrawGamma(double shape, kernels::RandomStream& random) {
  if (shape < 1) {
    const double u = std::max(random.Uniform(), 1e-300);
    return DrawGamma(shape + 1, random) * std::pow(u, 1 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double radius = std::sqrt(-2 * std::log(1 - random.Uniform()));
    const double x = radius * std::cos(2 * std::numbers::pi * random.Uniform());
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log(1 - random.Uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

// Replaces parameters by a draw from the Dirichlet distribution that has them.
void DrawDirichlet(std::vector<double>& parameters, kernels::RandomStream& random) {
  double sum = 0;
  for (double& parameter : parameters) sum += parameter = DrawGamma(parameter, random);
  for (double& parameter : parameters) parameter /= std::max(sum, 1e-300);
}

// The particles of one pass, from the end of a response to its beginning.
class AnswerFilter {
 public:
  AnswerFilter(int32_t answers, int32_t answer, uint64_t stream)
      : answers_(static_cast<std::size_t>(answers)),
        jump_(AnswerGuess(answers)),
        p_(kParticles * answers_, 0.0),
        log_weight_(kParticles, 0.0),
        random_(0, kernels::MixStream(stream, "answer changes")) {
    for (double& parameter : jump_) parameter *= 2;
    for (std::size_t i = 0; i < kParticles; ++i)
      p_[i * answers_ + static_cast<std::size_t>(answer)] = 1;
  }

  // Goes back over one step.
  void Pass(const AnswerStep& step) {
    Trail& trail = trails_.emplace_back();
    Resample(trail);
    for (std::size_t i = 0; i < kParticles; ++i)
      trail.change.push_back(static_cast<float>(PassOne(i, step)));
  }

  // Returns the changes of all steps in the order of the passes.
  std::vector<AnswerChange> Read(double gap) const {
    const std::vector<double> weights = Weights();
    std::vector<std::size_t> at(kParticles);
    std::iota(at.begin(), at.end(), std::size_t{0});
    std::vector<AnswerChange> changes(trails_.size());
    for (std::size_t s = trails_.size(); s-- > 0;) {
      const Trail& trail = trails_[s];
      for (std::size_t i = 0; i < kParticles; ++i) {
        const double change = trail.change[at[i]];
        changes[s].mean += weights[i] * change;
        if (change >= gap - 1e-6) changes[s].probability += weights[i];
        if (!trail.parent.empty()) at[i] = static_cast<std::size_t>(trail.parent[at[i]]);
      }
      changes[s].probability = std::min(1.0, changes[s].probability);
    }
    return changes;
  }

 private:
  // What one step did to each particle.
  struct Trail {
    std::vector<int32_t> parent;  // the particle that it was before; empty: itself
    std::vector<float> change;    // total variation of the step
  };

  std::vector<double> Weights() const {
    const double top = *std::ranges::max_element(log_weight_);
    std::vector<double> weights;
    double sum = 0;
    for (const double log : log_weight_) sum += weights.emplace_back(std::exp(log - top));
    for (double& weight : weights) weight /= sum;
    return weights;
  }

  // Draws particles anew in proportion to their weights (systematic resampling) once fewer than
  // half of them count.
  void Resample(Trail& trail) {
    const std::vector<double> weights = Weights();
    double squares = 0;
    for (const double weight : weights) squares += weight * weight;
    if (squares * kParticles < 2) return;
    const double offset = random_.Uniform();
    std::vector<double> p;
    double sum = weights[0];
    std::size_t from = 0;
    for (int32_t i = 0; i < kParticles; ++i) {
      const double target = (i + offset) / kParticles;
      while (sum < target && from + 1 < weights.size()) sum += weights[++from];
      trail.parent.push_back(static_cast<int32_t>(from));
      p.insert(p.end(), p_.begin() + static_cast<std::ptrdiff_t>(from * answers_),
               p_.begin() + static_cast<std::ptrdiff_t>((from + 1) * answers_));
    }
    p_ = std::move(p);
    std::ranges::fill(log_weight_, 0.0);
  }

  // Goes back over one step with one particle: chooses whether q is p, near p or anything, draws
  // it, and moves p. Returns the total variation.
  double PassOne(std::size_t i, const AnswerStep& step) {
    const std::span<double> p(p_.data() + i * answers_, answers_);
    near_ = jump_;
    for (std::size_t a = 0; a < answers_; ++a) near_[a] += kNearRollouts * p[a];
    double same = std::log(kPriorSame);
    for (std::size_t a = 0; a < answers_; ++a)
      if (step.counts[a] > 0) same += step.counts[a] * std::log(std::clamp(p[a], kFloor, 1.0));
    const std::array<double, 3> logs = {
        same, std::log(kPriorNear) + LogMarginal(near_, step.counts),
        std::log(1 - kPriorSame - kPriorNear) + LogMarginal(jump_, step.counts)};
    const double top = *std::ranges::max_element(logs);
    double sum = 0;
    for (const double log : logs) sum += std::exp(log - top);
    log_weight_[i] += top + std::log(sum);
    const double draw = random_.Uniform() * sum;
    if (draw < std::exp(logs[0] - top)) return 0;
    const bool is_near = draw < std::exp(logs[0] - top) + std::exp(logs[1] - top);
    q_ = is_near ? near_ : jump_;
    for (std::size_t a = 0; a < answers_; ++a) q_[a] += step.counts[a];
    DrawDirichlet(q_, random_);
    double variation = 0;
    for (std::size_t a = 0; a < answers_; ++a) {
      variation += 0.5 * step.leave * std::abs(p[a] - q_[a]);
      p[a] += step.leave * (q_[a] - p[a]);
    }
    return variation;
  }

  std::size_t answers_;
  std::vector<double> jump_;  // parameters of a q that is anything
  std::vector<double> p_;     // [particles, answers]
  std::vector<double> log_weight_;
  std::vector<Trail> trails_;
  kernels::RandomStream random_;
  std::vector<double> near_, q_;  // of the particle at work
};

}  // namespace

std::vector<AnswerStep> AnswerSteps(const AnswerStrata& strata, int32_t response, double gap) {
  const SuccessTrie& trie = strata.trie();
  const auto path = trie.Path(response);
  std::vector<AnswerStep> steps;
  for (std::size_t k = 0; k + 1 < path.size();) {
    const int32_t stratum = strata.strata().Of(path[k]);
    const Stratum& pooled = strata.strata().all()[static_cast<std::size_t>(stratum)];
    AnswerStep step;
    if (trie[path[k]].children.size() == 1) {
      step.leave = pooled.mass;
      step.counts = strata.Left(stratum);
    } else {
      step.leave = 1 - trie[path[k + 1]].probability;
      step.counts = step.leave > 0 ? strata.WithoutToken(path[k + 1]).AsCounts()
                                   : AnswerCounts(static_cast<std::size_t>(strata.answers()));
    }
    if (trie.CanBePivotal(path[k + 1], gap)) step.token = path[k + 1];
    steps.push_back(std::move(step));
    k += pooled.nodes.size();
  }
  return steps;
}

std::vector<AnswerChange> AnswerChanges(std::span<const AnswerStep> steps, int32_t answer,
                                        double gap, uint64_t stream) {
  if (steps.empty()) return {};
  const auto answers = static_cast<int32_t>(steps.front().counts.size());
  AnswerFilter filter(answers, answer, stream);
  for (std::size_t s = steps.size(); s-- > 0;) filter.Pass(steps[s]);
  std::vector<AnswerChange> changes = filter.Read(gap);
  std::ranges::reverse(changes);
  for (std::size_t s = 0; s < steps.size(); ++s) changes[s].node = steps[s].token;
  return changes;
}

}  // namespace pivotal::pts
