// Apache-2.0.
#include "data/base/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "data/base/descriptor.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::data {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 16;  // bytes

constexpr std::string_view kGzip = "\x1F\x8B", kZstandard = "\x28\xB5\x2F\xFD";

// What other programs compress and pack with, by the first bytes.
constexpr std::pair<std::string_view, std::string_view> kOthers[] = {
    {"PK\x03\x04", "a ZIP archive"},
    {"\xFD"
     "7zXZ",
     "compressed by xz"},
    {"BZh", "compressed by bzip2"}};

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(const std::filesystem::path& path)
      : path_(path), file_(OpenFile(path, O_RDONLY)), buffer_(kPiece) {}

  std::string_view Next() override {
    while (true) {
      const ssize_t n = ::read(file_.get(), buffer_.data(), buffer_.size());
      if (n >= 0) return {buffer_.data(), static_cast<std::size_t>(n)};
      if (errno != EINTR) Fail("{}: can't read: {}", path_.string(), ErrnoText(errno));
    }
  }

 private:
  std::filesystem::path path_;
  Descriptor file_;
  std::vector<char> buffer_;
};

// What the two kinds of compressed sources share.
class UnpackedSource : public ByteSource {
 public:
  UnpackedSource(std::unique_ptr<ByteSource> packed, std::string path)
      : packed_(std::move(packed)), path_(std::move(path)), buffer_(kPiece) {}

 protected:
  // Takes the next piece of packed bytes into `input`; returns false at their end.
  bool Refill(std::string_view& input) {
    input = packed_->Next();
    return !input.empty();
  }
  [[noreturn]] void FailDamaged(std::string_view how) const {
    Fail("{}: the compressed data {}: fetch the file again", path_, how);
  }

  std::unique_ptr<ByteSource> packed_;
  std::string path_;
  std::vector<char> buffer_;
};

class GzipSource : public UnpackedSource {
 public:
  GzipSource(std::unique_ptr<ByteSource> packed, std::string path)
      : UnpackedSource(std::move(packed), std::move(path)) {
    constexpr int kLargestWindowOfGzip = 15 + 16;
    if (::inflateInit2(&stream_, kLargestWindowOfGzip) != Z_OK)
      Fail("{}: there is no memory to unpack it", path_);
  }
  ~GzipSource() override { ::inflateEnd(&stream_); }

  std::string_view Next() override {
    stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_out = static_cast<uInt>(buffer_.size());
    while (stream_.avail_out == buffer_.size()) {
      const bool holds_more = std::exchange(is_full_, false);
      if (stream_.avail_in == 0 && !holds_more && !RefillStream()) {
        if (in_member_) FailDamaged("ends early");
        return {};
      }
      if (!in_member_ && !BeginMember()) continue;
      const int code = ::inflate(&stream_, Z_NO_FLUSH);
      if (code == Z_STREAM_END)
        in_member_ = false;
      else if (code != Z_OK && code != Z_BUF_ERROR)
        FailDamaged("is damaged");
    }
    is_full_ = in_member_ && stream_.avail_out == 0;
    return {buffer_.data(), buffer_.size() - stream_.avail_out};
  }

 private:
  bool RefillStream() {
    std::string_view input;
    if (!Refill(input)) return false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    return true;
  }
  // Returns false where zeros, with which tapes and tar fill their blocks, follow the last member.
  bool BeginMember() {
    while (stream_.avail_in > 0 && *stream_.next_in == 0) ++stream_.next_in, --stream_.avail_in;
    if (stream_.avail_in == 0) return false;
    ::inflateReset(&stream_);
    in_member_ = true;
    return true;
  }

  z_stream stream_ = {};
  bool in_member_ = false;
  bool is_full_ = false;  // the last piece filled the buffer: more may come without further input
};

class ZstandardSource : public UnpackedSource {
 public:
  ZstandardSource(std::unique_ptr<ByteSource> packed, std::string path)
      : UnpackedSource(std::move(packed), std::move(path)), stream_(::ZSTD_createDStream()) {
    if (!stream_) Fail("{}: there is no memory to unpack it", path_);
  }

  std::string_view Next() override {
    ZSTD_outBuffer out = {buffer_.data(), buffer_.size(), 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size && !is_full_) {
        std::string_view input;
        if (!Refill(input)) {
          if (in_frame_) FailDamaged("ends early");
          return {};
        }
        in_ = {input.data(), input.size(), 0};
      }
      const std::size_t left = ::ZSTD_decompressStream(stream_.get(), &out, &in_);
      if (::ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge)
        Fail(
            "{}: is compressed with a window of more than 128 MiB: unpack it, or compress it "
            "again without --long",
            path_);
      if (::ZSTD_isError(left))
        FailDamaged(fmt::format("is damaged ({})", ::ZSTD_getErrorName(left)));
      in_frame_ = left > 0;
      is_full_ = in_frame_ && out.pos == out.size;
    }
    return {buffer_.data(), out.pos};
  }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ::ZSTD_freeDStream(stream); }
  };
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  ZSTD_inBuffer in_ = {};
  bool in_frame_ = false;
  bool is_full_ = false;  // the last piece filled the buffer: more may come without further input
};

}  // namespace

PeekedSource::PeekedSource(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), first_(source_->Next()) {}

std::string_view PeekedSource::Next() {
  return std::exchange(is_given_, true) ? source_->Next() : first_;
}

std::unique_ptr<ByteSource> OpenPlain(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) Fail("{}: is a folder", path.string());
  return std::make_unique<PlainSource>(path);
}

std::unique_ptr<ByteSource> Unpacked(std::unique_ptr<ByteSource> plain,
                                     const std::filesystem::path& path) {
  auto bytes = std::make_unique<PeekedSource>(std::move(plain));
  const std::string_view beginning = bytes->Beginning();
  if (beginning.starts_with(kGzip))
    return std::make_unique<GzipSource>(std::move(bytes), path.string());
  if (beginning.starts_with(kZstandard))
    return std::make_unique<ZstandardSource>(std::move(bytes), path.string());
  for (const auto& [mark, what] : kOthers)
    if (beginning.starts_with(mark)) Fail("{}: is {}; unpack it first", path.string(), what);
  return bytes;
}

}  // namespace pivotal::data
