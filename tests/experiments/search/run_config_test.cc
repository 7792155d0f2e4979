// Apache-2.0.
#include "experiments/search/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/base/error.h"
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
  SaveRunConfig(config, "abc", folder.path());
  std::string sha;
  const RunConfig read = LoadRunConfig(folder.path(), &sha);
  EXPECT_EQ(sha, "abc");
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

TEST(RunConfig, ReadsRunsFromBeforeTheSystemMessageAndTheLimitsOfOracles) {
  const testing::TempDir folder;
  RunConfig config;
  config.problems.oracle_options.allow_unsandboxed = true;
  config.model.folder = config.problems.file = "/somewhere";
  SaveRunConfig(config, "abc", folder.path());
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
