// Apache-2.0.
#include "experiments/search/run_rewards.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/text.h"
#include "data/tokenizer/response_text.h"
#include "data/traces/trace_store.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_curves.h"
#include "pivotal/trace.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

// p_0..p_n of a response, or a choice of them, with their intervals.
struct MeasuredCurve {
  std::vector<double> p, low, high;

  void Add(const PrefixEstimate& estimate) {
    p.push_back(estimate.mean);
    low.push_back(estimate.low);
    high.push_back(estimate.high);
  }
  void AddTo(ordered_json& line) && {
    line["p"] = std::move(p);
    line["low"] = std::move(low);
    line["high"] = std::move(high);
  }
};

// A run whose responses all have p_0..p_n.
struct MeasuredRun {
  std::unique_ptr<const Tokenizer> tokenizer;
  std::vector<QueryTrace> traces;
};

MeasuredRun LoadMeasured(const std::filesystem::path& run) {
  const RunConfig config = LoadRunConfig(run);
  if (config.strategy == "none")
    Fail("{}: --strategy none has measured p(success) of no response; search with another one",
         run.string());
  MeasuredRun measured{LoadTokenizer(config.model.folder), data::LoadRun(run)};
  for (const QueryTrace& query : measured.traces)
    for (std::size_t r = 0; r < query.responses.size(); ++r)
      if (query.rollouts.empty() ||
          query.responses[r].estimates.size() != query.responses[r].tokens.size() + 1)
        Fail(
            "{}: p(success) is not known at every token of response {} of problem {}; an imported "
            "run has none",
            run.string(), r, query.id);
  return measured;
}

// Adds what an export tells of a response to its line, and counts its units. Returns false for a
// response that is left out.
using DescribeResponse =
    std::function<bool(const Tokenizer& tokenizer, const QueryTrace& query,
                       const ResponseTrace& response, ordered_json& line, RewardSummary& summary)>;

// Writes a line for each response of a run.
RewardSummary ExportResponses(const std::filesystem::path& run, const std::filesystem::path& output,
                              const DescribeResponse& describe) {
  const MeasuredRun measured = LoadMeasured(run);
  data::FileSink sink(output);
  RewardSummary summary;
  for (const QueryTrace& query : measured.traces) {
    for (std::size_t r = 0; r < query.responses.size(); ++r) {
      const ResponseTrace& response = query.responses[r];
      ordered_json line = {{"id", query.id}, {"response", r}, {"success", response.success}};
      if (!describe(*measured.tokenizer, query, response, line, summary)) {
        ++summary.empty;
        continue;
      }
      sink.Write(line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
      ++summary.responses;
    }
  }
  sink.Commit();
  return summary;
}

}  // namespace

std::vector<ResponseStep> StepsOf(const Tokenizer& tokenizer,
                                  const std::vector<TokenId>& response) {
  std::vector<ResponseStep> steps;
  data::StreamDecoder decoder(tokenizer);
  std::string text;
  int32_t k = 0;
  for (const int32_t end : SentenceEnds(tokenizer, response)) {
    for (; k < end; ++k) text += decoder.Add(response[static_cast<std::size_t>(k)]);
    if (k == std::ssize(response)) text += decoder.Finish();
    const auto is_blank = [](const std::string& of) { return data::Trim(of).empty(); };
    if (!steps.empty() && (is_blank(text) || is_blank(steps.back().text)))
      steps.back() = {end, steps.back().text + text};
    else
      steps.push_back({end, text});
    text.clear();
  }
  if (steps.size() == 1 && steps[0].text.empty()) steps.clear();
  return steps;
}

RewardSummary ExportSteps(const std::filesystem::path& run, const std::filesystem::path& output,
                          double threshold) {
  if (!(threshold > 0 && threshold <= 1))
    Fail("label threshold {} is not above 0 and at most 1", threshold);
  return ExportResponses(
      run, output,
      [=](const Tokenizer& tokenizer, const QueryTrace& query, const ResponseTrace& response,
          ordered_json& line, RewardSummary& summary) {
        const auto steps = StepsOf(tokenizer, response.tokens);
        if (steps.empty()) return false;
        MeasuredCurve curve;
        std::vector<std::string> texts;
        std::vector<bool> labels;
        for (const ResponseStep& step : steps) {
          curve.Add(response.estimates[static_cast<std::size_t>(step.end)]);
          texts.push_back(step.text);
          labels.push_back(curve.p.back() >= threshold);
        }
        line["prompt"] = tokenizer.Decode(query.prompt, /*at_start=*/true);
        line["completions"] = std::move(texts);
        line["labels"] = labels;
        std::move(curve).AddTo(line);
        summary.units += std::ssize(steps);
        summary.right += std::ranges::count(labels, true);
        return true;
      });
}

RewardSummary ExportAdvantages(const std::filesystem::path& run,
                               const std::filesystem::path& output) {
  return ExportResponses(
      run, output,
      [](const Tokenizer&, const QueryTrace& query, const ResponseTrace& response,
         ordered_json& line, RewardSummary& summary) {
        MeasuredCurve curve;
        for (const PrefixEstimate& estimate : response.estimates) curve.Add(estimate);
        std::vector<double> advantages;
        for (std::size_t k = 1; k < curve.p.size(); ++k)
          advantages.push_back(curve.p[k] - curve.p[k - 1]);
        line["prompt_ids"] = query.prompt;
        line["tokens"] = response.tokens;
        std::move(curve).AddTo(line);
        line["advantages"] = std::move(advantages);
        summary.units += std::ssize(response.tokens);
        return true;
      });
}

}  // namespace pivotal::experiments
