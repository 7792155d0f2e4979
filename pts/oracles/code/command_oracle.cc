// Apache-2.0.
#include "pts/oracles/code/command_oracle.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "data/base/error.h"
#include "data/base/text.h"
#include "pts/oracles/code/command_pool.h"

namespace pivotal::pts {
namespace {

using nlohmann::json;

constexpr std::array kQualities = {"accuracy", "style", "detail"};

// Writes the question as a line of JSON. Bytes that are not UTF-8 are replaced: a response that was
// cut inside a character is no reason to stop.
std::string LineOf(const Attempt& attempt, std::optional<std::string_view> sentence = {}) {
  nlohmann::ordered_json question = {
      {"question", attempt.question}, {"answer", attempt.answer}, {"response", attempt.response}};
  if (sentence) question["sentence"] = *sentence;
  return question.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool HasVerdict(const json& object) {
  return object.contains("success") && object["success"].is_boolean();
}

bool HasScores(const json& object) {
  return std::ranges::all_of(
      kQualities, [&](const char* key) { return object.contains(key) && object[key].is_number(); });
}

class CommandOracle : public Oracle {
 public:
  CommandOracle(std::string_view command, const OracleOptions& options)
      : pool_("oracle command", std::string(command), options,
              {HasVerdict, "{\"success\": true} or false"}) {}

  bool Judge(const Attempt& attempt) const override {
    return json::parse(pool_.Ask(LineOf(attempt)))["success"].get<bool>();
  }
  // Only the program knows what it can compare.
  bool CanRead(std::string_view) const override { return true; }

 private:
  CommandPool pool_;
};

class CommandScorer : public ResponseScorer {
 public:
  CommandScorer(std::string_view command, const OracleOptions& options)
      : pool_("judge command", std::string(command), options,
              {HasScores, "{\"accuracy\": 1, \"style\": 1, \"detail\": 1} with numbers"}) {}

  double Score(const Attempt& attempt) const override {
    const json scores = json::parse(pool_.Ask(LineOf(attempt)));
    double sum = 0;
    for (const char* key : kQualities) sum += scores[key].get<double>();
    return sum / static_cast<double>(kQualities.size());
  }

 private:
  CommandPool pool_;
};

class CommandClassifier : public SentenceClassifier {
 public:
  CommandClassifier(std::string_view command, std::vector<std::string> categories,
                    const OracleOptions& options)
      : pool_("judge command", std::string(command), options,
              {[categories](const json& object) {
                 return object.contains("category") && object["category"].is_string() &&
                        std::ranges::find(categories, object["category"].get<std::string>()) !=
                            categories.end();
               },
               fmt::format("{{\"category\": NAME}} with one of {}", fmt::join(categories, ", "))}) {
  }

  std::string Category(const Attempt& attempt, std::string_view sentence) const override {
    return json::parse(pool_.Ask(LineOf(attempt, sentence)))["category"].get<std::string>();
  }

 private:
  CommandPool pool_;
};

}  // namespace

std::unique_ptr<const Oracle> MakeCommandOracle(std::string_view command,
                                                const OracleOptions& options) {
  if (data::Trim(command).empty())
    Fail(
        "oracle command: a program is missing; write command:PROGRAM, as in \"command:python3 "
        "judge.py\"");
  return std::make_unique<CommandOracle>(command, options);
}

std::unique_ptr<const ResponseScorer> MakeCommandScorer(std::string_view command,
                                                        const OracleOptions& options) {
  options.Validate();
  return std::make_unique<CommandScorer>(command, options);
}

std::unique_ptr<const SentenceClassifier> MakeCommandClassifier(std::string_view command,
                                                                std::vector<std::string> categories,
                                                                const OracleOptions& options) {
  options.Validate();
  return std::make_unique<CommandClassifier>(command, std::move(categories), options);
}

}  // namespace pivotal::pts
