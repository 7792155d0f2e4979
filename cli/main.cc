// Apache-2.0. The program `pivotal`. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 stopped
// by Ctrl-C.
#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/text.h"
#include "kernels/cpu_kernels.h"
#include "pivotal/version.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Pivotal: finds the tokens that decide whether a language model solves a problem, and "
      "trains the model on exactly those decisions.",
      "pivotal");
  app.set_version_flag("--version", [] {
    const auto isas = pivotal::kernels::SupportedIsas();
    return fmt::format("pivotal {}\n{}\nthis CPU runs {}", PIVOTAL_VERSION_STRING,
                       PIVOTAL_BUILD_FACTS, pivotal::kernels::IsaName(isas.back()));
  });
  app.require_subcommand(1);
  app.option_defaults()->take_last();  // the last of several equal flags counts
  app.get_formatter()->column_width(34);
  pivotal::cli::AddDemo(app);
  pivotal::cli::AddSearch(app);
  pivotal::cli::AddMerge(app);
  pivotal::cli::AddPairs(app);
  pivotal::cli::AddCurve(app);
  pivotal::cli::AddShow(app);
  pivotal::cli::AddReport(app);
  pivotal::cli::AddExport(app);
  pivotal::cli::AddImport(app);
  pivotal::cli::AddTrain(app);
  pivotal::cli::AddMergeAdapter(app);
  pivotal::cli::AddEval(app);
  pivotal::cli::AddAblate(app);
  pivotal::cli::AddGenerate(app);
  pivotal::cli::AddScore(app);
  pivotal::cli::AddGrade(app);
  pivotal::cli::AddBench(app);
  pivotal::cli::AddInfo(app);
  pivotal::cli::AddTokenize(app);
  pivotal::cli::CheckAllOptions(app);
  pivotal::cli::InstallLogger();
  pivotal::cli::InstallStopHandler();
  std::signal(SIGXFSZ, SIG_IGN);  // makes writes beyond a file-size limit fail, like a full disk
  try {
    app.parse(argc, argv);
    if (std::fflush(stdout) != 0)
      pivotal::Fail("standard output: {}", pivotal::data::ErrnoText(errno));
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const pivotal::Interrupted& stop) {
    pivotal::cli::PrintStderr(fmt::format("\npivotal: {}\n", pivotal::data::Visible(stop.what())));
    return 130;
  } catch (const std::bad_alloc&) {
    pivotal::cli::PrintStderr(
        "pivotal: memory ran out; close other programs, or take a smaller model or batch\n");
    return 1;
  } catch (const std::exception& error) {
    pivotal::cli::PrintStderr(fmt::format(
        "pivotal: {}\n", pivotal::data::Visible(pivotal::cli::FirstLine(error.what()))));
    return 1;
  }
}
