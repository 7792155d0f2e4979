// Apache-2.0. How commands are told what to do and say what they did: --config, standard input,
// --force, --json, --quiet.
#include <fmt/format.h>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Pivotal;
using testing::RunCommand;
using ::testing::StartsWith;

class Settings : public testing::CliTest {
 protected:
  // Runs the program and returns what it wrote to standard output.
  static std::string Out(const std::string& arguments, int code = 0) {
    const auto result = RunCommand(fmt::format("( {} {} 2>/dev/null )", PIVOTAL_BINARY, arguments));
    EXPECT_EQ(result.code, code) << arguments;
    return result.output;
  }
  // Returns what it wrote to standard error.
  static std::string Err(const std::string& arguments) {
    return RunCommand(fmt::format("( {} {} 2>&1 >/dev/null )", PIVOTAL_BINARY, arguments)).output;
  }
  static json Json(const std::string& arguments) {
    const std::string text = Out(arguments + " --json");
    EXPECT_EQ(std::ranges::count(text, '\n'), 1) << "one object, in one line";
    return json::parse(text);
  }
  std::string Search(const std::string& name, const std::string& more = "") {
    return testing::SearchArguments(3, 8, 3) + Path(name) + " " + more;
  }
  std::string File(const std::string& name) { return data::ReadFile(Path(name)); }
};

TEST_F(Settings, RunTomlMakesTheSameRun) {
  Out(Search("run", "--seed 7 --gap 0.25 --stop 'a,b' --stop '\"' --top-p 0.95"));
  Out("search --config " + Path("run/run.toml") + " --output " + Path("again"));
  EXPECT_EQ(File("again/run.toml"), File("run/run.toml"));
  EXPECT_EQ(testing::PairsOf(Path("again")), testing::PairsOf(Path("run")));
}

TEST_F(Settings, FlagsWin) {
  Out(Search("run"));
  Out("search --seed 9 --config " + Path("run/run.toml") + " --gap 0.3 --output " + Path("other"));
  const std::string text = File("other/run.toml");
  EXPECT_THAT(text, AllOf(HasSubstr("seed = 9"), HasSubstr("gap = 0.3"), HasSubstr("samples = 8")));
}

TEST_F(Settings, AGoalOfTheCommandLineWinsAndOneOfTheFileCounts) {
  temp_.Write("pairs.toml", "[search]\nfor = \"pairs\"\nsamples = 16\n");
  const std::string from_file = "search --config " + Path("pairs.toml") + " --model " +
                                testing::kTinyModel + " --problems " + testing::kTiny +
                                "/problems/train.jsonl --limit 1 --max-new-tokens 32 --output ";
  Out(from_file + Path("a"));
  EXPECT_THAT(File("a/run.toml"), AllOf(HasSubstr("strategy = 'pairs'"), HasSubstr("samples = 16"),
                                        HasSubstr("responses = 32")));
  Out(from_file + Path("b") + " --for findings");
  EXPECT_THAT(File("b/run.toml"), AllOf(HasSubstr("strategy = 'anchored'"),
                                        HasSubstr("samples = 32"), HasSubstr("responses = 2")));
}

TEST_F(Settings, TrainTomlMakesTheSameModel) {
  temp_.Write("pairs.jsonl", testing::ProductPairs(9));
  Out(
      fmt::format("train --model {} --data {} --loss hinge --lora-rank 4 --clip-by tensor "
                  "--optimizer adamw8bit --order file --lr-schedule linear --output {}",
                  testing::kTinyModel, Path("pairs.jsonl"), Path("t")));
  Out("train --config " + Path("t/train.toml") + " --output " + Path("u"));
  const auto without_command = [](std::string text) {
    return text.erase(text.find("command = "),
                      text.find('\n', text.find("command = ")) - text.find("command = "));
  };
  EXPECT_EQ(without_command(File("u/train.toml")), without_command(File("t/train.toml")));
  EXPECT_EQ(File("u/adapter_model.safetensors"), File("t/adapter_model.safetensors"));
  Out("train --config " + Path("t/train.toml") + " --loss ipo --epochs 2 --output " + Path("v"));
  EXPECT_THAT(File("v/train.toml"),
              AllOf(HasSubstr("ipo"), HasSubstr("epochs = 2"), HasSubstr("lora_rank = 4")));
}

TEST_F(Settings, EvalTakesTheSettingsOfARun) {
  Out(Search("run"));
  const json a = Json("eval --config " + Path("run/run.toml"));
  EXPECT_EQ(a["problems"], 3);
  const json b =
      Json(fmt::format("eval --model {} --problems {}/problems/train.jsonl --limit 3 "
                       "--max-new-tokens 64",
                       testing::kTinyModel, testing::kTiny));
  EXPECT_EQ(a["sampled"], b["sampled"]);
  EXPECT_EQ(a["greedy"], b["greedy"]);
  EXPECT_EQ(Json("eval --limit 2 --config " + Path("run/run.toml"))["problems"], 2);
}

TEST_F(Settings, FilesThatAreNoSettings) {
  const auto fails = [&](const std::string& command, const std::string& text, int code = 1) {
    const auto result = Pivotal(command + " --output " + Path("none"));
    EXPECT_EQ(result.code, code);
    EXPECT_THAT(result.output, HasSubstr(text));
    EXPECT_FALSE(std::filesystem::exists(Path("none")));
  };
  temp_.Write("bad.toml", "[search]\ngapp = 0.3\n");
  fails("search --config " + Path("bad.toml"),
        "bad.toml:2: there is no setting search.gapp; did you mean search.gap?");
  temp_.Write("type.toml", "[search]\ngap = \"wide\"\n");
  fails("search --config " + Path("type.toml"), "type.toml:2: search.gap is not a number");
  temp_.Write("broken.toml", "[search\n");
  fails("search --config " + Path("broken.toml"), "broken.toml:");
  fails("search --config " + Path("absent.toml"), "absent.toml", 2);
  temp_.Write("empty.toml", "");
  fails("search --config " + Path("empty.toml"), "--problems is required", 2);
  fails("train --config " + Path("empty.toml"), "--model is required", 2);
  temp_.Write("near.toml", "[sampling]\nsamples = 3\n");
  fails("search --config " + Path("near.toml"), "did you mean search.samples?");
  temp_.Write("range.toml", "[search]\ngap = 2.0\n");
  fails(fmt::format("search --config {} --model {} --problems {}/problems/train.jsonl",
                    Path("range.toml"), testing::kTinyModel, testing::kTiny),
        "range.toml: search: gap is 2");
  const auto both = Pivotal("search --resume " + Path("run") + " --config " + Path("empty.toml"));
  EXPECT_EQ(both.code, 2);
  EXPECT_THAT(both.output, HasSubstr("can't be changed with --resume"));
}

TEST_F(Settings, ProblemsOfStandardInputStayInTheRun) {
  Out(Search("file"));
  const auto searched = RunCommand(fmt::format(
      "head -3 {}/problems/train.jsonl | {} search --model {} --problems - --samples 8 --confirm 8 "
      "--max-new-tokens 64 --group 3 --output {} -q",
      testing::kTiny, PIVOTAL_BINARY, testing::kTinyModel, Path("piped")));
  EXPECT_EQ(searched.code, 0) << searched.output;
  EXPECT_EQ(testing::PairsOf(Path("piped")), testing::PairsOf(Path("file")));
  EXPECT_EQ(testing::JsonLines(Path("piped/problems")).size(), 3u);
  std::filesystem::rename(Path("piped"), Path("moved"));
  EXPECT_EQ(Pivotal("search --resume " + Path("moved")).code, 0);
  Out("search --config " + Path("moved/run.toml") + " --output " + Path("same"));
  EXPECT_EQ(testing::PairsOf(Path("same")), testing::PairsOf(Path("file")));
  const auto zipped =
      RunCommand(fmt::format("head -3 {}/problems/train.jsonl | gzip | {} eval --model {} "
                             "--problems - --max-new-tokens 64 --json -q",
                             testing::kTiny, PIVOTAL_BINARY, testing::kTinyModel));
  EXPECT_EQ(json::parse(zipped.output)["problems"], 3) << zipped.output;
  const auto none = RunCommand(fmt::format("{} eval --model {} --problems - < /dev/null",
                                           PIVOTAL_BINARY, testing::kTinyModel));
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.output, HasSubstr("pivotal: standard input: there is no problem in this file"));
}

TEST_F(Settings, ForceReplacesWhatCanBeMadeAgain) {
  Out(Search("run"));
  temp_.Write("lines.jsonl", R"({"prompt": "1+1?", "completion": "2"})"
                             "\n");
  temp_.Write("graded.jsonl", R"({"response": "2", "answer": "2"})"
                              "\n");
  const std::string run = Path("run"), out = Path("out");
  for (const std::string& command :
       {"pairs " + run, "curve " + run, "answers " + run, "report " + run,
        "export --format pts " + run, "export --format trl " + run,
        fmt::format("score --model {} --input {}", testing::kTinyModel, Path("lines.jsonl")),
        "grade --oracle exact --input " + Path("graded.jsonl"),
        fmt::format("tokenize --model {} --input {}", testing::kTinyModel, Path("lines.jsonl")),
        fmt::format("eval --config {}/run.toml", run)}) {
    SCOPED_TRACE(command);
    const std::string to = command + " --output " + out;
    temp_.Write("out", "mine");
    const auto refused = Pivotal(to);
    EXPECT_EQ(refused.code, 1);
    EXPECT_THAT(
        refused.output,
        HasSubstr("out: exists already; choose another --output, or replace it with --force"));
    EXPECT_EQ(File("out"), "mine");
    EXPECT_EQ(Pivotal(to + " --force").code, 0);
    EXPECT_NE(File("out"), "mine");
    std::filesystem::remove(out);
  }
  std::filesystem::create_directory(out);
  EXPECT_THAT(Pivotal("pairs " + run + " --force --output " + out).output,
              HasSubstr("out: is no file"));
  EXPECT_THAT(Pivotal("grade --oracle exact --input " + Path("graded.jsonl") +
                      " --force --output " + Path("graded.jsonl"))
                  .output,
              HasSubstr("graded.jsonl: is an input of this command"));
  EXPECT_THAT(File("graded.jsonl"), HasSubstr("response"));
}

// A run and its inputs are what most work went into.
TEST_F(Settings, ForceReplacesNoInput) {
  Out(Search("run"));
  const std::string run = Path("run"), traces = File("run/traces.h5");
  for (const std::string& command :
       {"pairs " + run, "curve " + run, "report " + run, "export --format pts " + run})
    for (const char* name : {"run/traces.h5", "run/run.toml"})
      EXPECT_THAT(Pivotal(command + " --force --output " + Path(name)).output,
                  HasSubstr("has the name of a part of a run or a model"));
  EXPECT_EQ(File("run/traces.h5"), traces);
  std::filesystem::copy_file(testing::kTiny + "/problems/train.jsonl", Path("p.jsonl"));
  std::filesystem::create_symlink(Path("p.jsonl"), Path("link.jsonl"));
  const std::string eval =
      fmt::format("eval --limit 1 --model {} --problems {} --max-new-tokens 64 --force --output ",
                  testing::kTinyModel, Path("p.jsonl"));
  for (const char* name : {"p.jsonl", "link.jsonl"})
    EXPECT_THAT(Pivotal(eval + Path(name)).output, HasSubstr("is an input of this command"));
  EXPECT_EQ(File("p.jsonl"), data::ReadFile(testing::kTiny + "/problems/train.jsonl"));
}

// Ctrl-C while standard input is read ends the program and makes no run of what had come.
TEST_F(Settings, StandardInputThatIsBrokenOff) {
  const auto stopped = RunCommand(fmt::format(
      "mkfifo {0}/in; {1} search --model {2} --problems - --output {0}/run < {0}/in 2>&1 & exec 3> "
      "{0}/in; "
      "head -2 {3}/problems/train.jsonl >&3; "
      // Bit 1 of the caught signals: the program takes Ctrl-C now.
      "for i in $(seq 300); do grep -q '^SigCgt:.*[2367abef]$' /proc/$!/status && break; sleep "
      "0.1; "
      "done; sleep 0.5; kill -INT $!; wait $!; echo code $?",
      temp_.path().string(), PIVOTAL_BINARY, testing::kTinyModel, testing::kTiny));
  EXPECT_THAT(stopped.output,
              AllOf(HasSubstr("stopped while reading standard input"), HasSubstr("code 130")));
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(Settings, ResultsAsJson) {
  const json search = Json(Search("run"));
  EXPECT_EQ(search["problems"], 3);
  EXPECT_EQ(search["run"], Path("run"));
  EXPECT_GT(search["generated_tokens"], 0);
  const json pairs = Json("pairs --min-confidence 0 " + Path("run"));
  EXPECT_EQ(pairs["pairs"], testing::JsonLines(Path("run/pairs.jsonl")).size());
  EXPECT_EQ(pairs["output"], Path("run/pairs.jsonl"));
  const json shown = Json("show " + Path("run"));
  ASSERT_EQ(shown["problems"].size(), 3u);
  EXPECT_EQ(shown["gap"], 0.2);
  const json one = Json("show --problem train-0001 " + Path("run"))["problems"];
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0]["id"], "train-0001");
  EXPECT_EQ(one[0]["responses"].size(), shown["problems"][0]["responses"]);
  temp_.Write("pairs.jsonl", testing::ProductPairs(9));
  const json trained =
      Json(fmt::format("train --model {} --data {} --eval-data {} --output {}", testing::kTinyModel,
                       Path("pairs.jsonl"), Path("pairs.jsonl"), Path("t")));
  EXPECT_EQ(trained["steps"], 1);
  EXPECT_NEAR(trained["loss"].get<double>(), std::log(2.0), 1e-6);
  EXPECT_TRUE(trained["metrics"].contains("rewards/margins"));
  EXPECT_EQ(trained["best"]["metric"], "eval_loss");
  const json info = Json(std::string("info --model ") + testing::kTinyModel);
  EXPECT_EQ(info["layers"], 6);
  EXPECT_EQ(info["memory_float32"]["weights"], info["weight_bytes"]);
  temp_.Write("graded.jsonl",
              "{\"response\": \"2\", \"answer\": \"2\", \"label\": 1}\n"
              "{\"response\": \"3\", \"answer\": \"2\", \"label\": 1}\n");
  const json graded =
      Json("grade --oracle exact --label-key label --input " + Path("graded.jsonl"));
  EXPECT_EQ(graded["lines"], 2);
  EXPECT_EQ(graded["right"], 1);
  EXPECT_EQ(graded["agreement"],
            (json{{"right_right", 1}, {"right_wrong", 1}, {"wrong_right", 0}, {"wrong_wrong", 0}}));
}

TEST_F(Settings, QuietSaysNothingBesideResults) {
  EXPECT_THAT(Err(Search("run") + " --quiet"), IsEmpty());
  EXPECT_THAT(Err(Search("loud")), HasSubstr("search"));
  EXPECT_THAT(Out("search -q --resume " + Path("run")), StartsWith("problems found done  3\n"));
  EXPECT_THAT(Err("pairs -q none"), HasSubstr("none")) << "errors are said";
  EXPECT_EQ(Pivotal(Search("both", "-q -v")).code, 2);
}

// The program has started itself again, and standard input is still unread.
TEST_F(Settings, ThreadsSleepWhileTheyWait) {
  const auto policy = [&](const std::string& environment) {
    return RunCommand(fmt::format(
        "mkfifo {0}/in; env {1} {2} eval --model {3} --problems - --max-new-tokens 64 --json -q "
        "< {0}/in > {0}/out 2>&1 & exec 3> {0}/in; for i in $(seq 100); do "
        "grep -qz -e OMP_WAIT -e NEVER /proc/$!/environ 2>/dev/null && break; sleep 0.05; done; "
        "tr '\\0' '\\n' < /proc/$!/environ | grep OMP_WAIT_POLICY; "
        "head -1 {4}/problems/train.jsonl >&3; exec 3>&-; wait $!; cat {0}/out; rm {0}/in",
        temp_.path().string(), environment, PIVOTAL_BINARY, testing::kTinyModel, testing::kTiny));
  };
  const auto passive = policy("-u OMP_NUM_THREADS -u OMP_WAIT_POLICY");
  EXPECT_THAT(passive.output,
              AllOf(StartsWith("OMP_WAIT_POLICY=passive\n"), HasSubstr("\"problems\":1")));
  EXPECT_THAT(policy("-u OMP_NUM_THREADS OMP_WAIT_POLICY=active").output,
              StartsWith("OMP_WAIT_POLICY=active\n"));
  EXPECT_THAT(policy("-u OMP_WAIT_POLICY OMP_NUM_THREADS=1").output, StartsWith("{"));
}

TEST_F(Settings, ADumbTerminalGetsNoEscapes) {
  Out(Search("run"));
  const std::string show =
      fmt::format("{} show {} --problem train-0001", PIVOTAL_BINARY, Path("run"));
  const auto on = [&](const std::string& environment) {
    return RunCommand(fmt::format("{} script -qec '{}' /dev/null < /dev/null", environment, show))
        .output;
  };
  if (RunCommand("command -v script").code != 0)
    GTEST_SKIP() << "no script(1), which gives a terminal";
  EXPECT_THAT(on("TERM=dumb"), Not(HasSubstr("\x1b[")));
  EXPECT_THAT(on("TERM=xterm NO_COLOR=1"), Not(HasSubstr("\x1b[")));
}

}  // namespace
}  // namespace pivotal
