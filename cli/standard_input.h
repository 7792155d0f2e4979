// Apache-2.0. A file that a command reads from standard input.
#pragma once

#include <filesystem>
#include <memory>

#include "data/base/temp_folder.h"

namespace pivotal::cli {

// Where `file` is "-", copies standard input, whatever it holds, to a temporary file that has its
// place then, and returns the folder that keeps it. Otherwise returns null. Throws Error if nothing
// can be read or written.
std::unique_ptr<data::TempFolder> KeepStandardInput(std::filesystem::path& file);

}  // namespace pivotal::cli
