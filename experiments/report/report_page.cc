// Apache-2.0.
#include "experiments/report/report_page.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <zlib.h>

#include <cstddef>

#include "data/base/error.h"
#include "experiments/report_files.h"

namespace pivotal::experiments {
namespace {

// Packs `text` as a gzip stream (RFC 1952). The same text gives the same bytes.
std::string Gzip(std::string_view text) {
  constexpr int kGzip = 16;  // added to the window bits: a gzip header, not zlib's
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzip, 9,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    Fail("zlib cannot be started");
  std::string bytes(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int status = deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) Fail("zlib cannot pack {} bytes", text.size());
  return bytes;
}

// Encodes bytes as in RFC 4648, with padding, on one line.
std::string Base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

// Appends the template from `begin` up to `mark` to `page`; returns the offset behind `mark`.
std::size_t CopyUpTo(std::string_view mark, std::size_t begin, std::string& page) {
  const std::string_view html = kReportHtml;
  const std::size_t end = html.find(mark, begin);
  if (end == std::string_view::npos) Fail("report: page.html has no {}", mark);
  page += html.substr(begin, end - begin);
  return end + mark.size();
}

}  // namespace

std::string ReportPage(std::string_view summary, const std::vector<std::string>& blocks) {
  std::string page;
  std::size_t at = CopyUpTo("/*@CSS@*/", 0, page);
  page += kReportCss;
  at = CopyUpTo("<!--@SUMMARY@-->", at, page);
  page += "<script type=\"application/json\" id=\"summary\">";
  for (const char c : summary) {
    if (c == '<')
      page += "\\u003c";  // only texts hold "<"; they could hold "</script>"
    else
      page += c;
  }
  page += "</script>";
  at = CopyUpTo("/*@JS@*/", at, page);
  for (const std::string_view script : kReportScripts) page += script;
  at = CopyUpTo("<!--@BLOCKS@-->", at, page);
  for (std::size_t i = 0; i < blocks.size(); ++i)
    page += fmt::format("<script type=\"text/plain\" class=\"block\" id=\"block-{}\">{}</script>\n",
                        i, Base64(Gzip(blocks[i])));
  page += kReportHtml.substr(at);
  return page;
}

}  // namespace pivotal::experiments
