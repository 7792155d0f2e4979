// Apache-2.0.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "pivotal/problem.h"

namespace pivotal {
namespace {

using data::Quoted;
using data::RequireKey;
using data::RequireString;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kCodeRemedy =
    "HumanEval and MBPP lines need it; or choose other keys with --question-key and --answer-key";

std::vector<std::string> Strings(const json& object, const std::string& key,
                                 std::string_view where) {
  const json& list = RequireKey(object, key, where, kCodeRemedy);
  const auto is_string = [](const json& item) { return item.is_string(); };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_string))
    Fail("{}: key {} must be a list of strings", where, Quoted(key));
  return list.get<std::vector<std::string>>();
}

std::string TaskId(const json& object, std::string_view where) {
  const json& id = object["task_id"];
  if (id.is_string()) return id.get<std::string>();
  if (!id.is_number_integer())
    Fail("{}: key \"task_id\" must be a string or an integer, not {}", where, id.type_name());
  return id.dump();
}

bool IsNameByte(char c) {
  return c == '_' || data::IsDigit(c) || data::IsLetter(c) || static_cast<unsigned char>(c) >= 0x80;
}

// Returns the names of the functions and classes at the top level of a Python program.
std::vector<std::string> TopLevelNames(std::string_view code) {
  std::vector<std::string> names;
  while (!code.empty()) {
    std::string_view line = code.substr(0, code.find('\n'));
    code.remove_prefix(std::min(line.size() + 1, code.size()));
    for (const std::string_view keyword : {"def ", "class "}) {
      if (!line.starts_with(keyword)) continue;
      line.remove_prefix(keyword.size());
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      std::size_t end = 0;
      while (end < line.size() && IsNameByte(line[end])) ++end;
      if (end > 0) names.emplace_back(line.substr(0, end));
      break;
    }
  }
  return names;
}

Problem HumanEval(const json& object, std::string_view where) {
  const ordered_json answer = {
      {"entry_point", RequireString(object, "entry_point", where, kCodeRemedy)},
      {"test", RequireString(object, "test", where, kCodeRemedy)}};
  return {TaskId(object, where), RequireString(object, "prompt", where, kCodeRemedy),
          answer.dump()};
}

// The question contains the tests, as in the paper (arXiv 2108.07732): only they name the function
// to be written.
Problem Mbpp(const json& object, std::string_view where) {
  const auto tests = Strings(object, "test_list", where);
  if (tests.empty()) Fail("{}: key \"test_list\" is empty", where);
  std::string setup;
  if (object.contains("test_imports")) {
    for (const std::string& line : Strings(object, "test_imports", where)) setup += line + "\n";
  }
  if (object.contains("test_setup_code"))
    setup += RequireString(object, "test_setup_code", where, kCodeRemedy);
  std::string question =
      RequireString(object, object.contains("text") ? "text" : "prompt", where, kCodeRemedy) +
      "\nYour code should pass these tests:\n";
  for (const std::string& test : tests) question += "\n" + test;
  std::vector<std::string> defines;
  if (object.contains("code"))
    defines = TopLevelNames(RequireString(object, "code", where, kCodeRemedy));
  const ordered_json answer = {{"tests", tests}, {"setup", setup}, {"defines", defines}};
  return {TaskId(object, where), question, answer.dump()};
}

// Reads a line with `task_id` and either `entry_point` and `test` (HumanEval) or `test_list`
// (MBPP); returns nothing for other lines. The answer is a compact JSON text for the code oracle;
// its keys are in data/FORMATS.md. Throws Error that begins with `where` for a line of these
// formats that lacks a key or has one of a wrong type.
std::optional<Problem> ReadCodeProblem(const json& object, std::string_view where) {
  if (!object.contains("task_id")) return std::nullopt;
  if (object.contains("test_list")) return Mbpp(object, where);
  if (object.contains("entry_point") && object.contains("test")) return HumanEval(object, where);
  return std::nullopt;
}

// Returns a value that data sets store as a string or as a number.
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
  // The usual key of the id may be absent. A key that the user chose must be present.
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
    Problem problem = ParseProblem(object, options, lines.line(), lines.Where());
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
        {"id", problem.id}, {"question", problem.question}, {"answer", problem.answer}};
    try {
      sink.Write(line.dump() + "\n");
    } catch (const json::exception&) {
      Fail("{}: problem {} is not valid UTF-8", path.string(), Quoted(problem.id));
    }
  }
  sink.Commit();
}

}  // namespace pivotal
