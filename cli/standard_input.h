// Apache-2.0. A file that a command reads from standard input.
#pragma once

#include <filesystem>
#include <functional>

namespace pivotal::cli {

// Calls f(false), or where `file` is "-", copies standard input, whatever it holds, to a temporary
// file, which has its place while f(true) runs. Throws Error if nothing can be read or written.
// Errors of f say "standard input" where they name the temporary file.
void WithStandardInput(std::filesystem::path& file, const std::function<void(bool copied)>& f);

}  // namespace pivotal::cli
