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
#include "data/base/json_input.h"
#include "data/traces/trace_store.h"
#include "experiments/search/measured_run.h"
#include "experiments/search/run_answers.h"
#include "experiments/search/run_config.h"
#include "pivotal/trace.h"
#include "pts/advantages.h"
#include "pts/change_posterior.h"
#include "pts/critical_pairs.h"
#include "pts/estimate.h"
#include "pts/kept_success.h"
#include "pts/response_steps.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

// A run whose responses all have p_0..p_n.
struct MeasuredRun {
  RunConfig config;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::vector<QueryTrace> traces;
};

// A response of such a run.
struct MeasuredResponse {
  const QueryTrace& query;
  int32_t number;
  const AnswersAlong& answers;

  const ResponseTrace& trace() const { return query.responses[static_cast<std::size_t>(number)]; }
};

// p_0..p_n of a response, or a choice of them, with their intervals and the answers there.
class MeasuredCurve {
 public:
  explicit MeasuredCurve(const MeasuredResponse& of) : of_(of) {}

  void Add(const PrefixEstimate& estimate) {
    p.push_back(estimate.mean);
    low_.push_back(estimate.low);
    high_.push_back(estimate.high);
    if (of_.answers.Known()) shares_.push_back(of_.answers.After(of_.number, estimate.position));
  }
  void AddTo(ordered_json& line) && {
    line["p"] = std::move(p);
    line["low"] = std::move(low_);
    line["high"] = std::move(high_);
    line["answers"] = nullptr;
    line["answer_p"] = nullptr;
    if (!of_.answers.Known()) return;
    line["answers"] = AnswerNames(of_.answers.table());
    line["answer_p"] = std::move(shares_);
  }

  std::vector<double> p;

 private:
  const MeasuredResponse& of_;
  std::vector<double> low_, high_;
  std::vector<std::vector<double>> shares_;
};

MeasuredRun LoadMeasured(const std::filesystem::path& run) {
  const RunConfig config = LoadRunConfig(run);
  return {config, LoadTokenizer(config.model.folder), LoadMeasuredTraces(config, run)};
}

// Adds what an export tells of a response to its line, and counts its units. Returns false for a
// response that is left out.
using DescribeResponse =
    std::function<bool(const Tokenizer& tokenizer, const MeasuredResponse& response,
                       ordered_json& line, RewardSummary& summary)>;

// Writes a line for each response of a run.
RewardSummary ExportResponses(const std::filesystem::path& run, const std::filesystem::path& output,
                              const DescribeResponse& describe) {
  const MeasuredRun measured = LoadMeasured(run);
  const AnswersOfRun answers(measured.config, *measured.tokenizer);
  data::FileSink sink(output);
  RewardSummary summary;
  for (const QueryTrace& query : measured.traces) {
    const AnswersAlong along(query, answers, measured.config.search.gap);
    for (int32_t r = 0; r < std::ssize(query.responses); ++r) {
      const MeasuredResponse response{query, r, along};
      ordered_json line = {
          {"id", query.id}, {"response", r}, {"success", response.trace().success}};
      if (!describe(*measured.tokenizer, response, line, summary)) {
        ++summary.empty;
        continue;
      }
      sink.Write(data::JsonLine(line));
      ++summary.responses;
    }
  }
  sink.Commit();
  return summary;
}

// Returns a pair with its scores as a line.
std::string CriticalLine(const pts::CriticalPairs& pairs, std::size_t i, const Tokenizer& tokenizer,
                         double z) {
  const PreferencePair pair = pairs.Pair(i, tokenizer);
  ordered_json line = {{"id", pair.id},
                       {"prompt", pair.prompt},
                       {"chosen", pair.chosen},
                       {"rejected", pair.rejected},
                       {"prompt_ids", pair.prompt_ids},
                       {"chosen_ids", pair.chosen_ids},
                       {"rejected_ids", pair.rejected_ids}};
  const auto add_scores = [&](const std::string& name, const pts::CriticalSide& side) {
    std::vector<std::string> pieces;
    for (const TokenId token : side.tokens) pieces.push_back(tokenizer.Piece(token));
    line[name + "_tokens"] = std::move(pieces);
    for (const char* key : {"_response", "_scores", "_scores_low", "_scores_high"})
      line[name + key] = nullptr;
    if (side.response < 0) return;
    std::vector<double> shares, low, high;
    for (const pts::KeptSuccess& kept : pairs.Scores(side.response, z)) {
      shares.push_back(kept.share);
      low.push_back(kept.low);
      high.push_back(kept.high);
    }
    line[name + "_response"] = side.response;
    line[name + "_scores"] = std::move(shares);
    line[name + "_scores_low"] = std::move(low);
    line[name + "_scores_high"] = std::move(high);
  };
  add_scores("chosen", pairs.Chosen(i));
  add_scores("rejected", pairs.Rejected(i));
  line["rejected_weights"] = pair.rejected_weights;
  line["source"] = pair.source;
  return data::JsonLine(line);
}

}  // namespace

RewardSummary ExportSteps(const std::filesystem::path& run, const std::filesystem::path& output,
                          double threshold) {
  if (!(threshold > 0 && threshold <= 1))
    Fail("label threshold {} is not above 0 and at most 1", threshold);
  return ExportResponses(
      run, output,
      [=](const Tokenizer& tokenizer, const MeasuredResponse& response, ordered_json& line,
          RewardSummary& summary) {
        const auto steps = pts::StepsOf(tokenizer, response.trace().tokens);
        if (steps.empty()) return false;
        MeasuredCurve curve(response);
        std::vector<std::string> texts;
        std::vector<bool> labels;
        for (const pts::ResponseStep& step : steps) {
          curve.Add(response.trace().estimates[static_cast<std::size_t>(step.end)]);
          texts.push_back(step.text);
          labels.push_back(curve.p.back() >= threshold);
        }
        line["prompt"] = tokenizer.Decode(response.query.prompt, /*at_start=*/true);
        line["completions"] = std::move(texts);
        line["labels"] = labels;
        std::move(curve).AddTo(line);
        summary.units += std::ssize(steps);
        summary.right += std::ranges::count(labels, true);
        return true;
      });
}

std::vector<AdvantageExample> AdvantagesOfRun(const std::filesystem::path& run,
                                              std::string_view kind) {
  if (kind == "outcome") return BuildOutcomeAdvantages(data::LoadRun(run));
  if (kind != "curve") Fail("advantages of \"{}\" are unknown: take curve or outcome", kind);
  return BuildCurveAdvantages(LoadMeasuredTraces(LoadRunConfig(run), run));
}

RewardSummary ExportAdvantages(const std::filesystem::path& run,
                               const std::filesystem::path& output, std::string_view kind) {
  if (kind == "curve")
    return ExportResponses(run, output,
                           [](const Tokenizer&, const MeasuredResponse& response,
                              ordered_json& line, RewardSummary& summary) {
                             MeasuredCurve curve(response);
                             for (const PrefixEstimate& estimate : response.trace().estimates)
                               curve.Add(estimate);
                             std::vector<double> advantages;
                             for (std::size_t k = 1; k < curve.p.size(); ++k)
                               advantages.push_back(curve.p[k] - curve.p[k - 1]);
                             line["prompt_ids"] = response.query.prompt;
                             line["completion_ids"] = response.trace().tokens;
                             std::move(curve).AddTo(line);
                             line["advantages"] = std::move(advantages);
                             line["weight"] =
                                 pts::WeightOfVerdict(response.query, response.trace().success);
                             summary.units += std::ssize(response.trace().tokens);
                             return true;
                           });
  const std::vector<AdvantageExample> examples = AdvantagesOfRun(run, kind);
  SaveAdvantages(output, examples);
  RewardSummary summary;
  summary.responses = std::ssize(examples);
  for (const AdvantageExample& example : examples)
    summary.units += std::ssize(example.completion_ids);
  return summary;
}

RewardSummary ExportCritical(const std::filesystem::path& run,
                             const std::filesystem::path& output) {
  const MeasuredRun measured = LoadMeasured(run);
  const double gap = measured.config.search.gap;
  const double z = pts::NormalQuantile(0.5 + measured.config.search.confidence / 2);
  const pts::ChangePrior prior(pts::MeasuredChanges(measured.traces, gap));
  data::FileSink sink(output);
  RewardSummary summary;
  for (const QueryTrace& query : measured.traces) {
    const pts::CriticalPairs pairs(query, prior, gap);
    if (pairs.size() == 0) summary.alone += std::ssize(query.responses);
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      sink.Write(CriticalLine(pairs, i, *measured.tokenizer, z));
      summary.units += std::ssize(pairs.Rejected(i).tokens);
      ++summary.responses;
    }
  }
  sink.Commit();
  return summary;
}

}  // namespace pivotal::experiments
