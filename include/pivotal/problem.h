// Apache-2.0. Problem files: JSON lines, each a question and its reference answer.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace pivotal {

struct Problem {
  std::string id;  // unique in its file; the line number (from 1) if the file gives none
  std::string question;
  std::string answer;  // the reference answer, which an Oracle reads
};

struct ProblemSetOptions {
  std::string id_key = "id";
  std::string question_key = "question";
  std::string answer_key = "answer";
  std::size_t limit = 0;  // number of problems to read at most; 0: all
  std::string shard;      // "2/8": the second, tenth, eighteenth, ... problem; "": all
};

// Reads problems from this project's JSONL, GSM8K's (the same keys without id), HumanEval's and
// MBPP's (if the options name no other keys), or any JSONL with other keys. Numbers are accepted as
// id and answer, nested values are not. Blank lines are skipped. Throws Error with file, line and
// remedy for: a line that is no JSON, a missing key (the keys present are listed), a value of the
// wrong type, a repeated id, invalid UTF-8, a file without problems, a malformed shard.
std::vector<Problem> LoadProblems(const std::filesystem::path& path,
                                  const ProblemSetOptions& options = {});

// Writes one {"id", "question", "answer"} object per line, under a temporary name first. Throws
// Error if the disk is full.
void SaveProblems(const std::filesystem::path& path, const std::vector<Problem>& problems);

}  // namespace pivotal
