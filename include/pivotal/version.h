// Apache-2.0. The version of Pivotal that these headers belong to.
#pragma once

#define PIVOTAL_VERSION_MAJOR 0
#define PIVOTAL_VERSION_MINOR 1
#define PIVOTAL_VERSION_PATCH 0
// One number that grows with every release: 10000 * major + 100 * minor + patch.
#define PIVOTAL_VERSION \
  (PIVOTAL_VERSION_MAJOR * 10000 + PIVOTAL_VERSION_MINOR * 100 + PIVOTAL_VERSION_PATCH)
#define PIVOTAL_STRING_OF(x) #x
#define PIVOTAL_VERSION_TEXT(major, minor, patch) \
  PIVOTAL_STRING_OF(major) "." PIVOTAL_STRING_OF(minor) "." PIVOTAL_STRING_OF(patch)
// "0.1.0"
#define PIVOTAL_VERSION_STRING \
  PIVOTAL_VERSION_TEXT(PIVOTAL_VERSION_MAJOR, PIVOTAL_VERSION_MINOR, PIVOTAL_VERSION_PATCH)
