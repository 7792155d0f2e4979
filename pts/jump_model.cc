// Apache-2.0.
#include "pts/jump_model.h"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

namespace pivotal::pts {
namespace {

// A point along a response at which rollouts may leave it, with the outcomes of those that did.
struct JumpStep {
  double leave = 0;                    // probability of leaving here: 1 - pi
  double successes = 0, failures = 0;  // may be fractional
};

constexpr int kLevels = 25;     // grid of p and q: 0, 1/24, ..., 1
constexpr double kReach = 0.3;  // largest distance of a q near p

double LevelAt(int i) { return static_cast<double>(i) / (kLevels - 1); }

using Row = std::array<double, kLevels>;

// Returns the prior of q (column) given p after the step (row).
const std::array<Row, kLevels>& Prior() {
  static const auto prior = [] {
    std::array<Row, kLevels> table;
    for (int p = 0; p < kLevels; ++p) {
      Row near{};
      double sum = 0;
      for (int q = 0; q < kLevels; ++q)
        sum += near[q] = std::max(0.0, 1 - std::abs(LevelAt(q) - LevelAt(p)) / kReach);
      for (int q = 0; q < kLevels; ++q)
        table[p][q] = kPriorNear * near[q] / sum + (1 - kPriorSame - kPriorNear) / kLevels +
                      (p == q ? kPriorSame : 0);
    }
    return table;
  }();
  return prior;
}

// Returns the likelihood of the step's outcomes for each level of q, up to a factor.
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

using Levels = Eigen::Matrix<double, 1, kLevels>;       // a weight or value for each level
using Moves = Eigen::Matrix<double, kLevels, kLevels>;  // from a level before a step to one after

// A step of the posterior chain, which runs from the start of a response to its end. Rows stand for
// the level of p before the step; q is the level at which rollouts leave, and `jumps` is 1 where
// p and q differ so much that the token is pivotal.
struct ChainStep {
  Moves move = Moves::Zero();        // probabilities of the levels after the step
  Moves move_q = Moves::Zero();      // the same, times the mean of q
  Moves move_jumps = Moves::Zero();  // the same, times the mean of jumps
  Levels q = Levels::Zero(), q_squared = Levels::Zero(), jumps = Levels::Zero();  // means
  Levels q_jumps = Levels::Zero();  // mean of the product

  // Adds a pair of p and q after the step with its weight.
  void Add(int before, int p, int q_level, bool jump, double weight) {
    const double value = LevelAt(q_level);
    move(before, p) += weight;
    move_q(before, p) += weight * value;
    q_squared[before] += weight * value * value;
    if (!jump) return;
    move_jumps(before, p) += weight;
    q_jumps[before] += weight * value;
  }
  // Makes probabilities of the weights, whose sum for each level before the step is `total`.
  void Normalise(const Row& total) {
    for (int b = 0; b < kLevels; ++b) {
      if (total[b] == 0) continue;
      move.row(b) /= total[b];
      move_q.row(b) /= total[b];
      move_jumps.row(b) /= total[b];
      q_squared[b] /= total[b];
      q_jumps[b] /= total[b];
    }
    q = move_q.rowwise().sum().transpose();
    jumps = move_jumps.rowwise().sum().transpose();
  }
};

// The posterior of a response, given the outcomes at its steps (at least one, in order of position)
// and its verdict.
struct Chain {
  std::vector<ChainStep> steps;
  Levels start;  // probabilities of the levels of p before the first step

  Chain(std::span<const JumpStep> given, bool verdict, double gap) : steps(given.size()) {
    const auto& prior = Prior();
    Row weight{};  // distribution of p after the step, given all later outcomes
    weight[verdict ? kLevels - 1 : 0] = 1;
    for (std::size_t i = given.size(); i-- > 0;) {
      const Row likelihood = Likelihood(given[i]);
      const double leave = given[i].leave;
      Row before{};
      for (int p = 0; p < kLevels; ++p) {
        if (weight[p] < 1e-12) continue;
        for (int q = 0; q < kLevels; ++q) {
          const double mass = weight[p] * prior[p][q] * likelihood[q];
          if (mass < 1e-15) continue;
          const double at = p + leave * (q - p);
          const int low = std::min(static_cast<int>(at), kLevels - 2);
          const bool jump = leave * std::abs(LevelAt(p) - LevelAt(q)) >= gap;
          for (int side = 0; side < 2; ++side) {
            const double part = mass * (side == 1 ? at - low : 1 - (at - low));
            if (part <= 1e-15) continue;
            before[low + side] += part;
            steps[i].Add(low + side, p, q, jump, part);
          }
        }
      }
      steps[i].Normalise(before);
      double sum = 0;
      for (double value : before) sum += value;
      for (int p = 0; p < kLevels; ++p) weight[p] = before[p] / sum;
    }
    start = Eigen::Map<const Levels>(weight.data());
  }
};

constexpr int32_t kUnit = 4;           // rollouts that are planned together: one unit
constexpr double kLeastMass = 1e-3;    // least mass of a stratum that gets rollouts
constexpr double kLeastSpread = 1e-6;  // variance of q below which there is nothing to learn

// A point of a response at which rollouts leave it: a stratum on its path.
struct LeavingPoint {
  int32_t stratum = 0;
  int32_t token = -1;  // node of the token that can be pivotal here; -1 for none
  JumpStep step;
  double fraction = 1;  // fraction of q here that rollouts of the stratum sample
};

std::vector<LeavingPoint> LeavingPoints(const SuccessTrie& trie, const Strata& strata,
                                        int32_t response, double gap) {
  const auto path = trie.Path(response);
  std::vector<LeavingPoint> points;
  for (std::size_t k = 0; k + 1 < path.size();) {
    LeavingPoint point;
    point.stratum = strata.Of(path[k]);
    const Stratum& stratum = strata.all()[point.stratum];
    const double leave = 1 - trie[path[k + 1]].probability;
    if (trie.CanBePivotal(path[k + 1], gap)) point.token = path[k + 1];
    if (trie[path[k]].children.size() == 1) {
      const Estimate left = strata.Left(point.stratum);
      point.step = {stratum.mass, static_cast<double>(left.successes),
                    static_cast<double>(left.samples - left.successes)};
    } else {
      point.step.leave = leave;
      point.fraction = leave > 0 ? trie[path[k]].leave / leave : 0;
      if (leave > 0) {
        const Estimate others = strata.WithoutToken(path[k + 1]).AsCounts();
        point.step.successes = others.successes;
        point.step.failures = others.samples - others.successes;
      }
    }
    points.push_back(point);
    k += stratum.nodes.size();
  }
  return points;
}

}  // namespace

// Posterior of one response, as covariances of its unknowns: q at each leaving point, then, for
// each token that can be pivotal and is not settled, the indicator of abs(d_k) >= gap. Without such
// a token it has no points.
struct JumpModel::ResponsePosterior {
  std::vector<LeavingPoint> points;
  std::vector<double> noise;   // variance of one rollout's outcome at each leaving point
  Eigen::MatrixXf covariance;  // [unknowns, points]

  // Returns the drop of the indicators' total variance after a unit of rollouts at point i.
  double VarianceDrop(Eigen::Index i) const {
    const auto count = static_cast<Eigen::Index>(points.size());
    const double spread = covariance(i, i);
    if (spread < kLeastSpread) return 0;
    const double fraction = points[i].fraction;
    const double indicators = covariance.col(i).tail(covariance.rows() - count).squaredNorm();
    return fraction * fraction * indicators / (spread + noise[i] / kUnit);
  }
  // Updates the covariance as if a unit of rollouts had left at point i.
  void Update(Eigen::Index i) {
    const double fraction = std::max(1e-3, points[i].fraction);
    const double spread = covariance(i, i) + noise[i] / kUnit / (fraction * fraction);
    const Eigen::VectorXf column = covariance.col(i);
    covariance.noalias() -= column / static_cast<float>(spread) *
                            column.head(static_cast<Eigen::Index>(points.size())).transpose();
  }
};

JumpModel::JumpModel(const SuccessTrie& trie, const Strata& strata, double gap,
                     std::span<const char> settled)
    : trie_(trie), strata_(strata), pivotal_(trie.size(), 0.0), posteriors_(trie.responses()) {
  for (int32_t r = 0; r < trie.responses(); ++r) Fit(r, gap, settled);
}

JumpModel::~JumpModel() = default;

// Walks along the chain. For each unknown x of a step that lies behind, a row holds the mean of x
// where p has a level now, times the probability of that level; its product with the means of a
// later unknown y, given the level, is the mean of x y.
void JumpModel::Fit(int32_t response, double gap, std::span<const char> settled) {
  auto points = LeavingPoints(trie_, strata_, response, gap);
  const auto count = static_cast<Eigen::Index>(points.size());
  std::vector<JumpStep> given;
  std::vector<Eigen::Index> row_of(points.size(), -1);  // of each point's indicator
  Eigen::Index rows = count;
  for (const LeavingPoint& point : points) {
    const bool open = point.token >= 0 &&
                      (settled.empty() || settled[static_cast<std::size_t>(point.token)] == 0);
    if (open) row_of[given.size()] = rows++;
    given.push_back(point.step);
  }
  if (rows == count) return;
  const Chain chain(given, trie_[trie_.Path(response).back()].success, gap);

  ResponsePosterior& posterior = posteriors_[response];
  Eigen::MatrixXd covariance(rows, count);
  Eigen::VectorXd means(rows);
  Eigen::MatrixXd behind = Eigen::MatrixXd::Zero(rows, kLevels);
  Levels now = chain.start;
  for (Eigen::Index i = 0; i < count; ++i) {
    const ChainStep& step = chain.steps[i];
    const Eigen::Index indicator = row_of[i];
    // All rows of later unknowns are 0 so far.
    covariance.col(i) = behind * step.q.transpose();
    covariance.row(i).head(i) = covariance.col(i).head(i).transpose();
    covariance(i, i) = now.dot(step.q_squared);
    means[i] = now.dot(step.q);
    posterior.noise.push_back(std::max(0.02, means[i] - covariance(i, i)));
    if (indicator >= 0) {
      covariance.row(indicator).head(i) = (behind.topRows(i) * step.jumps.transpose()).transpose();
      covariance(indicator, i) = now.dot(step.q_jumps);
      means[indicator] = now.dot(step.jumps);
    }
    behind = behind * step.move;
    behind.row(i) = now * step.move_q;
    if (indicator >= 0) behind.row(indicator) = now * step.move_jumps;
    now = now * step.move;
  }
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (row_of[i] < 0) continue;
    double& probability = pivotal_[points[i].token];
    probability = std::max(probability, means[row_of[i]]);
  }
  covariance.noalias() -= means * means.head(count).transpose();
  posterior.covariance = covariance.cast<float>();
  posterior.points = std::move(points);
}

std::vector<JumpModel::StratumPlan> JumpModel::Plan(int32_t count, double min_yield) {
  std::map<int32_t, StratumPlan> plans;
  for (int32_t planned = 0; planned < count; planned += kUnit) {
    std::map<int32_t, double> drops;  // for each stratum, summed over the responses
    for (const ResponsePosterior& posterior : posteriors_) {
      for (std::size_t i = 0; i < posterior.points.size(); ++i) {
        const int32_t stratum = posterior.points[i].stratum;
        if (strata_.all()[stratum].mass >= kLeastMass)
          drops[stratum] += posterior.VarianceDrop(static_cast<Eigen::Index>(i));
      }
    }
    StratumPlan best{-1, 0, 0};
    for (const auto& [stratum, drop] : drops) {
      const double yield = drop / (kUnit * strata_.Cost(stratum));
      if (yield > best.yield) best = {stratum, 0, yield};
    }
    if (best.stratum < 0 || best.yield < min_yield) break;
    StratumPlan& plan = plans.try_emplace(best.stratum, best).first->second;
    plan.count += kUnit;
    for (ResponsePosterior& posterior : posteriors_)
      for (std::size_t i = 0; i < posterior.points.size(); ++i)
        if (posterior.points[i].stratum == best.stratum)
          posterior.Update(static_cast<Eigen::Index>(i));
  }
  std::vector<StratumPlan> result;
  for (const auto& [stratum, plan] : plans) result.push_back(plan);
  return result;
}

}  // namespace pivotal::pts
