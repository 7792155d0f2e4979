// Apache-2.0.
#include "data/base/json_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using ::testing::AllOf;
using testing::ErrorText;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string ParseError(const std::string& text) {
  return ErrorText([&] { ParseJsonObject(text, "f.jsonl:3"); });
}

TEST(JsonInput, FaultsNameThePlace) {
  EXPECT_THAT(ParseError("{\"a\": x}"), StartsWith("f.jsonl:3: not JSON: parse error at column"));
  EXPECT_THAT(ParseError("[1]"), StartsWith("f.jsonl:3: a JSON object is needed, this is array"));
  EXPECT_THAT(ParseError(""), StartsWith("f.jsonl:3: not JSON"));
  EXPECT_THAT(ParseError("{\"a\": \"\xFF\"}"), StartsWith("f.jsonl:3: not JSON"));
  EXPECT_THAT(ParseError("{\"a\": \"\\ud800\"}"), StartsWith("f.jsonl:3: not JSON"));
  EXPECT_THAT(ParseError("{\"a\": 1e999}"), StartsWith("f.jsonl:3: not JSON"));
  EXPECT_THAT(ParseError("{\"a\": \"\n\"}"), Not(HasSubstr("\n"))) << "one line";
}

TEST(JsonInput, DeepNestingIsRefusedNotFollowed) {
  EXPECT_THAT(ParseError(std::string("{\"a\":").append(5'000'000, '[')),
              StartsWith("f.jsonl:3: JSON nested deeper than 32 levels"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(ParseError(objects), HasSubstr("nested deeper"));
}

TEST(JsonInput, TooManyValuesAreRefused) {
  std::string text = "{\"a\":[0";
  for (int i = 0; i < 4'000'000; ++i) text += ",0";
  EXPECT_THAT(ParseError(text + "]}"), HasSubstr("more than 4000000 values"));
}

TEST(JsonInput, KeepsOnlyTheKeysAskedFor) {
  const auto object = ParseJsonObject(R"({"a": {"b": 1}, "b": [1, {"a": 2}]})", "f",
                                      [](std::string_view key) { return key == "b"; });
  EXPECT_EQ(object.dump(), R"({"b":[1,{"a":2}]})");
}

TEST(JsonInput, KeysThatStandTwiceAreRefused) {
  EXPECT_EQ(ParseError(R"({"a": 1, "b": 2, "a": 1})"), "f.jsonl:3: the key \"a\" stands twice");
  EXPECT_THAT(ParseError(R"({"a": [{"b": {}, "\u0062": 1}]})"),
              HasSubstr("the key \"b\" stands twice"));
  EXPECT_EQ(ParseError(R"({"a": {"a": 1, "b": 2}, "b": [{"a": 1}, {"a": 1}], "c": {"a": 1}})"),
            "(no Error)");
  // Values that are not kept are checked too.
  const auto keep_b = [](std::string_view key) { return key == "b"; };
  const auto error = [&](const char* text) {
    return ErrorText([&] { ParseJsonObject(text, "f", keep_b); });
  };
  EXPECT_EQ(error(R"({"a": {"x": {"y": 1}}, "b": {"y": 1}, "c": {"x": 1}})"), "(no Error)");
  EXPECT_THAT(error(R"({"a": {"x": 1, "x": 2}})"), HasSubstr("the key \"x\" stands twice"));
  EXPECT_THAT(error(R"({"a": {"x": {}}, "b": 1, "b": 2})"),
              HasSubstr("the key \"b\" stands twice"));
}

TEST(JsonInput, AMissingKeyIsReportedWithThoseThatAreThere) {
  const auto object = ParseJsonObject(R"({"id": 1, "prompt": "x"})", "f");
  EXPECT_EQ(ErrorText([&] {
              RequireKey(object, "question", "train.jsonl:17",
                         "choose another with --question-key");
            }),
            "train.jsonl:17: no key \"question\" (keys: id, prompt); "
            "choose another with --question-key");
  EXPECT_EQ(ErrorText([&] { RequireString(object, "id", "f:1"); }),
            "f:1: key \"id\" must be a string, not number");
}

TEST(JsonInput, IntegersAreCheckedForRangeAndType) {
  const auto object =
      ParseJsonObject(R"({"a": 7, "b": 7.5, "c": 18446744073709551615, "d": "7", "e": -1})", "f");
  EXPECT_EQ(CheckedInteger(object["a"], 0, 7, "a", "f"), 7);
  EXPECT_EQ(ErrorText([&] { CheckedInteger(object["a"], 0, 6, "a", "f"); }),
            "f: a must be an integer from 0 to 6, not 7");
  for (const char* key : {"b", "c", "d", "e"}) {
    EXPECT_THAT(ErrorText([&] { CheckedInteger(object[key], 0, INT64_MAX, key, "f"); }),
                HasSubstr("must be an integer"))
        << key;
  }
}

TEST(JsonInput, QuotedIsOneShortLine) {
  EXPECT_EQ(Quoted("a\nb\"c"), "\"a\\nb\\\"c\"");
  EXPECT_EQ(Quoted(std::string(100, 'x')), fmt::format("\"{}\"...", std::string(80, 'x')));
  EXPECT_EQ(Quoted("\xFF"), "\"\uFFFD\"");
}

TEST(JsonLineReader, CountsBlankLinesAndTakesAnyLineEnd) {
  const testing::TempDir folder;
  const auto path = folder.Write("f.jsonl", "\n{\"a\":1}\r\n  \r\n{\"a\":2}");
  JsonLineReader lines(path);
  nlohmann::json object;
  ASSERT_TRUE(lines.Next(object));
  EXPECT_EQ(lines.line(), 2u);
  ASSERT_TRUE(lines.Next(object));
  EXPECT_EQ(lines.line(), 4u);
  EXPECT_EQ(object["a"], 2);
  EXPECT_EQ(lines.Where(), path.string() + ":4");
  EXPECT_FALSE(lines.Next(object));
}

TEST(JsonLineReader, SaysWhyAFileCannotBeRead) {
  const testing::TempDir folder;
  EXPECT_THAT(ErrorText([&] { JsonLineReader(folder.path() / "none"); }),
              HasSubstr("none: no such file or directory"));
  EXPECT_THAT(ErrorText([&] { JsonLineReader(folder.path()); }), HasSubstr("is a folder"));
}

// A pipe may be filled only after its reader is there.
TEST(JsonLineReader, ReadsNothingBeforeTheFirstLine) {
  const testing::TempDir folder;
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int kept = ::open(pipe.c_str(), O_RDWR);
  JsonLineReader lines(pipe);  // would wait here for ever
  ASSERT_EQ(::write(kept, "{\"a\": 1}\n", 9), 9);
  nlohmann::json object;
  EXPECT_TRUE(lines.Next(object));
  EXPECT_EQ(object["a"], 1);
  ::close(kept);
}

TEST(JsonLineReader, AnEndlessLineEnds) {
  JsonLineReader lines("/dev/zero");
  nlohmann::json object;
  EXPECT_EQ(ErrorText([&] { lines.Next(object); }), "/dev/zero:1: line longer than 64 MiB");
}

}  // namespace
}  // namespace pivotal::data
