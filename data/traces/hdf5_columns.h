// Apache-2.0. Tables of flat columns in HDF5 files.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/base/error.h"

namespace pivotal::data {

// Owns one HDF5 id and closes it.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&&) = delete;
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

// Returns the innermost entry of HDF5's error stack, which is the most specific one.
inline std::string Hdf5Cause() {
  std::string cause;
  const auto take = [](unsigned, const H5E_error2_t* entry, void* text) -> herr_t {
    auto& first = *static_cast<std::string*>(text);
    if (first.empty() && entry->desc != nullptr) first = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &cause);
  return cause.empty() ? "HDF5 gives no reason" : cause;
}

// Returns `result`. Throws Error that begins with `where` if it is negative: HDF5 has failed.
template <typename T>
T CheckHdf5(T result, std::string_view where, std::string_view what) {
  if (result < 0) Fail("{}: {}: {}", where, what, Hdf5Cause());
  return result;
}

// A column whose rows have different lengths: row i is values[offsets[i], offsets[i + 1]). The file
// holds the values and the column "<name>_offsets", which has one entry more than there are rows.
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

// Builds an HDF5 file in memory. HDF5 cannot recover from a failed flush, so it never touches the
// disk: the caller writes the bytes. T is char (text), uint8_t, int32_t, int64_t, float or double.
// Columns are chunked, shuffled and compressed by gzip at level 4.
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
  std::string Finish();  // returns the bytes of the file

 private:
  std::lock_guard<std::mutex> lock_;  // Debian's HDF5 is not thread-safe
  Hdf5Handle file_;
};

// Reads the columns of a file that Hdf5ColumnWriter wrote. Throws Error that names the file and the
// column where the file is damaged or written by another program.
class Hdf5ColumnReader {
 public:
  explicit Hdf5ColumnReader(const std::filesystem::path& path);
  int32_t GetIntAttribute(const std::string& name) const;
  // Returns true if there is something of this name, a column or a group.
  bool Has(const std::string& column) const;
  // Both return the number of rows. Offsets must ascend from 0 to the number of values.
  template <typename T>
  std::size_t Read(const std::string& column, std::vector<T>& values) const;
  template <typename T>
  std::size_t Read(const std::string& column, Ragged<T>& ragged) const {
    Read(column, ragged.values);
    Read(column + "_offsets", ragged.offsets);
    CheckOffsets(column, ragged.offsets, ragged.values.size());
    return ragged.rows();
  }
  const std::string& file() const { return path_; }  // the path, for messages

 private:
  void CheckOffsets(const std::string& column, const std::vector<int64_t>& offsets,
                    std::size_t values) const;
  // Returns the number of elements of a column. Throws Error where the file is too small to hold so
  // many, or the column is stored in an unexpected way.
  std::size_t CheckedLength(hid_t dataset, H5T_class_t type, std::size_t element,
                            const std::string& where) const;

  std::lock_guard<std::mutex> lock_;
  std::string path_;
  uintmax_t file_size_;
  Hdf5Handle file_;
};

}  // namespace pivotal::data
