// Apache-2.0.
#include "experiments/search/run_curves.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/traces/trace_store.h"
#include "experiments/search/run_answers.h"
#include "experiments/search/run_config.h"
#include "pts/response_steps.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kAlternatives = 5;  // tokens listed for a unit, most sampled first

std::vector<int32_t> TokenEnds(std::size_t count) {
  std::vector<int32_t> ends;
  for (std::size_t k = 1; k <= count; ++k) ends.push_back(static_cast<int32_t>(k));
  return ends;
}

// Describes the rollouts that leave the response at `nodes`, the nodes of one unit.
ordered_json LeavingOf(const pts::SuccessTrie& trie, std::span<const int32_t> nodes,
                       const Tokenizer& tokenizer) {
  struct Seen {
    int32_t position;
    TokenId token;
    pts::Estimate estimate;
  };
  std::vector<Seen> seen;
  pts::Estimate left;
  for (int32_t node : nodes) {
    left += trie[node].left;
    for (const auto& [token, branch] : trie[node].branches)
      seen.push_back({trie[node].depth + 1, token, branch.estimate});
  }
  std::ranges::stable_sort(seen, std::greater<>(),
                           [](const Seen& s) { return s.estimate.samples; });
  seen.resize(std::min(seen.size(), kAlternatives));
  ordered_json alternatives = ordered_json::array();
  for (const Seen& s : seen)
    alternatives.push_back({{"position", s.position},
                            {"token", tokenizer.Piece(s.token)},
                            {"token_id", s.token},
                            {"samples", s.estimate.samples},
                            {"successes", s.estimate.successes}});
  return {{"samples", left.samples}, {"successes", left.successes}, {"alternatives", alternatives}};
}

// Writes one line for each unit of a response.
class CurveWriter {
 public:
  CurveWriter(const Tokenizer& tokenizer, const RunConfig& config, data::FileSink& sink)
      : tokenizer_(tokenizer),
        gap_(config.search.gap),
        z_(pts::NormalQuantile(0.5 + config.search.confidence / 2)),
        sink_(sink) {}

  void Write(const QueryTrace& query, const pts::SuccessTrie& trie, const pts::Strata& strata,
             const AnswersAlong& answers, int32_t response, const std::vector<int32_t>& ends,
             CurveSummary& summary) {
    const auto path = trie.Path(response);
    const std::span<const TokenId> tokens(query.responses[response].tokens);
    int32_t begin = 0;
    for (int32_t end : ends) {
      const pts::LinearEstimate change = strata.Change(path[begin], path[end]);
      const pts::Interval bounds = change.Bounds(z_);
      ordered_json line = {{"id", query.id},
                           {"response", response},
                           {"success", query.responses[response].success},
                           {"begin", begin},
                           {"end", end},
                           {"text", tokenizer_.Decode(tokens.subspan(begin, end - begin))},
                           {"before", strata.Value(path[begin]).Mean()},
                           {"after", strata.Value(path[end]).Mean()},
                           {"change", change.Mean()},
                           {"low", std::max(-1.0, bounds.low)},
                           {"high", std::min(1.0, bounds.high)},
                           {"left", LeavingOf(trie, path.subspan(begin, end - begin), tokenizer_)},
                           {"answers", nullptr}};
      if (answers.Known())
        line["answers"] = AnswerShares(answers.table(), answers.After(response, end));
      sink_.Write(data::JsonLine(line));
      ++summary.units;
      summary.reaching += pts::ReachesGap(std::abs(change.Mean()), gap_);
      begin = end;
    }
    ++summary.responses;
  }

 private:
  const Tokenizer& tokenizer_;
  double gap_, z_;
  data::FileSink& sink_;
};

}  // namespace

CurveSummary WriteCurves(const CurveSettings& settings) {
  if (settings.granularity != "token" && settings.granularity != "sentence")
    Fail("granularity \"{}\" is unknown: take token or sentence", settings.granularity);
  const RunConfig config = LoadRunConfig(settings.run);
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const AnswersOfRun answers(config, *tokenizer);
  const auto traces = data::LoadRun(settings.run);
  data::FileSink sink(settings.output);
  CurveWriter writer(*tokenizer, config, sink);
  CurveSummary summary;
  for (const QueryTrace& query : traces) {
    const pts::SuccessTrie trie = pts::TrieOf(query);
    const pts::Strata strata(trie, config.search.gap);
    const AnswersAlong along(query, answers, config.search.gap);
    for (int32_t r = 0; r < trie.responses(); ++r) {
      const auto& tokens = query.responses[r].tokens;
      writer.Write(query, trie, strata, along, r,
                   settings.granularity == "token" ? TokenEnds(tokens.size())
                                                   : pts::SentenceEnds(*tokenizer, tokens),
                   summary);
    }
  }
  sink.Commit();
  return summary;
}

}  // namespace pivotal::experiments
