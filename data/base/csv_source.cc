// Apache-2.0.
#include "data/base/csv_source.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "data/base/json_input.h"

namespace pivotal::data {
namespace {

constexpr std::size_t kMaxRecord = std::size_t{64} << 20;  // bytes, as JsonLineReader's lines

class CsvSource : public ByteSource {
 public:
  CsvSource(std::unique_ptr<ByteSource> text, std::string path)
      : text_(std::move(text)), path_(std::move(path)) {
    if (!ReadRecord(names_)) return;
    if (names_[0].starts_with("\xEF\xBB\xBF")) names_[0].erase(0, 3);  // byte-order mark
    std::unordered_set<std::string_view> seen;
    for (const std::string& name : names_)
      if (!seen.insert(name).second) Fail("{}: two columns are named {}", path_, Quoted(name));
  }

  std::string_view Next() override {
    std::vector<std::string> values;
    if (!ReadRecord(values)) return {};
    ++record_;
    if (values.size() != names_.size())
      Fail("{}:{}: {} values for {} columns", path_, record_, values.size(), names_.size());
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    for (std::size_t i = 0; i < names_.size(); ++i) object[names_[i]] = std::move(values[i]);
    try {
      line_ = object.dump() + '\n';
    } catch (const nlohmann::json::exception&) {
      Fail("{}:{}: not valid UTF-8", path_, record_);
    }
    return line_;
  }

 private:
  static constexpr int kEnd = -1;

  int Get() {
    if (at_ == piece_.size()) {
      piece_ = text_->Next();
      at_ = 0;
      if (piece_.empty()) return kEnd;
    }
    return static_cast<unsigned char>(piece_[at_++]);
  }

  // Reads the next record that is not a blank line. Returns false at the end of the text.
  bool ReadRecord(std::vector<std::string>& values) {
    do {
      values.assign(1, "");
      if (!ReadLine(values)) return false;
    } while (values.size() == 1 && values[0].empty());
    return true;
  }

  // Reads a record, or a blank line as one empty value.
  bool ReadLine(std::vector<std::string>& values) {
    bool in_quotes = false, any = false;
    std::size_t size = 0;
    for (int c = Get(); c != kEnd; c = Get()) {
      any = true;
      if (++size > kMaxRecord)
        Fail("{}:{}: record longer than {} MiB; is a quote not closed?", path_, record_ + 1,
             kMaxRecord >> 20);
      if (c == '"') {
        // Quotes in quotes are doubled: the second opens again, and stays as one.
        if (was_quote_ && !in_quotes) values.back() += '"';
        was_quote_ = in_quotes;
        in_quotes = !in_quotes;
        continue;
      }
      was_quote_ = false;
      if (in_quotes) {
        values.back() += static_cast<char>(c);
      } else if (c == ',') {
        values.emplace_back();
      } else if (c == '\n') {
        if (values.back().ends_with('\r')) values.back().pop_back();
        return true;
      } else {
        values.back() += static_cast<char>(c);
      }
    }
    if (in_quotes) Fail("{}:{}: a quote is not closed", path_, record_ + 1);
    return any;
  }

  std::unique_ptr<ByteSource> text_;
  std::string path_;
  std::string_view piece_;  // of text_
  std::size_t at_ = 0;      // in piece_
  bool was_quote_ = false;  // the last character closed a quoted value
  std::vector<std::string> names_;
  int64_t record_ = 0;
  std::string line_;
};

}  // namespace

std::unique_ptr<ByteSource> CsvAsJsonLines(std::unique_ptr<ByteSource> text, std::string path) {
  return std::make_unique<CsvSource>(std::move(text), std::move(path));
}

}  // namespace pivotal::data
