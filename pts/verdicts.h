// Apache-2.0. Asks judges, counts the verdicts that fail, and ends the work where too many do.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "pivotal/error.h"
#include "pivotal/oracle.h"
#include "pivotal/search.h"

namespace pivotal::pts {

// Reports that more verdicts failed than are allowed. It names the counts and the last cause.
class TooManyFailures : public Error {
 public:
  using Error::Error;
};

// Counts verdicts. Several threads may use it at once.
class VerdictTally {
 public:
  // `limit`: the largest share of verdicts that may fail, in [0, 1] (OracleOptions::max_failures).
  explicit VerdictTally(double limit) : limit_(limit) {}

  // Counts the call of `judge` and returns what it returns. Lets NoVerdict through, or throws
  // TooManyFailures in its place.
  template <typename Asked>
  auto Count(Asked&& judge) {
    try {
      const auto verdict = judge();
      Note(nullptr);
      return verdict;
    } catch (const NoVerdict& failure) {
      Note(&failure);
      throw;
    }
  }
  // The same, but returns nothing in place of NoVerdict.
  template <typename Asked>
  auto Ask(Asked&& judge) -> std::optional<decltype(judge())> {
    try {
      return Count(judge);
    } catch (const NoVerdict&) {
      return std::nullopt;
    }
  }
  VerdictCounts counts() const;

 private:
  void Note(const NoVerdict* failure);

  const double limit_;
  mutable std::mutex mutex_;
  VerdictCounts counts_;
};

enum class Verdict : uint8_t {
  kWrong = 0,
  kRight = 1,
  kFailed = 2  // the judge gave none (NoVerdict); the response does not count as right
};

// A judge whose failures are counted. Several threads may ask it at once.
class CountingJudge {
 public:
  // `judge` must outlive it; `limit` is that of VerdictTally.
  CountingJudge(const Judge& judge, double limit) : judge_(judge), tally_(limit) {}

  // Throws TooManyFailures, or what the judge throws except for NoVerdict.
  Verdict operator()(const Query& query, std::span<const TokenId> response);
  VerdictCounts counts() const { return tally_.counts(); }

 private:
  const Judge& judge_;
  VerdictTally tally_;
};

}  // namespace pivotal::pts
