// Apache-2.0.
#include "data/base/answers.h"

#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/json_input.h"

namespace pivotal::data {
namespace {

std::string AnswerOf(const nlohmann::json& value, const std::string& key, std::string_view where,
                     std::string_view remedy) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  Fail("{}: key {} must be a string, a number or a list of them, not {}; {}", where, Quoted(key),
       value.type_name(), remedy);
}

}  // namespace

RightAnswers ReadAnswers(const nlohmann::json& object, const std::string& key,
                         std::string_view where, std::string_view remedy) {
  const nlohmann::json& value = RequireKey(object, key, where, remedy);
  if (!value.is_array()) return {AnswerOf(value, key, where, remedy), {}};
  if (value.empty())
    Fail("{}: key {} is an empty list; no response could be right", where, Quoted(key));
  RightAnswers answers{AnswerOf(value[0], key, where, remedy), {}};
  for (std::size_t i = 1; i < value.size(); ++i)
    answers.others.push_back(AnswerOf(value[i], key, where, remedy));
  return answers;
}

nlohmann::json AnswersJson(const std::string& first, const std::vector<std::string>& others) {
  if (others.empty()) return first;
  nlohmann::json list = nlohmann::json::array();
  list.push_back(first);
  for (const std::string& other : others) list.push_back(other);
  return list;
}

std::string AnswersText(std::string_view first, const std::vector<std::string>& others) {
  std::string text(first);
  for (const std::string& other : others) text += " or " + other;
  return text;
}

}  // namespace pivotal::data
