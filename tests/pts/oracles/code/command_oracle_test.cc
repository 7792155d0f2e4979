// Apache-2.0. Tests judging programs of a user: good ones, and those that die, hang, babble and
// flood.
#include "pts/oracles/code/command_oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/error_text.h"
#include "tests/support/scarce.h"
#include "tests/support/temp_dir.h"

namespace pivotal::pts {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;
using ::testing::AllOf;
using testing::ErrorText;
using ::testing::HasSubstr;
using ::testing::Not;

class CommandOracle : public ::testing::Test {
 protected:
  // Makes an oracle of a Python program `body`, which answers by say(). Each process adds a line to
  // Log() when it starts.
  std::unique_ptr<const Oracle> Make(const std::string& body, OracleOptions options = Quick()) {
    const auto script = folder_.Write("judge.py",
                                      "import json, os, signal, sys, time\n"
                                      "def say(x): print(json.dumps({'success': x}), flush=True)\n"
                                      "open('" +
                                          Log() + "', 'a').write('start\\n')\n" + body);
    return MakeOracle("command:exec /usr/bin/python3 '" + script.string() + "'", options);
  }
  static OracleOptions Quick() {
    OracleOptions options;
    options.timeout = 5;
    options.threads = 2;
    return options;
  }
  std::string Log() const { return (folder_.path() / "log").string(); }
  int Starts() const {
    std::ifstream in(Log());
    int starts = 0;
    for (std::string line; std::getline(in, line);) ++starts;
    return starts;
  }

  testing::TempDir folder_;
};

bool Judge(const Oracle& oracle, std::string_view response) {
  return oracle.Judge({.question = "Which?", .answer = "a", .response = response});
}

// Returns why the oracle gives no verdict; nothing if it gives one.
std::optional<NoVerdictCause> Failure(const Oracle& oracle, std::string_view response) {
  try {
    Judge(oracle, response);
  } catch (const NoVerdict& failure) {
    return failure.cause();
  }
  return std::nullopt;
}

int OpenDescriptors() {
  int count = 0;
  for ([[maybe_unused]] const auto& each : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

// Returns the child processes of this process that run or were not waited for.
std::string Children() {
  std::string all;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    std::ifstream in(task.path() / "children");
    std::string line;
    std::getline(in, line);
    all += line;
  }
  return all;
}

TEST_F(CommandOracle, IsAskedLineByLineAndKeptAlive) {
  const auto oracle = Make(
      "for line in sys.stdin:\n"
      "    d = json.loads(line)\n"
      "    assert list(d) == ['question', 'answer', 'response'] and d['question'] == 'Which?'\n"
      "    say(d['response'] == d['answer'])\n");
  EXPECT_TRUE(oracle->CanRead(""));
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Judge(*oracle, "a"));
    EXPECT_FALSE(Judge(*oracle, "b\n\"'$(exit 1)`exit 1`;"));
  }
  EXPECT_FALSE(Judge(*oracle, "cut \xE6"));
  EXPECT_FALSE(Judge(*oracle, std::string(3'000'000, 'x'))) << "more than a pipe holds";
  EXPECT_EQ(Starts(), 1);
}

TEST_F(CommandOracle, IsAShellCommand) {
  const auto oracle = MakeOracle(
      "command:read -r line; echo '{\"success\":' \"$WORD\"'}'; cat > /dev/null", Quick());
  EXPECT_THAT(ErrorText([&] { Judge(*oracle, "a"); }), HasSubstr("it answered"));
  ::setenv("WORD", "true", 1);
  EXPECT_TRUE(Judge(*MakeOracle("command:read -r line; echo '{\"success\":' \"$WORD\"'}'"), "a"));
  ::unsetenv("WORD");
}

TEST_F(CommandOracle, ADeadOneIsReplacedAndAskedAgain) {
  const auto oracle = Make("say(json.loads(sys.stdin.readline())['response'] == 'a')\n");
  for (int i = 0; i < 7; ++i) {
    EXPECT_TRUE(Judge(*oracle, "a")) << "each process answers once";
    EXPECT_FALSE(Judge(*oracle, "b"));
  }
  EXPECT_EQ(Starts(), 14);
}

TEST_F(CommandOracle, ThreeDeathsOverOneQuestionAreAnErrorWithTheirLastWords) {
  const auto oracle = Make(
      "for line in sys.stdin:\n"
      "    if json.loads(line)['response'] == 'bad': raise ValueError('no idea')\n"
      "    say(True)\n");
  EXPECT_TRUE(Judge(*oracle, "a"));
  EXPECT_EQ(Failure(*oracle, "bad"), NoVerdictCause::kCrash);
  const std::string error = ErrorText([&] { Judge(*oracle, "bad"); });
  EXPECT_THAT(error, AllOf(HasSubstr("judge.py"), HasSubstr("ended with code 1"),
                           HasSubstr("ValueError: no idea"), Not(HasSubstr("\n"))));
  EXPECT_TRUE(Judge(*oracle, "a")) << "others can still be judged";
  EXPECT_EQ(Starts(), 7) << "three processes are tried each time";
}

TEST_F(CommandOracle, ASlowAnswerIsNoVerdict) {
  OracleOptions options = Quick();
  options.timeout = 1.5;
  const auto oracle = Make(
      "for line in sys.stdin:\n"
      "    if json.loads(line)['response'] == 'slow': time.sleep(60)\n"
      "    say(True)\n",
      options);
  const auto start = steady_clock::now();
  EXPECT_TRUE(Judge(*oracle, "a"));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Failure(*oracle, "slow"), NoVerdictCause::kTimeout);
  EXPECT_TRUE(Judge(*oracle, "a"));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(Starts(), 3);
}

TEST_F(CommandOracle, OneThatNeverAnswersGivesNoVerdict) {
  OracleOptions options = Quick();
  options.timeout = 0.2;
  const auto oracle = MakeOracle("command:sleep 60", options);
  EXPECT_EQ(Failure(*oracle, "a"), NoVerdictCause::kTimeout);
  EXPECT_THAT(ErrorText([&] { Judge(*oracle, "a"); }),
              AllOf(HasSubstr("\"sleep 60\""), HasSubstr("did not answer in time")));
}

TEST_F(CommandOracle, OneThatCannotBeStartedAgainGivesNoVerdict) {
  const auto oracle = Make("sys.stdin.readline()\nsay(True)\n");  // each process answers once
  EXPECT_TRUE(Judge(*oracle, "a"));
  const auto error =
      testing::ErrorWhereScarce(RLIMIT_NPROC, 0, [&] { EXPECT_TRUE(Judge(*oracle, "a")); });
  if (!error) GTEST_SKIP() << "this process cannot limit the processes of a child";
  EXPECT_THAT(*error, AllOf(HasSubstr("/bin/sh cannot be started"), HasSubstr("ulimit -u")));
}

TEST_F(CommandOracle, GarbageIsNoVerdict) {
  for (const std::string answer :
       {"yes", "{}", "{\"success\": 1}", "{\"success\": \"true\"}", "[true]", ""}) {
    const auto oracle = Make("for line in sys.stdin: print('''" + answer + "''', flush=True)\n");
    EXPECT_THAT(ErrorText([&] { Judge(*oracle, "a"); }), HasSubstr("it answered"));
    EXPECT_EQ(Failure(*oracle, "a"), NoVerdictCause::kAnswer);
  }
  OracleOptions options = Quick();
  options.output = 1;
  const auto endless =
      Make("sys.stdin.readline()\nwhile True: sys.stdout.write('x' * 1000)\n", options);
  EXPECT_THAT(ErrorText([&] { Judge(*endless, "a"); }),
              HasSubstr("a line of more than 1024 bytes"));
}

TEST_F(CommandOracle, ALineTooManyIsNotTakenForTheNextAnswer) {
  const auto oracle = Make(
      "for line in sys.stdin:\n"
      "    print('{\"success\": true}\\n{\"success\": true}', flush=True)\n");
  EXPECT_TRUE(Judge(*oracle, "a"));
  EXPECT_TRUE(Judge(*oracle, "a")) << "by another process";
  EXPECT_EQ(Starts(), 2);
  const auto greeter = Make("time.sleep(0.3)\nprint('Hello', flush=True)\nsys.stdin.read()\n");
  EXPECT_THAT(ErrorText([&] { Judge(*greeter, "a"); }), HasSubstr("it answered \"Hello\""));
}

TEST_F(CommandOracle, FloodsOfStderrBlockNobody) {
  const auto oracle = Make(
      "for line in sys.stdin:\n"
      "    for _ in range(100): sys.stderr.write('noise ' * 2000 + '\\n')\n"
      "    say(True)\n"
      "    sys.stderr.write('more ' * 40000)\n");
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Judge(*oracle, "a"));
  EXPECT_EQ(Starts(), 1);
}

TEST_F(CommandOracle, OneThatClosesItsInputRaisesNoSignal) {
  struct sigaction before;
  ::sigaction(SIGPIPE, nullptr, &before);
  ASSERT_EQ(before.sa_handler, SIG_DFL) << "a signal would end this test";
  const auto oracle = Make("os.close(0)\ntime.sleep(0.2)\nsay(True)\ntime.sleep(0.3)\n");
  EXPECT_TRUE(Judge(*oracle, std::string(1'000'000, 'x'))) << "it has answered, unread";
}

TEST_F(CommandOracle, OneThatCannotStartIsFoundAtOnce) {
  EXPECT_THAT(ErrorText([] { MakeOracle("command:/nonexistent/judge --fast"); }),
              AllOf(HasSubstr("/nonexistent/judge --fast"), HasSubstr("ended with code 127"),
                    HasSubstr("not found")));
  EXPECT_THAT(ErrorText([] { MakeOracle("command:"); }), HasSubstr("a program is missing"));
}

TEST_F(CommandOracle, SeveralThreadsShareAFewProcesses) {
  const auto oracle = Make(
      "for line in sys.stdin:\n"
      "    time.sleep(0.05)\n"
      "    say(json.loads(line)['response'] == 'a')\n");
  std::vector<std::thread> threads;
  std::vector<char> right(8), wrong(8, 1);
  const auto start = steady_clock::now();
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      right[i] = Judge(*oracle, "a");
      wrong[i] = Judge(*oracle, "b");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<char>(8, 1));
  EXPECT_EQ(wrong, std::vector<char>(8, 0));
  EXPECT_EQ(Starts(), 2);
  EXPECT_GT(steady_clock::now() - start, std::chrono::milliseconds(8 * 50));
}

TEST_F(CommandOracle, LeavesNoProcessAndNoDescriptor) {
  const int descriptors = OpenDescriptors();
  const std::string children = Children();
  const std::string end = (folder_.path() / "end").string();
  {
    const auto oracle = Make("for line in sys.stdin: say(True)\nopen('" + end + "', 'w')\n");
    EXPECT_TRUE(Judge(*oracle, "a"));
  }
  EXPECT_TRUE(fs::exists(end)) << "its input was closed, and it had the time to finish";
  const auto start = steady_clock::now();
  {
    const auto stubborn = Make(
        "sys.stdin.readline()\nsay(True)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n");
    EXPECT_TRUE(Judge(*stubborn, "a"));
    const auto babbler = Make("sys.stdin.readline()\nprint('x', flush=True)\ntime.sleep(60)\n");
    EXPECT_NE(ErrorText([&] { Judge(*babbler, "a"); }), "(no Error)");
  }
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(OpenDescriptors(), descriptors);
  EXPECT_EQ(Children(), children);
}

TEST_F(CommandOracle, ScoresAreMeansOfThree) {
  const auto script = folder_.Write(
      "scores.py",
      "import json, sys, time\n"
      "for line in sys.stdin:\n"
      "    r = json.loads(line)['response']\n"
      "    if r == 'slow': time.sleep(9)\n"
      "    if r == 'odd': print(json.dumps({'accuracy': 1, 'style': '2'}), flush=True)\n"
      "    print(json.dumps({'accuracy': len(r), 'style': 1.5, 'detail': 0, 'why': ''}), "
      "flush=True)\n");
  const std::string command = "exec /usr/bin/python3 '" + script.string() + "'";
  OracleOptions options = Quick();
  const auto scorer = MakeCommandScorer(command, options);
  const auto score = [](const ResponseScorer& scorer, std::string_view response) {
    return scorer.Score({.question = "Which?", .answer = "a", .response = response});
  };
  EXPECT_DOUBLE_EQ(score(*scorer, "abc"), 1.5);
  EXPECT_DOUBLE_EQ(score(*scorer, ""), 0.5);
  EXPECT_THAT(ErrorText([&] { score(*scorer, "odd"); }),
              AllOf(HasSubstr("judge command"), HasSubstr("not {\"accuracy\"")));
  options.timeout = 0.5;
  const auto hasty = MakeCommandScorer(command, options);
  EXPECT_DOUBLE_EQ(score(*hasty, "a"), 1.0 / 3 + 0.5);
  EXPECT_THAT(ErrorText([&] { score(*hasty, "slow"); }), HasSubstr("in time"));
}

TEST_F(CommandOracle, AClassifierNamesOneOfTheCategories) {
  const auto script = folder_.Write(
      "kinds.py",
      "import json, sys\n"
      "for line in sys.stdin:\n"
      "    q = json.loads(line)\n"
      "    odd = [q['question'], q['answer'], q['response']] != ['Which?', 'a', 'before']\n"
      "    print(json.dumps({'category': 'odd' if odd else q['sentence']}), flush=True)\n");
  const std::string command = "exec /usr/bin/python3 '" + script.string() + "'";
  const auto classifier = MakeCommandClassifier(command, {"plan", "check"}, Quick());
  const auto category = [&](std::string_view response, std::string_view sentence) {
    return classifier->Category({.question = "Which?", .answer = "a", .response = response},
                                sentence);
  };
  EXPECT_EQ(category("before", "plan"), "plan");
  EXPECT_EQ(category("before", "check"), "check");
  EXPECT_THAT(ErrorText([&] { category("", "plan"); }),
              AllOf(HasSubstr("judge command"), HasSubstr("with one of plan, check")));
}

}  // namespace
}  // namespace pivotal::pts
