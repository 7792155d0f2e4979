// Apache-2.0.
#include "data/base/file_sink.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/support/error_text.h"
#include "tests/support/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using testing::ErrorText;
using testing::FullDisk;
using ::testing::HasSubstr;
using testing::TempDir;

std::size_t FilesIn(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(FileSink, ReplacesTheFileOnCommitOnly) {
  const TempDir folder;
  const fs::path path = folder.Write("f", "old");
  FileSink sink(path);
  sink.Write("new ");
  sink.Write("text", 4);
  EXPECT_EQ(ReadFile(path), "old");
  sink.Commit();
  EXPECT_EQ(ReadFile(path), "new text");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
  EXPECT_THAT(ErrorText([&] { sink.Write("more"); }), HasSubstr("after Commit()"));
  EXPECT_THAT(ErrorText([&] { sink.Commit(); }), HasSubstr("committed twice"));
}

TEST(ReadFile, APointerOfGitLfsIsNamed) {
  const TempDir folder;
  const fs::path path = folder.Write(
      "tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5703\n");
  EXPECT_EQ(ErrorText([&] { ReadFile(path); }),
            path.string() +
                ": is a pointer of Git LFS, not the file itself; run git lfs pull in its "
                "folder");
}

TEST(FileSink, LeavesNothingWithoutCommit) {
  const TempDir folder;
  { FileSink(folder.path() / "f").Write("text"); }
  EXPECT_EQ(FilesIn(folder.path()), 0u);
}

TEST(FileSink, WritesMoreThanItsBuffer) {
  const TempDir folder;
  std::string expected;
  FileSink sink(folder.path() / "f");
  for (int i = 0; i < 300'000; ++i) {
    const std::string line = fmt::format("line {}\n", i);
    sink.Write(line);
    expected += line;
  }
  sink.Commit();
  EXPECT_EQ(ReadFile(folder.path() / "f"), expected);
}

TEST(FileSink, KeepsRoomAndGivesBackWhatItDoesNotNeed) {
  const TempDir folder;
  const fs::path path = folder.path() / "f";
  FileSink sink(path);
  sink.Reserve(100'000);
  EXPECT_EQ(fs::file_size(folder.path() / "f.tmp"), 100'000u);
  sink.Write("text");
  sink.Commit();
  EXPECT_EQ(ReadFile(path), "text");
  FileSink large(path);
  const FullDisk full(100'000);
  large.Reserve(100'000);
  EXPECT_THAT(ErrorText([&] { large.Reserve(100'001); }),
              HasSubstr("can't keep the room that it needs, 100001 bytes: file too large"));
}

TEST(FileSink, RecallsWhatItCouldNotWrite) {
  const TempDir folder;
  FileSink sink(folder.path() / "f");
  std::string expected, recalled;
  const auto fill = [&] {
    for (int i = 0; i < 400'000; ++i) {
      const std::string line = fmt::format("line {}\n", i);
      expected += line;
      sink.Write(line);
    }
    sink.Commit();
  };
  {
    const FullDisk full(1'500'000);
    EXPECT_THAT(ErrorText(fill), HasSubstr("can't write: file too large"));
    sink.Recall([&](std::string_view part) { recalled += part; });
  }
  EXPECT_GT(expected.size(), 1'500'000u);
  EXPECT_EQ(recalled, expected);
}

TEST(FileSink, AFullDiskKeepsTheOldFile) {
  const TempDir folder;
  const fs::path path = folder.Write("f", "old");
  const std::string big(5'000'000, 'x');
  const std::string error = ErrorText([&] {
    const FullDisk full(100'000);
    FileSink sink(path);
    sink.Write(big);
    sink.Commit();
  });
  EXPECT_THAT(error, HasSubstr(path.string() + ": can't write: file too large"));
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(FileSink, NamesAPathThatCannotBeWritten) {
  const TempDir folder;
  EXPECT_THAT(ErrorText([&] { FileSink(folder.path() / "none" / "f"); }),
              HasSubstr("f.tmp: can't create: no such file or directory"));
  EXPECT_THAT(ErrorText([&] { FileSink sink(folder.path()); }), HasSubstr("it is a folder"));
  EXPECT_THAT(ErrorText([&] { FileSink sink("/dev/full"); }), HasSubstr("not a regular file"));
}

TEST(WriteFile, ReplacesTheFile) {
  const TempDir folder;
  const fs::path path = folder.Write("f", "old");
  WriteFile(path, "new text");
  EXPECT_EQ(ReadFile(path), "new text");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(CopyFile, CopiesWholeFilesOrNone) {
  const TempDir temp;
  const fs::path from = temp.path() / "from", to = temp.path() / "to";
  const std::string text = "version https://git-lfs.github.com/spec/" + std::string(3 << 20, 'x');
  WriteFile(from, text);
  CopyFile(from, to);
  std::ifstream in(to, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), text) << "whatever it holds";
  const FullDisk full(1000);
  EXPECT_THAT(ErrorText([&] { CopyFile(from, temp.path() / "half"); }),
              HasSubstr("half: can't write: file too large"));
  EXPECT_THAT(ErrorText([&] { CopyFile(temp.path() / "no", to); }), HasSubstr("no: no such file"));
  EXPECT_FALSE(fs::exists(temp.path() / "half"));
  EXPECT_TRUE(fs::exists(to));
}

TEST(OutputFolder, StaysOnlyIfItIsKept) {
  const TempDir temp;
  const fs::path made = temp.path() / "a" / "made", there = temp.path() / "there";
  fs::create_directory(there);
  const auto fill = [](const fs::path& path, bool keep) {
    OutputFolder folder(path);
    fs::create_directory(path / "part");
    WriteFile(path / "part" / "file", "text");
    if (keep) folder.Keep();
  };
  fill(made, false);
  EXPECT_FALSE(fs::exists(made));
  fill(there, false);
  EXPECT_TRUE(fs::is_empty(there)) << "somebody else made it";
  fill(there, true);
  EXPECT_EQ(ReadFile(there / "part" / "file"), "text");
  EXPECT_THAT(ErrorText([&] { OutputFolder folder(there); }), HasSubstr("is not empty"));
  EXPECT_EQ(ReadFile(there / "part" / "file"), "text");
}

TEST(CreateOutputFolder, MakesOrTakesAnEmptyFolder) {
  const TempDir folder;
  const fs::path run = folder.path() / "a" / "b";
  CreateOutputFolder(run);
  CreateOutputFolder(run);
  EXPECT_TRUE(fs::is_directory(run));
  const std::string remedy = "choose another --output or remove it";
  EXPECT_EQ(ErrorText([&] { CreateOutputFolder(folder.path() / "a"); }),
            (folder.path() / "a").string() + ": exists and is not empty; " + remedy);
  const fs::path file = folder.Write("f", "");
  EXPECT_EQ(ErrorText([&] { CreateOutputFolder(file); }),
            file.string() + ": is a file, not a folder; " + remedy);
  EXPECT_THAT(ErrorText([&] { CreateOutputFolder(file / "c"); }), HasSubstr("not a directory"));
}

TEST(ReadFile, ReturnsAllBytesOrNamesTheFile) {
  const TempDir folder;
  const std::string bytes("a\0b\n", 4);
  EXPECT_EQ(ReadFile(folder.Write("f", bytes)), bytes);
  EXPECT_THAT(ErrorText([&] { ReadFile(folder.path() / "none"); }),
              HasSubstr("none: no such file or directory"));
  EXPECT_THAT(ErrorText([&] { ReadFile(folder.path()); }), HasSubstr("is a directory"));
}

// NIST's test vectors (FIPS 180-2, appendix B).
TEST(Sha256, GivesThePublishedDigests) {
  const TempDir folder;
  EXPECT_EQ(Sha256OfFile(folder.Write("f", "abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256OfText("abc"), Sha256OfFile(folder.path() / "f"));
  EXPECT_EQ(Sha256OfFile(folder.Write("f", std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(Sha256OfText(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace
}  // namespace pivotal::data
