// Apache-2.0.
#include "data/problems/code_problem.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/base/error.h"
#include "data/base/json_input.h"
#include "data/base/text.h"

namespace pivotal::data {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kCodeRemedy =
    "HumanEval and MBPP need it; or choose other keys with --question-key and --answer-key";

std::vector<std::string> Strings(const json& object, const std::string& key,
                                 std::string_view where) {
  const json& list = RequireKey(object, key, where, kCodeRemedy);
  const auto is_string = [](const json& item) { return item.is_string(); };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_string))
    Fail("{}: key {} must be a list of strings", where, Quoted(key));
  return list.get<std::vector<std::string>>();
}

bool IsNameByte(char c) {
  return c == '_' || IsDigit(c) || IsLetter(c) || static_cast<unsigned char>(c) >= 0x80;
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

std::vector<std::string> TestsOf(const json& object, std::string_view where) {
  auto tests = Strings(object, "test_list", where);
  if (tests.empty()) Fail("{}: key \"test_list\" is empty", where);
  return tests;
}

}  // namespace

std::string HumanEvalAnswer(const json& object, std::string_view where) {
  const ordered_json answer = {
      {"entry_point", RequireString(object, "entry_point", where, kCodeRemedy)},
      {"test", RequireString(object, "test", where, kCodeRemedy)}};
  return answer.dump();
}

std::string MbppAnswer(const json& object, std::string_view where) {
  std::string setup;
  if (object.contains("test_imports")) {
    for (const std::string& line : Strings(object, "test_imports", where)) setup += line + "\n";
  }
  if (object.contains("test_setup_code"))
    setup += RequireString(object, "test_setup_code", where, kCodeRemedy);
  std::vector<std::string> defines;
  if (object.contains("code"))
    defines = TopLevelNames(RequireString(object, "code", where, kCodeRemedy));
  const ordered_json answer = {
      {"tests", TestsOf(object, where)}, {"setup", setup}, {"defines", defines}};
  return answer.dump();
}

std::string MbppQuestion(const std::string& text, const json& object, std::string_view where) {
  std::string question = text + "\nYour code should pass these tests:\n";
  for (const std::string& test : TestsOf(object, where)) question += "\n" + test;
  return question;
}

}  // namespace pivotal::data
