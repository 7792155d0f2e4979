// Apache-2.0.
#include "experiments/search/run_answers.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "data/traces/trace_store.h"
#include "kernels/philox.h"
#include "pts/answer_changes.h"
#include "pts/answer_groups.h"
#include "pts/answer_strata.h"
#include "pts/judging.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

constexpr double kLikely = 0.5;  // tokens that are change points with this probability are counted

// Writes the lines of one query.
class AnswerWriter {
 public:
  AnswerWriter(const QueryTrace& query, const pts::AnswerTable& table, double gap,
               double strata_gap, double z, const Tokenizer& tokenizer)
      : query_(query),
        table_(table),
        strata_(query, table, strata_gap),
        gap_(gap),
        z_(z),
        tokenizer_(tokenizer) {}

  void Write(int32_t response, data::FileSink& sink, AnswerSummary& summary) const {
    const ResponseTrace& of = query_.responses[static_cast<std::size_t>(response)];
    const auto path = strata_.trie().Path(response);
    const auto changes = ChangesOf(response);
    for (std::size_t k = 0; k < path.size(); ++k) {
      const bool is_pivotal = std::ranges::any_of(of.pivotal, [&](const PivotalToken& token) {
        return token.position == static_cast<int32_t>(k);
      });
      const auto change = changes.find(path[k]);
      const bool is_change = change != changes.end() && change->second.probability >= kLikely;
      ordered_json line = {{"id", query_.id},
                           {"response", response},
                           {"success", of.success},
                           {"position", k},
                           {"token", nullptr},
                           {"token_id", nullptr},
                           {"answers", AnswerShares(table_, strata_.Value(path[k]).Mean())}};
      if (k > 0) {
        line["token"] = tokenizer_.Piece(of.tokens[k - 1]);
        line["token_id"] = of.tokens[k - 1];
        line["pivotal"] = is_pivotal;
      }
      if (change != changes.end())
        line["change"] = {{"probability", change->second.probability},
                          {"mean", change->second.mean}};
      summary.changes += is_change;
      summary.unseen += is_change && !is_pivotal;
      summary.pivotal += is_pivotal;
      if (is_pivotal || is_change) {
        const pts::AnswerForks forks = GroupAlternatives(query_, table_, strata_, path[k]);
        AddForks(forks, line);
        summary.paraphrased += is_pivotal && forks.HasParaphrases();
      }
      sink.Write(data::JsonLine(line));
    }
    ++summary.responses;
  }

 private:
  std::map<int32_t, pts::AnswerChange> ChangesOf(int32_t response) const {
    const auto steps = pts::AnswerSteps(strata_, response, gap_);
    const uint64_t stream = kernels::MixStream(static_cast<uint64_t>(response), query_.id);
    std::map<int32_t, pts::AnswerChange> changes;
    for (const pts::AnswerChange& change : pts::AnswerChanges(
             steps, table_.of_response[static_cast<std::size_t>(response)], gap_, stream))
      if (change.node >= 0) changes[change.node] = change;
    return changes;
  }

  ordered_json Described(const pts::AnswerEstimate& estimate) const {
    const auto mean = estimate.Mean();
    const pts::Interval bounds = estimate.Of(0).Bounds(z_);
    return {{"p", mean[0]},
            {"low", std::max(0.0, bounds.low)},
            {"high", std::min(1.0, bounds.high)},
            {"answers", AnswerShares(table_, mean)}};
  }

  void AddForks(const pts::AnswerForks& forks, ordered_json& line) const {
    line["q"] = nullptr;
    line["q_other"] = nullptr;
    if (!forks.without.terms.empty()) line["q"] = Described(forks.without);
    if (forks.other_probability > 0) {
      line["q_other"] = Described(forks.other);
      line["q_other"]["probability"] = forks.other_probability;
    }
    ordered_json groups = ordered_json::array();
    for (const pts::AnswerGroup& group : forks.groups) groups.push_back(Described(group));
    line["groups"] = std::move(groups);
  }

  ordered_json Described(const pts::AnswerGroup& group) const {
    ordered_json tokens = ordered_json::array();
    for (const pts::GroupedToken& token : group.tokens) {
      ordered_json entry = {{"token", nullptr},
                            {"token_id", nullptr},
                            {"probability", token.probability},
                            {"rollouts", pts::SumOf(token.counts)},
                            {"same", token.same}};
      if (token.token != pts::kRareTokens) {
        entry["token"] = tokenizer_.Piece(token.token);
        entry["token_id"] = token.token;
      }
      tokens.push_back(std::move(entry));
    }
    const double rollouts = pts::SumOf(group.counts);
    std::vector<double> shares = pts::AnswerGuess(table_.size());
    if (rollouts > 0)
      for (std::size_t a = 0; a < shares.size(); ++a) shares[a] = group.counts[a] / rollouts;
    const pts::Interval bounds = group.Bounds(z_);
    return {{"probability", group.probability},
            {"rollouts", rollouts},
            {"p", shares[0]},
            {"low", bounds.low},
            {"high", bounds.high},
            {"answers", AnswerShares(table_, shares)},
            {"tokens", std::move(tokens)}};
  }

  const QueryTrace& query_;
  const pts::AnswerTable& table_;
  pts::AnswerStrata strata_;
  double gap_, z_;
  const Tokenizer& tokenizer_;
};

// Returns the queries of a run with these ids, or all.
std::vector<QueryTrace> Chosen(std::vector<QueryTrace> traces, const std::vector<std::string>& ids,
                               const std::filesystem::path& run) {
  if (ids.empty()) return traces;
  std::vector<QueryTrace> chosen;
  for (const std::string& id : ids) {
    if (std::ranges::find(chosen, id, &QueryTrace::id) != chosen.end()) continue;  // given twice
    const auto found = std::ranges::find(traces, id, &QueryTrace::id);
    if (found == traces.end())
      Fail("{}: holds no problem {}; pivotal show {} lists them", run.string(), id, run.string());
    chosen.push_back(*found);
  }
  return chosen;
}

}  // namespace

AnswersOfRun::AnswersOfRun(const RunConfig& config, const Tokenizer& tokenizer) {
  const std::string& name = config.problems.oracle;
  if (name == "code" || name.starts_with("command")) return;
  oracle_ = MakeOracle(name, config.problems.oracle_options);
  matches_ = name.starts_with("regex");
  reader_.read = [&oracle = *oracle_,
                  text = pts::MakeResponseText(tokenizer, config.sampling.stop)](
                     std::span<const TokenId> response) -> std::string {
    try {
      return oracle.Answer(text(response)).value_or("");
    } catch (const NoVerdict&) {
      return "";
    }
  };
  reader_.same = [&oracle = *oracle_](const std::string& a, const std::string& b) {
    return oracle.SameAnswer(a, b);
  };
}

pts::AnswerTable AnswersOfRun::Read(const QueryTrace& trace) const {
  if (oracle_ == nullptr) return pts::VerdictsAsAnswers(trace);
  pts::AnswerTable table = pts::ReadAnswers(trace, reader_);
  std::string& right = table.answers[0].text;
  // Nothing was right: the reference says what would be. A pattern reads responses alone.
  if (right.empty() && !matches_) right = oracle_->Answer(trace.answer).value_or("");
  if (right.empty()) right = data::Trim(trace.answer);
  return table;
}

ordered_json AnswerNames(const pts::AnswerTable& table) {
  ordered_json names = ordered_json::array();
  for (const pts::Answer& answer : table.answers) {
    ordered_json name = {{"answer", answer.text}, {"right", answer.right}};
    if (answer.kind == pts::AnswerKind::kOther) name["answer"] = nullptr;
    names.push_back(std::move(name));
  }
  return names;
}

ordered_json AnswerShares(const pts::AnswerTable& table, std::span<const double> p) {
  ordered_json shares = AnswerNames(table);
  for (std::size_t a = 0; a < p.size(); ++a) shares[a]["p"] = p[a];
  return shares;
}

AnswersAlong::AnswersAlong(const QueryTrace& query, const AnswersOfRun& answers, double gap) {
  if (!answers.ReadsAnswers() || query.rollouts.empty() || query.responses.empty()) return;
  table_ = answers.Read(query);
  strata_.emplace(query, table_, gap);
}

std::vector<double> AnswersAlong::After(int32_t response, int32_t position) const {
  const auto path = strata_->trie().Path(response);
  return strata_->Value(path[static_cast<std::size_t>(position)]).Mean();
}

double StrataGap(const RunConfig& config, double gap) { return std::min(config.search.gap, gap); }

AnswerSummary WriteAnswers(const AnswerSettings& settings, Progress& progress) {
  const RunConfig config = LoadRunConfig(settings.run);
  AnswerSummary summary;
  summary.gap = settings.gap.value_or(config.search.gap);
  if (!(summary.gap > 0 && summary.gap < 1)) Fail("gap {} lies outside (0, 1)", summary.gap);
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const AnswersOfRun answers(config, *tokenizer);
  const auto traces = Chosen(data::LoadRun(settings.run), settings.problems, settings.run);
  if (std::ranges::all_of(traces, [](const QueryTrace& query) { return query.rollouts.empty(); }))
    Fail(
        "{}: holds no rollouts whose answers could be read, as it was imported or stopped at once; "
        "search its problems",
        settings.run.string());
  const double z = pts::NormalQuantile(0.5 + config.search.confidence / 2);
  data::FileSink sink(settings.output);
  progress.Begin("answers", std::ssize(traces), "problems", 0);
  int64_t done = 0;
  for (const QueryTrace& query : traces) {
    if (progress.StopRequested()) throw Interrupted("stopped; nothing was written");
    if (!query.responses.empty() && !query.rollouts.empty()) {
      const pts::AnswerTable table = answers.Read(query);
      const AnswerWriter writer(query, table, summary.gap, StrataGap(config, summary.gap), z,
                                *tokenizer);
      for (int32_t r = 0; r < std::ssize(query.responses); ++r) writer.Write(r, sink, summary);
    }
    progress.Update(++done, "");
  }
  progress.End();
  sink.Commit();
  return summary;
}

}  // namespace pivotal::experiments
