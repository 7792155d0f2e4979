// Apache-2.0.
#include "experiments/grade_run.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"
#include "pts/oracles/oracle.h"

namespace pivotal::experiments {
namespace {

using nlohmann::json;

struct Line {
  json object;
  std::string where, question, response;
  std::vector<std::string> answers;
  std::optional<bool> label;
  bool success = false;
};

// Lines that are judged together; progress and Ctrl-C count between them.
constexpr std::size_t kWindow = 1024;

std::string Answer(const json& value, const std::string& key, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  Fail(
      "{}: key {} must be a string, a number or a list of them, not {}; choose another with "
      "--answer-key",
      where, data::Quoted(key), value.type_name());
}

std::vector<std::string> Answers(const json& object, const std::string& key,
                                 const std::string& where) {
  const json& value = data::RequireKey(object, key, where, "choose another with --answer-key");
  if (!value.is_array()) return {Answer(value, key, where)};
  std::vector<std::string> answers;
  for (const json& item : value) answers.push_back(Answer(item, key, where));
  if (answers.empty())
    Fail("{}: key {} is an empty list; no response could be right", where, data::Quoted(key));
  return answers;
}

bool Label(const json& object, const std::string& key, const std::string& where) {
  const json& value = data::RequireKey(object, key, where, "choose another with --label-key");
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  Fail("{}: key {} must be true, false, 1 or 0; choose another with --label-key", where,
       data::Quoted(key));
}

Line ReadLine(json object, const GradeSettings& settings, const std::string& where) {
  Line line;
  line.where = where;
  line.answers = Answers(object, settings.answer_key, where);
  line.response = data::RequireString(object, settings.response_key, where,
                                      "choose another with --response-key");
  // Only the usual key may be absent: one that the user named must be there.
  if (object.contains(settings.question_key) ||
      settings.question_key != GradeSettings{}.question_key)
    line.question = data::RequireString(object, settings.question_key, where,
                                        "choose another with --question-key");
  if (!settings.label_key.empty()) line.label = Label(object, settings.label_key, where);
  line.object = std::move(object);
  return line;
}

void CheckReadable(const pts::Oracle& oracle, const GradeSettings& settings, const Line& line) {
  const auto readable = [&](const std::string& answer) { return oracle.CanRead(answer); };
  if (std::ranges::any_of(line.answers, readable)) return;
  Fail(
      "{}: oracle {} finds nothing to compare in the answer {}; choose another with --oracle or "
      "--answer-key",
      line.where, settings.oracle, data::Quoted(line.answers[0]));
}

void JudgeLine(const pts::Oracle& oracle, const GradeSettings& settings, Line& line) {
  CheckReadable(oracle, settings, line);
  try {
    line.success = std::ranges::any_of(line.answers, [&](const std::string& answer) {
      return oracle.Judge({.question = line.question, .answer = answer, .response = line.response});
    });
  } catch (const Error& error) {
    Fail("{}: {}", line.where, error.what());
  }
}

// All lines on several threads; the error of the first line that has one is thrown.
void JudgeWindow(const pts::Oracle& oracle, const GradeSettings& settings,
                 std::vector<Line>& lines) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr error;
  std::size_t error_at = lines.size();
  const auto work = [&] {
    for (std::size_t at; (at = next++) < lines.size();) {
      try {
        JudgeLine(oracle, settings, lines[at]);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (at < error_at) error = std::current_exception(), error_at = at;
        next = lines.size();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 1; i < settings.threads; ++i) threads.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
}

void Write(data::FileSink& sink, std::vector<Line>& lines) {
  for (Line& line : lines) {
    line.object["success"] = line.success;
    sink.Write(line.object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  }
}

void Count(const std::vector<Line>& lines, GradeSummary& summary) {
  for (const Line& line : lines) {
    ++summary.lines;
    summary.right += line.success ? 1 : 0;
    if (line.label) ++summary.agreement[*line.label][line.success];
  }
}

}  // namespace

GradeSummary GradeFile(const GradeSettings& settings, Progress& progress) {
  if (!settings.output.empty()) data::RequireAbsent(settings.output);
  const auto oracle = pts::MakeOracle(settings.oracle, settings.oracle_options);
  const int64_t total = data::CountJsonLines(settings.input);
  if (total == 0) Fail("{}: no line in this file", settings.input.string());
  data::JsonLineReader reader(settings.input);
  std::optional<data::FileSink> sink;
  if (!settings.output.empty()) sink.emplace(settings.output);
  GradeSummary summary;
  progress.Begin("grade", total, "lines");
  for (bool more = true; more;) {
    std::vector<Line> window;
    for (json object; window.size() < kWindow && (more = reader.Next(object));)
      window.push_back(ReadLine(std::move(object), settings, reader.Where()));
    JudgeWindow(*oracle, settings, window);
    if (sink) Write(*sink, window);
    Count(window, summary);
    progress.Update(summary.lines, fmt::format("{} right", summary.right));
    if (progress.StopRequested())
      throw Interrupted(
          fmt::format("stopped after {} of {} lines; nothing was written", summary.lines, total));
  }
  if (sink) sink->Commit();
  progress.End();
  return summary;
}

}  // namespace pivotal::experiments
