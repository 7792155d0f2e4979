// Apache-2.0.
#include "data/weights/safetensors.h"

#include <gmock/gmock.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "data/base/file_sink.h"
#include "tests/support/error_text.h"
#include "tests/support/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;

std::string FileText(uint64_t header_size, const std::string& rest) {
  return std::string(reinterpret_cast<const char*>(&header_size), 8) + rest;
}
std::string FileText(const std::string& header, const std::string& data) {
  return FileText(header.size(), header + data);
}

std::string Text(const TensorView& view) {
  return {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
}

TensorView View(DType type, std::vector<int64_t> shape, const std::string& bytes) {
  return {type, std::move(shape), std::as_bytes(std::span(bytes))};
}

class Safetensors : public ::testing::Test {
 protected:
  SafetensorsReader Open(const std::string& file_text) {
    folder_.Write("model.safetensors", file_text);
    return SafetensorsReader(folder_.path());
  }
  std::string OpenError(const std::string& file_text) {
    return ErrorText([&] { Open(file_text); });
  }
  std::string HeaderError(const std::string& header, const std::string& data = "01234567") {
    return OpenError(FileText(header, data));
  }
  std::string FolderError() {
    return ErrorText([&] { SafetensorsReader reader(folder_.path()); });
  }

  testing::TempDir folder_;
};

TEST_F(Safetensors, APointerOfGitLfsIsNamed) {
  EXPECT_THAT(
      OpenError("version https://git-lfs.github.com/spec/v1\n"
                "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
                "\nsize 5703\n"),
      HasSubstr("model.safetensors: is a pointer of Git LFS, not the file itself; run git "
                "lfs pull in its folder"));
}

// The numbers are given by their bits: F32 7F800000 and F16 7C00 are infinity, BF16 7FC0 is NaN.
TEST_F(Safetensors, NumbersThatAreNotFiniteAreNamed) {
  const std::string header =
      R"({"bf": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
          "f": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
          "h": {"dtype": "F16", "shape": [2], "data_offsets": [12, 16]},
          "i": {"dtype": "I64", "shape": [1], "data_offsets": [16, 24]}})";
  const std::string fine(
      "\x80\x3F\x7F\x7F"
      "\0\0\x80\x3F\xFF\xFF\x7F\x7F"
      "\0\x3C\xFF\x7B"
      "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
      24);
  const SafetensorsReader reader = Open(FileText(header, fine));
  for (const char* name : {"bf", "f", "h"}) EXPECT_NO_THROW(reader.RequireFinite(name));
  EXPECT_FALSE(reader.IsReadable("i"));
  EXPECT_TRUE(reader.IsReadable("h"));
  EXPECT_EQ(reader.TypeOf("i"), "I64");
  EXPECT_EQ(reader.SizeOf("i"), 8u);
  EXPECT_EQ(reader.FileOf("f"), folder_.path() / "model.safetensors");
  const auto message = [&](std::size_t at, const std::string& bytes, const char* name) {
    std::string bad = fine;
    const SafetensorsReader broken = Open(FileText(header, bad.replace(at, bytes.size(), bytes)));
    return ErrorText([&] { broken.RequireFinite(name); });
  };
  EXPECT_THAT(
      message(2, "\xC0\x7F", "bf"),
      HasSubstr("model.safetensors: tensor \"bf\" holds NaN or infinity, first at element 1 "
                "of 2: the weights are damaged"));
  EXPECT_THAT(message(4, std::string("\0\0\x80\x7F", 4), "f"), HasSubstr("element 0 of 2"));
  EXPECT_THAT(message(8, std::string("\1\0\x80\xFF", 4), "f"), HasSubstr("element 1 of 2"));
  EXPECT_THAT(message(12, std::string("\0\xFC", 2), "h"), HasSubstr("element 0 of 2"));
  // Far into a large tensor.
  std::vector<float> large(10'001, 1.0f);
  large[9'999] = -std::numeric_limits<float>::infinity();
  WriteSafetensors(folder_.path() / "model.safetensors",
                   {{"w", {DType::kF32, {10'001}, std::as_bytes(std::span(large))}}});
  EXPECT_THAT(ErrorText([&] { SafetensorsReader(folder_.path()).RequireFinite("w"); }),
              HasSubstr("element 9999 of 10001"));
}

TEST_F(Safetensors, WrittenTensorsAreReadBack) {
  const std::string eight = "01234567", six = "abcdef", none;
  const fs::path path = folder_.path() / "model.safetensors";
  WriteSafetensors(path, {{"b.half", View(DType::kF16, {3}, six)},
                          {"c", View(DType::kF32, {2, 1}, eight)},
                          {"a", View(DType::kBF16, {1, 3, 1}, six)},
                          {"empty", View(DType::kF32, {0, 7}, none)},
                          {"scalar", View(DType::kF16, {}, "xy")}});
  const SafetensorsReader reader(folder_.path());
  EXPECT_THAT(reader.Names(), ElementsAre("a", "b.half", "c", "empty", "scalar"));
  EXPECT_THAT(reader.Files(), ElementsAre(path));
  EXPECT_EQ(Text(reader.Get("a")), six);
  EXPECT_EQ(reader.Get("a").dtype, DType::kBF16);
  EXPECT_THAT(reader.Get("a").shape, ElementsAre(1, 3, 1));
  EXPECT_EQ(Text(reader.Get("c")), eight);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(reader.Get("c").bytes.data()) % 4, 0u);
  EXPECT_THAT(reader.Get("empty").shape, ElementsAre(0, 7));
  EXPECT_EQ(reader.Get("b.half").dtype, DType::kF16);
  EXPECT_THAT(reader.Get("scalar").shape, ElementsAre());
  EXPECT_TRUE(reader.Contains("c"));
  EXPECT_FALSE(reader.Contains("d"));
  EXPECT_EQ(ErrorText([&] { reader.Get("d"); }),
            folder_.path().string() + ": no tensor \"d\" in its safetensors");
}

TEST_F(Safetensors, TheFileIsAsTransformersWantsIt) {
  const fs::path path = folder_.path() / "f";
  WriteSafetensors(path, {{"w", View(DType::kF32, {2}, "01234567")}});
  const std::string text = ReadFile(path);
  uint64_t size = 0;
  std::memcpy(&size, text.data(), 8);
  EXPECT_EQ(size % 8, 0u);
  const auto header = nlohmann::json::parse(text.substr(8, size));
  EXPECT_EQ(header["__metadata__"]["format"], "pt");
  EXPECT_EQ(header["w"].dump(), R"({"data_offsets":[0,8],"dtype":"F32","shape":[2]})");
  EXPECT_EQ(text.substr(8 + size), "01234567");
}

TEST_F(Safetensors, OtherTypesMatterOnlyWhenAskedFor) {
  const auto reader =
      Open(FileText(R"({"i": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},)"
                    R"( "new": {"dtype": "F4", "shape": [3], "data_offsets": [8, 9]}})",
                    "012345678"));
  EXPECT_THAT(reader.Names(), ElementsAre("i", "new"));
  EXPECT_THAT(ErrorText([&] { reader.Get("i"); }),
              HasSubstr("model.safetensors: tensor \"i\" is \"I64\"; F32, F16 or BF16 is needed"));
  EXPECT_THAT(ErrorText([&] { reader.Get("new"); }), HasSubstr("is \"F4\""));
}

TEST_F(Safetensors, DamagedHeadersAreErrors) {
  EXPECT_THAT(OpenError(""), HasSubstr("0 bytes are too few for safetensors"));
  EXPECT_THAT(OpenError("1234567"), HasSubstr("7 bytes are too few"));
  EXPECT_THAT(OpenError(FileText(3, "{}")), HasSubstr("header of 3 bytes in a file of 10"));
  EXPECT_THAT(OpenError(FileText(UINT64_MAX, "{}")), HasSubstr("not safetensors, or truncated"));
  EXPECT_THAT(HeaderError("{"), HasSubstr("model.safetensors: header: not JSON"));
  EXPECT_THAT(HeaderError("[]"), HasSubstr("a JSON object is needed"));
  EXPECT_THAT(HeaderError("{\"a\":" + std::string(1'000'000, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(HeaderError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                          R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
              HasSubstr("header: the key \"a\" stands twice"));
  EXPECT_THAT(HeaderError(R"({"a":{"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,8]}})"),
              HasSubstr("the key \"shape\" stands twice"));
}

// Integers up to 2^63 - 1 can be read, larger ones can't. Their sums and products may overflow.
TEST_F(Safetensors, HugeNumbersAreErrorsAndTakeNoMemory) {
  const std::string below = "9223372036854775807", above = "9223372036854775808";
  const auto entry = [&](const std::string& shape, const std::string& offsets) {
    return HeaderError("{\"t\":{\"dtype\":\"F32\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                       offsets + "]}}");
  };
  EXPECT_THAT(entry(above, "0, 8"), HasSubstr("shape must be an integer"));
  EXPECT_THAT(entry(below, "0, 8"), HasSubstr("does not take 8 bytes"));
  EXPECT_THAT(entry(below + "," + below, "0, 8"), HasSubstr("does not take 8 bytes"));
  EXPECT_THAT(entry("0," + below, "0, 8"), HasSubstr("does not take 8 bytes"));
  EXPECT_THAT(entry("2", "0, " + above), HasSubstr("data_offsets must be an integer"));
  EXPECT_THAT(entry("2", "0, " + below), HasSubstr("ends at byte " + below));
  EXPECT_THAT(entry("0", below + "," + below), HasSubstr("ends at byte " + below));
  EXPECT_THAT(entry("2", "1e300, 1e300"), HasSubstr("data_offsets must be an integer"));
  const uint64_t half = uint64_t{1} << 63;
  for (const uint64_t header : {half, half - 1, half + 8, UINT64_MAX - 7, uint64_t{100'000'001}})
    EXPECT_THAT(OpenError(FileText(header, "{}")),
                HasSubstr("header of " + std::to_string(header) + " bytes"));
}

// A file that is cut in its length field, its header or its tensors is an error.
TEST_F(Safetensors, TruncationIsNoticedAtEveryByte) {
  WriteSafetensors(folder_.path() / "f", {{"a", View(DType::kF32, {2}, "01234567")},
                                          {"b", View(DType::kF16, {2, 2}, "abcdefgh")}});
  const std::string whole = ReadFile(folder_.path() / "f");
  EXPECT_EQ(OpenError(whole), "(no Error)");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_THAT(OpenError(whole.substr(0, size)), HasSubstr("model.safetensors: ")) << size;
}

TEST_F(Safetensors, FaultyTensorsAreErrors) {
  const auto entry = [&](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return HeaderError("{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
                       ",\"data_offsets\":" + offsets + "}}");
  };
  EXPECT_THAT(HeaderError("{\"t\":7}"), HasSubstr("tensor \"t\": an object is needed"));
  EXPECT_THAT(HeaderError("{\"t\":{}}"), HasSubstr("tensor \"t\": no key \"dtype\""));
  EXPECT_THAT(entry("F32", "[2]", "[0, 9]"),
              HasSubstr("tensor \"t\": ends at byte 9 of the data, but the file holds 8"));
  EXPECT_THAT(entry("F32", "[2]", "[8, 0]"), HasSubstr("must be [begin, end], not [8, 0]"));
  EXPECT_THAT(entry("F32", "[2]", "[0]"), HasSubstr("must be [begin, end]"));
  EXPECT_THAT(entry("F32", "[2]", "[-8, 0]"), HasSubstr("data_offsets must be an integer"));
  EXPECT_THAT(entry("F32", "[2]", "[0, 18446744073709551615]"), HasSubstr("must be an integer"));
  EXPECT_THAT(entry("F32", "[3]", "[0, 8]"), HasSubstr("F32 of shape [3] does not take 8 bytes"));
  EXPECT_THAT(entry("F32", "[-2]", "[0, 8]"), HasSubstr("shape must be an integer"));
  EXPECT_THAT(entry("F32", "[2.0]", "[0, 8]"), HasSubstr("shape must be an integer"));
  EXPECT_THAT(entry("F32", "{}", "[0, 8]"), HasSubstr("shape must be an array, not object"));
  // The product of 2^62 elements and 4 bytes overflows to 0 in 64 bits.
  EXPECT_THAT(entry("F32", "[4611686018427387904, 4]", "[0, 0]"), HasSubstr("does not take 0"));
}

TEST_F(Safetensors, OverlapsAreErrors) {
  const auto two = [&](const std::string& first, const std::string& second) {
    return HeaderError("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" + first +
                       "},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" + second +
                       "}}");
  };
  EXPECT_THAT(two("[2, 6]", "[0, 4]"), HasSubstr("tensors \"b\" and \"a\" overlap"));
  EXPECT_THAT(two("[0, 4]", "[0, 4]"), HasSubstr("overlap"));
  EXPECT_EQ(two("[4, 8]", "[0, 4]"), "(no Error)");
}

TEST_F(Safetensors, ShardsAreJoinedByTheIndex) {
  const std::string one = "1111", two = "2222";
  WriteSafetensors(folder_.path() / "s1.safetensors",
                   {{"a", View(DType::kF32, {1}, one)}, {"b", View(DType::kF32, {1}, two)}});
  WriteSafetensors(folder_.path() / "s2.safetensors", {{"b", View(DType::kF32, {1}, one)}});
  const auto index = [&](const std::string& map) {
    folder_.Write("model.safetensors.index.json", "{\"weight_map\":" + map + "}");
  };
  index(R"({"a": "s1.safetensors", "b": "s2.safetensors"})");
  const SafetensorsReader reader(folder_.path());
  EXPECT_THAT(reader.Names(), ElementsAre("a", "b"));
  EXPECT_EQ(Text(reader.Get("b")), one) << "the index decides";
  EXPECT_EQ(reader.Files().size(), 2u);

  index(R"({"a": "s1.safetensors", "c": "s2.safetensors"})");
  EXPECT_THAT(FolderError(), HasSubstr("s2.safetensors: no tensor \"c\", although"));
  index(R"({"a": "s3.safetensors"})");
  EXPECT_THAT(FolderError(), HasSubstr("s3.safetensors: no such file"));
  for (const char* name : {"../s1.safetensors", "/etc/passwd", "..", ".", "", "a\\\\b"}) {
    index("{\"a\": \"" + std::string(name) + "\"}");
    EXPECT_THAT(FolderError(), HasSubstr("must be in a file of this folder")) << name;
  }
  index(R"({"a": 7})");
  EXPECT_THAT(FolderError(), HasSubstr("must be in a file of this folder, not number"));
  index("[]");
  EXPECT_THAT(FolderError(), HasSubstr("weight_map must name tensors and files"));
}

TEST_F(Safetensors, MissingFilesAreNamed) {
  EXPECT_EQ(FolderError(),
            folder_.path().string() +
                ": no model.safetensors or model.safetensors.index.json in this folder");
  folder_.Write("pytorch_model.bin", "");
  EXPECT_THAT(FolderError(), HasSubstr("only pytorch_model.bin: convert it"));
  EXPECT_THAT(ErrorText([&] { SafetensorsReader reader(folder_.path() / "none"); }),
              HasSubstr("none: no such folder"));
}

TEST_F(Safetensors, TheReaderCanBeMoved) {
  SafetensorsReader first = Open(FileText("{}", ""));
  WriteSafetensors(folder_.path() / "model.safetensors", {{"w", View(DType::kF16, {1}, "ab")}});
  SafetensorsReader second(folder_.path());
  const TensorView view = second.Get("w");
  const SafetensorsReader third(std::move(second));
  EXPECT_EQ(Text(view), "ab") << "the mapping moved along";
}

TEST_F(Safetensors, WritingChecksItsInput) {
  const fs::path path = folder_.path() / "f";
  EXPECT_THAT(ErrorText([&] {
                WriteSafetensors(path, {{"w", View(DType::kF32, {2}, "123")}});
              }),
              HasSubstr("tensor \"w\": F32 of shape [2] does not take 3 bytes"));
  EXPECT_THAT(ErrorText([&] {
                WriteSafetensors(path, {{"__metadata__", View(DType::kF16, {1}, "12")}});
              }),
              HasSubstr("can't be the name of a tensor"));
  EXPECT_THAT(ErrorText([&] {
                WriteSafetensors(path, {{"\xFF", View(DType::kF16, {1}, "12")}});
              }),
              HasSubstr("can't be the name of a tensor"));
  const std::string large(100'000, 'x');
  EXPECT_THAT(ErrorText([&] {
                const testing::FullDisk full(1000);
                WriteSafetensors(path, {{"w", View(DType::kF16, {50'000}, large)}});
              }),
              HasSubstr("file too large"));
  EXPECT_FALSE(fs::exists(path));
}

// A damaged header gives an Error, or tensors that lie inside the file.
TEST_F(Safetensors, SurvivesDamage) {
  WriteSafetensors(folder_.path() / "f", {{"a", View(DType::kF32, {2}, "01234567")},
                                          {"b", View(DType::kF16, {2, 2}, "abcdefgh")}});
  const std::string whole = ReadFile(folder_.path() / "f");
  std::mt19937 random(7);
  int errors = 0;
  for (int i = 0; i < 1000; ++i) {
    std::string text = whole;
    const std::size_t at = random() % (text.size() - 16);
    if (i % 3 == 0)
      text.resize(at);
    else
      text[at] = i % 3 == 1 ? static_cast<char>(random()) : static_cast<char>('0' + random() % 10);
    try {
      const SafetensorsReader reader = Open(text);
      for (const std::string& name : reader.Names()) {
        for (const char c : Text(reader.Get(name))) ASSERT_NE(whole.find(c), std::string::npos);
      }
    } catch (const Error&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 500);
}

}  // namespace
}  // namespace pivotal::data
