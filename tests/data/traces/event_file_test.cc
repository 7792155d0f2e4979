// Apache-2.0.
#include "data/traces/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The example in the documentation of codelion/pts.
constexpr const char* kDocumented =
    R"({"schema_version": "1.0", "event_id": "token_evt_d1ac89c8fe71", "event_type": "pivotal_token", )"
    R"("granularity": "token", "visibility": "emitted", "model_id": "Qwen/Qwen3-0.6B", "query": "What is 17 * 24?", )"
    R"("context": "Let me compute 17 * 24.", "label": " Wait", "position": 73, "token_id": 13824, "prob_before": 0.35, )"
    R"("prob_after": 0.67, "prob_delta": 0.32, "score": 0.32, "is_positive": true, "search_method": "token_pts", )"
    R"("intervention_type": "append_token", "category": "self_correction", "linked_event_ids": ["latent_evt_8"], )"
    R"("metadata": {"pivot_token": " Wait", "prob_threshold": 0.2}})";

class EventFileTest : public ::testing::Test {
 protected:
  EventFile Load(const std::string& text) const {
    return LoadEvents(temp_.Write("events.jsonl", text));
  }
  std::string Fault(const std::string& text) const {
    return testing::ErrorText([&] { Load(text); });
  }
  testing::TempDir temp_;
};

TEST_F(EventFileTest, ReadsTheDocumentedEvent) {
  const auto file = Load(std::string(kDocumented) + "\n");
  ASSERT_EQ(file.events.size(), 1u);
  const PivotalEvent& event = file.events[0];
  EXPECT_EQ(event.query, "What is 17 * 24?");
  EXPECT_EQ(event.context, "Let me compute 17 * 24.");
  EXPECT_EQ(event.label, " Wait");
  EXPECT_EQ(event.position, 73);
  EXPECT_EQ(event.token, 13824);
  EXPECT_EQ(event.before, 0.35);
  EXPECT_EQ(event.after, 0.67);
  EXPECT_TRUE(event.prefix.empty());
  EXPECT_EQ(event.prompt_tokens, -1);
  EXPECT_EQ(event.pivotal.chosen, -1);
}

TEST_F(EventFileTest, KeepsAnswers) {
  PivotalEvent one = Load(std::string(kDocumented) + "\n").events[0], several = one;
  one.answer = "408";
  several.answer = "408";
  several.other_answers = {"four hundred"};
  SaveEvents(temp_.path() / "saved.jsonl", {one, several}, 0.2, "2025-01-01T00:00:00");
  const auto read = LoadEvents(temp_.path() / "saved.jsonl").events;
  EXPECT_EQ(read[0].answer, "408");
  EXPECT_TRUE(read[0].other_answers.empty());
  EXPECT_EQ(read[1].answer, "408");
  EXPECT_THAT(read[1].other_answers, ElementsAre("four hundred"));
}

TEST_F(EventFileTest, ReadsFilesFromBeforeTheSchemaAndSkipsOtherEvents) {
  const auto file = Load(
      R"({"model_id": "m", "query": "q", "pivot_context": "c", "pivot_token": "t", "pivot_token_id": 5, )"
      R"("prob_before": 0, "prob_after": 1, "prob_delta": 1, "is_positive": true, "task_type": "math", )"
      R"("dataset_id": null, "dataset_item_id": null, "timestamp": "2025-01-01T00:00:00"})"
      "\n\n"
      R"({"schema_version": "1.0", "event_type": "thought_anchor", "query": "q"})"
      "\n");
  ASSERT_EQ(file.events.size(), 1u);
  EXPECT_EQ(file.events[0].token, 5);
  EXPECT_EQ(file.events[0].item_id, "");
  EXPECT_EQ(file.skipped, 1);
}

TEST_F(EventFileTest, WhatIsWrittenIsRead) {
  PivotalEvent event;
  event.model_id = "phi";
  event.item_id = "p/1";
  event.query = "1 + 1?";
  event.context = "1 + 1? It is \"";
  event.label = "\xF0\x9F";  // half a character
  event.position = 4;
  event.token = 7;
  event.before = 0.25;
  event.after = 0.75;
  event.prefix = {1, 2, 3, 4};
  event.prompt_tokens = 2;
  event.answer = "2";
  event.logprob = -0.5f;
  event.pivotal = {3, 0.25, 0.75, 7, 9, 32, 24, 32, 8, 0.3, 0.7, 0.99, 123.5, 0.25, true};
  const auto path = temp_.path() / "out.jsonl";
  SaveEvents(path, {event, event}, 0.2, "2026-01-01T00:00:00");
  const auto file = LoadEvents(path);
  ASSERT_EQ(file.events.size(), 2u);
  const PivotalEvent& read = file.events[1];
  EXPECT_EQ(read.item_id, event.item_id);
  EXPECT_EQ(read.context, event.context);
  EXPECT_EQ(read.prefix, event.prefix);
  EXPECT_EQ(read.prompt_tokens, 2);
  EXPECT_EQ(read.answer, "2");
  EXPECT_EQ(read.logprob, -0.5f);
  EXPECT_EQ(read.pivotal.chosen, 7);
  EXPECT_EQ(read.pivotal.rejected_successes, 8);
  EXPECT_EQ(read.pivotal.low, 0.3);
  EXPECT_EQ(read.pivotal.probability, 0.99);
  EXPECT_EQ(read.pivotal.evidence, 123.5);
  EXPECT_EQ(read.pivotal.gap_evidence, 0.25);
  EXPECT_TRUE(read.pivotal.sequential);
}

// Files of older versions have a pair without evidence.
TEST_F(EventFileTest, PairsWithoutEvidenceAreRead) {
  std::string text = kDocumented;
  const std::string last = "\"prob_threshold\": 0.2";
  text.replace(text.find(last), last.size(),
               R"("pair": {"chosen_id": 1, "chosen_samples": 4, "chosen_successes": 3, )"
               R"("rejected_id": 2, "rejected_samples": 4, "rejected_successes": 0})");
  const PivotalToken token = Load(text + "\n").events.at(0).pivotal;
  EXPECT_EQ(token.chosen_successes, 3);
  EXPECT_EQ(token.evidence, 0);
  EXPECT_EQ(token.gap_evidence, 0);
  EXPECT_FALSE(token.sequential);
}

TEST_F(EventFileTest, NamesTheLineAndTheFault) {
  const std::string good = std::string(kDocumented) + "\n";
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = kDocumented;
    return good + text.replace(text.find(from), from.size(), to) + "\n";
  };
  EXPECT_THAT(Fault(with("0.67", "1.67")),
              AllOf(HasSubstr("events.jsonl:2"), HasSubstr("prob_after")));
  EXPECT_THAT(Fault(with("\"1.0\"", "\"3.0\"")),
              AllOf(HasSubstr(":2"), HasSubstr("schema_version is \"3.0\"")));
  EXPECT_THAT(Fault(with("\"label\": \" Wait\", ", "")),
              AllOf(HasSubstr(":2"), HasSubstr("label")));
  EXPECT_THAT(Fault(with("13824", "-1")), AllOf(HasSubstr(":2"), HasSubstr("token_id")));
  EXPECT_THAT(Fault(with("\"prob_threshold\": 0.2", "\"prefix_ids\": [1, -2]")),
              HasSubstr("prefix_ids"));
  EXPECT_THAT(Fault(with("\"prob_threshold\": 0.2", "\"prompt_tokens\": 2")),
              HasSubstr("prompt_tokens is 2"));
  EXPECT_THAT(
      Fault(with("\"prob_threshold\": 0.2",
                 R"("pair": {"chosen_id": 1, "chosen_samples": 2, "chosen_successes": 3})")),
      HasSubstr("3 successes of 2"));
  const auto pair_fault = [&](const std::string& evidence) {
    return Fault(with("\"prob_threshold\": 0.2",
                      R"("pair": {"chosen_id": 1, "chosen_samples": 2, "chosen_successes": 2, )"
                      R"("rejected_id": 2, "rejected_samples": 2, "rejected_successes": 0, )" +
                          evidence + "}"));
  };
  EXPECT_EQ(pair_fault(R"("evidence": 4, "sequential": true)"), "(no Error)");
  EXPECT_THAT(pair_fault(R"("evidence": "much")"),
              AllOf(HasSubstr(":2"), HasSubstr("\"evidence\" must be a number")));
  EXPECT_THAT(pair_fault(R"("gap_evidence": -1)"),
              HasSubstr("metadata.pair.gap_evidence is -1, must be 0 or larger"));
  for (const char* value : {"3", "null", "\"yes\""})
    EXPECT_THAT(pair_fault(std::string("\"sequential\": ") + value),
                AllOf(HasSubstr(":2"), HasSubstr("sequential")));
}

}  // namespace
}  // namespace pivotal::data
