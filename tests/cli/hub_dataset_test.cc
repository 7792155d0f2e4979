// Apache-2.0. pivotal export --format parquet, read back by pandas and datasets. What needs pyarrow
// or datasets is skipped where the Python that CMake was given (PIVOTAL_PYTHON) lacks them; `make
// test-parity` installs them.
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::JsonLines;
using ::testing::Not;
using testing::Pivotal;

class HubDataset : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new testing::TempDir;
    run_ = temp_->path() / "run";
    const auto search = Pivotal(testing::SearchArguments(12, 16, 4) + run_.string());
    ASSERT_EQ(search.code, 0) << search.output;
  }
  static void TearDownTestSuite() { delete temp_; }
  void SetUp() override { ::setenv("PIVOTAL_PYTHON", PIVOTAL_PYTHON, 1); }
  void TearDown() override { ::unsetenv("PIVOTAL_PYTHON"); }

  static bool Has(const std::string& modules) {
    if (testing::Python("-c 'import " + modules + "'").code == 0) return true;
    [&] { GTEST_SKIP() << PIVOTAL_PYTHON << " lacks " << modules << "; run make test-parity"; }();
    return false;
  }
  static fs::path Path(const std::string& name) { return temp_->path() / name; }
  static testing::CommandResult Export(const std::string& name) {
    return Pivotal("export " + run_.string() + " --format parquet --output " + Path(name).string());
  }
  // Returns what a Python program prints as JSON, run in the folder `name`.
  static json Python(const std::string& name, const std::string& program) {
    const auto ran = testing::RunCommand(
        "cd " + Path(name).string() + " && HF_HOME=" + Path("cache").string() +
        " HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 " PIVOTAL_PYTHON " " +
        temp_->Write("read.py", program).string());
    EXPECT_EQ(ran.code, 0) << ran.output;
    return json::parse(ran.output.substr(ran.output.rfind('\n', ran.output.size() - 2) + 1));
  }

  static inline testing::TempDir* temp_ = nullptr;
  static inline fs::path run_;
};

// However the folder is written, the new export takes the place of the old one and nothing else is
// left.
TEST_F(HubDataset, ForceReplacesAnExport) {
  if (!Has("pyarrow")) return;
  fs::create_directory(Path("force"));
  ASSERT_EQ(Export("force/it").code, 0);
  const std::string card = data::ReadFile(Path("force/it/README.md"));
  const std::string again = "export " + run_.string() + " --format parquet --force --output ";
  for (const char* name : {"force/it", "force/it/", "force/it/.", "force/../force/it//"}) {
    const auto made = Pivotal(again + Path(name).string());
    EXPECT_EQ(made.code, 0) << made.output;
    EXPECT_EQ(data::ReadFile(Path("force/it/README.md")), card) << name;
    EXPECT_EQ(std::distance(fs::directory_iterator(Path("force")), {}), 1) << name;
  }
  const auto here = testing::RunCommand("cd " + Path("force/it").string() +
                                        " && " PIVOTAL_BINARY " " + again + ".");
  EXPECT_EQ(here.code, 0) << here.output;
  EXPECT_TRUE(fs::exists(Path("force/it/data/pairs.parquet")));
  temp_->Write("force/it/mine", "mine");
  EXPECT_THAT(Pivotal(again + Path("force/it").string()).output, HasSubstr("it holds mine"));
  EXPECT_EQ(data::ReadFile(Path("force/it/mine")), "mine");
}

TEST_F(HubDataset, ParityWithPandas) {
  if (!Has("pyarrow, pandas")) return;
  const auto made = Export("pandas");
  ASSERT_EQ(made.code, 0) << made.output;
  const json got = Python("pandas", R"(
import json, pandas
print(json.dumps([json.loads(pandas.read_parquet(f"data/{n}.parquet").to_json(orient="records", double_precision=15))
                  for n in ("pairs", "pivotal_tokens")]))
)");
  ASSERT_EQ(Pivotal("pairs " + run_.string()).code, 0);
  const auto pairs = JsonLines(run_ / "pairs.jsonl");
  ASSERT_GT(pairs.size(), 3u);
  ASSERT_EQ(got[0].size(), pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    ASSERT_EQ(got[0][i].size(), pairs[i].size());
    for (const auto& [key, value] : pairs[i].items()) {
      if (value.is_number_float())
        EXPECT_NEAR(got[0][i][key], value.get<double>(), 1e-12) << key;
      else
        EXPECT_EQ(got[0][i][key], value) << key;
    }
  }
  ASSERT_EQ(Pivotal("export " + run_.string() + " --format pts").code, 0);
  const auto events = JsonLines(run_ / "pts.jsonl");
  ASSERT_GT(events.size(), 3u);
  ASSERT_EQ(got[1].size(), events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    const json &row = got[1][i], &event = events[i];
    EXPECT_EQ(row["problem_id"], event["dataset_item_id"]);
    EXPECT_EQ(row["context"], event["context"]);
    EXPECT_EQ(row["context_ids"], event["metadata"]["prefix_ids"]);
    EXPECT_EQ(row["token_id"], event["token_id"]);
    EXPECT_NEAR(row["delta"], event["prob_delta"].get<double>(), 1e-12);
  }
}

// `datasets` compares the counts and types of the card with the files.
TEST_F(HubDataset, ParityWithDatasets) {
  if (!Has("pyarrow, datasets")) return;
  ASSERT_EQ(Export("hub").code, 0);
  const json got = Python("hub", R"(
import json, os, datasets, huggingface_hub
here = os.getcwd()
card = huggingface_hub.DatasetCard(open("README.md").read()).data.to_dict()
sets = {n: datasets.load_dataset(here, n, split="train", verification_mode="all_checks")
        for n in datasets.get_dataset_config_names(here)}
print(json.dumps({"default": datasets.get_dataset_default_config_name(here), "tags": card["tags"],
                  "license": card.get("license"),
                  "rows": {n: [[len(s), s.data.nbytes],
                               [card["dataset_info"][i]["splits"][0][k] for k in ("num_examples", "num_bytes")]]
                           for i, (n, s) in enumerate(sets.items())},
                  "features": {k: str(v) for k, v in sets["pairs"].features.items()},
                  "chosen": sets["pairs"]["chosen"][:]}))
)");
  EXPECT_EQ(got["default"], "pairs");
  EXPECT_EQ(got["license"], nullptr) << "the user names it";
  EXPECT_THAT(got["tags"].dump(), HasSubstr("\"pivotal\""));
  EXPECT_EQ(got["rows"].size(), 2u);
  for (const auto& [name, rows] : got["rows"].items()) EXPECT_EQ(rows[0], rows[1]) << name;
  EXPECT_EQ(got["features"]["prompt"], "Value('string')");
  EXPECT_EQ(got["features"]["prompt_ids"], "List(Value('int32'))");
  EXPECT_EQ(got["features"]["delta"], "Value('float64')");
  EXPECT_EQ(got["chosen"].size(), got["rows"]["pairs"][0][0]);
  const std::string card = data::ReadFile(Path("hub") / "README.md");
  EXPECT_THAT(card, AllOf(HasSubstr("\n# `hub`\n"), HasSubstr("problems of `train.jsonl`"),
                          HasSubstr("oracle = 'hash'"), HasSubstr("push_to_hub")));
  EXPECT_THAT(card, Not(HasSubstr(temp_->path().string()))) << "no path of the machine";
  EXPECT_THAT(card, Not(HasSubstr(testing::kTiny)));
}

TEST_F(HubDataset, TrainingReadsThePairs) {
  if (!Has("pyarrow")) return;
  ASSERT_EQ(Export("train").code, 0);
  const fs::path pairs = Path("pairs.jsonl");
  ASSERT_EQ(Pivotal("pairs " + run_.string() + " --output " + pairs.string()).code, 0);
  for (const auto& [data, output] :
       {std::pair(pairs, "a"), {Path("train/data/pairs.parquet"), "b"}}) {
    const auto ran = Pivotal("train --device cpu --max-steps 2 --model " + testing::kTinyModel +
                             " --data " + data.string() + " --output " + Path(output).string());
    ASSERT_EQ(ran.code, 0) << ran.output;
  }
  EXPECT_EQ(data::Sha256OfFile(Path("a/model.safetensors")),
            data::Sha256OfFile(Path("b/model.safetensors")));
}

TEST_F(HubDataset, ReplacesNothing) {
  fs::create_directory(Path("full"));
  temp_->Write("full/mine", "");
  const auto refused = Export("full");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.output, HasSubstr("full"));
  EXPECT_FALSE(fs::exists(Path("full/data")));
  EXPECT_TRUE(fs::exists(Path("full/mine")));
}

TEST_F(HubDataset, NothingStaysWithoutPyarrow) {
  ::setenv("PIVOTAL_PYTHON", "/nonexistent/python", 1);
  const auto failed = Export("never");
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.output, HasSubstr("install python3 and pyarrow=="));
  EXPECT_FALSE(fs::exists(Path("never")));
}

}  // namespace
}  // namespace pivotal
