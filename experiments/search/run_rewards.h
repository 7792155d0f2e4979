// Apache-2.0. p(success) along the responses of a run as training targets: step labels for process
// reward models, advantages of tokens, and weights of critical tokens. Needs no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::experiments {

// A step of a response: the tokens after those of the step before, up to t_end.
struct ResponseStep {
  int32_t end = 0;
  std::string text;
};

// Returns the steps of a response: its sentences (SentenceEnds), where one of white space alone
// belongs to the step before it, or after it if there is none. The texts, joined, are the text of
// the response as data::StreamDecoder prints it; none is empty. A response without text has no
// steps. The last step ends with the response.
std::vector<ResponseStep> StepsOf(const Tokenizer& tokenizer, const std::vector<TokenId>& response);

// The least p(success) after a step that is labelled right: Math-Shepherd (arXiv 2312.08935) draws
// eight completions of each step, and calls it right if one of them is.
inline constexpr double kLabelThreshold = 0.125;

struct RewardSummary {
  int64_t responses = 0;
  int64_t units = 0;  // steps or tokens
  int64_t right = 0;  // steps that are labelled right
  int64_t empty = 0;  // responses that were left out, as they hold no text
  int64_t alone = 0;  // responses that were left out, as they have no counterpart
};

// Write one JSON object for each searched response (data/FORMATS.md), with the estimates of p_k and
// their intervals as they are stored, and the answers of completions. ExportSteps() labels a step
// right if p(success) after it is at least `threshold`. Both throw Error for a run that has not
// measured p(success) everywhere: one that was imported, or that --strategy none has made.
RewardSummary ExportSteps(const std::filesystem::path& run, const std::filesystem::path& output,
                          double threshold = kLabelThreshold);
RewardSummary ExportAdvantages(const std::filesystem::path& run,
                               const std::filesystem::path& output);

// Writes pairs of a right and a wrong response to one problem, with a score for each token of the
// searched ones: the share of p(success) that it keeps (pts::KeptBy). The weight of a rejected
// token is the share that it destroys, as in cDPO (arXiv 2411.19943), whose scores are a guess at
// it; it goes by the posterior mean of the change, so that noise weighs little. Each searched wrong
// response is rejected in a line, against the searched right responses in turn, or else a right
// rollout; further searched right responses are chosen against wrong ones in turn. Responses to a
// problem without a searched wrong response, or without any right one, are left out. Throws Error
// as ExportSteps() does.
RewardSummary ExportCritical(const std::filesystem::path& run, const std::filesystem::path& output);

}  // namespace pivotal::experiments
