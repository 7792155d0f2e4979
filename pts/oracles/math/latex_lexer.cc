// Apache-2.0.
#include "pts/oracles/math/latex_lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "data/base/text.h"
#include "pts/oracles/math/notation.h"

namespace pivotal::pts {
using data::IsDigit;
using data::IsLetter;

namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '~'; }

template <std::size_t n>
bool OneOf(std::string_view text, const std::array<std::string_view, n>& list) {
  return std::ranges::find(list, text) != list.end();
}

// Commands that only change how an answer looks.
constexpr std::array<std::string_view, 30> kDropped = {
    "quad",       "qquad",     "displaystyle", "textstyle", "scriptstyle", "limits",
    "nolimits",   "thinspace", "big",          "Big",       "bigg",        "Bigg",
    "boxed",      "fbox",      "mathbf",       "mathit",    "mathsf",      "mathcal",
    "boldsymbol", "bm",        "hfill",        "nonumber",  "hline",       "medspace",
    "enspace",    "noindent",  "middle",       "rm",        "bf",          "it"};
constexpr std::array<std::string_view, 11> kTextual = {"text",   "mbox",       "hbox",   "textbf",
                                                       "textrm", "textit",     "textsf", "texttt",
                                                       "mathrm", "textnormal", "emph"};
// Commands before an opening and a closing delimiter.
constexpr std::array<std::string_view, 5> kLeft = {"left", "bigl", "Bigl", "biggl", "Biggl"};
constexpr std::array<std::string_view, 5> kRight = {"right", "bigr", "Bigr", "biggr", "Biggr"};
// Delimiters that are written as commands. "\vert" opens or closes, like the sign "|".
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kDelimiters = {
    {{"vert", "|"}, {"lbrack", "["}, {"rbrack", "]"}, {"lparen", "("}, {"rparen", ")"}}};
constexpr std::array<std::string_view, 4> kSkippedArgument = {"hspace", "vspace", "phantom",
                                                              "label"};

class Lexer {
 public:
  Lexer(std::string_view text, const LexOptions& options) : text_(text), options_(options) {}

  bool Run(std::vector<Token>& tokens) {
    while (at_ < text_.size()) {
      if (!Step(tokens)) return false;
    }
    return true;
  }

 private:
  bool Step(std::vector<Token>& tokens) {
    const char c = text_[at_];
    if (const std::size_t blank = Blank()) {
      const auto currency = CurrencyAt();
      spaced_ = true;
      at_ += blank;
      while (!currency.first.empty() && at_ < text_.size() && IsSpace(text_[at_])) ++at_;
      const bool amount = at_ < text_.size() && (IsDigit(text_[at_]) || text_[at_] == '.');
      if (!currency.first.empty() && amount)
        Add(tokens, TokenKind::kCommand, "currency " + std::string(currency.second));
    } else if (text_.substr(at_).starts_with("{:}")) {  // a colon without spaces around it
      Sign(tokens, ':', 3);
    } else if (c == '\\') {
      return Backslash(tokens);
    } else if (IsDigit(c) || (c == '.' && DigitRun(at_ + 1) > 0)) {
      const bool script = !tokens.empty() && tokens.back().IsSign("^");
      Add(tokens, TokenKind::kNumber, Number(script));
    } else if (IsLetter(c)) {
      Add(tokens, TokenKind::kWord, std::string(Letters(at_)));
      at_ += tokens.back().text.size();
    } else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) {
      return false;
    } else {
      Sign(tokens, c, 1);
    }
    return true;
  }

  // Returns the number of bytes of white space or currency at at_.
  std::size_t Blank() const {
    if (IsSpace(text_[at_]) || text_[at_] == '$') return 1;
    const auto currency = CurrencyAt();
    return currency.first.size();
  }

  // Returns the sign of a currency at at_ and its name.
  std::pair<std::string_view, std::string_view> CurrencyAt() const {
    for (const auto& [sign, name] : {std::pair<std::string_view, std::string_view>{"\\$", "dollar"},
                                     {"\u20ac", "euro"},
                                     {"\u00a3", "pound sterling"}})
      if (text_.substr(at_).starts_with(sign)) return {sign, name};
    return {};
  }

  // Adds a sign that takes `bytes` of the text.
  void Sign(std::vector<Token>& tokens, char c, std::size_t bytes) {
    if (c == '(' || c == '[') ++depth_;
    if ((c == ')' || c == ']') && depth_ > 0) --depth_;
    Add(tokens, TokenKind::kSign, std::string(1, c));
    at_ += bytes;
  }

  void Add(std::vector<Token>& tokens, TokenKind kind, std::string text) {
    tokens.push_back({kind, std::move(text), std::exchange(spaced_, false)});
  }

  std::size_t DigitRun(std::size_t from) const {
    std::size_t n = 0;
    while (from + n < text_.size() && IsDigit(text_[from + n])) ++n;
    return n;
  }
  std::string_view Letters(std::size_t from) const {
    std::size_t end = from;
    while (end < text_.size() && IsLetter(text_[end])) ++end;
    return text_.substr(from, end - from);
  }

  // Returns the number of bytes that separate a group of three digits at `at`; 0 if none do.
  std::size_t Separator(std::size_t at) const {
    constexpr std::array<std::string_view, 7> kFixed = {"{,}", ",\\! ", ",\\!", "\\,",
                                                        "\\!", "{\\,}", " "};
    for (std::string_view mark : kFixed) {
      if (!text_.substr(at).starts_with(mark) || DigitRun(at + mark.size()) != 3) continue;
      const std::size_t end = at + mark.size() + 3;
      if (mark == " " && end < text_.size() && text_[end] == '/') continue;  // "1 100/200"
      return mark.size();
    }
    const bool comma = options_.grouped && depth_ == 0 && text_.substr(at).starts_with(',');
    return comma && DigitRun(at + 1) == 3 ? 1 : 0;
  }

  // Reads a number. In a script ("2^4 375") no space groups its digits.
  std::string Number(bool script) {
    std::string number(text_.substr(at_, DigitRun(at_)));
    at_ += number.size();
    if (!number.empty() && number.size() <= 3 && number[0] != '0') {
      while (const std::size_t mark = script && text_[at_] == ' ' ? 0 : Separator(at_)) {
        number += text_.substr(at_ + mark, 3);
        at_ += mark + 3;
      }
    }
    if (at_ < text_.size() && text_[at_] == '.') Fraction(number);
    return number;
  }

  void Fraction(std::string& number) {
    constexpr std::string_view kRepeat = "\\overline{";
    const std::size_t digits = DigitRun(at_ + 1);
    number += text_.substr(at_, 1 + digits);
    at_ += 1 + digits;
    const std::size_t repeat = at_ + kRepeat.size();
    const std::size_t run = text_.substr(at_).starts_with(kRepeat) ? DigitRun(repeat) : 0;
    if (run > 0 && text_.substr(repeat + run).starts_with('}')) {
      number += '(';
      number += text_.substr(repeat, run);
      number += ')';
      at_ = repeat + run + 1;
    } else if (digits == 0) {
      number.pop_back();  // "5." is the end of a sentence
    }
  }

  // Returns the content of the braces at at_, or a single character without braces, and moves at_
  // past it.
  std::string_view Argument() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ >= text_.size()) return {};
    if (text_[at_] != '{') return text_.substr(at_++, 1);
    const std::size_t begin = ++at_;
    for (int open = 1; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\')
        ++at_;
      else if (text_[at_] == '{')
        ++open;
      else if (text_[at_] == '}' && --open == 0)
        break;
    }
    const auto inside = text_.substr(begin, std::min(at_, text_.size()) - begin);
    at_ = std::min(at_ + 1, text_.size());
    return inside;
  }

  bool Backslash(std::vector<Token>& tokens) {
    std::string_view name = Letters(at_ + 1);
    for (std::string_view space : {"qquad", "quad"})  // "\\quadx" has lost its blank
      if (name.starts_with(space)) name = name.substr(0, space.size());
    if (name.empty()) {
      Escape(tokens);
      return true;
    }
    at_ += 1 + name.size();
    return Command(tokens, name);
  }

  // Reads a backslash that no letter follows.
  void Escape(std::vector<Token>& tokens) {
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : ' ';
    if (IsDigit(c) || c == '-') {  // "\\" that has lost a backslash, as in many data sets
      ++at_;
      return Add(tokens, TokenKind::kSign, "\\");
    }
    at_ = std::min(at_ + 2, text_.size());
    if (c == '\\')
      Add(tokens, TokenKind::kSign, "\\");
    else if (c == '{' || c == '}')
      SetBrace(tokens, c);
    else if (c == '|')
      Add(tokens, TokenKind::kCommand, "|");
    else if (c == '%' || c == '_' || c == '*' || c == '&')
      Add(tokens, TokenKind::kSign, std::string(1, c));
    else
      spaced_ = true;  // skips spaces, \$, and the delimiters \( \) \[ \]
  }

  void SetBrace(std::vector<Token>& tokens, char c) {
    if (c == '{')
      ++depth_;
    else if (depth_ > 0)
      --depth_;
    Add(tokens, TokenKind::kCommand, std::string(1, c));
  }

  bool Command(std::vector<Token>& tokens, std::string_view name) {
    if (OneOf(name, kTextual)) return Textual(tokens, Argument());
    if (OneOf(name, kDropped)) return true;
    if (OneOf(name, kSkippedArgument)) {
      Argument();
    } else if (OneOf(name, kLeft) || OneOf(name, kRight)) {
      Delimiter(tokens, OneOf(name, kLeft));
    } else if (name == "begin" || name == "end") {
      const std::string_view what = Argument();
      if (name == "begin" && what.starts_with("array")) Argument();  // skips its columns
      Add(tokens, TokenKind::kCommand, std::string(name).append(1, ' ').append(what));
    } else if (name == "operatorname" || name == "mathop") {
      Add(tokens, TokenKind::kCommand, std::string(Argument()));
    } else if (name == "mathbb" || name == "Bbb") {
      Add(tokens, TokenKind::kCommand, std::string("mathbb ").append(Argument()));
    } else if (name == "lbrace" || name == "rbrace") {
      SetBrace(tokens, name == "lbrace" ? '{' : '}');
    } else if (name == "Vert") {
      Add(tokens, TokenKind::kCommand, "|");
    } else if (const auto delimiter = std::ranges::find(kDelimiters, name, DelimiterName);
               delimiter != kDelimiters.end()) {
      Sign(tokens, delimiter->second[0], 0);
    } else {
      Add(tokens, TokenKind::kCommand, std::string(name));
    }
    return true;
  }

  static std::string_view DelimiterName(const std::pair<std::string_view, std::string_view>& d) {
    return d.first;
  }

  // Reads the delimiter after \left or \right: "." is none, bars and angles of every spelling open
  // or close, others follow as signs.
  void Delimiter(std::vector<Token>& tokens, bool left) {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ >= text_.size()) return;
    if (text_[at_] == '.') ++at_;
    constexpr std::array<std::string_view, 4> kBars = {"|", "\\vert", "\\lvert", "\\rvert"};
    constexpr std::array<std::string_view, 4> kNorms = {"\\|", "\\Vert", "\\lVert", "\\rVert"};
    constexpr std::array<std::string_view, 2> kAngles = {"<", ">"};
    if (Eat(kBars)) {
      Add(tokens, TokenKind::kCommand, left ? "lvert" : "rvert");
    } else if (Eat(kNorms)) {
      Add(tokens, TokenKind::kCommand, left ? "lVert" : "rVert");
    } else if (Eat(kAngles)) {
      Add(tokens, TokenKind::kCommand, left ? "langle" : "rangle");
    }
  }

  // Skips one of the delimiters in `list`; returns false without one.
  template <std::size_t n>
  bool Eat(const std::array<std::string_view, n>& list) {
    for (std::string_view delimiter : list) {
      const auto rest = text_.substr(at_);
      const bool longer = rest.size() > delimiter.size() && IsLetter(delimiter.back()) &&
                          IsLetter(rest[delimiter.size()]);
      if (!rest.starts_with(delimiter) || longer) continue;
      at_ += delimiter.size();
      return true;
    }
    return false;
  }

  // Adds the content of \text: a number, a formula or a single letter is read as mathematics.
  bool Textual(std::vector<Token>& tokens, std::string_view inside) {
    while (!inside.empty() && IsSpace(inside.front())) inside.remove_prefix(1);
    while (!inside.empty() && IsSpace(inside.back())) inside.remove_suffix(1);
    if (inside.empty()) return true;
    const bool formula =
        IsDigit(inside[0]) || inside[0] == '-' || inside[0] == '\\' || inside[0] == '$';
    const bool letter = inside.size() == 1 && (inside == "e" || inside == "i");
    if (!FunctionName(inside).empty()) {
      Add(tokens, TokenKind::kCommand, std::string(inside));
      return true;
    }
    if (!formula && !letter) {
      Add(tokens, TokenKind::kText, std::string(inside));
      return true;
    }
    if (++nested_ > 8) return false;
    Lexer inner(inside, options_);
    inner.nested_ = nested_;
    const bool ok = inner.Run(tokens);
    --nested_;
    return ok;
  }

  std::string_view text_;
  const LexOptions options_;
  std::size_t at_ = 0;
  int depth_ = 0, nested_ = 0;  // open brackets; depth of \text in \text
  bool spaced_ = false;
};

// Removes the doubling of "\\\\frac", an escape that was escaped once more: outside matrices no row
// ends before a command.
std::string WithoutDoubling(std::string_view text) {
  std::string single(text);
  if (text.find("\\begin") != std::string_view::npos) return single;
  for (auto at = single.find("\\\\"); at != std::string::npos; at = single.find("\\\\", at + 1))
    if (at + 2 < single.size() && (IsLetter(single[at + 2]) || single[at + 2] == '{'))
      single.erase(at, 1);
  return single;
}

}  // namespace

std::optional<std::vector<Token>> LexLatex(std::string_view text, const LexOptions& options) {
  if (text.size() > kMaxAnswerBytes) return std::nullopt;
  const std::string latex = TypesetToLatex(WithoutDoubling(text));
  std::vector<Token> tokens;
  if (!Lexer(latex, options).Run(tokens)) return std::nullopt;
  tokens.push_back({});
  return tokens;
}

bool HasGroupComma(std::string_view text) {
  for (std::size_t at = 1; at + 3 < text.size(); ++at) {
    const bool digits = IsDigit(text[at + 1]) && IsDigit(text[at + 2]) && IsDigit(text[at + 3]);
    if (text[at] == ',' && IsDigit(text[at - 1]) && digits) return true;
  }
  return false;
}

}  // namespace pivotal::pts
