// Apache-2.0. Event files, decoded here by the published formats of TFRecord and of tensorboard's
// event.proto and summary.proto. tests/cli/tensorboard_test.cc reads them by TensorBoard itself.
#include "experiments/train/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "experiments/train/train_output.h"
#include "tests/support/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using Json = nlohmann::ordered_json;

// RFC 3720, B.4.
TEST(Crc32c, HasTheVectorsOfTheStandard) {
  std::string up(32, '\0');
  std::iota(up.begin(), up.end(), '\0');
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c(up), 0x46DD794Eu);
  EXPECT_EQ(Crc32c(std::string(up.rbegin(), up.rend())), 0x113FDB5Cu);
  EXPECT_EQ(Crc32c(std::string("\x01\xC0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\0\0\x04\0\0\0\0\x14"
                               "\0\0\0\x18\x28\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0",
                               48)),
            0xD9963A56u);
}

TEST(EventTag, IsThatOfTransformers) {
  EXPECT_EQ(EventTag("loss"), "train/loss");
  EXPECT_EQ(EventTag("rewards/chosen"), "train/rewards/chosen");
  EXPECT_EQ(EventTag("tokens"), "train/num_tokens");
  EXPECT_EQ(EventTag("eval_loss"), "eval/loss");
  EXPECT_EQ(EventTag("eval_rewards/margins"), "eval/rewards/margins");
}

// Reads numbers from the front of a text.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool done() const { return text_.empty(); }
  std::string_view Take(std::size_t size) {
    if (size > text_.size()) throw std::runtime_error("cut off");
    const auto taken = text_.substr(0, size);
    text_.remove_prefix(size);
    return taken;
  }
  uint64_t Fixed(int bytes) {
    uint64_t value = 0;
    const auto taken = Take(bytes);
    for (int i = 0; i < bytes; ++i)
      value |= static_cast<uint64_t>(static_cast<unsigned char>(taken[i])) << 8 * i;
    return value;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(Take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  }

 private:
  std::string_view text_;
};

// The fields of a message: numbers, and bytes.
struct Fields {
  std::map<int, uint64_t> numbers;
  std::multimap<int, std::string> bytes;
};

Fields FieldsOf(std::string_view message) {
  Fields fields;
  for (Reader in(message); !in.done();) {
    const uint64_t key = in.Varint();
    const int field = static_cast<int>(key >> 3);
    switch (key & 7) {
      case 0: fields.numbers[field] = in.Varint(); break;
      case 1: fields.numbers[field] = in.Fixed(8); break;
      case 2: fields.bytes.emplace(field, in.Take(in.Varint())); break;
      case 5: fields.numbers[field] = in.Fixed(4); break;
      default: throw std::runtime_error("unknown wire type");
    }
  }
  return fields;
}

// CRC-32C, bit by bit, masked as in TFRecord files.
uint32_t MaskedCrc(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0u);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

std::vector<Fields> Events(const fs::path& file) {
  const std::string text = data::ReadFile(file);
  std::vector<Fields> events;
  for (Reader in(text); !in.done();) {
    const auto length = in.Take(8);
    EXPECT_EQ(in.Fixed(4), MaskedCrc(length));
    const auto event = in.Take(Reader(length).Fixed(8));
    EXPECT_EQ(in.Fixed(4), MaskedCrc(event));
    events.push_back(FieldsOf(event));
  }
  return events;
}

std::map<std::string, float> Scalars(const Fields& event) {
  std::map<std::string, float> scalars;
  const auto summary = event.bytes.find(5);
  if (summary == event.bytes.end()) return scalars;
  for (const auto& [field, bytes] : FieldsOf(summary->second).bytes) {
    const Fields value = FieldsOf(bytes);
    scalars[value.bytes.find(1)->second] =
        std::bit_cast<float>(static_cast<uint32_t>(value.numbers.at(2)));
  }
  return scalars;
}

// The files of a folder in the order of their names, in which TensorBoard reads them.
std::vector<fs::path> FilesOf(const fs::path& folder) {
  auto files = data::PathsIn(folder);
  std::sort(files.begin(), files.end());
  return files;
}

class EventLogTest : public ::testing::Test {
 protected:
  testing::TempDir temp_;
  const fs::path folder_ = temp_.path() / "tensorboard" / "run";
};

TEST_F(EventLogTest, HoldsTheNumbersOfLines) {
  EventLog log(folder_, 41);
  log.Add({{"step", 41}, {"loss", 0.625}, {"tokens", 9}, {"id", "text"}});
  log.Add({{"step", 1'000'000'000'000}, {"eval_rewards/margins", -1.5}, {"eval_loss", NAN}});
  const auto files = FilesOf(folder_);
  ASSERT_EQ(files.size(), 1u);
  const auto events = Events(files[0]);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_THAT(events[0].bytes, UnorderedElementsAre(Pair(3, "brain.Event:2")));
  EXPECT_EQ(events[1].numbers.at(2), 41u);
  EXPECT_EQ(FieldsOf(events[1].bytes.find(7)->second).numbers.at(1), 1u);  // SessionLog.START
  EXPECT_EQ(events[2].numbers.at(2), 41u);
  EXPECT_THAT(Scalars(events[2]),
              ElementsAre(Pair("train/loss", 0.625f), Pair("train/num_tokens", 9.0f)));
  EXPECT_EQ(events[3].numbers.at(2), 1'000'000'000'000u);
  EXPECT_EQ(Scalars(events[3]).at("eval/rewards/margins"), -1.5f);
  EXPECT_TRUE(std::isnan(Scalars(events[3]).at("eval/loss")));
  const double age =
      static_cast<double>(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())) -
      std::bit_cast<double>(events[3].numbers.at(1));
  EXPECT_LT(std::abs(age), 100);
}

// The next process has a later name, also within the same second or where clocks differ.
TEST_F(EventLogTest, ALaterFileSortsBehind) {
  fs::create_directories(folder_);
  std::ofstream(folder_ / "events.out.tfevents.4000000000.host.1") << "x";
  std::ofstream(folder_ / "notes.txt") << "x";
  for (const int step : {1, 3}) EventLog(folder_, step).Add({{"step", step}, {"loss", step}});
  const auto files = FilesOf(folder_);
  ASSERT_EQ(files.size(), 4u);
  EXPECT_THAT(files[1].filename().string(),
              ::testing::StartsWith("events.out.tfevents.4000000001"));
  EXPECT_EQ(Scalars(Events(files[1])[2]).at("train/loss"), 1);
  EXPECT_EQ(Scalars(Events(files[2])[2]).at("train/loss"), 3);
}

TEST_F(EventLogTest, WhatAFullDiskDoesNotTakeIsWrittenLater) {
  EventLog log(folder_, 1);
  const auto add = [&](int step) { log.Add({{"step", step}, {"loss", step / 2.0}}); };
  add(1);
  const fs::path file = FilesOf(folder_)[0];
  {
    const testing::FullDisk full(fs::file_size(file) + 5);
    add(2);
    add(3);
    EXPECT_EQ(Events(file).size(), 3u) << "the file ends with a whole record";
  }
  log.Finish();
  const auto events = Events(file);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(Scalars(events[4]).at("train/loss"), 1.5f);
}

TEST_F(EventLogTest, AFolderThatCannotBeMadeStopsNothing) {
  temp_.Write("tensorboard", "a file in its place");
  TrainLog log(temp_.path() / "log.jsonl", 0, folder_);
  log.Add(1, {{"eval_loss", 0.5}});
  fs::remove(temp_.path() / "tensorboard");
  log.Add(2, {{"eval_loss", 0.25}});
  log.Finish();
  EXPECT_EQ(Events(FilesOf(folder_)[0]).size(), 4u);
  EXPECT_EQ(data::ReadFile(temp_.path() / "log.jsonl"),
            "{\"step\":1,\"eval_loss\":0.5}\n{\"step\":2,\"eval_loss\":0.25}\n");
}

}  // namespace
}  // namespace pivotal::experiments
