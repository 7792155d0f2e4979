// Apache-2.0. Judges responses by a program of the user.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pivotal/oracle.h"

namespace pivotal::pts {

// Makes the oracle that asks a program. `command` runs by /bin/sh -c, so quotes, variables and
// pipes work as in a shell, and with the rights of the user, without a sandbox. Questions and
// responses go to its stdin only, never into the command line. For each line {"question", "answer",
// "response"} the program prints one line {"success": true|false} and flushes it; further keys are
// ignored. Its stderr is read, and the end of it is shown if the program fails. command_pool.h says
// how many copies run, what happens to those that fail, and when there is no verdict. An empty
// command is an Error.
std::unique_ptr<const Oracle> MakeCommandOracle(std::string_view command,
                                                const OracleOptions& options);

// Scores responses by a program of the user, as the judge of the Phi-4 Technical Report does
// (section 4.2, judge-guided DPO).
class ResponseScorer {
 public:
  virtual ~ResponseScorer() = default;
  // Returns the mean of the three scores. Throws NoVerdict if the program gives none. Several
  // threads may call it at once.
  virtual double Score(const Attempt& attempt) const = 0;
};

// Makes a scorer. The command is used as by MakeCommandOracle, but answers {"accuracy": a, "style":
// b, "detail": c}: numbers on one scale, higher is better.
std::unique_ptr<const ResponseScorer> MakeCommandScorer(std::string_view command,
                                                        const OracleOptions& options);

// Says what the sentences of responses do, by a program of the user.
class SentenceClassifier {
 public:
  virtual ~SentenceClassifier() = default;
  // Returns one of the categories. `attempt.response` ends before the sentence. Throws NoVerdict if
  // the program gives none. Several threads may call it at once.
  virtual std::string Category(const Attempt& attempt, std::string_view sentence) const = 0;
};

// Makes a classifier. The command is used as by MakeCommandOracle, but its lines have the key
// "sentence" too, and it answers {"category": "NAME"} with one of `categories`.
std::unique_ptr<const SentenceClassifier> MakeCommandClassifier(std::string_view command,
                                                                std::vector<std::string> categories,
                                                                const OracleOptions& options);

}  // namespace pivotal::pts
