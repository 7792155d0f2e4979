// Apache-2.0.
#include "data/problems/guess.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "data/base/error.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "data/problems/dataset.h"
#include "pivotal/oracle.h"

namespace pivotal::data {
namespace {

using nlohmann::json;

constexpr std::size_t kLookedAt = 200;  // problems

// Names on the Hub, and the data sets that they are.
constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kOnHub = {{
    {"openai/gsm8k", "gsm8k"},
    {"madrylab/gsm8k-platinum", "gsm8k"},
    {"EleutherAI/hendrycks_math", "math"},
    {"hendrycks/competition_math", "math"},
    {"DigitalLearningGmbH/MATH-lighteval", "math"},
    {"HuggingFaceH4/MATH-500", "math-500"},
    {"HuggingFaceH4/aime_2024", "aime"},
    {"Maxwell-Jia/AIME_2024", "aime"},
    {"AI-MO/aimo-validation-aime", "aime"},
    {"opencompass/AIME2025", "aime"},
    {"yentinglin/aime_2025", "aime"},
    {"math-ai/aime25", "aime"},
    {"openai/openai_humaneval", "humaneval"},
    {"google-research-datasets/mbpp", "mbpp"},
    {"Idavidrein/gpqa", "gpqa"},
    {"cais/mmlu", "mmlu"},
    {"TIGER-Lab/MMLU-Pro", "mmlu-pro"},
    {"allenai/ai2_arc", "arc"},
}};

bool HasText(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string();
}

std::string_view TextUnder(const json& line, const char* key) {
  return HasText(line, key) ? std::string_view(line[key].get_ref<const std::string&>())
                            : std::string_view();
}

bool HasList(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_array();
}

// Returns true for an answer of AIME: an integer from 0 to 999, as a number or its digits.
bool IsAimeAnswer(const json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end()) return false;
  const std::string text = found->is_string() ? found->get<std::string>() : found->dump();
  return !text.empty() && text.size() <= 3 && std::ranges::all_of(text, IsDigit);
}

// Returns true for a worked solution with "#### n" in its last line.
bool IsGsm8kAnswer(std::string_view answer) {
  const auto mark = answer.rfind("\n#### ");
  if (mark == std::string_view::npos || Trim(answer.substr(0, mark)).empty()) return false;
  const std::string_view number = Trim(answer.substr(mark + 6));
  return !number.empty() && number.find_first_not_of("0123456789.,-$") == std::string_view::npos;
}

// Returns the data set whose columns a line has; "" if it is none or could be several.
std::string_view SetOfLine(const json& line) {
  if (line.contains("task_id")) {
    if (HasList(line, "test_list")) return "mbpp";
    return HasText(line, "prompt") && HasText(line, "test") && HasText(line, "entry_point")
               ? "humaneval"
               : "";
  }
  if (HasText(line, "Question") && line.contains("Correct Answer") &&
      line.contains("Incorrect Answer 1"))
    return "gpqa";
  if (HasText(line, "question")) {
    if (line.contains("answerKey")) return line.contains("choices") ? "arc" : "";
    if (HasList(line, "choices")) return line.contains("answer") ? "mmlu" : "";
    if (HasList(line, "options")) return line.contains("answer") ? "mmlu-pro" : "";
    return !line.contains("id") && IsGsm8kAnswer(TextUnder(line, "answer")) ? "gsm8k" : "";
  }
  if (HasText(line, "Problem")) return IsAimeAnswer(line, "Answer") ? "aime" : "";
  if (!HasText(line, "problem")) return "";
  if (line.contains("unique_id") && line.contains("answer")) return "math-500";
  if (IsAimeAnswer(line, "answer")) return "aime";
  return TextUnder(line, "solution").find("\\boxed") != std::string_view::npos ? "math" : "";
}

// Returns true if a question shows a choice by its letter: "B)", "(B)", "B." or "B:", where a line
// or a word begins.
bool ShowsChoice(std::string_view question, char letter) {
  for (std::size_t i = 0; i + 1 < question.size(); ++i) {
    if (question[i] != letter) continue;
    const char before = i == 0 ? '\n' : question[i - 1], after = question[i + 1];
    if (after == ')' && (before == '(' || kWhiteSpace.find(before) != std::string_view::npos))
      return true;
    if ((after == '.' || after == ':') && before == '\n') return true;
  }
  return false;
}

// Returns the oracle that plainly fits an answer; "" if there is none.
std::string_view OracleOfAnswer(std::string_view question, std::string_view answer) {
  const std::string_view text = Trim(answer);
  if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'J')
    return ShowsChoice(question, 'A') && ShowsChoice(question, 'B') &&
                   ShowsChoice(question, text[0])
               ? "choice"
               : "";
  if (IsGsm8kAnswer(answer)) return "numeric";
  if (text.starts_with("####")) return "hash";
  if (text.find("\\boxed{") != std::string_view::npos) return "math";
  if (text.starts_with('{')) {
    const auto object = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (object.is_object() &&
        (HasList(object, "tests") || (HasText(object, "test") && HasText(object, "entry_point"))))
      return "code";
  }
  return "";
}

std::string WhyText(const std::string& oracle) {
  if (oracle == "choice") return "has letters of choices as answers";
  if (oracle == "numeric") return "has worked solutions with \"#### n\" as answers";
  if (oracle == "math") return "has \\boxed{} in its answers";
  return "has tests of programs as answers";
}

std::optional<ProblemGuess> Guess(const std::vector<json>& lines, const ProblemSetOptions& options,
                                  const std::string& file) {
  const ProblemSetOptions usual;
  const bool usual_keys = options.id_key == usual.id_key &&
                          options.question_key == usual.question_key &&
                          options.answer_key == usual.answer_key;
  const std::string set(SetOfLine(lines[0]));
  const auto of_set = [&](const json& line) { return SetOfLine(line) == set; };
  if (usual_keys && !set.empty() && std::ranges::all_of(lines, of_set))
    return ProblemGuess{set, DatasetOracle(set), "looks like " + set};
  std::vector<Problem> problems;
  for (std::size_t i = 0; i < lines.size(); ++i)
    problems.push_back(ReadProblem(DatasetOf(options, lines[i]), options, lines[i], i + 1, file));
  const std::string oracle = OracleOfAnswers(problems);
  if (oracle.empty() || oracle == ProblemSettings().oracle) return std::nullopt;
  return ProblemGuess{"", oracle, WhyText(oracle)};
}

}  // namespace

std::optional<ProblemGuess> GuessProblems(const std::filesystem::path& file,
                                          const ProblemSetOptions& options) {
  std::error_code ignored;
  if (!options.dataset.empty() || !std::filesystem::is_regular_file(file, ignored))
    return std::nullopt;
  try {
    JsonLineReader reader(file);
    std::vector<json> lines;
    for (json line; lines.size() < kLookedAt && reader.Next(line);) lines.push_back(line);
    if (lines.empty()) return std::nullopt;
    return Guess(lines, options, file.string());
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string OracleOfAnswers(const std::vector<Problem>& problems) {
  std::string oracle;
  for (const Problem& problem : problems) {
    const auto fits = [&](const std::string& answer) {
      const std::string_view one = OracleOfAnswer(problem.question, answer);
      if (oracle.empty()) oracle = one;
      return !one.empty() && one == oracle;
    };
    if (!fits(problem.answer) || !std::ranges::all_of(problem.other_answers, fits)) return "";
  }
  return oracle;
}

std::string DatasetOnHub(const std::string& id) {
  for (const auto& [name, set] : kOnHub)
    if (name == id) return std::string(set);
  return "";
}

}  // namespace pivotal::data
