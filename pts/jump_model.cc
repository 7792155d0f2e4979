// Apache-2.0.
#include "pts/jump_model.h"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "kernels/philox.h"

namespace pivotal::pts {
namespace {

// A point along a response at which rollouts may leave it, with the outcomes of those that did.
struct JumpStep {
  double leave = 0;                    // probability of leaving here: 1 - pi
  double successes = 0, failures = 0;  // may be fractional
};

// A curve drawn from the posterior; index i belongs to step i.
struct JumpCurve {
  std::vector<float> q;  // p(success) of rollouts that leave at the step
  std::vector<float> p;  // p(success) of rollouts that stay on the response
};

constexpr int kLevels = 25;  // grid of p and q: 0, 1/24, ..., 1
// Prior weights of q = p and of q near p; otherwise q is uniform. Chosen on worlds of
// bench/search_vs_truth.cc (seeds 12 and 13): with 0.70 and 0.20, jumps were held for so rare that
// the search did not return to forks where the first rollouts misled it.
constexpr double kSame = 0.45, kNear = 0.30;
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
        table[p][q] = kNear * near[q] / sum + (1 - kSame - kNear) / kLevels + (p == q ? kSame : 0);
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

// A pair of p and q after a step that leads to one level of p before it.
struct Way {
  float cumulative;  // weight of this pair and those before it
  uint8_t p, q;      // levels
};

// Draws `count` independent curves from the posterior given the steps (at least one, in order of
// position) and the response's verdict.
std::vector<JumpCurve> SampleJumpCurves(std::span<const JumpStep> steps, bool verdict,
                                        int32_t count, kernels::RandomStream& random) {
  const auto& prior = Prior();
  std::vector<std::array<std::vector<Way>, kLevels>> ways(steps.size());
  Row weight{};  // distribution of p after the step, given all later outcomes
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
        const double high_part = at - low;
        for (int side = 0; side < 2; ++side) {
          const double part = mass * (side == 1 ? high_part : 1 - high_part);
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
      curve.q.push_back(static_cast<float>(LevelAt(way->q)));
      curve.p.push_back(static_cast<float>(LevelAt(way->p)));
      level = way->p;
    }
  }
  return curves;
}

constexpr int32_t kCurves = 1024;      // curves drawn for each response
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
    if (leave >= gap) point.token = path[k + 1];
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
// each token that can be pivotal, the indicator of abs(d_k) >= gap.
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

JumpModel::JumpModel(const SuccessTrie& trie, const Strata& strata, double gap, uint64_t stream,
                     std::span<const char> settled)
    : trie_(trie), strata_(strata), pivotal_(trie.size(), 0.0), posteriors_(trie.responses()) {
  for (int32_t r = 0; r < trie.responses(); ++r)
    Fit(r, gap, kernels::MixStream(stream, static_cast<uint64_t>(r)), settled);
}

JumpModel::~JumpModel() = default;

void JumpModel::Fit(int32_t response, double gap, uint64_t stream, std::span<const char> settled) {
  ResponsePosterior& posterior = posteriors_[response];
  posterior.points = LeavingPoints(trie_, strata_, response, gap);
  std::vector<JumpStep> steps;
  std::vector<std::size_t> tokens;  // indices of points with a token that can be pivotal
  for (const LeavingPoint& point : posterior.points) {
    if (point.token >= 0) tokens.push_back(steps.size());
    steps.push_back(point.step);
  }
  kernels::RandomStream random(0, stream);
  const bool verdict = trie_[trie_.Path(response).back()].success;
  const auto curves = SampleJumpCurves(steps, verdict, kCurves, random);

  const auto count = static_cast<Eigen::Index>(steps.size());
  // One row for each curve: q of each leaving point, then the indicators abs(d_k) >= gap.
  Eigen::MatrixXf unknowns(kCurves, count + static_cast<Eigen::Index>(tokens.size()));
  for (int32_t c = 0; c < kCurves; ++c) {
    for (Eigen::Index i = 0; i < count; ++i) unknowns(c, i) = curves[c].q[i];
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const std::size_t i = tokens[t];
      const double delta = steps[i].leave * (curves[c].p[i] - curves[c].q[i]);
      unknowns(c, count + static_cast<Eigen::Index>(t)) = std::abs(delta) >= gap ? 1.0f : 0.0f;
    }
  }
  for (Eigen::Index i = 0; i < count; ++i) {
    const auto q = unknowns.col(i).array();
    posterior.noise.push_back(std::max(0.02f, (q * (1 - q)).mean()));
  }
  const Eigen::RowVectorXf means = unknowns.colwise().mean();
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    double& probability = pivotal_[posterior.points[tokens[t]].token];
    probability =
        std::max(probability, static_cast<double>(means[count + static_cast<Eigen::Index>(t)]));
  }
  unknowns.rowwise() -= means;
  for (std::size_t t = 0; t < tokens.size() && !settled.empty(); ++t)
    if (settled[posterior.points[tokens[t]].token] != 0)
      unknowns.col(count + static_cast<Eigen::Index>(t)).setZero();
  posterior.covariance.noalias() = unknowns.transpose() * unknowns.leftCols(count) / float{kCurves};
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
