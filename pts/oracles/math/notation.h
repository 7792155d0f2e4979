// Apache-2.0. Words and characters of mathematical notation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pivotal::pts {

// Returns the one spelling of a function's name, as "arcsin" for "asin"; "" for other words.
std::string FunctionName(std::string_view word);
// Returns the name of the inverse function, "arcsin" for "sin"; "" if it has none.
std::string InverseFunction(std::string_view name);
// Returns true for trigonometric functions, whose argument may be in degrees.
bool TakesAngle(std::string_view name);
// Returns the one spelling of a relation's command, "<=" for \leq; "" for other commands.
std::string RelationName(std::string_view command);
// Returns the symbol of a word of plain text or a command, "\pi" for "pi"; "" for other words.
std::string GreekSymbol(std::string_view word);
// Returns true for words that stand after a number as its unit: "cm", "meters", "dollars".
bool IsUnitWord(std::string_view word);
// Returns true for a letter that is a unit if a space stands before it: "5 m".
bool IsUnitLetter(std::string_view word);
// Returns true for words that are no unit, since they change the value beside them or say something
// about it: "or", "than", "squared", "half", "because".
bool ChangesValue(std::string_view word);
// Returns true for words that begin or join the clauses of a sentence: "because", "which", "the".
bool IsClauseWord(std::string_view word);
// Returns what a word multiplies the number before it by: 1000000 for "million", 0 for other words.
int64_t ScaleOf(std::string_view word);
// Returns true for words before an answer that change nothing: "about", "exactly", "therefore".
bool IsLeadWord(std::string_view word);

// Returns the text with ASCII letters in lower case.
std::string Lower(std::string_view text);

// Replaces each typeset character ("π", "√", "≤", "²", "½", "−") by LaTeX that means the same, and
// invisible characters by a space. Other bytes stay.
std::string TypesetToLatex(std::string_view text);

}  // namespace pivotal::pts
