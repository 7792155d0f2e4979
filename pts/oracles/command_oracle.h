// Apache-2.0. Asks a program of the user.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "pts/oracles/oracle.h"
#include "pts/oracles/oracle_options.h"

namespace pivotal::pts {

// Runs `command` by /bin/sh -c, so quotes, variables and pipes work as in a shell, and with the
// rights of the user: no sandbox. Questions and responses go to its stdin alone, never into the
// command line. For each line {"question","answer","response"} it prints one line
// {"success": true|false} and flushes it; further keys are ignored. Its stderr is read, and the end
// of it shown where it fails. A question that takes too long is a failed response. How many run, what
// becomes of those that fail, and the Errors: command_pool.h.
std::unique_ptr<const Oracle> MakeCommandOracle(std::string_view command,
                                                const OracleOptions& options);

// What a program of the user thinks of responses, as the judge of the Phi-4 report (4.2, judge-guided DPO) does.
class ResponseScorer {
 public:
  virtual ~ResponseScorer() = default;
  // The mean of the three scores; nothing where it took too long. From several threads at once.
  virtual std::optional<double> Score(const Attempt& attempt) const = 0;
};

// As the oracle's command, but that each answer is {"accuracy": a, "style": b, "detail": c}: numbers on one scale,
// the higher the better.
std::unique_ptr<const ResponseScorer> MakeCommandScorer(std::string_view command, const OracleOptions& options);

}  // namespace pivotal::pts
