// Apache-2.0.
#include "experiments/ablation/power.h"

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "pts/estimate.h"

namespace pivotal::experiments {
namespace {

constexpr int kTables = 200;

// Returns a mean square that is on average `expected`, below which lies the share `u` of them.
double SquareAt(double expected, double freedom, double u) {
  if (expected <= 0 || freedom <= 0) return 0;
  return expected * boost::math::quantile(boost::math::chi_squared(freedom), u) / freedom;
}

}  // namespace

double SmallestChange(const CellVariance& variance, int seeds, int problems, double level,
                      double power) {
  if (problems < 2) return std::numeric_limits<double>::infinity();
  const CellVariance known{seeds < 2 ? 0 : std::max(variance.seeds, 0.0),
                           std::max(variance.problems, 0.0), std::max(variance.rest, 0.0)};
  const double spread = std::sqrt(known.seeds / seeds + known.problems / problems +
                                  known.rest / (static_cast<double>(seeds) * problems));
  if (spread <= 0) return 0;
  const MeanSquares expected = ExpectedSquares(known, seeds, problems);
  const MeanTest test(seeds, problems);
  std::vector<double> needed;  // the least observed change that the test finds, of each table
  for (int i = 0; i < kTables; ++i) {
    const MeanSquares squares = {
        SquareAt(expected.seeds, seeds - 1.0, EvenNumber(i, 1.0 / kTables)),
        SquareAt(expected.problems, problems - 1.0, EvenNumber(i, std::numbers::sqrt2)),
        SquareAt(expected.rest, (seeds - 1.0) * (problems - 1.0),
                 EvenNumber(i, std::numbers::sqrt3))};
    needed.push_back(test.Reach(squares, level));
  }
  const auto found = [&](double change) {
    double sum = 0;
    for (const double least : needed)
      sum += pts::NormalCdf((change - least) / spread) + pts::NormalCdf((-change - least) / spread);
    return sum / kTables;
  };
  double low = 0, high = spread;
  while (found(high) < power) high *= 2;
  for (int i = 0; i < 40; ++i) {
    const double middle = (low + high) / 2;
    (found(middle) < power ? low : high) = middle;
  }
  return high;
}

}  // namespace pivotal::experiments
