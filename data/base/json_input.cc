// Apache-2.0.
#include "data/base/json_input.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data/base/csv_source.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/parquet.h"
#include "data/base/text.h"

namespace pivotal::data {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxValues = 4'000'000;
constexpr std::size_t kMaxLine = std::size_t{64} << 20;

// Returns the message of an nlohmann exception without its tag, its line number (always 1 here) and
// the input that it quotes.
std::string ShortReason(std::string text) {
  if (const auto tag = text.find("] "); tag != std::string::npos) text.erase(0, tag + 2);
  if (const auto cut = text.find("; last read"); cut != std::string::npos) text.erase(cut);
  if (const auto cut = text.find("line 1, "); cut != std::string::npos) text.erase(cut, 8);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7E) c = '?';
  }
  return text.substr(0, 200);
}

std::string KeyList(const json& object) {
  std::string keys;
  int count = 0;
  for (const auto& item : object.items()) {
    if (++count > 20) return keys + ", ...";
    const std::string quoted = Quoted(item.key());
    keys += (count > 1 ? ", " : "") + quoted.substr(1, quoted.size() - 2);
  }
  return keys.empty() ? "none" : keys;
}

// Finds equal keys in one object. Holds the keys of the objects that are open, by depth.
class DuplicateKeyCheck {
 public:
  explicit DuplicateKeyCheck(std::string_view where) : where_(where) {}

  // nlohmann does not report the end of an object whose key is not kept. So a key set is cleared
  // when the next object of its depth starts.
  void See(int depth, json::parse_event_t event, const json& parsed) {
    const auto level = static_cast<std::size_t>(depth);
    if (event == json::parse_event_t::object_start) {
      keys_.resize(std::max(keys_.size(), level + 1));
      keys_[level].clear();
    }
    if (event != json::parse_event_t::key) return;
    const auto& key = parsed.get_ref<const std::string&>();
    if (!keys_[level - 1].insert(key).second)
      Fail("{}: the key {} stands twice", where_, Quoted(key));
  }

 private:
  std::string_view where_;
  std::vector<std::unordered_set<std::string>> keys_;
};

bool IsNamedCsv(std::filesystem::path name) {
  const auto extension = [&] {
    std::string text = name.extension().string();
    for (char& c : text) c = Lower(c);
    return text;
  };
  if (extension() == ".gz" || extension() == ".zst") name.replace_extension();
  return extension() == ".csv";
}

// Recognises what the file `path` holds by its first bytes, and returns it as JSON lines.
std::unique_ptr<ByteSource> LinesOf(std::unique_ptr<ByteSource> plain,
                                    const std::filesystem::path& path) {
  auto bytes = std::make_unique<PeekedSource>(Unpacked(std::move(plain), path));
  if (bytes->Beginning().starts_with(kParquetMagic)) return ParquetAsJsonLines(path);
  if (IsNamedCsv(path) && !bytes->Beginning().starts_with('{'))
    return CsvAsJsonLines(std::move(bytes), path.string());
  return bytes;
}

}  // namespace

std::string JsonLine(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string Quoted(std::string_view text) {
  constexpr std::size_t kMax = 80;
  const std::string cut(text.substr(0, kMax));
  const std::string quoted = json(cut).dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() > kMax ? quoted + "..." : quoted;
}

json ParseJsonObject(std::string_view text, std::string_view where, const KeepKey& keep) {
  DuplicateKeyCheck duplicates(where);
  std::size_t values = 0;
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) Fail("{}: JSON nested deeper than {} levels", where, kMaxDepth);
    if (++values > kMaxValues) Fail("{}: JSON of more than {} values", where, kMaxValues);
    duplicates.See(depth, event, parsed);
    const bool outer_key = event == json::parse_event_t::key && depth == 1;
    return !outer_key || !keep || keep(parsed.get_ref<const std::string&>());
  };
  json object;
  try {
    object = json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& e) {
    Fail("{}: not JSON: {}", where, ShortReason(e.what()));
  }
  if (!object.is_object())
    Fail("{}: a JSON object is needed, this is {}", where, object.type_name());
  return object;
}

const json& RequireKey(const json& object, const std::string& key, std::string_view where,
                       std::string_view remedy) {
  const auto found = object.find(key);
  if (found == object.end()) {
    Fail("{}: no key {} (keys: {}){}{}", where, Quoted(key), KeyList(object),
         remedy.empty() ? "" : "; ", remedy);
  }
  return *found;
}

const std::string& RequireString(const json& object, const std::string& key, std::string_view where,
                                 std::string_view remedy) {
  const json& value = RequireKey(object, key, where, remedy);
  if (!value.is_string()) {
    Fail("{}: key {} must be a string, not {}{}{}", where, Quoted(key), value.type_name(),
         remedy.empty() ? "" : "; ", remedy);
  }
  return value.get_ref<const std::string&>();
}

bool RequireBool(const json& object, const std::string& key, std::string_view where) {
  const json& value = RequireKey(object, key, where);
  if (!value.is_boolean())
    Fail("{}: {} must be true or false, not {}", where, key, value.type_name());
  return value.get<bool>();
}

bool OptionalBool(const json& object, const std::string& key, bool absent, std::string_view where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return absent;
  return RequireBool(object, key, where);
}

int64_t CheckedInteger(const json& value, int64_t low, int64_t high, std::string_view name,
                       std::string_view where) {
  const bool integer = value.is_number_integer();
  const bool fits = integer && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high) {
    Fail("{}: {} must be an integer from {} to {}, not {}", where, name, low, high,
         value.is_number() ? value.dump() : value.type_name());
  }
  return value.get<int64_t>();
}

JsonLineReader::JsonLineReader(const std::filesystem::path& path)
    : path_(path), source_(OpenPlain(path)) {}

std::string JsonLineReader::Where() const { return fmt::format("{}:{}", path_.string(), line_); }

bool JsonLineReader::ReadLine() {
  text_.clear();
  if (line_++ == 0) source_ = LinesOf(std::move(source_), path_);
  while (true) {
    if (piece_.empty()) piece_ = source_->Next();
    if (piece_.empty()) return !text_.empty();
    const std::size_t end = piece_.find('\n');
    const std::size_t size = std::min(end, piece_.size());
    if (text_.size() + size > kMaxLine)
      Fail("{}: line longer than {} MiB", Where(), kMaxLine >> 20);
    text_ += piece_.substr(0, size);
    piece_.remove_prefix(size);
    if (end == std::string_view::npos) continue;
    piece_.remove_prefix(1);
    return true;
  }
}

bool JsonLineReader::Next(json& object) {
  while (ReadLine()) {
    if (text_.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (line_ == 1) RequireNoLfsPointer(text_, path_.string());
    object = ParseJsonObject(text_, Where());
    return true;
  }
  return false;
}

int64_t CountJsonLines(const std::filesystem::path& path) {
  JsonLineReader reader(path);
  json object;
  int64_t count = 0;
  while (reader.Next(object)) ++count;
  return count;
}

}  // namespace pivotal::data
