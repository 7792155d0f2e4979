// Apache-2.0. Problem files: JSON lines or tables; each line or row is a question and its reference
// answer.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal {

struct Problem {
  std::string id;  // unique in its file; the number of the line (from 1) if the file gives none
  std::string question;
  std::string answer;                           // the reference answer, which an Oracle reads
  std::vector<std::string> other_answers = {};  // right ones too: a response needs to give one
};

struct ProblemSetOptions {
  std::string id_key = "id";
  std::string question_key = "question";
  std::string answer_key = "answer";
  std::size_t limit = 0;  // number of problems to read at most; 0: all
  std::string shard;      // "2/8": the second, tenth, eighteenth, ... problem; "": all
  // One of DatasetNames(), which says how a problem is made of a line; "": none. Beside one, a key
  // that is "" is the data set's own.
  std::string dataset = {};
};

// Returns the names of the well-known data sets that LoadProblems reads as people download them:
// gsm8k, math, math-500, aime, humaneval, mbpp, gpqa, mmlu, mmlu-pro, arc.
std::vector<std::string> DatasetNames();
// Returns options that read a file of this data set. Throws Error that lists the names.
ProblemSetOptions DatasetOptions(std::string_view name);
// Returns the name of the oracle (MakeOracle) for this data set. Throws Error that lists the names.
std::string DatasetOracle(std::string_view name);

// Reads problems from this project's JSONL, GSM8K's (the same keys without id), HumanEval's and
// MBPP's (if the options name no other keys), any JSONL with other keys, or a well-known data set.
// JSONL and CSV (by the name, *.csv) may be compressed by gzip or Zstandard. Parquet is read by
// Python's pyarrow. Numbers are accepted as id and answer, and as answer a list of right ones;
// other nested values are not. Blank lines are skipped. Throws Error with file, line (or row) and
// remedy for: a line that is no JSON, a missing key (the keys present are listed), a value of the
// wrong type, a repeated id, invalid UTF-8, a file without problems, a malformed shard, a damaged
// file, Parquet without pyarrow.
std::vector<Problem> LoadProblems(const std::filesystem::path& path,
                                  const ProblemSetOptions& options = {});

// Writes one {"id", "question", "answer"} object per line, under a temporary name first; several
// right answers are a list. Throws Error if the disk is full.
void SaveProblems(const std::filesystem::path& path, const std::vector<Problem>& problems);

}  // namespace pivotal
