// Apache-2.0. Checked reading of JSON that users give: bounded in depth and size, and each fault is
// an Error that says where it is. Include nlohmann/json.hpp in .cc files only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "data/base/byte_source.h"

namespace pivotal::data {

// Returns true for the keys of the outermost object whose values the parser keeps.
using KeepKey = std::function<bool(std::string_view key)>;

// Parses one JSON object. Throws Error that begins with `where` ("train.jsonl:17") for text that is
// no JSON object, is nested deeper than 32 levels, has more than four million values, or has an
// object with two equal keys (readers differ in which of the two they take).
nlohmann::json ParseJsonObject(std::string_view text, std::string_view where,
                               const KeepKey& keep = nullptr);

// Returns a value as one line of JSON with its line end. Bytes that are not UTF-8 become U+FFFD.
std::string JsonLine(const nlohmann::ordered_json& value);

// Returns `text` in quotes for a one-line message: control characters are escaped, and it is cut
// after 80 bytes.
std::string Quoted(std::string_view text);

// Return the value of a key. Throw Error that begins with `where` if the key is absent or its value
// has another type. The Error for an absent key lists the keys that the object has, and ends with
// `remedy` ("choose another with --question-key").
const nlohmann::json& RequireKey(const nlohmann::json& object, const std::string& key,
                                 std::string_view where, std::string_view remedy = {});
const std::string& RequireString(const nlohmann::json& object, const std::string& key,
                                 std::string_view where, std::string_view remedy = {});
bool RequireBool(const nlohmann::json& object, const std::string& key, std::string_view where);
// Returns true or false, or `absent` if the key is absent or null.
bool OptionalBool(const nlohmann::json& object, const std::string& key, bool absent,
                  std::string_view where);
// Returns `value` if it is an integer in [low, high]. Throws Error that calls it `name`.
int64_t CheckedInteger(const nlohmann::json& value, int64_t low, int64_t high,
                       std::string_view name, std::string_view where);

// Reads a file of JSON lines; holds one line at a time. What else data sets come in is read as such
// a file: Parquet, by its content; CSV, by its name (*.csv, *.csv.gz, *.csv.zst); and all of these
// but Parquet under gzip or Zstandard, by their content.
class JsonLineReader {
 public:
  // Opens the file and reads nothing yet: a pipe may wait for what the caller does next.
  explicit JsonLineReader(const std::filesystem::path& path);
  // Reads the next line that is not blank into `object`. Returns false at the end of the file.
  // Throws Error for a line that is not a JSON object or is longer than 64 MiB, and the Errors of
  // Unpacked(), ParquetAsJsonLines() and CsvAsJsonLines().
  bool Next(nlohmann::json& object);
  // The number of the line, or of the row of a table, from 1.
  std::size_t line() const { return line_; }
  std::string Where() const;  // e.g. "train.jsonl:17"

 private:
  bool ReadLine();

  std::filesystem::path path_;
  std::unique_ptr<ByteSource> source_;
  std::string_view piece_;  // of the source, what is not read yet
  std::string text_;
  std::size_t line_ = 0;
};

// Counts the lines that are not blank. Throws Error as JsonLineReader does, so that faults are
// found before long work begins.
int64_t CountJsonLines(const std::filesystem::path& path);

}  // namespace pivotal::data
