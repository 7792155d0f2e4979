// Apache-2.0.
#include "experiments/evaluate/line_files.h"

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "data/base/answers.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "data/base/parallel.h"
#include "data/base/text.h"
#include "data/pairs/pair_file.h"
#include "dpo/batch.h"
#include "experiments/settings/loading.h"
#include "model/memory.h"
#include "pivotal/pairs.h"
#include "pivotal/tokenizer.h"
#include "pts/verdicts.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStandard = "-";

// The files of a job, and the name of its progress.
struct LineJob {
  fs::path input;
  fs::path output;  // "": nothing is written
  const char* name;
  std::size_t window;  // lines that are finished together; a stop request is heeded in between
  int64_t total;       // lines of `input`
  int64_t bytes;       // about what `output` will hold
};

std::string Dump(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Writes text to stdout: as it is into a file or a pipe, with control characters shown on a
// terminal.
void WriteStandard(std::string_view text) {
  static const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  std::string visible;
  if (terminal) text = visible = data::Visible(text, "\n\t");
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
    Fail("standard output: {}", data::ErrnoText(errno));
}

// Calls `write`, which writes into `sink`. If that fails, nothing that was computed is lost: prints
// the lines that are finished and throws Error that says so.
template <typename Write>
void WriteOrPrint(const data::FileSink& sink, int64_t finished, Write&& write) {
  try {
    write();
  } catch (const Error& error) {
    sink.Recall(WriteStandard);
    Fail("{}; the {} lines that are finished are on standard output instead", error.what(),
         finished);
  }
}

// Reads `input` a window of lines at a time: read(object, where) makes a line of an object,
// finish(lines) completes the lines' objects and returns a text for the progress. Then repeats the
// objects in `output`.
template <typename Read, typename Finish>
void RunJob(const LineJob& job, Progress& progress, Read&& read, Finish&& finish) {
  data::JsonLineReader reader(job.input);
  std::optional<data::FileSink> sink;
  if (!job.output.empty()) {
    sink.emplace(job.output);
    sink->Reserve(job.bytes);
  }
  int64_t done = 0;
  progress.Begin(job.name, job.total, "lines");
  for (bool more = true; more;) {
    std::vector<decltype(read(json(), std::string()))> lines;
    for (json object; lines.size() < job.window && (more = reader.Next(object));)
      lines.push_back(read(std::move(object), reader.Where()));
    const std::string detail = finish(lines);
    done += std::ssize(lines);
    if (sink) {
      std::string text;
      for (const auto& line : lines) text += Dump(line.object) + "\n";
      WriteOrPrint(*sink, done, [&] { sink->Write(text); });
    }
    progress.Update(done, detail);
    if (progress.StopRequested())
      throw Interrupted(
          fmt::format("stopped after {} of {} lines; nothing was written", done, job.total));
  }
  progress.End();
  if (sink) WriteOrPrint(*sink, done, [&] { sink->Commit(); });
}

struct GradedLine {
  json object;  // the line as `output` repeats it
  std::string where, question, response;
  data::RightAnswers answers;
  std::optional<bool> label;
  bool success = false;
  bool failed = false;  // the oracle gave no verdict
};

bool Label(const json& object, const std::string& key, const std::string& where) {
  const json& value = data::RequireKey(object, key, where, "choose another with --label-key");
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  Fail("{}: key {} must be true, false, 1 or 0; choose another with --label-key", where,
       data::Quoted(key));
}

GradedLine ReadGradedLine(json object, const GradeSettings& settings, const std::string& where) {
  GradedLine line;
  line.where = where;
  line.answers =
      data::ReadAnswers(object, settings.answer_key, where, "choose another with --answer-key");
  line.response = data::RequireString(object, settings.response_key, where,
                                      "choose another with --response-key");
  // A question may be absent under the default key, not under a key that the user chose.
  if (object.contains(settings.question_key) ||
      settings.question_key != GradeSettings{}.question_key)
    line.question = data::RequireString(object, settings.question_key, where,
                                        "choose another with --question-key");
  if (!settings.label_key.empty()) line.label = Label(object, settings.label_key, where);
  line.object = std::move(object);
  return line;
}

void CheckReadable(const Oracle& oracle, const GradeSettings& settings, const GradedLine& line) {
  if (CanReadAny(oracle, line.answers.first, line.answers.others)) return;
  Fail(
      "{}: oracle {} finds nothing to compare in the answer {}; choose another with --oracle or "
      "--answer-key",
      line.where, settings.oracle, data::Quoted(line.answers.first));
}

void JudgeLine(const Oracle& oracle, const GradeSettings& settings, pts::VerdictTally& tally,
               GradedLine& line) {
  CheckReadable(oracle, settings, line);
  const Attempt attempt = {
      .question = line.question, .answer = line.answers.first, .response = line.response};
  try {
    const auto right = tally.Ask([&] { return JudgeAny(oracle, attempt, line.answers.others); });
    line.success = right.value_or(false);
    line.failed = !right;
  } catch (const Error& error) {
    Fail("{}: {}", line.where, error.what());
  }
}

// Judges all lines on several threads. Throws the Error of the first line that has one.
void JudgeWindow(const Oracle& oracle, const GradeSettings& settings, pts::VerdictTally& tally,
                 std::vector<GradedLine>& lines) {
  data::ParallelFor(lines.size(), settings.threads,
                    [&](std::size_t i) { JudgeLine(oracle, settings, tally, lines[i]); });
}

struct ScoredLine {
  json object;  // the line as `output` repeats it
  PromptCompletion item;
  std::vector<float> logprobs;
  int64_t length() const {
    return static_cast<int64_t>(item.prompt_ids.size() + item.completion_ids.size());
  }
};

void ScoreBatch(const model::PhiModel& model, std::span<ScoredLine* const> lines) {
  dpo::BatchBuilder builder(model);
  for (const ScoredLine* line : lines)
    builder.Add(line->item.prompt_ids, line->item.completion_ids);
  const at::Tensor logprobs =
      dpo::TargetLogProbs(model, builder.Build()).to(at::kCPU, at::kFloat).contiguous();
  const float* next = logprobs.const_data_ptr<float>();
  for (ScoredLine* line : lines) {
    // A token that is certain may be rounded to a probability above 1.
    for (std::size_t i = 0; i < line->item.completion_ids.size(); ++i)
      line->logprobs.push_back(std::min(*next++, 0.0f));
  }
}

// Sorts the lines by length, so that batches need little padding, and scores them.
void ScoreWindow(const model::PhiModel& model, std::vector<ScoredLine>& window,
                 int64_t batch_tokens) {
  std::vector<ScoredLine*> order;
  for (ScoredLine& line : window)
    if (!line.item.completion_ids.empty()) order.push_back(&line);
  std::ranges::stable_sort(order, {}, &ScoredLine::length);
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first + 1;  // order[last - 1] is the longest of the batch
    while (last < order.size() &&
           order[last]->length() * static_cast<int64_t>(last + 1 - first) <= batch_tokens)
      ++last;
    ScoreBatch(model, std::span(order).subspan(first, last - first));
    first = last;
  }
}

// Scores all lines of the input by score(lines), which fills their log-probabilities, a window at a
// time. check(line, where) throws Error for a line that cannot be scored.
template <typename Check, typename Score>
ScoreSummary ScoreLines(const ScoreSettings& settings, int64_t total, Progress& progress,
                        const data::TextCoding& encoding, const Check& check, const Score& score) {
  const auto read = [&](json object, const std::string& where) {
    ScoredLine line{std::move(object), {}, {}};
    line.item = data::ReadPromptCompletion(line.object, encoding, where);
    check(line, where);
    return line;
  };
  // Lines that cannot be scored, and a disk without room for the result, are found before the work
  // begins.
  constexpr int64_t kKeyBytes = 40, kTokenBytes = 32;  // of an id and a log-probability
  int64_t bytes = 0;
  data::JsonLineReader lines(settings.input);
  for (json object; lines.Next(object);) {
    const ScoredLine line = read(std::move(object), lines.Where());
    bytes += std::ssize(Dump(line.object)) + kKeyBytes +
             kTokenBytes * std::ssize(line.item.completion_ids);
    if (progress.StopRequested()) throw Interrupted("stopped; nothing was written");
  }
  ScoreSummary summary;
  RunJob({settings.input, settings.output, "score", 512, total, bytes}, progress, read,
         [&](std::vector<ScoredLine>& window) {
           score(window);
           for (ScoredLine& line : window) {
             for (float logprob : line.logprobs) summary.logprob += logprob;
             ++summary.lines;
             summary.tokens += static_cast<int64_t>(line.logprobs.size());
             line.object["completion_ids"] = line.item.completion_ids;
             line.object["logprobs"] = line.logprobs;
           }
           return fmt::format("{} tokens", summary.tokens);
         });
  return summary;
}

ScoreSummary ScoreByServers(const ScoreSettings& settings, int64_t total, Progress& progress) {
  const auto tokenizer = LoadTokenizer(settings.model.folder);
  const auto format =
      data::MakePromptFormat(settings.model.prompt_format, settings.model.folder, *tokenizer);
  const auto policy = ServedPolicy::Connect(settings.served, *tokenizer, {}, progress);
  const int64_t most = policy->facts().max_positions;
  return ScoreLines(
      settings, total, progress, {*tokenizer, format, /*adds_eos=*/false},
      [&](const ScoredLine& line, const std::string& where) {
        if (most > 0 && line.length() >= most)
          Fail("{}: {} tokens are too many: the server reads {}, with one that follows", where,
               line.length(), most);
      },
      [&](std::vector<ScoredLine>& window) {
        std::vector<ScoreRequest> requests;
        for (const ScoredLine& line : window)
          requests.push_back({line.item.prompt_ids, line.item.completion_ids});
        const auto scores = policy->ScoreAll(requests, progress);
        for (std::size_t i = 0; i < window.size(); ++i)
          for (const TokenScore& score : scores[i]) window[i].logprobs.push_back(score.logprob);
      });
}

data::LineCounts Convert(const TokenizeSettings& settings, std::istream& in,
                         const data::WriteText& write) {
  const auto tokenizer = LoadTokenizer(settings.model);
  const std::string name = settings.input == kStandard ? "standard input" : settings.input.string();
  return settings.decode ? data::DecodeLines(*tokenizer, in, name, write)
                         : data::EncodeLines(*tokenizer, settings.add_special, in, name, write);
}

}  // namespace

GradeSummary GradeFile(const GradeSettings& settings, Progress& progress) {
  if (!settings.output.empty())
    data::RequireOutput(settings.output, settings.force, {settings.input});
  const auto oracle = MakeOracle(settings.oracle, settings.oracle_options);
  const int64_t total = data::CountJsonLines(settings.input);
  if (total == 0) Fail("{}: no line in this file", settings.input.string());
  constexpr int64_t kVerdictBytes = 48;  // of the keys that a line gets
  const int64_t bytes =
      static_cast<int64_t>(data::FileSize(settings.input)) + total * kVerdictBytes;
  pts::VerdictTally tally(settings.oracle_options.max_failures);
  GradeSummary summary;
  RunJob(
      {settings.input, settings.output, "grade", 1024, total, bytes}, progress,
      [&](json object, const std::string& where) {
        return ReadGradedLine(std::move(object), settings, where);
      },
      [&](std::vector<GradedLine>& lines) {
        JudgeWindow(*oracle, settings, tally, lines);
        for (GradedLine& line : lines) {
          line.object["success"] = line.success;
          if (line.failed) line.object["oracle_failed"] = true;
          ++summary.lines;
          summary.right += line.success ? 1 : 0;
          if (line.label) ++summary.agreement[*line.label][line.success];
        }
        return fmt::format("{} right", summary.right);
      });
  summary.verdicts = tally.counts();
  return summary;
}

ScoreSummary ScoreFile(const ScoreSettings& settings, Progress& progress) {
  data::RequireOutput(settings.output, settings.force, {settings.input});
  // Counting finds bad JSON before the model is loaded.
  const int64_t total = data::CountJsonLines(settings.input);
  if (!settings.served.urls.empty()) return ScoreByServers(settings, total, progress);
  const LoadedModel model = LoadModel(settings.model);
  const c10::InferenceMode inference;
  return ScoreLines(
      settings, total, progress, {model.tokenizer(), model.prompt_format, /*adds_eos=*/false},
      [&](const ScoredLine& line, const std::string& where) {
        dpo::RequireFits(model.phi(), line.length(), where);
      },
      [&](std::vector<ScoredLine>& lines) {
        model::WithMemoryFor("scoring", "lower --batch-tokens or take a narrower --dtype",
                             [&] { ScoreWindow(model.phi(), lines, settings.batch_tokens); });
      });
}

data::LineCounts TokenizeFile(const TokenizeSettings& settings) {
  if (settings.output != kStandard)
    data::RequireOutput(settings.output, settings.force, {settings.input});
  std::ifstream file;
  if (settings.input != kStandard) {
    if (data::IsFolder(settings.input)) Fail("{}: is a folder", settings.input.string());
    errno = 0;
    file.open(settings.input, std::ios::binary);
    if (!file) Fail("{}: {}", settings.input.string(), data::ErrnoText(errno));
  }
  std::istream& in = settings.input == kStandard ? std::cin : file;
  if (settings.output == kStandard) {
    const auto counts = Convert(settings, in, WriteStandard);
    if (std::fflush(stdout) != 0) Fail("standard output: {}", data::ErrnoText(errno));
    return counts;
  }
  data::FileSink sink(settings.output);
  const auto counts = Convert(settings, in, [&](std::string_view text) { sink.Write(text); });
  sink.Commit();
  return counts;
}

}  // namespace pivotal::experiments
