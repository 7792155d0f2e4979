// Apache-2.0. Finds the program in what a model has written.
#pragma once

#include <string>
#include <string_view>

namespace pivotal::pts {

// The last block fenced by ``` and marked python (py, python3), else the last one without a mark,
// else the whole text. A fence that is never closed goes to the end; a block that is indented with
// its fence, as in a list, loses that indent.
std::string FindProgram(std::string_view response);

// True if `program` continues a function's body: its first line is indented, or none of its lines
// defines the function `name`.
bool IsCompletion(std::string_view program, std::string_view name);

// What continues a prompt, up to the first line that begins with "class", "def", "#",
// "if __name__" or "print": HumanEval's stop sequences (arXiv 2107.03374; plain "if" there).
std::string_view CutCompletion(std::string_view completion);

}  // namespace pivotal::pts
