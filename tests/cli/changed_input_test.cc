// Apache-2.0. A run goes on only with the files that it began with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;

class ChangedInput : public testing::CliTest {
 protected:
  ChangedInput() {
    fs::copy(testing::kTinyModel, model_);
    fs::copy(testing::kTiny + "/problems/train.jsonl", problems_);
    temp_.Write("judge.py",
                "import json, sys\n"
                "for line in sys.stdin:\n"
                "    print(json.dumps({'success': True}), flush=True)\n");
  }

  // Replaces the first `from` in a file.
  static void Edit(const fs::path& path, const std::string& from, const std::string& to) {
    std::string text = data::ReadFile(path);
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << path << " has no " << from;
    data::WriteFile(path, text.replace(at, from.size(), to));
  }

  // Expects that `resume` refuses a change of `path`, names it, and goes on once it is undone.
  void ExpectRefused(const std::string& resume, const fs::path& path,
                     const std::function<void()>& change,
                     const std::string& what = "has changed since the run") {
    SCOPED_TRACE(path.string());
    const bool there = fs::exists(path);
    const std::string before = there ? data::ReadFile(path) : "";
    change();
    const auto refused = Pivotal(resume);
    EXPECT_EQ(refused.code, 1) << refused.output;
    EXPECT_THAT(refused.output,
                AllOf(HasSubstr("pivotal: " + path.string() + ": " + what), HasSubstr("new run")));
    if (there)
      data::WriteFile(path, before);
    else
      fs::remove(path);
  }

  const fs::path model_ = temp_.path() / "model", problems_ = temp_.path() / "problems.jsonl";
};

TEST_F(ChangedInput, ASearchRefusesEachFileByName) {
  const std::string run = Path("run"), resume = "search --resume " + run;
  const std::string judge = Path("judge.py");
  const auto done = Pivotal(
      "search --model " + model_.string() + " --problems " + problems_.string() +
      " --oracle 'command:python3 " + judge +
      "' --limit 1 --samples 2 --confirm 0 --max-new-tokens 8 --strategy none --output " + run);
  ASSERT_EQ(done.code, 0) << done.output;
  const fs::path config = model_ / "config.json", tokenizer = model_ / "tokenizer.json";
  ExpectRefused(resume, config,
                [&] { Edit(config, "\"rope_theta\": 10000.0", "\"rope_theta\": 500.0"); });
  ExpectRefused(resume, tokenizer, [&] {
    // Two tokens swap their ids.
    Edit(tokenizer, "\"a\": ", "\"a-swapped\": ");
    Edit(tokenizer, "\"b\": ", "\"a\": ");
    Edit(tokenizer, "\"a-swapped\": ", "\"b\": ");
  });
  ExpectRefused(resume, model_ / "generation_config.json",
                [&] { Edit(model_ / "generation_config.json", "{", "{ "); });
  ExpectRefused(resume, model_ / "tokenizer_config.json",
                [&] { Edit(model_ / "tokenizer_config.json", "{", "{ "); });
  ExpectRefused(
      resume, model_ / "chat_template.jinja",
      [&] { data::WriteFile(model_ / "chat_template.jinja", "{{ messages[0].content }}"); },
      "did not exist when the run");
  ExpectRefused(
      resume, model_ / "tokenizer.model", [&] { fs::remove(model_ / "tokenizer.model"); },
      "is gone since the run");
  ExpectRefused(resume, problems_,
                [&] { Edit(problems_, "\"question\":\"", "\"question\":\"So: "); });
  ExpectRefused(resume, problems_, [&] { Edit(problems_, "\"answer\":\"", "\"answer\":\"1"); });
  ExpectRefused(resume, judge, [&] { Edit(judge, "True", "False"); });
  const auto resumed = Pivotal(resume);
  EXPECT_EQ(resumed.code, 0) << resumed.output;
}

// A program that the shell finds in PATH is as much the run's as one with a path; those of the
// system are the machine's.
TEST_F(ChangedInput, AnOracleThatIsFoundInPathIsRefusedByName) {
  const std::string run = Path("run"), judge = Path("bin/my-judge");
  const auto write = [](const std::string& path, const std::string& text) {
    data::WriteFile(path, text);
    fs::permissions(path, fs::perms::owner_exec, fs::perm_options::add);
  };
  const std::string program =
      "#!/bin/sh\nwhile read -r line; do echo '{\"success\": true}'; done\n";
  fs::create_directory(Path("bin"));
  fs::create_directory(Path("front"));
  write(judge, program);
  const auto pivotal = [&](const std::string& arguments) {
    return testing::RunCommand("PATH=" + Path("front") + ":" + Path("bin") + ":$PATH " +
                               PIVOTAL_BINARY + " " + arguments);
  };
  const auto done =
      pivotal("search --model " + model_.string() + " --problems " + problems_.string() +
              " --oracle 'command:cat | X=1 exec my-judge' --limit 1 --samples 2 --confirm 0 "
              "--max-new-tokens 8 --strategy none --output " +
              run);
  ASSERT_EQ(done.code, 0) << done.output;
  const std::string toml = data::ReadFile(fs::path(run) / "run.toml");
  EXPECT_THAT(toml, HasSubstr("'oracle: my-judge' = '"));
  EXPECT_THAT(toml, Not(HasSubstr("oracle: cat")));
  EXPECT_EQ(pivotal("search --resume " + run).code, 0);
  write(judge, program + "# again\n");
  EXPECT_THAT(pivotal("search --resume " + run).output,
              HasSubstr("pivotal: " + judge + ": has changed since the run"));
  write(judge, program);
  EXPECT_EQ(pivotal("search --resume " + run).code, 0);
  write(Path("front/my-judge"), program + "# another\n");
  EXPECT_THAT(pivotal("search --resume " + run).output,
              HasSubstr("pivotal: " + Path("front/my-judge") + ": has changed since the run"));
  fs::remove(Path("front/my-judge"));
  fs::remove(judge);
  EXPECT_THAT(pivotal("search --resume " + run).output,
              HasSubstr("pivotal: oracle: my-judge: is gone since the run"));
}

TEST_F(ChangedInput, ARunOfAnOlderVersionGoesOn) {
  const std::string run = Path("run");
  const auto done =
      Pivotal("search --model " + model_.string() + " --problems " + problems_.string() +
              " --limit 1 --samples 2 --max-new-tokens 8 --strategy none --output " + run);
  ASSERT_EQ(done.code, 0) << done.output;
  const fs::path toml = fs::path(run) / "run.toml";
  std::string text = data::ReadFile(toml);
  const auto begin = text.find("[files]"), end = text.find("\n[", begin);
  ASSERT_NE(end, std::string::npos);
  text.erase(begin, end + 1 - begin);
  data::WriteFile(toml, text);
  Edit(model_ / "generation_config.json", "{", "{ ");
  const auto resumed = Pivotal("search --resume " + run);
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  // A setting that the older version did not know has its default; one of a newer version is
  // refused.
  Edit(toml, "stop = []\n", "");
  EXPECT_THAT(Pivotal("search --resume " + run).output,
              HasSubstr("run.toml: has no sampling.stop: an older version wrote it"));
  Edit(toml, "[search]\n", "[search]\nlook_ahead = 3\n");
  Edit(toml, "pivotal_version = '", "pivotal_version = '9.");
  const auto newer = Pivotal("search --resume " + run);
  EXPECT_EQ(newer.code, 1);
  EXPECT_THAT(newer.output,
              AllOf(HasSubstr("run.toml:"), HasSubstr(": there is no setting search.look_ahead"),
                    HasSubstr("Pivotal 9.")));
  EXPECT_EQ(Pivotal("show " + run).code, 0) << "readers need not know it";
}

TEST_F(ChangedInput, NumbersThatASettingCannotHoldAreRefused) {
  const std::string run = Path("run");
  ASSERT_EQ(Pivotal("search --model " + model_.string() + " --problems " + problems_.string() +
                    " --limit 1 --samples 2 --max-new-tokens 8 --strategy none --seed "
                    "18446744073709551615 --output " +
                    run)
                .code,
            0);
  EXPECT_EQ(Pivotal("search --resume " + run).code, 0) << "the largest seed reads back";
  const fs::path toml = fs::path(run) / "run.toml";
  Edit(toml, "\nsamples = 2\n", "\nsamples = 4294967297\n");
  EXPECT_THAT(
      Pivotal("search --resume " + run).output,
      AllOf(HasSubstr("run.toml:"), HasSubstr(": search.samples is 4294967297; it must be from "
                                              "-2147483648 to 2147483647")));
}

TEST_F(ChangedInput, ATrainingRefusesEachFileByName) {
  temp_.Write("pairs.jsonl", testing::ProductPairs(7));
  temp_.Write("eval.jsonl", testing::ProductPairs(4));
  const std::string run = Path("run"), resume = "train --resume " + run;
  const auto done =
      Pivotal("train --device cpu --model " + model_.string() + " --data " + Path("pairs.jsonl") +
              " --eval-data " + Path("eval.jsonl") + " --eval-problems " + problems_.string() +
              " --eval-limit 1 --eval-max-new-tokens 8 --eval-oracle "
              "'command:python3 " +
              Path("judge.py") + "' --batch-size 2 --save-steps 1 --output " + run);
  ASSERT_EQ(done.code, 0) << done.output;
  fs::remove(fs::path(run) / "model.safetensors");  // as if it had been stopped before the end
  const fs::path config = model_ / "config.json";
  ExpectRefused(resume, config,
                [&] { Edit(config, "\"rope_theta\": 10000.0", "\"rope_theta\": 500.0"); });
  ExpectRefused(resume, model_ / "tokenizer.json",
                [&] { Edit(model_ / "tokenizer.json", "{", "{ "); });
  for (const std::string name : {"eval.jsonl", "pairs.jsonl", "problems.jsonl"})
    ExpectRefused(resume, Path(name), [&] { Edit(Path(name), "{", "{ "); });
  ExpectRefused(resume, Path("judge.py"), [&] { Edit(Path("judge.py"), "True", "False"); });
  // An older train.toml lacks settings and fingerprints.
  const auto resumed = Pivotal(resume);
  EXPECT_EQ(resumed.code, 0) << resumed.output;
}

TEST_F(ChangedInput, AnOlderTrainTomlIsRead) {
  temp_.Write("pairs.jsonl", testing::ProductPairs(5));
  const std::string run = Path("run");
  const std::string train = "train --device cpu --model " + model_.string() + " --data " +
                            Path("pairs.jsonl") + " --batch-size 2 --output ";
  ASSERT_EQ(Pivotal(train + run).code, 0);
  fs::remove(fs::path(run) / "model.safetensors");
  const fs::path toml = fs::path(run) / "train.toml";
  const std::string whole = data::ReadFile(toml);
  EXPECT_THAT(whole, AllOf(HasSubstr("beta = 0.1\n"), HasSubstr("learning_rate = 1e-05\n")));
  Edit(toml, "discopop_tau = 0.05\n", "");
  const auto older = Pivotal("train --resume " + run);
  EXPECT_EQ(older.code, 0) << older.output;
  EXPECT_THAT(older.output, HasSubstr("train.toml: has no loss.discopop_tau: an older version"));
  fs::remove(fs::path(run) / "model.safetensors");
  Edit(toml, "[loss]\n", "[loss]\nsharpness = 2\n");
  const auto newer = Pivotal("train --resume " + run);
  EXPECT_EQ(newer.code, 1);
  EXPECT_THAT(newer.output,
              AllOf(HasSubstr("train.toml:"), HasSubstr(": there is no setting loss.sharpness")));
}

}  // namespace
}  // namespace pivotal
