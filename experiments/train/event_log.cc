// Apache-2.0.
#include "experiments/train/event_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <boost/crc.hpp>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/folders.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEventFile = "events.out.tfevents.";

// Appends the `bytes` low bytes of a number, the lowest first.
void PutFixed(std::string& to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> (8 * i));
}

// Protocol Buffers: a field is its key (number and kind), then its value.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void PutVarint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}
void PutKey(std::string& to, int field, WireType type) { PutVarint(to, field << 3 | type); }
void PutInteger(std::string& to, int field, int64_t value) {
  PutKey(to, field, kVarint);
  PutVarint(to, static_cast<uint64_t>(value));
}
void PutBytes(std::string& to, int field, std::string_view bytes) {
  PutKey(to, field, kBytes);
  PutVarint(to, bytes.size());
  to += bytes;
}

// Returns a record of a TensorBoard Event: its length, the message, and a checksum of each.
std::string Record(int64_t step, int field, std::string_view content) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::string event;
  PutKey(event, 1, kFixed64);  // wall_time
  PutFixed(event, std::bit_cast<uint64_t>(now.count()), 8);
  PutInteger(event, 2, step);
  PutBytes(event, field, content);
  const auto masked = [](std::string_view bytes) {
    return std::rotr(Crc32c(bytes), 15) + 0xA282EAD8u;
  };
  std::string record;
  PutFixed(record, event.size(), 8);
  PutFixed(record, masked(record), 4);
  record += event;
  PutFixed(record, masked(event), 4);
  return record;
}
// The fields of an Event.
enum Content { kFileVersion = 3, kSummary = 5, kSessionLog = 7 };

// Returns the name of a file that sorts behind the event files of `folder`: it begins with the
// time in seconds, or with a later one.
fs::path NextEventFile(const fs::path& folder) {
  int64_t time = std::chrono::duration_cast<std::chrono::seconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
  try {
    if (data::Exists(folder)) {
      for (const fs::path& path : data::PathsIn(folder)) {
        const std::string name = path.filename().string();
        if (!name.starts_with(kEventFile)) continue;
        int64_t other = 0;
        std::from_chars(name.data() + kEventFile.size(), name.data() + name.size(), other);
        if (other < 9'999'999'999) time = std::max(time, other + 1);
      }
    }
  } catch (const Error&) {  // LogFile says what is wrong with the folder
  }
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return folder / fmt::format("{}{:010}.{}.{}", kEventFile, time,
                              host[0] == '\0' ? "host" : host.data(), ::getpid());
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

std::string EventTag(std::string_view name) {
  constexpr std::string_view kEval = "eval_";
  if (name.starts_with(kEval)) return fmt::format("eval/{}", name.substr(kEval.size()));
  return fmt::format("train/{}", name == "tokens" ? "num_tokens" : name);
}

EventLog::EventLog(const fs::path& folder, int64_t first_step) : file_(NextEventFile(folder)) {
  std::string start;
  PutInteger(start, 1, 1);  // status: START
  file_.Add(Record(0, kFileVersion, "brain.Event:2") + Record(first_step, kSessionLog, start));
}

void EventLog::Add(const nlohmann::ordered_json& line) {
  std::string summary;
  for (const auto& [name, number] : line.items()) {
    if (name == "step" || !number.is_number()) continue;
    std::string value;
    PutBytes(value, 1, EventTag(name));
    PutKey(value, 2, kFixed32);  // simple_value
    PutFixed(value, std::bit_cast<uint32_t>(number.get<float>()), 4);
    PutBytes(summary, 1, value);
  }
  file_.Add(Record(line.at("step").get<int64_t>(), kSummary, summary));
}

}  // namespace pivotal::experiments
