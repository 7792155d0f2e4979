// Apache-2.0. Traces with something in every field.
#pragma once

#include <string>
#include <vector>

#include "data/trace.h"

namespace pivotal::testing {

inline data::QueryTrace EmptyTrace(const std::string& id) {
  data::QueryTrace query;
  query.id = id;
  return query;
}

inline data::QueryTrace ExampleTrace(const std::string& id) {
  data::QueryTrace query;
  query.id = id;
  query.question = "1 + 1?\nLine two, 日本 😀";
  query.answer = "2";
  query.prompt = {1, 20, 300, 31999};
  query.samples = 8;
  query.successes = 5;
  query.searched = true;
  query.complete = false;
  query.prefilled_tokens = 12345678901;
  query.seconds = 1.25;
  data::ResponseTrace right{{7, 8, 2}, {-0.5f, -1.25f, 0.0f}, data::FinishReason::kEos, true, {},
                            {}, {}};
  right.estimates = {{0, 8, 5, 0.625, 0.3, 0.9}, {1, 8, 8, 1.0}, {3, 0, 0, 1.0, 1.0, 1.0}};
  right.pivotal = {{1, 0.625, 1.0, 7, 9, 16, 15, 16, 3, 0.2, 0.5, 0.99},
                   {2, 0.1, 0.9, 8, -1, 0, 0, 0, 0}};
  right.alternatives = {{1, 9, -2.5f, 4, 1, 0.05, 0.7}, {2, 11, -0.5f, 1, 0, 0.0, 0.8}};
  data::ResponseTrace wrong{{9}, {-3.0f}, data::FinishReason::kLength, false, {}, {}, {}};
  query.responses = {right, wrong};
  query.rollouts = {
      {data::RolloutKind::kQuery,
       -1,
       0,
       -1,
       {7, 8, 2},
       {-0.5f, -1.25f, 0.0f},
       data::FinishReason::kEos,
       true},
      {data::RolloutKind::kPrefix, 0, 3, -1, {}, {}, data::FinishReason::kLength, false},
      {data::RolloutKind::kRejected, 1, 1, 9, {4}, {-0.125f}, data::FinishReason::kEos, false},
      {data::RolloutKind::kLeaving, 0, 1, -1, {5}, {-4.0f}, data::FinishReason::kEos, true}};
  return query;
}

}  // namespace pivotal::testing
