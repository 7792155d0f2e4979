// Apache-2.0. pivotal tokenize
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>

#include "cli/flags.h"
#include "data/error.h"
#include "data/file_sink.h"
#include "data/token_lines.h"

namespace pivotal::cli {
namespace {

constexpr const char* kStandard = "-";

struct Flags {
  std::filesystem::path model, input, output;
  bool decode = false, add_special = false;
};

data::LineCounts Convert(const Flags& flags, std::istream& in, const data::WriteText& write) {
  const auto tokenizer = data::LoadTokenizer(flags.model);
  const std::string name = flags.input == kStandard ? "standard input" : flags.input.string();
  return flags.decode ? data::DecodeLines(*tokenizer, in, name, write)
                      : data::EncodeLines(*tokenizer, flags.add_special, in, name, write);
}

void WriteStandard(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
    Fail("standard output: {}", data::ErrnoText(errno));
}

data::LineCounts Convert(const Flags& flags, std::istream& in) {
  if (flags.output == kStandard) {
    const auto counts = Convert(flags, in, WriteStandard);
    if (std::fflush(stdout) != 0) Fail("standard output: {}", data::ErrnoText(errno));
    return counts;
  }
  data::FileSink sink(flags.output);
  const auto counts = Convert(flags, in, [&](std::string_view text) { sink.Write(text); });
  sink.Commit();
  return counts;
}

void Run(const Flags& flags) {
  if (flags.output != kStandard) data::RequireAbsent(flags.output);
  std::ifstream file;
  if (flags.input != kStandard) {
    if (std::filesystem::is_directory(flags.input)) Fail("{}: is a folder", flags.input.string());
    errno = 0;
    file.open(flags.input, std::ios::binary);
    if (!file) Fail("{}: {}", flags.input.string(), data::ErrnoText(errno));
  }
  const auto counts = Convert(flags, flags.input == kStandard ? std::cin : file);
  // Standard output may be the result.
  if (counts.broken > 0)
    fmt::print(stderr, "{} texts hold line ends and take several lines\n", counts.broken);
  fmt::print(flags.output == kStandard ? stderr : stdout, "{} lines, {} tokens in {}\n",
             counts.lines, counts.tokens,
             flags.output == kStandard ? "standard output" : flags.output.string());
}

}  // namespace

void AddTokenize(CLI::App& app) {
  auto* sub = app.add_subcommand("tokenize", "Turn lines of text into token ids, or back");
  auto flags = std::make_shared<Flags>();
  sub->add_option("--model", flags->model, "Hugging Face folder; its weights are not needed")
      ->required();
  sub->add_option("--input", flags->input,
                  "text file; each line is encoded without its end; -: standard input")->required();
  sub->add_option("--output", flags->output,
                  "file to write, a JSON array of ids per line; -: standard output")->required();
  auto* decode = sub->add_flag("--decode", flags->decode,
                               "the other way round: arrays of ids to lines of text; a text that "
                               "holds line ends is written as it is and takes several lines");
  sub->add_flag("--add-special", flags->add_special,
                "with the special tokens that the folder asks for around a text, e.g. BOS")
      ->excludes(decode);
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
