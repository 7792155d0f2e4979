// Apache-2.0.
#include "data/stop_strings.h"

#include <gtest/gtest.h>

#include "data/error.h"
#include "tests/data/byte_tokenizer.h"

namespace pivotal::data {
namespace {

using testing::ByteTokenizer;

std::vector<TokenId> Ids(std::string_view text) { return ByteTokenizer().Encode(text); }

TEST(StopStrings, EndsWithTheTokenThatCompletesOne) {
  const ByteTokenizer tokenizer;
  const StopStrings stops(tokenizer, {"\n\nQ", "STOP"});
  const auto response = Ids("7 * 8\n\n\nQuestion");
  for (std::size_t count = 1; count <= response.size(); ++count) {
    const bool complete = std::string("7 * 8\n\n\nQuestion").substr(0, count).find("\n\nQ") != std::string::npos;
    if (count <= 9) EXPECT_EQ(stops.Ends(std::span(response).first(count)), complete) << count;
  }
  EXPECT_TRUE(stops.Ends(Ids("aSTOP")));
  EXPECT_FALSE(stops.Ends(Ids("aSTO")));
  EXPECT_FALSE(stops.Ends({}));
  EXPECT_FALSE(StopStrings(tokenizer, {}).Ends(Ids("a")));
}

// A token may hold more than the end of the text.
TEST(StopStrings, LooksInsideTokens) {
  const ByteTokenizer tokenizer;
  EXPECT_TRUE(StopStrings(tokenizer, {"x "}).Ends(std::vector<TokenId>{'x', ByteTokenizer::kBlank4}));
  EXPECT_TRUE(StopStrings(tokenizer, {" "}).Ends(std::vector<TokenId>{'x', ByteTokenizer::kBlank4}));
}

// Tokens that print nothing don't hide what stands before them.
TEST(StopStrings, SeesPastSilentTokens) {
  const ByteTokenizer tokenizer;
  std::vector<TokenId> response = Ids("xxxxxxxxxxxxxxxxxxxxxxxxxSTO");
  response.insert(response.end(), 50, ByteTokenizer::kBos);
  response.push_back('P');
  EXPECT_TRUE(StopStrings(tokenizer, {"STOP"}).Ends(response));
}

TEST(StopStrings, CutsTheText) {
  const ByteTokenizer tokenizer;
  const StopStrings stops(tokenizer, {"\n\n", "END"});
  EXPECT_EQ(stops.Before("a END b\n\n"), "a ");
  EXPECT_EQ(stops.Before("a\n\nEND"), "a");
  EXPECT_EQ(stops.Before("a\nEN"), "a\nEN");
  EXPECT_EQ(stops.Certain("a\n"), "a");
  EXPECT_EQ(stops.Certain("a\nEN"), "a\n");
  EXPECT_EQ(stops.Certain("a\nENb"), "a\nENb");
  EXPECT_EQ(stops.Certain("aENDb"), "a");
  EXPECT_EQ(stops.Certain(""), "");
}

TEST(StopStrings, RefusesAnEmptyText) {
  const ByteTokenizer tokenizer;
  EXPECT_THROW(StopStrings(tokenizer, {"a", ""}), Error);
}

}  // namespace
}  // namespace pivotal::data
