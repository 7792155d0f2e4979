// Apache-2.0.
#include "experiments/search/search_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/base/json_input.h"

namespace pivotal::experiments {

namespace fs = std::filesystem;

std::string SummaryText(const SearchResult& result, const fs::path& run) {
  const SearchSummary& s = result.summary;
  const RolloutCounters& c = result.counters;
  std::string text;
  const auto line = [&]<typename... T>(fmt::format_string<T...> format, T&&... values) {
    fmt::format_to(std::back_inserter(text), format, std::forward<T>(values)...);
    text += '\n';
  };
  if (result.lost_workers > 0)
    line("processes that died  {}; other processes did their problems again", result.lost_workers);
  if (result.resumed > 0) line("problems found done  {}", result.resumed);
  line("problems             {}", s.queries);
  line("  in the band        {}", s.searched);
  line("responses searched   {}", s.responses);
  line("pivotal tokens       {}", s.pivotal);
  line("  candidate pairs    {}", s.candidates);
  line("  confirmed pairs    {}", s.pairs);
  if (s.pivotal > 0)
    line("  expected false     {:.1f}% (abs. change below the gap)", 100 * s.false_share);
  if (s.cut_short > 0)
    line("cut short            {}, by a budget or a number of pairs", s.cut_short);
  if (s.undone > 0)
    line(
        "left undone          {} problems; pivotal search --resume {} with a larger\n"
        "                     budget or number of pairs goes on with them",
        s.undone, run.string());
  if (s.failed_verdicts > 0)
    line(
        "failed verdicts      {}, on responses that count as wrong; pivotal search --resume {}\n"
        "                     asks the oracle again",
        s.failed_verdicts, run.string());
  if (s.verdicts.Failed() > 0) line("                     {}", s.verdicts.Text());
  if (result.left_to_others)
    line(
        "other processes      are still at work; the last one joins the shards into traces.h5.\n"
        "                     If it dies before, pivotal search --resume {} joins them",
        run.string());
  line("rollouts             {}", c.rollouts);
  line("generated tokens     {} ({:.0f}/s)", c.decoded_tokens,
       static_cast<double>(c.decoded_tokens) / std::max(c.seconds, 1e-9));
  if (c.requests > 0) {
    line("requests             {}, of them {} sent again", c.requests, c.failed_requests);
    line("tokens sent          {}, of them {} from the servers' caches",
         c.prefilled_tokens + c.reused_tokens, c.reused_tokens);
  }
  const auto percent = [&](double seconds) { return 100 * seconds / std::max(s.seconds, 1e-9); };
  line("time                 {:.1f} s: {}, {:.1f}% waiting for the oracle", s.seconds,
       c.requests > 0 ? fmt::format("{:.1f}% waiting for servers", percent(c.seconds))
                      : fmt::format("{:.1f}% decode, {:.1f}% prefixes", percent(c.decode_seconds),
                                    percent(c.prefill_seconds)),
       percent(s.verdict_seconds));
  if (s.candidates > 0 || result.resumed > 0)
    line("Next: pivotal pairs {0} --output {0}/pairs.jsonl", run.string());
  else if (s.pivotal > 0)
    line("Next: pivotal show {}; no pivotal token has another token to pair it with", run.string());
  else if (s.searched > 0)
    line("Next: pivotal show {}; no pivotal token was found", run.string());
  else if (s.queries > 0)
    line(
        "Next: pivotal show {}; p(success) of no problem is in the band (--min-success, "
        "--max-success)",
        run.string());
  return text;
}

std::string SummaryJson(const SearchResult& result, const fs::path& run) {
  const SearchSummary& s = result.summary;
  const RolloutCounters& c = result.counters;
  nlohmann::ordered_json object = {{"run", run.string()},
                                   {"resumed", result.resumed},
                                   {"problems", s.queries},
                                   {"in_band", s.searched},
                                   {"responses", s.responses},
                                   {"pivotal_tokens", s.pivotal},
                                   {"candidate_pairs", s.candidates},
                                   {"confirmed_pairs", s.pairs},
                                   {"expected_false_share", s.false_share},
                                   {"cut_short", s.cut_short},
                                   {"left_undone", s.undone},
                                   {"failed_verdicts", s.failed_verdicts},
                                   {"left_to_others", result.left_to_others},
                                   {"lost_workers", result.lost_workers},
                                   {"rollouts", c.rollouts},
                                   {"generated_tokens", c.decoded_tokens},
                                   {"seconds", s.seconds},
                                   {"rollout_seconds", c.seconds},
                                   {"decode_seconds", c.decode_seconds},
                                   {"prefix_seconds", c.prefill_seconds},
                                   {"oracle_seconds", s.verdict_seconds}};
  if (c.requests > 0) {
    object["requests"] = c.requests;
    object["requests_sent_again"] = c.failed_requests;
  }
  return data::JsonLine(object);
}

}  // namespace pivotal::experiments
