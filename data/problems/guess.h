// Apache-2.0. What a problem file plainly holds, told by its first problems.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pivotal/problem.h"

namespace pivotal::data {

struct ProblemGuess {
  std::string dataset;  // one of DatasetNames(); "": this project's own form
  std::string oracle;   // a name for MakeOracle
  std::string why;      // completes the sentence "The file ...": "looks like gsm8k"
};

// Looks at the first problems of the file. Returns nullopt unless all of them are of one kind, and
// for a file that cannot be read twice (a pipe) or at all: whoever loads it says why. Data sets are
// told by their keys, and only if `options` name neither a set nor keys of their own.
std::optional<ProblemGuess> GuessProblems(const std::filesystem::path& file,
                                          const ProblemSetOptions& options);

// Returns the oracle that plainly fits the answers of all problems, such as "choice" for letters of
// choices that the questions show; "" if there is none.
std::string OracleOfAnswers(const std::vector<Problem>& problems);

// Returns the data set whose name on the Hub this is, such as gsm8k for openai/gsm8k; "" for
// others.
std::string DatasetOnHub(const std::string& id);

}  // namespace pivotal::data
