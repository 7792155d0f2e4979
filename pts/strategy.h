// Apache-2.0. How the responses of one query are searched.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pts/success_trie.h"

namespace pivotal::pts {

enum class StrategyKind {
  kAnchored,         // pts/anchored_search.h
  kSubdivide,        // published: split at the midpoint of the log-probabilities
  kSubdivideLength,  // split in the middle, as codelion/pts does
  kExhaustive,       // p_k of every token
  kNone,             // nothing beyond the rollouts from the prompt: for what pairs are compared with
};

// What ParseStrategy takes.
std::vector<std::string> StrategyNames();
// Throws Error that lists the names.
StrategyKind ParseStrategy(std::string_view name);
std::string StrategyName(StrategyKind kind);

struct StrategyOptions {
  StrategyKind kind = StrategyKind::kAnchored;
  double gap = 0.2;           // in (0, 1)
  int32_t samples = 32;       // rollouts for each p_k; not of kAnchored
  // Of kAnchored alone:
  double tolerance = 0.05;    // a token with abs(d_k) this near the gap may be decided either way
  double confidence = 0.95;   // one-sided, of abs(d_k) >= gap - tolerance, for a token that is reported
  double min_yield = 0.0015;  // explore while as many tokens as a response has settle this many tokens
  int32_t max_rollouts = 1024;  // for each response; never more
  // Throws Error that names the field and its range.
  void Validate() const;
};

// A search as a state machine: it asks for rollouts, which its caller draws and adds to the trie.
//
//   while (!(asks = strategy->Next()).empty()) { draw and add all or some of them; }
class Strategy {
 public:
  struct Ask {
    int32_t node = 0;
    bool struck = false;  // with the node's children excluded
    int32_t count = 0;
    double yield = 0;     // tokens that it is expected to settle for each generated token, where known
  };
  virtual ~Strategy() = default;
  virtual std::vector<Ask> Next() = 0;
  // Nodes of the tokens found pivotal so far, ascending.
  virtual std::vector<int32_t> Pivotal() const = 0;
  // p of a node as the strategy takes it.
  virtual double Value(int32_t node) const = 0;
};

// `stream` keys what the strategy draws for itself. The trie holds all responses and outlives it.
std::unique_ptr<Strategy> MakeStrategy(const SuccessTrie& trie, const StrategyOptions& options,
                                       uint64_t stream);

}  // namespace pivotal::pts
