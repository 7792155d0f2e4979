// Apache-2.0.
#include "data/code_problem.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/error.h"
#include "data/json_input.h"

namespace pivotal::data {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kRemedy =
    "HumanEval and MBPP lines need it; or choose other keys with --question-key and --answer-key";

std::vector<std::string> Strings(const json& object, const std::string& key,
                                 std::string_view where) {
  const json& list = RequireKey(object, key, where, kRemedy);
  const auto is_string = [](const json& item) { return item.is_string(); };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_string))
    Fail("{}: key {} must be a list of strings", where, Quoted(key));
  return list.get<std::vector<std::string>>();
}

std::string Id(const json& object, std::string_view where) {
  const json& id = object["task_id"];
  if (id.is_string()) return id.get<std::string>();
  if (!id.is_number_integer())
    Fail("{}: key \"task_id\" must be a string or an integer, not {}", where, id.type_name());
  return id.dump();
}

bool IsNameByte(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<unsigned char>(c) >= 0x80;
}

// Names of the functions and classes at the top level of a Python text.
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
      {"entry_point", RequireString(object, "entry_point", where, kRemedy)},
      {"test", RequireString(object, "test", where, kRemedy)}};
  return {Id(object, where), RequireString(object, "prompt", where, kRemedy), answer.dump()};
}

// The tests are part of the question, as in the paper (arXiv 2108.07732): nothing else names the
// function.
Problem Mbpp(const json& object, std::string_view where) {
  const auto tests = Strings(object, "test_list", where);
  if (tests.empty()) Fail("{}: key \"test_list\" is empty", where);
  std::string setup;
  if (object.contains("test_imports")) {
    for (const std::string& line : Strings(object, "test_imports", where)) setup += line + "\n";
  }
  if (object.contains("test_setup_code"))
    setup += RequireString(object, "test_setup_code", where, kRemedy);
  std::string question =
      RequireString(object, object.contains("text") ? "text" : "prompt", where, kRemedy) +
      "\nYour code should pass these tests:\n";
  for (const std::string& test : tests) question += "\n" + test;
  std::vector<std::string> defines;
  if (object.contains("code"))
    defines = TopLevelNames(RequireString(object, "code", where, kRemedy));
  const ordered_json answer = {{"tests", tests}, {"setup", setup}, {"defines", defines}};
  return {Id(object, where), question, answer.dump()};
}

}  // namespace

std::optional<Problem> ReadCodeProblem(const json& object, std::string_view where) {
  if (!object.contains("task_id")) return std::nullopt;
  if (object.contains("test_list")) return Mbpp(object, where);
  if (object.contains("entry_point") && object.contains("test")) return HumanEval(object, where);
  return std::nullopt;
}

}  // namespace pivotal::data
