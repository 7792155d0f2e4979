// Apache-2.0.
#include "data/problems/dataset.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "data/base/answers.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "data/problems/code_problem.h"

namespace pivotal::data {

// What the columns of a set say.
enum class DatasetForm : uint8_t {
  kText,       // question and answer stand as they are
  kHumanEval,  // a function to complete, and a program that tests it
  kMbpp,       // a function to write, and lines that test it
  kIndexed,    // choices in a list, and the index or letter of the right one
  kLabelled,   // choices as {text, label}, and the label of the right one
  kShuffled    // a right choice and three wrong ones, in columns of their own
};

struct Dataset {
  // Names that one column has in the files of different people; a row's first one counts.
  using Columns = std::array<std::string_view, 3>;

  std::string_view name, oracle;
  DatasetForm form;
  Columns id, question, answer;  // without an id, the number of the row counts
};

namespace {

using nlohmann::json;
using Form = DatasetForm;

constexpr Dataset kPlain = {"", "hash", Form::kText, {"id"}, {"question"}, {"answer"}};

constexpr Dataset kDatasets[] = {
    {"gsm8k", "numeric", Form::kText, {}, {"question"}, {"answer"}},
    {"math", "math", Form::kText, {}, {"problem"}, {"solution"}},
    {"math-500", "math", Form::kText, {"unique_id"}, {"problem"}, {"answer"}},
    {"aime",
     "math",
     Form::kText,
     {"id", "ID"},
     {"problem", "question", "Problem"},
     {"answer", "Answer"}},
    {"humaneval", "code", Form::kHumanEval, {"task_id"}, {"prompt"}, {}},
    {"mbpp", "code", Form::kMbpp, {"task_id"}, {"text", "prompt"}, {}},
    {"gpqa", "choice", Form::kShuffled, {"Record ID"}, {"Question"}, {"Correct Answer"}},
    {"mmlu", "choice", Form::kIndexed, {}, {"question"}, {"answer"}},
    {"mmlu-pro", "choice", Form::kIndexed, {"question_id"}, {"question"}, {"answer"}},
    {"arc", "choice", Form::kLabelled, {"id"}, {"question"}, {"answerKey"}},
};
constexpr const Dataset& kHumanEvalSet = kDatasets[4];
constexpr const Dataset& kMbppSet = kDatasets[5];
static_assert(kHumanEvalSet.form == Form::kHumanEval && kMbppSet.form == Form::kMbpp);

constexpr int kMostChoices = 10;  // the choice oracle knows the letters A to J

// A multiple-choice question.
struct Choices {
  std::vector<std::string> texts;
  std::size_t right = 0;
};

bool Has(const json& line, const std::string& key) {
  const auto found = line.find(key);
  return found != line.end() && !found->is_null();  // tables have null for what is not there
}

// Returns the key of a value: the chosen one, or the first of the set's that the line has, or else
// the set's first.
std::string KeyOf(const std::string& chosen, const Dataset::Columns& columns, const json& line) {
  if (!chosen.empty()) return chosen;
  for (const std::string_view column : columns)
    if (!column.empty() && Has(line, std::string(column))) return std::string(column);
  return std::string(columns[0]);
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

constexpr std::string_view kAnswerRemedy = "choose another with --answer-key";

std::vector<std::string> TextsOf(const json& object, const std::string& key,
                                 const std::string& where) {
  const json& list = RequireKey(object, key, where);
  std::vector<std::string> texts;
  for (const json& item : list.is_array() ? list : json::array()) {
    if (!item.is_string()) break;
    texts.emplace_back(Trim(item.get_ref<const std::string&>()));
  }
  if (!list.is_array() || texts.size() != list.size())
    Fail("{}: key {} must be a list of strings", where, Quoted(key));
  return texts;
}

Choices IndexedChoices(const json& line, const std::string& answer_key, const std::string& where) {
  Choices choices;
  choices.texts =
      TextsOf(line, Has(line, "choices") || !Has(line, "options") ? "choices" : "options", where);
  const json& answer = RequireKey(line, answer_key, where, kAnswerRemedy);
  const auto last = std::ssize(choices.texts) - 1;
  if (answer.is_string()) {
    const auto& letter = answer.get_ref<const std::string&>();
    if (letter.size() != 1 || letter[0] < 'A' || letter[0] > 'A' + last)
      Fail("{}: key {} must be the letter of one of {} choices, not {}", where, Quoted(answer_key),
           last + 1, Quoted(letter));
    choices.right = static_cast<std::size_t>(letter[0] - 'A');
  } else {
    choices.right = static_cast<std::size_t>(CheckedInteger(answer, 0, last, answer_key, where));
  }
  return choices;
}

Choices LabelledChoices(const json& line, const std::string& answer_key, const std::string& where) {
  const json& both = RequireKey(line, "choices", where);
  if (!both.is_object())
    Fail("{}: key \"choices\" must be an object with text and label, not {}", where,
         both.type_name());
  Choices choices;
  choices.texts = TextsOf(both, "text", where);
  const std::vector<std::string> labels = TextsOf(both, "label", where);
  const std::string answer = StringOrNumber(line, answer_key, where, kAnswerRemedy);
  const auto found = std::ranges::find(labels, answer);
  if (labels.size() != choices.texts.size() || found == labels.end())
    Fail("{}: {} labels for {} choices, of which {} must be one", where, labels.size(),
         choices.texts.size(), Quoted(answer));
  choices.right = static_cast<std::size_t>(found - labels.begin());
  return choices;
}

// The order depends on the texts alone: it ascends by the SHA-256 of question, line end, choice.
Choices ShuffledChoices(const json& line, const std::string& question,
                        const std::string& answer_key, const std::string& where) {
  std::vector<std::pair<std::string, std::string>> by_hash;
  for (const std::string& key :
       {answer_key, std::string("Incorrect Answer 1"), std::string("Incorrect Answer 2"),
        std::string("Incorrect Answer 3")}) {
    const std::string text(Trim(StringOrNumber(line, key, where, kAnswerRemedy)));
    by_hash.emplace_back(Sha256OfText(question + "\n" + text), text);
  }
  const std::string right = by_hash[0].second;
  std::ranges::sort(by_hash);
  Choices choices;
  for (const auto& [hash, text] : by_hash) choices.texts.push_back(text);
  choices.right =
      static_cast<std::size_t>(std::ranges::find(choices.texts, right) - choices.texts.begin());
  return choices;
}

// Writes the choices below the question, and their letter as the answer.
void Letter(const Choices& choices, const std::string& where, Problem& problem) {
  const auto count = std::ssize(choices.texts);
  if (count < 2 || count > kMostChoices)
    Fail("{}: {} choices; a question needs 2 to {}", where, count, kMostChoices);
  problem.question += '\n';
  for (std::size_t i = 0; i < choices.texts.size(); ++i)
    problem.question += fmt::format("\n{}) {}", static_cast<char>('A' + i), choices.texts[i]);
  problem.answer = static_cast<char>('A' + choices.right);
}

const Dataset* FindDataset(std::string_view name) {
  const auto* const found = std::ranges::find(kDatasets, name, &Dataset::name);
  return found == std::end(kDatasets) ? nullptr : found;
}

}  // namespace

const Dataset& DatasetNamed(std::string_view name) {
  if (const Dataset* set = FindDataset(name)) return *set;
  Fail("data set {} is unknown: take one of {}{}", Quoted(name), fmt::join(DatasetNames(), ", "),
       data::DidYouMean(name, DatasetNames()));
}

const Dataset& DatasetOf(const ProblemSetOptions& options, const json& line) {
  if (!options.dataset.empty()) return DatasetNamed(options.dataset);
  const ProblemSetOptions usual;
  const bool usual_keys = options.id_key == usual.id_key &&
                          options.question_key == usual.question_key &&
                          options.answer_key == usual.answer_key;
  if (!usual_keys || line.contains(usual.question_key) || !line.contains("task_id")) return kPlain;
  if (line.contains("test_list")) return kMbppSet;
  if (line.contains("entry_point") && line.contains("test")) return kHumanEvalSet;
  return kPlain;
}

Problem ReadProblem(const Dataset& set, const ProblemSetOptions& options, const json& line,
                    std::size_t number, const std::string& where) {
  const ProblemSetOptions usual;
  // The keys that the user chose. Those of every plain file are no choice.
  ProblemSetOptions chosen = options;
  if (&set != &kPlain && options.dataset.empty())
    chosen.id_key = chosen.question_key = chosen.answer_key = "";
  Problem problem;
  const std::string id_key = KeyOf(chosen.id_key, set.id, line);
  // A key that the user chose must be there; the usual one of an id may be absent.
  const bool needs_id = !chosen.id_key.empty() && chosen.id_key != usual.id_key;
  problem.id = needs_id || (!id_key.empty() && Has(line, id_key))
                   ? StringOrNumber(line, id_key, where, "choose another with --id-key")
                   : std::to_string(number);
  problem.question = RequireString(line, KeyOf(chosen.question_key, set.question, line), where,
                                   "choose another with --question-key");
  const std::string answer_key = KeyOf(chosen.answer_key, set.answer, line);
  switch (set.form) {
    case Form::kText: {
      RightAnswers answers = ReadAnswers(line, answer_key, where, kAnswerRemedy);
      problem.answer = std::move(answers.first);
      problem.other_answers = std::move(answers.others);
      break;
    }
    case Form::kHumanEval:
      problem.answer = answer_key.empty() ? HumanEvalAnswer(line, where)
                                          : StringOrNumber(line, answer_key, where, kAnswerRemedy);
      break;
    case Form::kMbpp:
      problem.question = MbppQuestion(problem.question, line, where);
      problem.answer = answer_key.empty() ? MbppAnswer(line, where)
                                          : StringOrNumber(line, answer_key, where, kAnswerRemedy);
      break;
    case Form::kIndexed: Letter(IndexedChoices(line, answer_key, where), where, problem); break;
    case Form::kLabelled: Letter(LabelledChoices(line, answer_key, where), where, problem); break;
    case Form::kShuffled:
      problem.question = Trim(problem.question);
      Letter(ShuffledChoices(line, problem.question, answer_key, where), where, problem);
      break;
  }
  return problem;
}

}  // namespace pivotal::data

namespace pivotal {

std::vector<std::string> DatasetNames() {
  std::vector<std::string> names;
  for (const data::Dataset& set : data::kDatasets) names.emplace_back(set.name);
  return names;
}

ProblemSetOptions DatasetOptions(std::string_view name) {
  ProblemSetOptions options;
  options.dataset = data::DatasetNamed(name).name;
  options.id_key = options.question_key = options.answer_key = "";
  return options;
}

std::string DatasetOracle(std::string_view name) {
  return std::string(data::DatasetNamed(name).oracle);
}

}  // namespace pivotal
