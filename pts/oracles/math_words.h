// Apache-2.0. The words that answers share with mathematics.
#pragma once

#include <string>
#include <string_view>

namespace pivotal::pts {

// Functions of one argument, in one spelling: "arcsin" for "asin" and "\sin^{-1}"; "" for none.
std::string FunctionName(std::string_view word);
// "sin" to "arcsin"; "" where the inverse has no name.
std::string InverseFunction(std::string_view name);
// Trigonometric: an argument in degrees is converted.
bool TakesAngle(std::string_view name);
// A relation's sign in one spelling ("<=" for \leq); "" for none.
std::string RelationName(std::string_view command);
// "pi" or "alpha" as they stand in plain text or as a command: "\pi"; "" for none.
std::string GreekSymbol(std::string_view word);
// Units that stand behind a number in plain text: "cm", "meters", "dollars".
bool IsUnitWord(std::string_view word);
// A unit of one letter, which only a space apart from its number makes one: "5 m".
bool IsUnitLetter(std::string_view word);
// "about", "exactly": they stand before an answer and say nothing that is compared.
bool IsLeadWord(std::string_view word);

// Letters of ASCII in lower case.
std::string Lower(std::string_view text);

}  // namespace pivotal::pts
