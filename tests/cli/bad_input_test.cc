// Apache-2.0. Bad input is answered with one line and exit code 2 (usage) or 1 (failure).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
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
  ExpectFailure("", "a command is missing", 2);
  ExpectFailure("serach", "did you mean search?", 2);
  ExpectFailure(Search(model_, train_, "--gap 1"), "--gap", 2);
  ExpectFailure(Search(model_, train_, "--gap 0"), "0 is not above 0 and below 1", 2);
  ExpectFailure(Search(model_, train_, "--gap many"), "--gap", 2);
  ExpectFailure(Search(model_, train_, "--samples 0"), "--samples", 2);
  ExpectFailure(Search(model_, train_, "--top-p 0"), "--top-p: 0 is not above 0 and at most 1", 2);
  ExpectFailure(Search(model_, train_, "--top-p nan"), "nan is not above 0 and at most 1", 2);
  ExpectFailure(Search(model_, train_, "--min-p 1"), "--min-p: 1 is not at least 0 and below 1", 2);
  ExpectFailure(Search(model_, train_, "--confidence 1"), "1 is not at least 0.5 and below 1", 2);
  ExpectFailure(Search(model_, train_, "--temperature -1"), "-1 is not at least 0 and at most 100",
                2);
  ExpectFailure("train --model x --data y --output z --label-smoothing 0.5",
                "0.5 is not at least 0 and below 0.5", 2);
  ExpectFailure("train --model x --data y --output z --warmup-ratio 1",
                "1 is not at least 0 and below 1", 2);
  ExpectFailure("search --model x --problems y", "--output is required", 2);
  ExpectFailure("train --model x --data y --output z --beta 0", "--beta", 2);
  ExpectFailure("train --model x --data y --output z --loss sigmoid:0.5,hing",
                "loss \"hing\" is unknown: take one of sigmoid, hinge,", 2);
  ExpectFailure("train --model x --data y --output z --loss ipo:", "a number must follow the colon",
                2);
  ExpectFailure("train --model x --data y --output z --f-alpha 1", "--f-divergence", 2);
  ExpectFailure("train --model x --data y --output z --reference-mixup 0.5",
                "--reference-sync-steps", 2);
  EXPECT_EQ(Pivotal("--help").code, 0);
  EXPECT_EQ(Pivotal("search --help").code, 0);
}

// Every option of a whole number, once a name. The help texts are
// docs/commands.md, which another test compares with the program.
TEST_F(BadInput, CountsThatAreNone) {
  std::istringstream page(data::ReadFile(PIVOTAL_SOURCE_DIR "/docs/commands.md"));
  const std::regex heading("## pivotal (.*)"), count(" +(--[a-z-]+) N( .*|$)");
  std::string command;
  std::smatch found;
  std::set<std::string> options;
  for (std::string line; std::getline(page, line);) {
    if (std::regex_match(line, found, heading)) command = found[1];
    if (!std::regex_match(line, found, count)) continue;
    if (!options.insert(found[1]).second) continue;
    for (const char* value : {"-1", "99999999999999999999"})
      ExpectFailure(fmt::format("{} {}={}", command, found[1].str(), value), found[1].str() + ": ",
                    2);
  }
  EXPECT_GE(options.size(), 8u);
  ExpectFailure(Search(model_, train_, "--limit -1"), "--limit: -1 is not a whole number", 2);
  ExpectFailure(Search(model_, train_, "--limit 99999999999999999999"), "is too large", 2);
  for (const char* octal : {"--limit 010", "--samples 010", "--kv-memory 010GB"})
    ExpectFailure(Search(model_, train_, octal), "010 is not a whole number", 2);
}

// Scripts give empty values where a variable is not set.
TEST_F(BadInput, EmptyValues) {
  const std::string text = "the value is empty; give one, or leave the option out";
  const auto refuses = [&](const std::string& option, const std::string& command) {
    SCOPED_TRACE(command);
    ExpectFailure(command, option + ": " + text, 2);
  };
  refuses("--output", "search --model m --problems p --output ''");
  refuses("--model", "search --model '' --problems p --output o");
  refuses("--problems", "search --model m --problems '' --output o");
  refuses("--resume", "search --resume ''");
  refuses("--stop", "search --model m --problems p --output o --stop ''");
  refuses("--output", "train --model m --data d --output ''");
  refuses("--data", "train --model m --data '' --output o");
  refuses("--resume", "train --resume ''");
  refuses("--output", "pairs run --output ''");
  refuses("run", "pairs ''");
  refuses("run", "show ''");
  refuses("--model", "eval --model '' --problems p");
  refuses("--output", "merge-adapter --model m --adapter " + kTiny + " --output ''");
  refuses("--output", "demo --output ''");
}

// A file named "-" is what nobody wants.
TEST_F(BadInput, DashIsNoOutput) {
  for (const std::string command : {"curve run --output", "pairs run --output",
                                    "report run --output", "export run --format trl --output"})
    ExpectFailure(command + " -", "-: this command writes a file, not to standard output");
}

TEST_F(BadInput, SettingsBesideResume) {
  for (const std::string setting : {"--gap 0.5", "--oracle math", "--seed 3", "--for pairs",
                                    "--strategy pairs", "--model m", "--judge-threads 2"})
    ExpectFailure("search --resume " + Path("run") + " " + setting,
                  setting.substr(0, setting.find(' ')) + ": can't be changed with --resume", 2);
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

// Each command that reads weights names the tensor, and nothing comes of it.
TEST_F(BadInput, WeightsThatAreNotNumbers) {
  const std::string model = ModelWithout("generation_config.json");
  const fs::path file = fs::path(model) / "model.safetensors";
  std::string text = data::ReadFile(file);
  uint64_t header = 0;
  std::memcpy(&header, text.data(), 8);
  const auto offsets = nlohmann::json::parse(text.substr(8, header))
                           .at("model.layers.2.mlp.down_proj.weight")
                           .at("data_offsets");
  const float nan = std::nanf("");
  text.replace(8 + header + offsets[0].get<std::size_t>() + 40, 4,
               std::string(reinterpret_cast<const char*>(&nan), 4));
  temp_.Write("model/model.safetensors", text);
  temp_.Write("pairs.jsonl", testing::ProductPairs(2));
  temp_.Write("lines.jsonl", R"({"prompt": "1+1?", "completion": "2"})"
                             "\n");
  // An adapter for the same model.
  ASSERT_EQ(Pivotal("train --model " + model_ + " --data " + Path("pairs.jsonl") +
                    " --lora-rank 1 --max-steps 1 --output " + Path("adapter"))
                .code,
            0);
  const std::string with = " --model " + model + " ";
  for (const std::string& command :
       {Search(model, train_), "generate x --max-new-tokens 8" + with,
        "eval --max-new-tokens 8 --problems " + train_ + with,
        "score --input " + Path("lines.jsonl") + " --output " + Path("run") + with,
        "train --data " + Path("pairs.jsonl") + " --output " + Path("run") + with,
        "merge-adapter --adapter " + Path("adapter") + " --output " + Path("run") + with,
        "bench rollouts" + with, "info" + with})
    ExpectFailure(command, file.string() +
                               ": tensor \"model.layers.2.mlp.down_proj.weight\" holds NaN or "
                               "infinity, first at element 10 of 32768: the weights are damaged");
}

// The model of a run was damaged after its search.
TEST_F(BadInput, WeightsThatAreNotNumbersInAnExport) {
  fs::copy(model_, Path("model"));
  ASSERT_EQ(Pivotal(Search(Path("model"), train_)).code, 0);
  fs::rename(Path("run"), Path("searched"));
  const std::size_t middle = fs::file_size(Path("model/model.safetensors")) / 2 / 4 * 4;
  std::fstream file(Path("model/model.safetensors"),
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(middle)).write("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
  file.close();
  ExpectFailure("export " + Path("searched") + " --format steering --output " + Path("run"),
                "holds NaN or infinity");
}

TEST_F(BadInput, PointersOfGitLfs) {
  for (const char* file : {"model.safetensors", "tokenizer.json", "config.json"}) {
    const std::string model = ModelWithout(file);
    temp_.Write(std::string("model/") + file,
                "version https://git-lfs.github.com/spec/v1\n"
                "oid sha256:0123\nsize 5703\n");
    ExpectFailure(Search(model, train_),
                  "is a pointer of Git LFS, not the file itself; run git lfs pull");
    fs::remove_all(model);
  }
}

TEST_F(BadInput, TooLittleMemory) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer wants more address space than this test leaves";
#endif
  const auto result = testing::RunCommand(
      "ulimit -v 4000000; OMP_NUM_THREADS=1 " + std::string(PIVOTAL_BINARY) +
      " eval --batch 60000 --kv-memory 30GB --limit 1 --max-new-tokens 8 --problems " + train_ +
      " --model " + model_);
  EXPECT_EQ(result.code, 1) << result.output;
  EXPECT_THAT(result.output,
              ::testing::MatchesRegex("pivotal: memory ran out while [^\n]*; [^\n]*\n"));
}

std::string Repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST_F(BadInput, PromptsThatAreTooLong) {
  const auto long_question = temp_.Write(
      "p.jsonl", R"({"question": ")" + Repeated("7 ", 110) + R"(", "answer": "7"})" + "\n");
  ExpectFailure("eval --model " + model_ + " --problems " + long_question.string(),
                "of the model's 256 positions, too few to cut every response to; shorten it, leave "
                "the problem out, or ask for --max-new-tokens ");
  temp_.Write("p.jsonl", R"({"question": ")" + Repeated("7 ", 300) + R"(", "answer": "7"})" + "\n");
  ExpectFailure("eval --model " + model_ + " --problems " + long_question.string(),
                "fills the model's 256 positions, without room for an answer; shorten it or leave "
                "the problem out");
  ExpectFailure("generate --model " + model_ + " \"$(printf '7 %.0s' $(seq 3000))\"",
                "fills the model's 256 positions, without room for an answer; shorten it");
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
}

TEST_F(BadInput, AnswersThatTheOracleCannotRead) {
  const auto file = temp_.Write("p.jsonl", R"({"question": "1+1?", "answer": "two"})"
                                           "\n");
  ExpectFailure(Search(model_, file.string()),
                "problem 1: the oracle hash finds nothing to compare");
  ExpectFailure("eval --model " + model_ + " --problems " + file.string(),
                "choose another --oracle or --answer-key");
  temp_.Write("p.jsonl", R"({"question": "Which?\nA) x\nB) y", "answer": "B"})"
                         "\n");
  ExpectFailure("eval --oracle hash --model " + model_ + " --problems " + file.string(),
                "choose another --oracle (choice reads them) or --answer-key");
}

TEST_F(BadInput, OptionsThatTheSourceOrTheObjectiveDoesNotRead) {
  const std::string pairs = "pairs somewhere ";
  ExpectFailure(pairs + "--source step --gap 0.5", "--gap has no effect with --source step");
  ExpectFailure(pairs + "--source critical --step-threshold 0.2", "take --source step");
  ExpectFailure(pairs + "--count 3", "--count has no effect with --source pivotal");
  ExpectFailure(pairs + "--refusal no", "take --source refusal");
  const std::string train =
      "train --model " + model_ + " --data " + train_ + " --output " + Path("run");
  ExpectFailure(train + " --objective ppo --beta 0.5", "beta would have no effect on ppo");
  ExpectFailure(train + " --clip-ratio 0.1",
                "clip ratio would have no effect on dpo with loss sigmoid, but on objective ppo");
  ExpectFailure(train + " --objective orpo --kl-weight 1",
                "kl weight would have no effect on orpo");
  ExpectFailure(train + " --objective sft --beta 0.2", "beta would have no effect on sft");
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

// Nothing is written before what is given was looked through.
TEST_F(BadInput, WhatATrainingIsGiven) {
  const auto train = [&](const std::filesystem::path& data, const std::string& more = "") {
    return "train --device cpu --model " + model_ + " --data " + data.string() + " --output " +
           Path("run") + " " + more;
  };
  const auto empty = temp_.Write("empty.jsonl", "");
  const auto pairs = temp_.Write("pairs.jsonl", testing::ProductPairs(4));
  std::string words;
  for (int i = 0; i < 300; ++i) words += "word ";
  const auto is_long =
      temp_.Write("long.jsonl", testing::PairLine(1, "1", "2") + R"({"prompt": ")" + words +
                                    R"(", "chosen": "a", "rejected": "b"})" + "\n");
  ExpectFailure(train(empty), "empty.jsonl: has no examples");
  ExpectFailure(train(is_long), "long.jsonl: example 2: ");
  ExpectFailure(train(pairs, "--objective simpo --eval-data " + is_long.string()),
                "long.jsonl: example 2: ");
  ExpectFailure(train(pairs, "--lora-rank 1048576"), "--lora-rank 1048576: the adapter needs");
  fs::create_directory(Path("run"));
  temp_.Write("run/keep", "me");
  const auto again = Pivotal(train(pairs));
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.output, HasSubstr("run: exists and is not empty"));
  EXPECT_THAT(again.output, ::testing::Not(HasSubstr("memory:"))) << "the model was loaded";
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
