// Apache-2.0. JSON from outside: bounded in depth and size, every fault an Error with its place.
// For .cc files: nlohmann/json stays out of headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace pivotal::data {

// True for the keys of the outermost object whose values are to be kept.
using KeepKey = std::function<bool(std::string_view key)>;

// Parses one JSON object. `where` begins the text of an Error ("train.jsonl:17"). Values nested
// deeper than 32 levels, texts with more than four million values, and objects in which a key stands
// twice are refused: readers differ in which of the two they take.
nlohmann::json ParseJsonObject(std::string_view text, std::string_view where,
                               const KeepKey& keep = nullptr);

// `text` in quotes, control characters escaped, cut after 80 bytes: fit for a one-line message.
std::string Quoted(std::string_view text);

// Access to the keys of an object; each fault is an Error that begins with `where`. An absent key
// is reported with the keys that are there and `remedy` ("choose another with --question-key").
const nlohmann::json& RequireKey(const nlohmann::json& object, const std::string& key,
                                 std::string_view where, std::string_view remedy = {});
const std::string& RequireString(const nlohmann::json& object, const std::string& key,
                                 std::string_view where, std::string_view remedy = {});
// An integer in [low, high]; `name` is how an Error calls it.
int64_t CheckedInteger(const nlohmann::json& value, int64_t low, int64_t high,
                       std::string_view name, std::string_view where);

// Reads JSON lines one by one, so that a large file costs the memory of its longest line.
class JsonLineReader {
 public:
  explicit JsonLineReader(const std::filesystem::path& path);
  // Moves to the next line that is not blank; false at the end. Throws Error for a line that is
  // not a JSON object or is longer than 64 MiB.
  bool Next(nlohmann::json& object);
  std::size_t line() const { return line_; }  // from 1
  std::string Where() const;                  // "train.jsonl:17"

 private:
  bool ReadLine();
  bool ReadLineChecked();

  std::filesystem::path path_;
  std::ifstream in_;
  std::string text_;
  std::size_t line_ = 0;
};

// Lines that are not blank. Throws like the reader: finds what is no JSON before long work begins.
int64_t CountJsonLines(const std::filesystem::path& path);

}  // namespace pivotal::data
