// Apache-2.0.
#include "experiments/search/run_rewards.h"

#include <fmt/format.h>

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
#include "data/base/text.h"
#include "data/tokenizer/response_text.h"
#include "data/traces/trace_store.h"
#include "experiments/search/run_answers.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_curves.h"
#include "pivotal/trace.h"
#include "pts/answers.h"
#include "pts/change_posterior.h"
#include "pts/kept_success.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

std::string LineOfJson(const ordered_json& line) { return data::JsonLine(line); }

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
  RequireMeasured(config, run);
  MeasuredRun measured{config, LoadTokenizer(config.model.folder), data::LoadRun(run)};
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
      sink.Write(LineOfJson(line));
      ++summary.responses;
    }
  }
  sink.Commit();
  return summary;
}

// One side of a pair of whole responses.
struct CriticalSide {
  std::vector<TokenId> tokens;
  int32_t response = -1;  // -1: a rollout, which has no scores
};

// Returns the searched responses with a verdict, or else the first rollout with it.
std::vector<CriticalSide> SidesOf(const QueryTrace& query, bool success) {
  std::vector<CriticalSide> sides;
  for (int32_t r = 0; r < std::ssize(query.responses); ++r)
    if (query.responses[static_cast<std::size_t>(r)].success == success)
      sides.push_back({query.responses[static_cast<std::size_t>(r)].tokens, r});
  if (!sides.empty()) return sides;
  const auto found = std::ranges::find(query.rollouts, success, &RolloutTrace::success);
  if (found != query.rollouts.end()) sides.push_back({pts::ResponseOf(query, *found), -1});
  return sides;
}

// Writes the lines of critical tokens of one query.
class CriticalWriter {
 public:
  CriticalWriter(const MeasuredRun& run, const pts::ChangePrior& prior, const QueryTrace& query)
      : tokenizer_(*run.tokenizer),
        prior_(prior),
        query_(query),
        gap_(run.config.search.gap),
        z_(pts::NormalQuantile(0.5 + run.config.search.confidence / 2)),
        trie_(pts::TrieOf(query)),
        strata_(trie_, gap_) {}

  std::string Line(std::size_t number, const CriticalSide& chosen,
                   const CriticalSide& rejected) const {
    ordered_json line = {{"id", fmt::format("{}/critical/{}", query_.id, number)},
                         {"prompt", tokenizer_.Decode(query_.prompt, /*at_start=*/true)},
                         {"chosen", tokenizer_.Decode(chosen.tokens)},
                         {"rejected", tokenizer_.Decode(rejected.tokens)},
                         {"prompt_ids", query_.prompt},
                         {"chosen_ids", chosen.tokens},
                         {"rejected_ids", rejected.tokens}};
    AddScores("chosen", chosen, line);
    AddScores("rejected", rejected, line);
    line["rejected_weights"] = WeightsOf(rejected.response);
    line["source"] = "critical";
    return LineOfJson(line);
  }

 private:
  // Returns the shares of p(success) that the tokens destroy, by the posterior means of the
  // changes.
  std::vector<double> WeightsOf(int32_t response) const {
    const auto path = trie_.Path(response);
    std::vector<double> weights;
    for (std::size_t k = 1; k < path.size(); ++k) {
      const pts::LinearEstimate change = strata_.Change(path[k - 1], path[k]);
      weights.push_back(1 - pts::KeptShare(prior_.Mean({change.Mean(), change.Variance()}),
                                           strata_.Value(path[k - 1]).Mean(), gap_));
    }
    return weights;
  }

  void AddScores(const std::string& name, const CriticalSide& side, ordered_json& line) const {
    std::vector<std::string> pieces;
    for (const TokenId token : side.tokens) pieces.push_back(tokenizer_.Piece(token));
    line[name + "_tokens"] = std::move(pieces);
    for (const char* key : {"_response", "_scores", "_scores_low", "_scores_high"})
      line[name + key] = nullptr;
    if (side.response < 0) return;
    const auto path = trie_.Path(side.response);
    std::vector<double> shares, low, high;
    for (std::size_t k = 1; k < path.size(); ++k) {
      const pts::KeptSuccess kept = pts::KeptBy(strata_.Change(path[k - 1], path[k]),
                                                strata_.Value(path[k - 1]).Mean(), gap_, z_);
      shares.push_back(kept.share);
      low.push_back(kept.low);
      high.push_back(kept.high);
    }
    line[name + "_response"] = side.response;
    line[name + "_scores"] = std::move(shares);
    line[name + "_scores_low"] = std::move(low);
    line[name + "_scores_high"] = std::move(high);
  }

  const Tokenizer& tokenizer_;
  const pts::ChangePrior& prior_;
  const QueryTrace& query_;
  double gap_, z_;
  pts::SuccessTrie trie_;
  pts::Strata strata_;
};

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
      [=](const Tokenizer& tokenizer, const MeasuredResponse& response, ordered_json& line,
          RewardSummary& summary) {
        const auto steps = StepsOf(tokenizer, response.trace().tokens);
        if (steps.empty()) return false;
        MeasuredCurve curve(response);
        std::vector<std::string> texts;
        std::vector<bool> labels;
        for (const ResponseStep& step : steps) {
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

RewardSummary ExportAdvantages(const std::filesystem::path& run,
                               const std::filesystem::path& output) {
  return ExportResponses(run, output,
                         [](const Tokenizer&, const MeasuredResponse& response, ordered_json& line,
                            RewardSummary& summary) {
                           MeasuredCurve curve(response);
                           for (const PrefixEstimate& estimate : response.trace().estimates)
                             curve.Add(estimate);
                           std::vector<double> advantages;
                           for (std::size_t k = 1; k < curve.p.size(); ++k)
                             advantages.push_back(curve.p[k] - curve.p[k - 1]);
                           line["prompt_ids"] = response.query.prompt;
                           line["tokens"] = response.trace().tokens;
                           std::move(curve).AddTo(line);
                           line["advantages"] = std::move(advantages);
                           summary.units += std::ssize(response.trace().tokens);
                           return true;
                         });
}

RewardSummary ExportCritical(const std::filesystem::path& run,
                             const std::filesystem::path& output) {
  const MeasuredRun measured = LoadMeasured(run);
  const pts::ChangePrior prior(pts::MeasuredChanges(measured.traces, measured.config.search.gap));
  data::FileSink sink(output);
  RewardSummary summary;
  for (const QueryTrace& query : measured.traces) {
    const auto right = SidesOf(query, true), wrong = SidesOf(query, false);
    if (right.empty() || wrong.empty() || wrong[0].response < 0) {
      summary.alone += std::ssize(query.responses);
      continue;
    }
    const CriticalWriter writer(measured, prior, query);
    for (std::size_t i = 0; i < std::max(right.size(), wrong.size()); ++i) {
      const CriticalSide& rejected = wrong[i % wrong.size()];
      sink.Write(writer.Line(i, right[i % right.size()], rejected));
      summary.units += std::ssize(rejected.tokens);
      ++summary.responses;
    }
  }
  sink.Commit();
  return summary;
}

}  // namespace pivotal::experiments
