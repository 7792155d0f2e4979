// Apache-2.0.
#include "pts/outlook.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/philox.h"
#include "pts/jump_model.h"

namespace pivotal::pts {
namespace {

constexpr int32_t kCurves = 1024;
constexpr int32_t kUnit = 4;           // rollouts that are planned together
constexpr double kLeastMass = 1e-3;    // of a stratum that is worth rollouts
constexpr double kLeastSpread = 1e-6;  // variance of q below which nothing is to be learnt

// One place of a response at which rollouts leave it.
struct Place {
  int32_t stratum = 0;
  int32_t token = -1;   // node of the token that could be pivotal here; -1 for none
  JumpStep step;
  double share = 1;     // of q at this place that rollouts of the stratum sample
};

std::vector<Place> PlacesOf(const SuccessTrie& trie, const Strata& strata, int32_t response,
                            double gap) {
  const auto path = trie.Path(response);
  std::vector<Place> places;
  for (std::size_t k = 0; k + 1 < path.size();) {
    Place place;
    place.stratum = strata.Of(path[k]);
    const Stratum& stratum = strata.all()[place.stratum];
    const double leave = 1 - trie[path[k + 1]].probability;
    if (leave >= gap) place.token = path[k + 1];
    if (trie[path[k]].children.size() == 1) {
      const Estimate left = strata.Left(place.stratum);
      place.step = {stratum.mass, static_cast<double>(left.successes),
                    static_cast<double>(left.samples - left.successes)};
    } else {
      place.step.leave = leave;
      place.share = leave > 0 ? trie[path[k]].leave / leave : 0;
      if (leave > 0) {
        const Estimate aside = strata.Aside(path[k + 1]).AsCounts();
        place.step.successes = aside.successes;
        place.step.failures = aside.samples - aside.successes;
      }
    }
    places.push_back(place);
    k += stratum.nodes.size();
  }
  return places;
}

}  // namespace

// Covariances of one response's unknowns: q of each place, then the verdict on each token that could
// be pivotal.
struct Outlook::View {
  std::vector<Place> places;
  std::vector<double> noise;   // variance of one rollout's outcome at each place
  Eigen::MatrixXf covariance;  // [unknowns, places]

  // Drop of the verdicts' variance after `kUnit` rollouts at place i.
  double Gain(Eigen::Index i) const {
    const auto count = static_cast<Eigen::Index>(places.size());
    const double spread = covariance(i, i);
    if (spread < kLeastSpread) return 0;
    const double share = places[i].share;
    const double verdicts = covariance.col(i).tail(covariance.rows() - count).squaredNorm();
    return share * share * verdicts / (spread + noise[i] / kUnit);
  }
  // As if `kUnit` rollouts had left at place i.
  void Expect(Eigen::Index i) {
    const double share = std::max(1e-3, places[i].share);
    const double spread = covariance(i, i) + noise[i] / kUnit / (share * share);
    const Eigen::VectorXf column = covariance.col(i);
    covariance.noalias() -= column / static_cast<float>(spread) *
                            column.head(static_cast<Eigen::Index>(places.size())).transpose();
  }
};

Outlook::Outlook(const SuccessTrie& trie, const Strata& strata, double gap, uint64_t stream)
    : trie_(trie), strata_(strata), pivotal_(trie.size(), 0.0), views_(trie.responses()) {
  for (int32_t r = 0; r < trie.responses(); ++r)
    Look(r, gap, kernels::MixStream(stream, static_cast<uint64_t>(r)));
}

Outlook::~Outlook() = default;

void Outlook::Look(int32_t response, double gap, uint64_t stream) {
  View& view = views_[response];
  view.places = PlacesOf(trie_, strata_, response, gap);
  std::vector<JumpStep> steps;
  std::vector<std::size_t> tokens;  // places of tokens that could be pivotal
  for (const Place& place : view.places) {
    if (place.token >= 0) tokens.push_back(steps.size());
    steps.push_back(place.step);
  }
  kernels::RandomStream random(0, stream);
  const bool verdict = trie_[trie_.Path(response).back()].success;
  const auto curves = SampleJumpCurves(steps, verdict, kCurves, random);

  const auto count = static_cast<Eigen::Index>(steps.size());
  Eigen::MatrixXf unknowns(kCurves, count + static_cast<Eigen::Index>(tokens.size()));
  for (int32_t c = 0; c < kCurves; ++c) {
    for (Eigen::Index i = 0; i < count; ++i) unknowns(c, i) = curves[c].aside[i];
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const std::size_t i = tokens[t];
      const double delta = steps[i].leave * (curves[c].after[i] - curves[c].aside[i]);
      unknowns(c, count + static_cast<Eigen::Index>(t)) = std::abs(delta) >= gap ? 1.0f : 0.0f;
    }
  }
  for (Eigen::Index i = 0; i < count; ++i) {
    const auto q = unknowns.col(i).array();
    view.noise.push_back(std::max(0.02f, (q * (1 - q)).mean()));
  }
  const Eigen::RowVectorXf means = unknowns.colwise().mean();
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    double& known = pivotal_[view.places[tokens[t]].token];
    known = std::max(known, static_cast<double>(means[count + static_cast<Eigen::Index>(t)]));
  }
  unknowns.rowwise() -= means;
  view.covariance.noalias() = unknowns.transpose() * unknowns.leftCols(count) / float{kCurves};
}

std::vector<Outlook::Share> Outlook::Plan(int32_t count, double min_yield) {
  std::map<int32_t, Share> shares;
  for (int32_t planned = 0; planned < count; planned += kUnit) {
    std::map<int32_t, double> gains;  // of each stratum, over all responses
    for (const View& view : views_) {
      for (std::size_t i = 0; i < view.places.size(); ++i) {
        const int32_t stratum = view.places[i].stratum;
        if (strata_.all()[stratum].mass >= kLeastMass)
          gains[stratum] += view.Gain(static_cast<Eigen::Index>(i));
      }
    }
    Share best{-1, 0, 0};
    for (const auto& [stratum, gain] : gains) {
      const double yield = gain / (kUnit * strata_.Cost(stratum));
      if (yield > best.yield) best = {stratum, 0, yield};
    }
    if (best.stratum < 0 || best.yield < min_yield) break;
    Share& share = shares.try_emplace(best.stratum, best).first->second;
    share.count += kUnit;
    for (View& view : views_)
      for (std::size_t i = 0; i < view.places.size(); ++i)
        if (view.places[i].stratum == best.stratum) view.Expect(static_cast<Eigen::Index>(i));
  }
  std::vector<Share> plan;
  for (const auto& [stratum, share] : shares) plan.push_back(share);
  return plan;
}

}  // namespace pivotal::pts
