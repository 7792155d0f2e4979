// Apache-2.0.
#include "experiments/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/names.h"
#include "data/traces/trace_store.h"
#include "experiments/report/report_answers.h"
#include "experiments/report/report_numbers.h"
#include "experiments/report/report_page.h"
#include "experiments/search/run_answers.h"
#include "experiments/search/run_config.h"
#include "experiments/settings/settings_file.h"
#include "experiments/train/train_output.h"
#include "pivotal/version.h"
#include "pts/estimate.h"
#include "pts/pair_builder.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kBlockBytes = std::size_t{256} << 10;  // size of a block before compression
constexpr int kBins = 40, kCalibrationBins = 10;

constexpr auto kFinishNames =
    data::MakeNameTable<FinishReason>("finish reason", {{FinishReason::kEos, "eos"},
                                                        {FinishReason::kLength, "length"},
                                                        {FinishReason::kStop, "stop"}});

std::string Dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// Returns the name of a folder, also for paths that end in "/" or "..".
std::string NameOf(const std::filesystem::path& folder) {
  const auto path = data::Absolute(folder).lexically_normal();
  return path.filename().empty() ? path.parent_path().filename().string()
                                 : path.filename().string();
}

// [response][pivotal token]: why the token gives no pair; empty if it gives one.
using NoPairTexts = std::vector<std::vector<std::string>>;

NoPairTexts NoPairTextsOf(const QueryTrace& query, const PairOptions& options) {
  NoPairTexts texts;
  const auto reasons = pts::WhyNoPairs(query, options);
  for (std::size_t r = 0; r < reasons.size(); ++r) {
    texts.emplace_back();
    for (std::size_t i = 0; i < reasons[r].size(); ++i)
      texts[r].push_back(pts::TextOf(reasons[r][i], query.responses[r].pivotal[i], options));
  }
  return texts;
}

// Sums over all problems of a run.
class Totals {
 public:
  void Add(const QueryTrace& query, const NoPairTexts& no_pairs) {
    ++problems_;
    searched_ += query.searched;
    seconds_ += query.seconds;
    prefilled_ += query.prefilled_tokens;
    rollouts_ += std::ssize(query.rollouts);
    for (const RolloutTrace& rollout : query.rollouts) generated_ += std::ssize(rollout.tokens);
    for (const ResponseTrace& response : query.responses) Add(response);
    for (const auto& texts : no_pairs) pairs_ += std::ranges::count(texts, std::string());
  }

  ordered_json Facts() const {
    ordered_json facts = ordered_json::array();
    const auto add = [&](const char* name, const auto& value) { facts.push_back({name, value}); };
    add("problems", problems_);
    add("searched", searched_);
    add("responses searched", responses_);
    add("of them right", right_);
    add("pivotal tokens", pivotal_);
    if (pivotal_ > 0)
      add("expected false",
          fmt::format("{:.1f}%", 100 * expected_false_ / static_cast<double>(pivotal_)));
    add("pairs", pairs_);
    add("rollouts", rollouts_);
    add("generated tokens", generated_);
    add("prefix tokens", prefilled_);
    if (seconds_ > 0) add("seconds", fmt::format("{:.1f}", seconds_));
    return facts;
  }
  ordered_json Histogram() const {
    ordered_json edges = ordered_json::array();
    for (int i = 0; i <= kBins; ++i) edges.push_back(Short(-1 + 2.0 * i / kBins));
    return {{"edges", edges}, {"counts", deltas_}};
  }
  ordered_json PivotalTokens() const { return {{"tokens", tokens_}, {"pivotal", pivotal_}}; }

  // Compares p(success) after pivotal tokens, as the search estimated it, with fresh rollouts: one
  // entry for each tenth of p.
  ordered_json Calibration() const {
    ordered_json bins = ordered_json::array();
    for (const auto& [count, expected, fresh] : calibration_) {
      if (count == 0) continue;
      const pts::Interval bounds = pts::WilsonInterval(fresh);
      bins.push_back({{"expected", Short(expected / count)},
                      {"observed", Short(fresh.Mean())},
                      {"low", Short(bounds.low)},
                      {"high", Short(bounds.high)},
                      {"count", fresh.samples}});
    }
    return bins;
  }

 private:
  struct Bin {
    int32_t count = 0;
    double expected = 0;
    pts::Estimate fresh;
  };

  void Add(const ResponseTrace& response) {
    ++responses_;
    right_ += response.success;
    tokens_ += std::ssize(response.tokens);
    for (std::size_t i = 1; i < response.estimates.size(); ++i) {
      const PrefixEstimate &before = response.estimates[i - 1], &after = response.estimates[i];
      if (after.position != before.position + 1) continue;
      const int bin = static_cast<int>((after.mean - before.mean + 1) / 2 * kBins);
      ++deltas_[static_cast<std::size_t>(std::clamp(bin, 0, kBins - 1))];
    }
    for (const PivotalToken& token : response.pivotal) {
      ++pivotal_;
      expected_false_ += 1 - token.probability;
      const bool chosen = token.chosen == response.tokens[token.position - 1];
      const pts::Estimate fresh =
          chosen ? pts::Estimate{token.chosen_samples, token.chosen_successes}
                 : pts::Estimate{token.rejected_samples, token.rejected_successes};
      if (fresh.samples == 0) continue;
      const int bin =
          std::clamp(static_cast<int>(token.after * kCalibrationBins), 0, kCalibrationBins - 1);
      Bin& at = calibration_[static_cast<std::size_t>(bin)];
      ++at.count;
      at.expected += token.after;
      at.fresh += fresh;
    }
  }

  int64_t problems_ = 0, searched_ = 0, responses_ = 0, right_ = 0, tokens_ = 0, pivotal_ = 0,
          pairs_ = 0;
  int64_t rollouts_ = 0, generated_ = 0, prefilled_ = 0;
  double seconds_ = 0, expected_false_ = 0;
  std::vector<int64_t> deltas_ = std::vector<int64_t>(kBins);
  std::vector<Bin> calibration_ = std::vector<Bin>(kCalibrationBins);
};

ordered_json PivotalOf(const PivotalToken& token, const Tokenizer& tokenizer,
                       const std::string& no_pair) {
  const auto piece = [&](TokenId id) {
    return id >= 0 ? ordered_json(tokenizer.Piece(id)) : ordered_json(nullptr);
  };
  return {{"k", token.position},
          {"before", Short(token.before)},
          {"after", Short(token.after)},
          {"low", Short(token.low)},
          {"high", Short(token.high)},
          {"probability", Short(token.probability)},
          {"chosen", piece(token.chosen)},
          {"rejected", piece(token.rejected)},
          {"chosen_samples", token.chosen_samples},
          {"chosen_successes", token.chosen_successes},
          {"rejected_samples", token.rejected_samples},
          {"rejected_successes", token.rejected_successes},
          {"no_pair", no_pair.empty() ? ordered_json(nullptr) : ordered_json(no_pair)}};
}

ordered_json ResponseOf(const QueryTrace& query, int32_t number, const Tokenizer& tokenizer,
                        const std::vector<std::string>& no_pairs, const ReportAnswers& answers) {
  const ResponseTrace& response = query.responses[static_cast<std::size_t>(number)];
  ordered_json tokens = ordered_json::array(), logprobs = ordered_json::array(),
               pivotal = ordered_json::array(), alternatives = ordered_json::array();
  for (TokenId id : response.tokens) tokens.push_back(tokenizer.Piece(id));
  for (float logprob : response.logprobs) logprobs.push_back(Short(logprob));
  const std::size_t positions = response.tokens.size() + 1;
  const ordered_json unknown = std::vector<ordered_json>(positions);
  ordered_json p = unknown, low = unknown, high = unknown;
  std::vector<int32_t> samples(positions);
  for (const PrefixEstimate& estimate : response.estimates) {
    const auto k = static_cast<std::size_t>(estimate.position);
    p[k] = Short(estimate.mean);
    low[k] = Short(estimate.low);
    high[k] = Short(estimate.high);
    samples[k] = estimate.samples;
  }
  for (std::size_t i = 0; i < response.pivotal.size(); ++i) {
    pivotal.push_back(PivotalOf(response.pivotal[i], tokenizer, no_pairs[i]));
    answers.AddForks(number, response.pivotal[i].position, pivotal.back());
  }
  for (const AlternativeToken& token : response.alternatives)
    alternatives.push_back(
        {{"k", token.position},
         {"token", tokenizer.Piece(token.token)},
         {"logprob",
          std::isfinite(token.logprob) ? ordered_json(Short(token.logprob)) : ordered_json()},
         {"samples", token.samples},
         {"successes", token.successes},
         {"low", Short(token.low)},
         {"high", Short(token.high)}});
  return {{"success", response.success},
          {"finish", kFinishNames.Name(response.finish)},
          {"tokens", tokens},
          {"logprobs", logprobs},
          {"p", p},
          {"low", low},
          {"high", high},
          {"samples", samples},
          {"answers", answers.Along(number)},
          {"pivotal", pivotal},
          {"alternatives", alternatives}};
}

ordered_json ProblemOf(const QueryTrace& query, const Tokenizer& tokenizer,
                       const NoPairTexts& no_pairs, const ReportAnswers& answers) {
  ordered_json responses = ordered_json::array();
  for (std::size_t r = 0; r < query.responses.size(); ++r)
    responses.push_back(
        ResponseOf(query, static_cast<int32_t>(r), tokenizer, no_pairs[r], answers));
  return {{"id", query.id},
          {"question", query.question},
          {"answer", query.answer},
          {"answers", answers.Names()},
          {"responses", responses}};
}

// Returns the entry of one problem in the list of problems.
ordered_json RowOf(const QueryTrace& query, int32_t block, int32_t index) {
  constexpr std::size_t kQuestion = 160;
  int64_t pivotal = 0;
  double largest = 0;
  for (const ResponseTrace& response : query.responses) {
    for (const PivotalToken& token : response.pivotal) {
      ++pivotal;
      if (std::abs(token.after - token.before) > std::abs(largest))
        largest = token.after - token.before;
    }
  }
  return {{"id", query.id},
          {"question", Beginning(query.question, kQuestion)},
          {"samples", query.samples},
          {"successes", query.successes},
          {"searched", query.searched},
          {"complete", query.complete},
          {"responses", query.responses.size()},
          {"pivotal", pivotal},
          {"largest", Short(largest)},
          {"block", block},
          {"index", index}};
}

}  // namespace

ReportSummary WriteReport(const std::filesystem::path& run,
                          const std::vector<std::filesystem::path>& trainings,
                          const std::filesystem::path& output) {
  const RunConfig config = LoadRunConfig(run);
  const double gap = config.search.gap;
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const AnswersOfRun answers(config, *tokenizer);
  const double z = pts::NormalQuantile(0.5 + config.search.confidence / 2);
  const auto traces = data::LoadRun(run);
  Totals totals;
  ordered_json rows = ordered_json::array();
  std::vector<std::string> blocks;
  std::string block;
  int32_t in_block = 0;
  ReportSummary summary;
  const auto close = [&] {
    if (in_block > 0) blocks.push_back("[" + block + "]");
    block.clear();
    in_block = 0;
  };
  for (const QueryTrace& query : traces) {
    const NoPairTexts no_pairs = NoPairTextsOf(query, {.gap = gap});
    totals.Add(query, no_pairs);
    rows.push_back(RowOf(query, static_cast<int32_t>(blocks.size()), in_block));
    summary.pivotal += rows.back()["pivotal"].get<int64_t>();
    const ReportAnswers of_query(query, answers, gap, z, *tokenizer);
    block += (in_block++ > 0 ? "," : "") + Dump(ProblemOf(query, *tokenizer, no_pairs, of_query));
    if (block.size() >= kBlockBytes) close();
  }
  close();
  ordered_json training = ordered_json::array(), settings = ordered_json::array();
  for (const auto& folder : trainings) training.push_back(TrainingSeries(NameOf(folder), folder));
  for (const auto& [section, key, value] : SettingsFile(run / "run.toml", "pivotal search").All())
    settings.push_back({section, key, value});
  const ordered_json page = {{"title", NameOf(run)},
                             {"version", PIVOTAL_VERSION_STRING},
                             {"settings", settings},
                             {"facts", totals.Facts()},
                             {"histogram", totals.Histogram()},
                             {"pivotal_share", totals.PivotalTokens()},
                             {"calibration", totals.Calibration()},
                             {"gap", gap},
                             {"problems", rows},
                             {"training", training},
                             {"comparisons", ordered_json::array()}};
  const std::string text = ReportPage(Dump(page), blocks);
  data::WriteFile(output, text);
  summary.problems = std::ssize(traces);
  summary.bytes = std::ssize(text);
  return summary;
}

}  // namespace pivotal::experiments
