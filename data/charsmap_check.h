// Apache-2.0. The part of a tokenizer.model that SentencePiece follows without checking it.
#pragma once

#include <string_view>

namespace pivotal::data {

// Checks the normalisation tables (precompiled_charsmap) of a serialised ModelProto: every step
// through their double-array tries stays inside. True if SentencePiece may load `model`.
bool CharsmapsAreSound(std::string_view model);

}  // namespace pivotal::data
