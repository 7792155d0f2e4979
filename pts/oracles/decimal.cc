// Apache-2.0.
#include "pts/oracles/decimal.h"

#include <cstddef>

namespace pivotal::pts {
namespace {

constexpr std::string_view kMinusSign = "\u2212";  // as typeset; "-" is the ASCII one

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Digits from text[at] on.
std::size_t DigitRun(std::string_view text, std::size_t at) {
  std::size_t n = 0;
  while (at + n < text.size() && IsDigit(text[at + n])) ++n;
  return n;
}

// Start of the first number at or after `from`: a digit, or a point before one that is not itself
// the end of a number. Its sign, if any, stands before.
std::size_t FindStart(std::string_view text, std::size_t from) {
  for (std::size_t at = from; at < text.size(); ++at) {
    if (IsDigit(text[at])) return at;
    const bool inside = at > 0 && IsDigit(text[at - 1]);
    if (text[at] == '.' && !inside && DigitRun(text, at + 1) > 0) return at;
  }
  return std::string_view::npos;
}

// "-5", "-$5", "$-5", "-$ 5", "-\$5".
bool IsNegative(std::string_view before) {
  if (EndsInSign(before)) return true;
  while (before.ends_with(' ')) before.remove_suffix(1);
  if (!before.ends_with('$')) return false;
  before.remove_suffix(1);
  if (before.ends_with('\\')) before.remove_suffix(1);
  return EndsInSign(before);
}

std::string NormalForm(std::string whole, std::string fraction, bool negative) {
  whole.erase(0, whole.find_first_not_of('0'));
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (whole.empty()) whole.assign(1, '0');
  if (!fraction.empty()) whole.append(1, '.').append(fraction);
  if (negative && whole != "0") whole.insert(whole.begin(), '-');
  return whole;
}

}  // namespace

bool EndsInSign(std::string_view before) {
  if (before.ends_with(kMinusSign)) {
    before.remove_suffix(kMinusSign.size());
  } else if (before.ends_with('-')) {
    before.remove_suffix(1);
  } else {
    return false;
  }
  if (before.empty()) return true;
  const char c = before.back();
  return !IsDigit(c) && !IsLetter(c) && c != ')' && c != ']' && c != '}' && c != '%';
}

std::optional<Decimal> NextDecimal(std::string_view text, std::size_t from) {
  const std::size_t start = FindStart(text, from);
  if (start == std::string_view::npos) return std::nullopt;
  std::size_t end = start + DigitRun(text, start);
  std::string whole(text.substr(start, end - start));
  if (!whole.empty() && whole.size() <= 3) {
    while (end < text.size() && text[end] == ',' && DigitRun(text, end + 1) == 3) {
      whole += text.substr(end + 1, 3);
      end += 4;
    }
  }
  std::string fraction;
  if (end < text.size() && text[end] == '.') {
    fraction = text.substr(end + 1, DigitRun(text, end + 1));
    if (!fraction.empty()) end += 1 + fraction.size();
  }
  return Decimal{
      NormalForm(std::move(whole), std::move(fraction), IsNegative(text.substr(0, start))), start, end};
}

std::optional<std::string> FirstNumber(std::string_view text) {
  auto number = NextDecimal(text, 0);
  if (!number) return std::nullopt;
  return std::move(number->value);
}

std::optional<std::string> LastNumber(std::string_view text) {
  std::optional<std::string> last;
  std::size_t from = 0;
  while (auto number = NextDecimal(text, from)) {
    from = number->end;
    last = std::move(number->value);
  }
  return last;
}

}  // namespace pivotal::pts
