// Apache-2.0.
#include "experiments/report/report_problem.h"

#include <cmath>
#include <cstddef>

#include "data/base/answers.h"
#include "data/base/names.h"
#include "experiments/report/report_numbers.h"
#include "pts/pair_builder.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

constexpr auto kFinishNames =
    data::MakeNameTable<FinishReason>("finish reason", {{FinishReason::kEos, "eos"},
                                                        {FinishReason::kLength, "length"},
                                                        {FinishReason::kStop, "stop"}});

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

}  // namespace

NoPairTexts NoPairTextsOf(const QueryTrace& query, double gap) {
  const PairOptions options{.gap = gap};
  NoPairTexts texts;
  const auto reasons = pts::WhyNoPairs(query, options);
  for (std::size_t r = 0; r < reasons.size(); ++r) {
    texts.emplace_back();
    for (std::size_t i = 0; i < reasons[r].size(); ++i)
      texts[r].push_back(pts::TextOf(reasons[r][i], query.responses[r].pivotal[i], options));
  }
  return texts;
}

ordered_json ReportProblem(const QueryTrace& query, const Tokenizer& tokenizer,
                           const NoPairTexts& no_pairs, const ReportAnswers& answers) {
  ordered_json responses = ordered_json::array();
  for (std::size_t r = 0; r < query.responses.size(); ++r)
    responses.push_back(
        ResponseOf(query, static_cast<int32_t>(r), tokenizer, no_pairs[r], answers));
  return {{"id", query.id},
          {"question", query.question},
          {"answer", data::AnswersText(query.answer, query.other_answers)},
          {"answers", answers.Names()},
          {"responses", responses}};
}

ordered_json ReportRow(const QueryTrace& query) {
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
          {"largest", Short(largest)}};
}

}  // namespace pivotal::experiments
