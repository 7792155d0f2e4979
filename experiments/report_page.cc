// Apache-2.0.
#include "experiments/report_page.h"

#include <fmt/format.h>

#include "data/error.h"
#include "experiments/report_files.h"

namespace pivotal::experiments {
namespace {

// Appends the page from `begin` up to `mark`; returns the place after it.
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
    if (c == '<') page += "\\u003c";  // stands in texts alone, which may hold "</script>"
    else page += c;
  }
  page += "</script>";
  at = CopyUpTo("/*@JS@*/", at, page);
  page += kReportJs;
  at = CopyUpTo("<!--@BLOCKS@-->", at, page);
  for (std::size_t i = 0; i < blocks.size(); ++i)
    page += fmt::format("<script type=\"text/plain\" class=\"block\" id=\"block-{}\">{}</script>\n", i, blocks[i]);
  page += kReportHtml.substr(at);
  return page;
}

}  // namespace pivotal::experiments
