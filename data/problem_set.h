// Apache-2.0. Problem files: JSON lines with a question and its answer.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace pivotal::data {

struct Problem {
  std::string id;        // unique in its file; "<line number>" (from 1) where the file has none
  std::string question;
  std::string answer;    // the reference, read by the oracle
};

struct ProblemSetOptions {
  std::string id_key = "id";
  std::string question_key = "question";
  std::string answer_key = "answer";
  std::size_t limit = 0;  // read at most this many problems; 0 = all
  std::string shard;      // "2/8": of these the second, tenth, eighteenth, ...; "": all
};

// Reads this project's JSONL, GSM8K's (same keys, no id), HumanEval's and MBPP's (code_problem.h;
// while no other keys are chosen) or any JSONL with other keys. Numbers are accepted for id and
// answer, nested values are not. Blank lines are skipped.
// Throws Error with file, line and remedy: no JSON, a key is missing (the keys present are listed),
// a value of the wrong type, a duplicate id, invalid UTF-8, no problem at all, a shard that is none.
std::vector<Problem> LoadProblems(const std::filesystem::path& path,
                                  const ProblemSetOptions& options = {});

// One {"id","question","answer"} object per line.
void SaveProblems(const std::filesystem::path& path, const std::vector<Problem>& problems);

}  // namespace pivotal::data
