// Apache-2.0. Jobs that go through a file line by line: grading responses, scoring completions,
// tokenizing text. Output files are written under a temporary name and then renamed.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "data/tokenizer/token_lines.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/progress.h"
#include "pivotal/served.h"

namespace pivotal::experiments {

struct GradeSettings {
  std::string oracle;  // name for MakeOracle
  OracleOptions oracle_options;
  std::filesystem::path input;
  std::filesystem::path output;  // "": verdicts are counted and not written
  std::string question_key = "question", answer_key = "answer", response_key = "response";
  std::string label_key;  // key of a verdict to compare with: true, false, 1 or 0; "": none
  int threads = 1;
  bool force = false;  // replace `output` if it exists
};

struct GradeSummary {
  int64_t lines = 0;
  int64_t right = 0;       // lines whose response is right
  VerdictCounts verdicts;  // lines whose verdict failed count as wrong
  // Number of lines by [label][verdict], if there is a label key.
  std::array<std::array<int64_t, 2>, 2> agreement{};
};

// Judges each line of `input`: an object with a response, an answer (a string, a number, or a list
// of right answers) and, if the oracle reads it, a question. `output` repeats the lines in order
// with `success` added, and `oracle_failed` where the oracle gave no verdict. Throws Error with
// file and line for a bad line, an answer that the oracle cannot read, or an oracle that fails too
// often.
GradeSummary GradeFile(const GradeSettings& settings, Progress& progress);

struct ScoreSettings {
  ModelSettings model;
  ServedSettings served;  // with addresses, `model` says the tokenizer's folder alone
  std::filesystem::path input, output;
  int64_t batch_tokens = 4096;  // tokens, padding included, of one forward pass
  bool force = false;           // replace `output` if it exists
};

struct ScoreSummary {
  int64_t lines = 0;
  int64_t tokens = 0;  // completion tokens
  double logprob = 0;  // sum over all completion tokens, natural logarithm
};

// Scores the completion of each line of `input` (data::ReadPromptCompletion). `output` repeats the
// lines with `completion_ids` and `logprobs`: the natural logarithm of each completion token's
// probability at temperature 1, given all tokens before it. Throws Error with file and line.
ScoreSummary ScoreFile(const ScoreSettings& settings, Progress& progress);

struct TokenizeSettings {
  std::filesystem::path model;          // folder with a tokenizer; weights are not needed
  std::filesystem::path input, output;  // "-": standard input, standard output
  bool decode = false;                  // turns arrays of ids into text
  bool add_special = false;             // adds the special tokens that the folder asks for
  bool force = false;                   // replace `output` if it exists
};

// Turns lines of text into JSON arrays of token ids, or back (data/tokenizer/token_lines.h). Throws
// Error with file and line.
data::LineCounts TokenizeFile(const TokenizeSettings& settings);

}  // namespace pivotal::experiments
