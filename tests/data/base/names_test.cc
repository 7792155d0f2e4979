// Apache-2.0.
#include "data/base/names.h"

#include <gmock/gmock.h>

#include "tests/support/error_text.h"

namespace pivotal::data {
namespace {

using ::testing::ElementsAre;
using testing::ErrorText;

enum class Color { kRed, kGreen, kBlue };

constexpr auto kColors =
    MakeNameTable<Color>("color", {{Color::kRed, "red"}, {Color::kBlue, "blue"}});

static_assert(kColors.Name(Color::kBlue) == "blue");
static_assert(kColors.Find("red") == Color::kRed);

TEST(NameTable, NamesAndParsesEveryValue) {
  EXPECT_THAT(kColors.Names(), ElementsAre("red", "blue"));
  for (const auto& [value, name] : kColors.entries) {
    EXPECT_EQ(kColors.Name(value), name);
    EXPECT_EQ(kColors.Parse(name), value);
  }
}

TEST(NameTable, AnUnknownNameIsRefusedWithThoseThatAreKnown) {
  EXPECT_FALSE(kColors.Find("green"));
  EXPECT_EQ(ErrorText([] { (void)kColors.Parse("green"); }),
            "color \"green\" is unknown: take one of red, blue");
  EXPECT_EQ(ErrorText([] { (void)kColors.Parse(""); }),
            "color \"\" is unknown: take one of red, blue");
}

TEST(NameTable, AValueOutsideTheTableIsRefusedWithTheNames) {
  EXPECT_EQ(ErrorText([] { (void)kColors.Name(Color::kGreen); }),
            "color 1 is unknown: take one of red, blue");
}

}  // namespace
}  // namespace pivotal::data
