// Apache-2.0. Files of comma-separated values as JSON lines.
#pragma once

#include <memory>
#include <string>

#include "data/base/byte_source.h"

namespace pivotal::data {

// Turns CSV (RFC 4180: values may be in quotes, and hold commas, line ends and doubled quotes
// there) into JSON lines: the first record names the columns, and each other record becomes a line,
// an object of strings. Blank lines are skipped. `text` comes from the file `path`. The result
// throws Error with file and record (the first after the names is 1) for a record with another
// number of values, a quote that does not end, and text that is no UTF-8; and for two equal names.
std::unique_ptr<ByteSource> CsvAsJsonLines(std::unique_ptr<ByteSource> text, std::string path);

}  // namespace pivotal::data
