// Apache-2.0. Asks a program of the user.
#pragma once

#include <memory>
#include <string_view>

#include "pts/oracles/oracle.h"
#include "pts/oracles/oracle_options.h"

namespace pivotal::pts {

// Runs `command` by /bin/sh -c, so quotes, variables and pipes work as in a shell, and with the
// rights of the user: no sandbox. Questions and responses go to its stdin alone, never into the
// command line. For each line {"question","answer","response"} it prints one line
// {"success": true|false} and flushes it; further keys are ignored. Its stderr is read, and the end
// of it shown where it fails.
//
// Up to `options.threads` of them run at once, each kept alive and asked one question at a time. A
// question that takes longer than `options.timeout` (a process's start included) is a failed
// response. A process that takes too long, dies or answers anything else is replaced. Judge throws
// Error where three processes die or babble over one question, or five in a row (two per thread,
// if that is more) over any; processes that take too long count where none has ever answered. At
// the end their stdin is closed; those that do not end within a second are killed.
//
// Throws Error if the first process ends at once.
std::unique_ptr<const Oracle> MakeCommandOracle(std::string_view command,
                                                const OracleOptions& options);

}  // namespace pivotal::pts
