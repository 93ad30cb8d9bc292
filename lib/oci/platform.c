/*
 * oci/platform.c (L1) - platform names: parsing, the spellings that mean the same, and which image runs where.
 */
#include "oci/platform.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#if defined(__x86_64__)
#define MACHINE "amd64"
#elif defined(__i386__)
#define MACHINE "386"
#elif defined(__aarch64__)
#define MACHINE "arm64"
#elif defined(__arm__)
#define MACHINE "arm"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MACHINE "ppc64le"
#elif defined(__s390x__)
#define MACHINE "s390x"
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE "riscv64"
#elif defined(__loongarch64)
#define MACHINE "loong64"
#elif defined(__mips64) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MACHINE "mips64le"
#else
#define MACHINE "unknown"
#endif

#if defined(__aarch64__)
#define MACHINE_VARIANT "v8"
#elif defined(__arm__) && __ARM_ARCH <= 5
#define MACHINE_VARIANT "v5"
#elif defined(__arm__) && __ARM_ARCH == 6
#define MACHINE_VARIANT "v6"
#elif defined(__arm__)
#define MACHINE_VARIANT "v7"
#else
#define MACHINE_VARIANT ""
#endif

static const char *const known_systems[] = {"linux",   "windows",   "darwin",  "freebsd", "netbsd", "openbsd",
                                            "solaris", "dragonfly", "illumos", "android", "aix",    "plan9",
                                            "wasip1",  "js",        "ios",     "zos"};
static const char *const known_machines[] = {"386",  "amd64",   "arm",     "arm64", "ppc64",  "ppc64le",
                                             "mips", "mipsle",  "mips64",  "s390x", "wasm",   "mips64le",
                                             "s390", "riscv64", "loong64", "ppc",   "sparc64"};

static bool in_list(const char *const *list, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i], name) == 0)
      return true;
  return false;
}

static bool is_system(const char *name) {
  return in_list(known_systems, sizeof known_systems / sizeof *known_systems, name);
}

static bool is_machine(const char *name) {
  return in_list(known_machines, sizeof known_machines / sizeof *known_machines, name);
}

static void set(char part[IMS_PLATFORM_PART], const char *text) {
  snprintf(part, IMS_PLATFORM_PART, "%s", text);
}

static void lower(char *s) {
  for (; *s; s++)
    *s = ims_ascii_lower(*s);
}

/* "8" -> "v8" */
static void normalise_variant(char variant[IMS_PLATFORM_PART]) {
  size_t size = strlen(variant);
  if (!size || !ims_is_digit(variant[0]) || size + 2 > IMS_PLATFORM_PART)
    return;
  memmove(variant + 1, variant, size + 1);
  variant[0] = 'v';
}

typedef struct alias {
  const char *name, *architecture, *variant;
} alias;

static const alias aliases[] = {
    {"x86_64", "amd64", NULL}, {"x86-64", "amd64", NULL}, {"i386", "386", ""},     {"i486", "386", ""},
    {"i586", "386", ""},       {"i686", "386", ""},       {"x86", "386", ""},      {"aarch64", "arm64", NULL},
    {"armhf", "arm", "v7"},    {"armel", "arm", "v6"},    {"armv7l", "arm", "v7"}, {"armv6l", "arm", "v6"},
};

static void normalise_architecture(ims_platform *p) {
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
    if (strcmp(p->architecture, aliases[i].name) != 0)
      continue;
    set(p->architecture, aliases[i].architecture);
    if (aliases[i].variant)
      set(p->variant, aliases[i].variant);
    return;
  }
}

void ims_platform_normalise(ims_platform *p) {
  lower(p->os);
  lower(p->architecture);
  lower(p->variant);
  if (strcmp(p->os, "macos") == 0)
    set(p->os, "darwin");
  normalise_architecture(p);
  if (strcmp(p->architecture, "arm") == 0) {
    normalise_variant(p->variant);
    if (!p->variant[0])
      set(p->variant, "v7");
  } else if (strcmp(p->architecture, "arm64") == 0) {
    normalise_variant(p->variant);
    if (strcmp(p->variant, "v8") == 0 || strcmp(p->variant, "v8.0") == 0)
      p->variant[0] = '\0';
  } else if (strcmp(p->architecture, "amd64") == 0) {
    normalise_variant(p->variant);
    if (strcmp(p->variant, "v1") == 0)
      p->variant[0] = '\0';
  }
}

void ims_platform_default(ims_platform *platform) {
  set(platform->os, "linux");
  set(platform->architecture, MACHINE);
  set(platform->variant, MACHINE_VARIANT);
}

static bool take_part(char out[IMS_PLATFORM_PART], const char *text, size_t size) {
  if (!size || size >= IMS_PLATFORM_PART)
    return false;
  for (size_t i = 0; i < size; i++)
    if (!ims_is_alnum(text[i]) && text[i] != '_' && text[i] != '.' && text[i] != '-')
      return false;
  memcpy(out, text, size);
  out[size] = '\0';
  return true;
}

/* One word: an architecture of linux, or an operating system on this machine's architecture. */
static bool complete(ims_platform *p) {
  ims_platform word = *p;
  set(p->architecture, word.os);
  set(p->os, "linux");
  ims_platform_normalise(p);
  if (is_machine(p->architecture))
    return true;
  ims_platform_normalise(&word);
  if (!is_system(word.os))
    return false;
  ims_platform_default(p);
  set(p->os, word.os);
  return true;
}

int32_t ims_platform_parse(ims_platform *platform, const char *text, ims_error *err) {
  memset(platform, 0, sizeof *platform);
  if (!text) {
    ims_platform_default(platform);
    return IMGSTORE_OK;
  }
  char *const parts[] = {platform->os, platform->architecture, platform->variant};
  size_t count = 0;
  bool good = true;
  const char *s = text;
  for (;; s++) {
    size_t size = strcspn(s, "/");
    good = good && count < 3 && take_part(parts[count++], s, size);
    s += size;
    if (!good || !*s)
      break;
  }
  if (good && count == 1)
    good = complete(platform);
  if (!good) {
    memset(platform, 0, sizeof *platform);
    return ims_fail(err, IMGSTORE_EFORMAT, "platform \"%.100s\": not of the form OS/ARCHITECTURE[/VARIANT]", text);
  }
  ims_platform_normalise(platform);
  return IMGSTORE_OK;
}

/* "v8.2" -> 802; "" -> what the architecture stands for without a variant; -1 for other words. */
static int variant_rank(const char *architecture, const char *variant) {
  if (!*variant)
    return strcmp(architecture, "arm") == 0 ? 700 : strcmp(architecture, "arm64") == 0 ? 800 : 100;
  uint64_t major, minor = 0;
  const char *dot = strchr(variant, '.');
  const char *end = dot ? dot : variant + strlen(variant);
  if (variant[0] != 'v' || !ims_parse_u64(variant + 1, (size_t)(end - variant) - 1, 99, &major))
    return -1;
  if (dot && !ims_parse_u64(dot + 1, strlen(dot + 1), 99, &minor))
    return -1;
  return (int)(major * 100 + minor);
}

static bool has_ordered_variants(const char *architecture) {
  return strcmp(architecture, "arm") == 0 || strcmp(architecture, "arm64") == 0 || strcmp(architecture, "amd64") == 0;
}

enum { SCORE_EXACT = 100000, SCORE_GENERIC = 1 };

int ims_platform_score(const ims_platform *want, const ims_platform *have) {
  ims_platform w = *want, h = *have;
  ims_platform_normalise(&w);
  ims_platform_normalise(&h);
  if (!h.os[0] || !h.architecture[0] || strcmp(w.os, h.os) != 0 || strcmp(w.architecture, h.architecture) != 0)
    return 0;
  if (strcmp(w.variant, h.variant) == 0)
    return SCORE_EXACT;
  if (!has_ordered_variants(w.architecture))
    return h.variant[0] ? 0 : SCORE_GENERIC;
  int want_rank = variant_rank(w.architecture, w.variant), have_rank = variant_rank(h.architecture, h.variant);
  if (want_rank < 0 || have_rank < 0)
    return h.variant[0] ? 0 : SCORE_GENERIC;
  return have_rank > want_rank ? 0 : SCORE_EXACT - (want_rank - have_rank);
}

void ims_platform_text(const ims_platform *platform, char out[IMS_PLATFORM_TEXT]) {
  snprintf(out, IMS_PLATFORM_TEXT, "%s/%s%s%s", platform->os, platform->architecture, platform->variant[0] ? "/" : "",
           platform->variant);
}
