// Apache-2.0. Text packed for a page that carries its data.
#pragma once

#include <string>
#include <string_view>

namespace pivotal::data {

// A gzip stream (RFC 1952) of `text`; the same text gives the same bytes.
std::string Gzip(std::string_view text);

// RFC 4648, with padding, on one line.
std::string Base64(std::string_view bytes);

}  // namespace pivotal::data
