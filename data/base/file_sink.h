// Apache-2.0. Reading and writing whole files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "data/base/descriptor.h"

namespace pivotal::data {

// Writes a file that is either complete or absent: Write() fills PATH.tmp, Commit() syncs it and
// renames it to PATH. On an error, or without Commit(), PATH.tmp is removed and an old PATH stays.
// An Error names the file and the cause ("no space left on device").
class FileSink {
 public:
  explicit FileSink(std::filesystem::path path);
  ~FileSink();
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  // Keeps room for `bytes` in all, so that no other program can take it. Throws Error if the disk
  // is too full. Keeps nothing where the file system cannot (NFS).
  void Reserve(int64_t bytes);
  void Write(std::string_view bytes);
  void Write(const void* bytes, std::size_t size);
  void Commit();
  // Gives `take` all that was written so far, in parts. Where Write() or Commit() has failed, this
  // includes what they could not write.
  void Recall(const std::function<void(std::string_view)>& take) const;

 private:
  void Flush();

  std::filesystem::path path_, partial_;
  std::string buffer_;   // what is not written yet
  int64_t written_ = 0;  // bytes
  bool reserved_ = false;
  Descriptor file_;  // of partial_; closed after Commit()
};

// Writes `text` to `path` through a FileSink.
void WriteFile(const std::filesystem::path& path, std::string_view text);

// Writes the bytes of the file `from` to `to` through a FileSink.
void CopyFile(const std::filesystem::path& from, const std::filesystem::path& to);

// Throws Error if `bytes`, the beginning of a file, are a pointer of Git LFS, which a clone without
// Git LFS has in place of the file itself.
void RequireNoLfsPointer(std::string_view bytes, std::string_view where);

// Returns the bytes of a file. Throws Error that names it if it can't be read, is larger than 1 GiB
// or is a pointer of Git LFS.
std::string ReadFile(const std::filesystem::path& path);

// Throws Error if a command's output folder has no name, or "-", which stands for standard output.
void RequireFolderName(const std::filesystem::path& folder);

// Creates `folder` for a command's output. Throws Error if RequireFolderName(folder) does, or it
// can't be created, or exists and is not empty ("choose another --output or remove it").
void CreateOutputFolder(const std::filesystem::path& folder);

// A folder for a command's output that stays only if it becomes whole. The constructor is
// CreateOutputFolder(folder). Without Keep(), the destructor removes what is in the folder, and the
// folder itself if the constructor made it; what it cannot remove stays.
class OutputFolder {
 public:
  explicit OutputFolder(std::filesystem::path folder);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  void Keep() { kept_ = true; }

 private:
  std::filesystem::path folder_;
  bool there_;  // before
  bool kept_ = false;
};

// Throws Error if `path`, a command's output file, exists.
void RequireAbsent(const std::filesystem::path& path);
// Does the same for an output that --force (`replace`) may replace. Then it throws Error if `path`
// is something else than a file, is one of `inputs`, or has the name of a file that runs and models
// are made of ("traces.h5", "config.json").
void RequireOutput(const std::filesystem::path& path, bool replace,
                   std::initializer_list<std::filesystem::path> inputs = {});

// Return a SHA-256 as 64 hex digits. That of a file begins at the byte `begin`.
std::string Sha256OfText(std::string_view text);
std::string Sha256OfFile(const std::filesystem::path& path, std::size_t begin = 0);

// Returns the system's text for an errno value, e.g. "no space left on device", with the remedy
// where files cannot be opened because too many are.
std::string ErrnoText(int error);

}  // namespace pivotal::data
