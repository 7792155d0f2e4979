// Apache-2.0. The files that decide what a run computes, and their fingerprints: a run goes on only
// with the files that it began with.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "experiments/settings/settings_file.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"

namespace pivotal::experiments {

// The SHA-256 of each file, by the name that it has in the section [files] of run.toml and
// train.toml: "config.json", "problems", "oracle: judge.py". Weights are not among them; they have
// fingerprints of their own (ModelFingerprint).
class InputFiles {
 public:
  InputFiles() = default;
  // Adds the files of the model's folder that decide how text becomes tokens and tokens become
  // logits, whether they exist or not, and the adapter if there is one.
  explicit InputFiles(const ModelSettings& model);
  // Reads the section [files]. A file that an older version wrote has none.
  explicit InputFiles(const SettingsFile& file);

  // Adds a file. Throws Error if it exists and cannot be read.
  void Add(const std::string& name, const std::filesystem::path& path);
  // Adds the problem file as `name`, and what AddOracle adds. Does nothing if there is no file.
  void Add(const std::string& name, const ProblemSettings& problems);
  // Adds each file that the command of the oracle "command:PROGRAM" names by its path, such as a
  // script that an interpreter runs, and each program that the shell finds in PATH. A program of
  // the system (/bin, /usr/bin and the like) that is named without a path is not added: it belongs
  // to the machine, whose updates end no run.
  void AddOracle(const std::string& oracle);

  void Save(SettingsFile& file) const;
  // Returns section and key of all files.
  std::set<std::pair<std::string, std::string>> Keys() const;
  // Returns a text that is the same for the same files.
  std::string Text() const;

  // Throws Error that names the first file which `began`, the files with which the run `run` began,
  // knows with another content. Files that `began` does not know are not compared.
  void RequireUnchanged(const InputFiles& began, const std::filesystem::path& run) const;

 private:
  struct File {
    std::filesystem::path path;  // empty: it is not known
    std::string sha256;          // empty: there is no such file
  };
  std::map<std::string, File> files_;
};

}  // namespace pivotal::experiments
