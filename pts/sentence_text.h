// Apache-2.0. Sentences as texts: which say the same, and what they do in a chain of reasoning.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/base/names.h"

namespace pivotal::pts {

// A sentence as it is compared with others. Letters are in lower case; a word is a run of letters,
// a number a run of digits (with "." or "," between digits, where "," is dropped), and any other
// visible character is a word of its own, except the marks .,;:!?"'`()[]{} and what Markdown sets
// around text (**, __, #). Bytes above ASCII are letters.
struct SentenceWords {
  std::vector<std::string> words, numbers;  // each sorted
};
SentenceWords WordsOf(std::string_view sentence);

// The least similarity of sentences that say the same.
inline constexpr double kSameSentence = 0.8;

// Returns true if two sentences say the same: they have the same numbers, each as often, and the
// similarity of their words is kSameSentence or more. That is Dice's coefficient of the words as
// multisets, 2 * common / (words of a + words of b); 1 if there are none.
bool SayTheSame(const SentenceWords& a, const SentenceWords& b);

// What a sentence does: the categories of Thought Anchors (arXiv 2506.19143).
enum class SentenceKind {
  kProblemSetup,
  kPlanGeneration,
  kFactRetrieval,
  kActiveComputation,
  kUncertaintyManagement,
  kResultConsolidation,
  kSelfChecking,
  kFinalAnswerEmission,
  kUnknown
};

inline constexpr auto kSentenceKindNames = data::MakeNameTable<SentenceKind>(
    "sentence category", {{SentenceKind::kProblemSetup, "problem_setup"},
                          {SentenceKind::kPlanGeneration, "plan_generation"},
                          {SentenceKind::kFactRetrieval, "fact_retrieval"},
                          {SentenceKind::kActiveComputation, "active_computation"},
                          {SentenceKind::kUncertaintyManagement, "uncertainty_management"},
                          {SentenceKind::kResultConsolidation, "result_consolidation"},
                          {SentenceKind::kSelfChecking, "self_checking"},
                          {SentenceKind::kFinalAnswerEmission, "final_answer_emission"},
                          {SentenceKind::kUnknown, "unknown"}});

// Returns the category of a sentence by rule: the first of these rules that applies. A word or
// phrase must stand in the sentence between characters that are no letters, digits or "_".
//
//   final_answer_emission   "####", "\boxed", "final answer", "the answer is", "answer:"
//   self_checking           let me check, let's check, check that, check if, to check, checking,
//                           double-check, verify, verifying, confirm, make sure, sanity,
//                           does this make sense, is this correct
//   uncertainty_management  "wait,", "wait.", "wait!", but wait, wait no, hmm, actually, not sure,
//                           unsure, maybe, perhaps, mistake, reconsider, alternatively,
//                           on second thought, hold on, confusing
//   active_computation      "=", or a digit, an operator (+ - * / ^ x, a multiplication or division
//                           sign) and a digit, with blanks between them
//   result_consolidation    therefore, thus, hence, so, in total, altogether, in summary, overall,
//                           this means, which means, it follows, in conclusion
//   plan_generation         let me, let's, i'll, i will, we need to, i need to, we can, first,
//                           next, then, plan, approach, strategy, step, try
//   fact_retrieval          recall, remember, we know, known, by definition, formula, theorem,
//                           definition, property, identity
//   problem_setup           given, the problem, the question, asked, asks, we have, we are told,
//                           find, determine
//   active_computation      calculate, compute, computing, multiply, divide, subtract, add, sum,
//                           solving, substitute, substituting, equals, simplify
//   unknown                 otherwise
SentenceKind KindOf(std::string_view sentence);

}  // namespace pivotal::pts
