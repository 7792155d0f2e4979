// Apache-2.0. Tables of flat columns in HDF5 files. For the .cc files of data/ only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/hdf5_handle.h"

namespace pivotal::data {

// Rows of different lengths: row i is values[offsets[i], offsets[i + 1]). On file: a column of
// values and a column "<name>_offsets" with one entry more than there are rows.
template <typename T>
struct Ragged {
  std::vector<T> values;
  std::vector<int64_t> offsets = {0};

  void Push(std::span<const T> row) {
    values.insert(values.end(), row.begin(), row.end());
    offsets.push_back(static_cast<int64_t>(values.size()));
  }
  std::size_t rows() const { return offsets.size() - 1; }
  std::span<const T> Row(std::size_t i) const {
    const auto begin = static_cast<std::size_t>(offsets[i]);
    return std::span(values).subspan(begin, static_cast<std::size_t>(offsets[i + 1]) - begin);
  }
};

// Builds an HDF5 file in memory: what the disk may refuse is then an ordinary write, and HDF5,
// which can't recover from a failed flush, never sees it. T: char (text), uint8_t, int32_t,
// int64_t, float or double. Columns are chunked, shuffled and gzipped at level 4.
class Hdf5ColumnWriter {
 public:
  Hdf5ColumnWriter();
  void SetAttribute(const std::string& name, int32_t value);
  void SetAttribute(const std::string& name, const std::string& value);
  void AddGroup(const std::string& name);
  template <typename T>
  void Add(const std::string& column, const std::vector<T>& values);
  template <typename T>
  void Add(const std::string& column, const Ragged<T>& ragged) {
    Add(column, ragged.values);
    Add(column + "_offsets", ragged.offsets);
  }
  std::string Finish();  // the file's bytes

 private:
  std::lock_guard<std::mutex> lock_;  // Debian's HDF5 is not thread-safe
  Hdf5Handle file_;
};

// Reads such columns; whatever is not as written is an Error that names file and column.
class Hdf5ColumnReader {
 public:
  explicit Hdf5ColumnReader(const std::filesystem::path& path);
  int32_t GetIntAttribute(const std::string& name) const;
  // Both return the number of rows. The offsets are checked: ascending, from 0, to the last value.
  template <typename T>
  std::size_t Read(const std::string& column, std::vector<T>& values) const;
  template <typename T>
  std::size_t Read(const std::string& column, Ragged<T>& ragged) const {
    Read(column, ragged.values);
    Read(column + "_offsets", ragged.offsets);
    CheckOffsets(column, ragged.offsets, ragged.values.size());
    return ragged.rows();
  }
  // "run/traces.h5"
  const std::string& file() const { return path_; }

 private:
  void CheckOffsets(const std::string& column, const std::vector<int64_t>& offsets,
                    std::size_t values) const;
  // Elements of a column whose claimed size its file could hold.
  std::size_t CheckedLength(hid_t dataset, H5T_class_t type, std::size_t element,
                            const std::string& where) const;

  std::lock_guard<std::mutex> lock_;
  std::string path_;
  uintmax_t file_size_;
  Hdf5Handle file_;
};

}  // namespace pivotal::data
