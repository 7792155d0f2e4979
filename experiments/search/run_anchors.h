// Apache-2.0. The sentences of a run's responses as thought anchors: what each changes, what
// depends on it, and what kind it is. Needs no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pivotal/oracle.h"
#include "pivotal/progress.h"

namespace pivotal::experiments {

struct AnchorSettings {
  std::filesystem::path run, output;
  // Command that names the categories of sentences (pts::MakeCommandClassifier); "": by rule
  // (pts::KindOf).
  std::string judge;
  double judge_timeout = 60;  // seconds for one sentence
};

struct AnchorSummary {
  int64_t responses = 0, sentences = 0;
  int64_t anchors = 0;       // sentences that change p(success) by the gap or more
  int64_t unmeasured = 0;    // sentences that too few rollouts were without
  int64_t dependencies = 0;  // pairs of sentences of which the later depends on the earlier one
  VerdictCounts judged;      // what the judge was asked
};

// Writes one event of codelion/pts for each sentence of each searched response (data/FORMATS.md),
// from the rollouts of the run alone (pts::SentenceEffects). Sentences are pts::StepsOf(). Throws
// Error for a run without rollouts or of --strategy none, or a judge that fails more often than the
// run's settings allow; Interrupted on a stop request.
AnchorSummary ExportAnchors(const AnchorSettings& settings, Progress& progress);

}  // namespace pivotal::experiments
