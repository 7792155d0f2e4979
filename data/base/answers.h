// Apache-2.0. The right answers of a problem in files: one text, or a list of texts of which a
// response needs to give one.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data {

struct RightAnswers {
  std::string first;
  std::vector<std::string> others;
};

// Returns the answers under `key`: a string, a number, or a list of them that is not empty. Throws
// Error that begins with `where` and ends with `remedy`.
RightAnswers ReadAnswers(const nlohmann::json& object, const std::string& key,
                         std::string_view where, std::string_view remedy);

// Returns what ReadAnswers() reads: a string, or a list if there are others.
nlohmann::json AnswersJson(const std::string& first, const std::vector<std::string>& others);

// Returns the answers for people: "72 or 72 hours".
std::string AnswersText(std::string_view first, const std::vector<std::string>& others);

}  // namespace pivotal::data
