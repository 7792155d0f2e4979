// Apache-2.0. Commands with a served model: a search, whatever servers do and whenever it is
// killed; eval, generate and score. tests/pts/served/fault_server.py is the server. PIVOTAL_KILLS
// sets how often the search is killed (default 6).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "kernels/philox.h"
#include "tests/cli/cli_test.h"
#include "tests/support/server_process.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;

class ServedCommands : public testing::CliTest {
 protected:
  void SetUp() override {
    // Right responses hold a "w" or an "i".
    temp_.Write(
        "judge.py",
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    response = json.loads(line)['response']\n"
        "    print(json.dumps({'success': any(c in response for c in 'wi')}), flush=True)\n");
    std::string problems;
    for (int i = 0; i < 4; ++i)
      problems +=
          fmt::format("{{\"id\": \"{0}\", \"question\": \"{0}?\", \"answer\": \"1\"}}\n", i);
    temp_.Write("problems.jsonl", problems);
  }

  std::unique_ptr<testing::ServerProcess> Serve(const std::string& arguments) const {
    return std::make_unique<testing::ServerProcess>(
        "python3 " PIVOTAL_SOURCE_DIR "/tests/pts/served/fault_server.py " + arguments);
  }

  static std::string ServedAt(const testing::ServerProcess& server) {
    return fmt::format("--policy {}/v1 --tokenizer {} --concurrency 24 ", server.address(),
                       testing::kTinyModel);
  }

  std::string Search(const testing::ServerProcess& server) const {
    return "search " + ServedAt(server) + "--problems " + Path("problems.jsonl") +
           " --oracle 'command:python3 " + Path("judge.py") +
           "' --samples 8 --confirm 4 --responses 1 --max-new-tokens 24 --min-yield 0.02 "
           "--min-success 0 --max-success 1 --group 1 --output ";
  }

  // All rollouts of a run, in order.
  static std::string RolloutsOf(const fs::path& run) {
    std::string text;
    for (const QueryTrace& query : data::TraceStore(run).ReadAll()) {
      text += query.id;
      for (const RolloutTrace& rollout : query.rollouts)
        text += fmt::format(" {}/{}/{}:{}{}", static_cast<int>(rollout.kind), rollout.position,
                            rollout.forced, fmt::join(rollout.tokens, ","), rollout.success);
    }
    return text;
  }
};

TEST_F(ServedCommands, ASearchFindsTheSameWhateverServersDo) {
  const auto good = Serve("vllm"), other = Serve("vllm");
  const auto bad = Serve(
      "vllm --faults drop,cut,garbage,500,429,repeat,lie_length,lie_logprob,lie_token,delay "
      "--rate 0.2 --delay 0.05");
  const auto done = Pivotal(Search(*good) + Path("good"));
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, AllOf(HasSubstr("requests "), HasSubstr("from the servers' caches")));
  const std::string want = RolloutsOf(Path("good"));
  EXPECT_GT(want.size(), 5000u);
  const auto hard = Pivotal(Search(*bad) + Path("bad"));
  ASSERT_EQ(hard.code, 0) << hard.output;
  EXPECT_THAT(hard.output, Not(HasSubstr("of them 0 sent again")));
  EXPECT_EQ(RolloutsOf(Path("bad")), want);
  const auto both = Pivotal(Search(*good) + Path("both") + " --policy " + other->address());
  ASSERT_EQ(both.code, 0) << both.output;
  EXPECT_EQ(RolloutsOf(Path("both")), want);

  const std::string toml = data::ReadFile(Path("good") + "/run.toml");
  EXPECT_THAT(toml, AllOf(HasSubstr("model = 'known'"), HasSubstr("server = 'vllm'"),
                          HasSubstr("version = '0.32.0'"), HasSubstr("seeds_honoured = true"),
                          HasSubstr("logprobs = 'raw'"), HasSubstr("weights_sha256 = ''")));
  // What follows a search needs no server.
  for (const std::string command : {"pairs", "show", "curve", "report"}) {
    const std::string output = command == "show" ? "" : " --output " + Path("out." + command);
    const auto next = Pivotal(command + " " + Path("good") + output);
    EXPECT_EQ(next.code, 0) << command << next.output;
  }
}

TEST_F(ServedCommands, AKilledSearchGoesOn) {
  const auto server = Serve("llama.cpp"), later = Serve("llama.cpp");
  const double seconds = testing::Seconds([&] {
    const auto done = Pivotal(Search(*server) + Path("whole"));
    ASSERT_EQ(done.code, 0) << done.output;
  });
  const std::string want = RolloutsOf(Path("whole"));
  kernels::RandomStream random(1, kernels::MixStream(0, "served kill test"));
  int killed = 0;
  for (int round = 0; killed < testing::KillCount(6); ++round) {
    const fs::path run = Path(fmt::format("run{}", round));
    for (bool finished = false; !finished;) {
      const bool last = killed >= testing::KillCount(6);
      const bool started = fs::exists(run / "run.toml");
      if (!started) fs::remove_all(run);
      // It goes on with servers that have moved.
      const std::string arguments =
          started ? fmt::format("search --resume {} --policy {}", run.string(), later->address())
                  : Search(*server) + run.string();
      const auto result = testing::RunCommand(
          testing::KilledAfter(last ? 600 : seconds * (0.1 + random.Uniform()), arguments));
      finished = result.code == 0;
      killed += !finished;
      ASSERT_TRUE(finished || result.code == 137) << result.output;
    }
    EXPECT_EQ(RolloutsOf(run), want) << "round " << round;
    fs::remove_all(run);
  }
}

TEST_F(ServedCommands, ARunGoesOnWithTheServersThatItBeganWith) {
  const auto server = Serve("vllm"), other = Serve("vllm --logprobs policy"),
             named = Serve("vllm --model other");
  ASSERT_EQ(Pivotal(Search(*server) + Path("run") + " --limit 2").code, 0);
  const std::string resume = "search --resume " + Path("run");
  EXPECT_EQ(Pivotal(resume).code, 0);
  EXPECT_THAT(Pivotal(resume + " --policy " + other->address()).output,
              HasSubstr("other log-probabilities"));
  EXPECT_THAT(Pivotal(resume + " --policy " + named->address()).output,
              HasSubstr("serves no model known, but other"));
  EXPECT_THAT(Pivotal(resume + " --server vllm").output, HasSubstr("--resume"));
  // llama.cpp's server answers whatever model a request names.
  const auto llama = Serve("llama.cpp"), another = Serve("llama.cpp --model another");
  ASSERT_EQ(Pivotal(Search(*llama) + Path("llama") + " --limit 2").code, 0);
  EXPECT_THAT(
      Pivotal("search --resume " + Path("llama") + " --policy " + another->address()).output,
      HasSubstr("serves no model known, but another"));
}

TEST_F(ServedCommands, TheKeyIsNowhere) {
  const auto server = Serve("vllm --key secret-41");
  const auto refused = Pivotal(Search(*server) + Path("no") + " --limit 1");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.output, HasSubstr("PIVOTAL_API_KEY"));
  EXPECT_FALSE(fs::exists(Path("no")));
  const auto done = testing::RunCommand("PIVOTAL_API_KEY=secret-41 " PIVOTAL_BINARY " " +
                                        Search(*server) + Path("run") + " --limit 1");
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, Not(HasSubstr("secret-41")));
  EXPECT_NE(testing::RunCommand("grep -r secret-41 " + Path("run")).code, 0);
}

TEST_F(ServedCommands, EvalGenerateAndScoreAreServedToo) {
  const auto server = Serve("vllm");
  const auto eval = Pivotal("eval " + ServedAt(*server) + "--problems " + Path("problems.jsonl") +
                            " --oracle 'command:python3 " + Path("judge.py") +
                            "' --max-new-tokens 20 --output " + Path("scores.jsonl"));
  ASSERT_EQ(eval.code, 0) << eval.output;
  EXPECT_EQ(testing::JsonLines(Path("scores.jsonl")).size(), 4u);

  const std::string generate = "generate " + ServedAt(*server) + "--temperature 0 ";
  const auto answer = Pivotal(generate + "--max-new-tokens 40 'What?' 2> /dev/null");
  ASSERT_EQ(answer.code, 0) << answer.output;
  EXPECT_EQ(Pivotal(generate + "--max-new-tokens 40 'What?' 2> /dev/null").output, answer.output);
  const auto chat = testing::RunCommand("printf 'A?\\nB?\\n' | " PIVOTAL_BINARY " " + generate +
                                        "--max-new-tokens 8 --chat");
  EXPECT_EQ(chat.code, 0) << chat.output;

  temp_.Write("lines.jsonl",
              "{\"prompt_ids\": [1, 70, 80], \"completion_ids\": [90, 91]}\n"
              "{\"prompt_ids\": [1, 71], \"completion_ids\": [92]}\n");
  const auto score = Pivotal("score " + ServedAt(*server) + "--input " + Path("lines.jsonl") +
                             " --output " + Path("scored.jsonl"));
  ASSERT_EQ(score.code, 0) << score.output;
  const auto lines = testing::JsonLines(Path("scored.jsonl"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["logprobs"].size(), 2u);
  EXPECT_LT(lines[0]["logprobs"][0].get<double>(), 0);
}

TEST_F(ServedCommands, FlagsThatMeanNothingAreRefused) {
  const auto says = [](const std::string& arguments, const std::string& text) {
    const auto result = Pivotal(arguments);
    EXPECT_NE(result.code, 0) << arguments;
    EXPECT_THAT(result.output, HasSubstr(text)) << arguments;
  };
  const std::string eval = "eval --problems " + Path("problems.jsonl") + " ";
  says(eval, "--model (or --policy)");
  says(eval + "--policy http://127.0.0.1:1/v1", "--tokenizer");
  says(eval + "--policy http://127.0.0.1:1/v1 --tokenizer x --model y", "--model: means nothing");
  says(eval + "--policy http://127.0.0.1:1/v1 --tokenizer x --device cpu",
       "--device: means nothing");
  says(eval + "--model x --concurrency 3", "--concurrency: needs --policy");
  says(eval + "--policy localhost --tokenizer " + testing::kTinyModel, "is no address");
  says(eval + "--policy http://127.0.0.1:9/v1 --give-up 1 --tokenizer " + testing::kTinyModel,
       "http://127.0.0.1:9/v1: ");
  says(eval + "--policy http://127.0.0.1:9/v1 --tokenizer " + Path("none"), "none");
  says("generate --model x --policy http://127.0.0.1:1/v1 --tokenizer y q", "means nothing");
}

}  // namespace
}  // namespace pivotal
