// Apache-2.0.
#include "data/base/parquet.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "data/base/descriptor.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/parquet_script.h"
#include "data/base/subprocess.h"
#include "data/base/temp_folder.h"
#include "data/base/text.h"

namespace pivotal::data {
namespace {

constexpr const char* kPyarrow = "pyarrow==26.0.1";
constexpr int kNoPyarrow = 3;  // exit code of parquet.py
constexpr std::chrono::minutes kSilence(10);

std::string ParquetPython() {
  const char* set = std::getenv("PIVOTAL_PYTHON");
  return set == nullptr || *set == '\0' ? "python3" : set;
}

// parquet.py at work on a file.
class ParquetProcess {
 public:
  // `path` is the file that an Error names.
  ParquetProcess(std::filesystem::path path, const std::vector<std::string>& arguments)
      : path_(std::move(path)), python_(ParquetPython()) {
    SubprocessSpec spec{.argv = {python_, "-c", kParquetScript}};
    spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
    try {
      child_ = std::make_unique<Subprocess>(spec);
    } catch (const Error& error) {
      Fail(
          "{}: Parquet needs Python: {}; install python3 and {}, or set PIVOTAL_PYTHON to a Python "
          "that has it",
          path_.string(), error.what(), kPyarrow);
    }
    child_->CloseInput();
  }

  // Moves what the process has printed to `text`, and waits for it if there is nothing yet. Returns
  // false once the process has ended well; throws Error if it has not.
  bool Read(std::string& text) {
    text.clear();
    std::string& out = child_->text(Subprocess::kOutput);
    const auto deadline = Subprocess::Clock::now() + kSilence;
    while (out.empty()) {
      const auto step = child_->Pump(deadline);
      if (step == Subprocess::Step::kFinished) {
        RequireSuccess();
        return false;
      }
      if (step == Subprocess::Step::kWaited)
        Fail("{}: {} has been silent for ten minutes over this file", path_.string(), python_);
    }
    text.swap(out);
    return true;
  }

 private:
  void RequireSuccess() {
    const std::string ending =
        child_->WaitOrKill(Subprocess::Clock::now() + std::chrono::seconds(10));
    if (ending == "ended with code 0") return;
    const std::string said = Visible(Trim(child_->text(Subprocess::kErrors)), "").substr(0, 400);
    if (ending == fmt::format("ended with code {}", kNoPyarrow))
      Fail(
          "{}: Parquet needs pyarrow, and {} has none ({}): {} -m pip install {}, or set "
          "PIVOTAL_PYTHON to a Python that has it",
          path_.string(), python_, said, python_, kPyarrow);
    if (ending == "ended with code 1" && !said.empty())
      Fail("{}: pyarrow: {}", path_.string(), said);
    Fail("{}: {} {} over this file{}{}", path_.string(), python_, ending, said.empty() ? "" : ": ",
         said);
  }

  std::filesystem::path path_;
  std::string python_;
  std::unique_ptr<Subprocess> child_;
};

class ParquetSource : public ByteSource {
 public:
  explicit ParquetSource(const std::filesystem::path& path)
      : process_(path, {"read", path.string()}) {}

  std::string_view Next() override {
    if (!at_end_) at_end_ = !process_.Read(text_);
    return text_;
  }

 private:
  ParquetProcess process_;
  std::string text_;
  bool at_end_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> ParquetAsJsonLines(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    Fail("{}: Parquet is read from its end, which a pipe does not allow; give a file",
         path.string());
  std::string magic(kParquetMagic.size(), '\0');
  const Descriptor file = OpenFile(path, O_RDONLY);
  if (::read(file.get(), magic.data(), magic.size()) >= 0 && magic != kParquetMagic)
    Fail("{}: is Parquet that is compressed once more; unpack it first", path.string());
  return std::make_unique<ParquetSource>(path);
}

int64_t WriteParquet(const std::filesystem::path& lines, const std::vector<ParquetColumn>& columns,
                     const std::filesystem::path& output) {
  RequireAbsent(output);
  const TempFolder folder;
  const std::filesystem::path made = folder.path() / "rows.parquet";
  std::vector<std::string> arguments = {"write", lines.string(), made.string()};
  for (const auto& [name, type] : columns) arguments.insert(arguments.end(), {name, type});
  ParquetProcess process(output, arguments);
  std::string printed;
  for (std::string text; process.Read(text);) printed += text;
  int64_t bytes = 0;
  const char* const end = printed.data() + printed.size();
  if (std::from_chars(printed.data(), end, bytes).ec != std::errc())
    Fail("{}: the Python of PIVOTAL_PYTHON printed {} in place of a size", output.string(),
         Quoted(printed));
  CopyFile(made, output);
  return bytes;
}

}  // namespace pivotal::data
