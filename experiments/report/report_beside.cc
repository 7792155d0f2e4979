// Apache-2.0.
#include "experiments/report/report_beside.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "data/base/error.h"
#include "data/base/text.h"
#include "experiments/report/report_numbers.h"
#include "experiments/settings/settings_file.h"
#include "pts/estimate.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

pts::Estimate AtPrompt(const QueryTrace& query) { return {query.samples, query.successes}; }

// The change of p(success) of one problem from one run to another; their rollouts are independent.
pts::LinearEstimate ChangeOf(const QueryTrace& before, const QueryTrace& after) {
  return {.terms = {{.weight = 1, .estimate = AtPrompt(after)},
                    {.weight = -1, .estimate = AtPrompt(before)}}};
}

bool Measured(const QueryTrace& before, const QueryTrace& after) {
  return before.samples > 0 && after.samples > 0;
}

ordered_json Limits(pts::Interval bounds) {
  return {Short(std::max(-1.0, bounds.low)), Short(std::min(1.0, bounds.high))};
}

ordered_json Mean(double sum, std::size_t n) {
  return n > 0 ? ordered_json(Short(sum / static_cast<double>(n))) : ordered_json();
}

}  // namespace

ReportBeside::ReportBeside(const ReportRun& run, const std::filesystem::path& beside)
    : run_(run), beside_(beside) {
  RequireSameTokens();
  Pair();
}

void ReportBeside::RequireSameTokens() const {
  const Tokenizer &here = *run_.tokenizer, &there = *beside_.tokenizer;
  for (TokenId id = 0; id < std::max(here.VocabSize(), there.VocabSize()); ++id) {
    const std::string mine = here.Piece(id), theirs = there.Piece(id);
    if (mine != theirs)
      Fail(
          "{}: its tokenizer is not that of {}: token {} is '{}' there and '{}' here; only runs of "
          "models with the same tokenizer stand beside each other",
          beside_.folder.string(), run_.folder.string(), id, data::Visible(theirs, ""),
          data::Visible(mine, ""));
  }
}

void ReportBeside::Pair() {
  std::map<std::pair<std::vector<TokenId>, std::string>, std::vector<const QueryTrace*>> there;
  for (const QueryTrace& query : beside_.traces)
    there[{query.prompt, query.answer}].push_back(&query);
  // Equal ids first, so that they find each other whatever stands between them.
  for (const bool by_id : {true, false}) {
    for (const QueryTrace& query : run_.traces) {
      if (pairs_.contains(&query)) continue;
      const auto same = there.find({query.prompt, query.answer});
      if (same == there.end()) continue;
      auto& candidates = same->second;
      const auto found = std::ranges::find_if(
          candidates, [&](const QueryTrace* other) { return !by_id || other->id == query.id; });
      if (found == candidates.end()) continue;
      pairs_.emplace(&query, *found);
      candidates.erase(found);
    }
  }
  if (pairs_.empty())
    Fail(
        "{}: none of its {} problems has the prompt and the answer of a problem of {}; search the "
        "same problem file with the same --prompt-format and --system",
        beside_.folder.string(), beside_.traces.size(), run_.folder.string());
}

void ReportBeside::Add(const QueryTrace& query, ordered_json& row, ordered_json& problem) const {
  const auto pair = pairs_.find(&query);
  if (pair == pairs_.end()) {
    row["beside"] = problem["beside"] = nullptr;
    return;
  }
  const QueryTrace& other = *pair->second;
  ordered_json entry = ReportRow(other);
  entry.erase("question");
  entry["limits"] = nullptr;
  entry["change"] = nullptr;
  if (Measured(query, other)) {
    const auto change = ChangeOf(query, other);
    const auto wilson = [&](const QueryTrace& trace) {
      return Limits(pts::WilsonInterval(AtPrompt(trace), run_.z()));
    };
    const ordered_json bounds = Limits(change.Bounds(run_.z()));
    entry["limits"] = {wilson(query), wilson(other)};
    entry["change"] = {Short(change.Mean()), bounds[0], bounds[1]};
  }
  row["beside"] = std::move(entry);
  problem["beside"] = beside_.Problem(other, NoPairTextsOf(other, beside_.gap()));
}

ordered_json ReportBeside::DifferingSettings() const {
  using Setting = std::pair<std::string, std::string>;
  std::map<Setting, std::array<std::string, 2>> values;
  for (const int side : {0, 1}) {
    const auto& folder = side == 0 ? run_.folder : beside_.folder;
    for (const auto& [section, key, value] :
         SettingsFile(folder / "run.toml", "pivotal search").All())
      values[{section, key}][static_cast<std::size_t>(side)] = value;
  }
  ordered_json differing = ordered_json::array();
  for (const auto& [setting, sides] : values)
    if (sides[0] != sides[1])
      differing.push_back({setting.first, setting.second, sides[0], sides[1]});
  return differing;
}

ordered_json ReportBeside::Summary() const {
  int64_t better = 0, worse = 0;
  std::array<int64_t, 2> pivotal{};
  std::size_t measured = 0;
  double before = 0, after = 0, squares = 0;
  for (const QueryTrace& query : run_.traces) {
    const auto pair = pairs_.find(&query);
    if (pair == pairs_.end()) continue;
    const QueryTrace& other = *pair->second;
    for (const ResponseTrace& response : query.responses)
      pivotal[0] += std::ssize(response.pivotal);
    for (const ResponseTrace& response : other.responses)
      pivotal[1] += std::ssize(response.pivotal);
    if (!Measured(query, other)) continue;
    ++measured;
    const auto change = ChangeOf(query, other);
    const pts::Interval bounds = change.Bounds(run_.z());
    better += bounds.low > 0;
    worse += bounds.high < 0;
    before += AtPrompt(query).Mean();
    after += AtPrompt(other).Mean();
    squares += change.Mean() * change.Mean();
  }
  ordered_json change = nullptr;
  if (measured > 1) {
    // The problems are a sample of those that might have been asked, so the interval of the mean
    // comes from how much their changes differ.
    const auto n = static_cast<double>(measured);
    const double mean = (after - before) / n;
    const double half =
        run_.z() * std::sqrt(std::max(0.0, squares - n * mean * mean) / (n - 1) / n);
    change = {Short(mean), Short(mean - half), Short(mean + half)};
  }
  const bool alike = run_.name == beside_.name;
  return {
      {"names",
       {alike ? run_.folder.string() : run_.name, alike ? beside_.folder.string() : beside_.name}},
      {"gap", beside_.gap()},
      {"confidence", run_.config.search.confidence},
      {"both", both()},
      {"only", {std::ssize(run_.traces) - both(), std::ssize(beside_.traces) - both()}},
      {"measured", measured},
      {"mean", {Mean(before, measured), Mean(after, measured)}},
      {"change", change},
      {"better", better},
      {"worse", worse},
      {"pivotal", pivotal},
      {"settings", DifferingSettings()}};
}

}  // namespace pivotal::experiments
