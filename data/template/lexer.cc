// Apache-2.0. Follows jinja2/lexer.py.
#include "data/template/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "data/base/text.h"
#include "data/base/utf8.h"
#include "data/template/text.h"
#include "data/template/value.h"

namespace pivotal::data::jinja {
namespace {

using Kind = Token::Kind;

bool IsNameStart(char c) { return IsLetter(c) || c == '_'; }
bool IsName(char c) { return IsNameStart(c) || IsDigit(c); }

// Turns all line ends into "\n" and drops the last one (keep_trailing_newline is off).
std::string Normalize(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

void AppendUtf8(std::string& out, uint32_t c, int line) {
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
    throw Fault("an escape in a string is not a valid character", line);
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      out += static_cast<char>(0xE0 | c >> 12);
    } else {
      out += static_cast<char>(0xF0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    }
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
  }
  out += static_cast<char>(0x80 | (c & 0x3F));
}

// Decodes the text between quotes as Python's "unicode-escape" does.
std::string Unescape(std::string_view body, int line) {
  std::string out;
  for (std::size_t i = 0; i < body.size();) {
    if (body[i] != '\\') {
      out += body[i++];
      continue;
    }
    const char c = body[i + 1];  // the lexer leaves no backslash at the end
    i += 2;
    constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    if (const auto at = kFrom.find(c); at != std::string_view::npos) {
      out += kTo[at];
      continue;
    }
    if (c == '\n') continue;
    if (c >= '0' && c <= '7') {
      uint32_t value = static_cast<uint32_t>(c - '0');
      for (int k = 0; k < 2 && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++k)
        value = value * 8 + static_cast<uint32_t>(body[i++] - '0');
      AppendUtf8(out, value, line);
      continue;
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits > 0) {
      const std::string_view hex = body.substr(i, digits);
      if (hex.size() < digits ||
          hex.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
        throw Fault(fmt::format("a \\{} escape in a string is truncated", c), line);
      AppendUtf8(out, static_cast<uint32_t>(std::stoul(std::string(hex), nullptr, 16)), line);
      i += digits;
      continue;
    }
    if (c == 'N' || static_cast<unsigned char>(c) >= 0x80)
      throw Fault("this backslash escape in a string is not supported", line);
    out += '\\';
    out += c;
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(Normalize(source)) {}

  std::vector<Token> Run() {
    while (at_ < text_.size()) Root();
    Add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  // Reads the text up to the next tag, and that tag.
  void Root() {
    std::size_t begin = at_;
    const auto opens = [&](std::size_t i) {
      return text_[i] == '{' && i + 1 < text_.size() &&
             (text_[i + 1] == '{' || text_[i + 1] == '%' || text_[i + 1] == '#');
    };
    while (begin < text_.size() && !opens(begin)) ++begin;
    const std::string_view data = std::string_view(text_).substr(at_, begin - at_);
    if (begin == text_.size()) {
      Data(data);
      at_ = begin;
      return;
    }
    const char type = text_[begin + 1];
    const char sign = begin + 2 < text_.size() ? text_[begin + 2] : ' ';
    const bool has_sign = sign == '-' || sign == '+';
    Data(LeftStripped(data, has_sign ? sign : ' ', type));
    Advance(begin + 2 + (has_sign ? 1 : 0));
    line_starting_ = false;
    if (type == '#') return Comment();
    Add(type == '{' ? Kind::kVariableBegin : Kind::kBlockBegin, "");
    Inside(type == '{');
  }

  std::string_view LeftStripped(std::string_view data, char sign, char type) const {
    if (sign == '-') return Strip(data, Side::kRight);
    if (sign == '+' || type == '{') return data;
    const std::size_t line = data.rfind('\n') + 1;  // npos + 1 == 0
    if (line == 0 && !line_starting_) return data;
    const std::string_view tail = data.substr(line);
    return Strip(tail, Side::kLeft).empty() ? data.substr(0, line) : data;
  }

  void Comment() {
    const std::size_t end = text_.find("#}", at_);
    if (end == std::string::npos) throw Fault("a comment is not closed by #}", line_);
    const char sign = end > at_ ? text_[end - 1] : ' ';
    Advance(end + 2);
    AfterTag(sign, true);
  }

  // Skips the white space after a tag that closes with `sign`.
  void AfterTag(char sign, bool block) {
    line_starting_ = false;
    const std::size_t from = at_;
    if (sign == '-') {
      std::size_t to = at_;
      while (const std::size_t length = SpaceAt(text_, to)) to += length;
      Advance(to);
    } else if (block && sign != '+' && at_ < text_.size() && text_[at_] == '\n') {
      Advance(at_ + 1);
    }
    line_starting_ = at_ > from && text_[at_ - 1] == '\n';
  }

  // Reads the tokens of one tag, its end included.
  void Inside(bool variable) {
    std::string open;  // the closing brackets that are expected, innermost last
    const int first_line = line_;
    while (true) {
      while (const std::size_t length = SpaceAt(text_, at_)) Advance(at_ + length);
      if (at_ >= text_.size()) throw Fault("a tag is not closed", first_line);
      const std::string_view rest = std::string_view(text_).substr(at_);
      const std::string_view close = variable ? "}}" : "%}";
      const bool sign = rest[0] == '-' || (rest[0] == '+' && !variable);
      if (open.empty() && rest.substr(sign ? 1 : 0).starts_with(close)) {
        Add(variable ? Kind::kVariableEnd : Kind::kBlockEnd, "");
        Advance(at_ + close.size() + (sign ? 1 : 0));
        return AfterTag(sign ? rest[0] : ' ', !variable);
      }
      if (IsDigit(rest[0]))
        Number(rest);
      else if (IsNameStart(rest[0]))
        Name(rest);
      else if (rest[0] == '\'' || rest[0] == '"')
        String(rest);
      else
        Operator(rest, open);
    }
  }

  void Name(std::string_view rest) {
    std::size_t end = 1;
    while (end < rest.size() && IsName(rest[end])) ++end;
    Add(Kind::kName, std::string(rest.substr(0, end)));
    Advance(at_ + end);
  }

  // Returns the length of the digits at `i`, which may hold single underscores; 0 without digits.
  static std::size_t Digits(std::string_view text, std::size_t i) {
    const std::size_t first = i;
    while (i < text.size() && (IsDigit(text[i]) || (text[i] == '_' && i > first &&
                                                    i + 1 < text.size() && IsDigit(text[i + 1]))))
      ++i;
    return i - first;
  }

  void Number(std::string_view rest) {
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    const std::size_t whole = Digits(rest, 0);
    std::size_t end = whole;
    if (const std::size_t part = end < rest.size() && rest[end] == '.' ? Digits(rest, end + 1) : 0)
      end += 1 + part;
    if (end < rest.size() && (rest[end] == 'e' || rest[end] == 'E')) {
      const std::size_t sign =
          end + 1 < rest.size() && (rest[end + 1] == '+' || rest[end + 1] == '-') ? 1 : 0;
      if (const std::size_t power = Digits(rest, end + 1 + sign)) end += 1 + sign + power;
    }
    const bool is_float = end > whole && !after_dot;
    if (!is_float) {
      end = whole;
      if (rest[0] == '0') {
        if (rest.size() > 1 && std::string_view("xXoObB").find(rest[1]) != std::string_view::npos)
          throw Fault("numbers in hexadecimal, octal or binary are not supported", line_);
        end = 1;  // "007" becomes three tokens, which the parser refuses
        while (end < whole && (rest[end] == '0' || (rest[end] == '_' && rest[end + 1] == '0')))
          ++end;
      }
    }
    std::string digits(rest.substr(0, end));
    std::erase(digits, '_');
    Add(is_float ? Kind::kFloat : Kind::kInteger, digits);
    Advance(at_ + end);
  }

  void String(std::string_view rest) {
    std::size_t end = 1;
    while (end < rest.size() && rest[end] != rest[0]) end += rest[end] == '\\' ? 2 : 1;
    if (end >= rest.size()) throw Fault("a string is not closed", line_);
    Add(Kind::kString, Unescape(rest.substr(1, end - 1), line_));
    Advance(at_ + end + 1);
  }

  void Operator(std::string_view rest, std::string& open) {
    constexpr std::array<std::string_view, 6> kPairs = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    const bool pair = std::find(kPairs.begin(), kPairs.end(), rest.substr(0, 2)) != kPairs.end();
    if (!pair && kSingle.find(rest[0]) == std::string_view::npos) {
      const std::size_t length = std::max<std::size_t>(Utf8LengthAt(rest, 0), 1);
      throw Fault(fmt::format("unexpected character \"{}\"", rest.substr(0, length)), line_);
    }
    const std::string text(rest.substr(0, pair ? 2 : 1));
    if (text == "(" || text == "[" || text == "{")
      open += text == "(" ? ')' : text == "[" ? ']' : '}';
    if (text == ")" || text == "]" || text == "}") {
      if (open.empty() || open.back() != text[0])
        throw Fault(fmt::format("unexpected \"{}\"", text), line_);
      open.pop_back();
    }
    Add(Kind::kOperator, text);
    Advance(at_ + text.size());
  }

  void Data(std::string_view data) {
    if (!data.empty()) Add(Kind::kData, std::string(data));
  }
  void Add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void Advance(std::size_t to) {
    const auto at = [&](std::size_t i) { return text_.begin() + static_cast<std::ptrdiff_t>(i); };
    line_ += static_cast<int>(std::count(at(at_), at(to), '\n'));
    at_ = to;
  }

  std::string text_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::vector<Token> Tokenize(std::string_view source) { return Lexer(source).Run(); }

}  // namespace pivotal::data::jinja
