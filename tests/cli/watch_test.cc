// Apache-2.0. pivotal watch: searches and trainings that run, that were killed and that are
// finished, seen by another process.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"
#include "tests/support/server_process.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;
using testing::RunCommand;

json StateOf(const std::string& run) {
  const auto shown = Pivotal("watch --json " + run);
  EXPECT_EQ(shown.code, 0) << shown.output;
  return json::parse(shown.output);
}

// A search of many small groups, which takes long enough to be looked at.
const std::string kLongSearch = testing::SearchArguments(400, 8, 2);

class Watch : public testing::CliTest {
 protected:
  // Runs a command until `seen` is true of the state of `run`, then sends the signal; returns that
  // state.
  json Seen(const std::string& command, const std::string& run, const std::string& signal,
            const std::function<bool(const json&)>& seen) {
    const std::string log = Path("log"), pid = Path("pid");
    std::thread work([&] {
      RunCommand(fmt::format("{{ {} & }} > {} 2>&1; echo $! > {}; wait $!", command, log, pid));
    });
    json state;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (!fs::exists(run)) continue;
      state = StateOf(run);
      if (seen(state)) break;
    }
    EXPECT_TRUE(seen(state)) << state.dump(1) << data::ReadFile(log);
    RunCommand(fmt::format("kill -s {} $(cat {})", signal, pid));
    work.join();
    return state;
  }
};

bool HasPairs(const json& state) {
  return state["condition"] == "working" && state["search"]["stored"] >= 4 &&
         state["workers"].size() == 1 && state["workers"][0]["numbers"].contains("rollouts");
}

TEST_F(Watch, ASearchThatIsKilledAndResumed) {
  const std::string run = Path("run");
  const json live =
      Seen(std::string("exec " PIVOTAL_BINARY " ") + kLongSearch + run, run, "KILL", HasPairs);
  const json& search = live["search"];
  EXPECT_EQ(live["kind"], "search");
  EXPECT_EQ(search["problems"], 400);
  EXPECT_EQ(search["stored"], search["searched"].get<int>() + search["skipped"].get<int>());
  EXPECT_GT(search["tokens"], 0);
  EXPECT_EQ(search["ends_by"], "problems");
  EXPECT_GT(search["seconds_left"], 0);
  const json& worker = live["workers"][0];
  EXPECT_EQ(worker["life"], "works");
  EXPECT_EQ(worker["total"], 400);
  EXPECT_THAT(worker["part"].get<std::string>(), HasSubstr("train-"));
  // Killed: its status is still there.
  const json dead = StateOf(run);
  EXPECT_EQ(dead["condition"], "stopped");
  EXPECT_EQ(dead["workers"][0]["life"], "gone");
  EXPECT_GE(dead["search"]["stored"], search["stored"]);
  const auto once = Pivotal("watch --once " + run);
  EXPECT_EQ(once.code, 0);
  EXPECT_THAT(once.output, AllOf(HasSubstr("stopped; pivotal search --resume " + run + " goes on"),
                                 HasSubstr("gone, its last sign of life was")));
  const auto followed = Pivotal("watch " + run);
  EXPECT_EQ(followed.code, 1);
  EXPECT_THAT(followed.output,
              HasSubstr("pivotal: " + run + ": stopped; pivotal search --resume " + run));
  // Ctrl-C: it takes its status along.
  const json again =
      Seen(std::string("exec " PIVOTAL_BINARY " search --resume ") + run, run, "INT", HasPairs);
  EXPECT_EQ(again["search"]["problems"], 400);
  EXPECT_GE(again["search"]["stored"], dead["search"]["stored"]);
  EXPECT_FALSE(fs::exists(fs::path(run) / "status"));
  EXPECT_EQ(StateOf(run)["condition"], "stopped");
}

TEST_F(Watch, ASearchToItsEnd) {
  const std::string run = Path("run");
  const auto result = RunCommand(
      fmt::format("{0} {1} {2} > {3} 2>&1 & until [ -e {2}/run.toml ]; do sleep 0.02; done; "
                  "{0} watch {2} --interval 0.2; echo code $?; wait",
                  PIVOTAL_BINARY, testing::SearchArguments(12, 8, 2), run, Path("log")));
  EXPECT_THAT(result.output, AllOf(HasSubstr("state      working"), HasSubstr(" of 12 stored"),
                                   HasSubstr("state      finished"), HasSubstr("12 of 12 stored"),
                                   HasSubstr("code 0"), Not(HasSubstr("\x1b"))));
  EXPECT_EQ(result.output.find("finished"), result.output.rfind("finished")) << "it is said once";
  const json state = StateOf(run);
  EXPECT_EQ(state["condition"], "finished");
  EXPECT_EQ(state["workers"].size(), 0u);
  EXPECT_EQ(state["search"]["problems"], 12);
  EXPECT_EQ(state["search"]["curve"].size(), 12u);
  // What it says is what the run holds.
  const std::string pairs = testing::PairsOf(run);
  int64_t tokens = 0;
  for (const auto& query : data::TraceStore(run).ReadAll())
    for (const auto& rollout : query.rollouts) tokens += std::ssize(rollout.tokens);
  EXPECT_EQ(state["search"]["tokens"], tokens);
  EXPECT_EQ(state["search"]["curve"].back()[0], tokens);
  for (const char* name : {"lock", "run.toml", "traces.h5"}) fs::remove(fs::path(run) / name);
  fs::remove(fs::path(run) / "all-pairs.jsonl");
  EXPECT_TRUE(fs::is_empty(run)) << "a finished run has nothing else in it";
}

TEST_F(Watch, ASharedSearch) {
  const std::string run = Path("run");
  const auto rank = [&](int number) {
    return fmt::format("OMP_NUM_THREADS=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK={} {} {} {}",
                       number, PIVOTAL_BINARY, kLongSearch, run);
  };
  const json live =
      Seen(fmt::format("{{ {} & echo $! > {}; {}; }}", rank(1), Path("other"), rank(0)), run,
           "KILL", [](const json& state) {
             return state["workers"].size() == 2 && state["search"]["stored"] >= 4 &&
                    state["search"]["in_hand"]["problems"] >= 3;
           });
  EXPECT_EQ(live["condition"], "working");
  EXPECT_EQ(live["workers"][0]["rank"], 0);
  EXPECT_EQ(live["workers"][1]["rank"], 1);
  EXPECT_NE(live["workers"][0]["pid"], live["workers"][1]["pid"]);
  RunCommand("kill -KILL $(cat " + Path("other") + ")");
  for (const json& worker : live["workers"])
    RunCommand(fmt::format("kill -KILL {}", worker["pid"].get<int>()));
  EXPECT_EQ(StateOf(run)["condition"], "stopped");
  EXPECT_EQ(StateOf(run)["workers"].size(), 2u);
}

TEST_F(Watch, ABudgetThatEndsARun) {
  const std::string run = Path("run");
  ASSERT_EQ(Pivotal(testing::SearchArguments(40, 8, 2) + run + " --budget-tokens 20000").code, 0);
  const json state = StateOf(run);
  EXPECT_EQ(state["condition"], "finished");
  EXPECT_EQ(state["search"]["budget_tokens"], 20000);
  EXPECT_LE(state["search"]["tokens"], 20000);
  const auto shown = Pivotal("watch " + run);
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.output, AllOf(HasSubstr("are left undone"), HasSubstr(" of 20,000 tokens")));
}

TEST_F(Watch, ATraining) {
  const auto pairs = temp_.Write("pairs.jsonl", testing::ProductPairs(40));
  const std::string run = Path("model");
  const std::string train = fmt::format(
      "train --model {} --data {} --batch-size 4 --epochs 400 --eval-data {} --eval-steps 5 "
      "--output {}",
      testing::kTinyModel, pairs.string(), pairs.string(), run);
  const json live =
      Seen(std::string("exec " PIVOTAL_BINARY " ") + train, run, "INT", [](const json& state) {
        return state["condition"] == "working" && state["kind"] == "training" &&
               state["training"]["step"] >= 12 && !state["training"]["held_out"].is_null() &&
               state["training"]["memory"] > 0;
      });
  const json& t = live["training"];
  EXPECT_EQ(t["objective"], "dpo");
  EXPECT_EQ(t["metric"], "eval_loss");
  EXPECT_EQ(t["steps"], 4000);
  EXPECT_GT(t["seconds_left"], 0);
  EXPECT_GT(t["examples_per_second"], 0);
  EXPECT_GT(t["planned_memory"], 0);
  for (const char* name : {"loss", "margin", "accuracy", "grad_norm", "learning_rate", "best"})
    EXPECT_TRUE(t[name].is_number()) << name;
  EXPECT_EQ(live["workers"].size(), 1u);
  const json stopped = StateOf(run);
  EXPECT_EQ(stopped["condition"], "stopped");
  EXPECT_EQ(stopped["training"]["steps"], 4000) << "it follows from the log and train.toml";
  EXPECT_THAT(stopped["message"].get<std::string>(), HasSubstr("pivotal train --resume " + run));
  EXPECT_FALSE(fs::exists(fs::path(run) / "status"));
  // The last values are those of the log.
  const auto lines = testing::JsonLines(fs::path(run) / "log.jsonl");
  for (auto line = lines.rbegin(); line != lines.rend(); ++line)
    if (line->contains("loss")) {
      EXPECT_EQ(stopped["training"]["loss"], (*line)["loss"]);
      EXPECT_EQ(stopped["training"]["step"], (*line)["step"]);
      break;
    }
  const auto done = Path("done");
  ASSERT_EQ(
      Pivotal(fmt::format("train --model {} --data {} --batch-size 8 --max-steps 3 --output {}",
                          testing::kTinyModel, pairs.string(), done))
          .code,
      0);
  const auto finished = Pivotal("watch " + done);
  EXPECT_EQ(finished.code, 0);
  EXPECT_THAT(finished.output, AllOf(HasSubstr("finished"), HasSubstr("3 of 3")));
  EXPECT_FALSE(fs::exists(fs::path(done) / "status"));
}

TEST_F(Watch, RanksOfATraining) {
  if (!testing::HasTool(testing::kMpirun)) return;
  const auto pairs = temp_.Write("pairs.jsonl", testing::ProductPairs(40));
  const std::string run = Path("model");
  const std::string train = fmt::format(
      "OMP_NUM_THREADS=1 exec mpirun --allow-run-as-root --oversubscribe -n 2 {} train --model {} "
      "--data {} "
      "--batch-size 4 --epochs 400 --output {}",
      PIVOTAL_BINARY, testing::kTinyModel, pairs.string(), run);
  const json live = Seen(train, run, "INT", [](const json& state) {
    return state["workers"].size() == 2 && state["training"]["step"] >= 3;
  });
  EXPECT_EQ(live["workers"][0]["rank"], 0);
  EXPECT_EQ(live["workers"][1]["rank"], 1);
  EXPECT_EQ(live["workers"][1]["phase"], "train");
}

TEST_F(Watch, FoldersThatAreNoRuns) {
  const auto refused = [&](const std::string& run, const std::string& why) {
    const auto shown = Pivotal("watch --once " + run);
    EXPECT_EQ(shown.code, 1) << shown.output;
    EXPECT_THAT(shown.output, AllOf(::testing::StartsWith("pivotal: " + run), HasSubstr(why),
                                    ContainsRegex("^[^\n]*\n$")));
  };
  refused(Path("nowhere"), "there is no such folder");
  temp_.Write("file", "x");
  refused(Path("file"), "this is a file");
  fs::create_directory(Path("other"));
  temp_.Write("other/notes.txt", "x");
  refused(Path("other"), "neither run.toml nor train.toml");
  fs::create_directory(Path("bad"));
  temp_.Write("bad/run.toml", "nonsense");
  refused(Path("bad"), "run.toml");
  // One that is still empty is waited for.
  fs::create_directory(Path("empty"));
  EXPECT_EQ(StateOf(Path("empty"))["condition"], "empty");
  const auto waits = RunCommand(
      fmt::format("timeout -s INT 1 {} watch {}; echo code $?", PIVOTAL_BINARY, Path("empty")));
  EXPECT_THAT(waits.output, HasSubstr("waits for a search or a training to begin"));
  EXPECT_THAT(waits.output, Not(HasSubstr("pivotal: "))) << "Ctrl-C ends it quietly";
  for (const char* flags : {"--once --interval 2", "--json --serve 0", "--interval 0",
                            "--serve 70000", "--serve -1", "--serve 010"})
    EXPECT_EQ(Pivotal("watch " + Path("empty") + " " + flags).code, 2) << flags;
}

TEST_F(Watch, ReadsOnlyAndSaysWhatItCannotRead) {
  const std::string run = Path("run");
  ASSERT_EQ(Pivotal(testing::kTinySearch + run).code, 0);
  fs::create_directory(fs::path(run) / "status");
  temp_.Write("run/status/00000001.json", "{\"host\": \"x");
  const auto sums = [&] {
    return RunCommand("cd " + run +
                      " && find . | sort && find . -type f | sort | xargs sha256sum && "
                      "find . | sort | xargs stat -c '%n %Y %Z'")
        .output;
  };
  const std::string before = sums();
  const auto shown = Pivotal("watch --once " + run);
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.output, AllOf(HasSubstr("faults"), HasSubstr("00000001.json")));
  EXPECT_EQ(StateOf(run)["faults"].size(), 1u);
  EXPECT_EQ(sums(), before);
}

TEST_F(Watch, TheServerAnswersThisMachineAlone) {
  const std::string run = Path("run");
  ASSERT_EQ(Pivotal(testing::kTinySearch + run).code, 0);
  const testing::ServerProcess server(PIVOTAL_BINARY " watch " + run + " --serve 0");
  const std::string line = server.address();
  const std::size_t begin = line.find("http://127.0.0.1:");
  ASSERT_NE(begin, std::string::npos) << line;
  const std::string port = line.substr(begin + 17, line.find('/', begin + 17) - begin - 17);
  const auto asked =
      RunCommand(fmt::format("python3 {}/tests/cli/watch_client.py {}", PIVOTAL_SOURCE_DIR, port));
  EXPECT_EQ(asked.output,
            "200 text/html; charset=utf-8 True True\n"
            "200 application/json 6\n"
            "GET /state.json localhost:" +
                port +
                " 200\n"
                "GET /state.json evil.example 421\n"
                "GET / localhost.evil.example:" +
                port +
                " 421\n"
                "POST / None 405\nHEAD / None 405\nPUT /state.json None 405\n"
                "GET /../run.toml None 404\nGET /run.toml None 404\n"
                "HTTP/1.1 421 Misdirected Request\nHTTP/1.1 421 Misdirected Request\n"
                "nonsense \nendless \n"
                "beside silent ones 200\n");
  const auto others = RunCommand("ss -ltnH 2>/dev/null | grep ':" + port + " ' || true");
  EXPECT_THAT(others.output, Not(HasSubstr("0.0.0.0:" + port)));
  const auto second = Pivotal("watch " + run + " --serve " + port);
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.output, AllOf(HasSubstr("another program listens on port " + port),
                                   ContainsRegex("^[^\n]*\n$")));
}

// What a browser shows.
TEST_F(Watch, ThePageDrawsTheState) {
  if (!testing::HasTool(testing::kChromium)) return;
  const auto page_of = [&](const std::string& run) {
    const testing::ServerProcess server(PIVOTAL_BINARY " watch " + run + " --serve 0");
    const std::string& line = server.address();
    const std::size_t begin = line.find("http://127.0.0.1:");
    EXPECT_NE(begin, std::string::npos) << line;
    const std::string address = line.substr(begin, line.find(" on this") - begin);
    return RunCommand(
               fmt::format("chromium --headless --no-sandbox --disable-gpu --user-data-dir={} "
                           "--virtual-time-budget=5000 --dump-dom {} 2>/dev/null",
                           Path("profile"), address))
        .output;
  };
  const std::string run = Path("run"), model = Path("model");
  ASSERT_EQ(Pivotal(testing::SearchArguments(12, 8, 2) + run).code, 0);
  EXPECT_THAT(page_of(run), AllOf(HasSubstr("<h1 id=\"title\">run</h1>"), HasSubstr("12 of 12"),
                                  HasSubstr("class=\"finished\""), HasSubstr("Pairs so far"),
                                  HasSubstr("class=\"run run-0\"")));
  const auto pairs = temp_.Write("pairs.jsonl", testing::ProductPairs(40));
  ASSERT_EQ(Pivotal(fmt::format("train --model {} --data {} --batch-size 8 --max-steps 3 "
                                "--output {}",
                                testing::kTinyModel, pairs.string(), model))
                .code,
            0);
  EXPECT_THAT(page_of(model), AllOf(HasSubstr("<h1 id=\"title\">model</h1>"), HasSubstr("3 of 3"),
                                    HasSubstr("class=\"finished\""), HasSubstr("rewards/margins"),
                                    HasSubstr("class=\"run run-0")));
}

}  // namespace
}  // namespace pivotal
