// Apache-2.0. Training on several ranks, started by mpirun.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <span>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "data/weights/safetensors.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::kTinyModel;
using testing::RunCommand;

class TrainRanks : public testing::CliTest {
 protected:
  void SetUp() override {
    if (!testing::HasTool(testing::kMpirun)) return;
    if (!PIVOTAL_WITH_MPI && testing::IsRequired(testing::kMpirun))
      FAIL() << "built without MPI, although PIVOTAL_REQUIRE asks for mpirun";
    if (!PIVOTAL_WITH_MPI) GTEST_SKIP() << "built without MPI";
    temp_.Write("pairs.jsonl", testing::ProductPairs(12));
  }
  static std::string Mpirun(int ranks) {
    return "mpirun --allow-run-as-root --oversubscribe --bind-to none -n " + std::to_string(ranks) +
           " ";
  }
  std::string Train(const std::string& arguments,
                    const std::string& loss = "--rpo-alpha 0.1") const {
    return std::string(PIVOTAL_BINARY) + " train --model " + kTinyModel + " --data " +
           Path("pairs.jsonl") + " --learning-rate 3e-4 --batch-size 4 --epochs 2 " + loss + " " +
           arguments + " --output ";
  }
  std::vector<nlohmann::json> Log(const std::string& output) const {
    return testing::JsonLines(Path(output + "/log.jsonl"));
  }
  // Expects that `output` has the log of `want` but for rounding.
  void ExpectLog(const std::string& output, const std::vector<nlohmann::json>& want) const {
    const auto got = Log(output);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      for (const auto& [name, value] : want[i].items()) {
        if (name == "seconds" || name.ends_with("accuracies"))
          continue;  // accuracies of margins near 0 depend on rounding
        EXPECT_NEAR(got[i].at(name).get<double>(), value.get<double>(),
                    1e-5 * std::max(1.0, std::abs(value.get<double>())))
            << name << " " << i;
      }
    }
  }
};

// Returns the largest difference between the float32 weights of two folders, relative to the
// largest weight.
double Difference(const std::string& file, const std::string& other) {
  const data::SafetensorsReader a(file), b(other);
  double difference = 0, largest = 0;
  for (const std::string& name : a.Names()) {
    const auto left = a.Get(name).bytes, right = b.Get(name).bytes;
    for (std::size_t i = 0; i < left.size(); i += sizeof(float)) {
      float x, y;
      std::memcpy(&x, left.data() + i, sizeof x);
      std::memcpy(&y, right.data() + i, sizeof y);
      difference = std::max(difference, std::abs(static_cast<double>(x) - y));
      largest = std::max(largest, std::abs(static_cast<double>(x)));
    }
  }
  return difference / largest;
}

TEST_F(TrainRanks, GiveTheLossesAndWeightsOfOneRank) {
  const std::string command =
      Train("--gradient-accumulation 2 --activation-checkpointing --eval-steps 2 --eval-data " +
            Path("pairs.jsonl"));
  const auto one = RunCommand(command + Path("one"));
  ASSERT_EQ(one.code, 0) << one.output;
  const auto want = Log("one");
  ASSERT_EQ(want.size(), 6u) << "steps of 8 and 3, two evaluations";
  fs::remove(Path("pairs.jsonl.reference.json"));  // two ranks make it again, four ranks read it
  for (int ranks : {2, 4}) {  // one of four ranks is idle in the step of 3 pairs
    const std::string output = "many" + std::to_string(ranks);
    const auto many = RunCommand(Mpirun(ranks) + command + Path(output));
    ASSERT_EQ(many.code, 0) << many.output;
    EXPECT_EQ(many.output.find("model and log.jsonl"), many.output.rfind("model and log.jsonl"))
        << "one rank prints the result";
    EXPECT_EQ(many.output.find("reference "),
              ranks == 2 ? many.output.rfind("reference ") : std::string::npos);
    ExpectLog(output, want);
    EXPECT_LE(Difference(Path("one"), Path(output)), 1e-5);
    EXPECT_THAT(data::ReadFile(Path(output + "/train.toml")),
                HasSubstr("ranks = " + std::to_string(ranks)));
  }
}

TEST_F(TrainRanks, GiveTheSameWithShardedWeights) {
  const std::string command = Train(
      "--gradient-accumulation 2 --activation-checkpointing --save-steps 1 --keep 9 "
      "--eval-steps 2 --eval-data " +
      Path("pairs.jsonl"));
  const auto one = RunCommand(command + Path("one"));
  ASSERT_EQ(one.code, 0) << one.output;
  fs::remove(Path("pairs.jsonl.reference.json"));  // two ranks make it again, four ranks read it
  for (int ranks : {2, 4}) {
    const std::string output = "many" + std::to_string(ranks);
    const auto many = RunCommand(Mpirun(ranks) + command + Path(output) + " --shard-weights");
    ASSERT_EQ(many.code, 0) << many.output;
    EXPECT_THAT(many.output, HasSubstr("the trained weights have moved by "));
    ExpectLog(output, Log("one"));
    EXPECT_LE(Difference(Path("one"), Path(output)), 1e-5);
    EXPECT_LE(Difference(Path("one/best-4"), Path(output + "/best-4")), 1e-5);
    EXPECT_LE(
        Difference(Path("one/checkpoint-3/optimizer"), Path(output + "/checkpoint-3/optimizer")),
        1e-4);
  }
  // A run goes on with another number of processes.
  fs::remove_all(Path("many2/checkpoint-3"));
  fs::remove(Path("many2/model.safetensors"));
  const auto resumed = RunCommand(std::string(PIVOTAL_BINARY) + " train --resume " + Path("many2"));
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_LE(Difference(Path("one"), Path("many2")), 1e-5);
}

// Writes a model of 16 layers into `folder`, with 114 million weights.
void WriteLargeModel(const fs::path& folder) {
  fs::copy(testing::kTinyModel, folder);
  auto config = nlohmann::json::parse(data::ReadFile(folder / "config.json"));
  const int64_t hidden = 768, inner = 2048, layers = 16, vocabulary = config["vocab_size"];
  config.update({{"hidden_size", hidden},
                 {"intermediate_size", inner},
                 {"num_hidden_layers", layers},
                 {"num_attention_heads", 12},
                 {"num_key_value_heads", 12}});
  data::WriteFile(folder / "config.json", config.dump());
  std::vector<float> numbers(2 * inner * hidden);
  uint32_t state = 1;
  for (float& number : numbers) {
    state = state * 1664525 + 1013904223;
    number = (static_cast<float>(state >> 8) / (1 << 24) - 0.5f) * 0.05f;
  }
  const std::vector<float> ones(hidden, 1.0f);
  std::map<std::string, data::TensorView> tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    const auto& from = shape.size() == 1 ? ones : numbers;
    tensors[name + ".weight"] = {
        data::DType::kF32, std::move(shape),
        std::as_bytes(std::span(from).first(static_cast<std::size_t>(size)))};
  };
  add("model.embed_tokens", {vocabulary, hidden});
  add("lm_head", {vocabulary, hidden});
  add("model.norm", {hidden});
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i);
    add(layer + ".input_layernorm", {hidden});
    add(layer + ".post_attention_layernorm", {hidden});
    add(layer + ".self_attn.qkv_proj", {3 * hidden, hidden});
    add(layer + ".self_attn.o_proj", {hidden, hidden});
    add(layer + ".mlp.gate_up_proj", {2 * inner, hidden});
    add(layer + ".mlp.down_proj", {hidden, inner});
  }
  data::WriteSafetensors(folder / "model.safetensors", tensors);
}

// Returns the bytes of the line "peak memory X GiB".
double PeakBytes(const std::string& output) {
  std::smatch found;
  const std::regex line("peak memory ([0-9.]+) ([GM])iB");
  if (!std::regex_search(output, found, line)) return NAN;
  return std::stod(found[1]) * (found[2] == "G" ? 1 << 30 : 1 << 20);
}

TEST_F(TrainRanks, ShardedWeightsTakeTheMemoryOfAPart) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's own memory hides what is measured";
#endif
  WriteLargeModel(Path("model"));
  const std::string train = std::string(PIVOTAL_BINARY) + " train --model " + Path("model") +
                            " --data " + Path("pairs.jsonl") +
                            " --max-steps 2 --batch-size 4 --no-reference-cache --output ";
  const auto one = RunCommand(train + Path("one"));
  ASSERT_EQ(one.code, 0) << one.output;
  const auto two = RunCommand(Mpirun(2) + train + Path("two") + " --shard-weights");
  ASSERT_EQ(two.code, 0) << two.output;
  EXPECT_GT(PeakBytes(one.output), 114e6 * 16) << "weights, gradients and two moments";
  EXPECT_LE(PeakBytes(two.output), 0.6 * PeakBytes(one.output));
  EXPECT_LE(Difference(Path("one"), Path("two")), 1e-5);
}

// The KL term of KTO is a mean over the whole step.
TEST_F(TrainRanks, ShareTheKlTermOfKto) {
  const std::string command = Train("--eval-steps 3 --eval-data " + Path("pairs.jsonl"),
                                    "--objective kto --undesirable-weight 0.1 --max-steps 5");
  const auto one = RunCommand(command + Path("one"));
  ASSERT_EQ(one.code, 0) << one.output;
  const auto two = RunCommand(Mpirun(2) + command + Path("two"));
  ASSERT_EQ(two.code, 0) << two.output;
  const auto want = Log("one");
  double kl = 0;
  for (const auto& line : want) kl += line.value("kl", 0.0);
  EXPECT_GT(kl, 0);
  ExpectLog("two", want);
  EXPECT_LE(Difference(Path("one"), Path("two")), 1e-5);
}

TEST_F(TrainRanks, AFaultThatAllMeetIsToldOnce) {
  const auto run = RunCommand(Mpirun(2) + Train("--freeze nothing") + Path("out"));
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.output, HasSubstr("pivotal: rank 0 of 2: "));
  EXPECT_EQ(run.output.find("rank 1 of 2"), std::string::npos) << run.output;
}

TEST_F(TrainRanks, FusedBackwardIsForOne) {
  const auto run =
      RunCommand(Mpirun(2) + Train("--fused-backward --clip-by tensor") + Path("fused"));
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.output, HasSubstr("--fused-backward needs one process, but there are 2"));
  EXPECT_FALSE(fs::exists(Path("fused")));
}

TEST_F(TrainRanks, DifferentFlagsAreNoticed) {
  const auto run = RunCommand(
      Mpirun(2) + "sh -c 'test $OMPI_COMM_WORLD_RANK = 0 || rank=--shard-weights; exec " +
      Train("$rank") + Path("out") + "'");
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.output, HasSubstr("pivotal: rank 0 of 2: ranks have different settings: give "
                                    "the same flags to all processes"));
  EXPECT_FALSE(fs::exists(Path("out")));
}

TEST_F(TrainRanks, SolveTheProblemsOfOneRank) {
  const std::string command = Train(
      "--max-steps 2 --eval-steps 2 --eval-limit 9 --eval-max-new-tokens 48 --eval-problems " +
      testing::kTiny + "/problems/heldout.jsonl");
  ASSERT_EQ(RunCommand(command + Path("one")).code, 0);
  const auto many = RunCommand(Mpirun(2) + command + Path("many"));
  ASSERT_EQ(many.code, 0) << many.output;
  const double accuracy = Log("one").back().at("eval_accuracy");
  EXPECT_GT(accuracy, 0);
  EXPECT_DOUBLE_EQ(Log("many").back().at("eval_accuracy"), accuracy);
}

TEST_F(TrainRanks, DifferentFilesAreNoticed) {
  fs::copy(Path("pairs.jsonl"), Path("other.jsonl"));
  std::ofstream(Path("other.jsonl"), std::ios::app)
      << R"({"prompt": "a", "chosen": "b", "rejected": "c"})"
      << "\n";
  const auto run = RunCommand(Mpirun(2) + "sh -c 'test $OMPI_COMM_WORLD_RANK = 0 || rank=--data=" +
                              Path("other.jsonl") + "; exec " + Train("$rank") + Path("out") + "'");
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.output, HasSubstr("pivotal: rank 0 of 2: ranks have different files"));
  EXPECT_FALSE(fs::exists(Path("out")));
}

TEST_F(TrainRanks, AFaultOfOneEndsAll) {
  // Rank 1 is given a file that is not there.
  const auto start = std::chrono::steady_clock::now();
  const auto run = RunCommand(
      Mpirun(2) + "sh -c 'test $OMPI_COMM_WORLD_RANK = 0 || rank=--data=none.jsonl; exec " +
      Train("--epochs 100000 $rank") + Path("out") + "'");
  EXPECT_NE(run.code, 0);
  EXPECT_THAT(run.output, HasSubstr("pivotal: rank 1 of 2: none.jsonl"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::minutes(1));
}

TEST_F(TrainRanks, OneThatIsKilledEndsAll) {
  const auto start = std::chrono::steady_clock::now();
  const auto run =
      RunCommand(Mpirun(2) + "sh -c 'if test $OMPI_COMM_WORLD_RANK = 1; then ( until test -s " +
                 Path("out/log.jsonl") + "; do sleep 0.02; done; kill -9 $$ ) & fi; exec " +
                 Train("--epochs 100000") + Path("out") + "'");
  EXPECT_EQ(run.code, 137) << run.output;
  EXPECT_THAT(run.output, HasSubstr("signal 9 (Killed)"));
  EXPECT_FALSE(Log("out").empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::minutes(1));
}

class StoppedRanks : public TrainRanks, public ::testing::WithParamInterface<std::string> {};

TEST_P(StoppedRanks, AnInterruptOfOneStopsAllAndTheyGoOn) {
  const std::string& flags = GetParam();
  const std::string command = Train("--epochs 16 " + flags);
  const auto whole = RunCommand(Mpirun(2) + command + Path("whole"));
  ASSERT_EQ(whole.code, 0) << whole.output;
  const auto stopped =
      RunCommand(Mpirun(2) + "sh -c 'if test $OMPI_COMM_WORLD_RANK = 1; then ( until test -s " +
                 Path("out/log.jsonl") + "; do sleep 0.02; done; kill -TERM $$ ) & fi; exec " +
                 command + Path("out") + "'");
  ASSERT_EQ(stopped.code, 130) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("continues from there"));
  const auto resumed = RunCommand(Mpirun(2) + PIVOTAL_BINARY + " train --resume " + Path("out"));
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  const std::string file =
      flags.starts_with("--lora") ? "adapter_model.safetensors" : "model.safetensors";
  EXPECT_TRUE(data::ReadFile(Path("whole/" + file)) == data::ReadFile(Path("out/" + file)));
}

INSTANTIATE_TEST_SUITE_P(All, StoppedRanks,
                         ::testing::Values("--lora-rank 4", "--shard-weights",
                                           "--shard-weights --optimizer adamw8bit --dtype bfloat16",
                                           "--lora-rank 4 --shard-weights"));

}  // namespace
}  // namespace pivotal
