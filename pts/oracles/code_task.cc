// Apache-2.0.
#include "pts/oracles/code_task.h"

#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/json_input.h"
#include "pts/oracles/code_text.h"

namespace pivotal::pts {
namespace {

using nlohmann::json;

std::vector<std::string> Strings(const json& object, const char* key) {
  return object.contains(key) ? object[key].get<std::vector<std::string>>()
                              : std::vector<std::string>();
}

}  // namespace

std::optional<CodeTask> ReadCodeTask(std::string_view answer) {
  CodeTask task;
  try {
    const json object = data::ParseJsonObject(answer, "answer");
    if (object.contains("entry_point")) {
      task.entry_point = object["entry_point"].get<std::string>();
      task.test = object.at("test").get<std::string>();
      if (task.entry_point.empty() || task.test.empty()) return std::nullopt;
      return task;
    }
    task.tests = Strings(object, "tests");
    task.defines = Strings(object, "defines");
    task.setup = object.value("setup", "");
  } catch (const Error&) {
    return std::nullopt;
  } catch (const json::exception&) {  // a value of another type
    return std::nullopt;
  }
  if (task.tests.empty()) return std::nullopt;
  return task;
}

CodeJob MakeCodeJob(const CodeTask& task, std::string_view question, std::string_view program) {
  CodeJob job;
  job.solution = program;
  if (task.entry_point.empty()) {
    job.defines = task.defines;
    job.tests.push_back(task.setup);
    job.tests.insert(job.tests.end(), task.tests.begin(), task.tests.end());
    return job;
  }
  job.context = question;
  if (IsCompletion(program, task.entry_point))
    job.solution = std::string(question).append(CutCompletion(program));
  job.take = {task.entry_point};
  job.tests = {task.test, "check(" + task.entry_point + ")"};
  return job;
}

}  // namespace pivotal::pts
