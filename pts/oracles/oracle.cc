// Apache-2.0.
#include "pivotal/oracle.h"

#include "data/base/error.h"
#include "data/base/text.h"
#include "pts/oracles/code/code_oracle.h"
#include "pts/oracles/code/command_oracle.h"
#include "pts/oracles/math/math_oracle.h"
#include "pts/oracles/simple_oracles.h"

namespace pivotal {

std::optional<std::string> Oracle::Answer(std::string_view) const { return std::nullopt; }

std::unique_ptr<const Oracle> MakeOracle(std::string_view name, const OracleOptions& options) {
  constexpr std::string_view kCommand = "command:", kRegex = "regex:";
  options.Validate();
  // The names of both without what belongs behind them are mistakes that these two explain.
  if (name == "command") name = kCommand;
  if (name == "regex") name = kRegex;
  if (name == "math") return std::make_unique<pts::MathOracle>();
  if (name == "code") return pts::MakeCodeOracle(options);
  if (name.starts_with(kCommand))
    return pts::MakeCommandOracle(name.substr(kCommand.size()), options);
  if (auto oracle = pts::MakeSimpleOracle(name)) return oracle;
  Fail(
      "oracle \"{}\" is unknown: take numeric, math, last-number, hash, exact, choice, "
      "regex:PATTERN, code or command:PROGRAM{}",
      name,
      data::DidYouMean(name, {"numeric", "math", "last-number", "hash", "exact", "choice", "code",
                              "regex:", "command:"}));
}

}  // namespace pivotal
