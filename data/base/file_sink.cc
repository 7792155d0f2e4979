// Apache-2.0.
#include "data/base/file_sink.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "data/base/descriptor.h"
#include "data/base/error.h"
#include "data/base/folders.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBufferSize = std::size_t{1} << 20;
constexpr std::size_t kMaxReadFile = std::size_t{1} << 30;

fs::path PartialPath(const fs::path& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (fs::is_directory(status)) Fail("{}: can't write: it is a folder", path.string());
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    Fail("{}: can't write: not a regular file", path.string());
  }
  fs::path partial = path;
  return partial += ".tmp";
}

// Returns true if the file is synced, or its file system (some network mounts) has no fsync.
bool Sync(int fd) { return ::fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP; }

void RenameOver(const fs::path& partial, const fs::path& path) {
  if (::rename(partial.c_str(), path.c_str()) != 0) {
    Fail("{}: can't rename {} to it: {}", path.string(), partial.string(), ErrnoText(errno));
  }
  // Syncs the folder, so that the rename survives a power failure.
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) (void)Sync(fd.get());
}

// Reads up to `size` bytes and returns their number, which is 0 at the end of the file.
std::size_t ReadSome(int fd, char* to, std::size_t size, const fs::path& path) {
  for (;;) {
    const ssize_t got = ::read(fd, to, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) Fail("{}: can't read: {}", path.string(), ErrnoText(errno));
  }
}

class Sha256 {
 public:
  Sha256() { Check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr)); }
  void Add(std::string_view bytes) {
    Check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
  }
  std::string Hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    Check(EVP_DigestFinal_ex(context_.get(), digest, &size));
    std::string hex;
    for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
    return hex;
  }

 private:
  static void Check(int ok) {
    if (ok != 1) Fail("OpenSSL could not compute a SHA-256; is the installation complete?");
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   &EVP_MD_CTX_free};
};

}  // namespace

std::string ErrnoText(int error) {
  std::string text = std::generic_category().message(error);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  if (error == EMFILE) text += " (raise the limit of this process, ulimit -n)";
  if (error == ENFILE) text += " (raise the limit of the system, fs.file-max)";
  return text;
}

FileSink::FileSink(fs::path path) : path_(std::move(path)), partial_(PartialPath(path_)) {
  file_ = Descriptor(
      ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!file_) Fail("{}: can't create: {}", partial_.string(), ErrnoText(errno));
}

FileSink::~FileSink() {
  if (file_) ::unlink(partial_.c_str());
}

void FileSink::Write(std::string_view bytes) {
  if (!file_) Fail("{}: written to after Commit()", path_.string());
  buffer_.append(bytes);
  if (buffer_.size() >= kBufferSize) Flush();
}

void FileSink::Write(const void* bytes, std::size_t size) {
  std::string_view left(static_cast<const char*>(bytes), size);
  do {  // the buffer stays small
    const std::string_view piece = left.substr(0, kBufferSize);
    Write(piece);
    left.remove_prefix(piece.size());
  } while (!left.empty());
}

void FileSink::Flush() {
  std::size_t done = 0;
  int error = 0;
  while (done < buffer_.size() && error == 0) {
    const ssize_t wrote = ::write(file_.get(), buffer_.data() + done, buffer_.size() - done);
    if (wrote >= 0) {
      done += static_cast<std::size_t>(wrote);
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  buffer_.erase(0, done);
  written_ += static_cast<int64_t>(done);
  if (error != 0) Fail("{}: can't write: {}", path_.string(), ErrnoText(error));
}

void FileSink::Reserve(int64_t bytes) {
  if (bytes <= 0) return;
  if (::fallocate(file_.get(), 0, 0, static_cast<off_t>(bytes)) == 0) {
    reserved_ = true;
  } else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
    Fail("{}: can't keep the room that it needs, {} bytes: {}; make room, or take another disk",
         path_.string(), bytes, ErrnoText(errno));
  }
}

void FileSink::Recall(const std::function<void(std::string_view)>& take) const {
  const Descriptor in = OpenFile(partial_, O_RDONLY);
  std::vector<char> chunk(kBufferSize);
  for (int64_t left = written_; left > 0;) {
    const std::size_t most = std::min(chunk.size(), static_cast<std::size_t>(left));
    const std::size_t got = ReadSome(in.get(), chunk.data(), most, partial_);
    if (got == 0) break;
    take({chunk.data(), got});
    left -= static_cast<int64_t>(got);
  }
  take(buffer_);
}

void FileSink::Commit() {
  if (!file_) Fail("{}: committed twice", path_.string());
  Flush();
  if (reserved_ && ::ftruncate(file_.get(), written_) != 0)
    Fail("{}: can't give back room: {}", path_.string(), ErrnoText(errno));
  if (!Sync(file_.get())) Fail("{}: can't sync: {}", path_.string(), ErrnoText(errno));
  RenameOver(partial_, path_);
  file_.Reset();
}

void WriteFile(const fs::path& path, std::string_view text) {
  FileSink file(path);
  file.Write(text);
  file.Commit();
}

void CopyFile(const fs::path& from, const fs::path& to) {
  const Descriptor in = OpenFile(from, O_RDONLY);
  FileSink out(to);
  std::vector<char> chunk(kBufferSize);
  while (const std::size_t got = ReadSome(in.get(), chunk.data(), chunk.size(), from))
    out.Write({chunk.data(), got});
  out.Commit();
}

void RequireFolderName(const fs::path& folder) {
  if (folder.empty()) Fail("the name of the output folder is empty; give --output a name");
  if (folder == "-")
    Fail("-: this command makes a folder, not standard output; name one, or ./- for this name");
}

void CreateOutputFolder(const fs::path& folder) {
  RequireFolderName(folder);
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (fs::exists(status) && !fs::is_directory(status)) {
    Fail("{}: is a file, not a folder; choose another --output or remove it", folder.string());
  }
  error.clear();
  fs::create_directories(folder, error);
  if (error) Fail("{}: can't create the folder: {}", folder.string(), ErrnoText(error.value()));
  const bool empty = fs::is_empty(folder, error);
  if (error) Fail("{}: can't read the folder: {}", folder.string(), ErrnoText(error.value()));
  if (!empty) {
    Fail("{}: exists and is not empty; choose another --output or remove it", folder.string());
  }
}

OutputFolder::OutputFolder(fs::path folder)
    : folder_(std::move(folder)), there_(!folder_.empty() && Exists(folder_)) {
  CreateOutputFolder(folder_);
}

OutputFolder::~OutputFolder() {
  if (kept_) return;
  try {
    for (const fs::path& path : PathsIn(folder_)) RemoveAll(path);
    if (!there_) RemoveAll(folder_);
  } catch (const Error&) {
    // The error that ends the command says more.
  }
}

void RequireAbsent(const fs::path& path) {
  if (Exists(path)) Fail("{}: exists already; remove it or choose another --output", path.string());
}

namespace {

// Returns true for the names of files that runs and models are made of, which no command makes
// again.
bool IsPartOfRunOrModel(const fs::path& path) {
  static constexpr std::array<std::string_view, 14> kNames = {"lock",
                                                              "problems",
                                                              "log.jsonl",
                                                              "config.json",
                                                              "generation_config.json",
                                                              "adapter_config.json",
                                                              "tokenizer.json",
                                                              "tokenizer_config.json",
                                                              "special_tokens_map.json",
                                                              "added_tokens.json",
                                                              "vocab.json",
                                                              "merges.txt",
                                                              "preprocessor_config.json",
                                                              "model.safetensors.index.json"};
  static constexpr std::array<std::string_view, 7> kEndings = {
      ".toml", ".h5", ".safetensors", ".bin", ".model", ".jinja", ".gguf"};
  return std::ranges::find(kNames, path.filename().string()) != kNames.end() ||
         std::ranges::find(kEndings, path.extension().string()) != kEndings.end();
}

}  // namespace

void RequireOutput(const fs::path& path, bool replace, std::initializer_list<fs::path> inputs) {
  if (path == "-")
    Fail("-: this command writes a file, not to standard output; name one, or ./- for this name");
  if (!Exists(path)) return;
  if (!replace)
    Fail("{}: exists already; choose another --output, or replace it with --force", path.string());
  std::error_code error;
  if (!fs::is_regular_file(path, error))
    Fail("{}: is no file, which --force would replace; choose another --output", path.string());
  for (const fs::path& input : inputs)
    if (!input.empty() && fs::equivalent(path, input, error))
      Fail("{}: is an input of this command; choose another --output", path.string());
  if (IsPartOfRunOrModel(path))
    Fail(
        "{}: has the name of a part of a run or a model, which --force does not replace; choose "
        "another --output",
        path.string());
}

void RequireNoLfsPointer(std::string_view bytes, std::string_view where) {
  if (bytes.starts_with("version https://git-lfs.github.com/spec/"))
    Fail("{}: is a pointer of Git LFS, not the file itself; run git lfs pull in its folder", where);
}

std::string ReadFile(const fs::path& path) {
  const Descriptor fd = OpenFile(path, O_RDONLY);
  struct stat info {};
  std::string text;
  if (::fstat(fd.get(), &info) == 0 && info.st_size > 0) {
    text.reserve(std::min(static_cast<std::size_t>(info.st_size), kMaxReadFile));
  }
  std::vector<char> chunk(kBufferSize);
  while (const std::size_t got = ReadSome(fd.get(), chunk.data(), chunk.size(), path)) {
    if (text.size() + got > kMaxReadFile) {
      Fail("{}: larger than {} MiB", path.string(), kMaxReadFile >> 20);
    }
    text.append(chunk.data(), got);
  }
  RequireNoLfsPointer(text, path.string());
  return text;
}

std::string Sha256OfText(std::string_view text) {
  Sha256 hash;
  hash.Add(text);
  return hash.Hex();
}

std::string Sha256OfFile(const fs::path& path, std::size_t begin) {
  const Descriptor fd = OpenFile(path, O_RDONLY);
  if (begin > 0 && ::lseek(fd.get(), static_cast<off_t>(begin), SEEK_SET) < 0) {
    Fail("{}: can't read: {}", path.string(), ErrnoText(errno));
  }
  Sha256 hash;
  std::vector<char> chunk(kBufferSize);
  while (const std::size_t got = ReadSome(fd.get(), chunk.data(), chunk.size(), path)) {
    hash.Add({chunk.data(), got});
  }
  return hash.Hex();
}

}  // namespace pivotal::data
