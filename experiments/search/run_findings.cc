// Apache-2.0.
#include "experiments/search/run_findings.h"

#include <fmt/format.h>

#include "data/base/error.h"
#include "data/traces/trace_store.h"

namespace pivotal::experiments {

std::string Findings::Text(double gap) const {
  std::string text = fmt::format("{} of {} pivotal tokens kept", kept.kept, kept.found);
  if (kept.kept > 0)
    text += fmt::format("; {:.1f}% of them are expected to lie below the gap of {}",
                        100 * kept.false_share, gap);
  return text;
}

Findings LoadFindings(const std::filesystem::path& run, double gap, double max_false_share) {
  Findings findings{data::LoadRun(run), {}};
  if (max_false_share == 1) return findings;
  try {
    pts::LearnProbabilities(findings.traces, gap);
    findings.kept = pts::KeepTokens(findings.traces, max_false_share);
  } catch (const Error& error) {
    Fail("{}: {}", run.string(), error.what());
  }
  return findings;
}

}  // namespace pivotal::experiments
