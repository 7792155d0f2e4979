// Apache-2.0. Everything in a trace as text, for comparison.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <vector>

#include "data/trace.h"

namespace pivotal::pts {

inline std::string Describe(const data::QueryTrace& q) {
  std::string text = fmt::format("{} {} {} {} {}/{} {}\n", q.id, q.question, q.answer,
                                 fmt::join(q.prompt, ","), q.successes, q.samples, q.searched);
  for (const auto& r : q.responses) {
    text += fmt::format("response {} {} {} {}\n", fmt::join(r.tokens, ","),
                        fmt::join(r.logprobs, ","), static_cast<int>(r.finish), r.success);
    for (const auto& e : r.estimates)
      text += fmt::format("  p_{} = {}/{} {}\n", e.position, e.successes, e.samples, e.mean);
    for (const auto& t : r.pivotal)
      text += fmt::format("  t_{} {}->{} {}:{}/{} {}:{}/{}\n", t.position, t.before, t.after,
                          t.chosen, t.chosen_successes, t.chosen_samples, t.rejected,
                          t.rejected_successes, t.rejected_samples);
  }
  for (const auto& r : q.rollouts)
    text += fmt::format("rollout {} {} {} {} {} {} {} {}\n", static_cast<int>(r.kind), r.response,
                        r.position, r.forced, fmt::join(r.tokens, ","), fmt::join(r.logprobs, ","),
                        static_cast<int>(r.finish), r.success);
  return text;
}

inline std::vector<std::string> Describe(std::span<const data::QueryTrace> queries) {
  std::vector<std::string> texts;
  for (const auto& query : queries) texts.push_back(Describe(query));
  return texts;
}

}  // namespace pivotal::pts
