// Apache-2.0. Parquet, the format in which the Hugging Face Hub keeps data sets. Python's pyarrow
// reads and writes it (data/base/parquet.py) in a process of its own: the program of the
// environment variable PIVOTAL_PYTHON, or else python3 in PATH.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/base/byte_source.h"

namespace pivotal::data {

// The first bytes of a Parquet file.
inline constexpr std::string_view kParquetMagic = "PAR1";

// Gives the rows of a Parquet file as JSON lines, one a row, while Python reads on. Bytes that are
// no text and numbers that are not finite become null; dates, times and decimals become text.
// Throws Error, here or in Next(), if there is no Python or no pyarrow (with the remedy), if the
// file is damaged, and if the process dies or is silent for ten minutes.
std::unique_ptr<ByteSource> ParquetAsJsonLines(const std::filesystem::path& path);

struct ParquetColumn {
  std::string name;
  std::string type;  // bool, int32, int64, double, string, list<int32> or list<float>
};

// Writes a file of JSON lines as the Parquet file `output`, which must not exist: aside, synced and
// renamed. A key that a line lacks is null in its row; keys that are no column are left out.
// Returns the number of bytes that Arrow, the format of tables in memory, needs for the rows.
// Throws Error as above, and for a value that does not fit its column.
int64_t WriteParquet(const std::filesystem::path& lines, const std::vector<ParquetColumn>& columns,
                     const std::filesystem::path& output);

}  // namespace pivotal::data
