// Apache-2.0. Bad input is answered with one line and exit code 2 (usage) or 1 (failure).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <sstream>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::kTiny;
using testing::Pivotal;

class BadInput : public testing::CliTest {
 protected:
  std::string Search(const std::string& model, const std::string& problems,
                     const std::string& more = "") {
    return "search --model " + model + " --problems " + problems + " --output " + Path("run") +
           " --limit 2 --samples 4 --max-new-tokens 64 " + more;
  }
  // Copies the tiny model without `file`.
  std::string ModelWithout(const std::string& file) const {
    fs::copy(kTiny + "/model", Path("model"));
    fs::remove(Path("model") + "/" + file);
    return Path("model");
  }
  void ExpectFailure(const std::string& arguments, const std::string& text, int code = 1) {
    const auto result = Pivotal(arguments);
    EXPECT_EQ(result.code, code) << result.output;
    EXPECT_THAT(result.output, HasSubstr(text));
    if (code == 1) {
      EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
    }
    EXPECT_FALSE(fs::exists(Path("run")))
        << "nothing is written before the input is known to be good";
  }
  const std::string model_ = testing::kTinyModel, train_ = kTiny + "/problems/train.jsonl";
};

TEST_F(BadInput, Usage) {
  ExpectFailure("", "A subcommand is required", 2);
  ExpectFailure("serach", "A subcommand is required", 2);
  ExpectFailure(Search(model_, train_, "--gap 1"), "--gap", 2);
  ExpectFailure(Search(model_, train_, "--gap 0"), "(both excluded)", 2);
  ExpectFailure(Search(model_, train_, "--gap many"), "--gap", 2);
  ExpectFailure(Search(model_, train_, "--samples 0"), "--samples", 2);
  ExpectFailure(Search(model_, train_, "--top-p 0"), "--top-p", 2);
  ExpectFailure("search --model x --problems y", "--output is required", 2);
  ExpectFailure("train --model x --data y --output z --beta 0", "--beta", 2);
  EXPECT_EQ(Pivotal("--help").code, 0);
  EXPECT_EQ(Pivotal("search --help").code, 0);
}

// Every option of a whole number whose help names no range. The help texts are docs/commands.md,
// which another test compares with the program.
TEST_F(BadInput, CountsThatAreNone) {
  std::istringstream page(data::ReadFile(PIVOTAL_SOURCE_DIR "/docs/commands.md"));
  const std::regex heading("## pivotal (.*)"), count(" +(--[a-z-]+) U?INT(?!:INT in).*");
  std::string command;
  std::smatch found;
  int options = 0;
  for (std::string line; std::getline(page, line);) {
    if (std::regex_match(line, found, heading)) command = found[1];
    if (!std::regex_match(line, found, count)) continue;
    ++options;
    for (const char* value : {"-1", "99999999999999999999", "010"})
      ExpectFailure(fmt::format("{} {}={}", command, found[1].str(), value), found[1].str() + ": ",
                    2);
  }
  EXPECT_GE(options, 15);
  ExpectFailure(Search(model_, train_, "--limit -1"), "--limit: -1 is not a whole number", 2);
  ExpectFailure(Search(model_, train_, "--limit 99999999999999999999"), "is too large", 2);
}

TEST_F(BadInput, ModelFolder) {
  ExpectFailure(Search(Path("nowhere"), train_), "nowhere: no such folder");
  ExpectFailure(Search(ModelWithout("model.safetensors"), train_), "model.safetensors");
}

TEST_F(BadInput, TruncatedWeights) {
  const std::string model = ModelWithout("generation_config.json");
  fs::resize_file(model + "/model.safetensors", 100000);
  ExpectFailure(Search(model, train_), "model.safetensors");
}

TEST_F(BadInput, OtherArchitecture) {
  const std::string model = ModelWithout("config.json");
  temp_.Write("model/config.json", R"({"architectures": ["MistralForCausalLM"]})");
  ExpectFailure(Search(model, train_), "MistralForCausalLM is not supported");
}

TEST_F(BadInput, TokenizerThatDoesNotFitTheVocabulary) {
  const std::string model = ModelWithout("tokenizer.model");
  const std::string config = data::ReadFile(model + "/config.json"), size = "\"vocab_size\": 768";
  temp_.Write("model/config.json",
              std::string(config).replace(config.find(size), size.size(), "\"vocab_size\": 700"));
  ExpectFailure(Search(model, train_),
                "the tokenizer has 768 ids, but config.json has vocab_size 700");
}

TEST_F(BadInput, Problems) {
  ExpectFailure(Search(model_, Path("none.jsonl")), "none.jsonl");
  const auto bad = [&](const char* text) {
    return temp_
        .Write("p.jsonl", std::string(R"({"question": "1+1?", "answer": "2"})") + "\n" + text)
        .string();
  };
  ExpectFailure(Search(model_, bad("{not json}\n")), "p.jsonl:2");
  ExpectFailure(Search(model_, bad("{\"question\": \"?\"}\n")), "no key \"answer\"");
  ExpectFailure(Search(model_, train_, "--question-key prompt"), "--question-key");
  ExpectFailure(Search(model_, train_, "--oracle wise"), "wise");
  ExpectFailure(Search(model_, train_, "--oracle 'regex:('"), "regex");
  ExpectFailure(Search(model_, train_, "--max-new-tokens 5000"), "positions");
}

TEST_F(BadInput, AnswersThatTheOracleCannotRead) {
  const auto file = temp_.Write("p.jsonl", R"({"question": "1+1?", "answer": "two"})"
                                           "\n");
  ExpectFailure(Search(model_, file.string()),
                "problem 1: the oracle hash finds nothing to compare");
  ExpectFailure("eval --model " + model_ + " --problems " + file.string(),
                "choose another --oracle");
}

TEST_F(BadInput, ExistingOutput) {
  fs::create_directory(Path("full"));
  temp_.Write("full/keep", "me");
  const auto result = Pivotal("search --model " + model_ + " --problems " + train_ +
                              " --max-new-tokens 64 --output " + Path("full"));
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, HasSubstr("--output"));
  EXPECT_TRUE(fs::exists(Path("full/keep")));
}

TEST_F(BadInput, Pairs) {
  ExpectFailure("pairs " + Path("none"), "run.toml");
  const auto pairs = temp_.Write("pairs.jsonl", R"({"prompt": "a", "chosen": "b"})"
                                                "\n");
  ExpectFailure(
      "train --model " + model_ + " --data " + pairs.string() + " --output " + Path("run"),
      "pairs.jsonl:1");
}

TEST_F(BadInput, Device) { ExpectFailure(Search(model_, train_, "--device tpu"), "--device tpu"); }

// A limit on the size of files simulates a full disk.
TEST_F(BadInput, FullDisk) {
  const auto result = testing::RunCommand("ulimit -f 8; " + std::string(PIVOTAL_BINARY) + " " +
                                          Search(model_, train_, "--samples 64"));
  EXPECT_EQ(result.code, 1) << result.output;
  EXPECT_THAT(result.output, HasSubstr(Path("run")));
  EXPECT_THAT(result.output, HasSubstr("file too large"));
}

// A run keeps what it stored before the disk was full, and continues from there.
TEST_F(BadInput, FullDiskLosesNothing) {
  const std::string more = " --limit 4 --samples 4 --confirm 4 --group 1";
  ASSERT_EQ(Pivotal(Search(model_, train_, more)).code, 0);
  fs::rename(Path("run"), Path("whole"));
  // Room for each shard, but not for all of them in one file.
  const auto blocks = (fs::file_size(Path("whole/traces.h5")) - 1) / 512;
  const auto result = testing::RunCommand(
      fmt::format("ulimit -f {}; {} {}", blocks, PIVOTAL_BINARY, Search(model_, train_, more)));
  EXPECT_EQ(result.code, 1) << result.output;
  EXPECT_THAT(result.output, HasSubstr("file too large"));
  EXPECT_FALSE(fs::is_empty(Path("run/shards")));
  EXPECT_EQ(Pivotal("search --resume " + Path("run")).code, 0);
  for (const char* run : {"run", "whole"}) EXPECT_EQ(Pivotal("pairs " + Path(run)).code, 0);
  EXPECT_EQ(data::ReadFile(Path("run/pairs.jsonl")), data::ReadFile(Path("whole/pairs.jsonl")));
}

}  // namespace
}  // namespace pivotal
