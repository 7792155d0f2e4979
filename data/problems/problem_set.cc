// Apache-2.0.
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/base/answers.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/problems/dataset.h"
#include "pivotal/problem.h"

namespace pivotal {
namespace {

using data::Quoted;
using nlohmann::json;
using nlohmann::ordered_json;

// A part of a problem file: "2/8" has the problems 1, 9, 17, ... (counted from 0).
struct Shard {
  std::size_t first = 0, step = 1;
};

Shard ParseShard(const std::string& text) {
  if (text.empty()) return {};
  std::size_t number = 0, count = 0;
  const char* const end = text.data() + text.size();
  const auto [slash, bad_number] = std::from_chars(text.data(), end, number);
  if (bad_number == std::errc() && slash != end && *slash == '/') {
    const auto [rest, bad_count] = std::from_chars(slash + 1, end, count);
    if (bad_count == std::errc() && rest == end && number >= 1 && number <= count)
      return {number - 1, count};
  }
  Fail("shard {} is not valid: write 1/8 to 8/8 for eight shards", Quoted(text));
}

}  // namespace

std::vector<Problem> LoadProblems(const std::filesystem::path& path,
                                  const ProblemSetOptions& options) {
  const Shard shard = ParseShard(options.shard);
  data::JsonLineReader lines(path);
  std::vector<Problem> problems;
  std::unordered_map<std::string, std::size_t> line_of;
  json object;
  while ((options.limit == 0 || problems.size() < options.limit) && lines.Next(object)) {
    const data::Dataset& set = data::DatasetOf(options, object);
    Problem problem = data::ReadProblem(set, options, object, lines.line(), lines.Where());
    const auto [first, is_new] = line_of.emplace(problem.id, lines.line());
    if (!is_new) {
      Fail("{}: id {} is already used on line {}; ids must be unique", lines.Where(),
           Quoted(problem.id), first->second);
    }
    problems.push_back(std::move(problem));
  }
  if (problems.empty()) Fail("{}: there is no problem in this file", path.string());
  if (options.shard.empty()) return problems;
  std::vector<Problem> own;
  for (std::size_t i = shard.first; i < problems.size(); i += shard.step)
    own.push_back(std::move(problems[i]));
  if (own.empty())
    Fail("{}: shard {} of {} problems is empty", path.string(), options.shard, problems.size());
  return own;
}

void SaveProblems(const std::filesystem::path& path, const std::vector<Problem>& problems) {
  data::FileSink sink(path);
  for (const Problem& problem : problems) {
    const ordered_json line = {
        {"id", problem.id},
        {"question", problem.question},
        {"answer", data::AnswersJson(problem.answer, problem.other_answers)}};
    try {
      sink.Write(line.dump() + "\n");
    } catch (const json::exception&) {
      Fail("{}: problem {} is not valid UTF-8", path.string(), Quoted(problem.id));
    }
  }
  sink.Commit();
}

}  // namespace pivotal
