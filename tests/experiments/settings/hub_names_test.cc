// Apache-2.0. Models and data sets by their names, in caches as the Hub's tools write them.
#include "experiments/settings/hub_names.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "experiments/settings/hub_data_files.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::ErrorText;
using ::testing::HasSubstr;

class HubNamesTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("HF_HUB_CACHE", temp_.path().c_str(), 1); }
  void TearDown() override { ::unsetenv("HF_HUB_CACHE"); }

  // Downloads a file: a blob, and a link to it in the snapshot.
  void Add(const std::string& repository, const std::string& file, const std::string& text = "{}") {
    const std::string blob = repository + "/blobs/" + std::to_string(++blobs_);
    for (const char* name : {"blobs", "refs"})
      fs::create_directories(temp_.path() / repository / name);
    temp_.Write(blob, text);
    temp_.Write(repository + "/refs/main", "c0ffee");
    const fs::path link = Snapshot(repository) / file;
    fs::create_directories(link.parent_path());
    fs::create_symlink(temp_.path() / blob, link);
  }
  fs::path Snapshot(const std::string& repository) const {
    return temp_.path() / repository / "snapshots" / "c0ffee";
  }
  // Returns "FILE dataset" with the file in its snapshot.
  std::string Problems(const std::string& name, const std::string& split = "test",
                       const std::string& dataset = "") {
    ProblemSettings problems;
    problems.file = name;
    problems.options.dataset = dataset;
    FindProblems(problems, split);
    fs::path file;
    for (const fs::path& part : problems.file) file = part == "c0ffee" ? fs::path() : file / part;
    return file.string() + " " + problems.options.dataset;
  }
  std::string Fault(const std::string& name, const std::string& split = "test") {
    return ErrorText([&] { Problems(name, split); });
  }

  testing::TempDir temp_;
  int blobs_ = 0;
};

TEST_F(HubNamesTest, PathsWin) {
  EXPECT_EQ(FindModel("no-name", ModelPart::kWhole), "no-name");
  EXPECT_EQ(FindModel("/not/there", ModelPart::kWhole), "/not/there");
  const fs::path before = fs::current_path();
  fs::create_directories(temp_.path() / "here" / "microsoft" / "phi-4");
  fs::current_path(temp_.path() / "here");
  EXPECT_EQ(FindModel("microsoft/phi-4", ModelPart::kWhole), "microsoft/phi-4");
  EXPECT_EQ(Problems("microsoft/phi-4"), "microsoft/phi-4 ");
  fs::current_path(before);
  EXPECT_EQ(Problems("/not/there.jsonl"), "/not/there.jsonl ");
}

TEST_F(HubNamesTest, AModelNeedsAllItsWeights) {
  const std::string phi = "models--microsoft--phi-4";
  const auto find = [&] { return FindModel("microsoft/phi-4", ModelPart::kWhole); };
  EXPECT_THAT(ErrorText(find), EndsWith("download it: hf download microsoft/phi-4"));
  Add(phi, "README.md");
  EXPECT_THAT(ErrorText(find), HasSubstr("lacks config.json; download it: hf download"));
  Add(phi, "config.json");
  EXPECT_THAT(ErrorText(find), HasSubstr("lacks model.safetensors; download it"));
  EXPECT_EQ(FindModel("microsoft/phi-4", ModelPart::kConfig), Snapshot(phi));
  EXPECT_THAT(ErrorText([] { FindModel("microsoft/phi-4", ModelPart::kTokenizer); }),
              HasSubstr("lacks tokenizer.json; download it"));
  Add(phi, "tokenizer.json");
  EXPECT_EQ(FindModel("microsoft/phi-4", ModelPart::kTokenizer), Snapshot(phi));
  Add(phi, "model.safetensors.index.json",
      R"({"weight_map": {"a": "model-00001-of-00002.safetensors",
                         "b": "model-00002-of-00002.safetensors"}})");
  Add(phi, "model-00001-of-00002.safetensors");
  EXPECT_THAT(ErrorText(find), HasSubstr("lacks model-00002-of-00002.safetensors; download it"));
  Add(phi, "model-00002-of-00002.safetensors");
  EXPECT_EQ(find(), Snapshot(phi));
  // A link whose blob is gone.
  fs::remove(temp_.path() / phi / "blobs" / std::to_string(blobs_));
  EXPECT_THAT(ErrorText(find), HasSubstr("lacks model-00002-of-00002.safetensors; download it"));
}

TEST_F(HubNamesTest, Adapters) {
  Add("models--me--lora", "adapter_config.json");
  EXPECT_THAT(ErrorText([] { FindModel("me/lora", ModelPart::kAdapter); }),
              HasSubstr("lacks adapter_model.safetensors; download it: hf download me/lora"));
  Add("models--me--lora", "adapter_model.safetensors");
  EXPECT_EQ(FindModel("me/lora@main", ModelPart::kAdapter), Snapshot("models--me--lora"));
}

// The card of openai/gsm8k, shortened.
constexpr const char* kGsm8kCard = R"(---
license:
- mit
dataset_info:
- config_name: main
  features:
  - name: question
    dtype: string
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: socratic
  data_files:
  - split: train
    path: socratic/train-*
  - split: test
    path: socratic/test-*
---
# GSM8K
)";

TEST_F(HubNamesTest, TheCardTellsWhatIsWhere) {
  const std::string set = "datasets--openai--gsm8k";
  EXPECT_THAT(Fault("openai/gsm8k"), EndsWith(": hf download openai/gsm8k --repo-type dataset"));
  Add(set, "README.md", kGsm8kCard);
  EXPECT_THAT(Fault("openai/gsm8k"), HasSubstr("lacks the files of main/test; download it: hf"));
  for (const std::string config : {"main", "socratic"})
    for (const std::string split : {"train", "test"})
      Add(set, config + "/" + split + "-00000-of-00001.parquet");
  EXPECT_EQ(Problems("openai/gsm8k"), "main/test-00000-of-00001.parquet gsm8k");
  EXPECT_EQ(Problems("openai/gsm8k", "train"), "main/train-00000-of-00001.parquet gsm8k");
  EXPECT_EQ(Problems("openai/gsm8k:train"), "main/train-00000-of-00001.parquet gsm8k");
  EXPECT_EQ(Problems("openai/gsm8k:socratic"), "socratic/test-00000-of-00001.parquet gsm8k");
  EXPECT_EQ(Problems("openai/gsm8k@main:socratic/train"),
            "socratic/train-00000-of-00001.parquet gsm8k");
  EXPECT_EQ(Problems("openai/gsm8k", "test", "math"), "main/test-00000-of-00001.parquet math")
      << "--dataset wins";
  EXPECT_THAT(Fault("openai/gsm8k:dev"),
              HasSubstr("configuration main has no split dev; it has test, train"));
  EXPECT_THAT(Fault("openai/gsm8k:other/test"),
              HasSubstr("no configuration other; it has main, socratic"));
}

TEST_F(HubNamesTest, FormsOfCards) {
  const std::string set = "datasets--me--set";
  Add(set, "README.md", R"(---
configs:
- config_name: one
  data_files: "one.csv"
- config_name: two
  default: true
  data_dir: two
  data_files:
  - split: test
    path: [a/*.jsonl, "b/**"]
- config_name: three
  data_files: ["*.csv"]
---
)");
  for (const char* file : {"one.csv", "two/a/x.jsonl", "two/a/deep/x.jsonl", "two/c.jsonl"})
    Add(set, file);
  EXPECT_EQ(Problems("me/set:one"), "one.csv ") << "its only split is train";
  EXPECT_EQ(Problems("me/set"), "two/a/x.jsonl ");
  EXPECT_EQ(Problems("me/set:three"), "one.csv ");
  Add(set, "two/b/deep/y.jsonl.gz");
  EXPECT_THAT(Fault("me/set"), AllOf(HasSubstr("two/test has 2 files: "), HasSubstr("a/x.jsonl, "),
                                     EndsWith("y.jsonl.gz; name one of them by --problems")));
  Add("datasets--me--bad", "README.md", "---\nconfigs:\n- config_name: [\n---\n");
  Add("datasets--me--bad", "test.jsonl");
  EXPECT_THAT(Fault("me/bad"), HasSubstr("its configurations cannot be read"));
}

TEST_F(HubNamesTest, WithoutACardNamesTell) {
  const auto parts = [&](const std::vector<std::string>& files) {
    const std::string set = "datasets--me--s" + std::to_string(blobs_);
    for (const std::string& file : files) Add(set, file);
    std::vector<std::string> texts;
    for (const DataPart& part : DataPartsOf(Snapshot(set)).parts)
      texts.push_back(part.config + " " + part.split + " " + std::to_string(part.files.size()));
    return texts;
  };
  EXPECT_THAT(parts({"test.jsonl", "README.md", "figure.png"}), ElementsAre("default test 1"));
  EXPECT_THAT(parts({"data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
                     "data/validation-00000-of-00001.parquet"}),
              ElementsAre("default train 2", "default validation 1"));
  EXPECT_THAT(parts({"full/dev.jsonl.zst", "full/eval.jsonl", "sanitized/x.csv"}),
              ElementsAre("full validation 1", "full test 1", "sanitized train 1"));
  EXPECT_THAT(parts({"test/0.jsonl", "train/0.jsonl", "latest.json"}),
              ElementsAre("default train 2", "default test 1"));
}

TEST_F(HubNamesTest, SeveralChoicesAreListed) {
  const std::string set = "datasets--EleutherAI--hendrycks_math";
  for (int i = 0; i < 14; ++i) Add(set, "c" + std::to_string(10 + i) + "/test.jsonl");
  EXPECT_THAT(Fault("EleutherAI/hendrycks_math"),
              AllOf(HasSubstr("has several configurations: c10, c11, "),
                    HasSubstr("c21 and 2 more; name one: "),
                    EndsWith("--problems EleutherAI/hendrycks_math:c10/SPLIT")));
  EXPECT_EQ(Problems("EleutherAI/hendrycks_math:c12"), "c12/test.jsonl math");
  Add("datasets--me--two", "validation.jsonl");
  Add("datasets--me--two", "train.jsonl");
  EXPECT_THAT(Fault("me/two"), HasSubstr("has several splits: train, validation; name one: "
                                         "--problems me/two:default/train"));
}

}  // namespace
}  // namespace pivotal::experiments
