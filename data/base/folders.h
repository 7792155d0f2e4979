// Apache-2.0. Files and folders by their names: the parts of std::filesystem that throw, with an
// Error that names the path in place of filesystem_error. tests/rooms_test.py keeps other sources
// from calling those parts themselves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pivotal::data {

// All functions throw Error that names the path, the cause and the remedy if the system refuses.

// Return whether something, or a folder, has this name. A folder on the way that the user may not
// enter is an Error: nobody knows what is there.
bool Exists(const std::filesystem::path& path);
bool IsFolder(const std::filesystem::path& path);
// Returns true if the path exists; false, too, where the system does not tell.
bool IsThere(const std::filesystem::path& path);

// Returns the size of a file in bytes.
uint64_t FileSize(const std::filesystem::path& file);

// Returns the path from the root.
std::filesystem::path Absolute(const std::filesystem::path& path);

// Returns what is in a folder, or also in the folders in it, in no order.
std::vector<std::filesystem::path> PathsIn(const std::filesystem::path& folder);
std::vector<std::filesystem::path> FilesUnder(const std::filesystem::path& folder);

// Creates the folder and those above it, if they are not there.
void CreateFolders(const std::filesystem::path& folder);

// Removes a file, or a folder with all that is in it, if it is there.
void RemoveAll(const std::filesystem::path& path);

void Rename(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace pivotal::data
