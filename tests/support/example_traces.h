// Apache-2.0. Example traces with a value in every field, and the comparison of traces.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "pivotal/trace.h"

namespace pivotal::testing {

inline QueryTrace EmptyTrace(const std::string& id) {
  QueryTrace query;
  query.id = id;
  return query;
}

inline QueryTrace ExampleTrace(const std::string& id) {
  QueryTrace query;
  query.id = id;
  query.question = "1 + 1?\nLine two, 日本 😀";
  query.answer = "2";
  query.prompt = {1, 20, 300, 31999};
  query.samples = 8;
  query.successes = 5;
  query.searched = true;
  query.complete = false;
  query.failed_verdicts = 3;
  query.prefilled_tokens = 12345678901;
  query.seconds = 1.25;
  ResponseTrace right{{7, 8, 2}, {-0.5f, -1.25f, 0.0f}, FinishReason::kEos, true, {}, {}, {}};
  right.estimates = {{0, 8, 5, 0.625, 0.3, 0.9}, {1, 8, 8, 1.0}, {3, 0, 0, 1.0, 1.0, 1.0}};
  right.pivotal = {{1, 0.625, 1.0, 7, 9, 16, 15, 16, 3, 0.2, 0.5, 0.99, 123.5, 0.25, true},
                   {2, 0.1, 0.9, 8, -1, 0, 0, 0, 0}};
  right.alternatives = {{1, 9, -2.5f, 4, 1, 0.05, 0.7}, {2, 11, -0.5f, 1, 0, 0.0, 0.8}};
  ResponseTrace wrong{{9}, {-3.0f}, FinishReason::kLength, false, {}, {}, {}};
  query.responses = {right, wrong};
  query.rollouts = {
      {RolloutKind::kQuery, -1, 0, -1, {7, 8, 2}, {-0.5f, -1.25f, 0.0f}, FinishReason::kEos, true},
      {RolloutKind::kPrefix, 0, 3, -1, {}, {}, FinishReason::kLength, false},
      {RolloutKind::kRejected, 1, 1, 9, {4}, {-0.125f}, FinishReason::kEos, false},
      {RolloutKind::kLeaving, 0, 1, -1, {5}, {-4.0f}, FinishReason::kEos, true}};
  return query;
}

// Returns the fields of a struct as a tuple, which can be compared.
inline auto Fields(const RolloutTrace& r) {
  return std::tie(r.kind, r.response, r.position, r.forced, r.tokens, r.logprobs, r.finish,
                  r.success);
}
inline auto Fields(const PrefixEstimate& e) {
  return std::tie(e.position, e.samples, e.successes, e.mean, e.low, e.high);
}
inline auto Fields(const PivotalToken& p) {
  return std::tie(p.position, p.before, p.after, p.chosen, p.rejected, p.chosen_samples,
                  p.chosen_successes, p.rejected_samples, p.rejected_successes, p.low, p.high,
                  p.probability, p.evidence, p.gap_evidence, p.sequential);
}
inline auto Fields(const AlternativeToken& a) {
  return std::tie(a.position, a.token, a.logprob, a.samples, a.successes, a.low, a.high);
}

template <typename T>
void ExpectSameFields(const std::vector<T>& got, const std::vector<T>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(Fields(got[i]) == Fields(want[i])) << i;
}

inline void ExpectSame(const std::vector<QueryTrace>& got, const std::vector<QueryTrace>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    SCOPED_TRACE(want[i].id);
    const auto fields = [](const QueryTrace& q) {
      return std::tie(q.id, q.question, q.answer, q.other_answers, q.prompt, q.samples, q.successes,
                      q.searched, q.complete, q.failed_verdicts, q.prefilled_tokens, q.seconds);
    };
    EXPECT_TRUE(fields(got[i]) == fields(want[i]));
    ExpectSameFields(got[i].rollouts, want[i].rollouts);
    ASSERT_EQ(got[i].responses.size(), want[i].responses.size());
    for (std::size_t k = 0; k < got[i].responses.size(); ++k) {
      const auto of = [](const ResponseTrace& r) {
        return std::tie(r.tokens, r.logprobs, r.finish, r.success);
      };
      EXPECT_TRUE(of(got[i].responses[k]) == of(want[i].responses[k])) << "response " << k;
      ExpectSameFields(got[i].responses[k].estimates, want[i].responses[k].estimates);
      ExpectSameFields(got[i].responses[k].pivotal, want[i].responses[k].pivotal);
      ExpectSameFields(got[i].responses[k].alternatives, want[i].responses[k].alternatives);
    }
  }
}

}  // namespace pivotal::testing
