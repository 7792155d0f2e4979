"""Compares intervals for the change of accuracy between two arms that were trained with several seeds.

usage: python interval_coverage.py [--experiments N]
Each experiment has 100 problems, which every seed sees, and four responses to each problem before and after. The
probability of a right response is 0.3 to 0.6 before. It rises by 0.05 on average: training adds a normal number with
deviation 0.05 to each problem, the same for all seeds, and a number of the seed to all problems. The table shows how
many of 100 intervals of 95% and of 99.5% hold the true change, and the median width of those of 95% in points.

  generalized     Weerahandi (JASA 88, 1993), what `pivotal ablate` does (experiments/ablation/crossed_mean.h)
  Satterthwaite   Student's t with the variance of crossed random effects and Satterthwaite's degrees of freedom
  pigeonhole      percentile bootstrap that draws seeds and problems again (Owen, Annals of Applied Statistics 1, 2007)
  problems        Student's t over problems, averaged over the seeds
With one seed, the first two are the last. Needs numpy and scipy.
"""
import argparse

import numpy as np
from scipy import stats
from scipy.special import ndtr

PROBLEMS, SAMPLES, CHANGE, LEVELS = 100, 4, 0.05, (0.05, 0.005)
RESAMPLES = 2000


def draw(rng, seeds, deviation):
    before = rng.uniform(0.3, 0.6, PROBLEMS)
    after = before + CHANGE + rng.normal(0, 0.05, PROBLEMS) + rng.normal(0, deviation, (seeds, 1))
    before = np.broadcast_to(before, after.shape)
    return (rng.binomial(SAMPLES, np.clip(after, 0, 1)) - rng.binomial(SAMPLES, before)) / SAMPLES


def mean_squares(table):
    seeds, problems = table.shape
    mean, rows, columns = table.mean(), table.mean(1), table.mean(0)
    of_seeds = problems * ((rows - mean) ** 2).sum() / (seeds - 1)
    of_problems = seeds * ((columns - mean) ** 2).sum() / (problems - 1)
    rest = table - rows[:, None] - columns + mean
    return of_seeds, of_problems, (rest**2).sum() / ((seeds - 1) * (problems - 1))


def over_problems(table, rng):
    means = table.mean(0)
    error = means.std(ddof=1) / PROBLEMS**0.5
    return [error * stats.t.ppf(1 - level / 2, PROBLEMS - 1) for level in LEVELS]


def satterthwaite(table, rng):
    seeds = len(table)
    if seeds == 1:
        return over_problems(table, rng)
    squares = np.array(mean_squares(table))
    freedom = np.array([seeds - 1, PROBLEMS - 1, (seeds - 1) * (PROBLEMS - 1)])
    if squares[:2].min() > squares[2]:
        total = squares[0] + squares[1] - squares[2]
        free = total**2 / (squares**2 / freedom).sum()
    else:
        total, free = squares.max(), freedom[squares.argmax()]
    return [(total / table.size) ** 0.5 * stats.t.ppf(1 - level / 2, free) for level in LEVELS]


def generalized(table, rng):
    seeds = len(table)
    if seeds == 1:
        return over_problems(table, rng)
    freedom = np.array([seeds - 1, PROBLEMS - 1, (seeds - 1) * (PROBLEMS - 1)])
    even = (np.arange(RESAMPLES) + 0.5) / RESAMPLES
    few = freedom[0] / stats.chi2.ppf(even**3, freedom[0])  # many draws in the tail, of little weight
    others = [free / rng.chisquare(free, RESAMPLES) for free in freedom[1:]]
    squares = mean_squares(table)
    of_seeds = np.maximum(squares[0] * few - squares[2] * others[1], 0)
    q = np.maximum(squares[1] * others[0] + of_seeds, 1e-300) / table.size
    weights = even**2 / (even**2).sum()
    reaches = []
    for level in LEVELS:
        low, high = 0.0, 1e3
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if (weights * 2 * ndtr(-middle / q**0.5)).sum() > level else (low, middle)
        reaches.append(high)
    return reaches


def pigeonhole(table, rng):
    seeds = len(table)
    rows = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
    columns = rng.multinomial(PROBLEMS, np.full(PROBLEMS, 1 / PROBLEMS), RESAMPLES)
    means = ((rows @ table) * columns).sum(1) / table.size
    return [np.quantile(means, [level / 2, 1 - level / 2]) for level in LEVELS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=2000)
    experiments = parser.parse_args().experiments
    methods = {"generalized": generalized, "Satterthwaite": satterthwaite, "pigeonhole": pigeonhole,
               "problems": over_problems}
    print("| seeds | deviation over seeds | " + " | ".join(methods) + " |\n|---|---|" + "---|" * len(methods))
    for seeds in (1, 2, 3, 5, 10):
        for deviation in (0, 0.02, 0.06):
            rng = np.random.default_rng(seeds)
            held = {name: np.zeros(len(LEVELS)) for name in methods}
            widths = {name: [] for name in methods}
            for _ in range(experiments):
                table = draw(rng, seeds, deviation)
                mean = table.mean()
                for name, method in methods.items():
                    ends = [e if np.ndim(e) else (mean - e, mean + e) for e in method(table, rng)]
                    held[name] += [low <= CHANGE <= high for low, high in ends]
                    widths[name].append(100 * (ends[0][1] - ends[0][0]))
            cells = [f"{100 * held[name][0] / experiments:.1f}, {100 * held[name][1] / experiments:.1f}; "
                     f"{np.median(widths[name]):.1f}" for name in methods]
            print(f"| {seeds} | {100 * deviation:.0f} points | " + " | ".join(cells) + " |", flush=True)


main()
