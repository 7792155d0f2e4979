// Apache-2.0. Means over seeds and problems that count the chance of both: every seed sees the same
// problems, so that the table of scores is a crossed design without replicates.
#pragma once

#include <vector>

#include "experiments/evaluate/accuracy.h"

namespace pivotal::experiments {

// [seed][problem]: the scores of an arm, or their changes from another arm.
using SeedTable = std::vector<std::vector<double>>;

// The parts of the variance of a cell, in the model cell = mean + a_seed + b_problem + e. Estimates
// may be below 0 where a part is small.
struct CellVariance {
  double seeds = 0;     // of what all problems of a seed have in common
  double problems = 0;  // of what a problem has in common under all seeds
  double rest = 0;      // of the cell alone: sampled responses, and what a seed does to one problem
};

// The sums of squares of seeds, of problems and of the rest (two-way analysis of variance), each
// divided by its degrees of freedom. With one seed `problems` is the variance over problems, and
// the others are 0.
struct MeanSquares {
  double seeds = 0, problems = 0, rest = 0;
};

// Return the mean squares that such cells have on average, and the other way round.
MeanSquares ExpectedSquares(const CellVariance& variance, int seeds, int problems);
CellVariance VarianceOf(const MeanSquares& squares, int seeds, int problems);

struct TableMean {
  double mean = 0;
  MeanSquares squares;
};
// All rows have the same number of problems; the order of seeds and problems does not matter.
// `step` is the least that a cell can change, such as one response of its samples. Few coarse cells
// can be alike by chance: the mean square of problems is at least what one cell that is off by a
// step makes, and where it would be less, at least that of the rest.
TableMean MeanOfTable(const SeedTable& table, double step = 0);

// Tests and intervals for means of tables of one size: a generalized confidence interval
// (Weerahandi, JASA 88, 1993; of crossed random effects: Burdick, Borror and Montgomery, "Design
// and Analysis of Gauge R&R Studies", 2005). The unknown variance of the mean is taken as
//   Q = (SS_problems / X_2 + max(0, SS_seeds / X_1 - SS_rest / X_3)) / cells,
// with the sums of squares that were seen and independent chi-square variables X with their degrees
// of freedom; the mean is normal with variance Q, averaged over Q. What seeds add is never below 0,
// so that seeds which agree by chance don't make the interval narrower than that over problems.
// With one seed this is Student's t over problems, and seeds do not count.
// bench/interval_coverage.py compares it with others.
class MeanTest {
 public:
  MeanTest(int seeds, int problems);

  // Returns the two-sided p-value of the hypothesis that the true mean is 0. It is 1 with fewer
  // than two problems, which tell nothing of others.
  double PValue(const TableMean& mean) const;
  // Returns the mean with its 95% interval, which ends at `least` and `most` at the latest.
  MeanInterval Interval(const TableMean& mean, double least, double most) const;
  // Returns the distance from 0 at which a mean has the p-value `level`. Needs two problems.
  double Reach(const MeanSquares& squares, double level) const;

 private:
  // Q of a draw of the three X, as factors of the mean squares; draws have different weights.
  struct Draw {
    double seeds, problems, rest, weight;
  };

  double PValueAt(double distance, const std::vector<double>& deviations) const;
  std::vector<double> Deviations(const MeanSquares& squares) const;  // sqrt(Q) of each draw

  std::vector<Draw> draws_;
};

// Returns number i of a sequence in (0, 1) that fills it evenly: the fraction of (i + 1/2) step. Of
// irrational steps, and of 1/n for n numbers, several sequences fill a cube evenly.
double EvenNumber(int i, double step);

// Returns the p-values, each adjusted for the number of them by Holm's method (Scandinavian Journal
// of Statistics 6, 1979): whoever calls those below 0.05 real is wrong about any of them with a
// probability of at most 5%.
std::vector<double> HolmAdjusted(const std::vector<double>& p);

}  // namespace pivotal::experiments
