// Apache-2.0. The bytes of a file that may be compressed.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

namespace pivotal::data {

// Gives bytes in pieces, from the first to the last.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Returns the next piece, valid until the next call; "" at the end. Throws Error that begins with
  // the file's path for what cannot be read and for damaged data.
  virtual std::string_view Next() = 0;
};

// Opens a file, whose bytes come as they are. Throws Error if it cannot be opened or is a folder.
std::unique_ptr<ByteSource> OpenPlain(const std::filesystem::path& path);

// Waits for the first bytes of `plain`, the file `path`. Content that begins as gzip or Zstandard
// does (of any number of members or frames) comes uncompressed, whatever the file's name is. Throws
// Error for content that is compressed in a way that is not known here (ZIP, xz, bzip2).
std::unique_ptr<ByteSource> Unpacked(std::unique_ptr<ByteSource> plain,
                                     const std::filesystem::path& path);

// Gives the pieces of `source` again from the beginning, of which Beginning() has looked at the
// first.
class PeekedSource : public ByteSource {
 public:
  explicit PeekedSource(std::unique_ptr<ByteSource> source);
  // Returns the first piece, "" for an empty file; valid until the first call of Next().
  std::string_view Beginning() const { return first_; }
  std::string_view Next() override;

 private:
  std::unique_ptr<ByteSource> source_;
  std::string_view first_;
  bool is_given_ = false;
};

}  // namespace pivotal::data
