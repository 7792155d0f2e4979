// Apache-2.0.
#include "cli/checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "data/base/text.h"

namespace pivotal::cli {

CLI::Validator Interval(const std::string& interval) {
  const auto comma = interval.find(',');
  const std::string low = interval.substr(1, comma - 1),
                    high = interval.substr(comma + 2, interval.size() - comma - 3);
  const bool open_low = interval.front() == '(', open_high = interval.back() == ')';
  const std::string at_least = (open_low ? "above " : "at least ") + low;
  const bool endless = high == "inf", any = endless && interval.starts_with("[0,");
  const std::string text =
      endless ? at_least
              : fmt::format("{} and {} {}", at_least, open_high ? "below" : "at most", high);
  return CLI::Validator(
      [=](std::string& number) {
        double value = 0;
        const double least = std::stod(low), most = std::stod(high);
        if (CLI::detail::lexical_cast(number, value) &&
            (open_low ? value > least : value >= least) &&
            (open_high ? value < most : value <= most))
          return std::string();
        return fmt::format("{} is not {}", number, text);
      },
      any       ? ""
      : endless ? at_least
                : "in " + interval);
}

CLI::Validator Whole(int64_t least, int64_t most) {
  constexpr int64_t kMatters = 1 << 20;
  return CLI::Validator(
      [=](std::string& text) {
        int64_t value = 0;
        if (!CLI::detail::lexical_cast(text, value))
          return text + " is not a whole number in decimal digits";
        if (value < least) return fmt::format("{} is not at least {}", text, least);
        if (value > most) return fmt::format("{} is not at most {}", text, most);
        return std::string();
      },
      most < kMatters ? fmt::format("{} to {}", least, most)
      : least == 0    ? ""
                      : fmt::format("at least {}", least));
}

CLI::Validator OneOf(std::vector<std::string> names) {
  std::string list = fmt::format("{{{}}}", fmt::join(names, ","));
  return CLI::Validator(
      [names = std::move(names)](std::string& text) {
        if (std::ranges::find(names, text) != names.end()) return std::string();
        return fmt::format("{} is none of {}{}", text, fmt::join(names, ", "),
                           data::DidYouMean(text, names));
      },
      std::move(list));
}

std::vector<std::string> ChoicesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto begin = type.find(":{");
  if (begin == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 2, type.find('}', begin) - begin - 2), ',');
}

namespace {

// Returns what is wrong with `text` as a number of type T; "" if nothing is.
template <typename T>
std::string WholeNumberFault(const std::string& text) {
  T value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range && at == end) return text + " is too large";
  const bool whole = error == std::errc() && at == end;
  const bool padded = text.find_first_not_of("-") != text.find_first_not_of("-0") && value != 0;
  if (whole && !padded) return "";
  return text + (std::is_unsigned_v<T> ? " is not a whole number, 0 or larger"
                                       : " is not a whole number in decimal digits");
}

// Returns what is wrong with the number of a size such as "4GB"; "" if nothing is.
std::string SizeFault(const std::string& text) {
  return WholeNumberFault<uint64_t>(text.substr(0, text.find_first_not_of("+-.0123456789")));
}

std::string EmptyFault(const std::string& text) {
  return text.empty() ? "the value is empty; give one, or leave the option out" : std::string();
}

}  // namespace

void CheckAllOptions(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type.find("SIZE") != std::string::npos)  // its unit is read before other checks
      option->transform(CLI::Validator(SizeFault, ""));
    if (type.starts_with("UINT"))
      option->check(CLI::Validator(WholeNumberFault<uint64_t>, ""));
    else if (type.starts_with("INT"))
      option->check(CLI::Validator(WholeNumberFault<int64_t>, ""));
    // Only an empty system message means something: none.
    if (!option->check_name("--system")) option->check(CLI::Validator(EmptyFault, ""));
  }
  for (CLI::App* sub : app.get_subcommands({})) CheckAllOptions(*sub);
}

}  // namespace pivotal::cli
