// Apache-2.0. pivotal ablate: a small recipe on the tiny model runs, is repeated and is
// interrupted.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;
using testing::RunCommand;

const std::string kRecipe = R"(title = "Small"
seeds = [1, 2]
baseline = "as it is"
samples = 2
[run.model]
folder = ")" + testing::kTinyModel +
                            R"("
[run.problems]
file = ")" + testing::kTiny +
                            R"(/problems/train.jsonl"
limit = 10
[run.sampling]
max_new_tokens = 64
[run.search]
samples = 8
confirm = 16
[train.steps]
learning_rate = 1e-4
batch_size = 8
[[eval]]
name = "held out"
file = ")" + testing::kTiny +
                            R"(/problems/heldout.jsonl"
limit = 20
[[arm]]
name = "as it is"
[[arm]]
name = "random"
[[arm.stage]]
pairs = [{ source = "random", count = 16 }]
[[arm]]
name = "mixed, twice"
[[arm.stage]]
pairs = [{ source = "random", count = 16 }]
[[arm.stage]]
pairs = [{ source = "entropy", count = 4 }, { source = "full", count = 4 }]
train.loss.beta = 0.5
run.search.samples = 6
)";

class Ablate : public testing::CliTest {
 protected:
  std::string Arguments(const std::string& recipe = kRecipe) const {
    return "ablate " + temp_.Write("recipe.toml", recipe).string() + " --output " +
           output_.string();
  }
  testing::CommandResult Run(const std::string& more = "",
                             const std::string& recipe = kRecipe) const {
    return Pivotal(Arguments(recipe) + " " + more);
  }
  // Runs the recipe with `from` replaced by `to`.
  testing::CommandResult Changed(const std::string& from, const std::string& to) const {
    std::string recipe = kRecipe;
    return Run("", recipe.replace(recipe.find(from), from.size(), to));
  }
  json Results() const { return json::parse(data::ReadFile(output_ / "results.json")); }
  // Returns the tokens in the last line of each training's log, by the name of the training.
  static std::map<std::string, double> TrainingLogs(const json& results) {
    std::map<std::string, double> tokens;
    for (const json& training : results["trainings"]) {
      const std::string log = data::ReadFile(training["log"].get<std::string>());
      const std::size_t last = log.rfind('\n', log.size() - 2);
      tokens[training["name"]] = json::parse(log.substr(last + 1))["tokens"];
    }
    return tokens;
  }
  fs::path output_ = temp_.path() / "out";
};

// The 18 steps are, for each of two seeds: two searches (both arms share the first), two sets of
// pairs, two trainings and three evaluations, of which one is of the untrained model.
TEST_F(Ablate, EachStepIsDoneOnceAndFoundAgain) {
  EXPECT_THAT(Run("--dry-run --probe 0").output, HasSubstr("18 steps, 18 to do; how long 18 take"));
  const auto plan = Run("--dry-run");
  ASSERT_EQ(plan.code, 0) << plan.output;
  EXPECT_THAT(plan.output,
              AllOf(HasSubstr("18 steps, 18 to do, about "), HasSubstr("for 18 of them")));
  EXPECT_THAT(plan.output, AllOf(HasSubstr("80% (at 5%, 2 seeds), and in brackets after Holm's "
                                           "correction for 2 changes:\n  held out: "),
                                 HasSubstr(" on 20 problems with 2 samples; "),
                                 HasSubstr("(assumed: no arm is done with two seeds)")));
  EXPECT_FALSE(fs::exists(output_));
  // The run is killed after its first training; finished steps stay.
  testing::PivotalUntil(output_ / "steps/train-*/done", "KILL", Arguments());
  EXPECT_THAT(Run("--dry-run").output, Not(HasSubstr("18 to do")));
  const auto first = Run();
  ASSERT_EQ(first.code, 0) << first.output;
  const json results = Results();
  ASSERT_EQ(results["runs"].size(), 6u);
  EXPECT_EQ(results["scores"].size(), 3u);
  std::set<double> tokens;
  std::map<std::string, double> seconds, trained;  // of the first seed
  for (const json& line : results["runs"]) {
    EXPECT_EQ(line["problems"], 20);
    if (line["arm"] == "as it is") {
      EXPECT_EQ(line["pairs"], 0);
    }
    if (line["arm"] == "random") {
      EXPECT_EQ(line["pairs"], 16);
    }
    if (line["arm"] == "mixed, twice") {
      EXPECT_GE(line["pairs"], 20);
    }
    tokens.insert(line["generated_tokens"].get<double>());
    if (line["seed"] == 1) {
      seconds[line["arm"]] = line["seconds"];
      trained[line["arm"]] = line["trained_tokens"];
    }
  }
  for (const auto& [name, log] : TrainingLogs(results)) {
    if (name == "random") {
      EXPECT_EQ(trained["random"], log);
    }
  }
  EXPECT_EQ(trained["as it is"], 0);
  EXPECT_GT(trained["mixed, twice"], trained["random"]);
  EXPECT_EQ(seconds["as it is"], 0);
  EXPECT_GT(seconds["random"], 0);
  EXPECT_GT(seconds["mixed, twice"], seconds["random"]);  // it has the other's steps and more
  for (const json& score : results["scores"]) {
    if (score["arm"] == "as it is") continue;
    EXPECT_GE(score["sampled_change"]["holm_p"], score["sampled_change"]["p"]);
    EXPECT_LE(score["greedy_change"]["p"], 1);
  }
  EXPECT_EQ(tokens.size(), 5u);  // none, or those of one search or two searches with either seed
  const std::string table = data::ReadFile(output_ / "results.md"),
                    page = data::ReadFile(output_ / "report.html");
  EXPECT_THAT(table, AllOf(HasSubstr("| mixed, twice |"),
                           HasSubstr("2 changes of the sampled accuracy are")));
  EXPECT_THAT(page, AllOf(HasSubstr("\"comparisons\":[{"), HasSubstr("mixed, twice, stage 2"),
                          HasSubstr("rewards/margins")));
  const auto again = Run();
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("0 steps in"));
  EXPECT_EQ(Results(), results);
  EXPECT_EQ(data::ReadFile(output_ / "results.md"), table);
  // Another baseline needs no new step, and turns the change round.
  const auto turned = Run("--baseline random --json");
  ASSERT_EQ(turned.code, 0) << turned.output;
  const auto change = [](const json& of, const std::string& arm) {
    for (const json& score : of["scores"])
      if (score["arm"] == arm) return score["sampled_change"]["mean"].get<double>();
    return 1e9;
  };
  EXPECT_EQ(Results()["baseline"], "random");
  EXPECT_NEAR(change(Results(), "as it is"), -change(results, "random"), 1e-9);
  EXPECT_THAT(Run("--baseline randon").output,
              HasSubstr("baseline \"randon\" is not the name of an arm; did you mean random?"));
  EXPECT_THAT(Run("--dry-run").output, HasSubstr("(measured on 2 arms)"));
  // Another loss needs new trainings and evaluations, but no new search.
  EXPECT_THAT(Run("--dry-run").output, HasSubstr("18 steps, 0 to do"));
  std::string other = kRecipe;
  other.replace(other.find("beta = 0.5"), 10, "beta = 0.2");
  EXPECT_THAT(Run("--dry-run", other).output, HasSubstr("18 steps, 4 to do"));
  // Results that are damaged are named with the folder to remove.
  fs::path scores, traces;
  for (const auto& step : fs::directory_iterator(output_ / "steps")) {
    if (fs::exists(step.path() / "scores.jsonl")) scores = step.path() / "scores.jsonl";
    if (fs::exists(step.path() / "traces.h5")) traces = step.path() / "traces.h5";
  }
  const std::string lines = data::ReadFile(scores);
  data::WriteFile(scores, lines.substr(0, lines.find('\n') + 1));
  for (const char* more : {"", "--dry-run"})
    EXPECT_THAT(Run(more).output, AllOf(HasSubstr("scores.jsonl: has 1 problems, not 20"),
                                        HasSubstr("remove the folder")));
  const std::string samples = "\"samples\":2,";
  data::WriteFile(
      scores, std::string(lines).replace(lines.find(samples), samples.size(), "\"samples\":9,"));
  EXPECT_THAT(Run().output,
              AllOf(HasSubstr("has 9 samples, not 2"), HasSubstr("remove the folder")));
  data::WriteFile(scores, lines);
  fs::remove(traces);
  EXPECT_THAT(Run().output, AllOf(HasSubstr("the search has no traces"),
                                  HasSubstr("remove the folder " + traces.parent_path().string())));
}

// Recipes share steps. Stages take pairs by proportion, of refusals and by a judge, and a search
// may find no pair.
TEST_F(Ablate, SharesStepsAndTakesWhatPairsThereAre) {
  const std::string steps = "--steps " + (temp_.path() / "steps").string();
  const fs::path judge = temp_.Write(
      "judge.sh",
      "while read -r line; do echo '{\"accuracy\":'${#line}',\"style\":0,\"detail\":0}'; done\n");
  std::string recipe = kRecipe.substr(0, kRecipe.find("[[arm]]"));
  recipe.replace(recipe.find("seeds = [1, 2]"), 14, "seeds = [1]\nrefusal = \"#### 1\"");
  const auto run = Run(steps, recipe + R"([[arm]]
name = "as it is"
[[arm]]
name = "many"
[[arm.stage]]
pairs = [{ source = "pivotal", share = 0.5 }, { source = "refusal", count = "all", refusal = " #### 1" },
  { source = "judged", count = 5, judge = "sh )" +
                                  judge.string() + R"(", margin = 0.1 }]
[[arm]]
name = "nothing"
[[arm.stage]]
run.search.gap = 0.99
)");
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output,
              HasSubstr("nothing, seed 1: pairs: there are no pairs; the model stays as it is"));
  EXPECT_THAT(run.output, HasSubstr("right of these"));
  const json results = Results();
  for (const json& line : results["runs"]) {
    if (line["arm"] == "many") {
      EXPECT_GE(line["pairs"], 10 + 5);  // ten refusals, one a problem
    }
    if (line["arm"] == "nothing") {
      EXPECT_EQ(line["pairs"], 0);
    }
  }
  for (const json& score : results["scores"]) {
    // In this recipe an answer that begins with 1 counts as a refusal.
    const double answered = score["answered"]["mean"], right = score["right_of_answered"]["mean"];
    EXPECT_LT(answered, 100);
    EXPECT_NEAR(answered * right / 100, score["sampled"]["mean"].get<double>(), 1e-9);
    if (score["arm"] == "nothing") {
      EXPECT_EQ(score["sampled_change"]["mean"], 0);
      EXPECT_EQ(score["sampled"], results["scores"][0]["sampled"]);  // "as it is"
    }
  }
  EXPECT_THAT(Run(steps + " --dry-run", data::ReadFile(temp_.path() / "recipe.toml")).output,
              HasSubstr(", 0 to do"));
  // Another recipe finds the search and the evaluation of the untrained model.
  output_ = temp_.path() / "other";
  const auto other =
      Run(steps, recipe +
                     "[[arm]]\nname = \"as it is\"\n[[arm]]\nname = \"random\"\n[[arm.stage]]\n"
                     "pairs = [{ source = \"random\", count = 8 }]\n");
  ASSERT_EQ(other.code, 0) << other.output;
  EXPECT_THAT(other.output, HasSubstr("3 steps in"));
  EXPECT_THAT(other.output, HasSubstr("2 found done"));
}

// The models and problems of the recipes that are shipped exist, and their trainings would begin.
TEST_F(Ablate, PlansTheShippedRecipes) {
  int recipes = 0;
  for (const auto& file :
       fs::recursive_directory_iterator(PIVOTAL_SOURCE_DIR "/experiments/ablation/recipes")) {
    if (file.path().extension() != ".toml") continue;
    const auto plan = Pivotal("ablate " + file.path().string() + " --dry-run --probe 0 --output " +
                              output_.string());
    EXPECT_EQ(plan.code, 0) << file.path() << ": " << plan.output;
    ++recipes;
  }
  EXPECT_GE(recipes, 14);
}

// An arm with several numbers of problems is an arm for each, and these are one curve.
TEST_F(Ablate, AnArmMayHaveSeveralCosts) {
  std::string recipe = kRecipe.substr(0, kRecipe.find("name = \"random\""));
  recipe.replace(recipe.find("seeds = [1, 2]"), 14, "seeds = [1]");
  recipe += R"(name = "random"
problems = [4, 8]
[[arm.stage]]
pairs = [{ source = "random", count = 8 }]
[[arm]]
name = "random, all"
curve = "random"
[[arm.stage]]
pairs = [{ source = "random", count = 8 }]
)";
  const auto run = Run("", recipe);
  ASSERT_EQ(run.code, 0) << run.output;
  std::map<std::string, double> tokens;
  std::map<std::string, std::string> curves;
  const json results = Results();
  for (const json& score : results["scores"]) {
    tokens[score["arm"]] = score["generated_tokens"];
    if (score.contains("curve")) curves[score["arm"]] = score["curve"];
  }
  ASSERT_EQ(tokens.size(), 4u);
  EXPECT_GT(tokens["random (4)"], 0);
  EXPECT_LT(tokens["random (4)"], tokens["random (8)"]);
  EXPECT_LT(tokens["random (8)"], tokens["random, all"]);
  EXPECT_THAT(curves, ::testing::UnorderedElementsAre(::testing::Pair("random (4)", "random"),
                                                      ::testing::Pair("random (8)", "random"),
                                                      ::testing::Pair("random, all", "random")));
  EXPECT_THAT(
      data::ReadFile(output_ / "report.html"),
      AllOf(HasSubstr("\"costs\":[{\"title\":\"held out\",\"label\":\"tokens, generated"),
            HasSubstr("\"curves\":[{\"name\":\"random\",\"points\":[{\"name\":\"random (4)\"")));
  EXPECT_THAT(data::ReadFile(output_ / "results.md"),
              HasSubstr("one seed does not tell what another would change"));
  const auto broken = [&](const std::string& from, const std::string& to) {
    std::string other = recipe;
    return Run("", other.replace(other.find(from), from.size(), to)).output;
  };
  EXPECT_THAT(broken("[4, 8]", "[4, 4]"), HasSubstr("problems must differ from one another"));
  EXPECT_THAT(broken("[4, 8]", "[0]"), HasSubstr("problems must be integers, at least 1"));
  EXPECT_THAT(broken("[4, 8]", "8"), HasSubstr("problems must be an array of integers"));
  EXPECT_THAT(broken("baseline = \"as it is\"", "baseline = \"random\""),
              HasSubstr("take one of its arms, such as \"random (4)\""));
  EXPECT_THAT(Run(" --seeds 1 1", recipe).output, HasSubstr("--seeds has a seed twice"));
  EXPECT_THAT(broken("\"random, all\"", "\"random (8)\""),
              HasSubstr("two arms are named \"random (8)\""));
  EXPECT_THAT(broken("name = \"as it is\"", "name = \"as it is\"\nproblems = [1]"),
              HasSubstr("an arm without stages of its own searches no problems"));
}

// Training has types of its own, and an adapter is evaluated beside the weights that it was made
// for.
TEST_F(Ablate, TrainsInOtherTypesAndGoesOnWithAdapters) {
  std::string recipe = kRecipe.substr(0, kRecipe.find("[[arm]]"));
  recipe.replace(recipe.find("seeds = [1, 2]"), 14, "seeds = [1]");
  const std::string random = "[[arm.stage]]\npairs = [{ source = \"random\", count = 16 }]\n";
  const auto run = Run("", recipe + "[[arm]]\nname = \"as it is\"\n" +
                               "[[arm]]\nname = \"bfloat16\"\n" + random +
                               R"(train.model.dtype = "bfloat16"
train.weights = { half_update = "stochastic", optimizer = "adamw8bit", fused_backward = true }
train.steps.clip_by = "tensor"
[[arm]]
name = "adapter, twice"
weights = "nf4"
)" + random + "train.weights = { lora_rank = 4, base_weights = \"nf4\" }\n" +
                               random + "train.weights = { lora_rank = 4 }\n");
  ASSERT_EQ(run.code, 0) << run.output;
  const json results = Results();
  ASSERT_EQ(results["trainings"].size(), 3u);
  const auto settings = [&](int training) {
    const fs::path log = results["trainings"][training]["log"].get<std::string>();
    EXPECT_TRUE(fs::exists(log)) << log;
    return data::ReadFile(log.parent_path() / "train.toml");
  };
  const auto output = [&](int training) {
    return fs::path(results["trainings"][training]["log"].get<std::string>()).parent_path();
  };
  EXPECT_THAT(settings(0), AllOf(HasSubstr("dtype = 'bfloat16'"), HasSubstr("'adamw8bit'"),
                                 HasSubstr("adapter = ''")));
  EXPECT_TRUE(fs::exists(output(0) / "model.safetensors"));
  EXPECT_THAT(settings(1), AllOf(HasSubstr("dtype = 'float32'"), HasSubstr("lora_rank = 4"),
                                 HasSubstr("base_weights = 'nf4'")));
  EXPECT_THAT(settings(2), AllOf(HasSubstr("lora_rank = 0"), HasSubstr("base_weights = 'auto'"),
                                 HasSubstr("adapter = '" + output(1).string() + "'")));
  EXPECT_TRUE(fs::exists(output(2) / "adapter_config.json"));
  EXPECT_FALSE(fs::exists(output(2) / "model.safetensors"));
  const auto again = Run("", data::ReadFile(temp_.path() / "recipe.toml"));
  EXPECT_THAT(again.output, HasSubstr("0 steps in"));
}

TEST_F(Ablate, NamesWhatIsWrongInARecipe) {
  EXPECT_THAT(Changed("confirm = 16", "confrm = 16").output,
              HasSubstr("recipe.toml:14: there is no setting run.search.confrm; did you mean "
                        "run.search.confirm?"));
  EXPECT_THAT(Changed("[[arm.stage]]\npairs", "[[arm.stge]]\npairs").output,
              HasSubstr("arm.stge is no key of a recipe; did you mean stage?"));
  EXPECT_THAT(Changed("name = \"random\"", "name = \"random\"\nafter = \"nobody\"").output,
              HasSubstr("no arm above is named \"nobody\""));
  EXPECT_THAT(Changed("name = \"random\"", "name = \"random\"\nproblems = [4, 100000]").output,
              HasSubstr(" problems, not 100000"));
  const std::string last =
      "{ source = \"full\", count = 4 }]\ntrain.loss.beta = 0.5\nrun.search.samples = 6";
  const std::string no_search = "\nrun.search.strategy = \"none\"";
  EXPECT_THAT(Changed(last, "{ source = \"step\", count = 4 }]" + no_search).output,
              HasSubstr("\"step\" needs a search"));
  EXPECT_THAT(Changed(last, "{ source = \"full\" }]" + no_search).output,
              HasSubstr("a part needs a count"));
  EXPECT_THAT(Changed("pairs = [{ source = \"entropy\", count = 4 }, " + last, no_search).output,
              HasSubstr("finds no pivotal tokens"));
  EXPECT_THAT(Changed("\"entropy\", count = 4 }, " + last,
                      "\"right\" }]\ntrain.loss = { sft = true, beta = 0.5 }")
                  .output,
              HasSubstr("train.loss.beta has no effect beside train.loss.sft"));
  EXPECT_THAT(Changed("baseline = \"as it is\"", "baseline = \"none\"").output,
              HasSubstr("baseline \"none\" is not the name of an arm"));
  EXPECT_THAT(Changed("source = \"entropy\"", "source = \"entrpy\"").output,
              HasSubstr("pairs of \"entrpy\" are unknown"));
  EXPECT_THAT(Changed("pairs = [{ source = \"random\", count = 16 }]", "pairs = []").output,
              HasSubstr("recipe.toml:27: pairs is empty; leave it out"));
  EXPECT_THAT(Changed("source = \"entropy\"", "source = \"right\"").output,
              HasSubstr("train.loss.sft"));
  EXPECT_THAT(Changed("limit = 20", "dataset = \"gsm9k\"").output,
              AllOf(HasSubstr("recipe.toml:21: "), HasSubstr("data set \"gsm9k\" is unknown")));
  EXPECT_THAT(Changed("limit = 10", "dataset = \"gsm9k\"").output,
              HasSubstr("recipe.toml:9: run.problems.dataset: data set \"gsm9k\" is unknown"));
  EXPECT_THAT(Changed("source = \"entropy\"", "source = \"judged\"").output,
              HasSubstr("need judge"));
  EXPECT_THAT(Changed("\"entropy\", count = 4", "\"entropy\", count = 4, share = 2").output,
              HasSubstr("a count or a share"));
  EXPECT_THAT(Changed("\"entropy\", count = 4", "\"entropy\", count = \"some\"").output,
              HasSubstr("count must be an integer from 1 or \"all\""));
  EXPECT_THAT(
      Changed("pairs = [{ source = \"random\", count = 16 }]", "train.loss.sft = true").output,
      HasSubstr("arm \"random\": train.loss.sft = true needs pairs with the source"));
  EXPECT_THAT(Changed("run.search.samples = 6", "run.sampling.stop = [\"\"]").output,
              HasSubstr("arm \"mixed, twice\": an empty stop string"));
  EXPECT_THAT(Changed("train.loss.beta = 0.5", "train.steps.lr_schedule = \"x\"").output,
              HasSubstr("recipe.toml:34: train.steps.lr_schedule: schedule \"x\" is unknown"));
  EXPECT_THAT(Changed("\"entropy\", count = 4", "\"entropy\", share = -1").output,
              HasSubstr("share must be a number"));
  EXPECT_THAT(Changed("\"entropy\", count = 4", "\"entropy\", count = 4294967297").output,
              HasSubstr("count must be an integer from 1 to 2147483647"));
  EXPECT_THAT(Changed("train.loss.beta = 0.5", "run.model.dtype = \"bfloat16\"").output,
              HasSubstr("a stage has the model of its arm"));
  EXPECT_THAT(Changed("train.loss.beta = 0.5", "train.model.folder = \"other\"").output,
              HasSubstr("train.model.folder is no key of a recipe"));
  EXPECT_THAT(Changed("train.loss.beta = 0.5", "train.weights.base_weights = \"nf4\"").output,
              HasSubstr("recipe.toml: arm \"mixed, twice\": --base-weights nf4 needs --lora-rank"));
  EXPECT_THAT(Changed("name = \"random\"", "name = \"random\"\nweights = \"nf5\"").output,
              HasSubstr("weights \"nf5\" are unknown: take auto or one of"));
  EXPECT_THAT(Changed("samples = 8", "samples = \"8\"").output,
              HasSubstr("recipe.toml:13: run.search.samples is not an integer"));
  EXPECT_THAT(Changed("seeds = [1, 2]", "seeds = []").output, HasSubstr("recipe.toml:2: seeds"));
  EXPECT_THAT(Changed("title = ", "title == ").output, HasSubstr("recipe.toml:1"));
  EXPECT_THAT(Changed("limit = 20", "limit = 20\n[[eval]]\nname = \"held out\"\nfile = \"" +
                                        testing::kTiny + "/problems/larger.jsonl\"")
                  .output,
              HasSubstr("two [[eval]] sets are named \"held out\""));
  EXPECT_THAT(Changed("name = \"held out\"", "name = \"\"").output,
              HasSubstr("the name of an [[eval]] set is empty"));
  EXPECT_THAT(Changed("samples = 2", "samples = 0").output,
              HasSubstr("samples must be an integer from 1"));
  // What arms and seeds set, and keys of other sources.
  EXPECT_THAT(Changed("max_new_tokens = 64", "max_new_tokens = 64\nseed = 3").output,
              HasSubstr("run.sampling.seed is that of the recipe's seeds"));
  EXPECT_THAT(Changed("train.loss.beta = 0.5", "train.steps.seed = 5").output,
              HasSubstr("train.steps.seed is that of the recipe's seeds"));
  EXPECT_THAT(Changed("train.loss.beta = 0.5", "train.data.file = \"a.jsonl\"").output,
              HasSubstr("train.data.file are the pairs"));
  EXPECT_THAT(Changed("\"entropy\", count = 4", "\"entropy\", count = 4, margin = 2").output,
              HasSubstr("margin belongs to pairs of source \"judged\""));
  for (const char* share : {"0", "inf", "1e300"})
    EXPECT_THAT(
        Changed("\"entropy\", count = 4", std::string("\"entropy\", share = ") + share).output,
        HasSubstr("share must be above 0 and at most 1000"));
  // Settings are refused before the first step, whatever the stage.
  const std::string where = "recipe.toml: arm \"mixed, twice\": ";
  EXPECT_THAT(Changed("run.search.samples = 6", "run.search.gap = 2").output,
              HasSubstr(where + "search: gap is 2"));
  EXPECT_THAT(Changed("run.search.samples = 6", "run.search.strategy = \"foo\"").output,
              AllOf(HasSubstr(where), HasSubstr("foo")));
  EXPECT_THAT(Changed("run.search.samples = 6", "run.problems.oracle = \"nope\"").output,
              AllOf(HasSubstr(where), HasSubstr("nope")));
  EXPECT_THAT(Changed("train.loss.beta = 0.5", "train.model.dtype = \"float99\"").output,
              HasSubstr(where + "--dtype float99"));
  EXPECT_THAT(Changed("run.search.samples = 6", "run.problems.oracle = \"choice\"").output,
              HasSubstr("train.jsonl: problem train-0001: the oracle choice finds nothing"));
  EXPECT_THAT(Changed("run.search.samples = 6", "run.search.for = \"pear\"").output,
              HasSubstr("recipe.toml:35: search: the goal is \"pear\""));
  EXPECT_THAT(Changed("name = \"random\"", "name = \"ran\\ndom\"").output,
              HasSubstr("has a character that can't be shown"));
  EXPECT_THAT(Changed("limit = 20", "dataset = \"gpqa\"").output,
              AllOf(HasSubstr("recipe.toml:18: "), HasSubstr("no key \"Question\"")));
  const std::string folder = "folder = \"" + testing::kTinyModel + "\"";
  EXPECT_THAT(Changed(folder, "").output, HasSubstr("the recipe names no model"));
  EXPECT_FALSE(fs::exists(output_));
}

// A model of --model is looked for in the working directory, the recipe's own in its folder. The
// parts of a file that searches are shared by are no parts of the sets. What is searched and
// evaluated on is told.
TEST_F(Ablate, TellsWhereThingsAre) {
  fs::create_directory(temp_.path() / "recipes");
  std::string recipe = kRecipe;
  recipe.replace(recipe.find("limit = 10"), 10, "limit = 10\nshard = \"1/2\"");
  recipe.replace(recipe.find("heldout.jsonl"), 13, "train.jsonl");
  temp_.Write("recipes/recipe.toml", recipe);
  fs::create_directory_symlink(fs::absolute(testing::kTinyModel), temp_.path() / "own");
  const auto plan = RunCommand(fmt::format(
      "cd {} && {} ablate recipes/recipe.toml --model own --output out --dry-run --probe 0",
      temp_.path().string(), PIVOTAL_BINARY));
  EXPECT_EQ(plan.code, 0) << plan.output;
  EXPECT_THAT(plan.output,
              AllOf(HasSubstr("arm \"random\" searches 5 of the 20 problems of the set "
                              "\"held out\""),
                    HasSubstr("held out: "), HasSubstr("on 20 problems")));
}

// Imitation without a search and a policy gradient have searches and trainings of another speed.
TEST_F(Ablate, APlanTriesEverySortOfStep) {
  const auto plan =
      Run("--dry-run --seeds 1",
          kRecipe +
              "[[arm]]\nname = \"imitation\"\n[[arm.stage]]\n"
              "run.search.strategy = \"none\"\npairs = [{ source = \"right\", count = \"all\" }]\n"
              "train.loss.sft = true\n"
              "[[arm]]\nname = \"policy gradient\"\n[[arm.stage]]\n"
              "pairs = [{ source = \"curve\", count = \"all\" }]\n"
              "train.loss = { method = \"ppo\", rpo_alpha = 0 }\n");
  EXPECT_THAT(plan.output, HasSubstr("for 16 of them\n"));
}

// A script that judges is part of the key of what it judges.
TEST_F(Ablate, KeysFollowTheFilesOfCommands) {
  const auto judge = temp_.Write("judge.py", "print('right')\n");
  const std::string oracle = "oracle = \"command:python3 " + judge.string() + "\"\n[run.sampling]";
  std::string recipe = kRecipe;
  recipe.replace(recipe.find("[run.sampling]"), 14, oracle);
  const std::string before = Run("--dry-run --probe 0", recipe).output;
  EXPECT_EQ(Run("--dry-run --probe 0", recipe).output, before);
  temp_.Write("judge.py", "print('wrong')\n");
  const std::string after = Run("--dry-run --probe 0", recipe).output;
  std::istringstream old_lines(before), new_lines(after);
  std::string old_line, new_line;
  for (int step = 0; step < 18 && std::getline(old_lines, old_line); ++step) {
    std::getline(new_lines, new_line);
    EXPECT_EQ(old_line.substr(16), new_line.substr(16));
    EXPECT_NE(old_line.substr(0, 16), new_line.substr(0, 16)) << old_line;
  }
}

// The arm has the searches, pairs and trainings of "random", and for each seed four steps of its
// own.
TEST_F(Ablate, AnArmMayGoOnAfterAnother) {
  const auto plan = Run("--dry-run --probe 0", kRecipe +
                                                   "[[arm]]\nname = \"more\"\nafter = \"random\"\n"
                                                   "[[arm.stage]]\n"
                                                   "pairs = [{ source = \"full\", count = 4 }]\n");
  EXPECT_THAT(plan.output, HasSubstr("26 steps, 26 to do"));
  // An adapter that goes on can be merged.
  const std::string stage = "[[arm.stage]]\npairs = [{ source = \"full\", count = 4 }]\n";
  const auto merged =
      Run("--dry-run --probe 0", kRecipe + "[[arm]]\nname = \"adapter\"\n" + stage +
                                     "train.weights.lora_rank = 4\n[[arm]]\nname = \"merged\"\n"
                                     "after = \"adapter\"\n" +
                                     stage + "train.weights.merge = true\n");
  EXPECT_THAT(merged.output, HasSubstr("seed 2: train"));
  EXPECT_THAT(merged.output, HasSubstr(" to do"));
}

// A stage may take the search of the stage before once more, which is done and counted once.
TEST_F(Ablate, AStageMaySearchWithTheUntrainedModel) {
  const std::string sft =
      "[[arm]]\nname = \"imitates\"\n[[arm.stage]]\n"
      "pairs = [{ source = \"continuations\", count = 12 }]\ntrain.loss.sft = true\n";
  const auto recipe = [&](const std::string& stage) {
    std::string text = kRecipe.substr(0, kRecipe.find("[[arm]]\nname = \"random\""));
    text.replace(text.find("seeds = [1, 2]"), 14, "seeds = [1]");
    return text + sft + "[[arm]]\nname = \"both\"\nafter = \"imitates\"\n[[arm.stage]]\n" + stage;
  };
  const std::string full = "pairs = [{ source = \"full\", count = 4 }]\n";
  const auto run = Run("", recipe("search_with = \"untrained\"\n" + full));
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("8 steps in"));  // a search, two of pairs, two of training
  const json results = Results();
  std::map<std::string, json> runs;
  for (const json& line : results["runs"]) runs[line["arm"]] = line;
  EXPECT_EQ(runs["imitates"]["pairs"], 12);
  EXPECT_EQ(runs["both"]["pairs"], 16);
  EXPECT_GT(runs["imitates"]["generated_tokens"], 0);
  EXPECT_EQ(runs["both"]["generated_tokens"], runs["imitates"]["generated_tokens"]);
  EXPECT_GT(runs["both"]["trained_tokens"], runs["imitates"]["trained_tokens"]);
  EXPECT_GT(runs["both"]["seconds"], runs["imitates"]["seconds"]);
  output_ = temp_.path() / "other";
  EXPECT_THAT(Run("--dry-run --probe 0", recipe(full)).output, HasSubstr("9 steps"));
  EXPECT_THAT(Run("", recipe("search_with = \"trained\"\n" + full)).output,
              AllOf(HasSubstr("recipe.toml:"),
                    HasSubstr("search_with is \"trained\", must be \"current\"")));
  EXPECT_THAT(Run("", recipe("pairs = [{ source = \"continuations\", count = 4 }]\n")).output,
              HasSubstr("\"continuations\" is for train.loss.sft = true"));
}

// Two calls begin with different seeds. Each step is done by one of them, and both have all
// results.
TEST_F(Ablate, ProcessesShareAFolderOfSteps) {
  const auto call = [&](const std::string& name, const std::string& seeds) {
    return fmt::format("OMP_NUM_THREADS=1 {} ablate {} --steps {} --output {} --seeds {} > {} 2>&1",
                       PIVOTAL_BINARY, Path("recipe.toml"), Path("steps"), Path(name), seeds,
                       Path(name + ".log"));
  };
  temp_.Write("recipe.toml", kRecipe);
  const auto both = RunCommand("{ " + call("a", "1 2") + " & " + call("b", "2 1") +
                               "; CODE=$?; wait $! && exit $CODE; }");
  int done = 0;
  std::map<std::string, json> sampled;
  for (const std::string name : {"a", "b"}) {
    const std::string log = data::ReadFile(Path(name + ".log"));
    ASSERT_EQ(both.code, 0) << log;
    std::smatch match;
    ASSERT_TRUE(std::regex_search(log, match, std::regex("(\\d+) steps in .*, (\\d+) found done")));
    EXPECT_EQ(std::stoi(match[1]) + std::stoi(match[2]), 18);
    EXPECT_GT(std::stoi(match[1]), 0);
    done += std::stoi(match[1]);
    for (const json& run : json::parse(data::ReadFile(Path(name) + "/results.json"))["runs"])
      sampled[name][run["arm"].get<std::string>() + run["seed"].dump()] = run["sampled"];
  }
  EXPECT_EQ(done, 18);
  EXPECT_EQ(sampled["a"], sampled["b"]);
  for (const auto& entry : fs::directory_iterator(Path("steps")))
    EXPECT_TRUE(entry.is_directory()) << entry.path();
}

// What the system refuses is one line that names the path, for every folder that is made.
TEST_F(Ablate, AFolderThatCannotBeMadeIsSaid) {
  temp_.Write("recipe.toml", kRecipe);
  temp_.Write("file", "");
  const std::string under = Path("file") + "/under";
  for (const std::string& where :
       {" --output " + under, " --output " + Path("out") + " --steps " + under}) {
    const auto result = Pivotal("ablate " + Path("recipe.toml") + where);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.output, ::testing::StartsWith("pivotal: " + under));
    EXPECT_THAT(result.output, HasSubstr(": can't create the folder: not a directory\n"));
    EXPECT_THAT(result.output, Not(HasSubstr("filesystem error")));
  }
  EXPECT_THAT(Pivotal("ablate " + Path("recipe.toml") + " --output -").output,
              ::testing::StartsWith("pivotal: -: this command makes a folder"));
}

}  // namespace
}  // namespace pivotal
