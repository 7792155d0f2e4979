// Apache-2.0.
#include "experiments/ablation/crossed_mean.h"

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <cmath>
#include <numbers>
#include <numeric>

#include "pts/estimate.h"

namespace pivotal::experiments {
namespace {

// Returns freedom / X for the X that a chi-square variable is below with probability `u`; 0 without
// freedom.
double InverseShare(double freedom, double u) {
  if (freedom <= 0) return 0;
  return freedom / boost::math::quantile(boost::math::chi_squared(freedom), u);
}

}  // namespace

double EvenNumber(int i, double step) {
  const double x = (i + 0.5) * step;
  return x - std::floor(x);
}

MeanSquares ExpectedSquares(const CellVariance& variance, int seeds, int problems) {
  if (seeds < 2) return {0, variance.problems + variance.rest, 0};
  return {problems * variance.seeds + variance.rest, seeds * variance.problems + variance.rest,
          variance.rest};
}

CellVariance VarianceOf(const MeanSquares& squares, int seeds, int problems) {
  if (seeds < 2) return {0, squares.problems, 0};
  return {(squares.seeds - squares.rest) / problems, (squares.problems - squares.rest) / seeds,
          squares.rest};
}

TableMean MeanOfTable(const SeedTable& table, double step) {
  TableMean result;
  if (table.empty() || table.front().empty()) return result;
  const auto seeds = static_cast<double>(table.size()),
             problems = static_cast<double>(table.front().size());
  std::vector<double> rows, columns(table.front().size());
  for (const auto& row : table) {
    rows.push_back(std::accumulate(row.begin(), row.end(), 0.0) / problems);
    for (std::size_t i = 0; i < row.size(); ++i) columns[i] += row[i] / seeds;
    result.mean += rows.back() / seeds;
  }
  double of_rows = 0, of_columns = 0, of_rest = 0;
  for (std::size_t s = 0; s < rows.size(); ++s) {
    of_rows += std::pow(rows[s] - result.mean, 2);
    for (std::size_t i = 0; i < columns.size(); ++i)
      of_rest += std::pow(table[s][i] - rows[s] - columns[i] + result.mean, 2);
  }
  for (const double column : columns) of_columns += std::pow(column - result.mean, 2);
  const auto per = [](double sum, double freedom) { return freedom > 0 ? sum / freedom : 0; };
  result.squares = {per(problems * of_rows, seeds - 1), per(seeds * of_columns, problems - 1),
                    per(of_rest, (seeds - 1) * (problems - 1))};
  const double least = step * step / (seeds * problems);
  if (result.squares.problems < least)
    result.squares.problems = std::max(least, result.squares.rest);
  return result;
}

MeanTest::MeanTest(int seeds, int problems) {
  constexpr int kDraws = 2000;
  if (problems < 2) return;
  const double of_seeds = seeds - 1.0, of_problems = problems - 1.0,
               cells = static_cast<double>(seeds) * problems;
  for (int i = 0; i < kDraws; ++i) {
    // Small values of the X with the least freedom make the tails of the mean: many draws, of
    // little weight, lie there.
    const double x = (i + 0.5) / kDraws, tail = x * x * x, weight = 3 * x * x / kDraws;
    const double even = EvenNumber(i, std::numbers::sqrt2),
                 other = EvenNumber(i, std::numbers::sqrt3);
    const bool few_seeds = seeds > 1 && seeds <= problems;
    draws_.push_back({InverseShare(of_seeds, few_seeds ? tail : even) / cells,
                      InverseShare(of_problems, few_seeds ? even : tail) / cells,
                      InverseShare(of_seeds * of_problems, other) / cells, weight});
  }
}

std::vector<double> MeanTest::Deviations(const MeanSquares& squares) const {
  std::vector<double> deviations;
  for (const Draw& draw : draws_)
    deviations.push_back(
        std::sqrt(squares.problems * draw.problems +
                  std::max(0.0, squares.seeds * draw.seeds - squares.rest * draw.rest)));
  return deviations;
}

double MeanTest::PValueAt(double distance, const std::vector<double>& deviations) const {
  double sum = 0, weights = 0;
  for (std::size_t i = 0; i < draws_.size(); ++i) {
    weights += draws_[i].weight;
    if (deviations[i] > 0) sum += draws_[i].weight * 2 * pts::NormalCdf(-distance / deviations[i]);
  }
  return sum / weights;
}

double MeanTest::PValue(const TableMean& mean) const {
  if (draws_.empty() || mean.mean == 0) return 1;
  return PValueAt(std::abs(mean.mean), Deviations(mean.squares));
}

double MeanTest::Reach(const MeanSquares& squares, double level) const {
  constexpr double kPrecision = 1e-6;
  const auto deviations = Deviations(squares);
  double high = *std::ranges::max_element(deviations);
  if (PValueAt(0, deviations) <= level) return 0;
  while (PValueAt(high, deviations) > level) high *= 2;
  while (PValueAt(high / 2, deviations) <= level) high /= 2;
  double low = high / 2;
  while (high - low > kPrecision * high) {
    const double middle = (low + high) / 2;
    (PValueAt(middle, deviations) > level ? low : high) = middle;
  }
  return high;
}

MeanInterval MeanTest::Interval(const TableMean& mean, double least, double most) const {
  if (draws_.empty()) return {mean.mean, least, most};
  const double reach = Reach(mean.squares, 0.05);
  return {mean.mean, std::max(mean.mean - reach, least), std::min(mean.mean + reach, most)};
}

std::vector<double> HolmAdjusted(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return p[i]; });
  std::vector<double> adjusted(p.size());
  double least = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    least = std::max(least, std::min(1.0, static_cast<double>(p.size() - k) * p[order[k]]));
    adjusted[order[k]] = least;
  }
  return adjusted;
}

}  // namespace pivotal::experiments
