// Apache-2.0.
#include "experiments/search/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

TEST(RunConfig, RoundTrips) {
  const testing::TempDir folder;
  RunConfig config;
  config.model.folder = "/models/phi";
  config.model.dtype = "bfloat16";
  config.model.system = "Be brief.\n\"Quoted\"";
  config.problems.file = "/problems.jsonl";
  config.problems.oracle = "regex:=(\\d+)\"";
  config.problems.options.limit = 7;
  config.problems.oracle_options.timeout = 2.5;
  config.problems.oracle_options.memory = 2048;
  config.problems.oracle_options.allow_unsandboxed = true;
  config.sampling.params = {.temperature = 0.7, .top_k = 40, .top_p = 0.95, .min_p = 0.01};
  config.sampling.seed = 1234567890123;
  config.search.gap = 0.15;
  config.search.samples = 64;
  RunStart start{.weights_sha256 = "abc", .launch = "job 7"};
  start.files.Add("problems", folder.Write("p.jsonl", "{}"));
  SaveRunConfig(config, start, folder.path());
  RunStart found;
  const RunConfig read = LoadRunConfig(folder.path(), found);
  EXPECT_EQ(found.weights_sha256, "abc");
  EXPECT_EQ(found.launch, "job 7");
  EXPECT_EQ(found.files.Text(), "problems " + data::Sha256OfText("{}") + "\n");
  EXPECT_EQ(read.model.folder, config.model.folder);
  EXPECT_EQ(read.model.dtype, "bfloat16");
  EXPECT_EQ(read.model.system, config.model.system);
  EXPECT_EQ(read.problems.oracle, config.problems.oracle);
  EXPECT_EQ(read.problems.options.limit, 7u);
  EXPECT_EQ(read.problems.oracle_options.timeout, 2.5);
  EXPECT_EQ(read.problems.oracle_options.memory, 2048);
  EXPECT_TRUE(read.problems.oracle_options.allow_unsandboxed);
  EXPECT_EQ(read.sampling.params.top_p, 0.95);
  EXPECT_EQ(read.sampling.seed, 1234567890123u);
  EXPECT_EQ(read.search.gap, 0.15);
  EXPECT_EQ(read.search.samples, 64);
}

TEST(RunConfig, KeepsServersAndWhatTheySaid) {
  const testing::TempDir folder;
  RunConfig config;
  config.model.folder = "/tokenizers/llama";
  config.problems.file = "/problems.jsonl";
  config.served = {.urls = {"http://a:1/v1", "https://b/v1"}, .model = "m", .server = "vllm"};
  config.served.concurrency = 9;
  RunStart start;
  start.served.version = "0.32.0";
  start.served.logprobs = ServedLogprobs::kPolicy;
  start.served.seeds = true;
  SaveRunConfig(config, start, folder.path());
  RunStart found;
  const RunConfig read = LoadRunConfig(folder.path(), found);
  EXPECT_EQ(read.served.urls, config.served.urls);
  EXPECT_EQ(read.served.model, "m");
  EXPECT_EQ(read.served.concurrency, 9);
  EXPECT_EQ(found.served.version, "0.32.0");
  EXPECT_EQ(found.served.logprobs, ServedLogprobs::kPolicy);
  EXPECT_TRUE(found.served.seeds);
  EXPECT_EQ(read.ModelName(), "m");
  // Where servers are does not change what is searched; what they serve does.
  RunConfig moved = config, other = config;
  moved.served.urls = {"http://c:1/v1"};
  other.served.model = "n";
  EXPECT_EQ(SettingsText(moved), SettingsText(config));
  EXPECT_NE(SettingsText(other), SettingsText(config));
}

// TOML drops a line end that follows three quotes.
TEST(RunConfig, KeepsTextsThatBeginWithALineEnd) {
  const testing::TempDir folder;
  RunConfig config;
  config.model.folder = "/models/phi";
  config.problems.file = "/problems.jsonl";
  config.sampling.stop = {"\n", "\n\n", "\nQ:", "a\r\nb", "'", "\"\"\"\n", "\\n", "\t"};
  config.model.system = "\nBe brief.\n";
  SaveRunConfig(config, {}, folder.path());
  const RunConfig read = LoadRunConfig(folder.path());
  EXPECT_EQ(read.sampling.stop, config.sampling.stop);
  EXPECT_EQ(read.model.system, config.model.system);
}

TEST(RunConfig, ARecipeMayNameServers) {
  const testing::TempDir folder;
  RunConfig config;
  const auto apply = [&](const char* text) {
    ApplySettings(SettingsFile(folder.Write("recipe.toml", text), "a test"), config);
  };
  apply("[served]\npolicy = [\"http://a:1/v1\"]\nmodel = \"m\"\nconcurrency = 3\n");
  EXPECT_EQ(config.served.urls, std::vector<std::string>{"http://a:1/v1"});
  EXPECT_EQ(config.served.concurrency, 3);
  EXPECT_THAT(testing::ErrorText([&] { apply("[served]\npolicy = 7\n"); }),
              ::testing::HasSubstr("served.policy"));
}

// In a recipe, a data set brings its oracle and keys; what else the recipe says wins.
TEST(RunConfig, ADataSetStandsForSettingsThatAreNotThere) {
  RunConfig config;
  config.problems.options.limit = 5;
  const auto apply = [&](const char* text) {
    const testing::TempDir folder;
    ApplySettings(SettingsFile(folder.Write("recipe.toml", text), "a test"), config);
  };
  apply("[problems]\ndataset = \"math\"\nanswer_key = \"answer\"\n");
  EXPECT_EQ(config.problems.options.dataset, "math");
  EXPECT_EQ(config.problems.oracle, "math");
  EXPECT_EQ(config.problems.options.question_key, "");
  EXPECT_EQ(config.problems.options.answer_key, "answer");
  EXPECT_EQ(config.problems.options.limit, 5u);
  apply("[problems]\noracle = \"numeric\"\n");
  EXPECT_EQ(config.problems.options.dataset, "math");
  EXPECT_EQ(config.problems.oracle, "numeric");
  EXPECT_THAT(
      testing::ErrorText([&] { apply("[problems]\ndataset = \"maths\"\n"); }),
      ::testing::HasSubstr("problems.dataset: data set \"maths\" is unknown: take one of gsm8k"));
}

TEST(RunConfig, ReadsRunsFromBeforeTheSystemMessageAndTheLimitsOfOracles) {
  const testing::TempDir folder;
  RunConfig config;
  config.problems.oracle_options.allow_unsandboxed = true;
  config.model.folder = config.problems.file = "/somewhere";
  SaveRunConfig(config, {.weights_sha256 = "abc"}, folder.path());
  std::ifstream in(folder.path() / "run.toml");
  std::string text, line;
  while (std::getline(in, line))
    if (line.find("system") == std::string::npos && line.find("oracle_") == std::string::npos &&
        line.find("allow_") == std::string::npos)
      text += line + "\n";
  folder.Write("run.toml", text);
  const RunConfig read = LoadRunConfig(folder.path());
  EXPECT_EQ(read.model.system, "");
  EXPECT_EQ(read.problems.oracle_options.timeout, OracleOptions().timeout);
  EXPECT_FALSE(read.problems.oracle_options.allow_unsandboxed);
}

// Each number has the fewest digits that read back as the same number.
TEST(RunConfig, NumbersAreWrittenAsPeopleWriteThem) {
  const testing::TempDir folder;
  RunConfig config;
  config.model.folder = config.problems.file = "/somewhere";
  config.search.min_yield = 1e-7;
  config.search.budget_seconds = 3;
  config.sampling.params.top_p = 0.1 + 0.2;
  config.sampling.seed = 18446744073709551615u;
  SaveRunConfig(config, {}, folder.path());
  const std::string text = data::ReadFile(folder.path() / "run.toml");
  for (const char* line : {"gap = 0.2\n", "tolerance = 0.05\n", "confidence = 0.95\n",
                           "min_yield = 1e-07\n", "budget_seconds = 3.0\n",
                           "top_p = 0.30000000000000004\n", "seed = '18446744073709551615'\n"})
    EXPECT_THAT(text, ::testing::HasSubstr(line));
  const RunConfig read = LoadRunConfig(folder.path());
  EXPECT_EQ(SettingsText(read), SettingsText(config));
  EXPECT_EQ(read.sampling.params.top_p, 0.1 + 0.2);
  EXPECT_EQ(read.sampling.seed, 18446744073709551615u);
}

// A number that its setting cannot hold is refused, not cut.
TEST(RunConfig, NumbersOutOfRangeAreNamed) {
  const testing::TempDir folder;
  const auto text_of = [&](const std::string& from, const std::string& to) {
    RunConfig config;
    config.model.folder = config.problems.file = "/somewhere";
    SaveRunConfig(config, {}, folder.path());
    std::string text = data::ReadFile(folder.path() / "run.toml");
    text.replace(text.find(from), from.size(), to);
    folder.Write("run.toml", text);
    return testing::ErrorText([&] { LoadRunConfig(folder.path()); });
  };
  using ::testing::ContainsRegex;
  using ::testing::HasSubstr;
  EXPECT_THAT(text_of("\nsamples = 32\n", "\nsamples = 4294967297\n"),
              ContainsRegex("run.toml:[0-9]+: search.samples is 4294967297; it must be from "
                            "-2147483648"));
  EXPECT_THAT(text_of("\nlimit = 0\n", "\nlimit = -1\n"), HasSubstr("problems.limit is -1"));
  EXPECT_THAT(text_of("\nseed = 1\n", "\nseed = '18446744073709551616'\n"),
              HasSubstr("sampling.seed is not an integer"));
  EXPECT_THAT(text_of("\nseed = 1\n", "\nseed = 1.5\n"),
              HasSubstr("sampling.seed is not an integer"));
}

// Returns the settings that a text in TOML leaves of the defaults.
RunConfig Applied(const std::string& text) {
  const testing::TempDir folder;
  RunConfig config;
  ApplySettings(SettingsFile(folder.Write("recipe.toml", text), "a person"), config);
  return config;
}

TEST(RunConfig, AGoalStandsForFourSettings) {
  const SearchOptions pairs = SearchOptions::ForPairs();
  const RunConfig plain = Applied("[search]\nfor = 'pairs'\n");
  EXPECT_EQ(plain.strategy, "pairs");
  EXPECT_EQ(plain.search.samples, pairs.samples);
  EXPECT_EQ(plain.search.responses, pairs.responses);
  EXPECT_EQ(plain.search.min_yield, pairs.min_yield);
  EXPECT_EQ(plain.search.gap, SearchOptions().gap);
  EXPECT_EQ(pairs.kind, StrategyKind::kPairs);
  // What else the table says goes before, wherever it stands.
  const RunConfig own = Applied(
      "[search]\nsamples = 8\nstrategy = 'anchored'\nfor = 'pairs'\nmin_yield = 0.5\n"
      "pairs = 100\n");
  EXPECT_EQ(own.search.samples, 8);
  EXPECT_EQ(own.strategy, "anchored");
  EXPECT_EQ(own.search.min_yield, 0.5);
  EXPECT_EQ(own.search.responses, pairs.responses);
  EXPECT_EQ(own.search.pairs, 100);
  EXPECT_EQ(SettingsText(Applied("[search]\nfor = 'findings'\n")), SettingsText(RunConfig()));
  EXPECT_THAT(testing::ErrorText([] { Applied("[search]\nfor = 'fun'\n"); }),
              ::testing::HasSubstr("the goal is \"fun\", must be pairs or findings"));
  EXPECT_THAT(testing::ErrorText([] { Applied("[search]\nfor = 3\n"); }),
              ::testing::HasSubstr("search.for"));
}

// run.toml holds the settings themselves, so that a later meaning of a goal changes no run.
TEST(RunConfig, RunsKeepWhatAGoalStandsFor) {
  const testing::TempDir folder;
  RunConfig config;
  config.model.folder = config.problems.file = "/somewhere";
  SetGoal("pairs", config);
  config.search.pairs = 12;
  SaveRunConfig(config, {}, folder.path());
  const std::string text = data::ReadFile(folder.path() / "run.toml");
  for (const char* line : {"strategy = 'pairs'\n", "samples = 32\n", "responses = 32\n",
                           "min_yield = 0.06\n", "pairs = 12\n"})
    EXPECT_THAT(text, ::testing::HasSubstr(line));
  EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("for = ")));
  EXPECT_EQ(SettingsText(LoadRunConfig(folder.path())), SettingsText(config));
}

TEST(RunConfig, NamesWhatIsWrong) {
  const testing::TempDir folder;
  const auto message = [&] {
    try {
      LoadRunConfig(folder.path());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message(), ::testing::HasSubstr("run.toml: no such file"));
  folder.Write("run.toml", "[model]\nfolder = \n");
  EXPECT_THAT(message(), ::testing::HasSubstr("run.toml:2"));
  folder.Write("run.toml", "[model]\nfolder = 3\n");
  EXPECT_THAT(message(), ::testing::HasSubstr("model.folder is not a string"));
}

}  // namespace
}  // namespace pivotal::experiments
