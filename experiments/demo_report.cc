// Apache-2.0.
#include "experiments/demo_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "experiments/response_view.h"
#include "pts/pair_choice.h"

namespace pivotal::experiments {
namespace {

std::string AccuracyRow(const char* name, const MeanInterval& sampled, const MeanInterval& greedy,
                        bool difference) {
  const auto cell = [&](const MeanInterval& v) {
    return fmt::format(fmt::runtime(difference ? "{:+6.1f} [{:+5.1f}, {:+5.1f}]" : "{:6.1f} [{:5.1f}, {:5.1f}]"),
                       100 * v.mean, 100 * v.low, 100 * v.high);
  };
  return fmt::format("{:<26} {:<24} {:<24}\n", name, cell(sampled), cell(greedy));
}

}  // namespace

std::string DemoTable(const DemoResult& result) {
  const auto& search = result.search;
  std::string text = fmt::format("\n{:<26} {:<24} {:<24}\n", "held-out accuracy, %",
                                 "  sampled [95% interval]", "  temperature 0");
  text += AccuracyRow("before", result.before.Sampled(), result.before.Greedy(), false);
  text += AccuracyRow("after DPO", result.after.Sampled(), result.after.Greedy(), false);
  const AccuracyChange change = Compare(result.before, result.after);
  text += AccuracyRow("  difference, paired", change.sampled, change.greedy, true);
  if (result.control) {
    const AccuracyChange control = Compare(result.before, *result.control);
    const AccuracyChange gain = Compare(*result.control, result.after);
    text += AccuracyRow("after DPO, random pairs", result.control->Sampled(), result.control->Greedy(), false);
    text += AccuracyRow("  difference, paired", control.sampled, control.greedy, true);
    text += AccuracyRow("  pivotal over random", gain.sampled, gain.greedy, true);
  }
  const auto row = [&](const char* name, const std::string& value) {
    text += fmt::format("{:<26} {}\n", name, value);
  };
  text += "\n";
  row("problems searched", fmt::format("{} of {} have p(success) in the band",
                                       search.summary.searched, search.summary.queries));
  row("responses searched", std::to_string(search.summary.responses));
  row("pivotal tokens found", std::to_string(search.summary.pivotal));
  row("pairs", fmt::format("{} (both sides measured on fresh rollouts)", result.pairs));
  row("rollouts", std::to_string(search.counters.rollouts));
  row("generated tokens", fmt::format("{} ({:.0f} per second)", search.counters.decoded_tokens,
                                      static_cast<double>(search.counters.decoded_tokens) /
                                          std::max(search.counters.seconds, 1e-9)));
  row("DPO", fmt::format("{} steps in {:.0f} s", result.training.step, result.training.seconds));
  row("whole demo", fmt::format("{:.0f} s", result.seconds));
  return text;
}

std::string DemoResponses(const std::vector<data::QueryTrace>& traces,
                          const data::Tokenizer& tokenizer, double gap, int count, bool colour) {
  std::string text;
  for (const data::QueryTrace& query : traces) {
    const auto no_pairs = pts::WhyNoPairs(query, {.gap = gap});
    const auto shown = std::ranges::find_if(
        no_pairs, [](const auto& reasons) { return std::ranges::count(reasons, pts::NoPair::kNone) > 0; });
    if (shown == no_pairs.end()) continue;
    const data::ResponseTrace& response = query.responses[static_cast<std::size_t>(shown - no_pairs.begin())];
    text += fmt::format("\n{}: {}  (answer {})\n  {} response:{}\n", query.id, query.question, query.answer,
                        response.success ? "right" : "wrong", MarkedText(response, tokenizer, colour));
    text += PivotalLines(response, tokenizer, gap, *shown);
    if (--count == 0) break;
  }
  return text;
}

}  // namespace pivotal::experiments
