// Apache-2.0. The README.md that train and merge-adapter write. The Hub's own package reads it, if
// PIVOTAL_PYTHON has that; `make test-parity` installs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/base/file_sink.h"
#include "data/base/text.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;
using testing::RunCommand;

std::string Quoted(std::string text) {
  data::ReplaceAll(text, "'", "'\\''");
  return "'" + text + "'";
}

class ModelCardRun : public testing::CliTest {
 protected:
  ModelCardRun() {
    fs::copy(testing::kTinyModel, temp_.path() / kModel);
    temp_.Write(kModel + "/README.md", "---\nlicense: mit\n---\n# The model\n");
    temp_.Write(kData, testing::ProductPairs(13));
  }
  // Trains with files that lie beside the test's own, into OUTPUT.
  void Train(const std::string& output, const std::string& more) const {
    const auto done = Pivotal(
        "train --device cpu --model " + Quoted(Path(kModel)) + " --data " + Quoted(Path(kData)) +
        " --learning-rate 1e-4 --batch-size 4 --output " + Path(output) + " " + more);
    ASSERT_EQ(done.code, 0) << done.output;
  }
  std::string Card(const std::string& output) const {
    return data::ReadFile(Path(output + "/README.md"));
  }

  const std::string kModel = "it's `odd` | $1: #";
  const std::string kData = "pairs & \"more\".jsonl";
};

// Returns the content of the block of code that begins with this line.
std::string Block(const std::string& card, const std::string& begin) {
  const auto at = card.find("\n" + begin + "\n") + begin.size() + 2;
  return card.substr(at, card.find("\n```", at) - at);
}

TEST_F(ModelCardRun, SaysWhatWasDone) {
  Train("out", "--epochs 5 --freeze layers.0 --eval-data " + Quoted(Path(kData)) +
                   " --eval-problems " + testing::kTiny +
                   "/problems/heldout.jsonl --eval-limit 4 --eval-oracle last-number "
                   "--eval-max-new-tokens 16");
  const std::string card = Card("out");
  EXPECT_THAT(card,
              AllOf(HasSubstr("\nlibrary_name: transformers\nlicense: mit\n"),
                    HasSubstr("\n| loss | sigmoid, beta 0.1 |\n"),
                    HasSubstr("\n| trained | all weights but those of `layers.0` |\n"),
                    HasSubstr("\n| steps | 15 of 4 examples, 5 epochs |\n"),
                    HasSubstr("`eval_accuracy` is the fraction of `heldout.jsonl` that is solved"),
                    HasSubstr("The best `eval_accuracy`"), HasSubstr("AutoModelForCausalLM")));
  EXPECT_THAT(card, Not(HasSubstr(temp_.path().string()))) << "no path of the machine";
  EXPECT_THAT(card, Not(HasSubstr(testing::kTiny)));
  const auto log = testing::JsonLines(Path("out/log.jsonl"));
  EXPECT_THAT(card, HasSubstr(fmt::format("\n| 15 | 5 | {:.4g} | {:.4g} |",
                                          log[log.size() - 2]["learning_rate"].get<double>(),
                                          log[log.size() - 2]["loss"].get<double>())));
  EXPECT_THAT(
      card, HasSubstr(fmt::format("\n| 15 | {:.4g} |", log.back()["eval_accuracy"].get<double>())));
  EXPECT_THAT(Block(card, "```toml"),
              AllOf(HasSubstr("freeze = [ 'layers.0' ]"), HasSubstr("problems = 'heldout.jsonl'")));
}

// The command of the card, given where the files have these names, makes the same weights.
TEST_F(ModelCardRun, TheCommandMakesTheSameModel) {
  fs::create_directory(temp_.path() / "elsewhere");
  Train("elsewhere/out",
        "--lora-rank 4 --lora-modules qkv_proj,o_proj --merge --max-steps 2 "
        "--no-reference-cache --max-shard-size 1GB");
  const std::string command = Block(Card("elsewhere/out"), "```sh");
  EXPECT_THAT(command, ::testing::StartsWith("pivotal train --model 'it'\\''s"));
  const auto again = RunCommand("cd " + temp_.path().string() +
                                " && PATH=" + fs::path(PIVOTAL_BINARY).parent_path().string() +
                                ":$PATH && " + command);
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(data::Sha256OfFile(Path("out/model.safetensors")),
            data::Sha256OfFile(Path("elsewhere/out/model.safetensors")));
  EXPECT_EQ(Card("out"), Card("elsewhere/out"));
}

// A program that judges is named alone: its arguments may be secrets.
TEST_F(ModelCardRun, TheProgramOfAnOracleIsNamedAlone) {
  const auto judge = temp_.Write("judge.py",
                                 "import json, sys\nfor line in sys.stdin:\n"
                                 "    print(json.dumps({'success': True}), flush=True)\n");
  Train("out", "--max-steps 1 --eval-problems " + testing::kTiny +
                   "/problems/heldout.jsonl --eval-limit 2 --eval-max-new-tokens 4 --eval-oracle "
                   "'command:python3 " +
                   judge.string() + " --key 1234'");
  EXPECT_THAT(Card("out"), AllOf(HasSubstr("--eval-oracle command:python3 "),
                                 HasSubstr("oracle = 'command:python3'\n"), Not(HasSubstr("1234")),
                                 Not(HasSubstr("judge.py"))));
}

// A run that goes on has the command that it began with.
TEST_F(ModelCardRun, OutlivesAKill) {
  Train("out",
        "--epochs 3 --save-steps 4 --objective sft --data " +
            temp_.Write("sft.jsonl", "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n").string() +
            " --epochs 5");
  const std::string card = Card("out");
  EXPECT_THAT(card, AllOf(HasSubstr("- sft\n"), HasSubstr("| data | `sft.jsonl`, 1 completions |"),
                          Not(HasSubstr("| loss | sigmoid"))));
  for (const char* name : {"README.md", "model.safetensors"}) fs::remove(Path("out") + "/" + name);
  const auto resumed = Pivotal("train --resume " + Path("out"));
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(Card("out"), card);
}

// A card that cannot be written stops nothing. The judge makes a folder in its way.
TEST_F(ModelCardRun, IsNoReasonToLoseTheModel) {
  const auto judge = temp_.Write("judge.py",
                                 "import json, os, sys\nfor line in sys.stdin:\n"
                                 "    os.makedirs(sys.argv[1], exist_ok=True)\n"
                                 "    print(json.dumps({'success': True}), flush=True)\n");
  const auto done = Pivotal(
      "train --device cpu --model " + testing::kTinyModel + " --data " + Quoted(Path(kData)) +
      " --max-steps 1 --eval-problems " + testing::kTiny +
      "/problems/heldout.jsonl --eval-limit 2 --eval-max-new-tokens 4 --output " + Path("out") +
      " --eval-oracle 'command:python3 " + judge.string() + " " + Path("out/README.md") + "'");
  EXPECT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, HasSubstr("the model card is not written: "));
  EXPECT_TRUE(fs::exists(Path("out/model.safetensors")));
}

TEST_F(ModelCardRun, ParityWithTheHub) {
  if (testing::Python("-c 'import huggingface_hub'").code != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks huggingface_hub; run make test-parity";
  Train("out", "--max-steps 1");
  Train("adapter", "--max-steps 1 --lora-rank 2");
  ASSERT_EQ(Pivotal("merge-adapter --model " + Quoted(Path(kModel)) + " --adapter " +
                    Path("adapter") + " --output " + Path("merged"))
                .code,
            0);
  const auto read = testing::Python(
      "-c 'import json, sys, huggingface_hub as h\n"
      "print(json.dumps([h.ModelCard(open(f\"{sys.argv[1]}/{d}/README.md\").read()).data.to_dict() "
      "for d in (\"out\", \"adapter\", \"merged\")]))' " +
      temp_.path().string());
  ASSERT_EQ(read.code, 0) << read.output;
  const nlohmann::json common = {
      {"base_model", kModel}, {"license", "mit"}, {"pipeline_tag", "text-generation"}};
  nlohmann::json want(3, common);
  want[0].update(
      {{"library_name", "transformers"}, {"datasets", {kData}}, {"tags", {"pivotal", "dpo"}}});
  want[1].update(
      {{"library_name", "peft"},
       {"datasets", {kData}},
       {"tags", {"pivotal", "dpo", "base_model:adapter:" + kModel, "lora", "transformers"}}});
  want[2].update({{"library_name", "transformers"}, {"tags", {"pivotal"}}});
  EXPECT_EQ(nlohmann::json::parse(read.output), want);
}

}  // namespace
}  // namespace pivotal
