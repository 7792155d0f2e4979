// Apache-2.0. Where the Python program of a response stands, among prose, fences and examples.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::pts {

// The program of a response, and the definitions (imports, functions, classes, constants) in its
// other blocks of Python whose names the program uses and lacks: those before it and after it.
struct FoundProgram {
  std::string text, before, after;
};

// Finds the program that defines one of `names` (the functions and classes that the tests call). It
// is in the first of these that there is:
//   - the last block that defines a name: fenced and marked python (py, python3), or else fenced
//     without a mark, or else text outside of fences
//   - the last block that begins with an indented line, and so continues a function
//   - the last fenced block, marked or else without a mark
//   - the whole response
// Fences are read as in Markdown, with ``` or ~~~: one that is never closed reaches to the end, and
// a block that is indented together with its fence, as in a list, loses that indent. A fence
// without a mark behind code that no fence opened closes it.
FoundProgram FindProgram(std::string_view response, std::span<const std::string> names = {});

// Returns true if `program` continues the body of the function `name`: its first line is indented,
// or no line defines the function.
bool IsCompletion(std::string_view program, std::string_view name);

// Returns `completion` up to its first line that begins with "class", "def", "#", "if __name__" or
// "print": the stop sequences of HumanEval (arXiv 2107.03374, which has a plain "if").
std::string_view CutCompletion(std::string_view completion);

// Return readings of a text as Python, the best first. The first that compiles is meant.
//   programs     `text` as it is; without prose around it; without prose between its parts; its
//                definitions alone
//   completions  `text` up to where the function `name` ends, with the other functions that it
//                defines behind that; CutCompletion() of it; the function alone. Prose before its
//                first indented line is dropped.
std::vector<std::string> ProgramReadings(std::string_view text);
std::vector<std::string> CompletionReadings(std::string_view text, std::string_view name);

}  // namespace pivotal::pts
