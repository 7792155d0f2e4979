// Apache-2.0. What a search has stored so far, read again and again while it goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/traces/trace_store.h"

namespace pivotal::experiments {

// Counts of a stored problem.
struct StoredProblem {
  std::string id;
  bool searched = false, complete = true;
  int64_t failed_verdicts = 0;
  int64_t responses = 0, pivotal = 0, pairs = 0, rollouts = 0, tokens = 0;
};

// Follows the traces of a run that other processes write. Reads each file of them once.
class StoredProblems {
 public:
  explicit StoredProblems(std::filesystem::path run) : run_(std::move(run)) {}

  // Reads the files that are new or were replaced since the last call.
  void Update();
  // In the order in which they are stored. A problem that is stored several times counts once, as
  // in TraceStore::ReadAll().
  const std::vector<StoredProblem>& problems() const { return problems_; }
  // A line for each file that cannot be read.
  const std::vector<std::string>& faults() const { return faults_; }
  // True if the traces are in traces.h5 and no shard is left: the search came to its end.
  bool joined() const { return joined_; }

 private:
  struct Known {
    data::TraceFile file;
    std::vector<StoredProblem> problems;
    std::string fault;  // why it cannot be read; "": it was read
  };
  // Returns false if a file was removed meanwhile.
  bool Read();
  void Join();

  std::filesystem::path run_;
  std::vector<Known> files_;
  std::vector<StoredProblem> problems_;
  std::vector<std::string> faults_;
  bool joined_ = false;
};

// What the pairs among `problems` cost each, in generated tokens; 0 where there are none.
double PairCost(const std::vector<StoredProblem>& problems);
// The same for the last pairs: those of as many of the last problems as hold 20, of which there
// must be 5. It is what the next pair may cost.
double NextPairCost(const std::vector<StoredProblem>& problems);

// A point for each of up to `most` stretches of the search.
struct PairPoint {
  int64_t tokens = 0, pairs = 0;  // so far
  double cost = 0;                // of the last pairs, as NextPairCost(); 0: unknown
};
std::vector<PairPoint> PairCurve(const std::vector<StoredProblem>& problems, std::size_t most);

}  // namespace pivotal::experiments
