// Apache-2.0.
#include "cli/standard_input.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "cli/console.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/temp_folder.h"
#include "data/base/text.h"

namespace pivotal::cli {
namespace {

// Reads what is there, at most `size` bytes; 0 at the end. Throws Interrupted on a stop request.
std::size_t ReadSome(char* bytes, std::size_t size) {
  const ConsoleProgress stop(/*visible=*/false);
  for (;;) {
    if (stop.StopRequested())
      throw Interrupted("stopped while reading standard input; nothing was begun");
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    if (::poll(&waiting, 1, /*milliseconds=*/100) <= 0) continue;  // nothing there, or a signal
    const ssize_t got = ::read(STDIN_FILENO, bytes, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR && errno != EAGAIN) Fail("standard input: {}", data::ErrnoText(errno));
  }
}

}  // namespace

void WithStandardInput(std::filesystem::path& file, const std::function<void(bool copied)>& f) {
  if (file != "-") return f(false);
  const data::TempFolder folder;
  file = folder.path() / "standard-input";
  {
    data::FileSink copy(file);
    std::array<char, 1 << 16> bytes;
    while (const std::size_t got = ReadSome(bytes.data(), bytes.size()))
      copy.Write({bytes.data(), got});
    copy.Commit();
  }
  try {
    f(true);
  } catch (const Error& error) {
    std::string why = error.what();
    data::ReplaceAll(why, file.string(), "standard input");
    throw Error(why);
  }
}

}  // namespace pivotal::cli
