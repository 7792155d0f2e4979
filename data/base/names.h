// Apache-2.0. A table of the names of an enum's values, read in both directions.
#pragma once

#include <fmt/ranges.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/base/error.h"
#include "data/base/text.h"

namespace pivotal::data {

template <typename E>
struct NameEntry {
  E value;
  std::string_view name;
};

// Made by MakeNameTable(). A value may be absent; Name() throws Error for it, as it does for a
// number that was cast to the enum.
template <typename E, std::size_t N>
struct NameTable {
  std::string_view what;  // names the enum in an Error, e.g. "strategy"
  std::array<NameEntry<E>, N> entries;

  constexpr std::string_view Name(E value) const {
    for (const auto& entry : entries)
      if (entry.value == value) return entry.name;
    Fail("{} {} is unknown: take one of {}", what, static_cast<int>(value),
         fmt::join(Names(), ", "));
  }

  constexpr std::optional<E> Find(std::string_view name) const {
    for (const auto& entry : entries)
      if (entry.name == name) return entry.value;
    return std::nullopt;
  }

  // Throws Error that lists the names, and the nearest: strategy "non" is unknown: take one of
  // anchored, none; did you mean none?
  E Parse(std::string_view name) const {
    if (const auto value = Find(name)) return *value;
    Fail("{} \"{}\" is unknown: take one of {}{}", what, name, fmt::join(Names(), ", "),
         DidYouMean(name, Names()));
  }

  // All names, in the order of the table.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : entries) names.emplace_back(entry.name);
    return names;
  }
};

// Deduces the number of entries:
//   constexpr auto kColors = data::MakeNameTable<Color>(
//       "color", {{Color::kRed, "red"}, {Color::kBlue, "blue"}});
template <typename E, std::size_t N>
constexpr NameTable<E, N> MakeNameTable(std::string_view what, const NameEntry<E> (&entries)[N]) {
  return {what, std::to_array(entries)};
}

}  // namespace pivotal::data
