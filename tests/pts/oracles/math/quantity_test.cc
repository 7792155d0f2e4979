// Apache-2.0.
#include "pts/oracles/math/quantity.h"

#include <gtest/gtest.h>

#include "pivotal/oracle.h"

namespace pivotal::pts {
namespace {

struct Case {
  std::string_view text;
  Rational value;
};

class QuantityTest : public ::testing::TestWithParam<Case> {};

TEST_P(QuantityTest, ReadsTheLastNumber) {
  const auto quantity = LastQuantity(GetParam().text);
  ASSERT_TRUE(quantity.has_value()) << GetParam().text;
  EXPECT_EQ(quantity->value, GetParam().value) << GetParam().text;
}

Rational Q(int64_t over, int64_t under) { return Rational(over, under); }

INSTANTIATE_TEST_SUITE_P(
    Plain, QuantityTest,
    ::testing::Values(Case{"5 km", 5}, Case{"$1,200", 1200}, Case{"3 hours", 3},
                      Case{"-2.50", Q(-5, 2)}, Case{"so 7-4", 4}, Case{"\u22124", -4},
                      Case{"1,234,567.5", Q(2469135, 2)}, Case{"10{,}000", 10000},
                      Case{"10,\\!000", 10000}, Case{"It is 5.", 5}, Case{"1, 2, 3", 3},
                      Case{"5 m^2", 5}, Case{"5 m\u00b2", 5}, Case{"10 cm^{3}", 10},
                      Case{"on 5/6/2020", 2020}, Case{"\\boxed{18}", 18}, Case{"x_1 = 7", 7},
                      Case{"7 = x_1", 7}));

INSTANTIATE_TEST_SUITE_P(
    Fractions, QuantityTest,
    ::testing::Values(Case{"3/4", Q(3, 4)}, Case{"-3/4", Q(-3, 4)}, Case{"6 / 8", Q(3, 4)},
                      Case{"1 1/2", Q(3, 2)}, Case{"-1 1/2 hours", Q(-3, 2)},
                      Case{"\\frac{3}{4}", Q(3, 4)}, Case{"-\\frac{3}{4}", Q(-3, 4)},
                      Case{"\\dfrac{-3}{4}", Q(-3, 4)}, Case{"\\tfrac{3}{4}", Q(3, 4)},
                      Case{"\\frac34", Q(3, 4)}, Case{"\\frac{12}5", Q(12, 5)},
                      Case{"1\\frac{1}{2}", Q(3, 2)}, Case{"2 \\frac{3}{4} cups", Q(11, 4)},
                      Case{"\u00bd", Q(1, 2)}, Case{"1\u00bd", Q(3, 2)}, Case{"2 3/2", Q(3, 2)},
                      Case{"1/0 or 5", 5}, Case{"10/4=2.5", Q(5, 2)}, Case{"1.5/3", Q(1, 2)}));

INSTANTIATE_TEST_SUITE_P(
    Powers, QuantityTest,
    ::testing::Values(Case{"1e5", 100000}, Case{"1.2E-3", Q(12, 10000)}, Case{"1.2e+3", 1200},
                      Case{"1.2\\times10^{5}", 120000}, Case{"1.2 x 10^5", 120000},
                      Case{"1.2 \u00d7 10\u2075", 120000}, Case{"3 \\cdot 10^{-2}", Q(3, 100)},
                      Case{"10^6", 1000000}, Case{"2^{10}", 1024}, Case{"-2^2", -4},
                      Case{"-1^-2", -1}, Case{"2.5 million", 2500000},
                      Case{"$3 Billion", 3000000000}, Case{"5 thousand", 5000},
                      Case{"3 x 10 = 30", 30}, Case{"5 eggs", 5}, Case{"5e", 5}));

TEST(Quantity, WhatIsNoNumberOrTooLarge) {
  for (std::string_view text :
       {"", "five", "-", "9^99999999", "1e999999", "2^{9999}^{9999}", "x^2"})
    EXPECT_EQ(LastQuantity(text), std::nullopt) << text;
  EXPECT_EQ(LastQuantity(std::string(100'000, '9')), std::nullopt);
}

bool Judge(std::string_view response, std::string_view answer) {
  return MakeOracle("numeric")->Judge({.question = "", .answer = answer, .response = response});
}

TEST(NumericOracle, ComparesExactly) {
  EXPECT_TRUE(Judge("It takes 1 1/2 hours.", "1.5"));
  EXPECT_TRUE(Judge("\\boxed{\\frac{1}{3}} of 5", "1/3"));
  EXPECT_TRUE(Judge("#### 5 km", "Then 3 and 2\n#### 5"));
  EXPECT_FALSE(Judge("0.333", "1/3"));
  EXPECT_FALSE(Judge("9007199254740993", "9007199254740992"));
  EXPECT_FALSE(Judge("5 of 6", "5"));
  EXPECT_FALSE(Judge("\\boxed{five} 5", "5"));
  EXPECT_FALSE(Judge("", "5"));
}

TEST(NumericOracle, UnitsCountWhereBothSidesHaveOne) {
  EXPECT_TRUE(Judge("5 km", "5"));
  EXPECT_TRUE(Judge("5", "5 km"));
  EXPECT_TRUE(Judge("5 kilometers", "5 km"));
  EXPECT_TRUE(Judge("180 minutes", "3 hours"));
  EXPECT_TRUE(Judge("500 cents", "$5"));
  EXPECT_TRUE(Judge("5 dollars", "$5.00"));
  EXPECT_TRUE(Judge("$5$ apples", "5"));
  EXPECT_FALSE(Judge("3 minutes", "3 hours"));
  EXPECT_FALSE(Judge("5 km", "5 kg"));
  EXPECT_FALSE(Judge("\u20ac5", "$5"));
  EXPECT_TRUE(Judge("5\\text{ cm}", "5 cm"));
  EXPECT_TRUE(Judge("5 in total", "5 km"));
  EXPECT_TRUE(Judge("60 km/h", "60 miles per hour"));  // compound units are not compared
}

TEST(NumericOracle, PercentIsAUnit) {
  EXPECT_TRUE(Judge("5%", "5 percent"));
  EXPECT_TRUE(Judge("50\\%", "50"));
  EXPECT_TRUE(Judge("50", "50%"));
  EXPECT_FALSE(Judge("0.5", "50%"));
  EXPECT_FALSE(Judge("50%", "0.5"));
  EXPECT_FALSE(Judge("50%", "50 km"));
}

}  // namespace
}  // namespace pivotal::pts
