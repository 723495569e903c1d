// Folders that cannot be read, or not to their end: said, never thrown, and never half a list.
#include "kvcache/model/folder_files.h"

#include <dirent.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "kvcache/model/model_folder.h"
#include "tests/kvcache/model/config_texts.h"
#include "tests/support/temp_dir.h"

namespace {

// Of the system's own: how many succeed before a disk fails. Whoever is root may read everything,
// so that no permission makes them fail.
int good_reads = -1;  // all

}  // namespace

// In place of the C library's, for the standard library too.
extern "C" dirent* readdir(DIR* folder) {
  static const auto real = reinterpret_cast<dirent* (*)(DIR*)>(dlsym(RTLD_NEXT, "readdir"));
  if (good_reads == 0) {
    errno = EIO;
    return nullptr;
  }
  if (good_reads > 0) --good_reads;
  return real(folder);
}

namespace plimsoll {
namespace {

using testing::ElementsAre;

class FolderFiles : public testing::Test {
 protected:
  FolderFiles() {
    for (const char* name : {"m/b.gguf", "m/a.gguf", "m/c.txt"}) dir_.Write(name, "x");
    dir_.Write("m/folder.gguf/x", "");
  }
  ~FolderFiles() override { good_reads = -1; }
  std::string folder() const { return dir_.File("m"); }

  TempDir dir_;
};

TEST_F(FolderFiles, AreSortedAndNoFolders) {
  EXPECT_THAT(*FilesEndingWith(".gguf", folder()), ElementsAre("a.gguf", "b.gguf"));
}

TEST_F(FolderFiles, AFileOrNothingInPlaceOfAFolderIsAnError) {
  EXPECT_EQ(FilesEndingWith(".gguf", folder() + "/c.txt").status(),
            absl::InternalError(folder() + "/c.txt: Not a directory"));
  EXPECT_EQ(FilesEndingWith(".gguf", folder() + "/none").status(),
            absl::InternalError(folder() + "/none: No such file or directory"));
}

TEST_F(FolderFiles, ADiskThatFailsAtAnyReadIsSaid) {
  const absl::Status failed = absl::InternalError(folder() + ": Input/output error");
  for (int reads = 0; reads < 6; ++reads) {
    good_reads = reads;
    EXPECT_EQ(FilesEndingWith(".gguf", folder()).status(), failed) << "after " << reads;
    good_reads = reads;
    EXPECT_EQ(ReadModel(folder()).status(), failed) << "GGUF, after " << reads;
  }
  dir_.Write("s/config.json", SmallConfig().dump());
  dir_.Write("s/model-00001-of-00001.safetensors", "x");
  good_reads = 3;
  EXPECT_EQ(ReadModel(dir_.File("s")).status(),
            absl::InternalError(dir_.File("s") + ": Input/output error"));
}

}  // namespace
}  // namespace plimsoll
