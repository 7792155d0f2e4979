// Apache-2.0. What is trained on the curve of p(success): advantages, steps and critical tokens,
// from a search to the trained model.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
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
using testing::JsonLines;
using testing::Pivotal;

constexpr int kProblems = 10;

class CurveTraining : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new testing::TempDir;
    const auto search = Pivotal(testing::SearchArguments(kProblems, 8, 10) + Path("run"));
    ASSERT_EQ(search.code, 0) << search.output;
    for (const std::string kind : {"curve", "outcome"}) {
      const auto made = Pivotal("export " + Path("run") + " --format advantages --advantages " +
                                kind + " --output " + Path(kind + ".jsonl"));
      ASSERT_EQ(made.code, 0) << made.output;
    }
  }
  static void TearDownTestSuite() { delete temp_; }

  static std::string Path(const std::string& name) { return (temp_->path() / name).string(); }

  // Trains the tiny model by the policy gradient, with checkpoints.
  static testing::CommandResult Train(const std::string& data, const std::string& output,
                                      const std::string& more = "") {
    return Pivotal("train --device cpu --objective ppo --model " + testing::kTinyModel +
                   " --data " + Path(data) +
                   " --batch-size 4 --learning-rate 1e-4 --order file --output " + Path(output) +
                   " " + more);
  }
  static std::vector<json> Log(const std::string& output) {
    return JsonLines(Path(output) + "/log.jsonl");
  }

  static inline testing::TempDir* temp_ = nullptr;
};

TEST_F(CurveTraining, OutcomesAreVerdictsLessTheirMean) {
  const auto lines = JsonLines(Path("outcome.jsonl"));
  ASSERT_GT(lines.size(), 16u);
  std::map<std::string, std::vector<double>> by_problem;
  for (const json& line : lines) {
    const std::string id = line["id"];
    EXPECT_EQ(line["advantages"].size(), line["completion_ids"].size());
    by_problem[id.substr(0, id.find('/'))].push_back(line["advantages"][0]);
  }
  for (const auto& [problem, advantages] : by_problem) {
    double sum = 0;
    for (const double advantage : advantages) sum += advantage;
    EXPECT_NEAR(sum, 0, 1e-5) << problem;
    const auto [low, high] = std::ranges::minmax(advantages);
    EXPECT_NEAR(high - low, 1, 1e-6) << "right less wrong";
  }
}

TEST_F(CurveTraining, APolicyGradientTrainsOnBothKinds) {
  for (const std::string kind : {"curve", "outcome"}) {
    const auto trained = Train(kind + ".jsonl", kind,
                               "--epochs 2 --eval-data " + Path("curve.jsonl") + " --eval-steps 4");
    ASSERT_EQ(trained.code, 0) << trained.output;
    double last_kl = 0;
    for (const json& line : Log(kind)) {
      if (line.contains("eval_loss")) {
        EXPECT_TRUE(line.contains("eval_kl"));
        continue;
      }
      if (line["step"] == 1) {
        EXPECT_NEAR(line["ratio"], 1, 1e-5);
        EXPECT_NEAR(line["kl"], 0, 1e-6);
        EXPECT_EQ(line["clip_ratio/region_mean"], 0);
      }
      EXPECT_GE(line["kl"], 0);
      last_kl = line["kl"];
    }
    EXPECT_GT(last_kl, 1e-6) << "the model has moved";
    EXPECT_THAT(data::ReadFile(Path(kind) + "/README.md"),
                HasSubstr("policy gradient with PPO's clipped ratio"));
  }
  const auto refused =
      Train("curve.jsonl", "never",
            "--eval-data " + Path("curve.jsonl") + " --eval-metric eval_rewards/margins");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.output, HasSubstr("is for preference losses, not for ppo"));
  EXPECT_EQ(Train("curve.jsonl", "no-kl", "--kl-weight 0 --max-steps 2").code, 0);
  EXPECT_FALSE(Log("no-kl")[0].contains("kl"));
}

// The tokens raised at the first step are those of positive advantage.
TEST_F(CurveTraining, TheLogProbabilitiesFollowTheAdvantages) {
  std::string lines;
  for (const json& line : JsonLines(Path("outcome.jsonl"))) {
    json one = line;
    one["advantages"] = line["advantages"][0];
    lines += one.dump() + "\n";
  }
  data::WriteFile(Path("numbers.jsonl"), lines);
  for (const std::string data : {"outcome.jsonl", "numbers.jsonl"}) {
    const auto trained = Train(data, "of-" + data, "--epochs 3 --kl-weight 0 --learning-rate 3e-4");
    ASSERT_EQ(trained.code, 0) << trained.output;
  }
  EXPECT_EQ(data::Sha256OfFile(Path("of-outcome.jsonl") + "/model.safetensors"),
            data::Sha256OfFile(Path("of-numbers.jsonl") + "/model.safetensors"));
  const auto logps = [&](const std::string& model) {
    const auto scored = Pivotal("score --model " + model + " --input " + Path("numbers.jsonl") +
                                " --output " + Path("scores.jsonl") + " --force");
    EXPECT_EQ(scored.code, 0) << scored.output;
    std::vector<double> sums;
    for (const json& line : JsonLines(Path("scores.jsonl"))) {
      const std::vector<double> logprobs = line["logprobs"];
      sums.push_back(std::accumulate(logprobs.begin(), logprobs.end(), 0.0));
    }
    return sums;
  };
  const auto before = logps(testing::kTinyModel), after = logps(Path("of-outcome.jsonl"));
  double gain = 0;
  const auto examples = JsonLines(Path("numbers.jsonl"));
  ASSERT_EQ(before.size(), examples.size());
  for (std::size_t i = 0; i < examples.size(); ++i)
    gain += examples[i]["advantages"].get<double>() * (after[i] - before[i]);
  EXPECT_GT(gain, 0.1);
}

// A training that goes on with an adapter begins with the ratio 1, and away from its reference,
// which is the model without the adapter. Log-probabilities in the data take the policy's place.
TEST_F(CurveTraining, TheSamplingPolicyIsTheModelAsTrainingBegins) {
  ASSERT_EQ(Train("outcome.jsonl", "adapter", "--lora-rank 4 --epochs 2 --learning-rate 1e-3").code,
            0);
  EXPECT_NEAR(Log("adapter")[0]["ratio"], 1, 1e-5);
  const auto more = Train("outcome.jsonl", "further",
                          "--adapter " + Path("adapter") + " --max-steps 3 --save-steps 1");
  ASSERT_EQ(more.code, 0) << more.output;
  const auto log = Log("further");
  EXPECT_NEAR(log[0]["ratio"], 1, 1e-5);
  EXPECT_GT(log[0]["kl"], 1e-4);
  fs::remove(Path("further") + "/adapter_config.json");
  fs::remove(Path("further") + "/adapter_model.safetensors");
  fs::remove_all(Path("further") + "/checkpoint-3");
  const auto resumed = Pivotal("train --resume " + Path("further"));
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(Log("further")[2]["loss"], log[2]["loss"]);
  std::string lines;
  for (json line : JsonLines(Path("outcome.jsonl"))) {
    line["old_logprobs"] = std::vector<double>(line["completion_ids"].size(), -10.0);
    lines += line.dump() + "\n";
  }
  data::WriteFile(Path("old.jsonl"), lines);
  ASSERT_EQ(Train("old.jsonl", "old", "--max-steps 1").code, 0);
  EXPECT_GT(Log("old")[0]["ratio"], 1e3);
}

TEST_F(CurveTraining, PairsComeOfTheCurve) {
  const auto pairs = [&](const std::string& source) {
    const fs::path file = temp_->path() / (source + ".jsonl");
    const auto made =
        Pivotal("pairs " + Path("run") + " --source " + source + " --output " + file.string());
    EXPECT_EQ(made.code, 0) << made.output;
    const auto lines = JsonLines(file);
    std::set<std::string> problems;
    for (const json& line : lines) {
      const std::string id = line["id"];
      problems.insert(id.substr(0, id.find('/')));
    }
    EXPECT_THAT(made.output, HasSubstr(fmt::format("{} of {} problems gave no pair",
                                                   kProblems - problems.size(), kProblems)));
    return lines;
  };
  const auto exported =
      Pivotal("export " + Path("run") + " --format critical --output " + Path("export.jsonl"));
  ASSERT_EQ(exported.code, 0) << exported.output;
  std::set<std::string> known;
  for (const json& line : JsonLines(Path("export.jsonl")))
    known.insert(json{line["id"], line["chosen_ids"], line["rejected_weights"]}.dump());
  const auto critical = pairs("critical");
  EXPECT_EQ(critical.size(), known.size());
  for (const json& pair : critical)
    EXPECT_TRUE(
        known.contains(json{pair["id"], pair["chosen_ids"], pair["rejected_weights"]}.dump()));
  const auto steps = pairs("step");
  EXPECT_GT(steps.size(), 1u);
  for (const json& pair : steps) EXPECT_LT(pair["delta"], 0);
  // No step brings p(success) so low.
  EXPECT_THAT(Pivotal("pairs " + Path("run") + " --source step --step-threshold 1e-9 --output " +
                      Path("none.jsonl"))
                  .output,
              AllOf(HasSubstr("0 pairs in"), HasSubstr("10 of 10 problems gave no pair ("),
                    HasSubstr(" not searched); a pair needs a searched wrong response")));
  for (const std::string source : {"critical", "step"}) {
    const auto trained =
        Pivotal("train --model " + testing::kTinyModel + " --data " + Path(source + ".jsonl") +
                " --max-steps 1 --output " + Path("by-" + source));
    EXPECT_EQ(trained.code, 0) << trained.output;
  }
}

TEST_F(CurveTraining, ARecipeHasThemAsArms) {
  const auto recipe = [&](const std::string& arms) {
    data::WriteFile(Path("recipe.toml"),
                    "seeds = [1]\nsamples = 2\n[run.model]\nfolder = \"" + testing::kTinyModel +
                        "\"\n[run.problems]\nfile = \"" + testing::kTiny +
                        "/problems/train.jsonl\"\nlimit = 6\n[run.sampling]\nmax_new_tokens = 64\n"
                        "[run.search]\nsamples = 8\nconfirm = 8\n[train.steps]\nepochs = 1\n"
                        "[[eval]]\nfile = \"" +
                        testing::kTiny +
                        "/problems/heldout.jsonl\"\nlimit = 6\n[[arm]]\nname = \"as it is\"\n" +
                        arms);
    return Pivotal("ablate " + Path("recipe.toml") + " --output " + Path("ablation"));
  };
  const std::string ppo = "[[arm]]\nname = \"ppo\"\n[[arm.stage]]\ntrain.loss.method = \"ppo\"\n";
  const auto run = recipe(ppo + "pairs = [{ source = \"curve\", count = \"all\" }]\n" +
                          "[[arm]]\nname = \"grpo\"\n[[arm.stage]]\ntrain.loss.method = \"ppo\"\n"
                          "pairs = [{ source = \"outcome\", count = 20 }]\n"
                          "[[arm]]\nname = \"steps\"\n[[arm.stage]]\n"
                          "pairs = [{ source = \"step\", count = \"all\", threshold = 0.3 }]\n"
                          "[[arm]]\nname = \"critical\"\n[[arm.stage]]\n"
                          "pairs = [{ source = \"critical\", count = 2 }]\n");
  ASSERT_EQ(run.code, 0) << run.output;
  const json results = json::parse(data::ReadFile(Path("ablation") + "/results.json"));
  std::map<std::string, int> pairs;
  for (const json& line : results["runs"]) pairs[line["arm"]] = line["pairs"];
  EXPECT_GT(pairs["ppo"], 1);
  EXPECT_EQ(pairs["grpo"], 20);
  EXPECT_GT(pairs["steps"], 0);
  EXPECT_EQ(pairs["critical"], 2);
  EXPECT_THAT(
      recipe(
          "[[arm]]\nname = \"x\"\n[[arm.stage]]\npairs = [{ source = \"step\", threshold = 2 }]\n")
          .output,
      HasSubstr("threshold must be above 0 and at most 1"));
  EXPECT_THAT(recipe(ppo).output,
              HasSubstr("needs pairs with the source \"curve\" or \"outcome\""));
  EXPECT_THAT(recipe(ppo + "pairs = [{ source = \"full\" }]\n").output, HasSubstr("go together"));
  EXPECT_THAT(
      recipe("[[arm]]\nname = \"dpo\"\n[[arm.stage]]\npairs = [{ source = \"curve\" }]\n").output,
      HasSubstr("go together"));
}

}  // namespace
}  // namespace pivotal
