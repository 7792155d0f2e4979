// Apache-2.0.
#include "data/template/text.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/text.h"
#include "data/base/utf8.h"

namespace pivotal::data::jinja {
namespace {

// Writes a float as Python's repr() does: the shortest digits that read back as the same value.
std::string FloatText(double value, const char* infinity, const char* nan) {
  if (std::isnan(value)) return nan;
  if (std::isinf(value)) return fmt::format("{}{}", value < 0 ? "-" : "", infinity);
  std::array<char, 64> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value),
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t e = text.find('e');
  std::string digits(text.substr(0, e));
  std::erase(digits, '.');
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  const int count = static_cast<int>(digits.size());
  const char* sign = std::signbit(value) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    return fmt::format("{}{}{}{}e{}{:02}", sign, digits[0], count > 1 ? "." : "", digits.substr(1),
                       exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return fmt::format("{}0.{:0>{}}", sign, digits, count - exponent - 1);
  const int whole = exponent + 1;
  if (count <= whole) return fmt::format("{}{:0<{}}.0", sign, digits, whole);
  const auto cut = static_cast<std::size_t>(whole);
  return fmt::format("{}{}.{}", sign, digits.substr(0, cut), digits.substr(cut));
}

std::string QuotedText(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string result(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80)
      throw Fault("printing a list or dict with text beyond ASCII is not supported");
    if (c == '\\' || c == quote)
      result += {'\\', c};
    else if (c == '\n')
      result += "\\n";
    else if (c == '\r')
      result += "\\r";
    else if (c == '\t')
      result += "\\t";
    else if (byte < 0x20 || byte == 0x7F)
      result += fmt::format("\\x{:02x}", byte);
    else
      result += c;
  }
  return result + quote;
}

std::optional<std::string> ScalarText(const Value& value, bool repr) {
  if (value.IsUndefined()) return repr ? "Undefined" : "";
  if (value.IsNone()) return "None";
  if (const bool* truth = value.As<bool>()) return *truth ? "True" : "False";
  if (const int64_t* integer = value.As<int64_t>()) return fmt::format("{}", *integer);
  if (const double* number = value.As<double>()) return FloatText(*number, "inf", "nan");
  if (value.IsSafe() && repr)
    throw Fault("printing a list that holds text marked safe is not supported");
  if (const std::string* text = value.String()) return repr ? QuotedText(*text) : *text;
  return std::nullopt;
}

// Prints values; the budget limits how large values that share parts can become.
class Printer {
 public:
  explicit Printer(Budget& budget) : budget_(budget) {}

  void Repr(const Value& value) {
    if (const auto scalar = ScalarText(value, true)) return Add(*scalar);
    if (const Sequence* list = value.List(); list != nullptr && list->flavor <= Flavor::kTuple) {
      const bool tuple = list->flavor == Flavor::kTuple;
      Add(tuple ? "(" : "[");
      for (std::size_t i = 0; i < list->items.size(); ++i) {
        if (i > 0) Add(", ");
        Repr(list->items[i]);
      }
      return Add(tuple ? (list->items.size() == 1 ? ",)" : ")") : "]");
    }
    if (const Mapping* dict = value.Dict()) return Entries(dict->entries);
    if (const Namespace* space = value.AsNamespace()) {
      Add("<Namespace ");
      Entries(space->attributes);
      return Add(">");
    }
    throw Fault(fmt::format("printing a {} is not supported", TypeName(value)));
  }

  void Json(const Value& value, int64_t indent, int64_t depth) {
    if (value.IsNone()) return Add("null");
    if (const bool* truth = value.As<bool>()) return Add(*truth ? "true" : "false");
    if (const double* number = value.As<double>())
      return Add(FloatText(*number, "Infinity", "NaN"));
    if (value.As<int64_t>() != nullptr) return Add(*ScalarText(value, false));
    if (const std::string* text = value.String()) return Add(JsonText(*text));
    if (const Sequence* list = value.List(); list != nullptr && list->flavor <= Flavor::kTuple) {
      return JsonItems('[', ']', list->items, indent, depth,
                       [&](const Value& item) { Json(item, indent, depth + 1); });
    }
    if (const Mapping* dict = value.Dict()) {
      return JsonItems('{', '}', dict->entries, indent, depth, [&](const auto& entry) {
        Add(JsonText(JsonKey(entry.first)) + ": ");
        Json(entry.second, indent, depth + 1);
      });
    }
    RequireDefined(value);
    throw Fault(fmt::format("a {} cannot be written as JSON", TypeName(value)));
  }

  std::string text;

 private:
  void Add(std::string_view part) {
    budget_.Charge(part.size() + Budget::kStep);
    text += part;
  }

  static Value Key(const std::string& name) { return Value(name); }
  static const Value& Key(const Value& name) { return name; }

  template <typename List>
  void Entries(const List& entries) {
    Add("{");
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) Add(", ");
      Repr(Key(entries[i].first));
      Add(": ");
      Repr(entries[i].second);
    }
    Add("}");
  }

  // Python leaves DEL unescaped, as nlohmann/json does.
  static std::string JsonText(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false);
  }

  static std::string JsonKey(const Value& key) {
    if (key.IsNone()) return "null";
    if (const bool* truth = key.As<bool>()) return *truth ? "true" : "false";
    if (const double* number = key.As<double>()) return FloatText(*number, "Infinity", "NaN");
    RequireDefined(key);
    return *ScalarText(key, false);
  }

  template <typename List, typename Write>
  void JsonItems(char open, char close, const List& items, int64_t indent, int64_t depth,
                 const Write& write) {
    const auto break_line = [&](int64_t levels) {
      if (indent < 0) return;
      Add("\n");
      Add(std::string(static_cast<std::size_t>(indent * levels), ' '));
    };
    Add(std::string(1, open));
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) Add(indent < 0 ? ", " : ",");
      break_line(depth + 1);
      write(items[i]);
    }
    if (!items.empty()) break_line(depth);
    Add(std::string(1, close));
  }

  Budget& budget_;
};

// Returns the start of the character that ends at `end`.
std::size_t PreviousCharacter(std::string_view text, std::size_t end) {
  std::size_t start = end - 1;
  while (start > 0 && end - start < 4 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80)
    --start;
  return start;
}

void RequireAscii(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80)
      throw Fault("changing the case of text beyond ASCII is not supported");
}

// Removes the underscores of "1_000"; returns nothing where one does not stand between digits.
std::optional<std::string> WithoutUnderscores(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80)
      throw Fault("reading a number beyond ASCII is not supported");
    if (text[i] != '_') {
      result += text[i];
      continue;
    }
    if (i == 0 || i + 1 == text.size() || !IsDigit(text[i - 1]) || !IsDigit(text[i + 1]))
      return std::nullopt;
  }
  return result;
}

}  // namespace

std::string ToText(const Value& value, Budget& budget) {
  if (auto scalar = ScalarText(value, false)) {
    budget.Charge(scalar->size());
    return *std::move(scalar);
  }
  return ToRepr(value, budget);
}

std::string ToRepr(const Value& value, Budget& budget) {
  Printer printer(budget);
  printer.Repr(value);
  return printer.text;
}

std::string ToJson(const Value& value, int64_t indent, Budget& budget) {
  Printer printer(budget);
  printer.Json(value, std::min<int64_t>(indent, 64), 0);
  return printer.text;
}

std::size_t SpaceAt(std::string_view text, std::size_t offset) {
  if (Utf8LengthAt(text, offset) == 0) return 0;
  const auto [c, length] = ReadUtf8(text, offset);
  const bool space = (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 ||
                     c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
                     c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
  return space ? length : 0;
}

std::string_view Strip(std::string_view text, Side side, std::optional<std::string_view> chars) {
  const auto strips = [&](std::size_t offset, std::size_t length) {
    return chars ? length > 0 &&
                       FindText(*chars, text.substr(offset, length)) != std::string_view::npos
                 : SpaceAt(text, offset) > 0;
  };
  std::size_t first = 0, last = text.size();
  while (side != Side::kRight && first < last) {
    const std::size_t length = Utf8LengthAt(text, first);
    if (!strips(first, length)) break;
    first += length;
  }
  while (side != Side::kLeft && last > first) {
    const std::size_t start = PreviousCharacter(text, last);
    if (!strips(start, last - start)) break;
    last = start;
  }
  return text.substr(first, last - first);
}

std::size_t FindText(std::string_view text, std::string_view needle, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found =
      ::memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::vector<std::string_view> Split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t limit) {
  std::vector<std::string_view> parts;
  std::size_t at = 0;
  if (separator) {
    if (separator->empty()) throw Fault("split() needs a separator that is not empty");
    for (; limit != 0; --limit) {
      const std::size_t found = FindText(text, *separator, at);
      if (found == std::string_view::npos) break;
      parts.push_back(text.substr(at, found - at));
      at = found + separator->size();
    }
    parts.push_back(text.substr(at));
    return parts;
  }
  const auto skip = [&] {
    while (const std::size_t length = SpaceAt(text, at)) at += length;
  };
  for (skip(); at < text.size(); skip()) {
    if (limit-- == 0) {
      parts.push_back(Strip(text.substr(at), Side::kRight));
      break;
    }
    const std::size_t start = at;
    while (at < text.size() && SpaceAt(text, at) == 0) ++at;
    parts.push_back(text.substr(start, at - start));
  }
  return parts;
}

std::string Replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t limit, Budget& budget) {
  std::string result;
  const auto add = [&](std::string_view part) {
    budget.Charge(part.size() + 1);
    result += part;
  };
  std::size_t at = 0;
  for (; limit != 0; --limit) {
    const std::size_t found = FindText(text, from, at);
    if (found == std::string_view::npos) break;
    add(text.substr(at, found - at));
    add(to);
    at = found + from.size();
    if (from.empty()) {  // an empty text is found before each character and at the end
      if (at >= text.size()) return result;
      add(text.substr(at, Utf8LengthAt(text, at)));
      at += Utf8LengthAt(text, at);
    }
  }
  add(text.substr(std::min(at, text.size())));
  return result;
}

std::string ChangeCase(std::string_view text, Case to) {
  RequireAscii(text);
  std::string result;
  bool inside = false;  // true: the previous character belongs to the same word
  for (const char c : text) {
    const bool lower = to == Case::kLower || (to != Case::kUpper && inside);
    result += lower ? Lower(c) : Upper(c);
    inside = to == Case::kCapital || IsLetter(c);
  }
  return result;
}

std::string TitleFilter(std::string_view text) {
  RequireAscii(text);
  constexpr std::string_view kBefore = "-({[<";
  std::string result;
  bool first = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    result += first ? Upper(text[i]) : Lower(text[i]);
    first = SpaceAt(text, i) > 0 || kBefore.find(text[i]) != std::string_view::npos;
  }
  return result;
}

std::size_t Length(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = std::max<std::size_t>(Utf8LengthAt(text, i), 1);
    characters.push_back(text.substr(i, length));
    i += length;
  }
  return characters;
}

std::optional<int64_t> ParseInt(std::string_view text) {
  const auto digits = WithoutUnderscores(Strip(text, Side::kBoth));
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view body = *digits;
  const bool sign = body[0] == '+' || body[0] == '-';
  if (body.size() == (sign ? 1u : 0u)) return std::nullopt;
  for (const char c : body.substr(sign ? 1 : 0))
    if (!IsDigit(c)) return std::nullopt;
  if (body[0] == '+') body.remove_prefix(1);
  int64_t value = 0;
  if (std::from_chars(body.data(), body.data() + body.size(), value).ec != std::errc())
    throw Fault("an integer beyond 64 bits is not supported");
  return value;
}

std::optional<double> ParseFloat(std::string_view text) {
  const auto digits = WithoutUnderscores(Strip(text, Side::kBoth));
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view body = *digits;
  if (body[0] == '+' || body[0] == '-') body.remove_prefix(1);
  if (body.empty() || body[0] == '+' || body[0] == '-') return std::nullopt;
  if (body[0] != '.' && !IsDigit(body[0])) {
    const std::string word = ChangeCase(body, Case::kLower);
    if (word != "inf" && word != "infinity" && word != "nan") return std::nullopt;
  } else if (body.find_first_not_of("0123456789.eE+-") != std::string_view::npos) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double value = std::strtod(digits->c_str(), &end);
  if (end != digits->c_str() + digits->size()) return std::nullopt;
  return value;
}

}  // namespace pivotal::data::jinja
