// Apache-2.0. Judges programs by running them.
#pragma once

#include <memory>

#include "pts/oracles/oracle.h"
#include "pts/oracles/oracle_options.h"

namespace pivotal::pts {

// A response succeeds if its Python program (code_text.h) passes the tests of the answer
// (data/FORMATS.md) inside a sandbox and the limits of `options`; each judgement runs a new
// process. Throws Error, with the remedy, if bubblewrap or Python cannot be started, unless
// `options.allow_unsandboxed` is set: then it runs without bubblewrap. Judge throws Error where the
// host cannot start a program any more.
std::unique_ptr<const Oracle> MakeCodeOracle(const OracleOptions& options);

}  // namespace pivotal::pts
