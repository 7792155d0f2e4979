// Apache-2.0.
#include "data/traces/hdf5_columns.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <type_traits>

#include "data/base/file_sink.h"
#include "data/base/folders.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

constexpr hsize_t kChunk = hsize_t{1} << 16;  // elements
constexpr unsigned kGzipLevel = 4;
constexpr std::size_t kGrowth = std::size_t{1} << 20;  // bytes by which the image in memory grows
// Deflate compresses by 1032:1 at most; the last chunk of a column is stored whole.
constexpr uintmax_t kMaxRatio = 1100;
// HDF5's user block, which readers skip, holds kDigestLabel and the digest of the rest of the file.
constexpr std::size_t kUserBlock = 512;
constexpr std::string_view kDigestLabel = "Pivotal; SHA-256 of all bytes from 512 on: ";
constexpr std::string_view kInMemory = "HDF5 in memory";

std::mutex& Hdf5Mutex() {
  static std::mutex mutex;
  return mutex;
}

template <typename T>
hid_t MemoryType() {
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, int64_t>) return H5T_NATIVE_INT64;
  return H5T_NATIVE_UINT8;
}

template <typename T>
hid_t FileType() {
  if constexpr (std::is_same_v<T, float>) return H5T_IEEE_F32LE;
  if constexpr (std::is_same_v<T, double>) return H5T_IEEE_F64LE;
  if constexpr (std::is_same_v<T, int32_t>) return H5T_STD_I32LE;
  if constexpr (std::is_same_v<T, int64_t>) return H5T_STD_I64LE;
  return H5T_STD_U8LE;
}

// Keeps HDF5 from printing its errors, which are reported as Error.
void Silence() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

hid_t CreateInMemory() {
  Silence();
  const Hdf5Handle access(CheckHdf5(H5Pcreate(H5P_FILE_ACCESS), kInMemory, "create"), H5Pclose);
  CheckHdf5(H5Pset_fapl_core(access.get(), kGrowth, false), kInMemory, "create");
  const Hdf5Handle creation(CheckHdf5(H5Pcreate(H5P_FILE_CREATE), kInMemory, "create"), H5Pclose);
  CheckHdf5(H5Pset_userblock(creation.get(), kUserBlock), kInMemory, "create");
  return CheckHdf5(H5Fcreate("memory.h5", H5F_ACC_TRUNC, creation.get(), access.get()), kInMemory,
                   "create");
}

// Compares the file with its digest. HDF5 trusts its metadata and crashes where that is damaged, so
// damage must be found before HDF5 opens the file.
void CheckDigest(const fs::path& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) Fail("{}: can't read: {}", path.string(), ErrnoText(errno));
  std::string block(kUserBlock, '\0');
  in.read(block.data(), static_cast<std::streamsize>(block.size()));
  if (!in || !block.starts_with(kDigestLabel)) {
    Fail("{}: damaged, or not written by Pivotal", path.string());
  }
  if (block.compare(kDigestLabel.size(), 64, Sha256OfFile(path, kUserBlock)) != 0) {
    Fail("{}: damaged or truncated: it does not match the SHA-256 at its start", path.string());
  }
}

hid_t OpenForReading(const fs::path& path) {
  Silence();
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    Fail("{}: {}", path.string(), error ? ErrnoText(error.value()) : "not a regular file");
  }
  CheckDigest(path);
  return CheckHdf5(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), path.string(),
                   "damaged, or no HDF5 file");
}

// Returns the storage settings of a column of `size` elements. An empty column has no chunks.
Hdf5Handle ColumnLayout(hsize_t size) {
  Hdf5Handle layout(CheckHdf5(H5Pcreate(H5P_DATASET_CREATE), kInMemory, "layout"), H5Pclose);
  CheckHdf5(H5Pset_obj_track_times(layout.get(), false), kInMemory, "layout");
  if (size == 0) return layout;
  const hsize_t chunk = std::min(size, kChunk);
  CheckHdf5(H5Pset_chunk(layout.get(), 1, &chunk), kInMemory, "layout");
  CheckHdf5(H5Pset_shuffle(layout.get()), kInMemory, "layout");
  CheckHdf5(H5Pset_deflate(layout.get(), kGzipLevel), kInMemory, "layout");
  return layout;
}

void WriteScalarAttribute(hid_t file, const std::string& name, hid_t file_type, hid_t memory_type,
                          const void* value) {
  const Hdf5Handle space(CheckHdf5(H5Screate(H5S_SCALAR), kInMemory, name), H5Sclose);
  const Hdf5Handle attribute(
      CheckHdf5(H5Acreate2(file, name.c_str(), file_type, space.get(), H5P_DEFAULT, H5P_DEFAULT),
                kInMemory, name),
      H5Aclose);
  CheckHdf5(H5Awrite(attribute.get(), memory_type, value), kInMemory, name);
}

}  // namespace

Hdf5ColumnWriter::Hdf5ColumnWriter() : lock_(Hdf5Mutex()), file_(CreateInMemory(), H5Fclose) {}

void Hdf5ColumnWriter::SetAttribute(const std::string& name, int32_t value) {
  WriteScalarAttribute(file_.get(), name, H5T_STD_I32LE, H5T_NATIVE_INT32, &value);
}

void Hdf5ColumnWriter::SetAttribute(const std::string& name, const std::string& value) {
  const Hdf5Handle type(CheckHdf5(H5Tcopy(H5T_C_S1), kInMemory, name), H5Tclose);
  CheckHdf5(H5Tset_size(type.get(), value.size() + 1), kInMemory, name);
  WriteScalarAttribute(file_.get(), name, type.get(), type.get(), value.c_str());
}

void Hdf5ColumnWriter::AddGroup(const std::string& name) {
  const Hdf5Handle group(
      CheckHdf5(H5Gcreate2(file_.get(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                kInMemory, name),
      H5Gclose);
}

template <typename T>
void Hdf5ColumnWriter::Add(const std::string& column, const std::vector<T>& values) {
  const hsize_t size = values.size();
  const Hdf5Handle layout = ColumnLayout(size);
  const Hdf5Handle space(CheckHdf5(H5Screate_simple(1, &size, nullptr), kInMemory, column),
                         H5Sclose);
  const Hdf5Handle dataset(
      CheckHdf5(H5Dcreate2(file_.get(), column.c_str(), FileType<T>(), space.get(), H5P_DEFAULT,
                           layout.get(), H5P_DEFAULT),
                kInMemory, column),
      H5Dclose);
  if (size == 0) return;
  CheckHdf5(H5Dwrite(dataset.get(), MemoryType<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
            kInMemory, column);
}

std::string Hdf5ColumnWriter::Finish() {
  CheckHdf5(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), kInMemory, "flush");
  const ssize_t size = CheckHdf5(H5Fget_file_image(file_.get(), nullptr, 0), kInMemory, "image");
  std::string bytes(kUserBlock + static_cast<std::size_t>(size), '\0');
  // The image does not contain the user block.
  CheckHdf5(H5Fget_file_image(file_.get(), bytes.data() + kUserBlock, bytes.size() - kUserBlock),
            kInMemory, "image");
  const std::string digest = Sha256OfText(std::string_view(bytes).substr(kUserBlock));
  const std::string block = fmt::format("{}{}\n", kDigestLabel, digest);
  return bytes.replace(0, block.size(), block);
}

Hdf5ColumnReader::Hdf5ColumnReader(const fs::path& path)
    : lock_(Hdf5Mutex()),
      path_(path.string()),
      file_size_(0),
      file_(OpenForReading(path), H5Fclose) {
  file_size_ = FileSize(path);
}

int32_t Hdf5ColumnReader::GetIntAttribute(const std::string& name) const {
  const std::string what = fmt::format("attribute \"{}\" is missing or damaged", name);
  const Hdf5Handle attribute(
      CheckHdf5(H5Aopen(file_.get(), name.c_str(), H5P_DEFAULT), path_, what), H5Aclose);
  const Hdf5Handle type(CheckHdf5(H5Aget_type(attribute.get()), path_, what), H5Tclose);
  const Hdf5Handle space(CheckHdf5(H5Aget_space(attribute.get()), path_, what), H5Sclose);
  if (H5Tget_class(type.get()) != H5T_INTEGER || H5Sget_simple_extent_npoints(space.get()) != 1) {
    Fail("{}: attribute \"{}\" must be one integer", path_, name);
  }
  int32_t value = 0;
  CheckHdf5(H5Aread(attribute.get(), H5T_NATIVE_INT32, &value), path_, what);
  return value;
}

bool Hdf5ColumnReader::Has(const std::string& column) const {
  return H5Lexists(file_.get(), column.c_str(), H5P_DEFAULT) > 0;
}

std::size_t Hdf5ColumnReader::CheckedLength(hid_t dataset, H5T_class_t type, std::size_t element,
                                            const std::string& where) const {
  const Hdf5Handle space(CheckHdf5(H5Dget_space(dataset), where, "damaged"), H5Sclose);
  const Hdf5Handle stored(CheckHdf5(H5Dget_type(dataset), where, "damaged"), H5Tclose);
  const Hdf5Handle layout(CheckHdf5(H5Dget_create_plist(dataset), where, "damaged"), H5Pclose);
  hsize_t length = 0;
  if (H5Sget_simple_extent_ndims(space.get()) != 1 ||
      H5Sget_simple_extent_dims(space.get(), &length, nullptr) != 1) {
    Fail("{}: must have one dimension", where);
  }
  if (H5Tget_class(stored.get()) != type) {
    Fail("{}: must hold {}", where, type == H5T_FLOAT ? "floats" : "integers");
  }
  const H5D_layout_t kind = H5Pget_layout(layout.get());
  if ((kind != H5D_CHUNKED && kind != H5D_CONTIGUOUS && kind != H5D_COMPACT) ||
      H5Pget_external_count(layout.get()) != 0) {
    Fail("{}: must be stored in the file itself", where);
  }
  // Refuses a size that cannot have been compressed into the stored bytes, before memory is taken.
  const uintmax_t held = std::min<uintmax_t>(H5Dget_storage_size(dataset), file_size_);
  if (length > held * kMaxRatio / element) {
    Fail("{}: {} rows can't come from {} bytes: damaged", where, length, held);
  }
  return length;
}

template <typename T>
std::size_t Hdf5ColumnReader::Read(const std::string& column, std::vector<T>& values) const {
  const std::string where = fmt::format("{}: dataset {}", path_, column);
  const Hdf5Handle dataset(
      CheckHdf5(H5Dopen2(file_.get(), column.c_str(), H5P_DEFAULT), where, "missing or damaged"),
      H5Dclose);
  const H5T_class_t type = std::is_floating_point_v<T> ? H5T_FLOAT : H5T_INTEGER;
  values.assign(CheckedLength(dataset.get(), type, sizeof(T), where), T{});
  if (!values.empty()) {
    CheckHdf5(H5Dread(dataset.get(), MemoryType<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
              where, "damaged or truncated");
  }
  return values.size();
}

void Hdf5ColumnReader::CheckOffsets(const std::string& column, const std::vector<int64_t>& offsets,
                                    std::size_t values) const {
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != static_cast<int64_t>(values) ||
      !std::is_sorted(offsets.begin(), offsets.end())) {
    Fail("{}: dataset {}_offsets: must ascend from 0 to the {} values of {}", path_, column, values,
         column);
  }
}

#define PIVOTAL_COLUMN_TYPE(T)                                                       \
  template void Hdf5ColumnWriter::Add<T>(const std::string&, const std::vector<T>&); \
  template std::size_t Hdf5ColumnReader::Read<T>(const std::string&, std::vector<T>&) const;
PIVOTAL_COLUMN_TYPE(char)
PIVOTAL_COLUMN_TYPE(uint8_t)
PIVOTAL_COLUMN_TYPE(int32_t)
PIVOTAL_COLUMN_TYPE(int64_t)
PIVOTAL_COLUMN_TYPE(float)
PIVOTAL_COLUMN_TYPE(double)
#undef PIVOTAL_COLUMN_TYPE

}  // namespace pivotal::data
