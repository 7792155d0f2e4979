// Apache-2.0. pivotal score and pivotal info; tests/model/parity_test.cc compares the numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::Pivotal;

class Score : public testing::CliTest {
 protected:
  testing::CommandResult Run(const std::string& input, const std::string& more = "") {
    const auto in = temp_.Write("in.jsonl", input);
    std::filesystem::remove(out_);
    return Pivotal("score --model " + testing::kTinyModel + " --input " + in.string() +
                   " --output " + out_.string() + " " + more);
  }
  std::vector<json> Lines() const { return testing::JsonLines(out_); }
  std::filesystem::path out_ = temp_.path() / "out.jsonl";
};

TEST_F(Score, RepeatsLinesInOrderAndAddsLogProbs) {
  const auto result = Run(
      R"({"prompt": "Question: 47 times 6?\nAnswer:", "completion": " 47*6: 40*6=240", "tag": [1, "x"]})"
      "\n"
      R"({"prompt_ids": [1, 300], "completion_ids": []})"
      "\n"
      R"({"prompt_ids": [1, 300], "completion_ids": [301, 5, 6]})"
      "\n");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("3 lines"));
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["tag"], json::parse(R"([1, "x"])"));
  EXPECT_EQ(lines[0]["completion_ids"].size(), lines[0]["logprobs"].size());
  EXPECT_GT(lines[0]["logprobs"].size(), 8u);
  EXPECT_EQ(lines[1]["logprobs"].size(), 0u);
  EXPECT_EQ(lines[2]["logprobs"].size(), 3u);
  for (const json& value : lines[0]["logprobs"]) EXPECT_LE(value.get<double>(), 0);
}

TEST_F(Score, MessagesAreTheTextOfThePromptFormat) {
  const auto result = Run(
      R"({"prompt": [{"role": "user", "content": "47*6?"}], "completion": [{"role": "assistant", "content": "2"}]})"
      "\n"
      R"({"prompt": "Question: 47*6?\nAnswer:", "completion": " 2\n\n"})"
      "\n");
  ASSERT_EQ(result.code, 0) << result.output;
  const auto lines = Lines();
  EXPECT_GT(lines[0]["completion_ids"].size(), 1u);
  EXPECT_EQ(lines[0]["completion_ids"], lines[1]["completion_ids"]);
  EXPECT_EQ(lines[0]["logprobs"], lines[1]["logprobs"]);
}

// A line has the same log-probabilities in any batch.
TEST_F(Score, BatchesDoNotMatter) {
  std::string input;
  for (int i = 0; i < 40; ++i)
    input += R"({"prompt": "Question: )" + std::string(static_cast<std::size_t>(i % 7), 'a') +
             R"(", "completion": "47*6: )" +
             std::string(static_cast<std::size_t>(1 + i % 11), '4') + "\"}\n";
  ASSERT_EQ(Run(input, "--batch-tokens 1").code, 0);
  const auto alone = Lines();
  ASSERT_EQ(Run(input).code, 0);
  const auto together = Lines();
  ASSERT_EQ(alone.size(), 40u);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    const auto a = alone[i]["logprobs"].get<std::vector<double>>();
    const auto b = together[i]["logprobs"].get<std::vector<double>>();
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t t = 0; t < a.size(); ++t) EXPECT_NEAR(a[t], b[t], 1e-4) << i << " " << t;
  }
}

TEST_F(Score, RefusesBadLines) {
  const auto message = [&](const std::string& text) {
    const auto result = Run(R"({"prompt": "a", "completion": "b"})"
                            "\n" +
                            text + "\n");
    EXPECT_EQ(result.code, 1);
    EXPECT_FALSE(std::filesystem::exists(out_));
    return result.output;
  };
  EXPECT_THAT(message("no json"), HasSubstr("in.jsonl:2"));
  EXPECT_THAT(message(R"({"prompt": "a"})"), HasSubstr("no key \"completion\""));
  EXPECT_THAT(message(R"({"prompt_ids": [1]})"), HasSubstr("give both"));
  EXPECT_THAT(message(R"({"prompt_ids": [1], "completion_ids": [768]})"), HasSubstr("0 to 767"));
  EXPECT_THAT(message(R"({"prompt_ids": [], "completion_ids": [7]})"),
              HasSubstr("the prompt has no tokens"));
  std::string many = "5";
  for (int i = 0; i < 256; ++i) many += ",5";
  EXPECT_THAT(message(R"({"prompt_ids": [1], "completion_ids": [)" + many + "]}"),
              HasSubstr("258 tokens, but the model has 256 positions"));
}

TEST(Info, DescribesTheShippedModel) {
  const auto result = Pivotal("info --model " + testing::kTinyModel);
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("1083008 (1.08 million)"));
  EXPECT_THAT(result.output, HasSubstr("Phi3ForCausalLM"));
  EXPECT_THAT(result.output, HasSubstr("4.13 MiB in 1 file, F32"));
}

// The folder holds Phi-2's config alone: 2.78 billion weights, for each of which AdamW in float32
// needs four numbers.
TEST(Info, NeedsOnlyAConfig) {
  const testing::TempDir temp;
  temp.Write("config.json", R"({"architectures": ["PhiForCausalLM"], "hidden_size": 2560,
    "intermediate_size": 10240, "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 51200,
    "hidden_act": "gelu_new", "partial_rotary_factor": 0.4, "max_position_embeddings": 2048})");
  const auto result = Pivotal("info --model " + temp.path().string());
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("2779683840 (2.78 billion)"));
  EXPECT_THAT(result.output, HasSubstr("none in this folder"));
  EXPECT_THAT(result.output, HasSubstr("10.36 GiB"));  // 2779683840 * 4 bytes
  EXPECT_THAT(result.output, HasSubstr("41.42 GiB"));  // * 16 bytes
}

}  // namespace
}  // namespace pivotal
