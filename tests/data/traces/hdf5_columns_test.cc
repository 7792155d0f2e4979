// Apache-2.0.
#include "data/traces/hdf5_columns.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;

class Hdf5Columns : public ::testing::Test {
 protected:
  // Writes a file whose columns `fill` adds, and returns its path.
  template <typename Fill>
  std::string File(Fill&& fill) {
    Hdf5ColumnWriter writer;
    fill(writer);
    return folder_.Write("f.h5", writer.Finish()).string();
  }

  testing::TempDir folder_;
};

TEST_F(Hdf5Columns, ColumnsOfEveryTypeAreReadBack) {
  const std::vector<double> doubles = {0.1, -1e300, std::numeric_limits<double>::infinity()};
  std::vector<int32_t> many(200'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int32_t>(i * 2654435761u);
  const std::string path = File([&](Hdf5ColumnWriter& writer) {
    writer.SetAttribute("schema", 7);
    writer.AddGroup("/g");
    writer.Add("/g/double", doubles);
    writer.Add("/g/float", std::vector<float>{0.1f});
    writer.Add("/g/int32", many);
    writer.Add("/g/int64", std::vector<int64_t>{INT64_MIN, INT64_MAX});
    writer.Add("/g/uint8", std::vector<uint8_t>{0, 255});
    writer.Add("/g/none", std::vector<int32_t>{});
  });
  const Hdf5ColumnReader reader(path);
  EXPECT_EQ(reader.GetIntAttribute("schema"), 7);
  std::vector<double> d;
  std::vector<float> f;
  std::vector<int32_t> i32, none = {1};
  std::vector<int64_t> i64;
  std::vector<uint8_t> u8;
  EXPECT_EQ(reader.Read("/g/double", d), 3u);
  EXPECT_EQ(d, doubles);
  reader.Read("/g/float", f);
  EXPECT_THAT(f, ElementsAre(0.1f));
  EXPECT_EQ(reader.Read("/g/int32", i32), many.size());
  EXPECT_EQ(i32, many);
  reader.Read("/g/int64", i64);
  EXPECT_THAT(i64, ElementsAre(INT64_MIN, INT64_MAX));
  reader.Read("/g/uint8", u8);
  EXPECT_THAT(u8, ElementsAre(0, 255));
  EXPECT_EQ(reader.Read("/g/none", none), 0u);
  EXPECT_TRUE(none.empty());
}

TEST_F(Hdf5Columns, RaggedColumnsAreReadBack) {
  Ragged<char> text;
  const std::string word("a\0b", 3);
  text.Push(word);
  text.Push({});
  text.Push(word);
  const std::string path = File([&](Hdf5ColumnWriter& writer) { writer.Add("text", text); });
  Ragged<char> read;
  EXPECT_EQ(Hdf5ColumnReader(path).Read("text", read), 3u);
  EXPECT_EQ(std::string(read.Row(0).begin(), read.Row(0).end()), word);
  EXPECT_TRUE(read.Row(1).empty());
  EXPECT_EQ(std::string(read.Row(2).begin(), read.Row(2).end()), word);
}

TEST_F(Hdf5Columns, OffsetsAreChecked) {
  using Offsets = std::vector<int64_t>;
  for (const Offsets& offsets :
       {Offsets{}, Offsets{0}, Offsets{1, 3}, Offsets{0, 4}, Offsets{0, 2}, Offsets{0, 3, 2, 3},
        Offsets{0, -1, 3}, Offsets{0, INT64_MAX, 3}}) {
    const std::string path = File([&](Hdf5ColumnWriter& writer) {
      writer.Add("t", std::vector<int32_t>{1, 2, 3});
      writer.Add("t_offsets", offsets);
    });
    Ragged<int32_t> read;
    EXPECT_EQ(ErrorText([&] { Hdf5ColumnReader(path).Read("t", read); }),
              path + ": dataset t_offsets: must ascend from 0 to the 3 values of t");
  }
}

TEST_F(Hdf5Columns, FaultsNameFileAndDataset) {
  const std::string path = File([](Hdf5ColumnWriter& writer) {
    writer.SetAttribute("text", "seven");
    writer.Add("ints", std::vector<int32_t>{1});
    writer.Add("floats", std::vector<float>{1});
  });
  const auto read_error = [&](const std::string& column, auto values) {
    return ErrorText([&] { Hdf5ColumnReader(path).Read(column, values); });
  };
  EXPECT_THAT(read_error("gone", std::vector<int32_t>()),
              HasSubstr("f.h5: dataset gone: missing or damaged"));
  EXPECT_THAT(read_error("floats", std::vector<int32_t>()), HasSubstr("must hold integers"));
  EXPECT_THAT(read_error("ints", std::vector<float>()), HasSubstr("must hold floats"));
  EXPECT_THAT(ErrorText([&] { Hdf5ColumnReader(path).GetIntAttribute("gone"); }),
              HasSubstr("attribute \"gone\" is missing or damaged"));
  EXPECT_THAT(ErrorText([&] { Hdf5ColumnReader(path).GetIntAttribute("text"); }),
              HasSubstr("must be one integer"));
  EXPECT_THAT(ErrorText([&] { Hdf5ColumnReader("/none.h5"); }),
              HasSubstr("/none.h5: no such file"));
  EXPECT_THAT(ErrorText([&] { Hdf5ColumnReader(folder_.path()); }),
              HasSubstr("not a regular file"));
  const auto text = folder_.Write("text", "no HDF5");
  EXPECT_THAT(ErrorText([&] { Hdf5ColumnReader reader(text); }),
              HasSubstr("text: damaged, or not written by Pivotal"));
}

// The file has a few kilobytes and claims a column of 2^40 rows.
TEST_F(Hdf5Columns, ClaimsThatTheFileCannotHoldTakeNoMemory) {
  const std::string path = (folder_.path() / "f.h5").string();
  {
    const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
    H5Pset_userblock(creation.get(), 512);
    const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), H5P_DEFAULT),
                          H5Fclose);
    const Hdf5Handle layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const hsize_t rows = hsize_t{1} << 40, chunk = 1024;
    H5Pset_chunk(layout.get(), 1, &chunk);
    const Hdf5Handle space(H5Screate_simple(1, &rows, nullptr), H5Sclose);
    const Hdf5Handle data(H5Dcreate2(file.get(), "c", H5T_STD_I32LE, space.get(), H5P_DEFAULT,
                                     layout.get(), H5P_DEFAULT),
                          H5Dclose);
  }
  std::string bytes = ReadFile(path);
  const std::string label =
      "Pivotal; SHA-256 of all bytes from 512 on: " + Sha256OfText(bytes.substr(512));
  folder_.Write("f.h5", bytes.replace(0, label.size(), label));
  std::vector<int32_t> values;
  EXPECT_THAT(ErrorText([&] { Hdf5ColumnReader(path).Read("c", values); }),
              HasSubstr("rows can't come from 0 bytes: damaged"));
}

TEST_F(Hdf5Columns, AnyChangedByteIsFound) {
  const std::string path = File([](Hdf5ColumnWriter& writer) {
    writer.Add("ints", std::vector<int32_t>{1, 2, 3});
  });
  const std::string whole = ReadFile(path);
  for (std::size_t at = 512; at < whole.size(); at += 7) {
    std::string text = whole;
    text[at] ^= 4;
    folder_.Write("f.h5", text);
    EXPECT_THAT(ErrorText([&] { Hdf5ColumnReader reader(path); }),
                HasSubstr("damaged or truncated: it does not match the SHA-256"))
        << at;
  }
}

// Zeros are compressed a thousandfold and must be accepted.
TEST_F(Hdf5Columns, HighlyCompressedColumnsAreAccepted) {
  const std::vector<int64_t> zeros(3'000'000);
  const std::string path = File([&](Hdf5ColumnWriter& writer) { writer.Add("zeros", zeros); });
  EXPECT_LT(std::filesystem::file_size(path), 60'000u);
  std::vector<int64_t> read;
  EXPECT_EQ(Hdf5ColumnReader(path).Read("zeros", read), zeros.size());
}

TEST_F(Hdf5Columns, EqualContentGivesEqualBytes) {
  const auto write = [] {
    Hdf5ColumnWriter writer;
    writer.SetAttribute("schema", 1);
    writer.Add("c", std::vector<int32_t>{1, 2, 3});
    return writer.Finish();
  };
  EXPECT_EQ(write(), write());
}

}  // namespace
}  // namespace pivotal::data
