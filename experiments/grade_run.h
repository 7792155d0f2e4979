// Apache-2.0. Grading of responses that are there already.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "data/progress.h"
#include "pts/oracles/oracle_options.h"

namespace pivotal::experiments {

struct GradeSettings {
  std::string oracle;
  pts::OracleOptions oracle_options;
  std::filesystem::path input, output;  // no output: count only
  std::string question_key = "question", answer_key = "answer", response_key = "response";
  std::string label_key;  // of a verdict to compare with (true, false, 1 or 0); none: ""
  int threads = 1;
};

struct GradeSummary {
  int64_t lines = 0, right = 0;
  // With a label key: lines by [label][verdict].
  std::array<std::array<int64_t, 2>, 2> agreement{};
};

// Judges each line of `input`, an object with an answer (a string or number, or a list of them any
// of which is right) and a response; a question only where the oracle's reader wants one. `output`
// repeats the lines in order with `success` added, written aside and renamed. Throws Error with
// file and line, also for an answer that the oracle cannot read.
GradeSummary GradeFile(const GradeSettings& settings, Progress& progress);

}  // namespace pivotal::experiments
