// Apache-2.0.
#include "experiments/ablation/recipe_parts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "experiments/search/run_pairs.h"
#include "experiments/search/run_rewards.h"
#include "experiments/train/train_settings.h"

namespace pivotal::experiments {
namespace {

constexpr double kMostShare = 1000;  // of the number of pivotal pairs

// Throws Error if a part has a key that its source does not read.
void RequireReadBySource(const RecipeFile& file, const toml::table& table,
                         const std::string& source) {
  constexpr std::pair<const char*, const char*> kReaders[] = {
      {"refusal", "refusal"},      {"judge", "judged"},  {"judge_responses", "judged"},
      {"judge_timeout", "judged"}, {"margin", "judged"}, {"threshold", "step"}};
  for (const auto& [key, reader] : kReaders)
    if (table.contains(key) && source != reader)
      file.FailAt(*table.get(key),
                  fmt::format("{} belongs to pairs of source \"{}\"", key, reader));
}

}  // namespace

PairsPart ReadPart(const RecipeFile& file, const toml::table& table, const Stage& stage) {
  const TrainSettings& train = stage.train;
  file.CheckKeys(table, "pairs.",
                 {"source", "count", "share", "refusal", "judge", "judge_responses",
                  "judge_timeout", "margin", "threshold"});
  PairsPart part;
  part.source = file.Text(table, "source", part.source);
  auto known = OtherSources();
  known.insert(known.end(), {"pivotal", "right", "continuations"});
  known.insert(known.end(), kAdvantageKinds.begin(), kAdvantageKinds.end());
  if (std::ranges::find(known, part.source) == known.end())
    file.FailAt(table, fmt::format("pairs of \"{}\" are unknown: take one of {}", part.source,
                                   fmt::join(known, ", ")));
  const bool has_advantages =
      std::ranges::find(kAdvantageKinds, part.source) != kAdvantageKinds.end();
  if (train.UsesAdvantages() != has_advantages)
    file.FailAt(table,
                fmt::format("\"{}\" and train.loss.method = \"ppo\" go together: it trains on "
                            "responses with advantages, and nothing else does",
                            fmt::join(kAdvantageKinds, "\", \"")));
  const bool is_right = part.source == "right" || part.source == "continuations";
  if (train.sft && !is_right && part.source != "refusal")
    file.FailAt(
        table,
        "train.loss.sft = true trains on \"right\" responses, on right \"continuations\", or "
        "on the chosen sides of \"refusal\" pairs");
  if (!train.sft && is_right)
    file.FailAt(table,
                fmt::format("\"{}\" is for train.loss.sft = true: there is nothing to compare "
                            "right responses with",
                            part.source));
  if (table.contains("count")) {
    const auto word = table["count"].value_exact<std::string>();
    const bool all = word == "all";
    if (word && !all)
      file.FailAt(*table.get("count"), "count must be an integer from 1 or \"all\"");
    part.count = all ? 0 : static_cast<int32_t>(file.Integer(table, "count", 0, 1));
    if (table.contains("share"))
      file.FailAt(table, "a part has either a count or a share, not both");
  }
  if (stage.run.strategy == "none") {
    static constexpr std::string_view kOfSearch[] = {"pivotal", "critical", "step", "curve"};
    if (std::ranges::find(kOfSearch, part.source) != std::end(kOfSearch))
      file.FailAt(table, fmt::format("\"{}\" needs a search, and run.search.strategy is \"none\"",
                                     part.source));
    if (!part.count)
      file.FailAt(table,
                  "with run.search.strategy = \"none\" a part needs a count: there are no "
                  "pivotal pairs to take a share of");
  }
  RequireReadBySource(file, table, part.source);
  part.share = file.Number(table, "share", part.share, 0);
  if (!(part.share > 0 && part.share <= kMostShare))
    file.FailAt(table, fmt::format("share must be above 0 and at most {}", kMostShare));
  part.other.refusal = file.Text(table, "refusal", part.other.refusal);
  part.other.judge = file.Text(table, "judge", "");
  part.other.judge_responses =
      static_cast<int32_t>(file.Integer(table, "judge_responses", part.other.judge_responses, 2));
  part.other.judge_timeout = file.Number(table, "judge_timeout", part.other.judge_timeout, 0);
  part.other.margin = file.Number(table, "margin", part.other.margin, 0);
  part.other.threshold = file.Number(table, "threshold", part.other.threshold, 0);
  if (!(part.other.threshold > 0 && part.other.threshold <= 1))
    file.FailAt(table, "threshold must be above 0 and at most 1");
  if (part.source == "judged" && part.other.judge.empty())
    file.FailAt(table, "\"judged\" pairs need judge, a command that scores responses");
  return part;
}

}  // namespace pivotal::experiments
