// Apache-2.0.
#include "pts/oracles/typeset.h"

#include <unordered_map>

namespace pivotal::pts {
namespace {

// Superscripts come one by one: "¹²" must be ^{12}, so they are joined afterwards.
const std::unordered_map<std::string_view, std::string_view>& Table() {
  static const std::unordered_map<std::string_view, std::string_view> table = {
      {"\u03b1", "\\alpha "},
      {"\u03b2", "\\beta "},
      {"\u03b3", "\\gamma "},
      {"\u03b4", "\\delta "},
      {"\u03b5", "\\epsilon "},
      {"\u03b8", "\\theta "},
      {"\u03bb", "\\lambda "},
      {"\u03bc", "\\mu "},
      {"\u03c0", "\\pi "},
      {"\u03c1", "\\rho "},
      {"\u03c3", "\\sigma "},
      {"\u03c4", "\\tau "},
      {"\u03c6", "\\phi "},
      {"\u03d5", "\\phi "},
      {"\u03c8", "\\psi "},
      {"\u03c9", "\\omega "},
      {"\u0393", "\\Gamma "},
      {"\u0394", "\\Delta "},
      {"\u03a3", "\\Sigma "},
      {"\u03a9", "\\Omega "},
      {"\u03a6", "\\Phi "},
      {"\u221e", "\\infty "},
      {"\u221a", "\\sqrt "},
      {"\u00d7", "\\times "},
      {"\u00b7", "\\cdot "},
      {"\u22c5", "\\cdot "},
      {"\u2219", "\\cdot "},
      {"\u00f7", "\\div "},
      {"\u2212", "-"},
      {"\u2013", "-"},
      {"\u2014", " "},
      {"\u2010", "-"},
      {"\u2011", "-"},
      {"\u00b1", "\\pm "},
      {"\u2213", "\\mp "},
      {"\u2264", "\\le "},
      {"\u2265", "\\ge "},
      {"\u2260", "\\ne "},
      {"\u2248", "\\approx "},
      {"\u2261", "\\equiv "},
      {"\u2208", "\\in "},
      {"\u222a", "\\cup "},
      {"\u2229", "\\cap "},
      {"\u2205", "\\emptyset "},
      {"\u211d", "\\mathbb{R}"},
      {"\u2124", "\\mathbb{Z}"},
      {"\u2115", "\\mathbb{N}"},
      {"\u211a", "\\mathbb{Q}"},
      {"\u00b0", "^\\circ "},
      {"\u2032", "'"},
      {"\u2044", "/"},
      {"\u2215", "/"},
      {"\u00bd", "\\frac{1}{2}"},
      {"\u00bc", "\\frac{1}{4}"},
      {"\u00be", "\\frac{3}{4}"},
      {"\u2153", "\\frac{1}{3}"},
      {"\u2154", "\\frac{2}{3}"},
      {"\u215b", "\\frac{1}{8}"},
      {"\u2070", "^{0}"},
      {"\u00b9", "^{1}"},
      {"\u00b2", "^{2}"},
      {"\u00b3", "^{3}"},
      {"\u2074", "^{4}"},
      {"\u2075", "^{5}"},
      {"\u2076", "^{6}"},
      {"\u2077", "^{7}"},
      {"\u2078", "^{8}"},
      {"\u2079", "^{9}"},
      {"\u207b", "^{-}"},
      {"\u2080", "_{0}"},
      {"\u2081", "_{1}"},
      {"\u2082", "_{2}"},
      {"\u2083", "_{3}"},
      {"\u2084", "_{4}"},
      {"\u2085", "_{5}"},
      {"\u2086", "_{6}"},
      {"\u2087", "_{7}"},
      {"\u2088", "_{8}"},
      {"\u2089", "_{9}"},
      {"\u00a0", " "},
      {"\u2009", " "},
      {"\u200b", " "},
      {"\u202f", " "},
      {"\ufeff", " "},
      {"\u2061", " "},
      {"\u2062", " "},
      {"\u2308", "\\lceil "},
      {"\u2309", "\\rceil "},
      {"\u230a", "\\lfloor "},
      {"\u230b", "\\rfloor "},
      {"\u27e8", "\\langle "},
      {"\u27e9", "\\rangle "},
  };
  return table;
}

std::size_t CharacterBytes(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// "^{1}" "^{2}" one after the other is one exponent.
void AppendJoined(std::string& out, std::string_view latex) {
  const bool script = latex.starts_with("^{") || latex.starts_with("_{");
  if (!script || !out.ends_with('}')) {
    out += latex;
    return;
  }
  const auto open = out.rfind('{');
  const auto inside = std::string_view(out).substr(open + 1, out.size() - open - 2);
  const bool joins = open > 0 && out[open - 1] == latex[0] && !inside.empty() &&
                     inside.find_first_not_of("-0123456789") == std::string_view::npos;
  if (joins)
    out.insert(out.size() - 1, latex.substr(2, latex.size() - 3));
  else
    out += latex;
}

}  // namespace

std::string TypesetToLatex(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto character = text.substr(at, CharacterBytes(static_cast<unsigned char>(text[at])));
    const auto found = character.size() > 1 ? Table().find(character) : Table().end();
    if (found == Table().end())
      out += character;
    else
      AppendJoined(out, found->second);
    at += character.size();
  }
  return out;
}

}  // namespace pivotal::pts
