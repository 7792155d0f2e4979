// Apache-2.0. Compares traces field by field.
#pragma once

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "data/trace.h"

namespace pivotal::testing {

inline auto Fields(const data::RolloutTrace& r) {
  return std::tie(r.kind, r.response, r.position, r.forced, r.tokens, r.logprobs, r.finish,
                  r.success);
}
inline auto Fields(const data::PrefixEstimate& e) {
  return std::tie(e.position, e.samples, e.successes, e.mean, e.low, e.high);
}
inline auto Fields(const data::PivotalToken& p) {
  return std::tie(p.position, p.before, p.after, p.chosen, p.rejected, p.chosen_samples,
                  p.chosen_successes, p.rejected_samples, p.rejected_successes, p.low, p.high,
                  p.probability);
}
inline auto Fields(const data::AlternativeToken& a) {
  return std::tie(a.position, a.token, a.logprob, a.samples, a.successes, a.low, a.high);
}

template <typename T>
void ExpectSameFields(const std::vector<T>& got, const std::vector<T>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(Fields(got[i]) == Fields(want[i])) << i;
}

inline void ExpectSame(const std::vector<data::QueryTrace>& got,
                       const std::vector<data::QueryTrace>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    SCOPED_TRACE(want[i].id);
    const auto fields = [](const data::QueryTrace& q) {
      return std::tie(q.id, q.question, q.answer, q.prompt, q.samples, q.successes, q.searched,
                      q.complete, q.prefilled_tokens, q.seconds);
    };
    EXPECT_TRUE(fields(got[i]) == fields(want[i]));
    ExpectSameFields(got[i].rollouts, want[i].rollouts);
    ASSERT_EQ(got[i].responses.size(), want[i].responses.size());
    for (std::size_t k = 0; k < got[i].responses.size(); ++k) {
      const auto of = [](const data::ResponseTrace& r) {
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
