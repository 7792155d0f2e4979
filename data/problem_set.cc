// Apache-2.0. Problem files.
#include "data/problem_set.h"

#include <nlohmann/json.hpp>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "data/code_problem.h"
#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"

namespace pivotal::data {
namespace {

using nlohmann::json;

// Data sets keep ids and answers as strings or as numbers.
std::string StringOrNumber(const json& object, const std::string& key, const std::string& where,
                           std::string_view remedy) {
  const json& value = RequireKey(object, key, where, remedy);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  Fail("{}: key {} must be a string or a number, not {}; {}", where, Quoted(key), value.type_name(),
       remedy);
}

Problem ParseProblem(const json& object, const ProblemSetOptions& options, std::size_t line,
                     const std::string& where) {
  const ProblemSetOptions usual;
  const bool usual_keys = options.id_key == usual.id_key &&
                          options.question_key == usual.question_key &&
                          options.answer_key == usual.answer_key;
  if (usual_keys && !object.contains(usual.question_key)) {
    if (auto problem = ReadCodeProblem(object, where)) return std::move(*problem);
  }
  Problem problem;
  // Only the usual key may be absent: one that the user named must be there.
  const bool needs_id = options.id_key != usual.id_key;
  problem.id = needs_id || object.contains(options.id_key)
                   ? StringOrNumber(object, options.id_key, where, "choose another with --id-key")
                   : std::to_string(line);
  problem.question =
      RequireString(object, options.question_key, where, "choose another with --question-key");
  problem.answer =
      StringOrNumber(object, options.answer_key, where, "choose another with --answer-key");
  return problem;
}

// The places of "2/8" are 1, 9, 17, ...
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
    if (bad_count == std::errc() && rest == end && number >= 1 && number <= count) return {number - 1, count};
  }
  Fail("shard {} is none: write 1/8 to 8/8 for eight of them", Quoted(text));
}

}  // namespace

std::vector<Problem> LoadProblems(const std::filesystem::path& path,
                                  const ProblemSetOptions& options) {
  const Shard shard = ParseShard(options.shard);
  JsonLineReader lines(path);
  std::vector<Problem> problems;
  std::unordered_map<std::string, std::size_t> line_of;
  json object;
  while ((options.limit == 0 || problems.size() < options.limit) && lines.Next(object)) {
    Problem problem = ParseProblem(object, options, lines.line(), lines.Where());
    const auto [first, is_new] = line_of.emplace(problem.id, lines.line());
    if (!is_new) {
      Fail("{}: id {} is already used on line {}; ids must be unique", lines.Where(),
           Quoted(problem.id), first->second);
    }
    problems.push_back(std::move(problem));
  }
  if (problems.empty()) Fail("{}: no problem in this file", path.string());
  if (options.shard.empty()) return problems;
  std::vector<Problem> own;
  for (std::size_t i = shard.first; i < problems.size(); i += shard.step) own.push_back(std::move(problems[i]));
  if (own.empty()) Fail("{}: shard {} of {} problems is empty", path.string(), options.shard, problems.size());
  return own;
}

void SaveProblems(const std::filesystem::path& path, const std::vector<Problem>& problems) {
  FileSink sink(path);
  for (const Problem& problem : problems) {
    const nlohmann::ordered_json line = {
        {"id", problem.id}, {"question", problem.question}, {"answer", problem.answer}};
    try {
      sink.Write(line.dump() + "\n");
    } catch (const json::exception&) {
      Fail("{}: problem {} is not valid UTF-8", path.string(), Quoted(problem.id));
    }
  }
  sink.Commit();
}

}  // namespace pivotal::data
