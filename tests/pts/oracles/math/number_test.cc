// Apache-2.0.
#include "pts/oracles/math/number.h"

#include <gtest/gtest.h>

namespace pivotal::pts {
namespace {

struct Case {
  std::string_view text, first, last;
};

class DecimalTest : public ::testing::TestWithParam<Case> {};

TEST_P(DecimalTest, ReadsFirstAndLast) {
  const Case& c = GetParam();
  EXPECT_EQ(FirstNumber(c.text), c.first) << c.text;
  EXPECT_EQ(LastNumber(c.text), c.last) << c.text;
}

INSTANTIATE_TEST_SUITE_P(
    Forms, DecimalTest,
    ::testing::Values(Case{"1,234", "1234", "1234"}, Case{"5.0", "5", "5"}, Case{"-0", "0", "0"},
                      Case{"-0.000", "0", "0"}, Case{"+7", "7", "7"}, Case{"007", "7", "7"},
                      Case{"0", "0", "0"}, Case{"2.50", "2.5", "2.5"}, Case{".5", "0.5", "0.5"},
                      Case{"$1,234.50", "1234.5", "1234.5"}, Case{"50%", "50", "50"},
                      Case{"50 %", "50", "50"}, Case{"$ 5", "5", "5"}, Case{"It is 5.", "5", "5"},
                      Case{"1,450,000", "1450000", "1450000"}));

INSTANTIATE_TEST_SUITE_P(Signs, DecimalTest,
                         ::testing::Values(Case{"-2.50", "-2.5", "-2.5"}, Case{"-$5", "-5", "-5"},
                                           Case{"$-5", "-5", "-5"}, Case{"-\\$5", "-5", "-5"},
                                           Case{"=-4", "-4", "-4"}, Case{"\u22124", "-4", "-4"},
                                           Case{"7-4", "7", "4"}, Case{"7 - 4", "7", "4"},
                                           Case{"(2)-4", "2", "4"}, Case{"7\u22124", "7", "4"},
                                           Case{"x-4", "4", "4"}, Case{"(-4)", "-4", "-4"},
                                           Case{"3 * -4", "3", "-4"}));

TEST(PowerTest, OfANegativeBase) {
  EXPECT_EQ(Power(-1, -1), Rational(-1));
  EXPECT_EQ(Power(-2, -3), Rational(-1, 8));
  EXPECT_EQ(Power(Rational(-2, 3), -2), Rational(9, 4));
  EXPECT_EQ(Power(-8, Rational(-1, 3)), Rational(-1, 2));
  EXPECT_EQ(Power(0, -1), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(
    Lists, DecimalTest,
    ::testing::Values(Case{"1, 2, 3", "1", "3"}, Case{"1,2", "1", "2"}, Case{"1,2345", "1", "2345"},
                      Case{"1234,567", "1234", "567"}, Case{"12,34,567", "12", "34567"},
                      Case{"3.14.15", "3.14", "15"}, Case{"1/2", "1", "2"},
                      Case{"1,234,5", "1234", "5"}, Case{"1,234,", "1234", "1234"}));

TEST(Decimal, LongDigitsStayExact) {
  const std::string digits(400, '9');
  EXPECT_EQ(LastNumber("so " + digits + ".10"), digits + ".1");
  EXPECT_NE(LastNumber("9007199254740993"), LastNumber("9007199254740992"));  // equal as doubles
}

TEST(Decimal, NoDigitNoNumber) {
  for (std::string_view text : {"", "none", "-", ".", "$,.", "####"}) {
    EXPECT_EQ(FirstNumber(text), std::nullopt) << text;
    EXPECT_EQ(LastNumber(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace pivotal::pts
